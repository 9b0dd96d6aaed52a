//! Answers with columns whose types can't be read as they come: `aclitem` and some of extensions have
//! no binary form, and sqlx does not know multiranges and the server's internal types.
//!
//! The query is asked for the names and types of its columns, and then asked again with these columns
//! in a form that can be read: multiranges as arrays of ranges, the others as text. Every statement
//! is a prepared one, so that the SQL of a script can't end early and go on with another statement.

use std::sync::Arc;

use ccrun_kernel::rhai::Dynamic;
use ccrun_kernel::{Error, Result};

use super::pool::Lease;
use super::session::{Answer, Failure, Want, run_guarded};
use super::sql::Facts;

/// Ask again. Only for statements that ask, outside of a transaction of the script.
///
/// # Errors
/// What the server says.
pub async fn run(
    lease: &mut Lease,
    sql: &Arc<str>,
    parameters: &[Dynamic],
    want: Want,
) -> Result<Answer, Failure> {
    // A comment at the end must not swallow the parenthesis, nor a semicolon stand before it.
    let inner = format!("(\n{}\n)", sql.trim_end().trim_end_matches(';'));
    if !["select", "with", "values", "table"].contains(&Facts::of(sql).verb.as_str()) {
        return Err(unreadable().into());
    }
    let names: Arc<str> =
        format!("select array(select json_object_keys(row_to_json(q))) from {inner} as q limit 1")
            .into();
    let answer = run_guarded(lease, &names, parameters, Want::Value).await?;
    let Some(names) = answer.rows.into_iter().next() else {
        return Ok(Answer {
            rows: Vec::new(),
            affected: 0,
        });
    };
    let names: Vec<String> = names
        .into_array()
        .unwrap_or_default()
        .iter()
        .map(Dynamic::to_string)
        .collect();

    let columns: Vec<String> = names.iter().map(|name| quoted(name)).collect();
    // `pg_typeof` of no row at all, so that nothing is computed for it.
    let types: Vec<String> = columns
        .iter()
        .enumerate()
        .map(|(index, column)| format!("pg_typeof(q.{column})::oid as c{index}"))
        .collect();
    let types: Arc<str> = format!(
        "select array(select coalesce((select case \
            when typtype = 'm' then 'multirange' \
            when typtype = 'd' then 'text' \
            when typsend = 0 or typcategory = 'Z' and typname <> 'char' then 'text' \
            when typelem <> 0 and typlen = -1 and (select e.typsend = 0 or e.typtype = 'm' \
                or e.typcategory = 'Z' and e.typname <> 'char' from pg_catalog.pg_type e \
                where e.oid = t.typelem) then 'text' \
            when typtype = 'c' then 'text' \
            else 'plain' end from pg_catalog.pg_type t where t.oid = o), 'plain') \
         from unnest(array[{}]) with ordinality as u(o, n) order by n) \
         from (select {} from (select 1) as one left join lateral {inner} as q on false) as t",
        (0..columns.len())
            .map(|index| format!("t.c{index}"))
            .collect::<Vec<_>>()
            .join(", "),
        types.join(", "),
    )
    .into();
    let answer = run_guarded(lease, &types, parameters, Want::Value).await?;
    let forms = answer
        .rows
        .into_iter()
        .next()
        .unwrap_or_default()
        .into_array()
        .unwrap_or_default();

    let readable: Vec<String> = columns
        .iter()
        .zip(&forms)
        .map(|(column, form)| match form.to_string().as_str() {
            "multirange" => format!(
                "case when q.{column} is not null then array(select unnest(q.{column})) end as {column}"
            ),
            "text" => format!("q.{column}::text as {column}"),
            _ => format!("q.{column}"),
        })
        .collect();
    let sql: Arc<str> = format!("select {} from {inner} as q", readable.join(", ")).into();
    run_guarded(lease, &sql, parameters, want).await
}

/// The answer can't be read, and the question can't be put in another way.
#[must_use]
pub fn unreadable() -> Error {
    Error::new(
        "pg.unreadable_type",
        "a column of the answer is of a type that has no binary form",
    )
    .hint("cast it in the SQL: `column::text`")
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
