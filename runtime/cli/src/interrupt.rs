//! Ctrl-C and its relatives.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ccrun_kernel::scope::Cancel;
use tokio::signal::unix::{SignalKind, signal};

/// Cancel `cancel` at the first SIGINT, SIGTERM or SIGHUP; leave at once at the second, unless the
/// first was dealt with and `cancel` reset. While `offering`, somebody is asked what to do about the
/// first, and the next one leaves as well.
pub fn watch(handle: &tokio::runtime::Handle, cancel: Cancel, offering: Arc<AtomicBool>) {
    for kind in [
        SignalKind::interrupt(),
        SignalKind::terminate(),
        SignalKind::hangup(),
    ] {
        let (cancel, offering) = (cancel.clone(), Arc::clone(&offering));
        handle.spawn(async move {
            let Ok(mut signals) = signal(kind) else {
                return;
            };
            while signals.recv().await.is_some() {
                if cancel.is_cancelled() || offering.load(Ordering::Relaxed) {
                    // The journal holds every completed step already: nothing is lost by leaving.
                    drop(console::Term::stderr().show_cursor());
                    std::process::exit(130);
                }
                cancel.cancel();
            }
        });
    }
}
