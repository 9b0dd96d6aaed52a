//! The tables that are probed, and how a row of theirs is made.

use std::collections::{BTreeMap, HashMap};

use regex::Regex;
use serde::Deserialize;

/// The statement that reads all of it.
pub const SQL: &str = include_str!("model.sql");

/// What is underneath a type.
#[derive(Debug, Deserialize, Clone)]
pub struct Base {
    /// Its name.
    pub name: String,
    /// `b` base, `e` enum, `c` composite, `r` range, `m` multirange.
    pub kind: char,
    /// `pg_type.typcategory`.
    pub category: char,
    /// The first label of an enum.
    pub label: Option<String>,
}

/// A column.
#[derive(Debug, Deserialize, Clone)]
pub struct Column {
    /// Its number.
    pub number: i16,
    /// Its name.
    pub name: String,
    /// Its name as SQL has it.
    pub quoted: String,
    /// Its type.
    #[serde(rename = "type")]
    pub data_type: String,
    /// What that is underneath.
    pub base: Base,
    /// Whether a row must give it.
    pub required: bool,
    /// Whether no row may give it.
    pub generated: bool,
    /// The most characters.
    pub limit: Option<i32>,
    /// Whether the table gives it a value by itself.
    pub has_default: bool,
    /// The roles that may read it.
    pub readable: Vec<String>,
    /// The roles that may give it in a new row.
    pub insertable: Vec<String>,
    /// The roles that may change it.
    pub updatable: Vec<String>,
}

/// A foreign key.
#[derive(Debug, Deserialize, Clone)]
pub struct Foreign {
    /// Its name.
    pub name: String,
    /// Its columns.
    pub columns: Vec<i16>,
    /// The table referred to.
    pub target: i64,
    /// Its columns.
    pub target_columns: Vec<i16>,
}

/// A policy.
#[derive(Debug, Deserialize, Clone)]
pub struct Policy {
    /// Its name.
    pub name: String,
    /// As SQL has it.
    pub quoted: String,
    /// `r`, `a`, `w`, `d`, `*`.
    pub command: char,
    /// Whether it lets in.
    pub permissive: bool,
    /// Which rows are seen.
    pub using: Option<String>,
    /// Which rows may be written.
    pub check: Option<String>,
    /// Whom it is for.
    pub roles: Vec<String>,
    /// The columns it looks at.
    pub columns: Vec<i16>,
}

impl Policy {
    /// Whether it gives `role` something for a command.
    pub fn gives(&self, role: &str, command: char) -> bool {
        self.permissive
            && (self.command == '*' || self.command == command)
            && self.roles.iter().any(|to| to == role || to == "public")
    }
}

/// A table.
#[derive(Debug, Deserialize, Clone)]
pub struct Table {
    /// Its number.
    pub oid: i64,
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// `schema.name` as SQL has it.
    pub shown: String,
    /// Whether its schema is exposed.
    pub exposed: bool,
    /// Whether row-level security is on.
    pub rls: bool,
    /// Whether it is a partition.
    pub partition: bool,
    /// Whether policies of other tables ask it, themselves or through a function.
    pub asked: bool,
    /// `r` or `p`.
    pub kind: char,
    /// About how many rows it has.
    pub rows: f64,
    /// The columns of the partition key.
    pub partitioned_by: Option<Vec<i16>>,
    /// What the first partition takes: `FOR VALUES FROM ('2025-01-01') TO ('2026-01-01')`.
    pub bound: Option<String>,
    /// What each role may do: `SELECT,INSERT`.
    pub grants: BTreeMap<String, String>,
    /// Its columns.
    pub columns: Vec<Column>,
    /// The primary key's columns.
    pub key: Option<Vec<i16>>,
    /// Other unique keys.
    pub unique: Vec<Vec<i16>>,
    /// Its foreign keys.
    pub foreign: Vec<Foreign>,
    /// Its policies.
    pub policies: Vec<Policy>,
}

