use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

use ccrun_kernel::rhai::{Dynamic, Map};
use ccrun_kernel::testing::eval;
use ccrun_kernel::value::Duration;
use ccrun_kernel::{Error, Result};

use super::namespace;

fn run(script: &str) -> Result<Dynamic> {
    eval(vec![namespace()], script)
}

fn fails(script: &str) -> Error {
    run(script).unwrap_err()
}

/// A port on which nothing listens.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// A TLS server with a certificate for `localhost` that nobody has signed. Serves until it is dropped.
fn tls_server() -> (u16, Vec<u8>) {
    let certificate =
        rcgen::generate_simple_self_signed(vec!["localhost".into(), "127.0.0.1".into()]).unwrap();
    let der = certificate.cert.der().clone();
    let key = rustls::pki_types::PrivateKeyDer::try_from(certificate.signing_key.serialize_der())
        .unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![der.clone()], key)
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut connection = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut stream: TcpStream = stream;
            while connection.is_handshaking() {
                if connection.complete_io(&mut stream).is_err() {
                    break;
                }
            }
        }
    });
    (port, der.to_vec())
}

#[test]
fn a_port_that_listens_accepts() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let seen = run(&format!("net::tcp_connect(\"127.0.0.1\", {port}).address")).unwrap();
    assert_eq!(seen.to_string(), format!("127.0.0.1:{port}"));
}

#[test]
fn a_port_on_which_nothing_listens_says_so() {
    let port = free_port();
    let error = fails(&format!("net::tcp_connect(\"127.0.0.1\", {port})"));
    assert_eq!(error.kind(), "net.connection_refused");
    assert_eq!(
        error.message(),
        format!("nothing listens on 127.0.0.1:{port}")
    );
    assert!(error.is_retryable());
}

#[test]
fn a_name_that_does_not_exist_says_so() {
    let error = fails("net::tcp_connect(\"no-such-host.invalid\", 80)");
    assert_eq!(error.kind(), "net.dns");
    assert!(
        error.message().contains("no-such-host.invalid"),
        "{error:?}"
    );
}

#[test]
fn a_port_that_opens_later_is_waited_for() {
    let port = free_port();
    let opener = std::thread::spawn(move || {
        // Not before the first attempt was refused: that one takes no time.
        std::thread::sleep(std::time::Duration::from_millis(150));
        TcpListener::bind(("127.0.0.1", port)).unwrap()
    });
    let script = format!(
        r#"net::wait_for_port("127.0.0.1", {port}, #{{ interval: "20ms", timeout: "20s" }}).address"#
    );
    let seen = run(&script);
    drop(opener.join().unwrap());
    assert_eq!(seen.unwrap().to_string(), format!("127.0.0.1:{port}"));
}

#[test]
fn a_port_that_never_opens_ends_with_what_was_seen() {
    let port = free_port();
    let error = fails(&format!(
        r#"net::wait_for_port("127.0.0.1", {port}, #{{ interval: "10ms", timeout: "100ms" }})"#
    ));
    assert_eq!(error.kind(), "net.wait_timeout");
    assert!(
        error.message().contains("seen last: nothing listens on"),
        "{error:?}"
    );
}

#[test]
fn the_hosts_file_is_asked_first() {
    let seen = run(r#"net::lookup("localhost")"#)
        .unwrap()
        .into_typed_array::<String>()
        .unwrap();
    assert!(
        seen.iter().any(|ip| ip == "127.0.0.1" || ip == "::1"),
        "{seen:?}"
    );
}

#[test]
fn a_sort_of_records_that_is_misspelled_gets_the_nearest() {
    let error = fails(r#"net::lookup("example.org", #{ type: "AAA" })"#);
    assert_eq!(error.kind(), "net.record_type");
    assert!(error.hint_text().unwrap().contains("`AAAA`"), "{error:?}");
}

#[test]
fn a_name_server_that_does_not_answer_is_an_error_not_an_empty_list() {
    let error = fails(
        r#"net::lookup("example.org", #{ type: "A", server: "127.0.0.1", timeout: "200ms" })"#,
    );
    assert_eq!(error.kind(), "net.dns");
}

#[test]
fn a_certificate_is_described_though_nobody_trusts_it() {
    let (port, der) = tls_server();
    let seen = run(&format!(
        r#"net::tls_certificate("localhost", #{{ port: {port} }})"#
    ))
    .unwrap()
    .cast::<Map>();
    let names = seen["names"].clone().into_typed_array::<String>().unwrap();
    assert!(names.contains(&"localhost".to_owned()), "{names:?}");
    assert!(!seen["trusted"].as_bool().unwrap());
    assert!(
        seen["problem"].to_string().contains("UnknownIssuer"),
        "{}",
        seen["problem"]
    );
    assert!(seen["expires_in"].clone().cast::<Duration>().as_secs_f64() > 86_400.0);
    assert_eq!(seen["protocol"].to_string(), "TLS 1.3");
    use sha2::Digest as _;
    assert_eq!(
        seen["sha256"].to_string(),
        hex::encode(sha2::Sha256::digest(&der))
    );
}

#[test]
fn a_port_without_tls_is_told_from_one_with_a_bad_certificate() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let _ = std::io::Write::write_all(&mut &stream, b"220 mail.example.org ESMTP\r\n");
        }
    });
    let error = fails(&format!(
        r#"net::tls_certificate("127.0.0.1", #{{ port: {port} }})"#
    ));
    assert_eq!(error.kind(), "net.tls");
    assert!(error.hint_text().unwrap().contains("SMTP"), "{error:?}");
}

#[test]
fn what_listens_here_is_found_with_its_process() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = i64::from(listener.local_addr().unwrap().port());
    let script = format!("net::listening().find(|entry| entry.port == {port})");
    let seen = run(&script).unwrap().cast::<Map>();
    assert_eq!(seen["address"].to_string(), "127.0.0.1");
    assert_eq!(seen["pid"].as_int().unwrap(), i64::from(std::process::id()));
}

#[test]
fn the_loopback_address_is_one_of_ours() {
    let seen =
        run(r#"net::local_addresses().find(|entry| entry.address == "127.0.0.1").family"#).unwrap();
    assert_eq!(seen.to_string(), "IPv4");
}
