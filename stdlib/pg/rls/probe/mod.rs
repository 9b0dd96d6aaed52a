//! `db.rls_probe()`: whether tenants can reach each other, tried out.
//!
//! Everything happens in one transaction that is rolled back: two tenants with rows in every table, statements as each
//! of the identities, and a look by a role past all policies at what came of them. Then the policies are taken
//! away one after the other, and the same statements must notice.

mod judge;
mod model;
mod plan;
mod rows;

use std::collections::HashMap;

use ccrun_kernel::rhai::{Dynamic, Map};
use ccrun_kernel::{Cx, Error, Options, Preview, Result, primitive};
use serde_json::Value;

use self::judge::{Judged, Outcome, Verdict};
use self::model::{Belongs, Intent, Model, Table, View, belonging, is_by_membership};
use self::plan::{Handle, Probe, Subject};
use self::rows::{Maker, Row, Tenant, quoted};
use crate::pg::database::Database;
use crate::pg::transaction::{Transaction, TransactionOptions};

/// What is probed.
#[derive(Clone, Options)]
pub struct ProbeOptions {
    /// The schemas that the API exposes; `public` if left out.
    schemas: Option<Vec<String>>,
    /// What the catalog does not say: `owner` (table → column), `shared` (tables that everybody who is signed in may
    /// read), `public` (that the world may read), `skip`, `values` (table → column → SQL), `claims` (claim → SQL type).
    intent: Option<Map>,
    /// Take the policies away one by one, and see whether the probes notice.
    #[option(default = "true")]
    mutations: bool,
}

/// What was found out, before it becomes a map.
#[derive(Default)]
struct Report {
    matrix: Vec<Verdict>,
    findings: Vec<Map>,
    /// What is tried over HTTP rests on: table → column or claim, key.
    owners: Vec<(String, Map)>,
    untested: Vec<(String, String)>,
    mutations: usize,
    survived: usize,
    tables: usize,
}

impl Database {
    /// Try whether tenants can reach each other's rows, and prove that the trial would notice if they could.
    ///
    /// Two tenants with rows in every table of the exposed schemas are made in a transaction; as anon, anon with a forged
    /// `sub`, the owner, the other tenant, a token without `sub`, one without the tenant's claims and `service_role`,
    /// their rows are read, added, changed, given away and removed, through tables and views. What is denied is checked by a
    /// role past all policies, because a denied UPDATE is no error but 0 rows; that the owner reaches its own rows is
    /// the control. Then each policy is dropped and widened in turn, and the same statements must turn red.
    /// The transaction is rolled back, whatever happens; sequences may have counted on.
    ///
    /// The login must pass by policies (a superuser or BYPASSRLS that may change the tables), to make rows and to look.
    /// Returns a map: `findings` (as of `rls_audit`), `matrix` (maps with `table`, `operation`, `identity`, `expected`,
    /// `outcome`, `statement`), `untested`, `owners` (table → how its rows belong to somebody), `tables`, `probes`, `mutations`, `survived`.
    ///
    /// # Errors
    /// `pg.rls_probe_login` for a login that policies hold for; those of `transaction`.
    ///
    /// # Example
    /// ```rhai,no_run
    /// let db = pg::connect().login("postgres", secret("POSTGRES_PASSWORD"));
    /// for finding in db.rls_probe().findings { print(`${finding.object}: ${finding.evidence}`); }
    /// ```
    #[primitive(change, needs = pg(self.server.resource), preview = probe_preview)]
    pub(in crate::pg) async fn rls_probe(&self, cx: &Cx, options: ProbeOptions) -> Result<Map> {
        let intent = intent(&options)?;
        let usual = TransactionOptions::usual();
        let begin = usual.begin(false)?;
        let transaction = self.begin(cx, &begin, &usual).await?;
        let report = run(cx, &transaction, &options, &intent).await;
        // Nothing of it stays: also when it failed, and when the connection breaks the server does it.
        let ended = transaction.finish(false).await;
        let report = report?;
        ended?;
        cx.unchanged();
        Ok(report.into_map())
    }
}

async fn probe_preview(this: &Database, _cx: &Cx, _options: &ProbeOptions) -> Result<Preview> {
    Ok(Preview::new(format!(
        "make rows of two tenants in {}, try to reach them as others, and roll all of it back",
        this.server
    ))
    .undo("it is rolled back"))
}

