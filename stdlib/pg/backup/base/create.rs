//! `db.base_backup`: a whole server into a store.

use std::sync::Arc;

use ccrun_kernel::effect::Effect;
use ccrun_kernel::event::Level;
use ccrun_kernel::rhai::Dynamic;
use ccrun_kernel::value::{Size, Timestamp};
use ccrun_kernel::{Cx, Error, Options, Preview, Result, primitive};
use serde::Deserialize;
use tokio::sync::mpsc;

use super::super::catalog::{self, literal};
use super::super::create::{Sealing, Set, folder_of, lock_of, new_id, threads};
use super::super::manifest::{Base, Count, FORMAT, Kind, LsnRange, Manifest};
use super::super::seal::Recipients;
use super::super::tool::Toolbox;
use super::contents::{self, Nothing};
use crate::pg::Database;
use crate::pg::client::PgClient;
use crate::pg::connect::Server;
use crate::pg::pool::Lease;
use crate::s3::Store;

/// How a base backup is made.
#[derive(Clone, Options)]
pub struct BaseBackupOptions {
    /// The folder in the store that backups lie in.
    #[option(default = "backups")]
    prefix: String,
    /// Who may read it: recipients of age (`age1…`). Without one, whoever can read the store can read the backup.
    recipients: Option<Vec<String>>,
    /// How hard zstd tries, from 1 to 19.
    #[option(default = "1")]
    level: i64,
    /// How many threads compress. Left out: as many as there are processors.
    threads: Option<u32>,
    /// `fast`: the server writes all that it has in memory at once, and the backup begins; `spread`: it takes its time
    /// (`checkpoint_timeout`), and nobody feels it.
    #[option(default = "fast")]
    checkpoint: String,
    /// The most that is read in a second, so that others are not held up: 32KiB to 1GiB.
    max_rate: Option<Size>,
    /// What to call it: a version, a reason.
    note: Option<String>,
    /// How long the store keeps it whatever is deleted: the bucket must have been made with locks
    /// (`store.create_bucket(#{ locks: true })`). Whoever deletes it hides it, and `store.versions` still has it.
    locked_for: Option<ccrun_kernel::value::Duration>,
    /// `governance`: keys with the right to (`s3:BypassGovernanceRetention`; an administrator's have it) may delete it all the
    /// same; `compliance`: none may, and nobody can take that back.
    #[option(default = "governance")]
    lock_mode: String,
}

/// Pieces under way between two stages.
const UNDER_WAY: usize = 16;

/// What is asked of the server beside the usual.
#[derive(Deserialize)]
struct Whole {
    segment_size: u64,
    checksums: bool,
    tablespaces: Vec<String>,
    size: u64,
}

/// When the backup had ended.
#[derive(Deserialize)]
struct End {
    at: String,
    next_xid: u64,
}

