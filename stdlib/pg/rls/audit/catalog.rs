//! What the catalog says: everything that the rules look at, read in one snapshot, a piece at a time.

use std::collections::{BTreeMap, HashMap};

use serde::Deserialize;

/// The statement.
pub const SQL: &str = include_str!("catalog.sql");
/// The statement that says which tables and views there are.
pub const TABLES: &str = include_str!("tables.sql");

/// A role.
#[derive(Debug, Deserialize)]
pub struct Role {
    /// Its number.
    pub oid: i64,
    /// Its name.
    pub name: String,
    /// Whether it is a superuser.
    #[serde(rename = "super")]
    pub is_super: bool,
    /// Whether row-level security does not apply to it.
    pub bypass: bool,
    /// Whether it can make roles, and so, up to PostgreSQL 15, become every one that is no superuser.
    pub makes_roles: bool,
    /// The roles that it is a member of, directly.
    pub member_of: Vec<i64>,
}

/// A table, view, materialized view or foreign table.
#[derive(Debug, Deserialize)]
pub struct Relation {
    /// Its number.
    pub oid: i64,
    /// Whether it is looked at: if not, it is here because a foreign key of another refers to it.
    pub meant: bool,
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// `schema.name`, quoted where that is needed.
    pub shown: String,
    /// `r` table, `p` partitioned, `v` view, `m` materialized view, `f` foreign table.
    pub kind: char,
    /// Who owns it.
    pub owner: i64,
    /// Whether row-level security is on.
    pub rls: bool,
    /// Whether it applies to the owner as well.
    pub forced: bool,
    /// Whether it is a partition.
    pub partition: bool,
    /// The replica identity: `d`, `n`, `f`, `i`.
    pub identity: char,
    /// Of a view: whether it reads with the rights of who asks.
    pub invoker: bool,
    /// What each role of the API may do: `SELECT,INSERT`.
    pub grants: BTreeMap<String, String>,
}

impl Relation {
    /// Whether rows are kept in it.
    pub fn is_table(&self) -> bool {
        matches!(self.kind, 'r' | 'p')
    }

    /// Whether some role of the API may do one of these.
    pub fn allows(&self, kinds: &[&str]) -> bool {
        self.grants
            .values()
            .any(|list| list.split(',').any(|kind| kinds.contains(&kind)))
    }

    /// Whether the API reaches its rows.
    pub fn is_reachable(&self) -> bool {
        self.allows(&["SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE"])
    }

    /// `anon may SELECT,INSERT; authenticated may SELECT`.
    pub fn who_may(&self) -> String {
        let each: Vec<String> = self
            .grants
            .iter()
            .map(|(role, list)| format!("{role} may {list}"))
            .collect();
        each.join("; ")
    }
}

/// A column that a rule may care for.
#[derive(Debug, Deserialize)]
pub struct Column {
    /// Its table.
    pub relation: i64,
    /// Its number.
    pub number: i16,
    /// Its name.
    pub name: String,
    /// Its type.
    #[serde(rename = "type")]
    pub data_type: String,
    /// The roles of the API that may read it.
    pub readable: Vec<String>,
}

/// A policy.
#[derive(Debug, Deserialize)]
pub struct Policy {
    /// Its table.
    pub relation: i64,
    /// Its name.
    pub name: String,
    /// `r` SELECT, `a` INSERT, `w` UPDATE, `d` DELETE, `*` all.
    pub command: char,
    /// Whether it lets in; a restrictive one keeps out.
    pub permissive: bool,
    /// Whom it is for.
    pub roles: Vec<String>,
    /// Which rows are seen.
    pub using: Option<String>,
    /// Which rows may be written.
    pub check: Option<String>,
    /// The columns of its own table that it looks at.
    pub columns: Vec<i16>,
}

impl Policy {
    /// Whether it holds for this command: `r`, `a`, `w`, `d`.
    pub fn is_for(&self, command: char) -> bool {
        self.command == '*' || self.command == command
    }

