//! The certificate that a server presents.

use std::sync::Arc;

use ccrun_kernel::rhai::{Dynamic, Map};
use ccrun_kernel::value::Duration;
use ccrun_kernel::{Cx, Error, Options, Result, primitive};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, SignatureScheme};

use super::client::Network;
use crate::certificate;

/// How a certificate is asked for.
#[derive(Clone, Options)]
pub struct CertificateOptions {
    /// The port.
    #[option(default = "443")]
    port: u16,
    /// The name to ask for and to check, if it is not `host` (SNI, RFC 6066).
    server_name: Option<String>,
    /// How long connecting and the handshake may take.
    #[option(default = "10s")]
    timeout: Duration,
}

/// The certificate that a server presents, trusted or not.
///
/// Returns a map: `subject`, `issuer`, `names`, `not_before`, `not_after`, `expires_in` (negative when it
/// is over), `serial`, `sha256`, `protocol`, `chain` (how many certificates came), `trusted` (signed by
/// somebody whom this machine trusts, valid now, and for that name) and, if it is not, `problem`.
///
/// # Errors
/// `net.tls` if the port speaks no TLS or has no certificate, `net.dns`, `net.connection_refused`,
/// `net.timeout`.
///
/// # Example
/// ```rhai,no_run
/// let certificate = net::tls_certificate("example.org");
/// check("Certificate", || assert(certificate.expires_in > "14d", `expires on ${certificate.not_after}`));
/// ```
#[primitive(read, volatile, needs = net(host))]
async fn tls_certificate(cx: &Cx, host: String, options: CertificateOptions) -> Result<Map> {
    let network = cx.client::<Network>().await?;
    let timeout = options.timeout.to_std();
    let asked = options.server_name.unwrap_or_else(|| host.clone());
    let bare = asked.trim_start_matches('[').trim_end_matches(']');
    let name = ServerName::try_from(bare.to_owned()).map_err(|_| {
        Error::new(
            "net.name",
            format!("`{asked}` can't be the name of a server"),
        )
    })?;
    let provider = Arc::new(ring::default_provider());
    let failed = |what: String| {
        Error::new("net.tls", format!("{host}:{}: {what}", options.port))
            .hint("does the port speak TLS from the start? SMTP and Postgres begin without")
    };
    let config = rustls::ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| failed(error.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anyone(Arc::clone(&provider))))
        .with_no_client_auth();
    let (stream, _) = network.connect(&host, options.port, timeout).await?;
    let handshake = network.handshake(Arc::new(config), name.clone(), stream);
    let stream = match tokio::time::timeout(timeout, handshake).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return Err(failed(error.to_string())),
        Err(_) => {
            return Err(Error::new(
                "net.timeout",
                format!(
                    "{host}:{} did not finish the TLS handshake within {}",
                    options.port, options.timeout
                ),
            )
            .hint("does the port speak TLS at all?")
            .retryable());
        }
    };
    let (_, connection) = stream.get_ref();
    let chain = connection.peer_certificates().unwrap_or_default();
    let [end, between @ ..] = chain else {
        return Err(failed("no certificate was presented".to_owned()));
    };
    let problem = certificate::problem(certificate::authorities(), provider, end, between, &name);
    let mut map = certificate::describe(end).map_err(failed)?;
    let protocol = connection
        .protocol_version()
        .and_then(|version| version.as_str().map(str::to_owned))
        .unwrap_or_default();
    map.insert(
        "protocol".into(),
        protocol.replace("TLSv1_", "TLS 1.").into(),
    );
    map.insert("chain".into(), Dynamic::from(chain.len() as i64));
    map.insert("trusted".into(), problem.is_none().into());
    map.insert("problem".into(), problem.map_or(Dynamic::UNIT, Into::into));
    Ok(map)
}

/// Takes every certificate: it is looked at here, not relied on. That the server holds its key is
/// still checked.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
