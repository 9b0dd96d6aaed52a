//! `db.restore`: a database from a backup, beside the ones that are there.

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::Arc;

use ccrun_kernel::effect::Effect;
use ccrun_kernel::event::Level;
use ccrun_kernel::rhai::{Array, Dynamic, Map};
use ccrun_kernel::value::{Size, Timestamp};
use ccrun_kernel::{Cx, Error, MaybeSecret, Options, Preview, Result, primitive};
use futures::{StreamExt as _, TryStreamExt as _};
use tokio::sync::{mpsc, oneshot};
use tokio_util::bytes::Bytes;

use super::archive::{self, Entry, Fate};
use super::catalog::{self, Facts, database_of, execute, ident, literal};
use super::create::{folder_of, threads};
use super::load::{self, Feed, Orders, Rows};
use super::manifest::{Kind, Manifest, Table, Verified};
use super::restorer::{Restorer, Restoring, Spool, Stage};
use super::seal;
use super::selection::{Selection, Wanted, select};
use super::sets;
use super::swap::{beside, rename};
use super::tool::Toolbox;
use super::verify::{Reader, note, without_key};
use super::{globals, properties};
use crate::files::FilePath;
use crate::pg::Database;
use crate::pg::client::PgClient;
use crate::pg::connect::Server;
use crate::pg::pool::Lease;
use crate::pg::session::{self, Want};
use crate::s3::Store;

/// How a backup is restored.
#[derive(Clone, Options)]
pub struct RestoreOptions {
    /// The name of the database that is made. It must not be there.
    into: String,
    /// The folder in the store that backups lie in.
    #[option(default = "backups")]
    prefix: String,
    /// The key that opens it, as `age-keygen` wrote it.
    key: Option<MaybeSecret>,
    /// Only these schemas.
    schemas: Option<Vec<String>>,
    /// Only these tables, `name` or `schema.name`.
    tables: Option<Vec<String>>,
    /// How many connections restore at once. Left out: as many as there are processors, and twice as many load rows, for
    /// each of them waits for its log now and then.
    jobs: Option<u32>,
    /// The folder in which large objects lie meanwhile, and the archive's table of contents; of a database that is not
    /// UTF-8, all rows. Left out: the folder of temporary files.
    spool: Option<FilePath>,
    /// Make the roles that the backup has and the server has not, with what they may do and their passwords.
    #[option(default = "true")]
    roles: bool,
    /// Give the roles that are there what the backup says of them as well: for a server that takes another one's place.
    #[option(default = "false")]
    all_roles: bool,
    /// Restore subscriptions as well, switched off. Otherwise they are left out: a copy that receives takes the changes
    /// away from the database that runs.
    #[option(default = "false")]
    subscriptions: bool,
    /// Leave out what can't be restored and say what it is, rather than give up. What comes of it is no whole backup.
    #[option(default = "false")]
    partial: bool,
    /// What is compared afterwards: `counts` (rows of each table), `contents` (a hash of each table), `none`.
    #[option(default = "counts")]
    verify: String,
}

