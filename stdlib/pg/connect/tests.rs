use ccrun_kernel::config::Config;

use super::*;

fn target(toml: &str) -> Target {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ccrun.toml");
    std::fs::write(&file, format!("[target.test]\n{toml}\n")).unwrap();
    Config::read(&file).unwrap().target(None).unwrap()
}

fn of_url(url: &str) -> Result<Server> {
    Parts::of_url(url)?.into_server()
}

fn nothing(_: &str) -> Option<String> {
    None
}

#[test]
fn a_url_says_everything() {
    let server = of_url(
        "postgres://ann:p%40ss%2Fword@db.example:6543/app?sslmode=require&options[search_path]=a,b&connect_timeout=3",
    )
    .unwrap();
    assert_eq!(
        (
            server.host.as_str(),
            server.port,
            server.user.as_str(),
            server.database.as_str()
        ),
        ("db.example", 6543, "ann", "app")
    );
    assert!(server.password == Password::Known("p@ss/word".to_owned()));
    assert_eq!(server.settings["search_path"], "a,b");
    assert_eq!(server.connect_timeout.as_secs(), 3);
    assert_eq!(server.resource, "db.example");
    assert_eq!(server.to_string(), "app on db.example");
}

#[test]
fn sockets_and_addresses() {
    let socket = of_url("postgres://ann@%2Fvar%2Frun%2Fpg/app").unwrap();
    assert_eq!(socket.host, "/var/run/pg");
    let options = socket.options(None).unwrap();
    assert_eq!(options.get_socket().unwrap().to_str(), Some("/var/run/pg"));
    assert_eq!(of_url("postgres:///app?host=/tmp").unwrap().host, "/tmp");
    let six = of_url("postgres://ann@[::1]:5433/app").unwrap();
    assert_eq!(six.host, "::1");
    assert_eq!(six.options(None).unwrap().get_host(), "[::1]");
}

#[test]
fn a_wrong_url_does_not_show_its_password() {
    for url in [
        "postgres://ann:hunter2@host:port/x",
        "postgres://ann:hunter2@host/x?sslmod=a",
    ] {
        let error = of_url(url).unwrap_err();
        assert_eq!(error.kind(), "pg.bad_url");
        assert!(
            !format!("{error:?} {:?}", error.hint_text()).contains("hunter2"),
            "{error:?}"
        );
    }
    let error = of_url("postgres://h/x?sslmode=requir").unwrap_err();
    assert_eq!(error.hint_text(), Some("did you mean `require`?"));
}

#[test]
fn the_target_is_the_default_server() {
    let target = target(
        r#"postgres = { service = "db", user = "ann", password = "secret:PW", database = "app", connect_timeout = "2s" }"#,
    );
    let server = Server::find(&Connect::Target, &target, nothing).unwrap();
    assert_eq!(
        (server.resource.as_str(), server.host.as_str()),
        ("db", "db")
    );
    assert!(server.is_service);
    assert!(server.password == Password::Reference("PW".to_owned()));
    assert_eq!(server.connect_timeout.as_secs(), 2);
    let other = Server::find(&Connect::Text("other".to_owned()), &target, nothing).unwrap();
    assert_eq!(
        (other.database.as_str(), other.user.as_str()),
        ("other", "ann")
    );
}

#[test]
fn without_a_section_the_environment_says() {
    let target = target("protect = false");
    let url =
        |name: &str| (name == "DATABASE_URL").then(|| "postgres://ann@h1:1234/app".to_owned());
    assert_eq!(
        Server::find(&Connect::Target, &target, url).unwrap().host,
        "h1"
    );
    let wrong = super::tests::target("postgres = { hots = \"x\" }");
    let error = Server::find(&Connect::Target, &wrong, nothing)
        .map(|_| ())
        .unwrap_err();
    assert_eq!(error.kind(), "config.section");
}
