//! The server's report on itself.

use ccrun_kernel::rhai::{Dynamic, Map};

/// `INFO` as a map of its sections, in lower case. <https://redis.io/docs/latest/commands/info/>
#[must_use]
pub fn sections(text: &str) -> Map {
    let mut sections = Map::new();
    let mut name = String::from("server");
    let mut section = Map::new();
    for line in text.lines().map(str::trim_end) {
        if let Some(title) = line.strip_prefix("# ") {
            if !section.is_empty() {
                sections.insert(name.as_str().into(), std::mem::take(&mut section).into());
            }
            name = title.to_ascii_lowercase().replace(' ', "_");
        } else if let Some((key, value)) = line.split_once(':') {
            section.insert(key.into(), typed(key, value));
        }
    }
    if !section.is_empty() {
        sections.insert(name.as_str().into(), section.into());
    }
    sections
}

/// Numbers are numbers, `99.5%` is 99.5, and `keys=1,expires=0` is a map.
fn typed(key: &str, text: &str) -> Dynamic {
    const TEXT: [&str; 5] = ["_version", "_id", "_sha1", "_name", "_replid"];
    if TEXT.iter().any(|end| key.ends_with(end)) {
        return text.to_owned().into();
    }
    if let Ok(number) = text.parse::<i64>() {
        return number.into();
    }
    if let Some(number) = float(text.strip_suffix('%').unwrap_or(text)) {
        return number.into();
    }
    let pairs: Option<Map> = text
        .split(',')
        .map(|pair| {
            let (key, value) = pair.split_once('=')?;
            let plain = key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
            plain.then(|| (key.into(), typed(key, value)))
        })
        .collect();
    pairs.map_or_else(|| text.to_owned().into(), Into::into)
}

/// `12.5`; not `1e9`, which a hash may look like.
fn float(text: &str) -> Option<f64> {
    let plain = text
        .chars()
        .all(|c| c.is_ascii_digit() || c == '.' || c == '-');
    (plain && text.contains('.'))
        .then(|| text.parse().ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ccrun_kernel::value::to_json;
    use serde_json::json;

    #[test]
    fn the_report_is_typed() {
        let text = "# Server\r\nredis_version:7.0.15\r\nrun_id:1234\r\n\r\n# Memory\r\nused_memory:1024\r\nused_memory_peak_perc:99.30%\r\nmem_fragmentation_ratio:1.25\r\nused_memory_human:1.00K\r\nmaxmemory_policy:allkeys-lru\r\n# Keyspace\r\ndb0:keys=3,expires=1,avg_ttl=0\r\n";
        assert_eq!(
            to_json(&sections(text).into()),
            json!({
                "server": { "redis_version": "7.0.15", "run_id": "1234" },
                "memory": {
                    "used_memory": 1024,
                    "used_memory_peak_perc": 99.3,
                    "mem_fragmentation_ratio": 1.25,
                    "used_memory_human": "1.00K",
                    "maxmemory_policy": "allkeys-lru",
                },
                "keyspace": { "db0": { "keys": 3, "expires": 1, "avg_ttl": 0 } },
            })
        );
    }
}