fn intent(options: &ProbeOptions) -> Result<Intent> {
    let Some(map) = &options.intent else {
        return Ok(Intent::default());
    };
    let bad = |error: &dyn std::fmt::Display| {
        Error::new("pg.bad_option", format!("`intent`: {error}")).hint(
            "its keys are owner, shared, public, skip, values, claims: `ccrun doc Database.rls_probe`",
        )
    };
    let json = serde_json::to_value(Dynamic::from(map.clone())).map_err(|error| bad(&error))?;
    serde_json::from_value(json).map_err(|error| bad(&error))
}

/// Whoever waits for a lock stands in everybody's way. Less than the server's `deadlock_timeout`: of two that wait for each
/// other it is this one that gives up. And compiling the large statements takes longer than answering them.
const MANNERS: &str = "SET LOCAL lock_timeout = '900ms'; SET LOCAL jit = off";

async fn run(
    cx: &Cx,
    transaction: &Transaction,
    options: &ProbeOptions,
    intent: &Intent,
) -> Result<Report> {
    transaction.own(MANNERS).await?;
    let schemas: Vec<String> = options
        .schemas
        .clone()
        .unwrap_or_else(|| vec!["public".to_owned()]);
    let schemas: Vec<Dynamic> = schemas.into_iter().map(Dynamic::from).collect();
    let text = transaction
        .own_value(model::SQL, &[schemas.into()])
        .await?
        .into_string()
        .unwrap_or_default();
    let model: Model = serde_json::from_str(&text).map_err(|error| {
        Error::new(
            "pg.protocol",
            format!("the catalog reads otherwise than expected: {error}"),
        )
    })?;
    if !model.bypass {
        return Err(Error::new(
            "pg.rls_probe_login",
            "policies hold for this login: it can't make rows of others, nor see what became of them",
        )
        .hint("log in as the superuser for this: `db.login(\"postgres\", secret(\"POSTGRES_PASSWORD\"))`; the statements that are tried run as anon and authenticated"));
    }
    transaction.own(include_str!("session.sql")).await?;
    let belongs = belonging(&model, intent);
    let claims: Vec<String> = belongs
        .values()
        .filter_map(|belongs| match belongs {
            Belongs::Claim(_, claim) => Some(claim.clone()),
            _ => None,
        })
        .chain(intent.claims.keys().cloned())
        .collect();
    let owner = Tenant::new('a', claims.iter().cloned());
    let other = Tenant::new('b', claims);
    let mut report = Report::default();
    let mut maker = Maker::new(&model, intent, &belongs);

    // ---- rows of both
    let chosen: Vec<&Table> = model
        .tables
        .iter()
        .filter(|table| table.exposed && !table.partition && !intent.skip.contains(&table.shown))
        .filter(|table| {
            table.rls
                || table
                    .grants
                    .iter()
                    .any(|(role, list)| role != "service_role" && !list.is_empty())
        })
        .collect();
    let mut progress = cx.progress("rows of two tenants", Some(chosen.len() as u64));
    if let Some(users) = maker.users() {
        for tenant in [&owner, &other] {
            row_of(transaction, &mut maker, tenant, users).await.map_err(|error| {
                Error::new(error.kind(), format!("no user could be made in auth.users: {}", error.message()))
                    .hint("say what a row needs: `intent: #{ values: #{ \"auth.users\": #{ column: \"'expression'\" } } }`")
            })?;
        }
    }
    // The lists of members too, where they are kept out of the API.
    let lists: Vec<&Table> = model
        .tables
        .iter()
        .filter(|table| {
            belongs
                .values()
                .any(|belongs| *belongs == Belongs::Member(table.oid))
                && !chosen.iter().any(|one| one.oid == table.oid)
        })
        .collect();
    for table in chosen.iter().chain(&lists) {
        for tenant in [&owner, &other] {
            if let Err(error) = row_of(transaction, &mut maker, tenant, table).await {
                if !error.kind().starts_with("pg.") || error.kind() == "pg.connection_lost" {
                    return Err(error);
                }
                let message = error
                    .message()
                    .lines()
                    .next()
                    .unwrap_or_default()
                    .to_owned();
                report.untested.push((
                    table.shown.clone(),
                    format!("no row could be made: {message}"),
                ));
                break;
            }
        }
        progress.advance(1);
    }
    drop(progress);

    // ---- what passes by: partitions that are asked themselves, and views
    let mut views: Vec<View> = Vec::new();
    for view in model.views.iter().filter(|view| view.is_reachable()) {
        if view.copies {
            report.untested.push((
                view.shown.clone(),
                "it shows a materialized view, a copy that the new rows are not in; no policy holds for it: the audit judges it".to_owned(),
            ));
            continue;
        }
        views.push(view.clone());
    }
    for table in chosen.iter().filter(|table| table.kind == 'p') {
        views.extend(partition_of(transaction, &model, &maker, &owner, table).await?);
    }

    // ---- the statements
    let mut progress = cx.progress("probes", Some(chosen.len() as u64));
    for table in &chosen {
        progress.advance(1);
        progress.message(table.shown.clone());
        let (Some(own), Some(_)) = (maker.row(&owner, table), maker.row(&other, table)) else {
            continue;
        };
        let own = own.clone();
        let shared = (
            intent.shared.contains(&table.shown),
            intent.public.contains(&table.shown),
        );
        if !belongs.contains_key(&table.oid) && shared == (false, false) {
            report.untested.push((
                table.shown.clone(),
                "it can't be told whose its rows are: name the column under `owner` of the intent, or the table under `shared` or `public`".to_owned(),
            ));
            continue;
        }
        let theirs = maker.row(&other, table).cloned().unwrap_or_default();
        let owning = belongs.get(&table.oid).and_then(Belongs::column);
        let given_away = owning.and_then(|number| {
            let column = table.column(number)?;
            Some((column.quoted.clone(), theirs.get(&number)?.clone()))
        });
        let fresh = maker.make(&owner, table, None);
        let mut twin = maker.make(&owner, table, Some(&own));
        for number in table.key.iter().flatten() {
            let Some(column) = table.column(*number).filter(|column| !column.generated) else {
                continue;
            };
            twin.retain(|(name, _)| *name != column.quoted);
            if let Some(value) = own.get(number) {
                twin.push((column.quoted.clone(), value.clone()));
            }
        }
        let guessable = |key: &Vec<i16>| {
            key.iter().all(|number| {
                table
                    .column(*number)
                    .is_some_and(|column| column.base.name != "uuid")
            })
        };
        let names_owner = |key: &[i16]| owning.is_some_and(|number| key.contains(&number));
        // A key that is a name, not a number that the table counts itself: that one tells only how many there are.
        let named_key = table.key.as_ref().filter(|key| {
            guessable(key)
                && !names_owner(key)
                && !(key.len() == 1
                    && table
                        .column(key[0])
                        .is_some_and(|column| column.base.category == 'N'))
        });
        let oracle = if table.unique.iter().any(guessable) {
            Some(maker.make(&other, table, Some(&own)))
        } else if let Some(key) = named_key {
            let mut row = maker.make(&other, table, None);
            replace(&mut row, table, key, &own);
            Some(row)
        } else {
            None
        };
        let mut references = Vec::new();
        for key in &table.foreign {
            let Some(target) = model.tables.iter().find(|one| one.oid == key.target) else {
                continue;
            };
            if names_owner(&key.columns)
                || !target.rls
                || intent.shared.contains(&target.shown)
                || intent.public.contains(&target.shown)
            {
                continue;
            }
            // Who is on a list that policies ask gets what the list gives: to put oneself on somebody's list is to get in.
            let joins = table.asked
                && matches!(
                    belongs.get(&table.oid),
                    Some(Belongs::User(_) | Belongs::Claim(..))
                );
            if !(joins || guessable(&key.columns) && belongs.contains_key(&target.oid)) {
                continue;
            }
            let Some(row_there) = maker.row(&owner, target).cloned() else {
                continue;
            };
            let values: Option<HashMap<i16, String>> = key
                .columns
                .iter()
                .zip(&key.target_columns)
                .map(|(from, to)| Some((*from, row_there.get(to)?.clone())))
                .collect();
            if let Some(values) = values {
                let mut row = maker.make(&other, table, None);
                replace(&mut row, table, &key.columns, &values);
                references.push((joins, row));
            }
        }
        let subject = Subject {
            table,
            belongs: belongs.get(&table.oid),
            by_membership: is_by_membership(&belongs, table.oid),
            own: &own,
            fresh,
            twin,
            oracle,
            references,
            needles: maker.needles(&owner, &other, table),
            given_away,
            views: views
                .iter()
                .filter(|view| view.reads.contains(&table.oid))
                .collect(),
            shared,
        };
        let probes = subject.probes(&owner, &other);
        let without = subject
            .this_row()
            .map(|row| format!("DELETE FROM {} WHERE {row}", table.shown))
            .unwrap_or_default();
        let outcomes = try_all(transaction, &probes, &without).await?;
        let verdicts = judge::all(&table.shown, &probes, &outcomes);
        report.note_untested(&table.shown, &verdicts);
        if let Some(belongs) = belongs.get(&table.oid) {
            report
                .owners
                .push((table.shown.clone(), owner_map(table, belongs)));
        }
        report.tables += 1;
        for verdict in &verdicts {
            report.findings.extend(verdict.finding());
        }
        // Where it is red already, nothing more can be learned from taking something away.
        let is_red = verdicts
            .iter()
            .any(|verdict| verdict.outcome == Judged::Leak);
        if options.mutations && !is_red {
            mutate(
                transaction,
                table,
                &probes,
                &without,
                &verdicts,
                &mut report,
            )
            .await?;
        }
        report.matrix.extend(verdicts);
    }
    // ---- functions: what of A's they tell, and whether they change it
    let mut handles = Vec::new();
    let mut needles = Vec::new();
    let mut without = String::new();
    if let Some(users) = maker.users()
        && let Some(row) = maker.row(&owner, users)
    {
        handles.extend(handles_of(users, row));
        needles.push(owner.user.clone());
    }
    for table in &chosen {
        let is_everybodys =
            intent.shared.contains(&table.shown) || intent.public.contains(&table.shown);
        let Some(row) = maker.row(&owner, table).filter(|_| !is_everybodys) else {
            continue;
        };
        handles.extend(handles_of(table, row));
        needles.extend(maker.needles(&owner, &other, table));
        if let Some(this_row) = plan::this_row(table, row) {
            without.push_str(&format!("DELETE FROM {} WHERE {this_row};\n", table.shown));
        }
    }
    needles.sort();
    needles.dedup();
    let mut progress = cx.progress("functions", Some(model.functions.len() as u64));
    for function in model.functions.iter().filter(|function| function.callable) {
        progress.advance(1);
        progress.message(function.shown.clone());
        let probes = plan::calls(function, &owner, &other, &handles, &needles);
        let outcomes = try_all(transaction, &probes, &without).await?;
        let verdicts = judge::all(&function.shown, &probes, &outcomes);
        report.note_untested(&function.shown, &verdicts);
        // Once for each function and identity: with whatever argument it was, it is the same hole.
        let mut told: Vec<(String, &'static str)> = Vec::new();
        for verdict in &verdicts {
            let key = verdict.key();
            if let Some(finding) = verdict.finding()
                && !told.contains(&key)
            {
                told.push(key);
                report.findings.push(finding);
            }
        }
        report.matrix.extend(verdicts);
    }
    Ok(report)
}

/// Make a tenant's row, and those that it needs.
async fn row_of<'m>(
    transaction: &Transaction,
    maker: &mut Maker<'m>,
    tenant: &Tenant,
    table: &'m Table,
) -> Result<()> {
    if maker.row(tenant, table).is_some() {
        return Ok(());
    }
    let needs = maker.needs(tenant, table);
    for needed in needs {
        Box::pin(row_of(transaction, maker, tenant, needed)).await?;
    }
    let row = maker.make(tenant, table, None);
    let columns: Vec<String> = table
        .columns
        .iter()
        .map(|column| format!("'{}', {}::text", column.number, column.quoted))
        .collect();
    // A row has few hundred columns, a function takes hundred arguments.
    let pieces: Vec<String> = columns
        .chunks(40)
        .map(|piece| format!("jsonb_build_object({})", piece.join(", ")))
        .collect();
    let sql = format!(
        "{} RETURNING ({})::text",
        plan::insert(&table.shown, &row),
        pieces.join(" || ")
    );
    // As the tenant's own request would say it: defaults and triggers ask who it is.
    transaction
        .own(&format!(
            "SAVEPOINT ccrun_row; SELECT set_config('request.jwt.claims', {}, true)",
            quoted(&tenant.token().to_string())
        ))
        .await?;
    let made = transaction.own_value(&sql, &[]).await;
    let made = match made {
        Ok(made) => made,
        Err(error) => {
            transaction
                .own("ROLLBACK TO ccrun_row; RELEASE ccrun_row")
                .await?;
            return Err(error);
        }
    };
    transaction
        .own("SELECT set_config('request.jwt.claims', '', true); RELEASE ccrun_row")
        .await?;
    let values: HashMap<String, Option<String>> =
        serde_json::from_str(&made.into_string().unwrap_or_default()).unwrap_or_default();
    let literals = table
        .columns
        .iter()
        .filter_map(|column| {
            let value = values.get(&column.number.to_string())?;
            let literal = match value {
                Some(text) => format!("{}::{}", quoted(text), column.data_type),
                None => "NULL".to_owned(),
            };
            Some((column.number, literal))
        })
        .collect();
    let texts = values
        .into_iter()
        .filter_map(|(number, text)| Some((number.parse().ok()?, text?)))
        .collect();
    maker.remember(tenant, table, literals, texts);
    Ok(())
}