impl Database {
    /// Restore a backup into a new database of the server, beside this one, and compare it with what was backed up.
    ///
    /// Nothing that is there is touched: the new database has the encoding and locale it had, its owner, grants and
    /// settings. It gets the name `into` when it is complete, so what has that name is whole, also after `kill -9`; what
    /// fails on the way is removed, by this call or the next. `db.swap(into)` then gives it this one's name.
    /// Roles that are missing are made first. Owners, grants, policies, publications, event triggers are restored
    /// as they were, by `pg_restore` of the server's version. Rows are loaded as they arrive from the store, by several
    /// connections at once, and lie on no disk of this machine.
    ///
    /// With `tables` or `schemas`, only their rows are restored, beside the whole schema without foreign keys.
    ///
    /// `id` is a backup's name, the beginning of one, or `latest`. Log in as a superuser. Returns a map: `database`,
    /// `backup`, `rows`, `tables`, `size`, `elapsed`, `verified`, `roles` (which were made), `problems` (with `partial`,
    /// what was left out).
    ///
    /// # Errors
    /// `pg.backup_damaged`, `pg.no_backup`, `pg.backup_key`; `pg.duplicate_database` if `into` is there; `pg.restore_version`
    /// if the server is older; `pg.restore_extension` if it lacks an extension; `pg.restore_mismatch` if what came out is
    /// not what was backed up; `pg.backup_part` for a table that the backup has not; `pg.restore_rows`; `pg.tool_failed`;
    /// `io.disk_full`.
    ///
    /// # Example
    /// ```rhai,no_run
    /// let db = pg::connect().login("postgres", secret("POSTGRES_PASSWORD"));
    /// let restored = db.restore(s3::store("backups"), "latest", #{ into: "app_restored", key: secret("BACKUP_KEY") });
    /// print(`${restored.rows} rows in ${restored.elapsed}`);
    /// ```
    #[primitive(change, needs = pg(self.server.resource), needs = s3(store.resource()), preview = restore_preview)]
    pub(in crate::pg) async fn restore(
        &self,
        cx: &Cx,
        store: Store,
        id: String,
        options: RestoreOptions,
    ) -> Result<Map> {
        let started = Timestamp::now();
        let Ready {
            bucket,
            manifest,
            facts,
            keys,
        } = ready(cx, self, &store, &id, &options).await?;
        let folder = folder_of(&options.prefix, &manifest.id);
        let reader = Reader {
            cx,
            bucket: &bucket,
            folder: &folder,
            manifest: &manifest,
            keys: &keys,
        };
        let beside = beside(&self.server, &[&options.into]);
        sweep(cx, &beside).await?;
        let spool = Spool::new(options.spool.as_deref(), manifest.spooled()?)?;
        let unfinished = unfinished_name(&options.into);
        let target = database_of(&self.server, &unfinished);
        let in_the_making = InTheMaking::begin(cx, &beside, &unfinished).await?;
        let making = Making {
            cx,
            options: &options,
            reader: &reader,
            facts: &facts,
            beside: &beside,
            target: &target,
            spool: &spool,
        };
        let worked = async {
            let made = making.make().await?;
            let checked = check(
                cx,
                &target,
                &manifest,
                &options,
                made.selection.as_ref(),
                &facts,
            );
            let mut problems = made.problems;
            let counted = match checked.await {
                Err(error) if options.partial && error.kind() == "pg.restore_mismatch" => {
                    problems.push(error.message().to_owned());
                    (0, 0)
                }
                other => other?,
            };
            properties::settings(cx, &beside, &manifest.database, &unfinished).await?;
            rename(cx, &beside, &[(&unfinished, &options.into)]).await?;
            Ok((counted, problems, made.selection, made.roles))
        };
        let ((tables, rows), problems, selection, made) = match worked.await {
            Ok(done) => done,
            Err(error) => {
                // Only what was made here is removed.
                let sql = format!(
                    "DROP DATABASE IF EXISTS {} WITH (FORCE)",
                    ident(&unfinished)
                );
                drop(execute(cx, &beside, &[sql]).await);
                return Err(error);
            }
        };
        drop(in_the_making);
        for problem in &problems {
            cx.log(Level::Warn, format!("not restored: {problem}"));
        }
        let whole = selection.is_none() && problems.is_empty();
        if whole && options.verify != "none" {
            let verified = Verified {
                at: Timestamp::now(),
                how: "restored".to_owned(),
            };
            // A store that may only be read from gives its backups all the same.
            drop(note(&bucket, &folder, &verified).await);
        }
        Ok(Map::from_iter([
            ("database".into(), options.into.clone().into()),
            ("backup".into(), manifest.id.clone().into()),
            (
                "tables".into(),
                Dynamic::from(i64::try_from(tables).unwrap_or(i64::MAX)),
            ),
            (
                "rows".into(),
                Dynamic::from(i64::try_from(rows).unwrap_or(i64::MAX)),
            ),
            (
                "size".into(),
                Dynamic::from(Size::from_bytes(manifest.size())),
            ),
            (
                "elapsed".into(),
                Dynamic::from(Timestamp::now().since(&started).rounded()),
            ),
            ("verified".into(), options.verify.clone().into()),
            (
                "roles".into(),
                made.into_iter()
                    .map(Dynamic::from)
                    .collect::<Array>()
                    .into(),
            ),
            (
                "problems".into(),
                problems
                    .into_iter()
                    .map(Dynamic::from)
                    .collect::<Array>()
                    .into(),
            ),
        ]))
    }

