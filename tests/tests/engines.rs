//! Docker engines elsewhere, reached by TLS and by ssh, and registries that want to know who asks.
#![allow(
    clippy::disallowed_methods,
    reason = "a test that starts an agent of its own"
)]

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ccrun_tests::docker::{Containers, docker, image};
use ccrun_tests::stack::free_port;
use ccrun_tests::typed::Story;
use rcgen::{CertificateParams, CertifiedIssuer, KeyPair};

/// Ended with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Wait until something is so.
fn until(what: &str, mut so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !so() {
        assert!(Instant::now() < deadline, "not within a minute: {what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Certificates for an engine at 127.0.0.1 and for its clients, in the names of the Docker CLI.
fn certificates(story: &Story, folder: &str) {
    let mut authority = CertificateParams::new(Vec::new()).expect("an authority");
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("a key");
    let authority = CertifiedIssuer::self_signed(authority, key).expect("it signs itself");
    story.write(&format!("{folder}/ca.pem"), authority.pem());
    for (name, names) in [("server", vec!["127.0.0.1".to_owned()]), ("client", vec![])] {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(names).expect("parameters");
        params.extended_key_usages = vec![
            rcgen::ExtendedKeyUsagePurpose::ServerAuth,
            rcgen::ExtendedKeyUsagePurpose::ClientAuth,
        ];
        let certificate = params.signed_by(&key, &authority).expect("a certificate");
        let (cert, pem) = match name {
            "client" => ("cert.pem".to_owned(), "key.pem".to_owned()),
            name => (format!("{name}.pem"), format!("{name}-key.pem")),
        };
        story.write(&format!("{folder}/{cert}"), certificate.pem());
        story.write(&format!("{folder}/{pem}"), key.serialize_pem());
    }
}

/// The engine of this machine behind TLS, for whoever shows a certificate of our authority: as `dockerd --tlsverify`
/// serves it, without a second engine, which would take the first one's bridge away. Ends with the runtime.
fn engine_behind_tls(story: &Story, runtime: &tokio::runtime::Runtime) -> u16 {
    use rustls::pki_types::pem::PemObject as _;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    let at = |name: &str| story.path(&format!("tls/{name}"));
    let certificate = |name: &str| CertificateDer::from_pem_file(at(name)).expect("a certificate");
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate("ca.pem")).expect("an authority");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let clients = rustls::server::WebPkiClientVerifier::builder_with_provider(
        Arc::new(roots),
        Arc::clone(&provider),
    );
    let key = PrivateKeyDer::from_pem_file(at("server-key.pem")).expect("a key");
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions of TLS")
        .with_client_cert_verifier(clients.build().expect("a verifier"))
        .with_single_cert(vec![certificate("server.pem")], key)
        .expect("a certificate with its key");
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = runtime
        .block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))
        .expect("a port");
    let port = listener.local_addr().expect("its number").port();
    runtime.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let mut tls = acceptor.accept(stream).await?;
                let mut engine = tokio::net::UnixStream::connect("/var/run/docker.sock").await?;
                tokio::io::copy_bidirectional(&mut tls, &mut engine).await
            });
        }
    });
    port
}

#[test]
fn an_engine_is_reached_by_tls_and_only_with_a_certificate() {
    let story = Story::new();
    certificates(&story, "tls");
    certificates(&story, "others");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let port = engine_behind_tls(&story, &runtime);
    story.write(
        "ccrun.toml",
        format!(
            r#"default_target = "far"
[target.far]
docker = {{ host = "tcp://127.0.0.1:{port}", ca = "tls/ca.pem", cert = "tls/cert.pem", key = "tls/key.pem" }}
[target.stranger]
docker = {{ host = "tcp://127.0.0.1:{port}", ca = "tls/ca.pem", cert = "others/cert.pem", key = "others/key.pem" }}
[target.impostor]
docker = {{ host = "tcp://127.0.0.1:{port}", ca = "others/ca.pem", cert = "tls/cert.pem", key = "tls/key.pem" }}
"#
        ),
    );
    let own = docker(&["info", "--format", "{{.ID}}"]);
    story.write("ask.rhai", "print(docker::info().id);\n");
    story.types("ccrun ask.rhai").exits(0).prints(&own);
    for target in ["stranger", "impostor"] {
        story
            .types(&format!("ccrun --target {target} ask.rhai"))
            .exits(1)
            .says("docker.unreachable")
            .says(&format!("127.0.0.1:{port}"))
            .says("does not trust the other's certificate");
    }
    // The same by the variables of the Docker CLI.
    let folder = story.path("tls");
    let mut command = story.command("ccrun --target local ask.rhai");
    let seen = command
        .env("DOCKER_HOST", format!("tcp://127.0.0.1:{port}"))
        .env("DOCKER_TLS_VERIFY", "1")
        .env("DOCKER_CERT_PATH", folder)
        .output()
        .expect("ccrun starts");
    let text = String::from_utf8_lossy(&seen.stdout).into_owned();
    assert!(
        text.contains(&own),
        "{text}{}",
        String::from_utf8_lossy(&seen.stderr)
    );
}

