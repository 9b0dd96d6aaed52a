//! Where in a run a script thread is: its step, its deadline, its cancellation.
//!
//! Each thread that runs script code (the run's own, and the workers of `parallel`) stands in one
//! scope at a time. The scope is kept in a thread-local, because Rhai's progress callback, which
//! must end loops that call no primitive, is told nothing but a count.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use crate::error::{Error, Result, Stop};
use crate::run::Run;

/// A part of a run that can be cancelled or timed out as a whole.
pub struct Scope {
    run: Arc<Run>,
    id: u64,
    step: Option<Arc<str>>,
    cancel: Cancel,
    deadline: Option<Deadline>,
    parent: Option<Arc<Scope>>,
}

/// A cancellation that async code can wait for and a tight loop can afford to look at.
#[derive(Clone)]
pub struct Cancel {
    /// Replaced by [`Cancel::reset`].
    token: Arc<Mutex<CancellationToken>>,
    /// Read once per batch of script operations; a token's own lock is too dear there.
    flag: Arc<AtomicBool>,
}

impl Cancel {
    /// Not cancelled yet.
    #[must_use]
    pub fn new() -> Self {
        Self::of(CancellationToken::new())
    }

    fn of(token: CancellationToken) -> Self {
        Self {
            token: Arc::new(Mutex::new(token)),
            flag: Arc::new(AtomicBool::new(false)),
        }
    }

    /// A cancellation whose waiters wake with this one's too. Its flag is its own: [`Scope::stop`]
    /// looks at the parents, to tell who cancelled.
    #[must_use]
    pub fn child(&self) -> Self {
        Self::of(self.token.lock().child_token())
    }

    /// Cancel.
    pub fn cancel(&self) {
        self.flag.store(true, Ordering::Release);
        self.token.lock().cancel();
    }

    /// Not cancelled any more, for what is begun from here on: the run goes on after a person was
    /// asked.
    pub fn reset(&self) {
        *self.token.lock() = CancellationToken::new();
        self.flag.store(false, Ordering::Release);
    }

    /// Whether it is cancelled.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.flag.load(Ordering::Acquire)
    }

    /// Wait until it is cancelled.
    pub async fn cancelled(&self) {
        let token = self.token.lock().clone();
        token.cancelled().await;
    }
}

impl Default for Cancel {
    fn default() -> Self {
        Self::new()
    }
}

#[derive(Clone, Copy)]
struct Deadline {
    at: Instant,
    scope: u64,
}

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

thread_local! {
    static CURRENT: RefCell<Option<Arc<Scope>>> = const { RefCell::new(None) };
}

impl Scope {
    /// The scope of a whole run. It is cancelled by the run's own [`Cancel`].
    #[must_use]
    pub fn of_run(run: Arc<Run>, cancel: Cancel) -> Arc<Self> {
        Arc::new(Self {
            run,
            id: next_id(),
            step: None,
            cancel,
            deadline: None,
            parent: None,
        })
    }

    /// A part of this scope: another step, an own deadline, or both. It is cancelled with its
    /// parents and can be cancelled alone.
    #[must_use]
    pub fn child(self: &Arc<Self>, step: Option<&str>, deadline: Option<Instant>) -> Arc<Self> {
        let id = next_id();
        let own = deadline.map(|at| Deadline { at, scope: id });
        let deadline = match (own, self.deadline) {
            (Some(own), Some(outer)) if outer.at <= own.at => Some(outer),
            (Some(own), _) => Some(own),
            (None, outer) => outer,
        };
        Arc::new(Self {
            run: Arc::clone(&self.run),
            id,
            step: step.map(Arc::from).or_else(|| self.step.clone()),
            cancel: self.cancel.child(),
            deadline,
            parent: Some(Arc::clone(self)),
        })
    }

    /// The scope in which this thread runs script code.
    ///
    /// # Errors
    /// `kernel.no_scope` outside of a run, which is a mistake of the host.
    pub fn current() -> Result<Arc<Self>> {
        CURRENT
            .with_borrow(Clone::clone)
            .ok_or_else(|| Error::new("kernel.no_scope", "a primitive was called outside of a run"))
    }

    /// Run `work` on this thread inside this scope.
    pub fn enter<T>(self: &Arc<Self>, work: impl FnOnce() -> T) -> T {
        struct Restore(Option<Arc<Scope>>);
        impl Drop for Restore {
            fn drop(&mut self) {
                CURRENT.set(self.0.take());
            }
        }
        let _restore = Restore(CURRENT.replace(Some(Arc::clone(self))));
        work()
    }

    /// Why script code on this thread must stop now, if it must. For the progress callback.
    #[must_use]
    pub fn stop_of_current_thread() -> Option<Error> {
        CURRENT
            .with_borrow(|scope| scope.as_ref().and_then(|scope| scope.stop()))
            .map(Error::stop)
    }

    /// Why this scope must stop now, if it must.
    #[must_use]
    pub fn stop(&self) -> Option<Stop> {
        let mut scope = Some(self);
        while let Some(s) = scope {
            if s.cancel.is_cancelled() {
                return Some(match s.parent {
                    None => Stop::Interrupted,
                    Some(_) => Stop::Cancelled(s.id),
                });
            }
            scope = s.parent.as_deref();
        }
        self.deadline
            .filter(|d| d.at <= Instant::now())
            .map(|d| Stop::Deadline(d.scope))
    }

    /// Wait until this scope must stop.
    pub async fn stopped(&self) -> Stop {
        let deadline = async {
            match self.deadline {
                Some(deadline) => tokio::time::sleep_until(deadline.at.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = self.cancel.cancelled() => {}
            () = deadline => {}
        }
        self.stop().unwrap_or(Stop::Interrupted)
    }

    /// Cancel this scope and what runs inside it.
    pub fn cancel(&self) {
        self.cancel.cancel();
    }

    /// The number that [`Stop`] names it by.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The run.
    #[must_use]
    pub fn run(&self) -> &Arc<Run> {
        &self.run
    }

    /// The path of the current step.
    #[must_use]
    pub fn step(&self) -> Option<&str> {
        self.step.as_deref()
    }

    /// When the nearest deadline is.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline.map(|d| d.at)
    }
}

fn next_id() -> u64 {
    NEXT_ID.fetch_add(1, Ordering::Relaxed)
}
