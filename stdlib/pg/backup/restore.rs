//! `db.restore`: a database from a backup, beside the ones that are there.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ccrun_kernel::effect::Effect;
use ccrun_kernel::rhai::{Dynamic, Map};
use ccrun_kernel::value::{Size, Timestamp};
use ccrun_kernel::{Cx, Error, MaybeSecret, Options, Preview, Result, primitive};
use futures::{StreamExt as _, TryStreamExt as _};
use tokio::sync::mpsc;
use tokio_util::bytes::Bytes;

use super::archive;
use super::catalog::{self, Facts, database_of, execute, ident, literal};
use super::create::{folder_of, threads};
use super::manifest::{DatabaseFacts, Kind, Manifest, Part, Table, Verified};
use super::seal;
use super::sets;
use super::swap::beside;
use super::tool::Toolbox;
use super::verify::{Reader, note};
use crate::docker;
use crate::engine::Engine;
use crate::files::FilePath;
use crate::pg::Database;
use crate::pg::connect::Server;
use crate::pg::service;
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
    /// How many connections restore at once. Left out: as many as there are processors.
    jobs: Option<u32>,
    /// The folder in which the archive lies meanwhile, uncompressed. Left out: the folder of temporary files.
    spool: Option<FilePath>,
    /// Make the roles that the backup has and the server has not, with what they may do and their passwords.
    #[option(default = "true")]
    roles: bool,
    /// What is compared afterwards: `counts` (rows of each table), `contents` (a hash of each table), `none`.
    #[option(default = "counts")]
    verify: String,
}

impl Database {
    /// Restore a backup into a new database of the server, beside this one, and compare it with what was backed up.
    ///
    /// Nothing that is there is touched: the new database has the name `into`, the encoding and locale it had, its
    /// owner, grants and settings; `db.swap(into)` then gives it this one's name. What fails on the way is removed again.
    /// Roles that are missing are made first. Owners, grants, policies, publications, event triggers are restored
    /// as they were, by `pg_restore` of the server's version, several connections at once.
    ///
    /// `id` is a backup's name, the beginning of one, or `latest`. Log in as a superuser. Returns a map: `database`,
    /// `backup`, `rows`, `tables`, `size`, `elapsed`, `verified`, `roles` (which were made).
    ///
    /// # Errors
    /// `pg.backup_damaged`, `pg.no_backup`, `pg.backup_key`; `pg.duplicate_database` if `into` is there; `pg.restore_version`
    /// if the server is older; `pg.restore_mismatch` if what came out is not what was backed up; `pg.tool_failed`;
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
        let spool = Spool::new(cx, options.spool.as_deref(), manifest.part("database")?)?;
        let file = spool.file();
        let written = file.clone();
        reader
            .open(manifest.part("database")?, move |plain| {
                write_spool(&written, plain)
            })
            .await?;
        let beside = beside(&self.server, &[&options.into]);
        let made = if options.roles {
            roles(cx, &reader, &beside, &facts).await?
        } else {
            Vec::new()
        };
        let target = database_of(&self.server, &options.into);
        create(cx, &beside, &manifest.database, &options.into).await?;
        let restoring = async {
            let toolbox = Restorer::find(cx, &target, &facts).await?;
            toolbox.run(&spool, &options).await?;
            settings(cx, &beside, &manifest.database, &options.into).await?;
            check(cx, &target, &manifest, &options, &facts).await
        };
        let (tables, rows) = match restoring.await {
            Ok(counted) => counted,
            Err(error) => {
                // Only what was made here is removed.
                let sql = format!(
                    "DROP DATABASE IF EXISTS {} WITH (FORCE)",
                    ident(&options.into)
                );
                drop(execute(cx, &beside, &[sql]).await);
                return Err(error);
            }
        };
        let whole = options.tables.is_none() && options.schemas.is_none();
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
                    .collect::<ccrun_kernel::rhai::Array>()
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
        return Err(Error::new(
            "pg.backup_key",
            format!(
                "the backup {} is encrypted, and no key was given",
                manifest.id
            ),
        )
        .hint(format!(
            "give the key of {}: `key: secret(\"BACKUP_KEY\")`",
            manifest.recipients.join(" or ")
        )));
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
    Ok(Ready {
        bucket,
        manifest,
        facts,
        keys,
    })
}

/// Where the archive lies while `pg_restore` reads it: parallel restoring needs a file.
struct Spool {
    folder: tempfile::TempDir,
}

