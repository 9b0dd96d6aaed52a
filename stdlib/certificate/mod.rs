//! What stands in a certificate, and whether this machine trusts it.

use std::sync::Arc;

use ccrun_kernel::rhai::{Array, Dynamic, Map};
use ccrun_kernel::value::{Duration, Timestamp};
use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use sha2::{Digest as _, Sha256};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// The certificate authorities that this machine trusts.
#[must_use]
pub fn authorities() -> RootCertStore {
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    store
}

/// Why this machine does not trust it, if it does not.
#[must_use]
pub fn problem(
    roots: RootCertStore,
    provider: Arc<CryptoProvider>,
    end: &CertificateDer<'_>,
    between: &[CertificateDer<'_>],
    name: &ServerName<'_>,
) -> Option<String> {
    if roots.is_empty() {
        return Some("this machine has no certificate authorities (`ca-certificates`)".to_owned());
    }
    let verifier =
        match WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build() {
            Ok(verifier) => verifier,
            Err(error) => return Some(error.to_string()),
        };
    verifier
        .verify_server_cert(end, between, name, &[], UnixTime::now())
        .err()
        .map(|error| error.to_string())
}

/// What stands in it: `subject`, `issuer`, `names`, `not_before`, `not_after`, `expires_in`, `serial`, `sha256`.
///
/// # Errors
/// What is wrong with its encoding.
pub fn describe(der: &CertificateDer<'_>) -> Result<Map, String> {
    let (_, certificate) = X509Certificate::from_der(der)
        .map_err(|error| format!("unreadable certificate: {error}"))?;
    let time = |seconds: i64| {
        jiff::Timestamp::from_second(seconds)
            .map(Timestamp::from)
            .map_err(|error| error.to_string())
    };
    let not_after = time(certificate.validity().not_after.timestamp())?;
    let left = certificate.validity().not_after.timestamp() - jiff::Timestamp::now().as_second();
    let names: Array = certificate
        .subject_alternative_name()
        .ok()
        .flatten()
        .map(|extension| &extension.value.general_names)
        .into_iter()
        .flatten()
        .filter_map(name_of)
        .map(Dynamic::from)
        .collect();
    Ok(Map::from_iter([
        ("subject".into(), certificate.subject().to_string().into()),
        ("issuer".into(), certificate.issuer().to_string().into()),
        ("names".into(), names.into()),
        (
            "not_before".into(),
            Dynamic::from(time(certificate.validity().not_before.timestamp())?),
        ),
        ("not_after".into(), Dynamic::from(not_after)),
        (
            "expires_in".into(),
            Dynamic::from(Duration::from_secs(left)),
        ),
        ("serial".into(), certificate.raw_serial_as_string().into()),
        ("sha256".into(), hex::encode(Sha256::digest(der)).into()),
    ]))
}

fn name_of(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => match bytes.len() {
            4 => <[u8; 4]>::try_from(*bytes)
                .ok()
                .map(|octets| std::net::Ipv4Addr::from(octets).to_string()),
            16 => <[u8; 16]>::try_from(*bytes)
                .ok()
                .map(|octets| std::net::Ipv6Addr::from(octets).to_string()),
            _ => None,
        },
        _ => None,
    }
}
