//! `ccrun` and `ccrun repl`.

use ccrun_kernel::{Result, run};

use crate::app::{App, Source};
use crate::repl::Repl;

/// Look around interactively.
pub fn repl(app: &App) -> Result<u8> {
    let mut source = Source::script("repl", "");
    source.journaled = false;
    let prepared = app.prepare(source)?;
    run::on_script_thread(|| {
        let (mut session, terminal) = prepared.into_session();
        Repl::new(&mut session, terminal, app).run();
        let ending = session.finish(Ok(ccrun_kernel::rhai::Dynamic::UNIT));
        Ok(ending.status.exit_status())
    })?
}
