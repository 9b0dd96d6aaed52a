//! Which backups stay. Nothing here touches a store.

use ccrun_kernel::Result;
use ccrun_kernel::rhai::{Dynamic, Map};
use ccrun_kernel::value::{Duration, Size, Timestamp};

/// What is to be kept.
#[derive(Debug, Clone, Default)]
pub struct Keep {
    pub last: usize,
    pub hourly: usize,
    pub daily: usize,
    pub weekly: usize,
    pub monthly: usize,
    pub yearly: usize,
    pub within: Option<Duration>,
    pub timezone: String,
}

/// A backup that is there.
#[derive(Debug, Clone)]
pub struct Candidate {
    pub id: String,
    pub database: String,
    pub started: Timestamp,
    pub size: u64,
    pub verified: bool,
    /// Until when the store lets nobody delete it.
    pub locked_until: Option<Timestamp>,
}

/// What becomes of it, and why.
#[derive(Debug, Clone)]
pub struct Decision {
    pub id: String,
    pub started: Timestamp,
    pub size: u64,
    pub keep: bool,
    pub why: String,
}

impl Keep {
    /// Whether it keeps nothing.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        self.last + self.hourly + self.daily + self.weekly + self.monthly + self.yearly == 0
            && self.within.is_none()
    }
}

impl Decision {
    /// As scripts see it.
    pub fn to_script(&self) -> Dynamic {
        Dynamic::from(Map::from_iter([
            ("id".into(), self.id.clone().into()),
            ("started".into(), Dynamic::from(self.started.clone())),
            ("size".into(), Dynamic::from(Size::from_bytes(self.size))),
            ("keep".into(), self.keep.into()),
            ("why".into(), self.why.clone().into()),
        ]))
    }
}

