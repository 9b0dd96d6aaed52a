//! `last_good`: what a step returned when all was well.

use std::path::Path;

use ccrun_macros::primitive;
use rhai::{Dynamic, Map};

use crate::cx::Cx;
use crate::error::Result;
use crate::value::{self, Timestamp};

/// What a step returned in the last run of this runbook on this target that ended well, as a map with `run`, `at` and
/// `value`; `()` if there is none, or if this run has no journal.
///
/// For comparing: what is different from when all was well?
///
/// # Errors
/// What the journal's disk says.
///
/// # Example
/// ```rhai
/// let before = last_good("Look");
/// if before != () { print(`as of ${before.at}: ${before.value}`); }
/// ```
#[primitive(pure)]
pub(super) fn last_good(cx: &Cx, step: String) -> Result<Dynamic> {
    let run = cx.run();
    let Some(journal) = run.journal() else {
        return Ok(Dynamic::UNIT);
    };
    let found = journal.last_good(run.target().name(), &step, |runbook| {
        is_same(Path::new(runbook), Path::new(run.name()))
    })?;
    let Some((earlier, result)) = found else {
        return Ok(Dynamic::UNIT);
    };
    let at = earlier.finished.unwrap_or(earlier.started);
    Ok(Dynamic::from_map(Map::from_iter([
        ("run".into(), earlier.id.into()),
        ("at".into(), Dynamic::from(Timestamp::from(at))),
        ("value".into(), value::unkeep(&result)?),
    ])))
}

/// Whether two paths mean the same runbook: one may have been typed from elsewhere.
fn is_same(a: &Path, b: &Path) -> bool {
    let plain = |path: &Path| -> std::path::PathBuf {
        path.components()
            .filter(|part| !matches!(part, std::path::Component::CurDir))
            .collect()
    };
    let (a, b) = (plain(a), plain(b));
    a.ends_with(&b) || b.ends_with(&a)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_runbook_is_the_same_from_wherever_it_was_typed() {
        let same = |a: &str, b: &str| is_same(Path::new(a), Path::new(b));
        assert!(same("/srv/runbooks/look.rhai", "runbooks/look.rhai"));
        assert!(same("./runbooks/look.rhai", "/srv/runbooks/look.rhai"));
        assert!(!same("/srv/runbooks/look.rhai", "runbooks/relook.rhai"));
        assert!(!same("/srv/a/look.rhai", "/srv/b/look.rhai"));
    }
}
