//! What came of the probes, and what that means.

use ccrun_kernel::rhai::{Dynamic, Map};
use serde::Deserialize;

use super::model::{Policy, Table};
use super::plan::{Expected, Identity, Operation, Probe};

/// What the server says of one try.
#[derive(Debug, Clone, Deserialize)]
pub struct Outcome {
    /// How many rows it met.
    pub rows: Option<i64>,
    /// The SQLSTATE, if it failed.
    pub code: Option<String>,
    /// What the server said.
    pub said: Option<String>,
    /// The constraint that refused it, or the column that takes no NULL: `schema.table.name`.
    #[serde(default)]
    pub refused_by: Option<String>,
    /// Whether the row is another one afterwards.
    pub changed: bool,
    /// Of what was asked with the rows there and gone: a word of theirs that came out.
    #[serde(default)]
    pub told: Option<String>,
    /// Whether the answer is another one without them; nothing where that can't be told.
    #[serde(default)]
    pub differs: Option<bool>,
}

/// What it means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judged {
    /// Nothing was seen, nothing was changed.
    Denied,
    /// It worked, as it should.
    Works,
    /// It worked, and may.
    Allowed,
    /// It worked, and must not.
    Leak,
    /// Nothing of the row came out, but the answer depends on whether it is there.
    Influence,
    /// The owner itself does not get at its row.
    ControlFailed,
    /// Something else was in the way.
    Untested,
}

impl Judged {
    fn word(self) -> &'static str {
        match self {
            Self::Denied => "denied",
            Self::Works => "works",
            Self::Allowed => "allowed",
            Self::Leak => "LEAK",
            Self::Influence => "depends on it",
            Self::ControlFailed => "control failed",
            Self::Untested => "untested",
        }
    }
}

/// A probe and what came of it.
#[derive(Debug, Clone)]
pub struct Verdict {
    table: String,
    probe: Probe,
    /// What it means.
    pub outcome: Judged,
    said: String,
}

/// What the probes of a table mean.
pub fn all(shown: &str, probes: &[Probe], outcomes: &[Outcome]) -> Vec<Verdict> {
    // A statement that even the owner can't do for another reason than policies proves nothing about others.
    let stopped = |of: &Probe| {
        probes.iter().zip(outcomes).any(|(probe, outcome)| {
            probe.operation == of.operation
                && probe.through == of.through
                && probe.identity == Identity::Own
                && is_constraint(outcome)
        })
    };
    probes
        .iter()
        .zip(outcomes)
        .map(|(probe, outcome)| Verdict {
            table: shown.to_owned(),
            outcome: judge(probe, outcome, stopped(probe)),
            said: match (&outcome.code, &outcome.said) {
                (Some(code), Some(said)) => format!("{code}: {said}"),
                _ if outcome.changed && probe.operation == Operation::Insert => "1 row".to_owned(),
                _ if outcome.changed => "it changed the row".to_owned(),
                _ if outcome.told.is_some() => format!("{} came out", outcome.told.as_deref().unwrap_or_default()),
                _ if outcome.differs == Some(true) => "another answer than without the row".to_owned(),
                _ if outcome.differs == Some(false) => "the same answer as without the row".to_owned(),
                _ if probe.observes => "it can't be told: it answers otherwise each time, or the row can't be taken away".to_owned(),
                _ if outcome.rows == Some(1) => "1 row".to_owned(),
                _ => format!("{} rows", outcome.rows.unwrap_or(0)),
            },
            probe: probe.clone(),
        })
        .collect()
}

/// Integrity constraints and bad data: policies were passed before they were looked at.
fn is_constraint(outcome: &Outcome) -> bool {
    outcome
        .code
        .as_deref()
        .is_some_and(|code| code.starts_with("23") || code.starts_with("22"))
}

/// Time, locks, memory, a broken server: nothing was found out.
fn is_in_the_way(outcome: &Outcome) -> bool {
    outcome.code.as_deref().is_some_and(|code| {
        ["57014", "55P03", "40P01"].contains(&code)
            || ["53", "54", "58", "XX"]
                .iter()
                .any(|class| code.starts_with(class))
    })
}

fn observed(probe: &Probe, outcome: &Outcome) -> Judged {
    let (told, differs) = (outcome.told.is_some(), outcome.differs == Some(true));
    let happened = outcome.changed || told || differs;
    if is_in_the_way(outcome) {
        return Judged::Untested;
    }
    match probe.expected {
        Expected::Works if happened => Judged::Works,
        Expected::Works => Judged::ControlFailed,
        Expected::Any if happened => Judged::Allowed,
        Expected::Any => Judged::Denied,
        // A count of a table's rows is a row that is seen.
        Expected::Denied
            if outcome.changed || told || (differs && probe.operation == Operation::Count) =>
        {
            Judged::Leak
        }
        Expected::Denied if differs => Judged::Influence,
        Expected::Denied if outcome.code.is_none() && outcome.differs.is_none() => Judged::Untested,
        Expected::Denied => Judged::Denied,
    }
}