    /// Its expressions.
    pub fn expressions(&self) -> impl Iterator<Item = &str> {
        self.using.iter().chain(&self.check).map(String::as_str)
    }
}

/// An index.
#[derive(Debug, Deserialize)]
pub struct Index {
    /// Its table.
    pub relation: i64,
    /// Its name.
    pub name: String,
    /// Whether it is unique.
    pub unique: bool,
    /// Whether it is the primary key's.
    pub primary: bool,
    /// Whether it is an exclusion constraint's, which tells as much as a unique one.
    pub exclusion: bool,
    /// Its columns; 0 for an expression.
    pub columns: Vec<i16>,
    /// Its expressions.
    pub expression: Option<String>,
}

/// A foreign key.
#[derive(Debug, Deserialize)]
pub struct ForeignKey {
    /// Its name.
    pub name: String,
    /// The table that refers.
    pub relation: i64,
    /// Its columns.
    pub columns: Vec<i16>,
    /// The table referred to.
    pub target: i64,
    /// Its name.
    pub target_shown: String,
}

/// A function that runs with its owner's rights.
#[derive(Debug, Deserialize)]
pub struct Function {
    /// Its number.
    pub oid: i64,
    /// `schema.name(arguments)`.
    pub shown: String,
    /// Whether it is in an exposed schema.
    pub exposed: bool,
    /// Its owner.
    pub owner: i64,
    /// Whether its search_path is set.
    pub fixed_path: bool,
    /// A schema of that path in which a role of the API may make things.
    pub writable_path: Option<String>,
    /// Whether it is for triggers.
    pub trigger: bool,
    /// Whether its text writes into tables.
    pub writes: bool,
    /// Whether its text asks who is calling.
    pub asks_who: bool,
    /// The roles of the API that may call it.
    pub callable_by: Vec<String>,
}

/// A trigger.
#[derive(Debug, Deserialize)]
pub struct Trigger {
    /// Its table.
    pub relation: i64,
    /// Its name.
    pub name: String,
    /// Its function.
    pub function: i64,
}

/// A rule on a table, which runs with the rights of the table's owner.
#[derive(Debug, Deserialize)]
pub struct Rewrite {
    /// Its table.
    pub relation: i64,
    /// Its name.
    pub name: String,
    /// As SQL.
    pub text: String,
}

/// A schema in which a role of the API may make things.
#[derive(Debug, Deserialize)]
pub struct Writable {
    /// Its name.
    pub schema: String,
    /// Who may.
    pub by: Vec<String>,
    /// Whether everybody may.
    pub public: bool,
}

/// What a view reads.
#[derive(Debug, Deserialize)]
pub struct Read {
    /// The view.
    pub view: i64,
    /// `schema.name` of what it reads.
    pub shown: String,
    /// What it is: `r`, `p`, `v`, `m`, `f`.
    pub kind: char,
    /// Whether that has row-level security.
    pub rls: bool,
    /// Whose rights it is read with: the owner of the view that reads it; 0 for whoever asks.
    pub by: i64,
}

/// A table in a publication.
#[derive(Debug, Deserialize)]
pub struct Publication {
    /// The publication.
    pub name: String,
    /// The table.
    pub relation: i64,
}

/// What new tables are granted.
#[derive(Debug, Deserialize)]
pub struct DefaultPrivilege {
    /// Whose new tables.
    pub by: String,
    /// In which schema; `*` for every one.
    pub schema: String,
    /// To whom.
    pub to: String,
}

/// An extension in an exposed schema.
#[derive(Debug, Deserialize)]
pub struct Extension {
    /// Its name.
    pub name: String,
    /// Its schema.
    pub schema: String,
}

