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
use self::model::{Belongs, Intent, Model, Table, belonging};
use self::plan::{Probe, Subject};
use self::rows::{Maker, Tenant, quoted};
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
    /// `outcome`, `statement`), `untested`, `tables`, `probes`, `mutations`, `survived`.
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

async fn run(
    cx: &Cx,
    transaction: &Transaction,
    options: &ProbeOptions,
    intent: &Intent,
) -> Result<Report> {
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
    for table in &chosen {
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
        let given_away = match belongs.get(&table.oid) {
            Some(
                Belongs::User(number) | Belongs::Claim(number, _) | Belongs::Through(number, _),
            ) => table
                .column(*number)
                .and_then(|column| Some((column.quoted.clone(), theirs.get(number)?.clone()))),
            None => None,
        };
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
        let oracle = table
            .unique
            .iter()
            .any(guessable)
            .then(|| maker.make(&other, table, Some(&own)));
        let subject = Subject {
            table,
            belongs: belongs.get(&table.oid),
            own: &own,
            fresh,
            twin,
            oracle,
            given_away,
            views: model
                .views
                .iter()
                .filter(|view| view.reads.contains(&table.oid))
                .collect(),
            shared,
        };
        let probes = subject.probes(&owner, &other);
        let outcomes = try_all(transaction, &probes).await?;
        let verdicts = judge::all(&table.shown, &probes, &outcomes);
        report.tables += 1;
        for verdict in &verdicts {
            report.findings.extend(verdict.finding());
        }
        // Where it is red already, nothing more can be learned from taking something away.
        let is_red = verdicts
            .iter()
            .any(|verdict| verdict.outcome == Judged::Leak);
        if options.mutations && !is_red {
            mutate(transaction, table, &probes, &verdicts, &mut report).await?;
        }
        report.matrix.extend(verdicts);
    }
    for function in &model.functions {
        let probes = plan::calls(function, &owner, &other);
        let outcomes = try_all(transaction, &probes).await?;
        let verdicts = judge::all(&function.shown, &probes, &outcomes);
        for verdict in &verdicts {
            report.findings.extend(verdict.finding());
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
    transaction.own("SAVEPOINT ccrun_row").await?;
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
    transaction.own("RELEASE ccrun_row").await?;
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
    maker.remember(tenant, table, literals);
    Ok(())
}

/// Try statements, each taken back at once.
async fn try_all(transaction: &Transaction, probes: &[Probe]) -> Result<Vec<Outcome>> {
    let list: Vec<Value> = probes.iter().map(Probe::to_json).collect();
    let text = Value::Array(list).to_string();
    let answer = transaction
        .own_value(
            "SELECT pg_temp.ccrun_probe($1::jsonb)::text",
            &[text.into()],
        )
        .await?;
    serde_json::from_str(&answer.into_string().unwrap_or_default()).map_err(|error| {
        Error::new(
            "pg.protocol",
            format!("the probes' answer can't be read: {error}"),
        )
    })
}

/// Take each policy away, widen it, switch all of them off: the probes must notice.
async fn mutate(
    transaction: &Transaction,
    table: &Table,
    probes: &[Probe],
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
        report.mutations += 1;
        transaction
            .own(&format!("SAVEPOINT ccrun_mutation; {}", mutation.sql))
            .await?;
        let some: Vec<Probe> = chosen.iter().map(|&index| probes[index].clone()).collect();
        let outcomes = try_all(transaction, &some).await;
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
            ("tables".into(), (self.tables as i64).into()),
            ("probes".into(), probes.into()),
            ("mutations".into(), (self.mutations as i64).into()),
            ("survived".into(), (self.survived as i64).into()),
        ])
    }
}