    /// Rows, bytes and a hash of each table, as a backup's manifest has them: what `pg_dump` reads now.
    ///
    /// # Errors
    /// `pg.tool_failed`, `pg.no_tools`.
    ///
    /// # Example
    /// ```rhai,no_run
    /// for table in pg::connect("app").checksums() { print(`${table.schema}.${table.name}: ${table.rows} rows, ${table.hash}`); }
    /// ```
    #[primitive(read, volatile, needs = pg(self.server.resource))]
    pub(in crate::pg) async fn checksums(&self, cx: &Cx) -> Result<Vec<Map>> {
        let facts = catalog::facts(cx, &self.server).await?;
        let contents = contents(cx, &self.server, &facts).await?;
        Ok(contents
            .tables
            .into_iter()
            .map(|table| {
                let number = |value: u64| Dynamic::from(i64::try_from(value).unwrap_or(i64::MAX));
                Map::from_iter([
                    ("schema".into(), table.schema.into()),
                    ("name".into(), table.name.into()),
                    ("rows".into(), number(table.rows)),
                    ("bytes".into(), number(table.bytes)),
                    ("hash".into(), table.hash.into()),
                ])
            })
            .collect())
    }
}

/// What is known before anything is done.
struct Ready {
    bucket: Arc<crate::store::Bucket>,
    manifest: Manifest,
    facts: Facts,
    keys: Vec<age::x25519::Identity>,
}

async fn ready(
    cx: &Cx,
    db: &Database,
    store: &Store,
    id: &str,
    options: &RestoreOptions,
) -> Result<Ready> {
    let wrong = |message: String, hint: &str| {
        Err(Error::new("pg.backup_option", message).hint(hint.to_owned()))
    };
    if !["counts", "contents", "none"].contains(&options.verify.as_str()) {
        return wrong(
            format!("`{}` can't be compared", options.verify),
            "it is one of counts, contents, none",
        );
    }
    if options.into.is_empty() || options.into.len() > 63 {
        return wrong(
            format!("`{}` can't be the name of a database", options.into),
            "1 to 63 bytes",
        );
    }
    let keys = match &options.key {
        Some(key) => seal::identities(key.expose())?,
        None => Vec::new(),
    };
    let bucket = store.reader(cx).await?;
    let manifest = sets::one_of(&bucket, &options.prefix, id, Some(Kind::Logical))
        .await?
        .manifest;
    if manifest.kind != Kind::Logical {
        return wrong(
            format!(
                "{} is a copy of a whole server, not of a database",
                manifest.id
            ),
            "restore it with `ccrun pitr`",
        );
    }
    if !manifest.recipients.is_empty() && keys.is_empty() {
        return Err(without_key(&manifest));
    }
    let beside = beside(&db.server, &[&options.into]);
    let facts = catalog::facts(cx, &beside).await?;
    if facts.server.version_num / 10_000 < manifest.server.version_num / 10_000 {
        return Err(Error::new(
            "pg.restore_version",
            format!(
                "the backup is of PostgreSQL {}, and this server is {}",
                manifest.server.version, facts.server.version
            ),
        )
        .hint("restore into a server of that version or a newer one"));
    }
    let sql = "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)";
    let there = catalog::value(cx, &beside, sql, &[Dynamic::from(options.into.clone())]).await?;
    if there.as_bool().unwrap_or(false) {
        return Err(Error::new(
            "pg.duplicate_database",
            format!(
                "there is a database {} already; it was not touched",
                options.into
            ),
        )
        .hint("choose another name for `into`; `db.swap` gives it the right one afterwards"));
    }
    let lacking = catalog::value(
        cx,
        &beside,
        "SELECT coalesce(string_agg(name, ', '), '') FROM unnest($1::text[]) AS wanted (name) WHERE name NOT IN (SELECT name FROM pg_available_extensions)",
        &[manifest
            .extensions
            .iter()
            .map(|extension| Dynamic::from(extension.name.clone()))
            .collect::<Array>()
            .into()],
    )
    .await?
    .into_string()
    .unwrap_or_default();
    if !lacking.is_empty() && !options.partial {
        return Err(Error::new(
            "pg.restore_extension",
            format!(
                "the backup {} needs extensions that this server lacks: {lacking}; nothing was made",
                manifest.id
            ),
        )
        .hint("install their packages on the server's machine, or in its image; `partial: true` restores what does not need them"));
    }
    Ok(Ready {
        bucket,
        manifest,
        facts,
        keys,
    })
}

