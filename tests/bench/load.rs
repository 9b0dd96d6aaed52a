//! `load PORT FILE`: asks for the API and the frontend until FILE is there, then prints the numbers of requests that were
//! answered and that failed, and the milliseconds that the slowest took.
#![allow(clippy::print_stdout, reason = "its answer")]

use std::path::Path;
use std::time::Duration;

use ccrun_tests::load::Load;

fn main() {
    let words: Vec<String> = std::env::args().collect();
    let [_, port, file] = words.as_slice() else {
        panic!("load PORT FILE");
    };
    let port = port.parse().expect("a port");
    let load = Load::start(port, &["/api/", "/", "/api/", "/"]);
    while !Path::new(file).exists() {
        std::thread::sleep(Duration::from_millis(100));
    }
    let outcome = load.stop();
    println!(
        "{} {} {}",
        outcome.good,
        outcome.failed.len(),
        outcome.slowest.as_millis()
    );
}
