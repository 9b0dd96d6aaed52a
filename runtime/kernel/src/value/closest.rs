//! "Did you mean": the name that was probably meant.

/// The candidate nearest to `name`, if one is near enough to be worth proposing.
///
/// Letter case, `-` against `_`, and a few wrong or swapped letters are forgiven; so is a name that
/// was cut short or is too long (`desc` for `description`, `integer` for `int`).
///
/// ```
/// use ccrun_kernel::value::closest;
/// assert_eq!(closest("databse", ["database", "keep"]), Some("database"));
/// assert_eq!(closest("zzz", ["database", "keep"]), None);
/// ```
#[must_use]
pub fn closest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted = normal(name);
    let length = wanted.chars().count();
    let allowed = (length / 3).max(1);
    let mut best: Option<((usize, usize), &'a str)> = None;
    for candidate in candidates {
        let other = normal(candidate);
        let letters = strsim::damerau_levenshtein(&wanted, &other);
        let distance = if other == wanted {
            0
        } else if one_begins_the_other(&wanted, &other) {
            1
        } else if letters >= length.max(other.chars().count()) {
            // Of two letters, one right one says nothing.
            continue;
        } else {
            letters
        };
        // Of several that begin it, the one that lacks the least.
        let rank = (distance, letters);
        if distance <= allowed && best.is_none_or(|(least, _)| rank < least) {
            best = Some((rank, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

/// `desc` for `description`, `integer` for `int`.
fn one_begins_the_other(a: &str, b: &str) -> bool {
    let (short, long) = if a.len() <= b.len() { (a, b) } else { (b, a) };
    short.chars().count() >= 3 && (long.starts_with(short) || long.ends_with(short))
}

fn normal(name: &str) -> String {
    name.trim().to_lowercase().replace('-', "_")
}

#[cfg(test)]
mod tests {
    use super::closest;

    const NAMES: [&str; 5] = ["timeout", "description", "needs", "older_than", "keep"];

    #[test]
    fn a_typo_finds_its_name() {
        for (typed, meant) in [
            ("timout", "timeout"),
            ("Timeout", "timeout"),
            ("older-than", "older_than"),
            ("desc", "description"),
            ("need", "needs"),
            ("timeouts", "timeout"),
            ("than", "older_than"),
            ("keeep", "keep"),
            ("kepe", "keep"),
        ] {
            assert_eq!(closest(typed, NAMES), Some(meant), "{typed}");
        }
    }

    #[test]
    fn of_several_that_begin_it_the_longest_is_meant() {
        let names = ["CARGO", "CARGO_MANIFEST", "CARGO_MANIFEST_DIR", "CAR"];
        assert_eq!(
            closest("CARGO_MANIFEST_DIRS", names),
            Some("CARGO_MANIFEST_DIR")
        );
    }

    #[test]
    fn something_else_finds_nothing() {
        for typed in ["", "x", "colour", "retry", "k"] {
            assert_eq!(closest(typed, NAMES), None, "{typed}");
        }
    }
}
