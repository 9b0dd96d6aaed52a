//! Texts made of values, shared by the namespaces that give them back and those that print them:
//! templates, tables, diffs.

mod diff;
mod table;
mod template;

pub use diff::{DiffOptions, unified};
pub use table::{TableOptions, table};
pub use template::{Secrets, render};
