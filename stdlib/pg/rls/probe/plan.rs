//! What is tried: statements, as whom, and what must come of them.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::model::{Belongs, Column, Function, Table, View};
use super::rows::{Row, Tenant};

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
    /// Count the rows, with this one there and without it: that works where no key may be read.
    Count,
    /// Change rows and have them returned.
    Returning,
    /// All that a view says, with the row there and without it.
    Content,
    /// Call a function, with the owner's rows there and without them.
    Function,
    /// Learn from a unique key that the row exists.
    UniqueOracle,
    /// Learn from a foreign key that the row exists.
    ForeignOracle,
    /// Put oneself on a list of somebody else's that policies ask: the members of a team.
    Join,
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
            Self::Count => "COUNT",
            Self::Returning => "RETURNING",
            Self::Content => "CONTENT",
            Self::Function => "FUNCTION",
            Self::UniqueOracle => "DUPLICATE KEY",
            Self::ForeignOracle => "REFERENCE",
            Self::Join => "JOIN",
        }
    }
}

impl Operation {
    /// The command whose policies decide: `r`, `a`, `w`, `d`.
    fn command(self) -> char {
        match self {
            Self::Insert | Self::Upsert | Self::Join | Self::UniqueOracle | Self::ForeignOracle => {
                'a'
            }
            Self::Update | Self::BlindUpdate | Self::GiveAway | Self::Returning => 'w',
            Self::Delete | Self::BlindDelete => 'd',
            _ => 'r',
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
    /// Constraints, and columns that take no NULL, that a row of the owner's keeps (`schema.table.name`): what breaks one
    /// is not the owner's any more.
    pub kept_by_owner: Vec<String>,
    /// The claims, as text.
    pub claims: String,
    /// What is tried through: a view or a partition.
    pub through: Option<String>,
    /// Where names are looked up.
    pub path: String,
    /// Whether the answer is looked at, with the owner's rows there and without them.
    pub observes: bool,
    /// With that: words that only the owner's rows have.
    pub needles: Vec<String>,
    /// What it is about, as SQL has it.
    pub about: String,
    /// Whether row-level security is on there.
    pub protected: bool,
    /// The policies that give the role what is tried, as SQL has them.
    pub let_through: Vec<String>,
}

impl Probe {
    /// For the function that tries it.
    pub fn to_json(&self) -> Value {
        let mut probe = json!({ "role": self.identity.role(), "claims": self.claims, "sql": self.sql, "path": self.path });
        if self.observes {
            probe["needles"] = self.needles.clone().into();
        }
        if let Some(truth) = &self.truth {
            probe["truth"] = truth.clone().into();
        }
        probe
    }
}

impl Probe {
    /// What to do about it, as SQL where that is SQL.
    pub fn mend(&self) -> String {
        let about = &self.about;
        if let Some(through) = &self.through {
            return format!(
                "ALTER VIEW {through} SET (security_invoker = true); -- a partition: REVOKE ALL ON {through} FROM anon, authenticated, PUBLIC;"
            );
        }
        match self.operation {
            Operation::Function => {
                return format!(
                    "REVOKE EXECUTE ON FUNCTION {about} FROM anon, authenticated, PUBLIC; -- or let it ask for auth.uid() before it answers"
                );
            }
            Operation::UniqueOracle | Operation::ForeignOracle => {
                return "-- put the column that says whose the row is into the key; or accept it in the baseline".to_owned();
            }
            _ => {}
        }
        let command = match self.operation.command() {
            'a' => "INSERT",
            'w' => "UPDATE",
            'd' => "DELETE",
            _ => "SELECT",
        };
        if !self.protected {
            return format!("ALTER TABLE {about} ENABLE ROW LEVEL SECURITY;");
        }
        let part = match command {
            "INSERT" => "WITH CHECK (…)",
            "UPDATE" => "USING (…) WITH CHECK (…)",
            _ => "USING (…)",
        };
        let alters: Vec<String> = self
            .let_through
            .iter()
            .map(|policy| format!("ALTER POLICY {policy} ON {about} {part};"))
            .collect();
        match alters.is_empty() {
            true => format!("-- no policy gives that: look whose rights {about} is asked with"),
            false => format!(
                "-- what gives {command}, of which one is too wide:\n{}",
                alters.join("\n")
            ),
        }
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
    /// Rows of B's own that refer to A's rows, and whether they put B on a list of A's that policies ask.
    pub references: Vec<(bool, Row)>,
    /// Whether it is a list of members that says whose the row is.
    pub by_membership: bool,
    /// Words that only A's row has.
    pub needles: Vec<String>,
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
        this_row(self.table, self.own)
    }

    /// Everything that is tried on A's row, by everybody.
    pub fn probes(&self, owner: &Tenant, other: &Tenant) -> Vec<Probe> {
        let Some(this_row) = self.this_row() else {
            return Vec::new();
        };
        let mut probes = Vec::new();
        for identity in Identity::ALL {
            let mut tries = Tries {
                subject: self,
                identity,
                this_row: &this_row,
                version: format!(
                    "SELECT xmin::text || ctid::text FROM {} WHERE {this_row}",
                    self.table.shown
                ),
                claims: identity.claims(owner, other).to_string(),
                probes: &mut probes,
            };
            tries.reading();
            tries.writing();
            if identity == Identity::Other {
                tries.oracles();
            }
            for view in &self.views {
                tries.through(view);
            }
        }
        probes
    }

    /// Whether statements that name no row may be tried.
    fn is_small(&self) -> bool {
        self.table.rows < BLIND_UP_TO
    }

    /// The row for a role: without the column that says whose it is where that is not the role's to give, and the table
    /// gives it by itself.
    fn row_for(&self, role: &str, row: &Row) -> Row {
        let own = self.own_column();
        row.iter()
            .filter(|(name, _)| {
                let column = self
                    .table
                    .columns
                    .iter()
                    .find(|column| column.quoted == *name);
                column.is_none_or(|column| {
                    Some(column.number) != own
                        || !column.has_default
                        || column.insertable.iter().any(|one| one == role)
                })
            })
            .cloned()
            .collect()
    }

    fn may_insert(&self, role: &str, row: &Row) -> bool {
        row.iter().all(|(name, _)| {
            self.table.columns.iter().any(|column| {
                column.quoted == *name && column.insertable.iter().any(|one| one == role)
            })
        })
    }

    /// The column that says whose the row is.
    fn own_column(&self) -> Option<i16> {
        self.belongs.and_then(Belongs::column)
    }

    /// How many rows the owner has, as SQL; of large tables that takes too long.
    fn rows_of_owner(&self) -> Option<String> {
        let number = self.own_column().filter(|_| self.is_small())?;
        let (column, value) = (self.table.column(number)?, self.own.get(&number)?);
        Some(format!(
            "SELECT count(*)::text FROM {} WHERE {} = {value}",
            self.table.shown, column.quoted
        ))
    }

    /// What refuses a row for whose it is, and never one of the owner's: the column takes no NULL, and refers to somebody.
    fn kept_by_owner(&self) -> Vec<String> {
        let Some(column) = self
            .own_column()
            .and_then(|number| self.table.column(number))
        else {
            return Vec::new();
        };
        let is_named = self.fresh.iter().any(|(name, value)| {
            *name == column.quoted && self.own.get(&column.number) == Some(value)
        });
        if !is_named {
            return Vec::new();
        }
        let references = self.table.foreign.iter();
        references
            .filter(|key| key.columns == [column.number])
            .map(|key| &key.name)
            .chain([&column.name])
            .map(|name| format!("{}.{}.{name}", self.table.schema, self.table.name))
            .collect()
    }

    /// Whose the row is, as SQL.
    fn owner_of(&self, this_row: &str) -> Option<String> {
        let column = self.table.column(self.own_column()?)?;
        Some(format!(
            "SELECT {}::text FROM {} WHERE {this_row}",
            column.quoted, self.table.shown
        ))
    }

    /// A column that every row may have the same of, and A's value of it: one that the role may change, if there is one.
    fn constant(&self, role: &str) -> Option<(String, String)> {
        let in_key = |number: i16| {
            let keys = self.table.key.iter().chain(&self.table.unique);
            keys.into_iter().any(|key| key.contains(&number))
        };
        let mut columns: Vec<&Column> = self
            .table
            .columns
            .iter()
            .filter(|column| {
                !column.generated && !in_key(column.number) && !self.is_place(column.number)
            })
            .collect();
        columns.sort_by_key(|column| !column.updatable.iter().any(|one| one == role));
        columns
            .into_iter()
            .find_map(|column| Some((column.quoted.clone(), self.own.get(&column.number)?.clone())))
    }

    fn is_in(&self, view: &View, quoted: &str) -> bool {
        self.table
            .columns
            .iter()
            .any(|column| column.quoted == quoted && view.columns.contains(&column.name))
    }

    fn is_place(&self, number: i16) -> bool {
        self.table
            .partitioned_by
            .as_ref()
            .is_some_and(|columns| columns.contains(&number))
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

    /// A column that can be set to what it is: one that the role may change and read if there is one, and not the one that
    /// says whose the row is.
    fn touched_column(&self, role: &str) -> Option<String> {
        let own = self.own_column();
        let is_key = |number: i16| {
            self.table
                .key
                .as_ref()
                .is_some_and(|key| key.contains(&number))
        };
        let has = |roles: &[String]| roles.iter().any(|one| one == role);
        let mut columns: Vec<&Column> = self
            .table
            .columns
            .iter()
            .filter(|column| !column.generated)
            .collect();
        columns.sort_by_key(|column| {
            (
                !(has(&column.updatable) && has(&column.readable)),
                Some(column.number) == own,
                is_key(column.number),
                self.is_place(column.number),
            )
        });
        columns.first().map(|column| column.quoted.clone())
    }

    /// Whether the role may read what a statement names to find the row.
    fn may_find(&self, role: &str) -> bool {
        match &self.table.key {
            Some(key) => self.table.may_read(role, key),
            None => self
                .table
                .columns
                .iter()
                .all(|column| column.readable.iter().any(|one| one == role)),
        }
    }

    fn expected_of_owner(&self, operation: Operation) -> Expected {
        const ROLE: &str = "authenticated";
        let (grant, command) = match operation {
            Operation::GiveAway => return Expected::Denied,
            // What members may do besides looking is often for some of them only.
            Operation::Insert | Operation::Update | Operation::Delete if self.by_membership => {
                return Expected::Any;
            }
            Operation::Select | Operation::Count => ("SELECT", 'r'),
            Operation::Insert => ("INSERT", 'a'),
            Operation::Update => ("UPDATE", 'w'),
            Operation::Delete => ("DELETE", 'd'),
            _ => return Expected::Any,
        };
        let gives = |command| {
            self.table
                .policies
                .iter()
                .any(|policy| policy.gives(ROLE, command))
        };
        let sees = self.table.grants(ROLE, "SELECT") && gives('r') && self.may_find(ROLE);
        let allowed = self.table.grants(ROLE, grant)
            && gives(command)
            && match operation {
                // An UPDATE or DELETE that names a row must be able to see it.
                Operation::Update => {
                    sees && self.table.columns.iter().any(|column| {
                        let has = |roles: &[String]| roles.iter().any(|one| one == ROLE);
                        has(&column.updatable) && has(&column.readable)
                    })
                }
                Operation::Select | Operation::Delete => sees,
                Operation::Insert => self.may_insert(ROLE, &self.row_for(ROLE, &self.fresh)),
                _ => true,
            };
        match allowed {
            true => Expected::Works,
            false => Expected::Any,
        }
    }

    fn expected(&self, identity: Identity, operation: Operation, is_through: bool) -> Expected {
        let (signed_in, world) = self.shared;
        let reads = matches!(
            operation,
            Operation::Select | Operation::Count | Operation::Content
        );
        match identity {
            Identity::Service => Expected::Any,
            Identity::Own if is_through => Expected::Any,
            Identity::Own => self.expected_of_owner(operation),
            _ if reads && (world || (signed_in && identity.role() == "authenticated")) => {
                Expected::Any
            }
            _ => Expected::Denied,
        }
    }
}

/// What one identity tries on a table.
struct Tries<'a, 's> {
    subject: &'a Subject<'s>,
    identity: Identity,
    this_row: &'a str,
    version: String,
    claims: String,
    probes: &'a mut Vec<Probe>,
}

impl Tries<'_, '_> {
    fn add(&mut self, operation: Operation, sql: String, truth: bool, through: Option<&View>) {
        let table = self.subject.table;
        self.probes.push(Probe {
            operation,
            identity: self.identity,
            expected: self
                .subject
                .expected(self.identity, operation, through.is_some()),
            sql,
            truth: match operation {
                // A trigger may have put the one who asks where the owner was named: then it is a row of its own.
                Operation::Insert => self.subject.rows_of_owner(),
                Operation::GiveAway => self.subject.owner_of(self.this_row),
                _ => truth.then(|| self.version.clone()),
            },
            kept_by_owner: match operation {
                Operation::Insert => self.subject.kept_by_owner(),
                _ => Vec::new(),
            },
            claims: self.claims.clone(),
            through: through.map(|view| view.shown.clone()),
            path: path_of(&table.schema),
            observes: matches!(operation, Operation::Count | Operation::Content),
            needles: match operation {
                Operation::Content => self.subject.needles.clone(),
                _ => Vec::new(),
            },
            about: table.shown.clone(),
            protected: table.rls,
            let_through: table
                .policies
                .iter()
                .filter(|policy| policy.gives(self.identity.role(), operation.command()))
                .map(|policy| policy.quoted.clone())
                .collect(),
        });
    }

    fn reading(&mut self) {
        let (shown, this_row) = (&self.subject.table.shown, self.this_row);
        self.add(
            Operation::Select,
            format!("SELECT 1 FROM {shown} WHERE {this_row}"),
            false,
            None,
        );
        if self.subject.is_small() && self.identity != Identity::Service {
            self.add(
                Operation::Count,
                format!("SELECT count(*) FROM {shown}"),
                false,
                None,
            );
        }
    }

    fn writing(&mut self) {
        let subject = self.subject;
        let (shown, this_row) = (&subject.table.shown, self.this_row);
        let role = self.identity.role();
        if !subject.fresh.is_empty() {
            let row = match self.identity {
                Identity::Own => subject.row_for(role, &subject.fresh),
                // Without the column it would be their own row, which is theirs to add.
                _ => subject.fresh.clone(),
            };
            self.add(Operation::Insert, insert(shown, &row), false, None);
        }
        if let Some(column) = subject.touched_column(role) {
            self.add(
                Operation::Update,
                format!("UPDATE {shown} SET {column} = {column} WHERE {this_row}"),
                true,
                None,
            );
            if let Some(key) = subject.key_columns() {
                self.add(
                    Operation::Upsert,
                    format!(
                        "{} ON CONFLICT ({key}) DO UPDATE SET {column} = excluded.{column}",
                        insert(shown, &subject.twin)
                    ),
                    true,
                    None,
                );
                if subject.is_small() && self.identity != Identity::Service {
                    self.add(
                        Operation::Returning,
                        format!("WITH changed AS (UPDATE {shown} SET {column} = {column} RETURNING {key}) SELECT 1 FROM changed WHERE {this_row}"),
                        false,
                        None,
                    );
                }
            }
        }
        if self.identity == Identity::Own
            && let Some((column, value)) = &subject.given_away
        {
            // With WHERE the new row must pass the policies for SELECT too: without it those for UPDATE alone.
            let which = match subject.is_small() {
                true => String::new(),
                false => format!(" WHERE {this_row}"),
            };
            self.add(
                Operation::GiveAway,
                format!("UPDATE {shown} SET {column} = {value}{which}"),
                true,
                None,
            );
        }
        self.add(
            Operation::Delete,
            format!("DELETE FROM {shown} WHERE {this_row}"),
            true,
            None,
        );
        // On large tables a hole in a policy would mean to touch every row.
        if subject.is_small() && self.identity != Identity::Service {
            self.add(
                Operation::BlindDelete,
                format!("DELETE FROM {shown}"),
                true,
                None,
            );
            if let Some((column, value)) = subject.constant(role) {
                self.add(
                    Operation::BlindUpdate,
                    format!("UPDATE {shown} SET {column} = {value}"),
                    true,
                    None,
                );
            }
        }
    }

    fn oracles(&mut self) {
        let subject = self.subject;
        let shown = &subject.table.shown;
        if let Some(row) = &subject.oracle {
            self.add(Operation::UniqueOracle, insert(shown, row), false, None);
        }
        for (joins, row) in &subject.references {
            let operation = match joins {
                true => Operation::Join,
                false => Operation::ForeignOracle,
            };
            self.add(operation, insert(shown, row), false, None);
        }
    }

    fn through(&mut self, view: &View) {
        let subject = self.subject;
        let role = self.identity.role();
        if let Some(condition) = subject.in_view(view) {
            self.add(
                Operation::Select,
                format!("SELECT 1 FROM {} WHERE {condition}", view.shown),
                false,
                Some(view),
            );
        }
        if self.identity == Identity::Service || !subject.is_small() {
            return;
        }
        self.add(
            Operation::Content,
            format!(
                "SELECT string_agg(v::text, E'\\n' ORDER BY v::text) FROM {} v",
                view.shown
            ),
            false,
            Some(view),
        );
        if !view.writable {
            return;
        }
        if view.grants(role, "DELETE") {
            self.add(
                Operation::BlindDelete,
                format!("DELETE FROM {}", view.shown),
                true,
                Some(view),
            );
        }
        if view.grants(role, "UPDATE")
            && let Some((column, value)) = subject.constant(role)
            && subject.is_in(view, &column)
        {
            self.add(
                Operation::BlindUpdate,
                format!("UPDATE {} SET {column} = {value}", view.shown),
                true,
                Some(view),
            );
        }
        let has_all = subject
            .fresh
            .iter()
            .all(|(name, _)| subject.is_in(view, name));
        if view.grants(role, "INSERT") && has_all && !subject.fresh.is_empty() {
            self.add(
                Operation::Insert,
                insert(&view.shown, &subject.fresh),
                false,
                Some(view),
            );
        }
    }
}

/// Where PostgREST has names looked up: in the exposed schema, then in `public`.
fn path_of(schema: &str) -> String {
    format!("{}, public", super::rows::identifier(schema))
}

/// Something of the owner's that a function may be called with.
#[derive(Debug, Clone)]
pub struct Handle {
    /// The name of its column, and of its table.
    pub column: String,
    /// The name of its table.
    pub table: String,
    /// Its type, without a length.
    pub data_type: String,
    /// As SQL.
    pub literal: String,
    /// As text.
    pub text: String,
    /// What a role past all policies looks at before and after.
    pub truth: String,
}

/// So many ways to call one function.
const CALLS: usize = 12;

/// A function called by everybody, with what an attacker might have got hold of: ids and names of the owner's rows.
pub fn calls(
    function: &Function,
    owner: &Tenant,
    other: &Tenant,
    handles: &[Handle],
    needles: &[String],
) -> Vec<Probe> {
    let given = function.arguments.len() - function.defaults.min(function.arguments.len());
    let fitting: Vec<Vec<&Handle>> = (0..given)
        .map(|at| fitting(function, at, handles))
        .collect();
    let most = fitting
        .iter()
        .map(Vec::len)
        .max()
        .unwrap_or(0)
        .clamp(1, CALLS);
    let mut probes = Vec::new();
    let mut seen = Vec::new();
    for turn in 0..most {
        let chosen: Vec<Option<&Handle>> = fitting
            .iter()
            .map(|list| list.get(turn).or(list.first()).copied())
            .collect();
        let arguments: Vec<String> = chosen
            .iter()
            .zip(&function.arguments)
            .map(|(handle, data_type)| {
                handle.map_or_else(
                    || format!("NULL::{data_type}"),
                    |handle| handle.literal.clone(),
                )
            })
            .collect();
        let call = format!("{}({})", function.shown, arguments.join(", "));
        if seen.contains(&call) {
            continue;
        }
        // What hands its argument back tells nothing new.
        let new: Vec<String> = needles
            .iter()
            .filter(|needle| {
                !chosen
                    .iter()
                    .flatten()
                    .any(|handle| handle.text == **needle)
            })
            .cloned()
            .collect();
        let truths: Vec<&str> = chosen
            .iter()
            .flatten()
            .map(|handle| handle.truth.as_str())
            .filter(|truth| !truth.is_empty())
            .collect();
        let truth = (function.volatile && !truths.is_empty()).then(|| {
            let parts: Vec<String> = truths
                .iter()
                .map(|truth| format!("coalesce(({truth}), '-')"))
                .collect();
            format!("SELECT {}", parts.join(" || "))
        });
        for identity in Identity::ALL {
            if identity == Identity::Service {
                continue;
            }
            probes.push(Probe {
                operation: Operation::Function,
                identity,
                expected: match identity {
                    Identity::Own => Expected::Any,
                    _ => Expected::Denied,
                },
                sql: format!("SELECT string_agg(to_jsonb(f)::text, E'\\n' ORDER BY to_jsonb(f)::text) FROM {call} AS f"),
                truth: truth.clone(),
                kept_by_owner: Vec::new(),
                claims: identity.claims(owner, other).to_string(),
                through: None,
                path: path_of(&function.schema),
                observes: true,
                needles: new.clone(),
                about: format!("{}({})", function.shown, function.arguments.join(", ")),
                protected: true,
                let_through: Vec::new(),
            });
        }
        seen.push(call);
    }
    probes
}

/// What fits an argument, the likeliest first: `task_id` is the id of a task.
fn fitting<'h>(function: &Function, at: usize, handles: &'h [Handle]) -> Vec<&'h Handle> {
    let wanted = function
        .arguments
        .get(at)
        .map(String::as_str)
        .unwrap_or_default();
    let name = function
        .names
        .get(at)
        .map(String::as_str)
        .unwrap_or_default();
    let name = name
        .trim_start_matches("p_")
        .trim_start_matches('_')
        .to_lowercase();
    let is_text =
        |data_type: &str| matches!(data_type, "text" | "character varying" | "citext" | "name");
    let mut list: Vec<&Handle> = handles
        .iter()
        .filter(|handle| {
            handle.data_type == wanted || (is_text(wanted) && is_text(&handle.data_type))
        })
        .collect();
    list.sort_by_key(|handle| {
        let column = handle.column.to_lowercase();
        let table = handle.table.to_lowercase();
        let stem = name.trim_end_matches("_id");
        let is_of_table = !stem.is_empty() && stem != name && table.starts_with(stem);
        let says_table = function
            .shown
            .to_lowercase()
            .contains(table.trim_end_matches('s'));
        match () {
            () if column == name && says_table => 0,
            () if column == "id" && is_of_table => 1,
            () if column == name => 2,
            () if column == "id" && says_table => 3,
            () => 4,
        }
    });
    list
}

/// What says that it is this row, and no other: by its key, or by all that it has.
pub fn this_row(table: &Table, row: &HashMap<i16, String>) -> Option<String> {
    let all: Vec<i16>;
    let key = match &table.key {
        Some(key) => key,
        None => {
            // What can be compared.
            all = row
                .keys()
                .copied()
                .filter(|&number| {
                    table.column(number).is_some_and(|column| {
                        !["json", "xml", "point"].contains(&column.base.name.as_str())
                    })
                })
                .collect();
            &all
        }
    };
    let parts: Option<Vec<String>> = key
        .iter()
        .map(|number| {
            let column = table.column(*number)?;
            let value = row.get(number)?;
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
