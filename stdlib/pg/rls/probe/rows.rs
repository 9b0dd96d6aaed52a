//! Rows of two tenants, made inside of the transaction.

use std::collections::{HashMap, HashSet};

use super::model::{Belongs, Column, Intent, Model, Table};

/// Somebody whose rows are made.
#[derive(Debug, Clone)]
pub struct Tenant {
    /// `a` or `b`; also a part of every text of theirs.
    pub letter: char,
    /// The user's id.
    pub user: String,
    /// Further claims of the token.
    pub claims: HashMap<String, String>,
}

impl Tenant {
    /// Somebody new.
    pub fn new(letter: char, claims: impl IntoIterator<Item = String>) -> Self {
        Self {
            letter,
            user: uuid::Uuid::new_v4().to_string(),
            claims: claims
                .into_iter()
                .map(|claim| (claim, uuid::Uuid::new_v4().to_string()))
                .collect(),
        }
    }

    /// The claims of the token.
    pub fn token(&self) -> serde_json::Value {
        let mut claims = serde_json::json!({ "sub": self.user, "role": "authenticated", "aud": "authenticated" });
        for (name, value) in &self.claims {
            claims[name] = value.clone().into();
            claims["app_metadata"][name] = value.clone().into();
        }
        claims
    }
}

/// A row as SQL expressions, by the names of its columns as SQL has them.
pub type Row = Vec<(String, String)>;

/// Makes rows.
pub struct Maker<'m> {
    model: &'m Model,
    intent: &'m Intent,
    belongs: &'m HashMap<i64, Belongs>,
    by_oid: HashMap<i64, &'m Table>,
    /// The key of the row that each tenant has in each table: columns and literals.
    have: HashMap<(char, i64), HashMap<i16, String>>,
    /// The same as texts.
    texts: HashMap<(char, i64), HashMap<i16, String>>,
    open: HashSet<(char, i64)>,
    counter: u64,
}

impl<'m> Maker<'m> {
    /// Without any row yet.
    pub fn new(model: &'m Model, intent: &'m Intent, belongs: &'m HashMap<i64, Belongs>) -> Self {
        Self {
            model,
            intent,
            belongs,
            by_oid: model
                .tables
                .iter()
                .map(|table| (table.oid, table))
                .collect(),
            have: HashMap::new(),
            texts: HashMap::new(),
            open: HashSet::new(),
            counter: u64::from(rand::random::<u32>()),
        }
    }

    /// Remember what the server says a tenant's row has.
    pub fn remember(
        &mut self,
        tenant: &Tenant,
        table: &Table,
        row: HashMap<i16, String>,
        texts: HashMap<i16, String>,
    ) {
        self.texts.insert((tenant.letter, table.oid), texts);
        self.have.insert((tenant.letter, table.oid), row);
        self.open.remove(&(tenant.letter, table.oid));
    }

    /// The row of a tenant: column numbers and literals.
    pub fn row(&self, tenant: &Tenant, table: &Table) -> Option<&HashMap<i16, String>> {
        self.have.get(&(tenant.letter, table.oid))
    }

    /// The texts of a tenant's row that nobody else's has: ids, and what was invented.
    pub fn needles(&self, tenant: &Tenant, others: &Tenant, table: &Table) -> Vec<String> {
        let Some(texts) = self.texts.get(&(tenant.letter, table.oid)) else {
            return Vec::new();
        };
        let other = self.texts.get(&(others.letter, table.oid));
        texts
            .iter()
            .filter(|(number, text)| {
                text.len() >= 12
                    && text.parse::<f64>().is_err()
                    && table.column(**number).is_some_and(|column| {
                        column.base.name == "uuid" || column.base.category == 'S'
                    })
                    && other.and_then(|row| row.get(number)) != Some(text)
            })
            .map(|(_, text)| text.clone())
            .collect()
    }

