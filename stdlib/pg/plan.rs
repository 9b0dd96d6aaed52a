//! What a change would do, for a dry run and for `--confirm`: the planner's estimate of the rows.

use std::sync::Arc;

use ccrun_kernel::rhai::Array;
use ccrun_kernel::{Cx, Preview, Result};
use serde_json::Value;

use super::client::PgClient;
use super::connect::Server;
use super::session::{self, Want};
use super::sql::Facts;
use super::statement::{must_act, parameters};

/// Statements that the server can explain without doing them.
const EXPLAINED: [&str; 5] = ["insert", "update", "delete", "merge", "with"];

/// The preview of `execute` and `execute_returning`.
///
/// An earlier change of the plan may create what the statement needs, so that an error here is no
/// error of the plan, unless it could never go well.
///
/// # Errors
/// `pg.syntax`, `pg.bad_parameter`, `pg.session_statement`.
pub async fn execute(
    server: &Arc<Server>,
    cx: &Cx,
    sql: &str,
    params: &Option<Array>,
    in_transaction: bool,
) -> Result<Preview> {
    let facts = Facts::of(sql);
    must_act(&facts, in_transaction)?;
    let parameters = parameters(params.clone(), &facts)?;
    if !EXPLAINED.contains(&facts.verb.as_str()) {
        return Ok(Preview::default());
    }
    let client = cx.client::<PgClient>().await?;
    let mut lease = client.reader(server).await?;
    let explain: Arc<str> = format!("explain (format json) {sql}").into();
    let result = session::run_guarded(&mut lease, &explain, &parameters, Want::Value).await;
    match result.map_err(|failure| failure.explain(server)) {
        Ok(answer) => {
            let plan = answer
                .rows
                .first()
                .map(ccrun_kernel::value::to_json)
                .unwrap_or_default();
            Ok(estimate(&plan)
                .map_or_else(Preview::default, |rows| Preview::new(summary(sql, rows))))
        }
        Err(error) if ["pg.syntax", "pg.bad_parameter"].contains(&error.kind()) => Err(error),
        Err(_) => Ok(Preview::default()),
    }
}

/// The rows that come into the node which changes them.
fn estimate(plan: &Value) -> Option<u64> {
    let node = plan.get(0)?.get("Plan")?;
    if node.get("Node Type")? != "ModifyTable" {
        return None;
    }
    let inputs = node.get("Plans")?.as_array()?;
    inputs
        .iter()
        .find(|input| input["Parent Relationship"] == "Outer")?
        .get("Plan Rows")?
        .as_u64()
}

fn summary(sql: &str, rows: u64) -> String {
    const LENGTH: usize = 160;
    let text = sql.split_whitespace().collect::<Vec<_>>().join(" ");
    let short: String = text.chars().take(LENGTH).collect();
    let dots = if short.len() < text.len() { "…" } else { "" };
    let plural = if rows == 1 { "" } else { "s" };
    format!("{short}{dots} (about {rows} row{plural}, by the planner's estimate)")
}
