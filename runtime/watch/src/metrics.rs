//! What Prometheus is told. <https://prometheus.io/docs/instrumenting/exposition_formats/>

use std::collections::BTreeMap;
use std::fmt::Write as _;

use parking_lot::Mutex;

use crate::ledger::Last;

/// The upper bounds of the durations' buckets, in seconds.
const BUCKETS: [f64; 12] = [
    0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14400.0, 86400.0,
];

#[derive(Debug, Default, Clone)]
struct Histogram {
    buckets: [u64; BUCKETS.len()],
    count: u64,
    sum: f64,
}

impl Histogram {
    fn observe(&mut self, value: f64) {
        for (bucket, bound) in self.buckets.iter_mut().zip(BUCKETS) {
            *bucket += u64::from(value <= bound);
        }
        self.count += 1;
        self.sum += value;
    }

    fn write(&self, text: &mut String, name: &str, runbook: &str) {
        for (count, bound) in self.buckets.iter().zip(BUCKETS) {
            let _ = writeln!(
                text,
                "{name}_bucket{{runbook=\"{runbook}\",le=\"{bound}\"}} {count}"
            );
        }
        let count = self.count;
        let _ = writeln!(
            text,
            "{name}_bucket{{runbook=\"{runbook}\",le=\"+Inf\"}} {count}"
        );
        let _ = writeln!(text, "{name}_sum{{runbook=\"{runbook}\"}} {}", self.sum);
        let _ = writeln!(text, "{name}_count{{runbook=\"{runbook}\"}} {count}");
    }
}

#[derive(Debug, Default)]
struct Counts {
    fired: BTreeMap<(String, String), u64>,
    ended: BTreeMap<(String, &'static str), u64>,
    durations: BTreeMap<String, Histogram>,
    lags: BTreeMap<String, Histogram>,
    refused: BTreeMap<&'static str, u64>,
    queued: u64,
    running: u64,
    broken: u64,
    stopped: u64,
    leader: bool,
}

/// Counts since the daemon began.
#[derive(Debug, Default)]
pub struct Metrics(Mutex<Counts>);

impl Metrics {
    /// A trigger fired.
    pub fn fired(&self, runbook: &str, cause: &str) {
        let key = (runbook.to_owned(), cause.to_owned());
        *self.0.lock().fired.entry(key).or_default() += 1;
    }

    /// A firing ended.
    pub fn ended(&self, runbook: &str, status: &'static str, seconds: Option<f64>) {
        let mut counts = self.0.lock();
        *counts
            .ended
            .entry((runbook.to_owned(), status))
            .or_default() += 1;
        if let Some(seconds) = seconds {
            let durations = counts.durations.entry(runbook.to_owned()).or_default();
            durations.observe(seconds);
        }
    }

    /// A run began so long after it was due.
    pub fn began(&self, runbook: &str, lag: f64) {
        let mut counts = self.0.lock();
        counts
            .lags
            .entry(runbook.to_owned())
            .or_default()
            .observe(lag.max(0.0));
    }

    /// A request was refused.
    pub fn refused(&self, reason: &'static str) {
        *self.0.lock().refused.entry(reason).or_default() += 1;
    }

    /// How things stand.
    pub fn stand(&self, queued: usize, running: usize, broken: usize, stopped: usize) {
        let mut counts = self.0.lock();
        counts.queued = queued as u64;
        counts.running = running as u64;
        counts.broken = broken as u64;
        counts.stopped = stopped as u64;
    }

    /// Whether this daemon is the one that fires.
    pub fn leads(&self, leader: bool) {
        self.0.lock().leader = leader;
    }

