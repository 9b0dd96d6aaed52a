//! What is tried: statements, as whom, and what must come of them.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::model::{Belongs, Function, Table, View};
use super::rows::{Row, Tenant, quoted};

/// Who tries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Identity {
    /// No token.
    Anon,
    /// No token that is signed in, but claims that say the owner's id.
    AnonForged,
    /// The tenant whose own rows are looked at.
    Own,
    /// The other tenant.
    Other,
    /// A token without `sub`.
    NoSubject,
    /// A token without the claims that tell tenants apart.
    NoTenant,
    /// The trusted role.
    Service,
}

impl Identity {
    /// Everybody.
    pub const ALL: [Self; 7] = [
        Self::Anon,
        Self::AnonForged,
        Self::Own,
        Self::Other,
        Self::NoSubject,
        Self::NoTenant,
        Self::Service,
    ];

    /// How people call it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Anon => "anon",
            Self::AnonForged => "anon, forged sub",
            Self::Own => "A",
            Self::Other => "B",
            Self::NoSubject => "authenticated, no sub",
            Self::NoTenant => "authenticated, no tenant",
            Self::Service => "service_role",
        }
    }

    /// The database role.
    pub fn role(self) -> &'static str {
        match self {
            Self::Anon | Self::AnonForged => "anon",
            Self::Service => "service_role",
            _ => "authenticated",
        }
    }

    /// The claims, for probes on rows of `owner`.
    pub fn claims(self, owner: &Tenant, other: &Tenant) -> Value {
        match self {
            Self::Anon => json!({ "role": "anon" }),
            Self::AnonForged => {
                let mut claims = owner.token();
                claims["role"] = "anon".into();
                claims
            }
            Self::Own => owner.token(),
            Self::Other => other.token(),
            Self::NoSubject => {
                let mut claims = other.token();
                claims.as_object_mut().map(|map| map.remove("sub"));
                claims
            }
            Self::NoTenant => {
                json!({ "sub": uuid::Uuid::new_v4().to_string(), "role": "authenticated", "aud": "authenticated" })
            }
            Self::Service => json!({ "role": "service_role" }),
        }
    }
}

/// What is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Operation {
    /// Read the row.
    Select,
    /// Add a row of the owner's.
    Insert,
    /// Add it, or change the one that is there.
    Upsert,
    /// Change the row.
    Update,
    /// Give one's own row to somebody else.
    GiveAway,
    /// Change every row, without naming or reading one: policies for SELECT are not asked then.
    BlindUpdate,
    /// Remove the row.
    Delete,
    /// Remove every row, without naming one.
    BlindDelete,
    /// Read it through a view.
    View,
    /// Read it through a function.
    Function,
    /// Learn from a unique key that the row exists.
    UniqueOracle,
}

impl Operation {
    /// How people call it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Select => "SELECT",
            Self::Insert => "INSERT",
            Self::Upsert => "UPSERT",
            Self::Update => "UPDATE",
            Self::BlindUpdate => "UPDATE ALL",
            Self::BlindDelete => "DELETE ALL",
            Self::GiveAway => "GIVE AWAY",
            Self::Delete => "DELETE",
            Self::View => "VIEW",
            Self::Function => "FUNCTION",
            Self::UniqueOracle => "DUPLICATE KEY",
        }
    }
}

/// So many rows at most are in a table on which statements without WHERE are tried.
const BLIND_UP_TO: f64 = 10_000.0;

/// What must come of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// Nothing is seen, nothing changes.
    Denied,
    /// It works: without it, that others are denied proves nothing.
    Works,
    /// Either: what there is to see is whether it works.
    Any,
}

/// One try.
#[derive(Debug, Clone)]
pub struct Probe {
    /// What is tried.
    pub operation: Operation,
    /// By whom.
    pub identity: Identity,
    /// What must come of it.
    pub expected: Expected,
    /// The statement.
    pub sql: String,
    /// What a role past all policies looks at before and after.
    pub truth: Option<String>,
    /// The claims, as text.
    pub claims: String,
    /// What is tried through: a view or a function.
    pub through: Option<String>,
}

impl Probe {
    /// For the function that tries it.
    pub fn to_json(&self) -> Value {
        let mut probe =
            json!({ "role": self.identity.role(), "claims": self.claims, "sql": self.sql });
        if let Some(truth) = &self.truth {
            probe["truth"] = truth.clone().into();
        }
        probe
    }
}

/// What is known of a table for making probes.
pub struct Subject<'a> {
    /// The table.
    pub table: &'a Table,
    /// How its rows belong to somebody.
    pub belongs: Option<&'a Belongs>,
    /// A's row: column numbers and literals.
    pub own: &'a HashMap<i16, String>,
    /// A row that A could add.
    pub fresh: Row,
    /// A row that A could add if A's were not there: with its unique values.
    pub twin: Row,
    /// A row of B's own that has A's unique values.
    pub oracle: Option<Row>,
    /// What says that a row is B's: the owning column as SQL, and B's value.
    pub given_away: Option<(String, String)>,
    /// Views that read it.
    pub views: Vec<&'a View>,
    /// Whether everybody who is signed in may read it, and whether the whole world may.
    pub shared: (bool, bool),
}