fn run(program: &str, arguments: &[&str], variables: &[(&str, &str)]) -> String {
    let output = Command::new(program)
        .args(arguments)
        .envs(variables.iter().copied())
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Takes an address out of the keys that ssh knows on this machine.
struct Unknown(String);

impl Drop for Unknown {
    fn drop(&mut self) {
        let _ = Command::new("ssh-keygen").args(["-R", &self.0]).output();
    }
}

#[test]
fn an_engine_is_reached_by_ssh() {
    let story = Story::new();
    let bed = Containers::new();
    let key = story.path("key").display().to_string();
    let _made = run(
        "ssh-keygen",
        &["-q", "-t", "ed25519", "-N", "", "-f", &key],
        &[],
    );
    let agent = story.path("agent").display().to_string();
    let _agent = Running(
        Command::new("ssh-agent")
            .args(["-D", "-a", &agent])
            .stdout(Stdio::null())
            .spawn()
            .expect("ssh-agent starts"),
    );
    until("the agent listens", || Path::new(&agent).exists());
    let _added = run("ssh-add", &["-q", &key], &[("SSH_AUTH_SOCK", &agent)]);
    let cli = run("sh", &["-c", "command -v docker"], &[]);
    let name = format!("{}-sshd", bed.name);
    let _id = docker(&[
        "run",
        "--detach",
        "--name",
        &name,
        "--label",
        "ccrun.test=docker",
        "--label",
        &bed.label(),
        "--publish",
        "127.0.0.1::22",
        "--volume",
        "/var/run/docker.sock:/var/run/docker.sock",
        "--volume",
        &format!("{cli}:/usr/bin/docker:ro"),
        "--volume",
        &format!("{key}.pub:/root/.ssh/authorized_keys:ro"),
        "ccrun-testbed/sshd:latest",
    ]);
    let port = docker(&["port", &name, "22/tcp"]);
    let port = port.rsplit(':').next().expect("its port").to_owned();
    let known = Unknown(format!("[127.0.0.1]:{port}"));
    drop(Unknown(known.0.clone()));
    story.write(
        "ccrun.toml",
        format!(
            "default_target = \"far\"\n[target.far]\ndocker = \"ssh://root@127.0.0.1:{port}\"\n"
        ),
    );
    let asks = |script: &str, agent: &str| {
        story.write("ask.rhai", script);
        let mut command = story.command("ccrun ask.rhai");
        let seen = command
            .env("SSH_AUTH_SOCK", agent)
            .output()
            .expect("ccrun starts");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (seen.status.code(), text(&seen.stdout), text(&seen.stderr))
    };
    until("sshd answers", || {
        asks("docker::ping();", &agent).0 == Some(0)
    });
    let script = format!(
        "let c = docker::container(\"{name}\"); print(c.state); print(c.exec([\"cat\"], #{{ stdin: \"through two tunnels\" }}).stdout); print(c.logs(#{{ tail: 1 }}).len());"
    );
    let (status, out, error) = asks(&script, &agent);
    assert_eq!(
        (status, out.as_str()),
        (Some(0), "running\nthrough two tunnels\n1\n"),
        "{error}"
    );
    // Who is not let in is told where it was tried, and by whom the address was given.
    let (status, _, error) = asks("docker::ping();", "/nonexistent");
    assert_eq!(status, Some(1), "{error}");
    assert!(
        error.contains("docker.unreachable")
            && error.contains(&format!("ssh://root@127.0.0.1:{port}"))
            && error.contains("Permission denied")
            && error.contains("ssh-copy-id"),
        "{error}"
    );
}

#[test]
fn a_private_registry_is_shown_what_docker_login_left() {
    let story = Story::new();
    let bed = Containers::new();
    let password = "a-password-of-a-registry";
    let hash = docker(&[
        "run",
        "--rm",
        "--network",
        "none",
        "ccrun-testbed/caddy:latest",
        "caddy",
        "hash-password",
        "--plaintext",
        password,
    ]);
    story.write("htpasswd", format!("ada:{hash}\n"));
    let name = format!("{}-registry", bed.name);
    let address = format!("127.0.0.1:{}", free_port());
    let _id = docker(&[
        "run",
        "--detach",
        "--name",
        &name,
        "--label",
        "ccrun.test=docker",
        "--label",
        &bed.label(),
        // The engine trusts a registry without TLS on the loopback alone. Its own forwarding of a port is
        // left out: it was seen to lose an answer of the registry, for which the engine then waited for ever.
        "--network",
        "host",
        "--env",
        &format!("REGISTRY_HTTP_ADDR={address}"),
        "--volume",
        &format!("{}:/htpasswd:ro", story.path("htpasswd").display()),
        "--env",
        "REGISTRY_AUTH_HTPASSWD_PATH=/htpasswd",
        "ccrun-testbed/registry:latest",
    ]);
    until("the registry answers", || {
        std::net::TcpStream::connect(&address).is_ok()
    });
    let there = format!("{address}/team/app:1");
    let asks = |script: &str| {
        story.write("ask.rhai", script);
        let mut command = story.command("ccrun ask.rhai");
        let seen = command
            .env("DOCKER_CONFIG", story.path("config"))
            .output()
            .expect("ccrun starts");
        let mut text = String::from_utf8_lossy(&seen.stdout).into_owned();
        text.push_str(&String::from_utf8_lossy(&seen.stderr));
        (seen.status.code(), text)
    };
    let push = format!(
        "docker::tag(\"{}\", \"{there}\"); docker::push(\"{there}\", #{{ silence: \"1m\" }});",
        image()
    );
    let (status, text) = asks(&push);
    assert_eq!(status, Some(1), "nobody has logged in: {text}");
    assert!(text.contains("docker login"), "{text}");

    let login = |password: &str| {
        use base64::Engine as _;
        let auth = base64::engine::general_purpose::STANDARD.encode(format!("ada:{password}"));
        story.write(
            "config/config.json",
            format!("{{ \"auths\": {{ \"{address}\": {{ \"auth\": \"{auth}\" }} }} }}"),
        );
    };
    login("another");
    let (status, text) = asks(&push);
    assert_eq!(status, Some(1), "{text}");
    assert!(!text.contains("another"), "{text}");
    login(password);
    let (status, text) = asks(&push);
    assert_eq!(status, Some(0), "{text}");
    let (status, text) = asks(&format!(
        "docker::remove_image(\"{there}\"); let id = docker::pull(\"{there}\"); print(id == docker::image(\"{}\").id); docker::remove_image(\"{there}\");",
        image()
    ));
    assert_eq!(status, Some(0), "{text}");
    assert!(text.contains("true"), "{text}");
    // A helper that the CLI would ask as well.
    story.write(
        "bin/docker-credential-book",
        format!("#!/bin/sh\nread server\n[ \"$server\" = {address} ] || {{ echo credentials not found in native keychain; exit 1; }}\nprintf '{{\"ServerURL\":\"%s\",\"Username\":\"ada\",\"Secret\":\"{password}\"}}' \"$server\"\n"),
    );
    let _executable = run(
        "chmod",
        &[
            "+x",
            &story
                .path("bin/docker-credential-book")
                .display()
                .to_string(),
        ],
        &[],
    );
    story.write("config/config.json", r#"{ "credsStore": "book" }"#);
    story.write(
        "ask.rhai",
        format!("docker::pull(\"{there}\"); docker::remove_image(\"{there}\");"),
    );
    let path = format!(
        "{}:{}",
        story.path("bin").display(),
        std::env::var("PATH").expect("a PATH")
    );
    let mut command = story.command("ccrun ask.rhai");
    let seen = command
        .env("DOCKER_CONFIG", story.path("config"))
        .env("PATH", path)
        .output()
        .expect("ccrun starts");
    assert!(
        seen.status.success(),
        "{}",
        String::from_utf8_lossy(&seen.stderr)
    );
    // Without the helper it is said, rather than asked as nobody.
    let (status, text) = asks(&format!("docker::pull(\"{there}\");"));
    assert_eq!(status, Some(1), "{text}");
    assert!(
        text.contains("docker.credentials") && text.contains(&address),
        "{text}"
    );
}
