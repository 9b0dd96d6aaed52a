//! `ccrun -e`.

use ccrun_kernel::{Result, run};

use crate::app::{App, Source};

/// Evaluate a piece of script and print its value.
pub fn eval(app: &App, text: &str) -> Result<u8> {
    let prepared = app.prepare(Source::script("-e", text))?;
    run::on_script_thread(|| prepared.execute(app))?
}
