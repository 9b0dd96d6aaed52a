#![allow(
    clippy::disallowed_methods,
    reason = "tests look at the files and sockets themselves"
)]

mod requests;

mod transfers;
mod trust;

use ccrun_kernel::rhai::{Dynamic, Map};
use ccrun_kernel::testing::{Scratch, TestRun, eval_in};
use ccrun_kernel::{Error, Namespace, Result};

use super::namespace;

fn namespaces() -> Vec<Namespace> {
    vec![
        namespace(),
        crate::fs::namespace(),
        crate::secret::namespace(),
    ]
}

fn run(script: &str) -> Result<Dynamic> {
    eval_in(&Scratch::new().0, namespaces(), script)
}

fn map(script: &str) -> Map {
    match run(script) {
        Ok(value) => value.cast(),
        Err(error) => panic!("{script}: {error:?}"),
    }
}

fn fails(script: &str) -> Error {
    run(script).unwrap_err()
}

fn dry(script: &str) -> (Result<Dynamic>, Vec<ccrun_kernel::event::Record>) {
    TestRun::new(&Scratch::new().0, namespaces())
        .dry()
        .eval(script)
}
