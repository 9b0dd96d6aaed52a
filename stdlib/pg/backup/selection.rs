//! A part of a backup: which entries of the archive are restored.
//!
//! `pg_restore --table` and `--schema` leave out what tables need: their schema, types, sequences, functions, indexes.
//! So the schema is restored as a whole, with the rows of the tables that are wanted.

use std::collections::{HashMap, HashSet};

use ccrun_kernel::value::closest;
use ccrun_kernel::{Error, Result};

use super::archive::Entry;

/// What is wanted.
#[derive(Debug, Default, Clone)]
pub struct Wanted<'o> {
    /// The rows of all tables of these schemas.
    pub schemas: &'o [String],
    /// The rows of these tables, `name` or `schema.name`; of a partitioned one, those of its partitions.
    pub tables: &'o [String],
}

/// What is restored.
#[derive(Debug, PartialEq, Eq)]
pub struct Selection {
    /// The numbers of the entries, in the order of the archive.
    pub entries: Vec<i64>,
    /// The tables with rows: schema and name.
    pub tables: HashSet<(String, String)>,
    /// Foreign keys that are left out: the rows that they point to may not be there.
    pub left_out: usize,
}

/// Choose.
///
/// # Errors
/// `pg.backup_part` for a schema or table that the backup has not, with the nearest name.
pub fn select(entries: &[Entry], wanted: &Wanted<'_>) -> Result<Selection> {
    let tables: Vec<&Entry> = entries
        .iter()
        .filter(|entry| entry.kind == "TABLE")
        .collect();
    for schema in wanted.schemas {
        if !entries.iter().any(|entry| entry.schema == *schema) {
            let names = tables.iter().map(|entry| entry.schema.as_str());
            return Err(missing("schema", schema, names));
        }
    }
    let mut chosen: HashSet<i64> = HashSet::new();
    for name in wanted.tables {
        let before = chosen.len();
        let fitting = tables.iter().filter(|entry| is_called(entry, name));
        chosen.extend(fitting.map(|entry| entry.id));
        if chosen.len() == before && !tables.iter().any(|entry| is_called(entry, name)) {
            let full: Vec<String> = tables
                .iter()
                .map(|entry| format!("{}.{}", entry.schema, entry.name))
                .collect();
            let short = tables.iter().map(|entry| entry.name.as_str());
            return Err(missing(
                "table",
                name,
                full.iter().map(String::as_str).chain(short),
            ));
        }
    }
    let in_schema = tables
        .iter()
        .filter(|entry| wanted.schemas.contains(&entry.schema));
    chosen.extend(in_schema.map(|entry| entry.id));
    with_partitions(entries, &mut chosen);
    let rows_of: HashSet<(String, String)> = tables
        .iter()
        .filter(|entry| chosen.contains(&entry.id))
        .map(|entry| (entry.schema.clone(), entry.name.clone()))
        .collect();
    let mut left_out = 0;
    let mut kept = Vec::new();
    let mut with_rows = HashSet::new();
    for entry in entries {
        let keep = match entry.kind.as_str() {
            "TABLE DATA" => {
                let name = (entry.schema.clone(), entry.name.clone());
                let keep = rows_of.contains(&name);
                if keep {
                    with_rows.insert(name);
                }
                keep
            }
            "FK CONSTRAINT" => {
                left_out += 1;
                false
            }
            // Computed from rows that may not be there; a subscription would begin to receive.
            "MATERIALIZED VIEW DATA" | "SUBSCRIPTION" | "SUBSCRIPTION TABLE" => false,
            _ => true,
        };
        if keep {
            kept.push(entry.id);
        }
    }
    Ok(Selection {
        entries: kept,
        tables: with_rows,
        left_out,
    })
}

fn is_called(entry: &Entry, name: &str) -> bool {
    entry.name == name
        || name
            .strip_prefix(entry.schema.as_str())
            .and_then(|rest| rest.strip_prefix('.'))
            .is_some_and(|rest| rest == entry.name)
}

/// Add the partitions of what is chosen, and theirs.
fn with_partitions(entries: &[Entry], chosen: &mut HashSet<i64>) {
    let tables: HashMap<i64, &Entry> = entries
        .iter()
        .filter(|entry| entry.kind == "TABLE")
        .map(|entry| (entry.id, entry))
        .collect();
    // An attachment depends on two tables: the partition, whose name it has, and the one that it is attached to.
    let mut attached: Vec<(i64, i64)> = Vec::new();
    for entry in entries.iter().filter(|entry| entry.kind == "TABLE ATTACH") {
        let known = |id: &&i64| tables.contains_key(*id);
        let (mut partition, mut parent) = (None, None);
        for id in entry.depends_on.iter().filter(known) {
            let table = tables[id];
            if table.schema == entry.schema && table.name == entry.name {
                partition = Some(*id);
            } else {
                parent = Some(*id);
            }
        }
        if let (Some(partition), Some(parent)) = (partition, parent) {
            attached.push((partition, parent));
        }
    }
    loop {
        let more: Vec<i64> = attached
            .iter()
            .filter(|(partition, parent)| chosen.contains(parent) && !chosen.contains(partition))
            .map(|(partition, _)| *partition)
            .collect();
        if more.is_empty() {
            return;
        }
        chosen.extend(more);
    }
}

fn missing<'n>(what: &str, name: &str, names: impl Iterator<Item = &'n str>) -> Error {
    let error = Error::new(
        "pg.backup_part",
        format!("the backup has no {what} {name}; nothing was made"),
    );
    match closest(name, names) {
        Some(nearest) => error.hint(format!("did you mean `{nearest}`?")),
        None => error.hint("`ccrun backups -p action=show` lists its tables"),
    }
}
