//! Faults on the reference stack, and what `ccrun troubleshoot` says of them.
//!
//! A case breaks one thing; the sweep must name it first; what the sweep offers, or a person does, mends it, and
//! the next sweep finds nothing. One stack serves all cases, because each ends as it began.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::docker::docker;
use crate::stack::Stack;

/// One fault.
pub struct Case {
    /// What is broken, in a few words.
    pub name: &'static str,
    /// The finding that must be the first: its id, and a part of what it says.
    pub finds: (&'static str, &'static str),
    /// Break it.
    pub fault: fn(&Bed),
    /// Who mends it.
    pub cure: Cure,
    /// Options of the sweep: thresholds that nobody has to wait for.
    pub options: &'static str,
    /// Whether it is tried every time, and not only when all are.
    pub often: bool,
}

/// Who mends a fault.
pub enum Cure {
    /// `ccrun troubleshoot --fix` does it.
    Offered,
    /// Nothing is offered: a person does what the finding says.
    Person(fn(&Bed)),
    /// A person mends a file, and then what is offered does the rest.
    Then(fn(&Bed)),
}

/// The stack that is broken and mended.
pub struct Bed {
    /// The stack.
    pub stack: Stack,
    env: String,
}

/// One line of the table that a sweep prints.
#[derive(Debug)]
pub struct Finding {
    /// Which finding.
    pub id: String,
    /// `ok`, `info`, `warn`, `fail`.
    pub status: String,
    /// What is wrong.
    pub what: String,
    /// What was seen.
    pub evidence: String,
    /// What it explains.
    pub explains: Vec<String>,
}

impl Bed {
    /// A stack that runs.
    ///
    /// # Panics
    /// If it can't be deployed.
    #[must_use]
    pub fn new(sort: &str, extra: &str) -> Self {
        let stack = Stack::new(sort);
        stack.extra(extra);
        stack.deploy("").exits(0);
        let env = stack.story.read("test.env");
        Self { stack, env }
    }

    /// The container of a service.
    #[must_use]
    pub fn container(&self, service: &str) -> String {
        let project = format!("label=com.docker.compose.project={}", self.stack.name);
        let service = format!("label=com.docker.compose.service={service}");
        // The newest: one that was replaced has another number.
        let names = docker(&[
            "ps",
            "--all",
            "--format",
            "{{.Names}}",
            "--filter",
            &project,
            "--filter",
            &service,
        ]);
        names.lines().next().unwrap_or_default().to_owned()
    }

    /// Run a script in the container of a service.
    pub fn inside(&self, service: &str, script: &str) {
        let _said = docker(&["exec", &self.container(service), "sh", "-c", script]);
    }

    /// Run a script there and do not wait for it.
    pub fn inside_for_long(&self, service: &str, script: &str) {
        let container = self.container(service);
        let _said = docker(&["exec", "--detach", &container, "sh", "-c", script]);
    }

    /// Statements as the superuser, each on its own, while nobody waits.
    pub fn sql_for_long(&self, statements: &str) {
        let script = format!("psql -XqtA -U postgres -d command_center <<'SQL'\n{statements}\nSQL");
        self.inside_for_long("postgres", &script);
    }

    /// A statement as the superuser.
    pub fn sql(&self, statement: &str) {
        let _said = self.stack.sql(statement);
    }

    /// Give the containers of services what the files now say.
    ///
    /// # Panics
    /// If Compose refuses.
    pub fn up(&self, service: &str) {
        let script = format!(
            "compose::project().up(#{{ services: [\"{service}\"], no_deps: true, wait: false }});"
        );
        let output = self
            .stack
            .story
            .command("ccrun -e")
            .arg(script)
            .output()
            .expect("ccrun starts");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }

    /// Change a text in a file of the stack.
    ///
    /// # Panics
    /// If the file has no such text.
    pub fn edit(&self, file: &str, from: &str, to: &str) {
        let text = self.stack.story.read(file);
        assert!(text.contains(from), "{file} has no {from:?}");
        self.stack.story.write(file, text.replace(from, to));
    }

    /// Give a variable of the env file another value.
    pub fn set(&self, name: &str, value: &str) {
        let lines = self.env.lines().map(|line| {
            if line.starts_with(&format!("{name}=")) {
                format!("{name}={value}")
            } else {
                line.to_owned()
            }
        });
        let text: Vec<String> = lines.collect();
        self.stack.story.write("test.env", text.join("\n") + "\n");
    }

    /// The env file as it was.
    pub fn restore_env(&self) {
        self.stack.story.write("test.env", &self.env);
    }

    /// What a sweep finds, the likeliest cause first.
    ///
    /// # Panics
    /// If it prints no events.
    #[must_use]
    pub fn sweep(&self, options: &str) -> Vec<Finding> {
        let line = format!("ccrun troubleshoot --output json {options}");
        let output = self
            .stack
            .story
            .command(&line)
            .output()
            .expect("ccrun starts");
        let text = String::from_utf8_lossy(&output.stdout);
        let events = text
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let found: Vec<Finding> = events
            .filter(|event| event["event"] == "check")
            .map(|event| {
                let text = |key: &str| event[key].as_str().unwrap_or_default().to_owned();
                let explains = event["explains"].as_array().into_iter().flatten();
                Finding {
                    id: text("id"),
                    status: text("status"),
                    what: text("name"),
                    evidence: text("evidence"),
                    explains: explains
                        .filter_map(|what| what.as_str().map(str::to_owned))
                        .collect(),
                }
            })
            .collect();
        assert!(
            !found.is_empty(),
            "{line}: no findings, and not that all is well\n{text}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        found
    }

    /// Sweep until it finds what is wanted.
    ///
    /// # Errors
    /// What it found instead.
    pub fn sweep_until(
        &self,
        options: &str,
        within: Duration,
        is_it: impl Fn(&[Finding]) -> bool,
    ) -> Result<(), String> {
        let deadline = Instant::now() + within;
        loop {
            let found = self.sweep(options);
            if is_it(&found) {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(told(&found));
            }
        }
    }

    /// Break, find, mend, find nothing.
    ///
    /// # Errors
    /// At which of these it failed, and what was found.
    pub fn try_out(&self, case: &Case) -> Result<Duration, String> {
        let started = Instant::now();
        (case.fault)(self);
        let (id, part) = case.finds;
        self.sweep_until(case.options, Duration::from_secs(60), |found| {
            found[0].id == id && found[0].what.contains(part)
        })
        .map_err(|found| format!("the first finding is not {id} ({part}):\n{found}"))?;
        let offered = match case.cure {
            Cure::Offered => true,
            Cure::Person(mend) => {
                mend(self);
                false
            }
            Cure::Then(mend) => {
                mend(self);
                true
            }
        };
        if offered {
            let line = format!("ccrun troubleshoot --fix --yes {}", case.options);
            let _seen = self.stack.types(&line);
        }
        self.sweep_until(case.options, Duration::from_secs(90), is_green)
            .map_err(|found| format!("after the cure there is still:\n{found}"))?;
        Ok(started.elapsed())
    }
}

/// Whether nothing is wrong.
#[must_use]
pub fn is_green(found: &[Finding]) -> bool {
    found
        .iter()
        .all(|one| ["ok", "info"].contains(&one.status.as_str()))
}

/// Findings as lines.
#[must_use]
pub fn told(found: &[Finding]) -> String {
    let lines = found.iter().map(|one| {
        format!(
            "  {} {}: {} ({}) {:?}",
            one.status, one.id, one.what, one.evidence, one.explains
        )
    });
    lines.collect::<Vec<_>>().join("\n")
}