impl Spool {
    fn new(cx: &Cx, folder: Option<&Path>, part: &Part) -> Result<Self> {
        let _ = cx;
        let parent = folder.map_or_else(crate::files::temporary_folder, Path::to_path_buf);
        let failed = |error: &io::Error| crate::files::failed("make a folder in", &parent, error);
        let free = rustix::fs::statvfs(&parent)
            .map(|stat| stat.f_bavail * stat.f_frsize)
            .map_err(|error| failed(&error.into()))?;
        if free < part.plain_size {
            return Err(Error::new(
                "io.disk_full",
                format!(
                    "the archive takes {} uncompressed, and {} has {} left",
                    Size::from_bytes(part.plain_size),
                    parent.display(),
                    Size::from_bytes(free)
                ),
            )
            .hint("make room, or name a folder on another disk: `spool`"));
        }
        let folder = tempfile::Builder::new()
            .prefix("ccrun-restore-")
            .tempdir_in(&parent)
            .map_err(|error| failed(&error))?;
        Ok(Self { folder })
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("database.dump")
    }
}

/// The archive, for nobody else's eyes.
#[allow(
    clippy::disallowed_methods,
    reason = "the spool is a file of this call's own, in a folder that it has made"
)]
fn write_spool(path: &Path, from: &mut dyn io::Read) -> io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    io::copy(from, &mut file).map(drop)
}

/// `pg_restore`: of this machine, else of the server's own image in a container beside it.
enum Restorer<'c> {
    Here(Toolbox<'c>),
    Beside {
        cx: &'c Cx,
        server: Arc<Server>,
        image: String,
        container: String,
        password: Option<String>,
    },
}

impl<'c> Restorer<'c> {
    async fn find(cx: &'c Cx, server: &Arc<Server>, facts: &Facts) -> Result<Self> {
        let major = facts.server.version_num / 10_000;
        // The service's own image fits the server exactly, and is here; a remote engine can't see the spool.
        if server.is_service
            && let Ok(engine) = cx.client::<Engine>().await
            && engine.host().address.starts_with("unix://")
        {
            let found = service::container(&engine, cx.target(), &server.host).await?;
            let client = cx.client::<crate::pg::client::PgClient>().await?;
            let (_, password) = client.login(server).await?;
            return Ok(Self::Beside {
                cx,
                server: Arc::clone(server),
                image: found.image_id.unwrap_or_default(),
                container: found.id.unwrap_or_default(),
                password,
            });
        }
        if let Some(toolbox) = Toolbox::find_here(cx, server, major).await? {
            return Ok(Self::Here(toolbox));
        }
        Err(Error::new(
            "pg.no_tools",
            format!("there is no pg_restore of version {major} or newer on this machine"),
        )
        .hint(format!(
            "install it (Debian: `apt-get install postgresql-client-{major}`)"
        )))
    }

    async fn run(&self, spool: &Spool, options: &RestoreOptions) -> Result<()> {
        let jobs = threads(options.jobs).to_string();
        let mut arguments: Vec<String> = vec![
            "--exit-on-error".into(),
            "--jobs".into(),
            jobs,
            "--dbname".into(),
            options.into.clone(),
        ];
        for schema in options.schemas.iter().flatten() {
            arguments.extend(["--schema".into(), schema.clone()]);
        }
        for table in options.tables.iter().flatten() {
            match table.split_once('.') {
                Some((schema, table)) => arguments.extend([
                    "--schema".into(),
                    schema.to_owned(),
                    "--table".into(),
                    table.to_owned(),
                ]),
                None => arguments.extend(["--table".into(), table.clone()]),
            }
        }
        match self {
            Self::Here(toolbox) => {
                let mut words: Vec<&str> = arguments.iter().map(String::as_str).collect();
                let file = spool.file().display().to_string();
                words.push(&file);
                toolbox
                    .text("pg_restore", &words, Effect::Change, 16 << 20)
                    .await
                    .map(drop)
            }
            Self::Beside {
                cx,
                server,
                image,
                container,
                password,
            } => {
                let folder = spool.folder.path();
                let mut command = vec!["pg_restore".to_owned()];
                command.extend([
                    "--username".to_owned(),
                    server.user.clone(),
                    "--no-password".to_owned(),
                ]);
                command.extend(["--host".to_owned(), "127.0.0.1".to_owned()]);
                command.extend(arguments);
                command.push("/spool/database.dump".to_owned());
                let text = |text: &str| Dynamic::from(text.to_owned());
                let list = |words: Vec<String>| -> Dynamic {
                    words
                        .into_iter()
                        .map(Dynamic::from)
                        .collect::<ccrun_kernel::rhai::Array>()
                        .into()
                };
                let user = format!(
                    "{}:{}",
                    rustix::process::getuid().as_raw(),
                    rustix::process::getgid().as_raw()
                );
                if let Some(password) = password {
                    let escaped = password.replace('\\', "\\\\").replace(':', "\\:");
                    pgpass(&folder.join("pgpass"), &escaped)
                        .map_err(|error| crate::files::failed("write into", folder, &error))?;
                }
                let program = command.remove(0);
                let options = Map::from_iter([
                    ("entrypoint".into(), list(vec![program])),
                    ("command".into(), list(command)),
                    ("network".into(), text(&format!("container:{container}"))),
                    ("user".into(), text(&user)),
                    (
                        "mounts".into(),
                        list(vec![format!("{}:/spool:ro", folder.display())]),
                    ),
                    (
                        "env".into(),
                        Dynamic::from(Map::from_iter([(
                            "PGPASSFILE".into(),
                            text("/spool/pgpass"),
                        )])),
                    ),
                ]);
                docker::run_with(cx, image, options).await.map_err(|error| {
                    Error::new(
                        "pg.tool_failed",
                        format!("pg_restore into {server}: {}", error.message()),
                    )
                    .hint("nothing that was there was touched, and what was made was removed")
                })
            }
        }
    }
}

