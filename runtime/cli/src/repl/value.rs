//! Values for people: arrays of maps as tables.

use ccrun_kernel::rhai::{Dynamic, Map};
use ccrun_kernel::run::Run;
use ccrun_kernel::value;

use crate::render::table;

/// The value in full.
#[must_use]
pub fn show(run: &Run, value: &Dynamic) -> String {
    if let Some(rows) = rows(value) {
        let mut headers: Vec<String> = Vec::new();
        for row in &rows {
            for key in row.keys() {
                if !headers.iter().any(|header| header == key.as_str()) {
                    headers.push(key.to_string());
                }
            }
        }
        let lines = rows.iter().map(|row| {
            headers
                .iter()
                .map(|key| {
                    row.get(key.as_str())
                        .map(|cell| brief(run, cell))
                        .unwrap_or_default()
                })
                .collect()
        });
        return table::table(&headers, lines);
    }
    if let Some(map) = value.read_lock::<Map>().filter(|map| !map.is_empty()) {
        let width = map.keys().map(|key| key.len()).max().unwrap_or(0);
        let lines: Vec<String> = map
            .iter()
            .map(|(key, value)| format!("{key:width$}  {}", brief(run, value)))
            .collect();
        return lines.join("\n");
    }
    run.registry()
        .describe(value)
        .unwrap_or_else(|| value::show(value))
}

/// The value in a line.
#[must_use]
pub fn brief(run: &Run, cell: &Dynamic) -> String {
    if cell.is_unit() {
        return String::new();
    }
    if let Some(described) = run.registry().describe(cell) {
        return described;
    }
    if cell.is_array() || cell.is_map() {
        return value::literal(cell, 200);
    }
    value::show(cell)
}

/// The maps of a list of records.
fn rows(value: &Dynamic) -> Option<Vec<Map>> {
    let items = value.as_array_ref().ok()?;
    if items.is_empty() {
        return None;
    }
    items
        .iter()
        .map(|item| item.read_lock::<Map>().map(|map| map.clone()))
        .collect()
}
