//! The peer of `db.value("select 1")` in a loop: the same statement in plain sqlx, one after another.
//! Prints the microseconds a query took on average.
#![allow(clippy::print_stdout, reason = "the result of a measurement")]

use std::time::Instant;

use anyhow::{Context, Result};
use sqlx::{Connection as _, PgConnection};

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let url = arguments.next().context("the URL of a database")?;
    let count: u32 = arguments.next().context("how many queries")?.parse()?;

    // One connection and no pool: the least that it can cost.
    let mut connection = PgConnection::connect(&url).await?;
    query(&mut connection).await?;

    let started = Instant::now();
    for _ in 0..count {
        query(&mut connection).await?;
    }
    println!(
        "{:.2}",
        started.elapsed().as_secs_f64() * 1e6 / f64::from(count)
    );
    Ok(())
}

async fn query(connection: &mut PgConnection) -> Result<i32> {
    Ok(sqlx::query_scalar("select 1").fetch_one(connection).await?)
}