/// The partition that A's row lies in, if the API may ask it itself.
async fn partition_of(
    transaction: &Transaction,
    model: &Model,
    maker: &Maker<'_>,
    owner: &Tenant,
    table: &Table,
) -> Result<Option<View>> {
    let Some(this_row) = maker
        .row(owner, table)
        .and_then(|row| plan::this_row(table, row))
    else {
        return Ok(None);
    };
    let sql = format!(
        "SELECT tableoid::int8 FROM {} WHERE {this_row} LIMIT 1",
        table.shown
    );
    let found = transaction.own_value(&sql, &[]).await?.as_int().ok();
    Ok(model
        .tables
        .iter()
        .find(|one| Some(one.oid) == found)
        .map(|partition| View {
            shown: partition.shown.clone(),
            copies: false,
            columns: partition
                .columns
                .iter()
                .map(|column| column.name.clone())
                .collect(),
            grants: partition.grants.clone(),
            writable: true,
            reads: vec![table.oid],
        })
        .filter(View::is_reachable))
}

/// What of a row somebody might have got hold of.
fn handles_of(table: &Table, row: &HashMap<i16, String>) -> Vec<Handle> {
    let truth = plan::this_row(table, row)
        .map(|this_row| {
            format!(
                "SELECT xmin::text || ctid::text FROM {} WHERE {this_row}",
                table.shown
            )
        })
        .unwrap_or_default();
    table
        .columns
        .iter()
        .filter(|column| matches!(column.base.category, 'N' | 'S') || column.base.name == "uuid")
        .filter_map(|column| {
            let literal = row
                .get(&column.number)
                .filter(|literal| *literal != "NULL")?;
            let text = literal
                .split("'::")
                .next()?
                .trim_start_matches('\'')
                .to_owned();
            Some(Handle {
                column: column.name.clone(),
                table: table.name.clone(),
                data_type: column.base.name.clone(),
                literal: literal.clone(),
                text,
                truth: truth.clone(),
            })
        })
        .collect()
}