impl Database {
    /// Back up the whole server, all its databases and roles, into a store, and return the backup's manifest.
    ///
    /// `pg_basebackup` of the server's own version reads its files (from the service's container, else from this machine);
    /// they are compressed with zstd, encrypted with age if there are recipients, and streamed into the store; nothing of
    /// it touches a disk here. The log that makes it consistent is part of it, and the server keeps that log until it has
    /// gone by. What the server says it sent, by size and CRC-32C of each file, is compared with what went by; then the
    /// manifest is written. What is killed before leaves no backup.
    ///
    /// With the log that `pg::ship_wal` has archived since, `pg::recover` restores any moment after its end. It takes a
    /// role that may replicate, as the superuser may. A server with tablespaces is refused.
    ///
    /// The manifest is a map as `db.backup` returns it, with `kind: "base"` and `base`: `timeline`, `start`, `end`,
    /// `ended`, `segment_size`, `checksums`, `next_xid`, `files`, `bytes`, `wal`.
    ///
    /// # Errors
    /// `pg.tool_failed` with what `pg_basebackup` said; `pg.tablespaces`; `pg.standby`; `pg.no_tools`; `pg.backup_key`;
    /// `pg.backup_damaged`; `s3.…` of the store.
    ///
    /// # Example
    /// ```rhai,no_run
    /// let db = pg::connect().login("postgres", secret("POSTGRES_PASSWORD"));
    /// let backup = db.base_backup(s3::folder("/srv/backups"), #{ recipients: ["age1…"] });
    /// print(`${backup.id}: every moment from ${backup.base.ended} on`);
    /// ```
    #[primitive(change, needs = pg(self.server.resource), needs = s3(store.resource()), preview = base_backup_preview)]
    pub(in crate::pg) async fn base_backup(
        &self,
        cx: &Cx,
        store: Store,
        options: BaseBackupOptions,
    ) -> Result<Dynamic> {
        let recipients = Recipients::parse(&options.recipients.clone().unwrap_or_default())?;
        options.check()?;
        let bucket = store.writer(cx).await?;
        let lock = lock_of(&bucket, options.locked_for, &options.lock_mode).await?;
        let facts = catalog::facts(cx, &self.server).await?;
        let whole = whole(cx, &self.server).await?;
        refuse(&self.server, facts.server.in_recovery, &whole)?;
        let toolbox = Toolbox::find(cx, &self.server, facts.server.version_num / 10_000).await?;
        let started = Timestamp::now();
        let id = new_id(&started, "base")?;
        let mut set = Set {
            cx,
            bucket,
            folder: folder_of(&options.prefix, &id),
            sealing: Sealing {
                recipients,
                level: i32::try_from(options.level.clamp(1, 19)).unwrap_or(1),
                threads: threads(options.threads),
            },
            parts: Vec::new(),
            lock,
        };
        // Held until the end: as long as this session lives, the server keeps the log from here on.
        let held = hold_wal(cx, &self.server).await?;
        let contents = {
            let (to, from) = mpsc::channel(UNDER_WAY);
            let arguments = options.arguments(&id);
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            let copying = async {
                let copied = toolbox.stream("pg_basebackup", &arguments, Effect::Change, to);
                copied.await.map_err(explain)
            };
            set.ship("base", "tar", Some(whole.size), from, copying, |inlet| {
                contents::read(inlet, &mut Nothing)
            })
            .await?
        };
        drop(held);
        let damaged = |what: String| {
            Error::new(
                "pg.backup_damaged",
                format!("the base backup of {}: {what}", self.server),
            )
            .hint("nothing was kept; run it again")
            .retryable()
        };
        contents.has_its_wal(whole.segment_size).map_err(damaged)?;
        if contents.system.to_string() != facts.server.system_identifier {
            return Err(damaged(
                "another server answers than the one that was asked first: it was replaced meanwhile".to_owned(),
            ));
        }
        let end: End = ask(
            cx,
            &self.server,
            "SELECT json_build_object('at', to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'), 'next_xid', pg_snapshot_xmax(pg_current_snapshot())::text::bigint)::text",
        )
        .await?;
        let manifest = Manifest {
            format: FORMAT,
            id,
            kind: Kind::Base,
            started,
            finished: Timestamp::now(),
            ccrun: env!("CARGO_PKG_VERSION").to_owned(),
            tool: format!("pg_basebackup of PostgreSQL {}", facts.server.version),
            server: facts.server,
            database: facts.database,
            lsn: LsnRange {
                start: contents.start.to_string(),
                end: contents.end.to_string(),
            },
            extensions: facts.extensions,
            roles: facts.roles,
            settings: facts.settings,
            objects: std::mem::take(&mut set.parts),
            tables: Vec::new(),
            large_objects: Count::default(),
            buckets: Vec::new(),
            recipients: set.sealing.recipients.names(),
            note: options.note.clone(),
            locked: set.locked(),
            base: Some(Base {
                timeline: contents.timeline,
                start: contents.start,
                end: contents.end,
                ended: end.at.parse()?,
                segment_size: whole.segment_size,
                checksums: whole.checksums,
                next_xid: end.next_xid,
                files: contents.files,
                bytes: contents.bytes,
                wal: contents.wal.into_iter().map(|(name, _)| name).collect(),
                owner: contents.owner,
            }),
        };
        set.commit(&manifest).await?;
        manifest.to_script(None)
    }
}

impl BaseBackupOptions {
    fn check(&self) -> Result<()> {
        if !["fast", "spread"].contains(&self.checkpoint.as_str()) {
            return Err(Error::new(
                "pg.backup_option",
                format!("`{}` is no way to begin a base backup", self.checkpoint),
            )
            .hint("it is `fast` or `spread`"));
        }
        if let Some(rate) = self.max_rate
            && !(32 << 10..=1 << 30).contains(&rate.bytes())
        {
            return Err(
                Error::new("pg.backup_option", format!("`max_rate` can't be {rate}"))
                    .hint("pg_basebackup takes 32KiB to 1GiB in a second"),
            );
        }
        Ok(())
    }

    fn arguments(&self, id: &str) -> Vec<String> {
        let mut arguments = vec![
            "--pgdata=-".to_owned(),
            "--format=tar".to_owned(),
            "--wal-method=fetch".to_owned(),
            format!("--checkpoint={}", self.checkpoint),
            "--manifest-checksums=CRC32C".to_owned(),
            format!("--label=ccrun {id}"),
        ];
        if let Some(rate) = self.max_rate {
            arguments.push(format!("--max-rate={}k", rate.bytes() >> 10));
        }
        arguments
    }
}