/// What the comment of a database begins with that is not complete.
const MARK: &str = "ccrun: a restore that is not complete, of ";

/// What a database is called until it is complete.
fn unfinished_name(into: &str) -> String {
    let mut name = into.to_owned();
    while name.len() > 63 - "_0000_unfinished".len() {
        name.pop();
    }
    format!("{name}_{:04x}_unfinished", rand::random::<u16>())
}

/// Says to others, for as long as it lives, that a database is being made: the server itself forgets it with the
/// connection, whatever became of us.
struct InTheMaking {
    lease: Lease,
}

/// One number for a name.
const LOCK: &str = "hashtextextended('ccrun restore ' || $1, 0)";

impl InTheMaking {
    async fn begin(cx: &Cx, beside: &Arc<Server>, name: &str) -> Result<Self> {
        let client = cx.client::<PgClient>().await?;
        // Of those that only read: what is changed meanwhile needs the others, of which there may be one.
        let mut lease = client.reader(beside).await?;
        let sql = format!("SELECT pg_advisory_lock({LOCK})::text");
        let name = [Dynamic::from(name.to_owned())];
        session::run(&mut lease, &sql.as_str().into(), &name, Want::Value)
            .await
            .map_err(|failure| failure.explain(beside))?;
        Ok(Self { lease })
    }
}

impl Drop for InTheMaking {
    fn drop(&mut self) {
        // The lock is the session's, and goes with it.
        self.lease.discard = true;
    }
}

/// Remove what restores left that were cut off: it says itself what it is, or is as empty as it was made, and nobody is making
/// it. A `pg_restore` whose ccrun was killed may still be at it.
async fn sweep(cx: &Cx, beside: &Arc<Server>) -> Result<()> {
    let sql = format!(
        "SELECT coalesce(json_object_agg(datname, coalesce(starts_with(shobj_description(oid, 'pg_database'), $1), false))::text, '{{}}') FROM pg_database d WHERE datname ~ '_[0-9a-f]{{4}}_unfinished$' AND NOT EXISTS (SELECT FROM pg_locks l WHERE locktype = 'advisory' AND (l.classid::bigint << 32) | l.objid::bigint = {})",
        LOCK.replace("$1", "datname")
    );
    let found = catalog::value(cx, beside, &sql, &[Dynamic::from(MARK.to_owned())]).await?;
    let found: HashMap<String, bool> =
        serde_json::from_str(&found.into_string().unwrap_or_default()).unwrap_or_default();
    for (name, marked) in found {
        if !marked && !is_empty(cx, &database_of(beside, &name)).await {
            continue;
        }
        let drop = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", ident(&name));
        // That it can't be removed is no reason not to restore.
        let (level, message) = match execute(cx, beside, &[drop]).await {
            Ok(()) => (
                Level::Info,
                format!("removed {name}, which a restore that was cut off had left"),
            ),
            Err(error) => (
                Level::Warn,
                format!(
                    "{name} is what a restore that was cut off had left, and can't be removed: {}",
                    error.message()
                ),
            ),
        };
        cx.log(level, message);
    }
    Ok(())
}

