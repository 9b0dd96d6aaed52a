//! Colours, where they help: on a terminal, unless somebody said no.

use std::io::IsTerminal;

/// Decide once for the process. `NO_COLOR`, `TERM=dumb` and a pipe are respected by `console`.
pub fn decide(no_color: bool) {
    if no_color || std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty()) {
        console::set_colors_enabled(false);
        console::set_colors_enabled_stderr(false);
    }
}

/// Whether standard error is a terminal that somebody looks at.
#[must_use]
pub fn is_live() -> bool {
    std::io::stderr().is_terminal()
        && std::env::var_os("CI").is_none()
        && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}
