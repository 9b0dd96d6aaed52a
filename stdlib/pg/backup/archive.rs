//! Reading `pg_dump`'s custom format as it goes by: is it whole, and what is in it?
//!
//! The layout is that of `pg_backup_archiver.c` and `pg_backup_custom.c` of PostgreSQL 10 to 17 (archive versions 1.13
//! to 1.16): a head, a table of contents, then a block of data for each entry that has some. A dump that was
//! cut off ends inside of one of them.

use std::collections::HashMap;
use std::io::{self, Read};

use twox_hash::XxHash3_128;

/// What an archive holds.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Contents {
    /// The server's version, as it says itself.
    pub server: String,
    /// The version of `pg_dump`.
    pub tool: String,
    /// Each table with data, in the order of the archive.
    pub tables: Vec<TableData>,
    /// How many large objects, and their size together.
    pub large_objects: (u64, u64),
}

/// The rows of a table as they are in the archive.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TableData {
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// How many rows.
    pub rows: u64,
    /// How many bytes of COPY text.
    pub bytes: u64,
    /// XXH3-128 of that text, in hexadecimal.
    pub hash: String,
}

/// An entry of the table of contents, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What `pg_restore --use-list` knows it by.
    pub id: i64,
    /// `TABLE`, `TABLE DATA`, `FK CONSTRAINT` and so on.
    pub kind: String,
    /// The schema it is in, empty for what is in none.
    pub schema: String,
    /// Its name; of what belongs to a table, that table's name and its own.
    pub name: String,
    /// The tablespace it is in, if it is not the default.
    pub tablespace: String,
    /// The entries that it comes after.
    pub depends_on: Vec<i64>,
    has_data: bool,
}

const BLOCK_DATA: u8 = 1;
const BLOCK_LARGE_OBJECTS: u8 = 3;

/// No text in an archive's contents is longer, no chunk of data larger.
const LONGEST: u64 = 2 << 30;

/// Read an archive to its end.
///
/// # Errors
/// What reading says; `InvalidData` with a sentence about what is wrong with the archive.
pub fn read(from: impl Read) -> io::Result<Contents> {
    Archive::new(from).contents()
}

/// Read an archive's table of contents, and nothing after it.
///
/// # Errors
/// As [`read`].
pub fn table_of_contents(from: impl Read) -> io::Result<Vec<Entry>> {
    let mut archive = Archive::new(from);
    archive.head(&mut Contents::default())?;
    archive.entries()
}

struct Archive<R> {
    from: R,
    version: (u8, u8),
    int_size: usize,
    offset_size: usize,
}

fn damaged(what: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.into())
}

impl<R: Read> Archive<R> {
    fn new(from: R) -> Self {
        Self {
            from,
            version: (0, 0),
            int_size: 4,
            offset_size: 8,
        }
    }

    fn contents(&mut self) -> io::Result<Contents> {
        let mut contents = Contents::default();
        self.head(&mut contents)?;
        let entries = self.entries()?;
        let entries = entries.into_iter().map(|entry| (entry.id, entry)).collect();
        self.blocks(&entries, &mut contents)?;
        Ok(contents)
    }

    fn head(&mut self, contents: &mut Contents) -> io::Result<()> {
        let mut magic = [0; 5];
        self.exactly(&mut magic)?;
        if &magic != b"PGDMP" {
            return Err(damaged("this is no archive of pg_dump's custom format"));
        }
        self.version = (self.byte()?, self.byte()?);
        let _revision = self.byte()?;
        if self.version < (1, 12) || self.version > (1, 16) {
            return Err(damaged(format!(
                "pg_dump's archive version {}.{} is not known to ccrun (1.12 to 1.16 are)",
                self.version.0, self.version.1
            )));
        }
        self.int_size = usize::from(self.byte()?);
        self.offset_size = usize::from(self.byte()?);
        if !(1..=8).contains(&self.int_size) || !(1..=16).contains(&self.offset_size) {
            return Err(damaged("the archive's head is damaged"));
        }
        if self.byte()? != 1 {
            return Err(damaged("this is no archive of pg_dump's custom format"));
        }
        let compressed = if self.version >= (1, 15) {
            self.byte()? != 0
        } else {
            self.int()? != 0
        };
        if compressed {
            return Err(damaged("the archive is compressed by pg_dump itself"));
        }
        // When it was made, as a broken-down time.
        for _ in 0..7 {
            self.int()?;
        }
        let _database = self.text()?;
        contents.server = self.text()?.unwrap_or_default();
        contents.tool = self.text()?.unwrap_or_default();
        Ok(())
    }

    fn entries(&mut self) -> io::Result<Vec<Entry>> {
        let count = self.int()?;
        if count < 0 {
            return Err(damaged("the archive's table of contents is damaged"));
        }
        let mut entries = Vec::new();
        for _ in 0..count {
            let id = self.int()?;
            let has_data = self.int()? != 0;
            let _catalog = (self.text()?, self.text()?);
            let name = self.text()?.unwrap_or_default();
            let kind = self.text()?.unwrap_or_default();
            let _section = self.int()?;
            let _statements = (self.text()?, self.text()?, self.text()?);
            let schema = self.text()?.unwrap_or_default();
            let tablespace = self.text()?.unwrap_or_default();
            if self.version >= (1, 14) {
                let _access_method = self.text()?;
            }
            if self.version >= (1, 16) {
                let _relkind = self.int()?;
            }
            let _owner = self.text()?;
            let _with_oids = self.text()?;
            let mut depends_on = Vec::new();
            while let Some(text) = self.text()? {
                depends_on.extend(text.parse::<i64>());
            }
            self.skip(1 + self.offset_size)?;
            entries.push(Entry {
                id,
                kind,
                schema,
                name,
                tablespace,
                depends_on,
                has_data,
            });
        }
        Ok(entries)
    }