/// Whether a database has nothing but what every database has: one that was killed before it was marked.
async fn is_empty(cx: &Cx, database: &Arc<Server>) -> bool {
    // FirstNormalObjectId (access/transam.h): what is made after initdb has no smaller number.
    let sql = "SELECT NOT EXISTS (SELECT FROM pg_class WHERE oid >= 16384) AND NOT EXISTS (SELECT FROM pg_proc WHERE oid >= 16384) AND NOT EXISTS (SELECT FROM pg_namespace WHERE oid >= 16384) AND NOT EXISTS (SELECT FROM pg_type WHERE oid >= 16384) AND NOT EXISTS (SELECT FROM pg_largeobject_metadata)";
    let empty = catalog::value(cx, database, sql, &[]).await;
    empty.is_ok_and(|empty| empty.as_bool().unwrap_or(false))
}

/// A database that is being made of an archive, while the archive arrives.
struct Making<'m> {
    cx: &'m Cx,
    options: &'m RestoreOptions,
    reader: &'m Reader<'m>,
    facts: &'m Facts,
    /// Another database of the server.
    beside: &'m Arc<Server>,
    /// The one that is made.
    target: &'m Arc<Server>,
    spool: &'m Spool,
}

/// What was made.
struct Made {
    /// What of the archive was wanted, if not all.
    selection: Option<Selection>,
    /// What could not be restored.
    problems: Vec<String>,
    /// The roles that were missing.
    roles: Vec<String>,
}