/// A password file of libpq, for one container.
#[allow(
    clippy::disallowed_methods,
    reason = "it lies in the folder that this call has made, and goes with it"
)]
fn pgpass(path: &Path, password: &str) -> io::Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    writeln!(file, "*:*:*:*:{password}")
}

/// Make the roles that are missing: by the lines of `pg_dumpall --globals-only` that are about them.
async fn roles(
    cx: &Cx,
    reader: &Reader<'_>,
    beside: &Arc<Server>,
    facts: &Facts,
) -> Result<Vec<String>> {
    let missing: Vec<String> = reader
        .manifest
        .roles
        .iter()
        .filter(|role| !facts.roles.contains(role))
        .cloned()
        .collect();
    if missing.is_empty() {
        return Ok(missing);
    }
    let sql = reader
        .open(reader.manifest.part("globals")?, |plain| {
            let mut text = String::new();
            io::Read::read_to_string(plain, &mut text)?;
            Ok(text)
        })
        .await?;
    execute(cx, beside, &about(&sql, &missing)).await?;
    Ok(missing)
}

/// The statements about some roles: each is one line of `pg_dumpall`.
fn about(sql: &str, roles: &[String]) -> Vec<String> {
    let names: Vec<String> = roles
        .iter()
        .flat_map(|role| [role.clone(), ident(role)])
        .collect();
    let names_it = |rest: &str| {
        let rest = rest.trim_end_matches(';');
        names.iter().any(|name| {
            rest == name
                || rest
                    .strip_prefix(name.as_str())
                    .is_some_and(|rest| rest.starts_with(' '))
        })
    };
    sql.lines()
        .filter(|line| {
            let create = line.strip_prefix("CREATE ROLE ").is_some_and(names_it);
            let alter = line.strip_prefix("ALTER ROLE ").is_some_and(names_it);
            let comment = line.strip_prefix("COMMENT ON ROLE ").is_some_and(names_it);
            let grant = line.starts_with("GRANT ")
                && line.split_once(" TO ").is_some_and(|(_, to)| names_it(to));
            create || alter || comment || grant
        })
        // In a database of its own, which is not there yet.
        .filter(|line| !line.contains(" IN DATABASE "))
        // Who granted it may not be there, or not have the right any more; the membership is what counts.
        .map(|line| match line.split_once(" GRANTED BY ") {
            Some((grant, _)) if line.starts_with("GRANT ") => format!("{grant};"),
            _ => line.to_owned(),
        })
        .collect()
}

async fn create(cx: &Cx, beside: &Arc<Server>, facts: &DatabaseFacts, name: &str) -> Result<()> {
    let mut sql = format!(
        "CREATE DATABASE {} TEMPLATE template0 ENCODING {} LC_COLLATE {} LC_CTYPE {}",
        ident(name),
        literal(&facts.encoding),
        literal(&facts.collate),
        literal(&facts.ctype)
    );
    if facts.provider == "i"
        && let Some(locale) = &facts.icu_locale
    {
        sql.push_str(&format!(
            " LOCALE_PROVIDER icu ICU_LOCALE {}",
            literal(locale)
        ));
    }
    let created = execute(cx, beside, &[sql]).await;
    created.map_err(|error| {
        if error.message().contains("locale") {
            error.hint(format!(
                "the server's machine lacks the locale {}: install it there (Debian: `locale-gen`)",
                facts.collate
            ))
        } else {
            error
        }
    })
}