/// Put values into a row, for these columns.
fn replace(row: &mut Row, table: &Table, numbers: &[i16], values: &HashMap<i16, String>) {
    for number in numbers {
        let (Some(column), Some(value)) = (table.column(*number), values.get(number)) else {
            continue;
        };
        if column.generated {
            continue;
        }
        row.retain(|(name, _)| *name != column.quoted);
        row.push((column.quoted.clone(), value.clone()));
    }
}

/// How the rows of a table belong to somebody, as scripts get it.
fn owner_map(table: &Table, belongs: &Belongs) -> Map {
    let name = |number: i16| -> Dynamic {
        table
            .column(number)
            .map_or(Dynamic::UNIT, |column| column.name.clone().into())
    };
    let (by, column, claim): (&str, i16, Dynamic) = match belongs {
        Belongs::User(number) => ("user", *number, Dynamic::UNIT),
        Belongs::Claim(number, claim) => ("claim", *number, claim.clone().into()),
        Belongs::Through(number, _) => ("reference", *number, Dynamic::UNIT),
        Belongs::Member(_) => ("members", 0, Dynamic::UNIT),
    };
    let key = table
        .key
        .iter()
        .flatten()
        .map(|&number| name(number))
        .collect::<Vec<_>>();
    Map::from_iter([
        ("by".into(), by.to_owned().into()),
        ("column".into(), name(column)),
        ("claim".into(), claim),
        ("key".into(), key.into()),
    ])
}

