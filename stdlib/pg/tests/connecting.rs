//! `pg::connect` and what goes wrong on the way.

use ccrun_kernel::rhai::Dynamic;
use ccrun_kernel::testing::{Scratch, TestRun, eval};
use ccrun_kernel::{Error, Result};
use ccrun_tests::postgres::{PASSWORD, Postgres};
use serde_json::json;

use super::Bed;

fn run(script: &str) -> Result<Dynamic> {
    eval(vec![crate::pg::namespace()], script)
}

fn failure(script: &str) -> Error {
    run(script)
        .map(|value| panic!("it gave {value:?}"))
        .unwrap_err()
}

#[test]
fn by_options_over_tcp_and_over_the_socket() {
    let bed = Bed::new();
    let tcp = format!(
        "let db = pg::connect(#{{ host: \"127.0.0.1\", port: {}, user: \"postgres\", password: \"{PASSWORD}\", database: \"{}\",
            application_name: \"me\", settings: #{{ search_path: \"app, public\", statement_timeout: \"7s\" }} }});
         [db.value(`show application_name`), db.value(`show search_path`), db.value(`show statement_timeout`), db.name, db.port, db.user]",
        bed.server.port(),
        bed.database,
    );
    assert_eq!(
        ccrun_kernel::value::to_json(&run(&tcp).unwrap()),
        json!([
            "me",
            "app, public",
            "7s",
            bed.database,
            bed.server.port(),
            "postgres"
        ])
    );
    let socket = format!(
        "pg::connect(#{{ host: \"{}\", port: {}, user: \"postgres\", database: \"{}\" }}).value(`show application_name`)",
        bed.server.socket_dir().display(),
        bed.server.port(),
        bed.database,
    );
    assert_eq!(run(&socket).unwrap().to_string(), "ccrun");
}

#[test]
fn the_targets_database_and_another_one_beside_it() {
    let bed = Bed::new();
    let folder = Scratch::new();
    let config = format!(
        "[target.test]\npostgres = {{ service = \"postgres\", host = \"127.0.0.1\", port = {}, user = \"postgres\", password = \"{PASSWORD}\", database = \"{}\" }}\n",
        bed.server.port(),
        bed.database,
    );
    std::fs::write(folder.0.join("ccrun.toml"), config).unwrap();
    let (result, _) = TestRun::new(&folder.0, vec![crate::pg::namespace()]).eval(
        "let db = pg::connect(); [db.value(`select current_database()`), pg::connect(\"postgres\").value(`select current_database()`), `${db}`]",
    );
    assert_eq!(
        ccrun_kernel::value::to_json(&result.unwrap()),
        json!([
            bed.database,
            "postgres",
            format!("Database({} on postgres)", bed.database)
        ])
    );
}

#[test]
fn what_goes_wrong_is_told_without_the_password() {
    let server = Postgres::shared();
    let port = server.port();
    for (url, kind, part) in [
        (
            format!("postgres://postgres:hunter2@127.0.0.1:{port}/postgres"),
            "pg.auth_failed",
            "password authentication failed",
        ),
        (
            "postgres://postgres:hunter2@127.0.0.1:1/postgres".to_owned(),
            "pg.connection_refused",
            "127.0.0.1:1",
        ),
        (
            "postgres://postgres:hunter2@nowhere.invalid/postgres".to_owned(),
            "pg.host_not_found",
            "nowhere.invalid",
        ),
        (
            "postgres://postgres:hunter2@%2Fnowhere/postgres".to_owned(),
            "pg.connection_refused",
            "/nowhere/.s.PGSQL.5432",
        ),
        (server.url_of("not_there"), "pg.no_database", "not_there"),
        (format!("{}?sslmode=require", server.url()), "pg.tls", "TLS"),
    ] {
        let error = failure(&format!("pg::connect(\"{url}\").value(`select 1`)"));
        assert_eq!(error.kind(), kind, "{url}: {error:?}");
        assert!(error.message().contains(part), "{error:?}");
        assert!(error.hint_text().is_some(), "{error:?}");
        let all = format!("{} {}", error.to_json(), error.message());
        assert!(!all.contains("hunter2") && !all.contains(PASSWORD), "{all}");
    }
}

#[test]
fn a_server_that_does_not_answer_times_out() {
    // It accepts the connection and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let error = failure(&format!(
        "pg::connect(#{{ host: \"127.0.0.1\", port: {port}, user: \"x\", connect_timeout: \"200ms\" }}).value(`select 1`)"
    ));
    assert_eq!(error.kind(), "pg.connect_timeout");
    assert!(error.is_retryable());
}

#[test]
fn options_are_checked() {
    let error = failure("pg::connect(#{ hots: \"x\" })");
    assert_eq!(error.kind(), "argument.unknown_key");
    assert_eq!(error.hint_text(), Some("did you mean `host`?"));
    assert_eq!(failure("pg::connect(5)").kind(), "argument.type");
    assert_eq!(
        failure("pg::connect(#{ sslmode: \"requir\" })").kind(),
        "pg.bad_option"
    );
    let server = Postgres::shared();
    let error = failure(&format!(
        "pg::connect(#{{ url: \"{}\", settings: #{{ no_such_setting: 1 }} }}).value(`select 1`)",
        server.url()
    ));
    assert_eq!(error.kind(), "pg.undefined_object");
}
