//! Texts: templates, diffs, tables, regular expressions, lines.
//!
//! Regular expressions are those of Rust's `regex`: no look-around and no back-references, and in turn
//! no pattern that takes forever. Write patterns between backticks, where `\` needs no second `\`.
//! Flags stand in the pattern: `(?i)` ignores case, `(?m)` lets `^` and `$` match at lines, `(?s)` lets
//! `.` match newlines, `(?x)` allows spaces and comments.

mod layout;
mod pattern;
mod search;
#[cfg(test)]
mod tests;

use ccrun_kernel::rhai::Map;
use ccrun_kernel::{Namespace, Result, primitive, primitives};

use crate::render::{self, DiffOptions, Secrets, TableOptions};

/// Registers the namespace.
#[must_use]
pub fn namespace() -> Namespace {
    Namespace::new(
        "text",
        "Texts: templates, diffs, tables, regular expressions, lines.",
    )
    .primitives(primitives![
        template,
        diff,
        table,
        search::matches,
        search::find,
        search::find_all,
        search::replace_all,
        search::split,
        search::escape,
        layout::lines,
        layout::dedent,
        layout::indent,
        layout::wrap,
        layout::pad,
        layout::slug
    ])
}

/// A template in the language of Jinja, filled in with values.
///
/// `{{ name }}`, `{% for item in items %} … {% endfor %}`, `{% if … %}`, filters such as
/// `{{ names | join(", ") }}`, and `urlencode`, `tojson`, `shellquote`,
/// `b64encode`. Nothing is escaped by itself,
/// lines that hold only a `{% … %}` vanish, and a value that is not there is an error.
///
/// # Errors
/// `template.undefined` naming the value and the line; `template.syntax`; `template.failed` for a
/// filter that does not fit; `template.secret` if a value is a secret (`secret::template` takes it);
/// `template.too_large` above 32 MiB.
///
/// # Example
/// ```rhai
/// let caddyfile = text::template("{% for site in sites %}\n{{ site.host }} → {{ site.port }}\n{% endfor %}\n", #{
///     sites: [#{ host: "app.example.org", port: 3000 }],
/// });
/// assert(caddyfile == "app.example.org → 3000\n");
/// ```
#[primitive(pure)]
fn template(text: String, values: Map) -> Result<String> {
    render::render(&text, &values, Secrets::Refuse)
}

/// What differs between two texts, as a unified diff. Empty if nothing does.
///
/// # Errors
/// `text.too_large` above 8 MiB.
///
/// # Example
/// ```rhai
/// let changes = text::diff("port: 80\n", "port: 443\n", #{ from: "before", to: "after" });
/// assert(changes == "--- before\n+++ after\n@@ -1 +1 @@\n-port: 80\n+port: 443\n");
/// assert(text::diff("same", "same") == "");
/// ```
#[primitive(pure)]
fn diff(old: String, new: String, options: DiffOptions) -> Result<String> {
    render::unified(&old, &new, &options)
}

/// Rows (maps) as a table with a header, without colour.
///
/// Numbers stand at the right. Without `columns`, every key of the rows is one, in alphabetical order.
///
/// # Errors
/// `text.table` for a column that no row has, or more than 10,000 rows.
///
/// # Example
/// ```rhai
/// let shown = text::table([#{ name: "web", cpu: 12 }, #{ name: "postgres", cpu: 7 }], #{ columns: ["name", "cpu"] });
/// assert(shown.split("\n").len() == 4);
/// assert(shown.starts_with("name"));
/// ```
#[primitive(pure)]
fn table(rows: Vec<Map>, options: TableOptions) -> Result<String> {
    render::table(&rows, &options)
}