fn judge(probe: &Probe, outcome: &Outcome, stopped: bool) -> Judged {
    if probe.observes {
        return observed(probe, outcome);
    }
    if is_in_the_way(outcome) && probe.expected != Expected::Any {
        return Judged::Untested;
    }
    if probe.operation == Operation::ForeignOracle {
        return match outcome.code.as_deref() {
            None if outcome.rows.unwrap_or(0) > 0 => Judged::Leak,
            Some(code) if code.starts_with('2') && code != "23503" => Judged::Untested,
            _ => Judged::Denied,
        };
    }
    if probe.operation == Operation::UniqueOracle {
        return match outcome.code.as_deref() {
            Some("23505") => Judged::Leak,
            Some(code) if code.starts_with('2') => Judged::Untested,
            _ => Judged::Denied,
        };
    }
    let reads = matches!(
        probe.operation,
        Operation::Select | Operation::Insert | Operation::Returning | Operation::Join
    );
    let happened = outcome.code.is_none()
        && if reads {
            outcome.rows.unwrap_or(0) > 0 && (probe.truth.is_none() || outcome.changed)
        } else {
            outcome.changed
        };
    // A trigger put somebody else where the owner was named: the row that was refused is not the owner's.
    let is_anothers = outcome
        .refused_by
        .as_ref()
        .is_some_and(|name| probe.kept_by_owner.contains(name));
    match probe.expected {
        Expected::Denied if happened => Judged::Leak,
        Expected::Denied if is_anothers => Judged::Denied,
        // The policies let it pass; only a constraint was in the way, which is not there for every value.
        Expected::Denied
            if is_constraint(outcome)
                && !stopped
                && !matches!(
                    probe.operation,
                    Operation::Delete | Operation::BlindDelete | Operation::BlindUpdate
                ) =>
        {
            Judged::Leak
        }
        Expected::Denied if is_constraint(outcome) => Judged::Untested,
        Expected::Denied => Judged::Denied,
        Expected::Works if happened => Judged::Works,
        Expected::Works if is_constraint(outcome) => Judged::Untested,
        Expected::Works => Judged::ControlFailed,
        Expected::Any if happened => Judged::Allowed,
        Expected::Any => Judged::Denied,
    }
}

impl Verdict {
    /// As scripts get it.
    pub fn to_map(&self) -> Map {
        let expected = match self.probe.expected {
            Expected::Denied => "denied",
            Expected::Works => "works",
            Expected::Any => "any",
        };
        let through = self
            .probe
            .through
            .clone()
            .map_or(Dynamic::UNIT, Dynamic::from);
        Map::from_iter([
            ("table".into(), self.table.clone().into()),
            ("operation".into(), self.probe.operation.word().into()),
            ("identity".into(), self.probe.identity.word().into()),
            ("expected".into(), expected.into()),
            ("outcome".into(), self.outcome.word().into()),
            ("said".into(), self.said.clone().into()),
            ("statement".into(), self.probe.sql.clone().into()),
            ("through".into(), through),
        ])
    }

    /// The same hole: what was found, by whom.
    pub fn key(&self) -> (String, &'static str) {
        (self.outcome.word().to_owned(), self.probe.identity.word())
    }

    /// What could not be found out: what was tried, by whom, and why.
    pub fn untested(&self) -> Option<(String, &'static str, String)> {
        (self.outcome == Judged::Untested).then(|| {
            let through = self
                .probe
                .through
                .as_ref()
                .map_or(String::new(), |name| format!(" through {name}"));
            (
                format!("{}{through}", self.probe.operation.word()),
                self.probe.identity.word(),
                self.said.clone(),
            )
        })
    }