/// Decide for each; they come newest first. Each database is looked at for itself.
///
/// # Errors
/// `time.unknown_zone` and the like for a zone that there is not.
pub fn decide(candidates: &[Candidate], keep: &Keep, now: &Timestamp) -> Result<Vec<Decision>> {
    let all: Vec<&Candidate> = candidates.iter().collect();
    // What is locked would be hidden, not deleted, and its room not be free.
    let locked = |each: &&Candidate| match &each.locked_until {
        Some(until) if until.instant() > now.instant() => vec![format!("locked until {until}")],
        _ => Vec::new(),
    };
    let mut reasons: Vec<Vec<String>> = all.iter().map(locked).collect();
    let mut databases: Vec<&str> = all.iter().map(|each| each.database.as_str()).collect();
    databases.sort_unstable();
    databases.dedup();
    for database in databases {
        let mine: Vec<usize> = (0..all.len())
            .filter(|index| all[*index].database == database)
            .collect();
        for (nth, index) in mine.iter().enumerate() {
            if nth < keep.last {
                reasons[*index].push(if nth == 0 {
                    "the newest".to_owned()
                } else {
                    format!("one of the last {}", keep.last)
                });
            }
            if let Some(within) = keep.within
                && now.since(&all[*index].started) <= within
            {
                reasons[*index].push(format!("younger than {within}"));
            }
        }
        let periods: [(usize, &str, &str); 5] = [
            (keep.hourly, "%Y-%m-%d %H:00", "hour"),
            (keep.daily, "%Y-%m-%d", "day"),
            (keep.weekly, "%G-W%V", "week"),
            (keep.monthly, "%Y-%m", "month"),
            (keep.yearly, "%Y", "year"),
        ];
        for (count, format, word) in periods {
            let mut seen: Vec<String> = Vec::new();
            for index in &mine {
                if seen.len() == count {
                    break;
                }
                let period = all[*index]
                    .started
                    .in_zone(&keep.timezone)?
                    .format(format)?;
                if !seen.contains(&period) {
                    reasons[*index].push(format!("the newest of the {word} {period}"));
                    seen.push(period);
                }
            }
        }
        // A backup counts when it has been read back or restored. As long as the newest was not, nothing goes: who knows
        // whether those that are made now are any good. And the newest that counts always stays.
        let newest_verified = mine.iter().find(|index| all[**index].verified);
        let unproven = mine.first().is_some_and(|newest| !all[*newest].verified);
        for index in &mine {
            if !reasons[*index].is_empty() {
                continue;
            }
            if newest_verified == Some(index) {
                reasons[*index].push("the newest that was verified".to_owned());
            } else if unproven {
                reasons[*index].push("the newest was not verified yet".to_owned());
            }
        }
    }
    Ok(all
        .iter()
        .zip(reasons)
        .map(|(each, reasons)| Decision {
            id: each.id.clone(),
            started: each.started.clone(),
            size: each.size,
            keep: !reasons.is_empty(),
            why: if reasons.is_empty() {
                "no rule keeps it".to_owned()
            } else {
                reasons.join("; ")
            },
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(hours_ago: i64) -> Timestamp {
        Timestamp::from_unix(1_800_000_000 - hours_ago * 3600).unwrap()
    }

    fn backup(hours_ago: i64, verified: bool) -> Candidate {
        Candidate {
            id: format!("{hours_ago:06}"),
            database: "app".into(),
            started: at(hours_ago),
            size: 1,
            verified,
            locked_until: None,
        }
    }

    fn kept(candidates: &[Candidate], keep: &Keep) -> Vec<String> {
        let decided = decide(candidates, keep, &at(0)).unwrap();
        let kept = decided.into_iter().filter(|each| each.keep);
        kept.map(|each| each.id).collect()
    }

    fn rules() -> Keep {
        Keep {
            timezone: "UTC".into(),
            ..Keep::default()
        }
    }

    #[test]
    fn what_is_locked_stays_until_it_is_not() {
        let mut all: Vec<Candidate> = (0..4).map(|hour| backup(hour, true)).collect();
        all[2].locked_until = Some(at(-1));
        all[3].locked_until = Some(at(0));
        let decided = decide(&all, &Keep { last: 1, ..rules() }, &at(0)).unwrap();
        let kept: Vec<bool> = decided.iter().map(|each| each.keep).collect();
        assert_eq!(kept, [true, false, true, false]);
        assert!(
            decided[2].why.starts_with("locked until "),
            "{}",
            decided[2].why
        );
    }

    #[test]
    fn each_rule_keeps_the_newest_of_its_periods() {
        let all: Vec<Candidate> = (0..24 * 40).map(|hour| backup(hour, true)).collect();
        let keep = |keep: Keep| kept(&all, &keep).len();
        assert_eq!(keep(Keep { last: 5, ..rules() }), 5);
        assert_eq!(
            keep(Keep {
                hourly: 5,
                ..rules()
            }),
            5
        );
        assert_eq!(
            keep(Keep {
                daily: 7,
                ..rules()
            }),
            7
        );
        assert_eq!(
            keep(Keep {
                weekly: 4,
                ..rules()
            }),
            4
        );
        assert_eq!(
            keep(Keep {
                monthly: 6,
                ..rules()
            }),
            2
        );
        let within = "10h".parse::<Duration>().unwrap();
        assert_eq!(
            keep(Keep {
                within: Some(within),
                ..rules()
            }),
            11
        );
    }

    #[test]
    fn the_newest_verified_one_stays_and_nothing_goes_while_none_is() {
        let one = Keep { last: 1, ..rules() };
        let all = [
            backup(1, false),
            backup(2, false),
            backup(3, true),
            backup(4, true),
        ];
        assert_eq!(kept(&all, &one).len(), 4);
        let hourly = Keep {
            hourly: 1,
            ..rules()
        };
        let older = [backup(1, true), backup(2, false), backup(3, true)];
        assert_eq!(kept(&older, &hourly), ["000001"]);
        let none = [backup(1, false), backup(2, false), backup(3, false)];
        assert_eq!(kept(&none, &one).len(), 3);
        let newest = [backup(1, true), backup(2, true), backup(3, false)];
        assert_eq!(kept(&newest, &one), ["000001"]);
    }

    proptest! {
        #[test]
        fn whatever_the_rules_a_verified_one_is_never_lost(
            backups in prop::collection::vec((0..5000_i64, any::<bool>(), 0..3_u8), 0..40),
            last in 0..4_usize, daily in 0..4_usize, weekly in 0..4_usize, yearly in 0..3_usize,
        ) {
            let mut all: Vec<Candidate> = backups
                .iter()
                .enumerate()
                .map(|(nth, (hours, verified, database))| Candidate {
                    id: format!("{hours}-{nth}"),
                    database: database.to_string(),
                    ..backup(*hours, *verified)
                })
                .collect();
            all.sort_by_key(|each| std::cmp::Reverse(each.started.instant()));
            let keep = Keep { last, daily, weekly, yearly, ..rules() };
            let decided = decide(&all, &keep, &at(0)).unwrap();
            prop_assert_eq!(decided.len(), all.len());
            for database in ["0", "1", "2"] {
                let mine: Vec<&Candidate> = all.iter().filter(|each| each.database == database).collect();
                let stays = |each: &&&Candidate| decided.iter().any(|other| other.id == each.id && other.keep);
                let left: Vec<&&Candidate> = mine.iter().filter(stays).collect();
                // What is kept has a verified one if there was one, and is everything if the newest is none.
                prop_assert_eq!(left.iter().any(|each| each.verified), mine.iter().any(|each| each.verified));
                if mine.first().is_some_and(|newest| !newest.verified) {
                    prop_assert_eq!(left.len(), mine.len());
                }
                prop_assert!(left.len() >= last.min(mine.len()));
            }
        }
    }
}