impl Making<'_> {
    /// Tables, rows, and what comes after them. The archive was read to its end when this returns, and its hash is right.
    async fn make(&self) -> Result<Made> {
        let (told, entries) = oneshot::channel();
        let (begin, begun) = oneshot::channel();
        let (to, rows) = mpsc::channel(1);
        let file = self.spool.create()?;
        let part = self.reader.manifest.part("database")?;
        let opening = self.reader.open(part, move |archive| {
            let mut feed = Feed::new(told, begun, to);
            let copy = io::BufWriter::new(file);
            match archive::read_with(archive, copy, &mut feed) {
                // Whoever took the rows says why it takes no more.
                Err(_) if feed.abandoned => Ok(()),
                other => other.map(drop),
            }
        });
        let working = self.work(entries, begin, rows);
        tokio::pin!(opening, working);
        let (mut made, restorer, restoring) = tokio::select! {
            opened = &mut opening => {
                opened?;
                working.await?
            }
            worked = &mut working => match worked {
                // What the server does not like may be what became of it in the store, and then that is the cause.
                Err(error) if error.kind() == "pg.restore_rows" && is_about_values(&error) => {
                    opening.await?;
                    return Err(error);
                }
                Err(error) => return Err(error),
                Ok(worked) => {
                    opening.await?;
                    worked
                }
            },
        };
        let _shown = self.cx.progress("build indexes and keys", None);
        self.run(&restorer, Stage::After, &restoring, &mut made.problems)
            .await?;
        Ok(made)
    }

    /// All that can be done before the archive has been read to its end.
    async fn work(
        &self,
        entries: oneshot::Receiver<Vec<Entry>>,
        begin: oneshot::Sender<Orders>,
        rows: mpsc::Receiver<Rows>,
    ) -> Result<(Made, Restorer<'_>, Restoring<'_>)> {
        let (cx, options) = (self.cx, self.options);
        let Ok(entries) = entries.await else {
            return not_told().await;
        };
        let (selection, spaces) = look(cx, &entries, options)?;
        let wanted: Vec<&Entry> = match &selection {
            None => entries.iter().collect(),
            Some(selection) => {
                let chosen: HashSet<i64> = selection.entries.iter().copied().collect();
                let is_chosen = |entry: &&Entry| chosen.contains(&entry.id);
                entries.iter().filter(is_chosen).collect()
            }
        };
        let plan = Plan::new(&wanted, load::is_sendable(&entries));
        self.spool
            .choose(Stage::Before, plan.before.iter().copied())?;
        self.spool
            .choose(Stage::After, plan.after.iter().copied())?;
        let roles = if options.roles || options.all_roles {
            globals::make(cx, self.reader, self.beside, self.facts, options.all_roles).await?
        } else {
            Vec::new()
        };
        let restoring = Restoring {
            into: &self.target.database,
            jobs: threads(options.jobs),
            partial: options.partial,
            no_subscriptions: !options.subscriptions,
            no_tablespaces: lacks_tablespace(cx, self.beside, &spaces).await?,
        };
        let manifest = self.reader.manifest;
        let unfinished = &self.target.database;
        properties::create(cx, self.beside, &manifest.database, unfinished).await?;
        let mark = format!(
            "COMMENT ON DATABASE {} IS {}",
            ident(unfinished),
            literal(&format!("{MARK}{}", manifest.id))
        );
        execute(cx, self.beside, &[mark]).await?;
        let restorer = Restorer::find(cx, self.target, self.facts).await?;
        let mut problems = Vec::new();
        self.run(&restorer, Stage::Before, &restoring, &mut problems)
            .await?;
        // Where rows are left out, it is whole tables: a table's rows all go by one `COPY`, which takes any of them as text.
        let forms = if options.partial {
            HashMap::new()
        } else {
            load::forms(cx, self.target, &wanted).await?
        };
        let orders = Orders {
            fates: plan.fates,
            forms,
        };
        if begin.send(orders).is_err() {
            return not_told().await;
        }
        let lanes = options.jobs.unwrap_or(2 * restoring.jobs);
        problems.extend(load::load(cx, self.target, rows, lanes, options.partial).await?);
        let made = Made {
            selection,
            problems,
            roles,
        };
        Ok((made, restorer, restoring))
    }

    async fn run(
        &self,
        restorer: &Restorer<'_>,
        stage: Stage,
        restoring: &Restoring<'_>,
        problems: &mut Vec<String>,
    ) -> Result<()> {
        match restorer.run(stage, self.spool, restoring).await {
            // pg_restore goes on, and says at its end that it did.
            Err(error)
                if restoring.partial && error.message().contains("errors ignored on restore") =>
            {
                problems.push(error.message().to_owned());
                Ok(())
            }
            other => other,
        }
    }
}

/// The archive's reader has ended before it said what it should: why, it says itself.
async fn not_told<T>() -> Result<T> {
    std::future::pending().await
}

/// Whether the server found something wrong with the rows themselves (classes 22 and 23 of SQLSTATE).
fn is_about_values(error: &Error) -> bool {
    let code = error.code_text().unwrap_or_default();
    code.starts_with("22") || code.starts_with("23")
}

/// What of an archive is done when.
#[derive(Default)]
struct Plan {
    before: Vec<i64>,
    after: Vec<i64>,
    fates: HashMap<i64, Fate>,
}

impl Plan {
    fn new(wanted: &[&Entry], sendable: bool) -> Self {
        let mut plan = Self::default();
        for entry in wanted {
            if entry.before_data {
                plan.before.push(entry.id);
            } else if sendable && entry.kind == "TABLE DATA" {
                plan.fates.insert(entry.id, Fate::Give);
            } else {
                plan.fates.insert(entry.id, Fate::Copy);
                plan.after.push(entry.id);
            }
        }
        plan
    }
}

