//! A plan for people: each change with its cause, its difference and how it is taken back.

use ccrun_kernel::event::PlannedChange;
use console::style;

/// The lines of one change.
#[must_use]
pub fn change(change: &PlannedChange) -> String {
    let mut text = if change.preview.unchanged {
        style(format!("  = {} {}", change.primitive, change.args))
            .dim()
            .to_string()
    } else {
        format!(
            "{} {} {}",
            style(format!("{:>3}.", change.number)).yellow(),
            style(&change.primitive).bold(),
            change.args
        )
    };
    let mut line = |label: &str, value: &str| {
        text.push_str(&format!("\n       {} {value}", style(label).dim()));
    };
    let place = change.location.as_ref().map(ToString::to_string);
    match (&change.step, place) {
        (Some(step), Some(place)) => line("in step", &format!("{step} ({place})")),
        (Some(step), None) => line("in step", step),
        (None, Some(place)) => line("at", &place),
        (None, None) => {}
    }
    if !change.preview.summary.is_empty() {
        line("", &change.preview.summary);
    }
    if !change.depends_on.is_empty() {
        let numbers: Vec<String> = change.depends_on.iter().map(u32::to_string).collect();
        line("depends on change", &numbers.join(", "));
    }
    if !change.preview.unchanged {
        line("undo:", change.undo.as_deref().unwrap_or("none"));
    }
    if let Some(diff) = &change.preview.diff {
        for row in diff.lines() {
            let row = match row.chars().next() {
                Some('+') => style(row).green().to_string(),
                Some('-') => style(row).red().to_string(),
                _ => row.to_owned(),
            };
            text.push_str(&format!("\n       {row}"));
        }
    }
    text
}

/// What stands before the first change that cannot be taken back.
pub const POINT_OF_NO_RETURN: &str = "── point of no return ──";
