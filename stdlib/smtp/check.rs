//! Does a mail server answer as it should?

use ccrun_kernel::rhai::{Array, Dynamic, Map};
use ccrun_kernel::value::Duration;
use ccrun_kernel::{Cx, Result, primitive};

use super::options::ServerOptions;
use crate::mailer::{Mailer, Report};

/// Go through a session with a mail server, without sending anything: connect, EHLO, STARTTLS, AUTH, QUIT.
///
/// Returns a map: `name` (the server's own), `offers` (its extensions, as it says them: `"SIZE 36700160"`),
/// `encrypted`, `certificate` (`subject`, `issuer`, `names`, `not_after`, `expires_in`, `trusted`, `problem`; `()`
/// without TLS), `logged_in`, and `steps`: an array of `#{ name, elapsed }`. The first step that fails is the
/// error; a certificate that is not trusted stands in its `details.certificate`.
///
/// # Errors
/// `smtp.connection_refused`, `smtp.timeout`, `smtp.dns`, `smtp.no_starttls`, `smtp.tls`, `smtp.no_auth`,
/// `smtp.auth_failed`, `smtp.not_smtp`, `config.section`.
///
/// # Example
/// ```rhai,no_run
/// let mail = smtp::check(#{ host: "mail.example.org", user: "ops", password: secret("SMTP_PASSWORD") });
/// check("Certificate of the mail server", || assert(mail.certificate.expires_in > "14d"));
/// let inside = smtp::check(#{ service: "postal-smtp", tls: "none" });
/// print(inside.offers);
/// ```
#[primitive(read, volatile, needs = smtp(options.resource()))]
pub(super) async fn check(cx: &Cx, options: ServerOptions) -> Result<Map> {
    let (server, _) = options.server(cx).await?;
    let report = cx.client::<Mailer>().await?.check(&server).await?;
    Ok(to_map(&report))
}

/// A session as scripts see it.
pub fn to_map(report: &Report) -> Map {
    let steps: Array = report
        .steps
        .iter()
        .map(|(name, elapsed)| {
            Dynamic::from(Map::from_iter([
                ("name".into(), (*name).into()),
                (
                    "elapsed".into(),
                    Dynamic::from(Duration::measured(*elapsed)),
                ),
            ]))
        })
        .collect();
    let offers: Array = report.offers.iter().cloned().map(Dynamic::from).collect();
    Map::from_iter([
        ("name".into(), report.name.clone().into()),
        ("offers".into(), offers.into()),
        ("steps".into(), steps.into()),
        ("encrypted".into(), report.encrypted.into()),
        (
            "certificate".into(),
            report.certificate.clone().map_or(Dynamic::UNIT, Into::into),
        ),
        ("logged_in".into(), report.logged_in.into()),
    ])
}