/// What of the archive is wanted, if not all, and the tablespaces that it names.
fn look(
    cx: &Cx,
    entries: &[Entry],
    options: &RestoreOptions,
) -> Result<(Option<Selection>, Vec<String>)> {
    let mut spaces: Vec<String> = entries
        .iter()
        .map(|entry| entry.tablespace.clone())
        .filter(|name| !name.is_empty())
        .collect();
    spaces.sort();
    spaces.dedup();
    let subscriptions: Vec<&str> = entries
        .iter()
        .filter(|entry| entry.kind == "SUBSCRIPTION")
        .map(|entry| entry.name.as_str())
        .collect();
    if !subscriptions.is_empty() && !options.subscriptions {
        cx.log(
            Level::Info,
            format!(
                "the subscriptions {} are left out; `subscriptions: true` restores them, switched off",
                subscriptions.join(", ")
            ),
        );
    }
    let (schemas, tables) = (
        options.schemas.clone().unwrap_or_default(),
        options.tables.clone().unwrap_or_default(),
    );
    if schemas.is_empty() && tables.is_empty() {
        return Ok((None, spaces));
    }
    let wanted = Wanted {
        schemas: &schemas,
        tables: &tables,
    };
    let selection = select(entries, &wanted)?;
    if selection.left_out > 0 {
        cx.log(
            Level::Info,
            format!(
                "{} foreign keys are left out: the rows that they point to are not restored",
                selection.left_out
            ),
        );
    }
    Ok((Some(selection), spaces))
}

/// Whether the server lacks one of these tablespaces: then everything lies in the default one.
async fn lacks_tablespace(cx: &Cx, beside: &Arc<Server>, spaces: &[String]) -> Result<bool> {
    if spaces.is_empty() {
        return Ok(false);
    }
    let list: Array = spaces.iter().cloned().map(Dynamic::from).collect();
    let sql = "SELECT coalesce(string_agg(name, ', '), '') FROM unnest($1::text[]) AS wanted (name) WHERE name NOT IN (SELECT spcname FROM pg_tablespace)";
    let lacking = catalog::value(cx, beside, sql, &[list.into()]).await?;
    let lacking = lacking.into_string().unwrap_or_default();
    if !lacking.is_empty() {
        cx.log(
            Level::Warn,
            format!("this server lacks the tablespaces {lacking}: everything is put into the default one"),
        );
    }
    Ok(!lacking.is_empty())
}