async fn whole(cx: &Cx, server: &Arc<Server>) -> Result<Whole> {
    ask(
        cx,
        server,
        "SELECT json_build_object(
            'segment_size', pg_size_bytes(current_setting('wal_segment_size')),
            'checksums', current_setting('data_checksums')::bool,
            'tablespaces', coalesce((SELECT json_agg(spcname ORDER BY spcname) FROM pg_tablespace WHERE spcname NOT IN ('pg_default', 'pg_global')), '[]'),
            'size', (SELECT sum(pg_database_size(oid))::bigint FROM pg_database))::text",
    )
    .await
}

async fn ask<T: serde::de::DeserializeOwned>(
    cx: &Cx,
    server: &Arc<Server>,
    sql: &str,
) -> Result<T> {
    let text = catalog::value(cx, server, sql, &[]).await?;
    serde_json::from_str(&text.into_string().unwrap_or_default()).map_err(|error| {
        Error::new(
            "pg.protocol",
            format!("the server answers otherwise than expected: {error}"),
        )
    })
}

fn refuse(server: &Server, in_recovery: bool, whole: &Whole) -> Result<()> {
    if in_recovery {
        return Err(Error::new(
            "pg.standby",
            format!("{server} is a standby, and base backups are taken of the primary"),
        )
        .hint("name the primary in the target; `SELECT pg_is_in_recovery()` there says `f`"));
    }
    if !whole.tablespaces.is_empty() {
        return Err(Error::new(
            "pg.tablespaces",
            format!(
                "{server} keeps data in tablespaces of its own ({}), and those can't be streamed into a store",
                whole.tablespaces.join(", ")
            ),
        )
        .hint("move it to the default one (`ALTER TABLE … SET TABLESPACE pg_default`) and drop them, or back up each database: `db.backup`"));
    }
    Ok(())
}

/// A replication slot that lives as long as the session which is returned: the server removes no log that is newer.
async fn hold_wal(cx: &Cx, server: &Arc<Server>) -> Result<Option<Lease>> {
    use sqlx::Executor as _;
    let client = cx.client::<PgClient>().await?;
    let name = format!("ccrun_base_{:08x}", rand::random::<u32>());
    let sql = format!(
        "SELECT pg_create_physical_replication_slot({}, true, true)",
        literal(&name)
    );
    loop {
        let mut lease = client.writer(server).await?;
        // The slot goes with the session, which nobody else is to get.
        lease.discard = true;
        lease.begin();
        let made = lease
            .connection()
            .execute(sqlx::AssertSqlSafe(sql.clone()))
            .await;
        lease.end();
        match made {
            Ok(_) => return Ok(Some(lease)),
            // The server was restarted since that connection was used.
            Err(_) if lease.reused => {}
            Err(error) => {
                cx.log(
                    Level::Warn,
                    format!("the server can't be told to keep its log meanwhile ({error}): if it removes some before it has gone by, the backup fails. Raise max_replication_slots"),
                );
                return Ok(None);
            }
        }
    }
}

/// What to do about what `pg_basebackup` says.
fn explain(error: Error) -> Error {
    let said = error.message().to_owned();
    let hint = if said.contains("pg_hba.conf") {
        "let the role replicate: a line `local replication all …` or `host replication all …` in pg_hba.conf, then `SELECT pg_reload_conf()`"
    } else if said.contains("max_wal_senders") || said.contains("wal_level") {
        "the server takes no more replicating connections: `SHOW max_wal_senders`, `SHOW wal_level` (replica or logical); both need a restart"
    } else if said.contains("must be superuser or replication role") {
        "log in as the superuser: `db.login(\"postgres\", secret(\"POSTGRES_PASSWORD\"))`"
    } else if said.contains("checksum error") || said.contains("checksum verification failed") {
        "pages on the server's disk are damaged: look at its log and its disk, and keep the backups that there are"
    } else if said.contains("has already been removed") {
        "the server removed log before it had gone by: give it a free replication slot (max_replication_slots), or raise wal_keep_size"
    } else {
        return error;
    };
    error.hint(hint)
}

async fn base_backup_preview(
    this: &Database,
    cx: &Cx,
    store: &Store,
    options: &BaseBackupOptions,
) -> Result<Preview> {
    let recipients = Recipients::parse(&options.recipients.clone().unwrap_or_default())?;
    options.check()?;
    let facts = catalog::facts(cx, &this.server).await?;
    let whole = whole(cx, &this.server).await?;
    refuse(&this.server, facts.server.in_recovery, &whole)?;
    let toolbox = Toolbox::find(cx, &this.server, facts.server.version_num / 10_000).await?;
    Ok(Preview::new(format!(
        "copy the whole server {} ({}) with pg_basebackup {} into {}/{}{}",
        this.server,
        Size::from_bytes(whole.size),
        toolbox.shown(),
        store.place,
        options.prefix.trim_matches('/'),
        if recipients.is_empty() {
            ", not encrypted"
        } else {
            ", encrypted"
        },
    ))
    .undo("delete it: `ccrun prune`"))
}
