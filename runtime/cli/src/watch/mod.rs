//! `ccrun watch`: what the daemon is given.

pub mod checked;
mod host;
pub mod list;
pub mod settings;

pub use host::CliHost;

use ccrun_kernel::Result;
use ccrun_watch::{Places, ledger::Ledger};

use crate::app::App;

/// Where the daemon keeps its things.
///
/// # Errors
/// `config.watch`, or that the secret of the ledger's address is not there.
pub fn places(app: &App) -> Result<Places> {
    let postgres = match settings::ledger(&app.config)? {
        None => None,
        Some(url) => Some(match url.strip_prefix("secret:") {
            None => url,
            Some(name) => {
                let target = app.config.target(app.common.target.as_deref())?;
                let store = app.secrets(&target, &ccrun_kernel::secret::Redactor::default())?;
                app.block_on(store.get(name))?.expose().to_owned()
            }
        }),
    };
    Ok(Places {
        folder: app.config.folder.clone(),
        state: app.journal_folder(),
        postgres,
    })
}

/// The ledger that the daemon uses.
///
/// # Errors
/// `watch.ledger`
pub fn ledger(app: &App) -> Result<Ledger> {
    let places = places(app)?;
    app.block_on(async {
        match &places.postgres {
            Some(url) => Ledger::open_postgres(url).await,
            None => Ledger::open(&places.state).await,
        }
    })
}