impl Subject<'_> {
    /// `id = '…'::uuid AND …`: the row, and no other.
    pub fn this_row(&self) -> Option<String> {
        let all: Vec<i16>;
        let key = match &self.table.key {
            Some(key) => key,
            None => {
                all = self.own.keys().copied().collect();
                &all
            }
        };
        let parts: Option<Vec<String>> = key
            .iter()
            .map(|number| {
                let column = self.table.column(*number)?;
                let value = self.own.get(number)?;
                Some(match value.as_str() {
                    "NULL" => format!("{} IS NULL", column.quoted),
                    value => format!("{} = {value}", column.quoted),
                })
            })
            .collect();
        parts
            .filter(|parts| !parts.is_empty())
            .map(|parts| parts.join(" AND "))
    }

    /// Everything that is tried on A's row, by everybody.
    pub fn probes(&self, owner: &Tenant, other: &Tenant) -> Vec<Probe> {
        let Some(this_row) = self.this_row() else {
            return Vec::new();
        };
        let shown = &self.table.shown;
        let version = format!("SELECT xmin::text || ctid::text FROM {shown} WHERE {this_row}");
        let touched = self.touched_column();
        let mut probes = Vec::new();
        for identity in Identity::ALL {
            let claims = identity.claims(owner, other).to_string();
            let mut add =
                |operation, sql: String, truth: Option<String>, through: Option<String>| {
                    probes.push(Probe {
                        operation,
                        identity,
                        expected: self.expected(identity, operation),
                        sql,
                        truth,
                        claims: claims.clone(),
                        through,
                    });
                };
            add(
                Operation::Select,
                format!("SELECT 1 FROM {shown} WHERE {this_row}"),
                None,
                None,
            );
            if !self.fresh.is_empty() {
                add(Operation::Insert, insert(shown, &self.fresh), None, None);
            }
            if let Some(column) = &touched {
                add(
                    Operation::Update,
                    format!("UPDATE {shown} SET {column} = {column} WHERE {this_row}"),
                    Some(version.clone()),
                    None,
                );
                if let Some(key) = self.key_columns() {
                    add(
                        Operation::Upsert,
                        format!(
                            "{} ON CONFLICT ({key}) DO UPDATE SET {column} = excluded.{column}",
                            insert(shown, &self.twin)
                        ),
                        Some(version.clone()),
                        None,
                    );
                }
            }
            if identity == Identity::Other
                && let Some(row) = &self.oracle
            {
                add(Operation::UniqueOracle, insert(shown, row), None, None);
            }
            if identity == Identity::Own
                && let Some((column, value)) = &self.given_away
            {
                // With WHERE the new row must pass the policies for SELECT too: without it those for UPDATE alone.
                let which = match self.table.rows < BLIND_UP_TO {
                    true => String::new(),
                    false => format!(" WHERE {this_row}"),
                };
                add(
                    Operation::GiveAway,
                    format!("UPDATE {shown} SET {column} = {value}{which}"),
                    Some(version.clone()),
                    None,
                );
            }
            add(
                Operation::Delete,
                format!("DELETE FROM {shown} WHERE {this_row}"),
                Some(version.clone()),
                None,
            );
            // On large tables a hole in a policy would mean to touch every row.
            if self.table.rows < BLIND_UP_TO && identity != Identity::Service {
                add(
                    Operation::BlindDelete,
                    format!("DELETE FROM {shown}"),
                    Some(version.clone()),
                    None,
                );
                if let Some((column, value)) = self.constant() {
                    add(
                        Operation::BlindUpdate,
                        format!("UPDATE {shown} SET {column} = {value}"),
                        Some(version.clone()),
                        None,
                    );
                }
            }
            for view in &self.views {
                if let Some(condition) = self.in_view(view) {
                    add(
                        Operation::View,
                        format!("SELECT 1 FROM {} WHERE {condition}", view.shown),
                        None,
                        Some(view.shown.clone()),
                    );
                }
            }
        }
        probes
    }

    /// A column that every row may have the same of, and A's value of it.
    fn constant(&self) -> Option<(String, String)> {
        let in_key = |number: i16| {
            let keys = self.table.key.iter().chain(&self.table.unique);
            keys.into_iter().any(|key| key.contains(&number))
        };
        self.table
            .columns
            .iter()
            .filter(|column| !column.generated && !in_key(column.number))
            .find_map(|column| Some((column.quoted.clone(), self.own.get(&column.number)?.clone())))
    }

    fn in_view(&self, view: &View) -> Option<String> {
        let key = self.table.key.as_ref()?;
        let parts: Option<Vec<String>> = key
            .iter()
            .map(|number| {
                let column = self.table.column(*number)?;
                view.columns.contains(&column.name).then_some(())?;
                Some(format!("{} = {}", column.quoted, self.own.get(number)?))
            })
            .collect();
        parts.map(|parts| parts.join(" AND "))
    }

    fn key_columns(&self) -> Option<String> {
        let names: Option<Vec<&str>> = self
            .table
            .key
            .as_ref()?
            .iter()
            .map(|number| Some(self.table.column(*number)?.quoted.as_str()))
            .collect();
        names.map(|names| names.join(", "))
    }

    /// A column that can be set to what it is: not the one that says whose the row is, if there is another.
    fn touched_column(&self) -> Option<String> {
        let own = match self.belongs {
            Some(
                Belongs::User(number) | Belongs::Claim(number, _) | Belongs::Through(number, _),
            ) => Some(*number),
            None => None,
        };
        let free = |column: &&super::model::Column| !column.generated;
        let columns = self.table.columns.iter().filter(free);
        let mut columns: Vec<_> = columns.collect();
        let is_key = |number: i16| {
            self.table
                .key
                .as_ref()
                .is_some_and(|key| key.contains(&number))
        };
        columns.sort_by_key(|column| (Some(column.number) == own, is_key(column.number)));
        columns.first().map(|column| column.quoted.clone())
    }

    fn expected(&self, identity: Identity, operation: Operation) -> Expected {
        let (signed_in, world) = self.shared;
        let reads = matches!(operation, Operation::Select | Operation::View);
        match identity {
            Identity::Service => Expected::Any,
            Identity::Own => {
                if operation == Operation::GiveAway {
                    return Expected::Denied;
                }
                if matches!(
                    operation,
                    Operation::View
                        | Operation::Upsert
                        | Operation::BlindUpdate
                        | Operation::BlindDelete
                ) {
                    return Expected::Any;
                }
                let (grant, command) = match operation {
                    Operation::Select => ("SELECT", 'r'),
                    Operation::Insert => ("INSERT", 'a'),
                    Operation::Update => ("UPDATE", 'w'),
                    _ => ("DELETE", 'd'),
                };
                let allowed = self.table.grants("authenticated", grant)
                    && self.table.policies.iter().any(|policy| policy.gives("authenticated", command))
                    // An UPDATE or DELETE that names a row must be able to see it.
                    && (command == 'r' || command == 'a' || (self.table.grants("authenticated", "SELECT")
                        && self.table.policies.iter().any(|policy| policy.gives("authenticated", 'r'))));
                if allowed {
                    Expected::Works
                } else {
                    Expected::Any
                }
            }
            Identity::Anon | Identity::AnonForged if reads && world => Expected::Any,
            _ if reads && (world || (signed_in && identity.role() == "authenticated")) => {
                Expected::Any
            }
            _ => Expected::Denied,
        }
    }
}

