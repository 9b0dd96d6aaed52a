//! The peer of `db.value("select 1")` in a loop: the same statement in plain sqlx, one after another.
//! Prints the microseconds a query took on average.
#![allow(clippy::print_stdout, reason = "the result of a measurement")]

use std::time::Instant;

use anyhow::{Context, Result};
use sqlx::postgres::PgPoolOptions;

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let url = arguments.next().context("the URL of a database")?;
    let count: u32 = arguments.next().context("how many queries")?.parse()?;

    let pool = PgPoolOptions::new()
        .max_connections(1)
        .connect(&url)
        .await?;
    let one = || async {
        sqlx::query_scalar::<_, i32>("select 1")
            .fetch_one(&pool)
            .await
    };
    one().await?;

    let started = Instant::now();
    for _ in 0..count {
        one().await?;
    }
    println!(
        "{:.2}",
        started.elapsed().as_secs_f64() * 1e6 / f64::from(count)
    );
    Ok(())
}
