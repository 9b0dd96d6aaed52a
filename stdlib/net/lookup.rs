//! The DNS.

use std::net::IpAddr;

use ccrun_kernel::value::{Duration, closest};
use ccrun_kernel::{Cx, Error, Options, Result, primitive};
use hickory_resolver::proto::rr::RecordType;

use super::client::Network;

/// How a name is looked up.
#[derive(Clone, Options)]
pub struct LookupOptions {
    /// The sort of records: `A`, `AAAA`, `CNAME`, `MX`, `TXT`, `NS`, `SRV`, `CAA`, `SOA`, `PTR`. Without
    /// it, the addresses, of both kinds.
    r#type: Option<String>,
    /// The server to ask, by its address: `"9.9.9.9"`. Without it, those of the system, after
    /// `/etc/hosts`.
    server: Option<String>,
    /// How long to wait for a server.
    #[option(default = "5s")]
    timeout: Duration,
}

const TYPES: [(&str, RecordType); 10] = [
    ("A", RecordType::A),
    ("AAAA", RecordType::AAAA),
    ("CNAME", RecordType::CNAME),
    ("MX", RecordType::MX),
    ("TXT", RecordType::TXT),
    ("NS", RecordType::NS),
    ("SRV", RecordType::SRV),
    ("CAA", RecordType::CAA),
    ("SOA", RecordType::SOA),
    ("PTR", RecordType::PTR),
];

/// What the DNS says of a name: the addresses, or the records of one sort, as text. None is an empty
/// array.
///
/// # Errors
/// `net.dns` if no server answers, or the answer is a failure; `net.not_found` if there is no such name.
///
/// # Example
/// ```rhai
/// assert("127.0.0.1" in net::lookup("localhost") || "::1" in net::lookup("localhost"));
/// ```
/// ```rhai,no_run
/// print(net::lookup("example.org", #{ type: "MX", server: "9.9.9.9" }));
/// ```
#[primitive(read, volatile, needs = net(name))]
async fn lookup(cx: &Cx, name: String, options: LookupOptions) -> Result<Vec<String>> {
    let network = cx.client::<Network>().await?;
    let server = options.server.as_deref().map(address).transpose()?;
    let resolver = network.resolver(server, options.timeout.to_std())?;
    let found = match options.r#type.as_deref() {
        None => resolver
            .lookup_ip(name.as_str())
            .await
            .map(|found| found.iter().map(|ip| ip.to_string()).collect::<Vec<_>>()),
        Some(text) => {
            let record_type = record_type(text)?;
            resolver
                .lookup(name.as_str(), record_type)
                .await
                .map(|found| {
                    found
                        .answers()
                        .iter()
                        .filter(|record| record.record_type() == record_type)
                        .map(|record| record.data.to_string())
                        .collect()
                })
        }
    };
    match found {
        Ok(mut records) => {
            records.sort();
            records.dedup();
            Ok(records)
        }
        Err(error) if error.is_nx_domain() => Err(Error::new(
            "net.not_found",
            format!("there is no name {name} in the DNS"),
        )
        .hint("is it spelled right? a new name takes as long as the old answer is kept (TTL)")),
        Err(error) if error.is_no_records_found() => Ok(Vec::new()),
        Err(error) => Err(
            Error::new("net.dns", format!("{name} could not be looked up: {error}"))
                .hint("do the servers in /etc/resolv.conf answer? `server:` asks another one")
                .retryable(),
        ),
    }
}

fn address(text: &str) -> Result<IpAddr> {
    text.parse().map_err(|_| {
        Error::new(
            "net.address",
            format!("`server`: `{text}` is no IP address"),
        )
        .hint("a name server is given by its address: \"9.9.9.9\"")
    })
}

fn record_type(text: &str) -> Result<RecordType> {
    let wanted = text.to_ascii_uppercase();
    let found = TYPES.iter().find(|(name, _)| *name == wanted);
    found.map(|(_, record_type)| *record_type).ok_or_else(|| {
        let names: Vec<&str> = TYPES.iter().map(|(name, _)| *name).collect();
        let hint = match closest(&wanted, names.iter().copied()) {
            Some(nearest) => format!("did you mean `{nearest}`?"),
            None => format!("one of {}", names.join(", ")),
        };
        Error::new("net.record_type", format!("there are no `{text}` records")).hint(hint)
    })
}