/// Try statements, each taken back at once; and ask those that are about what is there with it there and with it gone.
async fn try_all(
    transaction: &Transaction,
    probes: &[Probe],
    without: &str,
) -> Result<Vec<Outcome>> {
    let mut outcomes: Vec<Option<Outcome>> = probes.iter().map(|_| None).collect();
    for observes in [false, true] {
        let chosen: Vec<usize> = (0..probes.len())
            .filter(|&index| probes[index].observes == observes)
            .collect();
        if chosen.is_empty() {
            continue;
        }
        let list: Vec<Value> = chosen
            .iter()
            .map(|&index| probes[index].to_json())
            .collect();
        let text = Value::Array(list).to_string();
        let answer = match observes {
            false => {
                transaction
                    .own_value(
                        "SELECT pg_temp.ccrun_probe($1::jsonb)::text",
                        &[text.into()],
                    )
                    .await?
            }
            true => {
                transaction
                    .own_value(
                        "SELECT pg_temp.ccrun_observe($1::jsonb, $2)::text",
                        &[text.into(), without.to_owned().into()],
                    )
                    .await?
            }
        };
        let answers: Vec<Outcome> = serde_json::from_str(&answer.into_string().unwrap_or_default())
            .map_err(|error| {
                Error::new(
                    "pg.protocol",
                    format!("the probes' answer can't be read: {error}"),
                )
            })?;
        for (index, outcome) in chosen.into_iter().zip(answers) {
            outcomes[index] = Some(outcome);
        }
    }
    let outcomes: Option<Vec<Outcome>> = outcomes.into_iter().collect();
    outcomes.ok_or_else(|| Error::new("pg.protocol", "the probes' answer is too short"))
}

