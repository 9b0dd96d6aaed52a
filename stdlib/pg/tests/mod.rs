//! Scripts against a real Postgres.

mod backup;
mod catalog;
mod changes;
mod connecting;
mod errors;
mod reading;
mod safety;
mod transactions;
mod types;

use ccrun_kernel::event::Record;
use ccrun_kernel::rhai::Dynamic;
use ccrun_kernel::testing::{Scratch, TestRun};
use ccrun_kernel::value::to_json;
use ccrun_kernel::{Error, Result};
use ccrun_tests::postgres::Postgres;
use serde_json::Value;

/// A database of one's own, and scripts in which `db` is it.
struct Bed {
    server: &'static Postgres,
    database: String,
}

impl Bed {
    fn new() -> Self {
        let server = Postgres::shared();
        Self {
            server,
            database: server.create_database(),
        }
    }

    /// With tables.
    fn with(schema: &str) -> Self {
        let bed = Self::new();
        bed.psql(schema);
        bed
    }

    fn psql(&self, sql: &str) -> String {
        self.server.psql(&self.database, sql)
    }

    fn url(&self) -> String {
        self.server.url_of(&self.database)
    }

    fn script(&self, body: &str) -> String {
        format!("let db = pg::connect(\"{}\");\n{body}", self.url())
    }

    /// What the script gives.
    fn eval(&self, body: &str) -> Result<Dynamic> {
        self.events(body).0
    }

    /// What the script gives, with this working directory, and with stores.
    fn eval_in(&self, folder: &Scratch, body: &str) -> Result<Dynamic> {
        let namespaces = vec![super::namespace(), crate::s3::namespace()];
        ccrun_kernel::testing::eval_in(&folder.0, namespaces, &self.script(body))
    }

    /// Whether the server has a database of this name.
    fn has(&self, database: &str) -> bool {
        let sql = format!("SELECT count(*) FROM pg_database WHERE datname = '{database}'");
        self.server.psql("postgres", &sql).trim() == "1"
    }

    /// The script must not fail.
    fn run(&self, body: &str) {
        self.json(body);
    }

    /// What the script gives, as JSON.
    fn json(&self, body: &str) -> Value {
        to_json(
            &self
                .eval(body)
                .unwrap_or_else(|error| panic!("{error:?}\n{body}")),
        )
    }

    /// How the script fails.
    fn error(&self, body: &str) -> Error {
        match self.eval(body) {
            Err(error) => error,
            Ok(value) => panic!("it did not fail but gave {value:?}\n{body}"),
        }
    }

    /// What the script gives, and what was told meanwhile.
    fn events(&self, body: &str) -> (Result<Dynamic>, Vec<Record>) {
        let folder = Scratch::new();
        TestRun::new(&folder.0, vec![super::namespace()]).eval(&self.script(body))
    }

    /// The same in a dry run.
    fn dry(&self, body: &str) -> (Result<Dynamic>, Vec<Record>) {
        let folder = Scratch::new();
        TestRun::new(&folder.0, vec![super::namespace()])
            .dry()
            .eval(&self.script(body))
    }
}
