//! Mail by SMTP: a session with a server, step by step, and letters. `smtp` and `alert` share it.

mod client;
mod failure;
mod letter;
mod server;
mod session;

pub use client::Mailer;
pub use letter::{Draft, Letter};
pub use server::{Encryption, Section, Server};
pub use session::{Delivery, Report};
