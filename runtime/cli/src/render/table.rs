//! Lists as tables.

use comfy_table::{ContentArrangement, Table, presets};

/// A table with these headers, fitted to the terminal.
#[must_use]
pub fn table<H: AsRef<str>>(headers: &[H], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(arrangement())
        .set_header(headers.iter().map(|header| {
            console::style(header.as_ref().to_uppercase())
                .bold()
                .to_string()
        }));
    for row in rows {
        table.add_row(row);
    }
    let text = table.to_string();
    text.lines()
        .map(str::trim_end)
        .collect::<Vec<_>>()
        .join("\n")
}

/// As wide as the terminal, where that says how wide it is: a pipe, a serial console, or a terminal that a
/// program holds, has no columns at all, and gets lines as long as they are.
fn arrangement() -> ContentArrangement {
    match console::Term::stdout().size_checked() {
        Some((_, columns)) if columns > 0 => ContentArrangement::Dynamic,
        _ => ContentArrangement::Disabled,
    }
}
