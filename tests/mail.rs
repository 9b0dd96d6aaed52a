//! A mail server of one's own, for tests: OpenSMTPD with a mailbox, and before it, where TLS and a login are wanted, aiosmtpd (the TLS
//! of that OpenSMTPD fails with its OpenSSL).

use std::io::Read as _;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

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

const START: &str = r#"set -eu
mkdir -p /certs
cd /certs
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=authority -keyout ca.key -out ca.pem
openssl req -newkey rsa:2048 -nodes -subj /CN=localhost -keyout key.pem -out request.pem
echo 'subjectAltName=DNS:localhost,IP:127.0.0.1' >names
openssl x509 -req -in request.pem -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile names -out cert.pem
cat >/etc/smtpd.conf <<'CONF'
table catchall { "@" = root }
smtp max-message-size 256K
listen on 0.0.0.0 port 25
action "keep" mbox virtual <catchall>
match from local for any action "keep"
match from any for domain "example.org" action "keep"
CONF
touch /var/mail/root
smtpd -d &
exec python3 -c "$SUBMISSION""#;

/// Submission: TLS and a login are wanted, then the letter is handed on.
const SUBMISSION: &str = r#"
import asyncio, os, smtplib, ssl
from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

class Handler:
    async def handle_DATA(self, server, session, envelope):
        def hand_on():
            with smtplib.SMTP("127.0.0.1", 25) as onward:
                onward.sendmail(envelope.mail_from, envelope.rcpt_tos, envelope.content)
        await asyncio.get_running_loop().run_in_executor(None, hand_on)
        return "250 2.0.0 taken"

def known(server, session, envelope, mechanism, data):
    right = (os.environ["MAIL_USER"].encode(), os.environ["MAIL_PASSWORD"].encode())
    return AuthResult(success=isinstance(data, LoginPassword) and (data.login, data.password) == right, handled=False)

async def main():
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain("/certs/cert.pem", "/certs/key.pem")
    common = dict(hostname="mail.example.org", authenticator=known, auth_required=True, data_size_limit=262144)
    loop = asyncio.get_running_loop()
    await loop.create_server(lambda: SMTP(Handler(), tls_context=tls, require_starttls=True, **common), "0.0.0.0", 587)
    await loop.create_server(lambda: SMTP(Handler(), auth_require_tls=False, **common), "0.0.0.0", 465, ssl=tls)
    await asyncio.Event().wait()

asyncio.run(main())
"#;

impl MailServer {
    /// Start one, and wait until it greets.
    ///
    /// # Panics
    /// If it does not within two minutes.
    #[must_use]
    pub fn start() -> Self {
        let containers = Containers::new();
        let user = format!("MAIL_USER={USER}");
        let password = format!("MAIL_PASSWORD={PASSWORD}");
        let submission = format!("SUBMISSION={SUBMISSION}");
        let mut options = vec!["--entrypoint", "sh", "--hostname", "mail.example.org"];
        for variable in [&user, &password, &submission] {
            options.extend(["--env", variable.as_str()]);
        }
        for port in ["127.0.0.1::25", "127.0.0.1::587", "127.0.0.1::465"] {
            options.extend(["--publish", port]);
        }
        let container =
            containers.run_image("smtp", "ccrun-testbed/smtp", &options, &["-c", START]);
        let mut server = Self {
            plain: containers.port(&container, 25),
            submission: containers.port(&container, 587),
            implicit: containers.port(&container, 465),
            authority: String::new(),
            container,
            _containers: containers,
        };
        // It makes keys first, which takes its time on a busy machine.
        let deadline = Instant::now() + Duration::from_secs(120);
        while !(greets(server.plain) && greets(server.submission)) {
            assert!(
                Instant::now() < deadline,
                "the mail server does not greet: {}",
                crate::docker::logs(&server.container)
            );
            std::thread::yield_now();
        }
        server.authority = docker(&["exec", &server.container, "cat", "/certs/ca.pem"]);
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
