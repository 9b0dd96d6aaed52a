//! Scripts against a real engine.
#![allow(clippy::disallowed_methods, reason = "tests look at files themselves")]

mod containers;
mod images;
mod logs;
mod programs;

use ccrun_kernel::rhai::{Array, Dynamic, Map};
use ccrun_kernel::testing::{Scratch, TestRun, eval_in};
use ccrun_kernel::value::to_json;
use ccrun_kernel::{Error, Result};
use ccrun_tests::docker::{Containers, docker};
use serde_json::{Value, json};

use super::namespace;

fn run(bed: &Containers, script: &str) -> Result<Dynamic> {
    run_in(&Scratch::new(), bed, script)
}

/// `NAME` in a script stands for the bed's own prefix of names.
fn run_in(folder: &Scratch, bed: &Containers, script: &str) -> Result<Dynamic> {
    let script = script.replace("NAME", &bed.name);
    eval_in(&folder.0, vec![namespace()], &script)
}

fn does(bed: &Containers, script: &str) -> Dynamic {
    match run(bed, script) {
        Ok(value) => value,
        Err(error) => panic!("{script}: {error:?}"),
    }
}

fn gives(bed: &Containers, script: &str) -> Value {
    to_json(&does(bed, script))
}

fn fails(bed: &Containers, script: &str) -> Error {
    match run(bed, script) {
        Err(error) => error,
        Ok(value) => panic!("{script}: did not fail but gave {value:?}"),
    }
}

/// A program that ends at once when it is asked to.
const SLEEP: &[&str] = &["--init"];
