//! `--output json`: one event a line, on standard output.

use std::io::Write;

use ccrun_kernel::event::{Record, Sink};

/// Writes each event as a line of JSON.
pub struct JsonLines;

impl Sink for JsonLines {
    fn record(&self, record: &Record) {
        let mut out = std::io::stdout().lock();
        if let Ok(line) = serde_json::to_string(record) {
            drop(writeln!(out, "{line}").and_then(|()| out.flush()));
        }
    }
}

/// Print one JSON document.
pub fn document(value: &serde_json::Value) {
    super::result(&serde_json::to_string_pretty(value).unwrap_or_default());
}