impl Table {
    /// A column by its number.
    pub fn column(&self, number: i16) -> Option<&Column> {
        self.columns.iter().find(|column| column.number == number)
    }

    /// A column by its name.
    pub fn named(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// Whether a role has a grant.
    pub fn grants(&self, role: &str, kind: &str) -> bool {
        self.grants
            .get(role)
            .is_some_and(|list| list.split(',').any(|one| one == kind))
    }

    /// A value that the first partition takes, for a column of the partition key, as a literal without its type.
    pub fn place(&self, number: i16) -> Option<String> {
        let at = self
            .partitioned_by
            .as_ref()?
            .iter()
            .position(|&one| one == number)?;
        let values = self
            .bound
            .as_ref()?
            .split_once('(')?
            .1
            .split_once(')')?
            .0
            .split(", ")
            .collect::<Vec<_>>();
        let value = values.get(at).or(values.first())?;
        (value.starts_with('\'') || value.parse::<f64>().is_ok()).then(|| (*value).to_owned())
    }

    /// Whether the role may read all of these columns.
    pub fn may_read(&self, role: &str, numbers: &[i16]) -> bool {
        numbers.iter().all(|&number| {
            self.column(number)
                .is_some_and(|column| column.readable.iter().any(|one| one == role))
        })
    }

    /// The foreign key that starts with just this column.
    pub fn foreign_of(&self, number: i16) -> Option<&Foreign> {
        self.foreign
            .iter()
            .filter(|key| key.columns.contains(&number))
            .min_by_key(|key| key.columns.len())
    }
}

/// A view.
#[derive(Debug, Deserialize, Clone)]
pub struct View {
    /// As SQL has it.
    pub shown: String,
    /// Its columns.
    pub columns: Vec<String>,
    /// What each role may do.
    pub grants: BTreeMap<String, String>,
    /// Whether it shows a copy: a materialized view, or one that reads such a view.
    pub copies: bool,
    /// Whether rows can be changed through it.
    pub writable: bool,
    /// What it reads, through the views below it as well.
    pub reads: Vec<i64>,
}

impl View {
    /// Whether a role has a grant.
    pub fn grants(&self, role: &str, kind: &str) -> bool {
        self.grants
            .get(role)
            .is_some_and(|list| list.split(',').any(|one| one == kind))
    }

    /// Whether the API may do anything with it.
    pub fn is_reachable(&self) -> bool {
        ["anon", "authenticated"]
            .iter()
            .any(|role| self.grants.get(*role).is_some_and(|list| !list.is_empty()))
    }
}

/// A function.
#[derive(Debug, Deserialize, Clone)]
pub struct Function {
    /// As SQL has it.
    pub shown: String,
    /// Its schema.
    pub schema: String,
    /// Whether it may write.
    pub volatile: bool,
    /// Whether the API may call it.
    pub callable: bool,
    /// The names of its arguments; empty where they have none.
    pub names: Vec<String>,
    /// The types of its arguments.
    pub arguments: Vec<String>,
    /// How many may be left out.
    pub defaults: usize,
}

/// All of it.
#[derive(Debug, Deserialize)]
pub struct Model {
    /// Whether the session passes by policies, as making rows for others needs.
    pub bypass: bool,
    /// Tables, also those that rows need elsewhere.
    pub tables: Vec<Table>,
    /// Views in exposed schemas.
    pub views: Vec<View>,
    /// Functions in exposed schemas.
    pub functions: Vec<Function>,
}

/// What somebody says about the tables that the catalog does not.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Intent {
    /// The column that says whose a row is: `public.tasks` → `user_id`.
    pub owner: HashMap<String, String>,
    /// Tables whose rows everybody who is signed in may read.
    pub shared: Vec<String>,
    /// Tables whose rows the whole world may read.
    pub public: Vec<String>,
    /// Tables that are left out.
    pub skip: Vec<String>,
    /// SQL expressions for columns that can't be guessed: `public.tasks` → `status` → `'open'`.
    pub values: HashMap<String, HashMap<String, String>>,
    /// More claims of each tenant's token: `tenant_id` → SQL type; the values are made.
    pub claims: BTreeMap<String, String>,
}

