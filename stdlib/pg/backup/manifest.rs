//! The manifest of a backup: what is in it, written last. A backup without one does not exist.

use std::collections::BTreeMap;

use ccrun_kernel::rhai::Dynamic;
use ccrun_kernel::value::{Duration, Size, Timestamp};
use ccrun_kernel::{Error, Result};
use serde::{Deserialize, Serialize};

use super::archive::TableData;
use super::wal::Lsn;

/// The name of the object that makes a backup one.
pub const MANIFEST: &str = "manifest.json";

/// The name of the object that says when it was read, or restored, as a whole.
pub const VERIFIED: &str = "verified.json";

/// The layout of manifests that this version writes.
///
/// 2: a table's hash is one of its rows in any order; 1 had one of the text of all rows.
pub const FORMAT: u32 = 2;

/// A manifest is never larger: 100,000 tables take 12 MB.
pub const LARGEST: u64 = 256 << 20;

/// What is known of a backup.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// The layout of this document.
    pub format: u32,
    /// Its name, which is also the folder it lies in.
    pub id: String,
    /// `logical` (pg_dump) or `base` (pg_basebackup).
    pub kind: Kind,
    /// When it was begun.
    #[serde(with = "moment")]
    pub started: Timestamp,
    /// When the manifest was written.
    #[serde(with = "moment")]
    pub finished: Timestamp,
    /// The version of ccrun that wrote it.
    pub ccrun: String,
    /// The version of the tool that read the database.
    pub tool: String,
    /// The server.
    pub server: ServerFacts,
    /// The database; of a base backup, the one that was connected to.
    pub database: DatabaseFacts,
    /// The positions in the write-ahead log at its begin and at its end.
    pub lsn: LsnRange,
    /// Extensions of the database.
    pub extensions: Vec<Extension>,
    /// Roles of the server.
    pub roles: Vec<String>,
    /// Settings of the server that are not the default.
    pub settings: BTreeMap<String, String>,
    /// The objects it consists of.
    pub objects: Vec<Part>,
    /// Rows, bytes and hash of each table.
    pub tables: Vec<Table>,
    /// Large objects: how many, and their bytes.
    pub large_objects: Count,
    /// Buckets whose objects are part of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub buckets: Vec<PackedBucket>,
    /// Who can read it: recipients of age. Empty if everybody can.
    pub recipients: Vec<String>,
    /// What the operator says of it.
    pub note: Option<String>,
    /// Until when the store lets nobody delete it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locked: Option<Locked>,
    /// Of a base backup: what recovery needs to know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<Base>,
}

/// A lock of the store on the objects of a backup.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Locked {
    /// `governance` or `compliance`.
    pub mode: String,
    /// When it ends.
    #[serde(with = "moment")]
    pub until: Timestamp,
}

/// Which moments a base backup leads to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Base {
    /// The timeline it was taken on.
    pub timeline: u32,
    /// Where replay begins.
    pub start: Lsn,
    /// Where it must have got for the cluster to be consistent.
    pub end: Lsn,
    /// The server's clock after that.
    #[serde(with = "moment")]
    pub ended: Timestamp,
    /// How large a segment of the log is.
    pub segment_size: u64,
    /// Whether pages have checksums.
    pub checksums: bool,
    /// The first transaction that had not begun then.
    pub next_xid: u64,
    /// How many files, without the log's.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The segments that came along.
    pub wal: Vec<String>,
    /// Who the files belong to: numbers of the user and the group.
    pub owner: (u64, u64),
}

/// How the database was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// By `pg_dump`: one database, restored into any server that is not older.
    Logical,
    /// By `pg_basebackup`: the whole server, byte by byte; with the write-ahead log, to any moment after it.
    Base,
}

/// A server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerFacts {
    /// `15.14 (Debian …)`.
    pub version: String,
    /// 150014.
    pub version_num: u32,
    /// What tells this cluster from every other.
    pub system_identifier: String,
    /// Its timeline.
    pub timeline: u32,
    /// Whether it was a standby.
    pub in_recovery: bool,
}

