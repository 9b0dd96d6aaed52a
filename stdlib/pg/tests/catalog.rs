//! `tables`, `views`, `policies`, `grants`, `functions`, `roles`.

use serde_json::json;

use super::Bed;

#[test]
fn what_is_in_a_database_is_listed() {
    let bed = Bed::with(
        "create schema s; create table s.notes (id int primary key, body text); alter table s.notes enable row level security;
         create policy own on s.notes for select using (id = 1); grant select (body) on s.notes to public; grant delete on s.notes to public;
         create view s.v with (security_invoker = on) as select id from s.notes;
         create function s.f(a int) returns int language sql security definer set search_path = s, public as 'select 1'",
    );
    let only = "#{ schemas: [\"s\"] }";
    assert_eq!(
        bed.json(&format!(
            "db.tables({only}).map(|t| [t.name, t.kind, t.rls, t.forced, t.policies])"
        )),
        json!([["notes", "table", true, false, 1]])
    );
    assert_eq!(
        bed.json(&format!(
            "db.views({only}).map(|v| [v.name, v.invoker, v.materialized, v.reads])"
        )),
        json!([["v", true, false, ["s.notes"]]])
    );
    assert_eq!(
        bed.json(&format!(
            "db.policies({only}).map(|p| [p.table, p.name, p.command, p.permissive, p.roles, p.using, p.check, p.asked])"
        )),
        json!([["notes", "own", "SELECT", true, ["public"], "(id = 1)", null, true]])
    );
    assert_eq!(
        bed.json(&format!(
            "db.grants({only}).filter(|g| g.role == `public`).map(|g| [g.table, g.column, g.privilege])"
        )),
        json!([["notes", null, "DELETE"], ["notes", "body", "SELECT"]])
    );
    assert_eq!(
        bed.json(&format!(
            "db.functions({only}).map(|f| [f.name, f.arguments, f.returns, f.language, f.definer, f.search_path, f.callable_by.contains(`public`)])"
        )),
        json!([["f", "a integer", "integer", "sql", true, "s, public", true]])
    );
    assert_eq!(
        bed.json("db.roles().filter(|r| r.name == `postgres`).map(|r| [r.superuser, r.bypasses_rls, r.login])"),
        json!([[true, true, true]])
    );
    // Without schemas: everything but the server's own.
    assert_eq!(
        bed.json("db.tables().some(|t| t.schema == `s`) && !db.tables().some(|t| t.schema == `pg_catalog`)"),
        json!(true)
    );
}