    /// What it finds, if anything.
    pub fn finding(&self) -> Option<Map> {
        let who = self.probe.identity.word();
        let what = self.probe.operation.word();
        let (rule, severity, title, why) = match self.outcome {
            Judged::Leak if self.probe.operation == Operation::UniqueOracle => (
                "oracle",
                "warn",
                "A duplicate key tells that somebody else has the value",
                "Uniqueness is checked without asking policies.",
            ),
            Judged::Leak if self.probe.operation == Operation::ForeignOracle => (
                "oracle",
                "warn",
                "A reference tells that somebody else has the value",
                "Foreign keys are checked without asking policies: one's own row can refer to a row of somebody else, if it exists.",
            ),
            Judged::Influence => (
                "influence",
                "warn",
                "What others get depends on a row that is not theirs",
                "Nothing of the row itself came out, but with it there the answer was another one: a count or a sum, or a part of it that is not its own.",
            ),
            Judged::Leak => (
                "leak",
                "error",
                "A row of somebody else is reached",
                "This statement, run as this user, did what it must not.",
            ),
            Judged::ControlFailed => (
                "control_failed",
                "warn",
                "The owner does not reach its own row",
                "As long as the owner is refused, that others are refused proves nothing; and users can't work.",
            ),
            _ => return None,
        };
        let object = match &self.probe.through {
            Some(view) => format!("{} through {view}", self.table),
            None => self.table.clone(),
        };
        Some(Map::from_iter([
            ("rule".into(), rule.into()),
            ("severity".into(), severity.into()),
            ("title".into(), title.into()),
            ("object".into(), object.into()),
            (
                "evidence".into(),
                format!("{who}: {} → {}", self.probe.sql, self.said).into(),
            ),
            ("identity".into(), who.into()),
            ("operation".into(), what.into()),
            ("why".into(), why.into()),
            ("statement".into(), self.probe.sql.clone().into()),
            ("fix".into(), self.probe.mend().into()),
            ("docs".into(), format!("guide/rls.html#{rule}").into()),
        ]))
    }
}

/// A change to the policies that must be noticed.
pub struct Mutation<'t> {
    /// What it does.
    pub sql: String,
    /// The same in words.
    pub what: String,
    policy: Option<&'t Policy>,
}

/// Everything that is tried on a table.
pub fn mutations(table: &Table) -> Vec<Mutation<'_>> {
    let shown = &table.shown;
    let mut all = vec![Mutation {
        sql: format!("ALTER TABLE {shown} DISABLE ROW LEVEL SECURITY"),
        what: "row-level security switched off".to_owned(),
        policy: None,
    }];
    for policy in &table.policies {
        // Nobody of the API is meant by it.
        if !policy
            .roles
            .iter()
            .any(|role| ["public", "anon", "authenticated"].contains(&role.as_str()))
        {
            continue;
        }
        all.push(Mutation {
            sql: format!("DROP POLICY {} ON {shown}", policy.quoted),
            what: format!("the policy {} dropped", policy.name),
            policy: Some(policy),
        });
        if policy.permissive {
            let parts = match (policy.using.is_some(), policy.check.is_some()) {
                (true, true) => "USING (true) WITH CHECK (true)",
                (true, false) => "USING (true)",
                (false, true) => "WITH CHECK (true)",
                (false, false) => continue,
            };
            all.push(Mutation {
                sql: format!("ALTER POLICY {} ON {shown} {parts}", policy.quoted),
                what: format!("the policy {} widened to every row", policy.name),
                policy: Some(policy),
            });
        }
    }
    all
}

impl Mutation<'_> {
    /// Whether a probe could notice it.
    pub fn concerns(&self, probe: &Probe) -> bool {
        let Some(policy) = self.policy else {
            return probe.identity != Identity::Service;
        };
        let role = probe.identity.role();
        if !policy.roles.iter().any(|to| to == role || to == "public") {
            return false;
        }
        match policy.command {
            'a' => matches!(
                probe.operation,
                Operation::Insert
                    | Operation::Upsert
                    | Operation::UniqueOracle
                    | Operation::ForeignOracle
                    | Operation::Join
            ),
            'w' => matches!(
                probe.operation,
                Operation::Update
                    | Operation::BlindUpdate
                    | Operation::Upsert
                    | Operation::GiveAway
                    | Operation::Returning
            ),
            'd' => matches!(probe.operation, Operation::Delete | Operation::BlindDelete),
            // What can't be seen can't be changed either.
            _ => true,
        }
    }

    /// Nothing noticed it.
    pub fn survived(&self, table: &Table) -> Map {
        let object = match self.policy {
            Some(policy) => format!("{}: {}", table.shown, policy.name),
            None => table.shown.clone(),
        };
        let text = |text: &str| Dynamic::from(text.to_owned());
        Map::from_iter([
            ("rule".into(), text("mutation_survived")),
            ("severity".into(), text("warn")),
            ("title".into(), text("A policy whose loss nothing notices")),
            ("object".into(), object.into()),
            (
                "evidence".into(),
                format!("with {}, every statement came out the same", self.what).into(),
            ),
            (
                "why".into(),
                text(
                    "Either another policy or a missing grant does its work, and it can go; or the probes do not reach what it guards.",
                ),
            ),
            (
                "fix".into(),
                text(
                    "-- drop it if another one does the same; else say in the intent what its rows need",
                ),
            ),
            ("docs".into(), text("guide/rls.html#mutation_survived")),
        ])
    }
}