/// A database, as far as `pg_dump` does not note it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseFacts {
    /// Its name.
    pub name: String,
    /// Its owner.
    pub owner: String,
    /// `UTF8`.
    pub encoding: String,
    /// `LC_COLLATE`.
    pub collate: String,
    /// `LC_CTYPE`.
    pub ctype: String,
    /// `c` (libc) or `i` (ICU).
    pub provider: String,
    /// The locale of ICU.
    pub icu_locale: Option<String>,
    /// How many may connect; -1 for any number.
    pub connection_limit: i32,
    /// Who may do what with it, as `aclitem`s.
    pub acl: Option<Vec<String>>,
    /// Its comment.
    pub comment: Option<String>,
    /// Its size on the server's disk.
    pub size: u64,
    /// `ALTER DATABASE … SET`, for all roles and for single ones.
    pub settings: Vec<RoleSettings>,
}

/// Settings that hold in a database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoleSettings {
    /// For this role only.
    pub role: Option<String>,
    /// `name=value`.
    pub settings: Vec<String>,
}

/// A range of the write-ahead log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LsnRange {
    /// Before it began.
    pub start: String,
    /// When all was read.
    pub end: String,
}

/// An extension.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extension {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The schema it is in.
    pub schema: String,
}

/// An object of a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// What it is: `database`, `globals`, or the name it was given.
    pub name: String,
    /// Its key, below the backup's folder.
    pub key: String,
    /// Its size in the store.
    pub size: u64,
    /// The SHA-256 of what is in the store.
    pub sha256: String,
    /// Its size before it was compressed.
    pub plain_size: u64,
}

/// A bucket whose objects are part of a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackedBucket {
    /// The name that it was given.
    pub name: String,
    /// The object of the backup that they are in, a tar archive.
    pub part: String,
    /// How many objects.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// The rows of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// How many rows.
    pub rows: u64,
    /// How many bytes as COPY text.
    pub bytes: u64,
    /// The sum, modulo 2¹²⁸, of the XXH3-128 of each row's line.
    pub hash: String,
}

/// How many, and how large together.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// How many.
    pub count: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// That a backup was read, or restored, as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verified {
    /// When.
    #[serde(with = "moment")]
    pub at: Timestamp,
    /// `read`: every byte was, and its hashes are right; `restored`: a database was made of it and compared.
    pub how: String,
}

impl Manifest {
    /// From what lies in the store.
    ///
    /// # Errors
    /// `pg.backup_damaged` if it is none.
    pub fn parse(id: &str, bytes: &[u8]) -> Result<Self> {
        #[derive(Deserialize)]
        struct Format {
            format: u32,
        }
        let damaged = |why: &dyn std::fmt::Display| {
            Error::new(
                "pg.backup_damaged",
                format!("the manifest of the backup {id} can't be read: {why}"),
            )
            .hint("take another backup: `ccrun backups` lists them")
        };
        let format: Format = serde_json::from_slice(bytes).map_err(|error| damaged(&error))?;
        if format.format > FORMAT {
            return Err(damaged(&format_args!(
                "it was written by a newer ccrun (format {}, this one knows {FORMAT})",
                format.format
            )));
        }
        let manifest: Self = serde_json::from_slice(bytes).map_err(|error| damaged(&error))?;
        if manifest.id != id {
            return Err(damaged(&format_args!("it is the one of {}", manifest.id)));
        }
        Ok(manifest)
    }

    /// One of its objects.
    ///
    /// # Errors
    /// `pg.backup_damaged` if it has none of that name.
    pub fn part(&self, name: &str) -> Result<&Part> {
        self.objects
            .iter()
            .find(|part| part.name == name)
            .ok_or_else(|| {
                let names: Vec<&str> = self.objects.iter().map(|part| part.name.as_str()).collect();
                Error::new(
                    "pg.backup_part",
                    format!("the backup {} has no {name}", self.id),
                )
                .hint(format!("it has {}", names.join(", ")))
            })
    }

