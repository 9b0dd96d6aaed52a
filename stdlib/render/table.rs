//! Tables of maps, without colour, the same whatever they are printed to.

use ccrun_kernel::rhai::{Dynamic, Map};
use ccrun_kernel::value::{literal, show};
use ccrun_kernel::{Error, Options, Result};
use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, ContentArrangement, LineStyle, Table};

/// More rows than anybody reads.
const MOST_ROWS: usize = 10_000;

/// How much of one cell is shown, in characters.
const CELL: usize = 2_000;

/// How much of an array or map in a cell is shown.
const NESTED: usize = 120;

/// How to show a table.
#[derive(Debug, Clone, Default, Options)]
pub struct TableOptions {
    /// The columns, in this order. Without them: every key of the rows, in alphabetical order.
    columns: Option<Vec<String>>,
}

/// The rows as a table with a header. Empty if there are no rows and no columns are named.
///
/// # Errors
/// `text.table` for too many rows, or a column that no row has.
pub fn table(rows: &[Map], options: &TableOptions) -> Result<String> {
    if rows.len() > MOST_ROWS {
        return Err(Error::new(
            "text.table",
            format!("{} rows are too many for a table", rows.len()),
        )
        .hint(format!("show at most {MOST_ROWS}: `rows.extract(0, 100)`")));
    }
    let columns = columns(rows, options)?;
    if columns.is_empty() {
        return Ok(String::new());
    }
    let mut table = Table::new();
    table
        .load_style(NOTHING.header_separator(LineStyle::none().fill('─').junction('─')))
        .force_no_tty()
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(columns.iter().map(|name| visible(name)));
    for row in rows {
        table.add_row(
            columns
                .iter()
                .map(|name| row.get(name.as_str()).map_or_else(String::new, cell)),
        );
    }
    let last = columns.len() - 1;
    for (index, name) in columns.iter().enumerate() {
        let Some(column) = table.column_mut(index) else {
            continue;
        };
        // The preset puts one space between columns already.
        column.set_padding((0, u16::from(index != last)));
        if rows
            .iter()
            .filter_map(|row| row.get(name.as_str()))
            .all(is_number)
        {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let text = table.to_string();
    Ok(text
        .lines()
        .map(str::trim_end)
        .collect::<Vec<_>>()
        .join("\n"))
}

fn columns(rows: &[Map], options: &TableOptions) -> Result<Vec<String>> {
    let mut known: Vec<&str> = rows
        .iter()
        .flat_map(Map::keys)
        .map(|key| key.as_str())
        .collect();
    known.sort_unstable();
    known.dedup();
    let Some(wanted) = &options.columns else {
        return Ok(known.into_iter().map(str::to_owned).collect());
    };
    let missing = wanted
        .iter()
        .find(|name| known.binary_search(&name.as_str()).is_err());
    match missing {
        Some(name) if !rows.is_empty() => {
            let error = Error::new("text.table", format!("no row has a column `{name}`"));
            Err(
                match ccrun_kernel::value::closest(name, known.iter().copied()) {
                    Some(nearest) => error.hint(format!("did you mean `{nearest}`?")),
                    None => error.hint(format!("there are {}", known.join(", "))),
                },
            )
        }
        _ => Ok(wanted.clone()),
    }
}

fn is_number(value: &Dynamic) -> bool {
    value.is_int() || value.is_float() || value.is_decimal() || value.is_unit()
}

fn cell(value: &Dynamic) -> String {
    if value.is_unit() {
        return String::new();
    }
    let text = if value.is_array() || value.is_map() {
        literal(value, NESTED)
    } else {
        show(value)
    };
    let cut = text.char_indices().nth(CELL).map(|(end, _)| end);
    match cut {
        Some(end) => format!("{}…", visible(&text[..end])),
        None => visible(&text),
    }
}

/// What would move the cursor or change the colour is shown as an escape: a table often holds what
/// others wrote.
fn visible(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => out.push('\n'),
            '\t' => out.push_str("    "),
            '\r' => {}
            c if c.is_control() => out.extend(c.escape_default()),
            c => out.push(c),
        }
    }
    out
}