/// What `pg_restore` leaves out of a database that has another name: owner, grants, settings, comment.
async fn settings(cx: &Cx, beside: &Arc<Server>, facts: &DatabaseFacts, name: &str) -> Result<()> {
    let database = ident(name);
    let mut all = vec![format!(
        "ALTER DATABASE {database} OWNER TO {}",
        ident(&facts.owner)
    )];
    if facts.connection_limit >= 0 {
        all.push(format!(
            "ALTER DATABASE {database} CONNECTION LIMIT {}",
            facts.connection_limit
        ));
    }
    if let Some(comment) = &facts.comment {
        all.push(format!(
            "COMMENT ON DATABASE {database} IS {}",
            literal(comment)
        ));
    }
    if let Some(acl) = &facts.acl {
        // What is not in the list is not granted, not even by default.
        all.push(format!(
            "REVOKE ALL ON DATABASE {database} FROM PUBLIC, {}",
            ident(&facts.owner)
        ));
        all.extend(acl.iter().flat_map(|item| grants(item, &database)));
    }
    for each in &facts.settings {
        for setting in &each.settings {
            let Some((key, value)) = setting.split_once('=') else {
                continue;
            };
            // Lists such as search_path are lists of names, not one text.
            let value = if [
                "search_path",
                "temp_tablespaces",
                "session_preload_libraries",
                "local_preload_libraries",
            ]
            .contains(&key)
            {
                value.to_owned()
            } else {
                literal(value)
            };
            let value = if value.is_empty() {
                "''".to_owned()
            } else {
                value
            };
            all.push(match &each.role {
                None => format!("ALTER DATABASE {database} SET {} TO {value}", dotted(key)),
                Some(role) => format!(
                    "ALTER ROLE {} IN DATABASE {database} SET {} TO {value}",
                    ident(role),
                    dotted(key)
                ),
            });
        }
    }
    execute(cx, beside, &all).await
}

/// The name of a setting: `app.tenant` has two parts.
fn dotted(key: &str) -> String {
    key.split('.').map(ident).collect::<Vec<_>>().join(".")
}

/// `role=CTc/grantor` as statements.
fn grants(item: &str, database: &str) -> Vec<String> {
    let Some((role, rights)) = item.rsplit_once('=') else {
        return Vec::new();
    };
    let rights = rights.split('/').next().unwrap_or_default();
    let role = match role.trim_matches('"') {
        "" => "PUBLIC".to_owned(),
        name => ident(&name.replace("\"\"", "\"")),
    };
    let letters: Vec<char> = rights.chars().collect();
    let mut all = Vec::new();
    for (index, letter) in letters.iter().enumerate() {
        let right = match letter {
            'C' => "CREATE",
            'T' => "TEMPORARY",
            'c' => "CONNECT",
            _ => continue,
        };
        let with = if letters.get(index + 1) == Some(&'*') {
            " WITH GRANT OPTION"
        } else {
            ""
        };
        all.push(format!(
            "GRANT {right} ON DATABASE {database} TO {role}{with}"
        ));
    }
    all
}

/// Whether the new database has what the backup's manifest says. Returns how many tables, and how many rows.
async fn check(
    cx: &Cx,
    target: &Arc<Server>,
    manifest: &Manifest,
    options: &RestoreOptions,
    facts: &Facts,
) -> Result<(u64, u64)> {
    let wanted: Vec<&Table> = manifest
        .tables
        .iter()
        .filter(|table| {
            let schema = options
                .schemas
                .as_ref()
                .is_none_or(|schemas| schemas.contains(&table.schema));
            let name = options.tables.as_ref().is_none_or(|tables| {
                tables.contains(&table.name)
                    || tables.contains(&format!("{}.{}", table.schema, table.name))
            });
            schema && name
        })
        .collect();
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
            for table in &wanted {
                let there = contents
                    .tables
                    .iter()
                    .find(|there| there.schema == table.schema && there.name == table.name);
                let same =
                    there.is_some_and(|there| there.rows == table.rows && there.hash == table.hash);
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
