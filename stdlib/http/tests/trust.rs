//! Whom we talk to.

use std::io::Write as _;
use std::net::TcpListener;
use std::sync::Arc;

use rcgen::{CertificateParams, CertifiedIssuer, KeyPair};

use super::{fails, run};

/// An HTTPS server for `localhost` whose certificate an authority of our own has signed; its PEM.
fn https_server() -> (u16, String) {
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["localhost".into()])
        .unwrap()
        .signed_by(&key, &authority)
        .unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        )
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let config = Arc::clone(&config);
            std::thread::spawn(move || {
                let connection = rustls::ServerConnection::new(config).unwrap();
                let mut tls = rustls::StreamOwned::new(connection, stream);
                let mut request = [0; 4096];
                if std::io::Read::read(&mut tls, &mut request).is_ok() {
                    let _ = tls.write_all(
                        b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 6\r\n\r\nsecure",
                    );
                    tls.conn.send_close_notify();
                    let _ = tls.flush();
                }
            });
        }
    });
    (port, authority.pem())
}

#[test]
fn an_unknown_authority_is_refused_and_can_be_given() {
    let (port, ca) = https_server();
    let url = format!("https://localhost:{port}/");
    let error = fails(&format!("http::get(\"{url}\")"));
    assert_eq!(error.kind(), "http.tls");
    assert!(
        error.hint_text().unwrap().contains("ca: fs::read"),
        "{error:?}"
    );
    let seen = run(&format!("http::get(\"{url}\", #{{ ca: `{ca}` }}).body")).unwrap();
    assert_eq!(seen.to_string(), "secure");
    let seen = run(&format!("http::get(\"{url}\", #{{ insecure: true }}).body")).unwrap();
    assert_eq!(seen.to_string(), "secure");
}

#[test]
fn a_certificate_for_another_name_is_refused() {
    let (port, ca) = https_server();
    let error = fails(&format!(
        "http::get(\"https://other.example:{port}/\", #{{ ca: `{ca}`, connect_to: \"127.0.0.1\" }})"
    ));
    assert_eq!(error.kind(), "http.tls");
    assert!(
        error.hint_text().unwrap().contains("other names"),
        "{error:?}"
    );
}

#[test]
fn what_is_no_certificate_is_said_before_anything_is_sent() {
    let error = fails(r#"http::get("https://localhost:1/", #{ ca: "hello" })"#);
    assert_eq!(error.kind(), "http.certificate");
}
