//! A run for people: steps as a live tree on a terminal, plain lines elsewhere.

use std::collections::HashMap;
use std::time::Duration;

use ccrun_kernel::effect::Effect;
use ccrun_kernel::event::{
    CheckStatus, Event, Level, Outcome, Recap, Record, RunStatus, Sink, StepStatus,
};
use console::style;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use parking_lot::Mutex;

use super::{plan, table, time};

/// How much is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verbosity {
    /// Results, problems and the recap.
    Quiet,
    /// Steps and changes too.
    Normal,
    /// Reads and debug messages too.
    Verbose,
}

/// Draws a run.
pub struct Terminal {
    verbosity: Verbosity,
    /// Whether the run is a piece of script, of which only the result matters.
    brief: bool,
    live: bool,
    bars: MultiProgress,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    steps: HashMap<String, ProgressBar>,
    progress: HashMap<u64, ProgressBar>,
    checks: Vec<[String; 3]>,
    past_return: bool,
    dry: bool,
}

impl Terminal {
    /// A renderer; `brief` for a piece of script instead of a runbook.
    #[must_use]
    pub fn new(verbosity: Verbosity, brief: bool) -> Self {
        let live = super::colour::is_live() && verbosity > Verbosity::Quiet;
        let target = if live {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        Self {
            verbosity,
            brief,
            live,
            bars: MultiProgress::with_draw_target(target),
            state: Mutex::default(),
        }
    }

    /// Do something with the terminal while nothing is drawn: ask, or print a page.
    pub fn suspend<T>(&self, work: impl FnOnce() -> T) -> T {
        self.bars.suspend(work)
    }

    fn remark(&self, text: &str) {
        self.suspend(|| super::remark(text));
    }

    fn step_started(&self, path: &str, attempt: u32) {
        let (depth, name) = place(path);
        let again = if attempt > 1 {
            format!(" (attempt {attempt})")
        } else {
            String::new()
        };
        if !self.live {
            if self.verbosity > Verbosity::Quiet {
                self.remark(&format!("{}→ {name}{again}", "  ".repeat(depth)));
            }
            return;
        }
        let bar = self.bars.add(ProgressBar::new_spinner());
        let pattern = format!("{}{{spinner}} {{msg}} {{elapsed:.dim}}", "  ".repeat(depth));
        if let Ok(style) = ProgressStyle::with_template(&pattern) {
            bar.set_style(style.tick_chars("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏ "));
        }
        bar.set_message(format!("{name}{again}"));
        bar.enable_steady_tick(Duration::from_millis(100));
        if let Some(old) = self.state.lock().steps.insert(path.to_owned(), bar) {
            old.finish_and_clear();
        }
    }

    fn step_finished(&self, path: &str, status: StepStatus, elapsed_us: u64, error: Option<&str>) {
        if let Some(bar) = self.state.lock().steps.remove(path) {
            bar.finish_and_clear();
            self.bars.remove(&bar);
        }
        let bad = matches!(status, StepStatus::Failed | StepStatus::Interrupted);
        if self.verbosity == Verbosity::Quiet && !bad {
            return;
        }
        let (depth, name) = place(path);
        let elapsed = time::elapsed(Duration::from_micros(elapsed_us));
        let (mark, note) = match status {
            StepStatus::Done => (style("✓").green(), elapsed),
            StepStatus::Failed => (style("✗").red(), elapsed),
            StepStatus::Interrupted => {
                (style("✗").yellow(), format!("interrupted after {elapsed}"))
            }
            StepStatus::Reused => (style("↷").cyan(), "done before".to_owned()),
            StepStatus::Skipped => {
                let why = error.map_or_else(String::new, |why| format!(": {why}"));
                (style("↷").dim(), format!("skipped{why}"))
            }
        };
        let mark = mark.for_stderr();
        self.remark(&format!(
            "{}{mark} {name}  {}",
            "  ".repeat(depth),
            style(note).dim().for_stderr()
        ));
    }

    fn progress(&self, id: u64, event: &Event) {
        let Event::Progress {
            label,
            done,
            total,
            bytes,
            finished,
            ..
        } = event
        else {
            return;
        };
        if !self.live {
            return;
        }
        let mut state = self.state.lock();
        if *finished {
            if let Some(bar) = state.progress.remove(&id) {
                bar.finish_and_clear();
            }
            return;
        }
        let bar = state.progress.entry(id).or_insert_with(|| {
            let bar = self.bars.add(ProgressBar::new_spinner());
            let pattern = match (total, bytes) {
                (Some(_), true) => {
                    "    {msg} [{bar:30}] {bytes}/{total_bytes} {bytes_per_sec} {eta}"
                }
                (Some(_), false) => "    {msg} [{bar:30}] {pos}/{len} {eta}",
                (None, true) => "    {msg} {bytes} {bytes_per_sec}",
                (None, false) => "    {msg} {pos}",
            };
            if let Ok(style) = ProgressStyle::with_template(pattern) {
                bar.set_style(style.progress_chars("=> "));
            }
            bar
        });
        if let Some(total) = total {
            bar.set_length(*total);
        }
        bar.set_message(label.clone());
        bar.set_position(*done);
    }

    fn effect_finished(&self, record: &Record) {
        let Event::EffectFinished {
            primitive,
            effect,
            args,
            outcome,
            elapsed_us,
            ..
        } = &record.event
        else {
            return;
        };
        let shown = match (effect, outcome) {
            _ if self.verbosity == Verbosity::Verbose => true,
            (Effect::Change, _) => self.verbosity == Verbosity::Normal && !self.brief,
            _ => false,
        };
        if !shown {
            return;
        }
        let indent = "  ".repeat(record.step.as_deref().map_or(0, |path| place(path).0 + 1));
        let note = match outcome {
            Outcome::Done => time::elapsed(Duration::from_micros(*elapsed_us)),
            Outcome::Unchanged => "unchanged".to_owned(),
            Outcome::Failed => "failed".to_owned(),
            Outcome::Declined => "declined".to_owned(),
            Outcome::Interrupted => "interrupted".to_owned(),
            Outcome::Planned => "planned".to_owned(),
        };
        let text = format!("{indent}· {primitive} {args}  {note}");
        self.remark(&style(text).dim().for_stderr().to_string());
    }

    fn log(&self, record: &Record, level: Level, message: &str) {
        let least = match self.verbosity {
            Verbosity::Quiet => Level::Warn,
            Verbosity::Normal => Level::Info,
            Verbosity::Verbose => Level::Debug,
        };
        if level < least {
            return;
        }
        let indent = "  ".repeat(record.step.as_deref().map_or(0, |path| place(path).0 + 1));
        let text = match level {
            Level::Debug => style(message.to_owned()).dim().for_stderr().to_string(),
            Level::Info => message.to_owned(),
            Level::Warn => format!("{} {message}", style("warning:").yellow().for_stderr()),
            Level::Error => format!("{} {message}", style("error:").red().for_stderr()),
        };
        self.remark(&format!("{indent}{text}"));
    }

    fn planned(&self, change: &ccrun_kernel::event::PlannedChange) {
        let mut state = self.state.lock();
        let first = !change.preview.unchanged && change.undo.is_none() && !state.past_return;
        if first {
            state.past_return = true;
        }
        drop(state);
        if first {
            super::result(&style(plan::POINT_OF_NO_RETURN).yellow().to_string());
        }
        self.suspend(|| super::result(&plan::change(change)));
    }

    fn finished(&self, record: &Record, status: RunStatus, recap: &Recap) {
        let mut state = self.state.lock();
        for (_, bar) in state.steps.drain() {
            bar.finish_and_clear();
        }
        for (_, bar) in state.progress.drain() {
            bar.finish_and_clear();
        }
        let checks = std::mem::take(&mut state.checks);
        let dry = state.dry;
        drop(state);
        if !checks.is_empty() && self.verbosity > Verbosity::Quiet {
            let rows = checks.into_iter().map(Vec::from);
            self.suspend(|| super::result(&table::table(&["", "check", "evidence"], rows)));
        }
        if !self.brief {
            self.remark(&recap_line(record.run.short(), status, recap, dry));
        }
    }
}

impl Sink for Terminal {
    fn record(&self, record: &Record) {
        let step = record.step.as_deref().unwrap_or_default();
        match &record.event {
            Event::RunStarted {
                mode,
                runbook,
                target,
                resumed,
            } => {
                {
                    let mut state = self.state.lock();
                    state.dry = mode == "dry_run";
                    state.checks.clear();
                }
                if self.verbosity == Verbosity::Verbose {
                    let how = if *resumed { ", resumed" } else { "" };
                    self.remark(&format!(
                        "{runbook} on {target} ({mode}{how}), run {}",
                        record.run
                    ));
                }
            }
            Event::StepStarted { attempt } => self.step_started(step, *attempt),
            Event::StepFinished {
                status,
                elapsed_us,
                error,
            } => {
                let message = error.as_ref().and_then(|error| error["message"].as_str());
                self.step_finished(step, *status, *elapsed_us, message);
            }
            event @ Event::Progress { id, .. } => self.progress(*id, event),
            Event::EffectFinished { .. } => self.effect_finished(record),
            Event::Log { level, message } => self.log(record, *level, message),
            Event::Output { text } => self.suspend(|| super::result(text)),
            Event::Planned(change) => self.planned(change),
            Event::PlanNote { text } => {
                self.remark(&style(format!("     {text}")).dim().for_stderr().to_string());
            }
            Event::Check {
                name,
                status,
                evidence,
                fix,
                why,
                explains,
                id,
            } => {
                let mark = match status {
                    CheckStatus::Ok => style("✓").green(),
                    CheckStatus::Info => style("·").dim(),
                    CheckStatus::Warn => style("!").yellow(),
                    CheckStatus::Fail => style("✗").red(),
                    CheckStatus::Unknown => style("?").dim(),
                };
                // Each has a line of its own: they are sentences.
                let mut told = evidence.clone();
                let lines = why.iter().cloned();
                let lines = lines.chain(explains.iter().map(|what| format!("└ so: {what}")));
                for line in lines.chain(fix.iter().map(|fix| format!("→ {fix}"))) {
                    if !told.is_empty() {
                        told.push('\n');
                    }
                    told.push_str(&line);
                }
                // Where the book says what it means.
                let name = match id {
                    Some(id) => format!("{name}\n{id}"),
                    None => name.clone(),
                };
                let row = [mark.to_string(), name, told];
                self.state.lock().checks.push(row);
            }
            Event::RunFinished { status, recap, .. } => self.finished(record, *status, recap),
            Event::EffectStarted { .. } | Event::Question { .. } | Event::Answer { .. } => {}
        }
    }
}

/// The line that ends every run.
#[must_use]
pub fn recap_line(run: &str, status: RunStatus, recap: &Recap, dry: bool) -> String {
    let word = match status {
        RunStatus::Done => style(if dry { "planned" } else { "done" }).green(),
        RunStatus::Failed => style("failed").red(),
        RunStatus::Interrupted => style("interrupted").yellow(),
        RunStatus::Refused => style("refused").yellow(),
    };
    let reused = if recap.reused > 0 {
        format!(" ({} reused)", recap.reused)
    } else {
        String::new()
    };
    let steps = recap.steps + recap.reused;
    format!(
        "{}: {}{reused}, {} {}, {} failed, {} skipped, {}, run {run}",
        word.for_stderr(),
        super::count(usize::try_from(steps).unwrap_or(usize::MAX), "step"),
        recap.changed,
        if dry { "to change" } else { "changed" },
        recap.failed,
        recap.skipped,
        time::elapsed(Duration::from_millis(recap.elapsed_ms)),
    )
}

/// The depth of a step and its own name.
fn place(path: &str) -> (usize, &str) {
    (
        path.matches('/').count(),
        path.rsplit('/').next().unwrap_or(path),
    )
}