    /// The text for Prometheus.
    #[must_use]
    pub fn text(&self, last: &BTreeMap<String, Last>) -> String {
        let counts = self.0.lock();
        let mut text = String::new();
        let head = |text: &mut String, name: &str, kind: &str, help: &str| {
            let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        };
        let name = "ccrun_watch_fired_total";
        head(&mut text, name, "counter", "Firings of triggers, by cause.");
        for ((runbook, cause), count) in &counts.fired {
            let runbook = escaped(runbook);
            let _ = writeln!(
                text,
                "{name}{{runbook=\"{runbook}\",cause=\"{cause}\"}} {count}"
            );
        }
        let name = "ccrun_watch_runs_total";
        head(
            &mut text,
            name,
            "counter",
            "Firings that ended, by how they did.",
        );
        for ((runbook, status), count) in &counts.ended {
            let runbook = escaped(runbook);
            let _ = writeln!(
                text,
                "{name}{{runbook=\"{runbook}\",status=\"{status}\"}} {count}"
            );
        }
        let name = "ccrun_watch_run_duration_seconds";
        head(&mut text, name, "histogram", "How long runs took.");
        for (runbook, durations) in &counts.durations {
            durations.write(&mut text, name, &escaped(runbook));
        }
        let name = "ccrun_watch_lag_seconds";
        head(
            &mut text,
            name,
            "histogram",
            "How long after they were due runs began.",
        );
        for (runbook, lags) in &counts.lags {
            lags.write(&mut text, name, &escaped(runbook));
        }
        let name = "ccrun_watch_last_success_timestamp_seconds";
        head(&mut text, name, "gauge", "When a run last ended well.");
        for (runbook, last) in last {
            if let Some(success) = last.success {
                let (runbook, seconds) = (escaped(runbook), success.as_second());
                let _ = writeln!(text, "{name}{{runbook=\"{runbook}\"}} {seconds}");
            }
        }
        let name = "ccrun_watch_failing";
        head(&mut text, name, "gauge", "Whether the last run failed.");
        for (runbook, last) in last {
            let (runbook, failing) = (escaped(runbook), u8::from(last.failing));
            let _ = writeln!(text, "{name}{{runbook=\"{runbook}\"}} {failing}");
        }
        let name = "ccrun_watch_refused_total";
        head(
            &mut text,
            name,
            "counter",
            "Requests that were refused, by reason.",
        );
        for (reason, count) in &counts.refused {
            let _ = writeln!(text, "{name}{{reason=\"{reason}\"}} {count}");
        }
        for (name, help, value) in [
            ("ccrun_watch_queued", "Firings that wait.", counts.queued),
            ("ccrun_watch_running", "Runs at work.", counts.running),
            (
                "ccrun_watch_broken_runbooks",
                "Runbooks that do not check.",
                counts.broken,
            ),
            (
                "ccrun_watch_stopped_triggers",
                "Triggers stopped for firing too often.",
                counts.stopped,
            ),
            (
                "ccrun_watch_leader",
                "Whether this daemon fires, or stands by.",
                counts.leader.into(),
            ),
        ] {
            head(&mut text, name, "gauge", help);
            let _ = writeln!(text, "{name} {value}");
        }
        text
    }
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prometheus_can_read_it() {
        let metrics = Metrics::default();
        metrics.fired("a\"b", "files");
        metrics.began("a", 0.07);
        metrics.ended("a", "done", Some(2.0));
        metrics.refused("signature");
        metrics.stand(3, 1, 0, 0);
        let last = Last {
            failing: false,
            success: Some(jiff::Timestamp::from_second(1_700_000_000).unwrap()),
        };
        let text = metrics.text(&[("a".to_owned(), last)].into());
        for line in [
            "ccrun_watch_fired_total{runbook=\"a\\\"b\",cause=\"files\"} 1",
            "ccrun_watch_runs_total{runbook=\"a\",status=\"done\"} 1",
            "ccrun_watch_run_duration_seconds_bucket{runbook=\"a\",le=\"1\"} 0",
            "ccrun_watch_run_duration_seconds_bucket{runbook=\"a\",le=\"5\"} 1",
            "ccrun_watch_lag_seconds_bucket{runbook=\"a\",le=\"0.1\"} 1",
            "ccrun_watch_last_success_timestamp_seconds{runbook=\"a\"} 1700000000",
            "ccrun_watch_refused_total{reason=\"signature\"} 1",
            "ccrun_watch_queued 3",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
        assert!(text.lines().all(|line| {
            line.starts_with('#')
                || line
                    .rsplit_once(' ')
                    .is_some_and(|(_, v)| v.parse::<f64>().is_ok())
        }));
    }
}