/// Take each policy away, widen it, switch all of them off: the probes must notice.
async fn mutate(
    transaction: &Transaction,
    table: &Table,
    probes: &[Probe],
    without: &str,
    before: &[Verdict],
    report: &mut Report,
) -> Result<()> {
    if !table.rls {
        return Ok(());
    }
    for mutation in judge::mutations(table) {
        let chosen: Vec<usize> = (0..probes.len())
            .filter(|&index| mutation.concerns(&probes[index]))
            .collect();
        if chosen.is_empty() {
            continue;
        }
        transaction.own("SAVEPOINT ccrun_mutation").await?;
        if let Err(error) = transaction.own(&mutation.sql).await {
            if error.kind() == "pg.connection_lost" {
                return Err(error);
            }
            transaction
                .own("ROLLBACK TO ccrun_mutation; RELEASE ccrun_mutation")
                .await?;
            report.untested.push((
                table.shown.clone(),
                format!("not tried with {}: {}", mutation.what, error.message()),
            ));
            continue;
        }
        report.mutations += 1;
        let some: Vec<Probe> = chosen.iter().map(|&index| probes[index].clone()).collect();
        let outcomes = try_all(transaction, &some, without).await;
        transaction
            .own("ROLLBACK TO ccrun_mutation; RELEASE ccrun_mutation")
            .await?;
        let after = judge::all(&table.shown, &some, &outcomes?);
        let noticed = chosen
            .iter()
            .zip(&after)
            .any(|(&index, after)| before[index].outcome != after.outcome);
        if !noticed {
            report.survived += 1;
            report.findings.push(mutation.survived(table));
        }
    }
    Ok(())
}

impl Report {
    /// What could not be found out, once for each operation.
    fn note_untested(&mut self, shown: &str, verdicts: &[Verdict]) {
        let mut told: Vec<(String, String)> = Vec::new();
        for (operation, identity, why) in verdicts.iter().filter_map(Verdict::untested) {
            match told.iter_mut().find(|(known, _)| *known == operation) {
                Some(_) => {}
                None => {
                    let text = format!("{operation} as {identity}: {why}");
                    told.push((operation, text));
                }
            }
        }
        let entries = told.into_iter().map(|(_, text)| (shown.to_owned(), text));
        self.untested.extend(entries);
    }

    fn into_map(self) -> Map {
        let probes = self.matrix.len() as i64;
        let list = |maps: Vec<Map>| -> Dynamic {
            maps.into_iter()
                .map(Dynamic::from)
                .collect::<Vec<_>>()
                .into()
        };
        let untested = self
            .untested
            .into_iter()
            .map(|(table, why)| {
                Map::from_iter([("table".into(), table.into()), ("why".into(), why.into())])
            })
            .collect();
        Map::from_iter([
            ("findings".into(), list(self.findings)),
            (
                "matrix".into(),
                list(self.matrix.iter().map(Verdict::to_map).collect()),
            ),
            ("untested".into(), list(untested)),
            (
                "owners".into(),
                Map::from_iter(
                    self.owners
                        .into_iter()
                        .map(|(table, owner)| (table.into(), owner.into())),
                )
                .into(),
            ),
            ("tables".into(), (self.tables as i64).into()),
            ("probes".into(), probes.into()),
            ("mutations".into(), (self.mutations as i64).into()),
            ("survived".into(), (self.survived as i64).into()),
        ])
    }
}
