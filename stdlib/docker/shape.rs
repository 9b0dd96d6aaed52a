//! Docker's structures as script values: keys in `snake_case`, times, sizes and durations as such.

use ccrun_kernel::rhai::{Dynamic, Map};
use ccrun_kernel::secret::{Redactor, Secret};
use ccrun_kernel::value::{Duration, Size, Timestamp, from_json};
use ccrun_kernel::{Error, Result};
use serde::Serialize;
use serde_json::Value;

/// Maps whose keys are somebody's names, not Docker's.
const NAMED: [&str; 19] = [
    "Labels",
    "Networks",
    "Ports",
    "PortBindings",
    "Options",
    "DriverOpts",
    "Sysctls",
    "Tmpfs",
    "StorageOpt",
    "Annotations",
    "Volumes",
    "Containers",
    "Attributes",
    "Runtimes",
    "Services",
    "IndexConfigs",
    "ExposedPorts",
    "EndpointsConfig",
    "AuxiliaryAddresses",
];

const SIZES: [&str; 9] = [
    "Size",
    "SizeRw",
    "SizeRootFs",
    "VirtualSize",
    "SharedSize",
    "Memory",
    "MemTotal",
    "ShmSize",
    "MemoryReservation",
];

/// Of a health check, in nanoseconds.
const DURATIONS: [&str; 4] = ["Interval", "Timeout", "StartPeriod", "StartInterval"];

/// One of Docker's structures. Variables of an environment become a map, in which those that look like
/// secrets are.
///
/// # Errors
/// If it has no form in JSON, which none of them lacks.
pub fn of(redactor: &Redactor, structure: &impl Serialize) -> Result<Dynamic> {
    let json = serde_json::to_value(structure).map_err(|error| {
        Error::new(
            "docker.answer",
            format!("the engine's answer can't be read: {error}"),
        )
    })?;
    Ok(convert(redactor, "", &json))
}

/// The same as a map.
///
/// # Errors
/// As [`of`].
pub fn map(redactor: &Redactor, structure: &impl Serialize) -> Result<Map> {
    Ok(of(redactor, structure)?.try_cast().unwrap_or_default())
}

fn convert(redactor: &Redactor, key: &str, value: &Value) -> Dynamic {
    match value {
        Value::Object(entries) => {
            let named = NAMED.contains(&key);
            entries
                .iter()
                .map(|(name, value)| match named {
                    true => (name.into(), convert(redactor, "", value)),
                    false => (snake(name).into(), convert(redactor, name, value)),
                })
                .collect::<Map>()
                .into()
        }
        Value::Array(items) if key == "Env" => {
            environment(redactor, items.iter().filter_map(Value::as_str)).into()
        }
        Value::Array(items) => Dynamic::from_array(
            items
                .iter()
                .map(|item| convert(redactor, "", item))
                .collect(),
        ),
        Value::String(text) => time(text).unwrap_or_else(|| text.clone().into()),
        Value::Number(number) => match number.as_u64() {
            Some(bytes) if SIZES.contains(&key) => Dynamic::from(Size::from_bytes(bytes)),
            Some(nanos) if DURATIONS.contains(&key) => {
                Duration::from_nanos(nanos.into()).map_or_else(|_| from_json(value), Dynamic::from)
            }
            _ => from_json(value),
        },
        other => from_json(other),
    }
}

/// `2026-11-23T12:00:00.123456789Z`; the year 1 is how Go says that there is no time.
fn time(text: &str) -> Option<Dynamic> {
    let bytes = text.as_bytes();
    if bytes.len() < 20 || bytes[4] != b'-' || bytes[10] != b'T' {
        return None;
    }
    if text.starts_with("0001-01-01T") {
        return Some(Dynamic::UNIT);
    }
    let at = text.parse::<jiff::Timestamp>().ok()?;
    Some(Dynamic::from(Timestamp::from(at)))
}