    /// The tables whose rows must be there before one of this table is: those it refers to, and cannot do without.
    pub fn needs(&mut self, tenant: &Tenant, table: &'m Table) -> Vec<&'m Table> {
        self.open.insert((tenant.letter, table.oid));
        let belongs = self.belongs.get(&table.oid);
        table
            .foreign
            .iter()
            .filter(|key| {
                let wanted = key.columns.iter().any(|&number| {
                    table.column(number).is_some_and(|column| column.required)
                        || belongs.and_then(Belongs::column) == Some(number)
                });
                wanted
                    && !self.have.contains_key(&(tenant.letter, key.target))
                    && !self.open.contains(&(tenant.letter, key.target))
            })
            .filter_map(|key| self.by_oid.get(&key.target).copied())
            .collect()
    }

    /// A new row of a tenant's. With `like`, unique values are those of that row: it can't be added where that one is.
    pub fn make(
        &mut self,
        tenant: &Tenant,
        table: &Table,
        like: Option<&HashMap<i16, String>>,
    ) -> Row {
        let mut row = Row::new();
        for column in &table.columns {
            if column.generated {
                continue;
            }
            let value = self.value(tenant, table, column, like);
            if let Some(value) = value {
                row.push((column.quoted.clone(), value));
            }
        }
        row
    }

    fn value(
        &mut self,
        tenant: &Tenant,
        table: &Table,
        column: &Column,
        like: Option<&HashMap<i16, String>>,
    ) -> Option<String> {
        let said = self
            .intent
            .values
            .get(&table.shown)
            .and_then(|values| values.get(&column.name));
        if let Some(expression) = said {
            return Some(expression.clone());
        }
        match self.belongs.get(&table.oid) {
            Some(Belongs::User(number)) if *number == column.number => {
                return Some(literal(&tenant.user, column));
            }
            Some(Belongs::Claim(number, claim)) if *number == column.number => {
                return tenant.claims.get(claim).map(|value| literal(value, column));
            }
            _ => {}
        }
        if let Some(key) = table.foreign_of(column.number)
            && let Some(row) = self.have.get(&(tenant.letter, key.target))
        {
            let place = key
                .columns
                .iter()
                .position(|&number| number == column.number)?;
            let own = matches!(self.belongs.get(&table.oid), Some(Belongs::Through(number, _)) if *number == column.number);
            if column.required || own {
                return row.get(key.target_columns.get(place)?).cloned();
            }
        }
        // Without a place in some partition there is no row.
        if let Some(place) = table.place(column.number) {
            return Some(format!("{place}::{}", column.data_type));
        }
        let is_unique = table.unique.iter().any(|key| key.contains(&column.number));
        if is_unique && let Some(value) = like.and_then(|row| row.get(&column.number)) {
            return Some(value.clone());
        }
        let is_key = table
            .key
            .as_ref()
            .is_some_and(|key| key.contains(&column.number));
        if column.required
            || (is_key && column.base.name == "uuid")
            || (is_unique && column.base.category == 'S')
        {
            return Some(self.invent(tenant, column));
        }
        None
    }

    /// Something that fits a type, and is not there yet.
    fn invent(&mut self, tenant: &Tenant, column: &Column) -> String {
        self.counter += 1;
        let number = self.counter;
        let base = column.base.name.as_str();
        let text = match (base, column.base.kind, column.base.category) {
            (_, 'e', _) => column.base.label.clone().unwrap_or_default(),
            ("uuid", ..) => uuid::Uuid::new_v4().to_string(),
            ("smallint", ..) => (number % 30_000).to_string(),
            ("integer", ..) => (number % 2_000_000_000).to_string(),
            (_, _, 'N') => (number % 1_000_000).to_string(),
            (_, _, 'B') => "false".to_owned(),
            ("date", ..) => "2025-01-01".to_owned(),
            ("time without time zone" | "time with time zone", ..) => "12:00".to_owned(),
            (_, _, 'D') => "2025-01-01 00:00:00+00".to_owned(),
            ("interval", ..) => "1 hour".to_owned(),
            ("json" | "jsonb", ..) => "{}".to_owned(),
            ("bytea", ..) => format!("\\x{number:016x}"),
            ("inet" | "cidr", ..) => "192.0.2.1".to_owned(),
            ("macaddr", ..) => "08:00:2b:01:02:03".to_owned(),
            ("xml", ..) => "<a/>".to_owned(),
            ("point", ..) => "(0,0)".to_owned(),
            ("tsvector", ..) => "probe".to_owned(),
            (_, 'r' | 'm', _) => "empty".to_owned(),
            (_, _, 'A') => "{}".to_owned(),
            (_, _, 'V') => "0".to_owned(),
            _ if column.name.contains("mail") => {
                format!("probe-{}-{number}@example.org", tenant.letter)
            }
            _ if column.name.contains("url") => {
                format!("https://example.org/{}-{number}", tenant.letter)
            }
            _ => {
                let text = format!("ccrun-probe-{}-{number}", tenant.letter);
                match column.limit {
                    Some(limit) if (limit as usize) < text.len() => format!("{number}")
                        .chars()
                        .rev()
                        .take(limit as usize)
                        .collect(),
                    _ => text,
                }
            }
        };
        literal(&text, column)
    }

    /// The user accounts.
    pub fn users(&self) -> Option<&'m Table> {
        self.model
            .tables
            .iter()
            .find(|table| table.schema == "auth" && table.name == "users")
    }
}

/// A value as SQL has it.
fn literal(text: &str, column: &Column) -> String {
    format!("{}::{}", quoted(text), column.data_type)
}

/// A name as SQL has it: in quotes unless it is a plain one.
pub fn identifier(name: &str) -> String {
    let is_plain = name
        .chars()
        .all(|sign| sign.is_ascii_lowercase() || sign.is_ascii_digit() || sign == '_')
        && !name.is_empty()
        && !name.starts_with(|sign: char| sign.is_ascii_digit());
    match is_plain {
        true => name.to_owned(),
        false => format!("\"{}\"", name.replace('"', "\"\"")),
    }
}

/// A text as SQL has it.
pub fn quoted(text: &str) -> String {
    let escaped = text.replace('\'', "''");
    match escaped.contains('\\') {
        true => format!("E'{}'", escaped.replace('\\', "\\\\")),
        false => format!("'{escaped}'"),
    }
}