/// How a row belongs to somebody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Belongs {
    /// A column has the user's id.
    User(i16),
    /// A column has a claim of the user's token.
    Claim(i16, String),
    /// A column refers to a row that belongs to somebody.
    Through(i16, i64),
    /// A row of another table says who belongs to it: `members` of a team.
    Member(i64),
}

impl Belongs {
    /// The column of its own that says whose a row is.
    pub fn column(&self) -> Option<i16> {
        match self {
            Self::User(number) | Self::Claim(number, _) | Self::Through(number, _) => Some(*number),
            Self::Member(_) => None,
        }
    }
}

/// Whether a row belongs to somebody because another row says so, directly or further up.
pub fn is_by_membership(known: &HashMap<i64, Belongs>, mut oid: i64) -> bool {
    let mut left = known.len();
    while left > 0 {
        match known.get(&oid) {
            Some(Belongs::Member(_)) => return true,
            Some(Belongs::Through(_, target)) => oid = *target,
            _ => return false,
        }
        left -= 1;
    }
    false
}

/// The names that columns with a user's id have.
const OWNER_NAMES: [&str; 12] = [
    "user_id",
    "owner_id",
    "owner",
    "author_id",
    "created_by",
    "profile_id",
    "account_id",
    "member_id",
    "customer_id",
    "uid",
    "user",
    "creator_id",
];

/// Whose the rows of each table are, where that can be told.
pub fn belonging(model: &Model, intent: &Intent) -> HashMap<i64, Belongs> {
    let users = model
        .tables
        .iter()
        .find(|table| table.schema == "auth" && table.name == "users")
        .map(|table| table.oid);
    let mut known: HashMap<i64, Belongs> = HashMap::new();
    let (mut claims, mut owners) = (Near::new(CLAIM_NEAR), Near::new(USER_NEAR));
    for table in &model.tables {
        if let Some(column) = intent
            .owner
            .get(&table.shown)
            .and_then(|name| table.named(name))
        {
            known.insert(table.oid, Belongs::User(column.number));
            continue;
        }
        if let Some(found) =
            claim_of(table, intent, &mut claims).or_else(|| user_of(table, users, &mut owners))
        {
            known.insert(table.oid, found);
        }
    }
    through_others(model, &mut known);
    // Then those whose members are kept in a table of its own, and what belongs to these.
    let members: Vec<(i64, Belongs)> = model
        .tables
        .iter()
        .filter(|table| {
            !known.contains_key(&table.oid)
                && !table.policies.is_empty()
                && !intent.shared.contains(&table.shown)
                && !intent.public.contains(&table.shown)
        })
        .filter_map(|table| {
            let list = model.tables.iter().find(|list| {
                matches!(
                    known.get(&list.oid),
                    Some(Belongs::User(_) | Belongs::Claim(..))
                ) && list.asked
                    && list.foreign.iter().any(|key| key.target == table.oid)
            })?;
            Some((table.oid, Belongs::Member(list.oid)))
        })
        .collect();
    known.extend(members);
    through_others(model, &mut known);
    known
}

/// Those that belong to somebody through others, one step further in each round.
fn through_others(model: &Model, known: &mut HashMap<i64, Belongs>) {
    loop {
        let more: Vec<(i64, Belongs)> = model
            .tables
            .iter()
            .filter(|table| !known.contains_key(&table.oid))
            .filter_map(|table| {
                let mut keys: Vec<&Foreign> = table
                    .foreign
                    .iter()
                    .filter(|key| key.target != table.oid && known.contains_key(&key.target))
                    .collect();
                // What the policies look at goes before the rest.
                keys.sort_by_key(|key| !is_in_policy(table, key.columns[0]));
                let key = keys.first()?;
                Some((
                    table.oid,
                    Belongs::Through(*key.columns.last()?, key.target),
                ))
            })
            .collect();
        if more.is_empty() {
            return;
        }
        known.extend(more);
    }
}

