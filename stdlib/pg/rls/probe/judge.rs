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
    /// Whether the row is another one afterwards.
    pub changed: bool,
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
    let stopped = |operation: Operation| {
        probes.iter().zip(outcomes).any(|(probe, outcome)| {
            probe.operation == operation
                && probe.identity == Identity::Own
                && is_constraint(outcome)
        })
    };
    probes
        .iter()
        .zip(outcomes)
        .map(|(probe, outcome)| Verdict {
            table: shown.to_owned(),
            outcome: judge(probe, outcome, stopped(probe.operation)),
            said: match (&outcome.code, &outcome.said) {
                (Some(code), Some(said)) => format!("{code}: {said}"),
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

fn judge(probe: &Probe, outcome: &Outcome, stopped: bool) -> Judged {
    if probe.operation == Operation::UniqueOracle {
        return match outcome.code.as_deref() {
            Some("23505") => Judged::Leak,
            Some(code) if code.starts_with('2') => Judged::Untested,
            _ => Judged::Denied,
        };
    }
    let reads = matches!(
        probe.operation,
        Operation::Select | Operation::View | Operation::Function | Operation::Insert
    );
    let happened = outcome.code.is_none()
        && if reads {
            outcome.rows.unwrap_or(0) > 0
        } else {
            outcome.changed
        };
    match probe.expected {
        Expected::Denied if happened => Judged::Leak,
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
            ("evidence".into(), format!("{who}: {} → {}", self.probe.sql, self.said).into()),
            ("identity".into(), who.into()),
            ("operation".into(), what.into()),
            ("why".into(), why.into()),
            ("fix".into(), "-- look at the policies of this table for this command: `db.rls_audit()` names the usual causes".into()),
            ("docs".into(), format!("guide/rls.html#{rule}").into()),
        ]))
    }
}

/// A change to the policies that must be noticed.
pub struct Mutation<'t> {
    /// What it does.
    pub sql: String,
    what: String,
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
                Operation::Insert | Operation::Upsert | Operation::UniqueOracle
            ),
            'w' => matches!(
                probe.operation,
                Operation::Update
                    | Operation::BlindUpdate
                    | Operation::Upsert
                    | Operation::GiveAway
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
