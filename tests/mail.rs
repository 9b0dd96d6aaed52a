//! A mail server of one's own, for tests: OpenSMTPD with TLS, users and a mailbox.

use std::io::Read as _;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

use crate::docker::{Containers, docker};

/// A mail server. It takes letters for `example.org` from anybody, and any letter from [`USER`].
pub struct MailServer {
    /// Port 25, without TLS.
    pub plain: SocketAddr,
    /// Port 587, which wants STARTTLS and a login.
    pub submission: SocketAddr,
    /// Port 465, TLS at once.
    pub implicit: SocketAddr,
    /// The authority that signed its certificate, which is for `localhost`, as PEM.
    pub authority: String,
    container: String,
    _containers: Containers,
}

/// Who may send.
pub const USER: &str = "ops";

/// The password of [`USER`].
pub const PASSWORD: &str = "correct-horse-of-mail";

/// The certificates come by the environment: no file of the test's belongs to the container's users.
const START: &str = r#"set -eu
mkdir -p /certs /etc/mail
printf '%s\n' "$CERT" >/certs/cert.pem
(umask 077; printf '%s\n' "$KEY" >/certs/key.pem)
printf '%s\t%s\n' "$MAIL_USER" "$(smtpctl encrypt "$MAIL_PASSWORD")" >/etc/mail/secrets
cat >/etc/smtpd.conf <<'CONF'
pki mail cert "/certs/cert.pem"
pki mail key "/certs/key.pem"
table secrets file:/etc/mail/secrets
table catchall { "@" = root }
smtp max-message-size 256K
listen on 0.0.0.0 port 25
listen on 0.0.0.0 port 587 tls-require pki mail auth <secrets>
listen on 0.0.0.0 port 465 smtps pki mail auth <secrets>
action "keep" mbox virtual <catchall>
match auth from any for any action "keep"
match from any for domain "example.org" action "keep"
CONF
touch /var/mail/root
exec smtpd -d"#;

impl MailServer {
    /// Start one, and wait until it greets.
    ///
    /// # Panics
    /// If it does not within 30 seconds.
    #[must_use]
    pub fn start() -> Self {
        let (authority, cert, key) = certificates();
        let containers = Containers::new();
        let (cert, key) = (format!("CERT={cert}"), format!("KEY={key}"));
        let user = format!("MAIL_USER={USER}");
        let password = format!("MAIL_PASSWORD={PASSWORD}");
        let mut options = vec!["--entrypoint", "sh", "--hostname", "mail.example.org"];
        for variable in [&cert, &key, &user, &password] {
            options.extend(["--env", variable.as_str()]);
        }
        for port in ["127.0.0.1::25", "127.0.0.1::587", "127.0.0.1::465"] {
            options.extend(["--publish", port]);
        }
        let container =
            containers.run_image("smtp", "ccrun-testbed/smtp", &options, &["-c", START]);
        let server = Self {
            plain: containers.port(&container, 25),
            submission: containers.port(&container, 587),
            implicit: containers.port(&container, 465),
            authority,
            container,
            _containers: containers,
        };
        let deadline = Instant::now() + Duration::from_secs(30);
        while !greets(server.plain) {
            assert!(
                Instant::now() < deadline,
                "the mail server does not greet: {}",
                crate::docker::logs(&server.container)
            );
            std::thread::yield_now();
        }
        server
    }

    /// Everything that was delivered, once `text` is in it.
    ///
    /// # Panics
    /// If it is not within 30 seconds.
    #[must_use]
    pub fn mailbox_with(&self, text: &str) -> String {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let mailbox = self.mailbox();
            if mailbox.contains(text) {
                return mailbox;
            }
            assert!(Instant::now() < deadline, "no {text:?} in:\n{mailbox}");
        }
    }

    /// Everything that was delivered.
    #[must_use]
    pub fn mailbox(&self) -> String {
        docker(&["exec", &self.container, "cat", "/var/mail/root"])
    }
}

/// An authority, and a certificate of its for `localhost` with its key.
fn certificates() -> (String, String, String) {
    let mut params = CertificateParams::new(Vec::new()).expect("parameters");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("a key");
    let authority = params.self_signed(&key).expect("an authority");
    let issuer = Issuer::new(params, key);
    let own = KeyPair::generate().expect("a key");
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let certificate = CertificateParams::new(names)
        .expect("parameters")
        .signed_by(&own, &issuer)
        .expect("a certificate");
    (authority.pem(), certificate.pem(), own.serialize_pem())
}

fn greets(address: SocketAddr) -> bool {
    let Ok(mut stream) = TcpStream::connect(address) else {
        return false;
    };
    let mut code = [0; 3];
    stream
        .set_read_timeout(Some(Duration::from_secs(2)))
        .is_ok()
        && stream.read_exact(&mut code).is_ok()
        && code == *b"220"
}
