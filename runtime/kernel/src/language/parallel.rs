//! `parallel` and `each`: several closures at once, on threads of their own.

use std::ops::{Range, RangeInclusive};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ccrun_macros::{Options, primitive};
use parking_lot::Mutex;
use rhai::{Array, Dynamic, FnPtr};

use crate::caller::Caller;
use crate::cx::Cx;
use crate::error::{Error, Result, Stop};
use crate::primitive::script_type_name;
use crate::run::STACK_SIZE;
use crate::scope::Scope;

/// How many at once.
#[derive(Options)]
pub struct ParallelOptions {
    /// The most closures that run at the same time.
    #[option(default = "8")]
    limit: usize,
}

/// Run closures at the same time and return their values in order. When one fails the others are
/// cancelled, and its error is thrown.
///
/// # Errors
/// The first error of a closure.
///
/// # Example
/// ```rhai
/// let results = parallel(#{ limit: 2 }, [|| 1 + 1, || 2 + 2]);
/// assert(results == [2, 4], "in order");
/// ```
#[primitive(pure)]
fn parallel(
    cx: &Cx,
    call: &Caller<'_>,
    options: ParallelOptions,
    closures: Vec<FnPtr>,
) -> Result<Array> {
    let jobs = closures
        .into_iter()
        .map(|closure| (closure, Vec::new()))
        .collect();
    run_jobs(cx, call, options.limit, jobs)
}

/// Call a closure for each item, several at the same time, and return the values in order.
///
/// # Errors
/// The first error of a call; the others are cancelled.
///
/// # Example
/// ```rhai
/// assert(each([1, 2, 3], #{ limit: 2 }, |n| n * n) == [1, 4, 9], "squares");
/// ```
#[primitive(pure)]
fn each(
    cx: &Cx,
    call: &Caller<'_>,
    items: Dynamic,
    options: ParallelOptions,
    closure: FnPtr,
) -> Result<Array> {
    let jobs = items_of(items)?
        .into_iter()
        .map(|item| (closure.clone(), vec![item]))
        .collect();
    run_jobs(cx, call, options.limit, jobs)
}

/// The items of an array or of a range such as `0..10`.
fn items_of(items: Dynamic) -> Result<Array> {
    let range = items
        .read_lock::<Range<i64>>()
        .map(|range| (*range).clone())
        .or_else(|| {
            let inclusive = items.read_lock::<RangeInclusive<i64>>()?;
            Some(*inclusive.start()..inclusive.end().saturating_add(1))
        });
    match range {
        Some(range) => Ok(range.map(Dynamic::from).collect()),
        None => items.try_cast_result::<Array>().map_err(|other| {
            let found = script_type_name(&other);
            Error::new(
                "argument.type",
                format!("each needs an array or a range, found {found}"),
            )
        }),
    }
}

type Job = (FnPtr, Vec<Dynamic>);

fn run_jobs(cx: &Cx, call: &Caller<'_>, limit: usize, jobs: Vec<Job>) -> Result<Array> {
    if limit == 0 {
        return Err(Error::new("argument.type", "`limit` must be at least 1"));
    }
    let scope = cx.scope().child(None, None);
    let work = Work {
        scope: &scope,
        jobs: &jobs,
        next: AtomicUsize::new(0),
        results: jobs.iter().map(|_| Mutex::new(None)).collect(),
        failed: Mutex::new(None),
    };
    std::thread::scope(|threads| {
        let mut workers = 0;
        for _ in 0..limit.min(jobs.len()) {
            let started = std::thread::Builder::new()
                .name("runbook-parallel".to_owned())
                .stack_size(STACK_SIZE)
                .spawn_scoped(threads, || scope.enter(|| work.work(call)));
            match started {
                Ok(_) => workers += 1,
                // As many workers as the system gives; with none, this thread does the work.
                Err(_) => break,
            }
        }
        if workers == 0 {
            scope.enter(|| work.work(call));
        }
    });
    if let Some(stop) = cx.scope().stop() {
        return Err(Error::stop(stop));
    }
    if let Some(error) = work.failed.into_inner() {
        return Err(error);
    }
    Ok(work
        .results
        .into_iter()
        .map(|slot| slot.into_inner().unwrap_or(Dynamic::UNIT))
        .collect())
}

struct Work<'a> {
    scope: &'a Arc<Scope>,
    jobs: &'a [Job],
    next: AtomicUsize,
    results: Vec<Mutex<Option<Dynamic>>>,
    failed: Mutex<Option<Error>>,
}

impl Work<'_> {
    fn work(&self, call: &Caller<'_>) {
        loop {
            let index = self.next.fetch_add(1, Ordering::Relaxed);
            let Some((closure, arguments)) = self.jobs.get(index) else {
                return;
            };
            if self.scope.stop().is_some() {
                return;
            }
            match call.invoke(closure, arguments.iter().cloned()) {
                Ok(value) => *self.results[index].lock() = Some(value),
                Err(error) => {
                    self.fail(error);
                    return;
                }
            }
        }
    }

    /// The first error counts; what the cancelled others say about it does not.
    fn fail(&self, error: Error) {
        let mut failed = self.failed.lock();
        let only_cancelled = error.stop_reason() == Some(Stop::Cancelled(self.scope.id()));
        if failed.is_none() && !only_cancelled {
            *failed = Some(error);
        }
        drop(failed);
        self.scope.cancel();
    }
}
