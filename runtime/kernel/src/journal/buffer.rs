//! Rows that wait for the next commit. Bounded: a run that floods it loses output, never a step,
//! a change or the run itself.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::row::Row;

/// So much is written at once, without waiting for the timer.
const LONG_ROWS: usize = 512;
const LONG_BYTES: usize = 1 << 20;
/// Whoever can wait, waits until there is less.
const CROWDED_ROWS: usize = 4096;
const CROWDED_BYTES: usize = 4 << 20;
/// What may be lost is dropped (and counted) beyond this.
const FULL_ROWS: usize = 32_768;
const FULL_BYTES: usize = 16 << 20;

/// How a row may be treated when the buffer is full.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Keep {
    /// Never dropped.
    Always,
    /// Dropped and counted when the disk cannot keep up.
    WhileRoom,
}

/// The rows that wait, shared by the handles of a journal and its writer.
#[derive(Default)]
pub(super) struct Buffer {
    state: Mutex<State>,
    /// Tells the writer that there is something after a quiet time, or much.
    pub wake: Notify,
    /// Tells those who wait that there is room again.
    room: Notify,
    /// Runs of this process that must be seen to live.
    pub active: Mutex<BTreeSet<String>>,
}

#[derive(Default)]
struct State {
    rows: Vec<Row>,
    bytes: usize,
    lost: BTreeMap<Arc<str>, u64>,
    /// The writer sleeps and must be woken by the next row.
    asleep: bool,
    /// Rows were taken and are being written.
    writing: bool,
    /// The last write failed; waiting for room would be in vain.
    stuck: bool,
}

impl State {
    fn is_long(&self) -> bool {
        self.rows.len() >= LONG_ROWS || self.bytes >= LONG_BYTES
    }
}

/// What [`Buffer::take`] takes.
pub(super) struct Taken {
    pub rows: Vec<Row>,
    /// How many rows of which run were dropped since.
    pub lost: Vec<(Arc<str>, u64)>,
}

impl Buffer {
    /// Add a row.
    pub(super) fn push(&self, row: Row, keep: Keep) {
        self.put(row, keep, |_| None);
    }

    /// Add a row that is never dropped, in the place of the one that `replaces` says is no longer
    /// worth writing, if there is one.
    pub(super) fn replace(&self, row: Row, replaces: impl Fn(&Row) -> bool) {
        self.put(row, Keep::Always, |rows| rows.iter().rposition(replaces));
    }

    fn put(&self, row: Row, keep: Keep, place: impl FnOnce(&[Row]) -> Option<usize>) {
        let weight = row.weight();
        let wake = {
            let mut state = self.state.lock();
            let full = state.rows.len() >= FULL_ROWS || state.bytes >= FULL_BYTES;
            if full && keep == Keep::WhileRoom {
                *state.lost.entry(row.run).or_default() += 1;
                return;
            }
            let was_long = state.is_long();
            state.bytes += weight;
            match place(&state.rows) {
                Some(place) => {
                    state.bytes = state.bytes.saturating_sub(state.rows[place].weight());
                    state.rows[place] = row;
                }
                None => state.rows.push(row),
            }
            let asleep = std::mem::take(&mut state.asleep);
            asleep || (!was_long && state.is_long())
        };
        if wake {
            self.wake.notify_one();
        }
    }

    /// Take everything out to be written; [`Buffer::written`] or [`Buffer::put_back`] follows.
    pub(super) fn take(&self) -> Taken {
        let mut state = self.state.lock();
        state.bytes = 0;
        state.writing = !state.rows.is_empty() || !state.lost.is_empty();
        Taken {
            rows: std::mem::take(&mut state.rows),
            lost: std::mem::take(&mut state.lost).into_iter().collect(),
        }
    }

    /// The rows taken last could not be written: they stay first in line.
    pub(super) fn put_back(&self, rows: Vec<Row>) {
        let mut state = self.state.lock();
        state.bytes += rows.iter().map(Row::weight).sum::<usize>();
        state.rows.splice(0..0, rows);
        state.writing = false;
        state.stuck = true;
        drop(state);
        self.room.notify_waiters();
    }

    /// The rows taken last are written.
    pub(super) fn written(&self) {
        let mut state = self.state.lock();
        state.writing = false;
        state.stuck = false;
        drop(state);
        self.room.notify_waiters();
    }

    pub(super) fn is_long(&self) -> bool {
        self.state.lock().is_long()
    }

    /// Whether everything that was handed over is written.
    pub(super) fn is_settled(&self) -> bool {
        let state = self.state.lock();
        state.rows.is_empty() && state.lost.is_empty() && !state.writing
    }

    /// Ask to be woken by the next row; `false` if there is one already.
    pub(super) fn fall_asleep(&self) -> bool {
        let mut state = self.state.lock();
        state.asleep = state.rows.is_empty();
        state.asleep
    }

    /// Wait until the writer has caught up, unless it cannot.
    pub(super) async fn room(&self) {
        loop {
            let mut room = std::pin::pin!(self.room.notified());
            room.as_mut().enable();
            {
                let state = self.state.lock();
                let crowded = state.rows.len() >= CROWDED_ROWS || state.bytes >= CROWDED_BYTES;
                if state.stuck || !crowded {
                    return;
                }
            }
            room.await;
        }
    }
}