/// A function called by everybody: whether what it returns has the owner's id in it.
pub fn calls(function: &Function, owner: &Tenant, other: &Tenant) -> Vec<Probe> {
    let given = function.arguments.len() - function.defaults.min(function.arguments.len());
    let arguments: Vec<String> = function.arguments[..given]
        .iter()
        .map(|data_type| match data_type.as_str() {
            // Somebody's id that one has got hold of.
            "uuid" => format!("{}::uuid", quoted(&owner.user)),
            data_type => format!("NULL::{data_type}"),
        })
        .collect();
    let call = format!("{}({})", function.shown, arguments.join(", "));
    let needle = quoted(&owner.user);
    // One that hands its argument back tells nothing new.
    let enough = match arguments
        .iter()
        .any(|argument| argument.ends_with("::uuid"))
    {
        true => format!(
            "to_jsonb(f)::text <> {}",
            quoted(&format!("\"{}\"", owner.user))
        ),
        false => "true".to_owned(),
    };
    Identity::ALL
        .into_iter()
        .map(|identity| Probe {
            operation: Operation::Function,
            identity,
            expected: match identity {
                Identity::Own | Identity::Service => Expected::Any,
                _ => Expected::Denied,
            },
            sql: format!("SELECT 1 FROM {call} AS f WHERE strpos(to_jsonb(f)::text, {needle}) > 0 AND {enough}"),
            truth: None,
            claims: identity.claims(owner, other).to_string(),
            through: None,
        })
        .collect()
}

/// An INSERT of a row.
pub fn insert(shown: &str, row: &Row) -> String {
    if row.is_empty() {
        return format!("INSERT INTO {shown} DEFAULT VALUES");
    }
    let columns: Vec<&str> = row.iter().map(|(column, _)| column.as_str()).collect();
    let values: Vec<&str> = row.iter().map(|(_, value)| value.as_str()).collect();
    format!(
        "INSERT INTO {shown} ({}) VALUES ({})",
        columns.join(", "),
        values.join(", ")
    )
}
