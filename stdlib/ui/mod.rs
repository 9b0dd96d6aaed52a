//! What the operator sees: tables, headings, diffs, progress.
//!
//! Everything here goes to standard output like `print`, except progress, which is shown while it lasts.

mod progress;
#[cfg(test)]
mod tests;

use ccrun_kernel::rhai::{Dynamic, Map};
use ccrun_kernel::value::to_json;
use ccrun_kernel::{Cx, Namespace, Result, primitive, primitives};

use crate::render::{self, DiffOptions, TableOptions};
use progress::ProgressBar;

/// Registers the namespace.
#[must_use]
pub fn namespace() -> Namespace {
    Namespace::new(
        "ui",
        "What the operator sees: tables, headings, diffs, progress.",
    )
    .object::<ProgressBar>()
    .primitives(primitives![
        table,
        heading,
        json,
        diff,
        progress::progress,
        ProgressBar::advance,
        ProgressBar::set,
        ProgressBar::message,
        ProgressBar::done
    ])
}

/// Print rows (maps) as a table. See `text::table`.
///
/// # Errors
/// `text.table` for a column that no row has, or more than 10,000 rows.
///
/// # Example
/// ```rhai
/// ui::table([#{ name: "web", state: "running" }], #{ columns: ["name", "state"] });
/// ```
#[primitive(pure)]
fn table(cx: &Cx, rows: Vec<Map>, options: TableOptions) -> Result<()> {
    let text = render::table(&rows, &options)?;
    cx.output(if rows.is_empty() {
        "(no rows)".to_owned()
    } else {
        text
    });
    Ok(())
}

/// Print a heading, with an empty line before it.
///
/// # Errors
/// None.
///
/// # Example
/// ```rhai
/// ui::heading("Containers");
/// ```
#[primitive(pure)]
fn heading(cx: &Cx, text: String) {
    let width = text
        .lines()
        .map(|line| line.chars().count())
        .max()
        .unwrap_or(0);
    cx.output(format!("\n{text}\n{}", "─".repeat(width.min(100))));
}

/// Print a value as JSON. A secret in it is shown as `‹secret NAME›`.
///
/// # Errors
/// None.
///
/// # Example
/// ```rhai
/// ui::json(#{ version: 3, tags: ["a", "b"] });
/// ```
#[primitive(pure)]
fn json(cx: &Cx, value: Dynamic) {
    cx.output(format!("{:#}", to_json(&value)));
}

/// Print what differs between two texts, as a unified diff; nothing if they are the same.
///
/// # Errors
/// `text.too_large` above 8 MiB.
///
/// # Example
/// ```rhai
/// ui::diff("port: 80\n", "port: 443\n", #{ from: "before", to: "after" });
/// ```
#[primitive(pure)]
fn diff(cx: &Cx, old: String, new: String, options: DiffOptions) -> Result<()> {
    let text = render::unified(&old, &new, &options)?;
    if !text.is_empty() {
        cx.output(text.trim_end_matches('\n'));
    }
    Ok(())
}
