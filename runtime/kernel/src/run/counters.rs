//! The counts of the recap line.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use crate::event::Recap;

pub struct Counters {
    started: Instant,
    steps: AtomicU64,
    reused: AtomicU64,
    changed: AtomicU64,
    failed: AtomicU64,
    skipped: AtomicU64,
    warnings: AtomicU64,
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            started: Instant::now(),
            steps: AtomicU64::default(),
            reused: AtomicU64::default(),
            changed: AtomicU64::default(),
            failed: AtomicU64::default(),
            skipped: AtomicU64::default(),
            warnings: AtomicU64::default(),
        }
    }
}

impl Counters {
    /// Another attempt of the run begins: what failed before counts no more. Changes that were made
    /// stay made.
    pub fn begin_attempt(&self) {
        for count in [
            &self.steps,
            &self.reused,
            &self.failed,
            &self.skipped,
            &self.warnings,
        ] {
            count.store(0, Relaxed);
        }
    }

    pub fn step_done(&self) {
        self.steps.fetch_add(1, Relaxed);
    }

    pub fn reused(&self) {
        self.reused.fetch_add(1, Relaxed);
    }

    pub fn changed(&self) {
        self.changed.fetch_add(1, Relaxed);
    }

    pub fn failed(&self) {
        self.failed.fetch_add(1, Relaxed);
    }

    pub fn skipped(&self) {
        self.skipped.fetch_add(1, Relaxed);
    }

    pub fn warning(&self) {
        self.warnings.fetch_add(1, Relaxed);
    }

    pub fn recap(&self) -> Recap {
        Recap {
            steps: self.steps.load(Relaxed),
            reused: self.reused.load(Relaxed),
            changed: self.changed.load(Relaxed),
            failed: self.failed.load(Relaxed),
            skipped: self.skipped.load(Relaxed),
            warnings: self.warnings.load(Relaxed),
            elapsed_ms: u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX),
        }
    }
}
