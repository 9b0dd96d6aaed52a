//! What a call costs. Not a test of a time, which depends on the machine: it prints the ratio.

use std::time::Instant;

use sqlx::{Connection as _, PgConnection};

use super::Bed;

/// `cargo test -p ccrun-stdlib pg::tests::speed -- --ignored --nocapture`
#[test]
#[ignore = "a benchmark"]
fn ten_thousand_values() {
    let bed = Bed::new();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let plain = || {
        runtime.block_on(async {
            let mut connection = PgConnection::connect(&bed.url()).await.unwrap();
            let started = Instant::now();
            for _ in 0..10_000 {
                let one: i32 = sqlx::query_scalar("select 1")
                    .fetch_one(&mut connection)
                    .await
                    .unwrap();
                assert_eq!(one, 1);
            }
            started.elapsed()
        })
    };
    // What a run costs to start, and its connection, is not what a call costs.
    let timed = |calls: usize| {
        let started = Instant::now();
        bed.run(&format!(
            "for i in 0..{calls} {{ if db.value(`select 1`) != 1 {{ throw `not 1` }} }}"
        ));
        started.elapsed()
    };
    let script = || timed(10_001).saturating_sub(timed(1));
    for _ in 0..3 {
        let (plain, script) = (plain(), script());
        println!(
            "sqlx {plain:?}, db.value {script:?}: ratio {:.2}",
            script.as_secs_f64() / plain.as_secs_f64()
        );
    }
}
