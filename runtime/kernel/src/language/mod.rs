//! The words of the language itself: steps, parallel work, checks, questions.

mod ask;
mod check;
mod control;
mod defer;
mod last_good;
mod parallel;
mod step;
#[cfg(test)]
mod tests;

use ccrun_macros::primitives;

use crate::registry::Namespace;
use crate::secret::Secret;

/// The namespace without a name.
#[must_use]
pub fn namespace() -> Namespace {
    Namespace::new(
        "",
        "The words of the language: steps, parallel work, checks, questions.",
    )
    .object::<Secret>()
    .primitives(primitives![
        control::runbook,
        control::assert,
        control::sleep,
        control::target,
        step::step,
        defer::defer,
        last_good::last_good,
        parallel::parallel,
        parallel::each,
        check::check,
        ask::ask,
        ask::choose,
        ask::confirm,
        ask::note,
    ])
}