/// All of it, of some tables.
#[derive(Debug, Deserialize)]
pub struct Catalog {
    /// The roles that requests run as.
    pub api: Vec<String>,
    /// Roles.
    pub roles: Vec<Role>,
    /// The tables and views that are looked at, and those that foreign keys refer to.
    relations: Vec<Relation>,
    /// Columns with a part in something.
    pub columns: Vec<Column>,
    /// Policies.
    pub policies: Vec<Policy>,
    /// Indexes.
    pub indexes: Vec<Index>,
    /// Foreign keys.
    pub foreign_keys: Vec<ForeignKey>,
    /// Functions that run with their owner's rights.
    pub functions: Vec<Function>,
    /// Triggers.
    pub triggers: Vec<Trigger>,
    /// Rules on tables.
    pub rewrites: Vec<Rewrite>,
    /// Schemas in which the API may make things.
    pub writable: Vec<Writable>,
    /// What views read.
    pub reads: Vec<Read>,
    /// What publications hold.
    pub publications: Vec<Publication>,
    /// What new tables are granted.
    pub default_privileges: Vec<DefaultPrivilege>,
    /// Extensions.
    pub extensions: Vec<Extension>,
}

impl Catalog {
    /// The tables and views that are looked at.
    pub fn relations(&self) -> impl Iterator<Item = &Relation> {
        self.relations.iter().filter(|relation| relation.meant)
    }
}

/// The catalog, looked up by tables.
pub struct Lookup<'c> {
    /// The relations by their numbers.
    pub relations: HashMap<i64, &'c Relation>,
    /// The policies of each table.
    pub policies: HashMap<i64, Vec<&'c Policy>>,
    columns: HashMap<(i64, i16), &'c Column>,
    /// The indexes of each table.
    pub indexes: HashMap<i64, Vec<&'c Index>>,
    roles: HashMap<i64, &'c Role>,
}

impl<'c> Lookup<'c> {
    /// Of a catalog.
    pub fn new(catalog: &'c Catalog) -> Self {
        let mut policies: HashMap<i64, Vec<&Policy>> = HashMap::new();
        for policy in &catalog.policies {
            policies.entry(policy.relation).or_default().push(policy);
        }
        let mut indexes: HashMap<i64, Vec<&Index>> = HashMap::new();
        for index in &catalog.indexes {
            indexes.entry(index.relation).or_default().push(index);
        }
        Self {
            relations: catalog.relations.iter().map(|r| (r.oid, r)).collect(),
            policies,
            columns: catalog
                .columns
                .iter()
                .map(|column| ((column.relation, column.number), column))
                .collect(),
            indexes,
            roles: catalog.roles.iter().map(|role| (role.oid, role)).collect(),
        }
    }

    /// The policies of a table.
    pub fn policies_of(&self, relation: &Relation) -> &[&'c Policy] {
        self.policies.get(&relation.oid).map_or(&[], Vec::as_slice)
    }

    /// A column.
    pub fn column(&self, relation: i64, number: i16) -> Option<&'c Column> {
        self.columns.get(&(relation, number)).copied()
    }

    /// The names of columns.
    pub fn names(&self, relation: i64, numbers: &[i16]) -> Vec<&'c str> {
        numbers
            .iter()
            .filter_map(|&number| Some(self.column(relation, number)?.name.as_str()))
            .collect()
    }

    /// A role.
    pub fn role(&self, oid: i64) -> Option<&'c Role> {
        self.roles.get(&oid).copied()
    }

    /// A role by its name.
    pub fn role_named(&self, name: &str) -> Option<&'c Role> {
        self.roles.values().find(|role| role.name == name).copied()
    }

    /// The ways from a role to those that it can become: each a path of roles, itself first.
    pub fn paths(&self, from: &'c Role) -> Vec<Vec<&'c Role>> {
        let mut found = Vec::new();
        let mut open = vec![vec![from]];
        let mut seen = vec![from.oid];
        while let Some(path) = open.pop() {
            let Some(last) = path.last() else { continue };
            for next in last.member_of.iter().filter_map(|oid| self.role(*oid)) {
                if !seen.contains(&next.oid) {
                    seen.push(next.oid);
                    let mut longer = path.clone();
                    longer.push(next);
                    open.push(longer);
                }
            }
            if path.len() > 1 {
                found.push(path);
            }
        }
        found
    }
}