/// Whether the new database has what the backup's manifest says. Returns how many tables, and how many rows.
async fn check(
    cx: &Cx,
    target: &Arc<Server>,
    manifest: &Manifest,
    options: &RestoreOptions,
    selection: Option<&Selection>,
    facts: &Facts,
) -> Result<(u64, u64)> {
    let is_wanted = |table: &&Table| {
        selection.is_none_or(|selection| {
            let name = (table.schema.clone(), table.name.clone());
            selection.tables.contains(&name)
        })
    };
    let wanted: Vec<&Table> = manifest.tables.iter().filter(is_wanted).collect();
    let rows = wanted.iter().map(|table| table.rows).sum();
    let mismatch = |what: String| {
        Err(Error::new(
            "pg.restore_mismatch",
            format!(
                "what came out of {} is not what went into it: {what}",
                manifest.id
            ),
        )
        .hint("the new database was removed again; nothing else was touched"))
    };
    match options.verify.as_str() {
        "contents" => {
            let contents = contents(cx, target, facts).await?;
            let objects = (manifest.large_objects.count, manifest.large_objects.bytes);
            if contents.large_objects != objects {
                return mismatch(format!(
                    "it had {} large objects, and has {}",
                    objects.0, contents.large_objects.0
                ));
            }
            let found: HashMap<(&str, &str), &archive::TableData> = contents
                .tables
                .iter()
                .map(|there| ((there.schema.as_str(), there.name.as_str()), there))
                .collect();
            for table in &wanted {
                let there = found.get(&(table.schema.as_str(), table.name.as_str()));
                // The first layout had a hash of all rows, in the order in which they were stored.
                let same = there.is_some_and(|there| {
                    (there.rows, there.bytes) == (table.rows, table.bytes)
                        && (manifest.format < 2 || there.hash == table.hash)
                });
                if !same {
                    return mismatch(format!(
                        "{}.{} had {} rows, and has {}{}",
                        table.schema,
                        table.name,
                        table.rows,
                        there.map_or(0, |there| there.rows),
                        if there.is_some_and(|there| there.rows == table.rows) {
                            " others"
                        } else {
                            ""
                        }
                    ));
                }
            }
        }
        "counts" => {
            const AT_ONCE: usize = 4;
            let owned: Vec<Table> = wanted.into_iter().cloned().collect();
            let count = owned.len() as u64;
            let mut progress = cx.progress("compare", Some(count));
            let mut counting = futures::stream::iter(owned)
                .map(|table: Table| async move {
                    let sql = format!(
                        "SELECT count(*) FROM ONLY {}.{}",
                        ident(&table.schema),
                        ident(&table.name)
                    );
                    let count = catalog::value(cx, target, &sql, &[]).await?;
                    Ok::<_, Error>((table, count.as_int().unwrap_or(-1)))
                })
                .buffer_unordered(AT_ONCE);
            while let Some((table, count)) = counting.try_next().await? {
                progress.advance(1);
                if u64::try_from(count) != Ok(table.rows) {
                    return mismatch(format!(
                        "{}.{} had {} rows, and has {count}",
                        table.schema, table.name, table.rows
                    ));
                }
            }
            return Ok((count, rows));
        }
        _ => {}
    }
    Ok((wanted.len() as u64, rows))
}

/// What `pg_dump` reads of a database, without keeping it.
pub(super) async fn contents(
    cx: &Cx,
    server: &Arc<Server>,
    facts: &Facts,
) -> Result<archive::Contents> {
    let toolbox = Toolbox::find(cx, server, facts.server.version_num / 10_000).await?;
    let (to, from) = mpsc::channel::<Bytes>(16);
    let arguments = [
        "--format=custom",
        "--compress=0",
        "--dbname",
        &server.database,
    ];
    let dumping = toolbox.stream("pg_dump", &arguments, Effect::Read, to);
    let mut progress = cx
        .progress(format!("read {}", server.database), None)
        .bytes();
    let reading = crate::files::blocking(cx, move |work| {
        let work = work.clone();
        let mut inlet = seal::Inlet::new(from, move |piece| {
            progress.advance(piece.len() as u64);
            work.check()
                .map_err(|error| io::Error::other(error.to_string()))
        });
        Ok(archive::read(&mut inlet))
    });
    let (dumped, read) = tokio::join!(dumping, reading);
    dumped?;
    read?.map_err(|error| Error::new("pg.backup_damaged", format!("{server}: {error}")).retryable())
}

async fn restore_preview(
    this: &Database,
    cx: &Cx,
    store: &Store,
    id: &str,
    options: &RestoreOptions,
) -> Result<Preview> {
    let ready = ready(cx, this, store, id, options).await?;
    let manifest = &ready.manifest;
    let rows: u64 = manifest.tables.iter().map(|table| table.rows).sum();
    Ok(Preview::new(format!(
        "make the database {} from {} of {} ({rows} rows in {} tables); nothing that is there is touched",
        options.into,
        manifest.id,
        manifest.started,
        manifest.tables.len()
    ))
    .undo(format!("DROP DATABASE {}", ident(&options.into))))
}