    /// How much of its archive `pg_restore` reads from a disk at most: what is not rows, unless rows are in another encoding
    /// than they are sent in.
    ///
    /// # Errors
    /// `pg.backup_part` if it has no archive.
    pub fn spooled(&self) -> Result<u64> {
        let archive = self.part("database")?.plain_size;
        if self.database.encoding != "UTF8" {
            return Ok(archive);
        }
        let rows: u64 = self.tables.iter().map(|table| table.bytes).sum();
        Ok(archive.saturating_sub(rows))
    }

    /// Its size in the store.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.objects.iter().map(|part| part.size).sum()
    }

    /// How long it took.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.finished.since(&self.started).rounded()
    }

    /// As scripts see it.
    ///
    /// # Errors
    /// None in practice.
    pub fn to_script(&self, verified: Option<&Verified>) -> Result<Dynamic> {
        let json = serde_json::to_value(self)
            .map_err(|error| Error::new("pg.protocol", error.to_string()))?;
        let mut value = ccrun_kernel::value::from_json(&json);
        let rows: u64 = self.tables.iter().map(|table| table.rows).sum();
        if let Some(mut map) = value.write_lock::<ccrun_kernel::rhai::Map>() {
            let mut set = |name: &str, value: Dynamic| {
                map.insert(name.into(), value);
            };
            set("started", Dynamic::from(self.started.clone()));
            set("finished", Dynamic::from(self.finished.clone()));
            set("elapsed", Dynamic::from(self.elapsed()));
            set("size", Dynamic::from(Size::from_bytes(self.size())));
            set(
                "rows",
                Dynamic::from(i64::try_from(rows).unwrap_or(i64::MAX)),
            );
            let objects: ccrun_kernel::rhai::Array =
                self.objects.iter().map(Part::to_script).collect();
            set("objects", objects.into());
            set("encrypted", (!self.recipients.is_empty()).into());
            let locked = self.locked.as_ref().map_or(Dynamic::UNIT, |locked| {
                Dynamic::from(ccrun_kernel::rhai::Map::from_iter([
                    ("mode".into(), locked.mode.clone().into()),
                    ("ends".into(), Dynamic::from(locked.until.clone())),
                ]))
            });
            set("locked", locked);
            if let Some(base) = &self.base {
                let json = serde_json::to_value(base)
                    .map_err(|error| Error::new("pg.protocol", error.to_string()))?;
                let mut value = ccrun_kernel::value::from_json(&json);
                if let Some(mut map) = value.write_lock::<ccrun_kernel::rhai::Map>() {
                    map.insert("ended".into(), Dynamic::from(base.ended.clone()));
                    let size = |bytes| Dynamic::from(Size::from_bytes(bytes));
                    map.insert("bytes".into(), size(base.bytes));
                    map.insert("segment_size".into(), size(base.segment_size));
                }
                set("base", value);
            }
            set(
                "verified",
                verified.map_or(Dynamic::UNIT, |verified| {
                    Dynamic::from(ccrun_kernel::rhai::Map::from_iter([
                        ("at".into(), Dynamic::from(verified.at.clone())),
                        ("how".into(), verified.how.clone().into()),
                    ]))
                }),
            );
        }
        Ok(value)
    }
}

impl Part {
    fn to_script(&self) -> Dynamic {
        Dynamic::from(ccrun_kernel::rhai::Map::from_iter([
            ("name".into(), self.name.clone().into()),
            ("key".into(), self.key.clone().into()),
            ("size".into(), Dynamic::from(Size::from_bytes(self.size))),
            ("sha256".into(), self.sha256.clone().into()),
            (
                "plain_size".into(),
                Dynamic::from(Size::from_bytes(self.plain_size)),
            ),
        ]))
    }
}

impl From<TableData> for Table {
    fn from(data: TableData) -> Self {
        Self {
            schema: data.schema,
            name: data.name,
            rows: data.rows,
            bytes: data.bytes,
            hash: data.hash,
        }
    }
}

/// A moment as RFC 3339 has it.
pub(super) mod moment {
    use super::Timestamp;
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub fn serialize<S: Serializer>(moment: &Timestamp, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&moment.instant())
    }

    pub fn deserialize<'d, D: Deserializer<'d>>(from: D) -> Result<Timestamp, D::Error> {
        let text = String::deserialize(from)?;
        text.parse().map_err(D::Error::custom)
    }
}
