//! One file per subcommand.

mod apply;
mod check;
mod completions;
pub mod doc;
mod doctor;
mod eval;
pub mod execute;
mod fire;
mod history;
mod list;
mod lock;
mod new;
pub mod params;
pub mod plan;
pub mod record;
mod repl;
mod resume;
mod run;
mod secret;
mod show;
mod watch;

use ccrun_kernel::Error;

use crate::app::App;
use crate::cli::{Cli, Command};
use crate::render;

/// Do what was typed. Returns the exit status.
pub fn dispatch(cli: Cli) -> u8 {
    let app = match App::new(cli.common) {
        Ok(app) => app,
        Err(error) => return fail(&error),
    };
    let result = match (cli.eval, cli.command) {
        (Some(text), None) => eval::eval(&app, &text),
        (Some(_), Some(_)) => Err(Error::new("usage", "`-e` and a command exclude each other")),
        (None, None | Some(Command::Repl)) => repl::repl(&app),
        (None, Some(command)) => match command {
            Command::Run(args) => run::run(&app, &args),
            Command::List => list::list(&app),
            Command::Doc { name } => doc::doc(&app, name.as_deref()),
            Command::New { name } => new::new(&app, &name),
            Command::Check { paths, rules } => check::check(&app, &paths, rules),
            Command::History(args) => history::history(&app, &args),
            Command::Show { run, events } => show::show(&app, run.as_deref(), events),
            Command::Resume(args) => resume::resume(&app, &args),
            Command::Plan { run, out } => plan::plan(&app, &run, out.as_deref()),
            Command::Apply { plan } => apply::apply(&app, &plan),
            Command::Lock(args) => lock::lock(&app, &args),
            Command::Secret(args) => secret::secret(&app, &args),
            Command::Watch(args) => watch::watch(&app, &args),
            Command::Fire {
                id: Some(id),
                run: Some(run),
                ..
            } => fire::fire(&app, &id, &run),
            Command::Fire { .. } => fire::wait(&app),
            Command::Verdicts => {
                let verdicts = crate::watch::checked::verdicts(&app);
                render::json::document(&serde_json::to_value(verdicts).unwrap_or_default());
                Ok(0)
            }
            Command::Doctor => doctor::doctor(&app),
            Command::Completions { shell } => completions::completions(shell),
            Command::RunbookHelp { file } => run::help(&app, &file),
            Command::Words { typed } => completions::words(&app, &typed),
            Command::Repl | Command::Runbook(_) => repl::repl(&app),
        },
    };
    result.unwrap_or_else(|error| fail(&error))
}

/// Show an error that is not a run's own, and say how it exits.
fn fail(error: &Error) -> u8 {
    render::remark(&render::error::render(error, None));
    match error.kind() {
        "interrupted" => 130,
        "permission_denied" | "refused" | "lock_held" | "journal.run_active" | "plan.drift" => 3,
        kind if [
            "usage", "param", "syntax", "header", "runbook", "config", "check",
        ]
        .iter()
        .any(|prefix| kind.split('.').next() == Some(prefix)) =>
        {
            2
        }
        _ => 1,
    }
}