fn is_in_policy(table: &Table, number: i16) -> bool {
    table
        .policies
        .iter()
        .any(|policy| policy.columns.contains(&number))
}

/// The column is compared with who asks; also with `(auth.jwt() ->> 'sub')`, which is the same without the function.
const USER_NEAR: &str = r"(?i)((auth\.uid\(\)|->> 'sub'::text\))[^=<>]{0,40}= \(?\(?(\w+\.)?NAME\b|\bNAME\)?(::\w+)? = [^=]{0,160}(auth\.uid\(\)|->> 'sub'::text\)))";

/// The column is compared with a claim, the second group.
const CLAIM_NEAR: &str = r"\bNAME\b\)?(::\w+)?\)? = .{0,120}?->> '(\w+)'";

/// What stands near the name of a column: compiled once for each name, as many tables have the same ones.
struct Near {
    pattern: &'static str,
    compiled: HashMap<String, Option<Regex>>,
}

impl Near {
    fn new(pattern: &'static str) -> Self {
        Self {
            pattern,
            compiled: HashMap::new(),
        }
    }

    fn find<'t>(&mut self, name: &str, text: &'t str) -> Option<regex::Captures<'t>> {
        if !self.compiled.contains_key(name) {
            let pattern = self.pattern.replace("NAME", &regex::escape(name));
            self.compiled
                .insert(name.to_owned(), Regex::new(&pattern).ok());
        }
        self.compiled.get(name)?.as_ref()?.captures(text)
    }
}

fn user_of(table: &Table, users: Option<i64>, near: &mut Near) -> Option<Belongs> {
    if Some(table.oid) == users {
        return table.named("id").map(|column| Belongs::User(column.number));
    }
    let mut candidates: Vec<&Column> = table
        .columns
        .iter()
        .filter(|column| column.base.name == "uuid" || column.base.category == 'S')
        .filter(|column| {
            let refers = table
                .foreign_of(column.number)
                .is_some_and(|key| Some(key.target) == users);
            let compared = table
                .policies
                .iter()
                .flat_map(|policy| [&policy.using, &policy.check])
                .flatten()
                .any(|text| near.find(&column.quoted, text).is_some());
            compared
                || (refers
                    && (OWNER_NAMES.contains(&column.name.as_str())
                        || is_in_policy(table, column.number)
                        || column.name == "id"))
                || (table.policies.is_empty()
                    && column.base.name == "uuid"
                    && OWNER_NAMES.contains(&column.name.as_str()))
        })
        .collect();
    // With several, the one that the policies look at, then the one with the usual name.
    candidates.sort_by_key(|column| {
        let usual = OWNER_NAMES
            .iter()
            .position(|name| *name == column.name)
            .unwrap_or(OWNER_NAMES.len());
        (!is_in_policy(table, column.number), usual)
    });
    candidates
        .first()
        .map(|column| Belongs::User(column.number))
}

/// `tenant_id = (auth.jwt() ->> 'tenant_id')::uuid` and its like.
fn claim_of(table: &Table, intent: &Intent, near: &mut Near) -> Option<Belongs> {
    for policy in table.policies.iter().filter(|policy| policy.permissive) {
        for text in policy.using.iter().chain(&policy.check) {
            for &number in &policy.columns {
                let column = table.column(number)?;
                let found = near
                    .find(&column.quoted, text)
                    .map(|groups| groups[2].to_owned());
                if let Some(claim) = found.filter(|claim| claim != "sub" && claim != "role") {
                    return Some(Belongs::Claim(number, claim));
                }
            }
        }
    }
    intent.claims.keys().find_map(|claim| {
        let column = table.named(claim)?;
        is_in_policy(table, column.number).then(|| Belongs::Claim(column.number, claim.clone()))
    })
}