/// A time in seconds since 1970.
pub fn since_1970(seconds: i64) -> Dynamic {
    Timestamp::from_unix(seconds).map_or(Dynamic::UNIT, Dynamic::from)
}

/// `NAME=value` as a map. What looks like a secret is one from here on.
pub fn environment<'t>(redactor: &Redactor, variables: impl Iterator<Item = &'t str>) -> Map {
    variables
        .map(|variable| {
            let (name, value) = variable.split_once('=').unwrap_or((variable, ""));
            let value = match !value.is_empty() && crate::naming::is_secret(name, value) {
                true => {
                    let secret = Secret::new(name, value);
                    redactor.add(&secret);
                    Dynamic::from(secret)
                }
                false => value.to_owned().into(),
            };
            (name.into(), value)
        })
        .collect()
}

/// `IPAddress` → `ip_address`, `OomKilled` → `oom_killed`.
fn snake(name: &str) -> String {
    if !name.starts_with(|first: char| first.is_ascii_uppercase())
        || !name.chars().all(|c| c.is_ascii_alphanumeric())
    {
        return name.to_owned();
    }
    // Words in which a small letter follows an abbreviation without beginning a new word.
    let name = name
        .replace("IPv", "Ipv")
        .replace("CPUs", "Cpus")
        .replace("IDs", "Ids");
    let letters: Vec<char> = name.chars().collect();
    let mut text = String::with_capacity(name.len() + 4);
    for (index, &letter) in letters.iter().enumerate() {
        if letter.is_ascii_uppercase() && index > 0 {
            let after_small = !letters[index - 1].is_ascii_uppercase();
            let before_small = letters
                .get(index + 1)
                .is_some_and(|next| next.is_ascii_lowercase());
            if after_small || before_small {
                text.push('_');
            }
        }
        text.push(letter.to_ascii_lowercase());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_in_snake_case() {
        for (name, expected) in [
            ("Id", "id"),
            ("ID", "id"),
            ("IPAddress", "ip_address"),
            ("GlobalIPv6Address", "global_ipv6_address"),
            ("OOMKilled", "oom_killed"),
            ("NanoCpus", "nano_cpus"),
            ("NCPU", "ncpu"),
            ("StartedAt", "started_at"),
            ("max-size", "max-size"),
            ("rx_bytes", "rx_bytes"),
        ] {
            assert_eq!(snake(name), expected);
        }
    }

    #[test]
    fn values_have_their_types_and_names_stay() {
        let redactor = Redactor::default();
        let value = map(
            &redactor,
            &serde_json::json!({
                "Labels": { "MyLabel": "x", "com.example.A": "2026" },
                "Created": "2026-11-23T12:00:00.123456789Z",
                "State": { "FinishedAt": "0001-01-01T00:00:00Z" },
                "HostConfig": { "Memory": 1_048_576, "MemorySwap": -1 },
                "Config": { "Env": ["A=b=c", "DB_PASSWORD=hunter2-hunter2"], "Healthcheck": { "Interval": 5_000_000_000_u64 } },
            }),
        )
        .unwrap();
        let inner = |key: &str| value[key].clone().cast::<Map>();
        assert_eq!(inner("labels")["MyLabel"].to_string(), "x");
        assert!(value["created"].is::<Timestamp>());
        assert!(inner("state")["finished_at"].is_unit());
        assert!(inner("host_config")["memory"].is::<Size>());
        assert_eq!(inner("host_config")["memory_swap"].as_int(), Ok(-1));
        let config = inner("config");
        let env = config["env"].clone().cast::<Map>();
        assert_eq!(env["A"].to_string(), "b=c");
        assert!(env["DB_PASSWORD"].is::<Secret>());
        assert!(!redactor.redact("it is hunter2-hunter2").contains("hunter2"));
        let check = config["healthcheck"].clone().cast::<Map>();
        assert!(check["interval"].is::<Duration>());
    }
}