    fn blocks(&mut self, entries: &HashMap<i64, Entry>, contents: &mut Contents) -> io::Result<()> {
        let mut seen = std::collections::HashSet::new();
        while let Some(block) = self.byte_or_end()? {
            let id = self.int()?;
            let Some(entry) = entries.get(&id).filter(|entry| entry.has_data) else {
                return Err(damaged(format!(
                    "the archive has data that its table of contents does not name ({id})"
                )));
            };
            if !seen.insert(id) && block == BLOCK_DATA {
                return Err(damaged(format!("the archive has {} twice", entry.name)));
            }
            match block {
                BLOCK_DATA => {
                    let data = self.rows()?;
                    if entry.kind == "TABLE DATA" {
                        contents.tables.push(TableData {
                            schema: entry.schema.clone(),
                            name: entry.name.clone(),
                            // `\.` and two empty lines end the rows, and are none.
                            rows: data.rows.saturating_sub(3),
                            bytes: data.bytes.saturating_sub(5),
                            ..data
                        });
                    }
                }
                BLOCK_LARGE_OBJECTS => {
                    while self.int()? != 0 {
                        contents.large_objects.0 += 1;
                        contents.large_objects.1 += self.rows()?.bytes;
                    }
                }
                other => {
                    return Err(damaged(format!(
                        "the archive has a block of unknown type {other}"
                    )));
                }
            }
        }
        let missing = entries
            .iter()
            .filter(|(id, entry)| entry.has_data && !seen.contains(id))
            .map(|(_, entry)| entry)
            .next();
        match missing {
            None => Ok(()),
            Some(entry) => Err(damaged(format!(
                "the archive ends before the data of {}.{}",
                entry.schema, entry.name
            ))),
        }
    }

    /// Chunks up to an empty one.
    fn rows(&mut self) -> io::Result<TableData> {
        let mut data = TableData::default();
        let mut hash = Box::new(XxHash3_128::new());
        let mut buffer = vec![0; 64 << 10];
        // `pg_dump` gives a row per chunk: many are gathered before they are looked at.
        let mut filled = 0;
        loop {
            let size = self.int()?;
            if size == 0 {
                break;
            }
            let mut left = self.size(size)?;
            while left > 0 {
                if filled == buffer.len() {
                    absorb(&mut data, &mut hash, &buffer);
                    filled = 0;
                }
                let take = left.min(buffer.len() - filled);
                self.exactly(&mut buffer[filled..filled + take])?;
                filled += take;
                left -= take;
            }
        }
        absorb(&mut data, &mut hash, &buffer[..filled]);
        data.hash = format!("{:032x}", hash.finish_128());
        Ok(data)
    }

    fn size(&self, size: i64) -> io::Result<usize> {
        u64::try_from(size)
            .ok()
            .filter(|size| *size <= LONGEST)
            .and_then(|size| usize::try_from(size).ok())
            .ok_or_else(|| damaged("a length in the archive is damaged"))
    }

    fn text(&mut self) -> io::Result<Option<String>> {
        let size = self.int()?;
        if size < 0 {
            return Ok(None);
        }
        let size = self.size(size)?;
        // Not all at once: a damaged length must not take the memory.
        let mut bytes = Vec::with_capacity(size.min(64 << 10));
        let read = self
            .from
            .by_ref()
            .take(size as u64)
            .read_to_end(&mut bytes)?;
        if read < size {
            return Err(cut_off());
        }
        Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
    }

    fn int(&mut self) -> io::Result<i64> {
        let mut bytes = [0; 9];
        let size = 1 + self.int_size;
        self.exactly(&mut bytes[..size])?;
        let mut value: i64 = 0;
        for byte in bytes[1..size].iter().rev() {
            value = (value << 8) | i64::from(*byte);
        }
        Ok(if bytes[0] == 0 { value } else { -value })
    }

    fn byte(&mut self) -> io::Result<u8> {
        let mut byte = [0];
        self.exactly(&mut byte)?;
        Ok(byte[0])
    }

    fn byte_or_end(&mut self) -> io::Result<Option<u8>> {
        let mut byte = [0];
        loop {
            match self.from.read(&mut byte) {
                Ok(0) => return Ok(None),
                Ok(_) => return Ok(Some(byte[0])),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn skip(&mut self, count: usize) -> io::Result<()> {
        let mut bytes = [0; 32];
        self.exactly(&mut bytes[..count])
    }

    fn exactly(&mut self, into: &mut [u8]) -> io::Result<()> {
        self.from
            .read_exact(into)
            .map_err(|error| match error.kind() {
                io::ErrorKind::UnexpectedEof => cut_off(),
                _ => error,
            })
    }
}

fn cut_off() -> io::Error {
    io::Error::new(
        io::ErrorKind::UnexpectedEof,
        "the archive was cut off: it ends in the middle",
    )
}

fn absorb(data: &mut TableData, hash: &mut XxHash3_128, bytes: &[u8]) {
    hash.write(bytes);
    data.bytes += bytes.len() as u64;
    data.rows += memchr::memchr_iter(b'\n', bytes).count() as u64;
}
