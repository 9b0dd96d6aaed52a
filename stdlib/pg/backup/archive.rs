//! Reading `pg_dump`'s custom format as it goes by: is it whole, and what is in it?
//!
//! The layout is that of `pg_backup_archiver.c` and `pg_backup_custom.c` of PostgreSQL 10 to 17 (archive versions 1.13
//! to 1.16): a head, a table of contents, then a block of data for each entry that has some. A dump that was
//! cut off ends inside of one of them.

use std::collections::HashMap;
use std::io::{self, Read, Write};

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
    /// The sum, modulo 2¹²⁸, of the XXH3-128 of each row's line, in hexadecimal: the same rows have the same one in
    /// whatever order they are read.
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
    /// Whether it is made before rows come: schemas, types, functions, tables.
    pub before_data: bool,
    /// What makes it, where that is short and matters here: of `ENCODING`, `SET client_encoding = …`.
    pub definition: String,
    /// Of rows, the `COPY … FROM stdin` that takes them.
    pub copy: String,
    has_data: bool,
}

/// What becomes of a block of data while an archive is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Its rows are counted, and that is all.
    Count,
    /// Its rows are given to the reader.
    Give,
    /// It is written into the copy of the archive.
    Copy,
}

/// Who looks on while an archive is read.
pub trait Look {
    /// The table of contents has been read.
    ///
    /// # Errors
    /// Ends the reading.
    fn entries(&mut self, entries: &[Entry]) -> io::Result<()>;

    /// What becomes of an entry's data.
    fn fate(&mut self, entry: &Entry) -> Fate;

    /// Rows of an entry, as lines of COPY's text. `open` says that the last one goes on with the next call, which is of the same entry.
    ///
    /// # Errors
    /// Ends the reading.
    fn rows(&mut self, entry: &Entry, lines: &[u8], open: bool) -> io::Result<()>;
}

/// Nobody: everything is counted.
struct Nobody;

impl Look for Nobody {
    fn entries(&mut self, _: &[Entry]) -> io::Result<()> {
        Ok(())
    }

    fn fate(&mut self, _: &Entry) -> Fate {
        Fate::Count
    }

    fn rows(&mut self, _: &Entry, _: &[u8], _: bool) -> io::Result<()> {
        Ok(())
    }
}

const BLOCK_DATA: u8 = 1;
const BLOCK_LARGE_OBJECTS: u8 = 3;

/// No text in an archive's contents is longer, no chunk of data larger.
const LONGEST: u64 = 2 << 30;

/// What ends the rows of a table in an archive, and is none.
const END: &[u8] = b"\\.\n\n\n";

/// How many bytes of rows are looked at at once.
const GATHERED: usize = 256 << 10;

/// Read an archive to its end.
///
/// # Errors
/// What reading says; `InvalidData` with a sentence about what is wrong with the archive.
pub fn read(from: impl Read) -> io::Result<Contents> {
    read_with(from, io::sink(), &mut Nobody)
}

/// Read an archive to its end, and show `look` what is in it. `copy` becomes an archive with the same table of contents and the blocks
/// that `look` wants copied: `pg_restore` restores from it whatever has no rows elsewhere.
///
/// # Errors
/// As [`read`], what writing says, and what `look` says.
pub fn read_with(from: impl Read, copy: impl Write, look: &mut impl Look) -> io::Result<Contents> {
    let mut archive = Archive::new(Tee {
        from,
        to: copy,
        mode: Mode::Copy,
        held: Vec::new(),
    });
    let mut contents = Contents::default();
    archive.head(&mut contents)?;
    let entries = archive.entries()?;
    // Whoever looks may use the copy from here on.
    archive.from.to.flush()?;
    look.entries(&entries)?;
    let entries = entries.into_iter().map(|entry| (entry.id, entry)).collect();
    archive.blocks(&entries, &mut contents, look)?;
    archive.from.to.flush()?;
    Ok(contents)
}

/// Reads, and writes what it reads somewhere else as well.
struct Tee<R, W> {
    from: R,
    to: W,
    mode: Mode,
    held: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Copy,
    /// Keep it until it is known whether it is wanted.
    Hold,
    Skip,
}

impl<R: Read, W: Write> Read for Tee<R, W> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(into)?;
        match self.mode {
            Mode::Copy => self.to.write_all(&into[..read])?,
            Mode::Hold => self.held.extend_from_slice(&into[..read]),
            Mode::Skip => {}
        }
        Ok(read)
    }
}

impl<R, W: Write> Tee<R, W> {
    /// What was held is wanted, or not, and so is what follows.
    fn decide(&mut self, wanted: bool) -> io::Result<()> {
        if wanted {
            self.to.write_all(&self.held)?;
        }
        self.held.clear();
        self.mode = if wanted { Mode::Copy } else { Mode::Skip };
        Ok(())
    }
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

impl<R: Read, W: Write> Archive<Tee<R, W>> {
    fn new(from: Tee<R, W>) -> Self {
        Self {
            from,
            version: (0, 0),
            int_size: 4,
            offset_size: 8,
        }
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
            // Sections are numbered: 1 for what belongs to another entry, 2 before the data, 3 data, 4 after it.
            let before_data = self.int()? == 2;
            let (definition, _drop, copy) = (self.text()?, self.text()?, self.text()?);
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
                schema,
                name,
                tablespace,
                depends_on,
                before_data,
                definition: definition
                    .filter(|_| kind == "ENCODING")
                    .unwrap_or_default(),
                copy: copy.filter(|_| has_data).unwrap_or_default(),
                kind,
                has_data,
            });
        }
        Ok(entries)
    }

    fn blocks(
        &mut self,
        entries: &HashMap<i64, Entry>,
        contents: &mut Contents,
        look: &mut impl Look,
    ) -> io::Result<()> {
        let mut seen = std::collections::HashSet::new();
        let mut buffer = Vec::with_capacity(GATHERED);
        loop {
            self.from.mode = Mode::Hold;
            let Some(block) = self.byte_or_end()? else {
                break;
            };
            let id = self.int()?;
            let Some(entry) = entries.get(&id).filter(|entry| entry.has_data) else {
                return Err(damaged(format!(
                    "the archive has data that its table of contents does not name ({id})"
                )));
            };
            if !seen.insert(id) && block == BLOCK_DATA {
                return Err(damaged(format!("the archive has {} twice", entry.name)));
            }
            let fate = look.fate(entry);
            self.from.decide(fate == Fate::Copy)?;
            match block {
                BLOCK_DATA => {
                    let data = self.rows(&mut buffer, |lines, open| match fate {
                        Fate::Give => look.rows(entry, lines, open),
                        _ => Ok(()),
                    })?;
                    if entry.kind == "TABLE DATA" {
                        contents.tables.push(TableData {
                            schema: entry.schema.clone(),
                            name: entry.name.clone(),
                            ..data
                        });
                    }
                }
                BLOCK_LARGE_OBJECTS => {
                    while self.int()? != 0 {
                        contents.large_objects.0 += 1;
                        contents.large_objects.1 += self.bytes(&mut buffer)?;
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

    /// Chunks up to an empty one, which are rows.
    fn rows(
        &mut self,
        buffer: &mut Vec<u8>,
        mut give: impl FnMut(&[u8], bool) -> io::Result<()>,
    ) -> io::Result<TableData> {
        let mut counted = Counted::default();
        buffer.clear();
        // `pg_dump` gives a row per chunk: many are gathered before they are looked at.
        loop {
            let size = self.int()?;
            if size == 0 {
                break;
            }
            let mut left = self.size(size)?;
            while left > 0 {
                if buffer.len() >= GATHERED {
                    // Up to a row's end if there is one. What ends the rows is never among what is given.
                    let sure = buffer.len() - END.len();
                    let whole = memchr::memrchr(b'\n', &buffer[..sure]);
                    let cut = whole.map_or(sure, |end| end + 1);
                    counted.absorb(&buffer[..cut]);
                    give(&buffer[..cut], whole.is_none())?;
                    buffer.copy_within(cut.., 0);
                    buffer.truncate(buffer.len() - cut);
                }
                let take = left.min(GATHERED - buffer.len());
                let from = buffer.len();
                buffer.resize(from + take, 0);
                self.exactly(&mut buffer[from..])?;
                left -= take;
            }
        }
        let Some(rows) = buffer.strip_suffix(END) else {
            return Err(damaged("rows in the archive have no end"));
        };
        counted.absorb(rows);
        if !rows.is_empty() {
            give(rows, false)?;
        }
        counted.done()
    }

    /// Chunks up to an empty one, and how many bytes they are.
    fn bytes(&mut self, buffer: &mut Vec<u8>) -> io::Result<u64> {
        let mut bytes = 0;
        loop {
            let size = self.int()?;
            if size == 0 {
                return Ok(bytes);
            }
            let mut left = self.size(size)?;
            bytes += left as u64;
            while left > 0 {
                buffer.resize(left.min(GATHERED), 0);
                self.exactly(buffer)?;
                left -= buffer.len();
            }
        }
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

/// Rows as they are counted.
#[derive(Default)]
struct Counted {
    rows: u64,
    bytes: u64,
    sum: u128,
    /// A row whose end has not come.
    open: Option<Box<XxHash3_128>>,
}

impl Counted {
    fn absorb(&mut self, mut lines: &[u8]) {
        self.bytes += lines.len() as u64;
        while let Some(end) = memchr::memchr(b'\n', lines) {
            let (line, rest) = lines.split_at(end + 1);
            let hash = match self.open.take() {
                None => XxHash3_128::oneshot(line),
                Some(mut open) => {
                    open.write(line);
                    open.finish_128()
                }
            };
            self.sum = self.sum.wrapping_add(hash);
            self.rows += 1;
            lines = rest;
        }
        if !lines.is_empty() {
            let open = self.open.get_or_insert_with(Box::default);
            open.write(lines);
        }
    }

    fn done(self) -> io::Result<TableData> {
        if self.open.is_some() {
            return Err(damaged("a row in the archive has no end"));
        }
        Ok(TableData {
            rows: self.rows,
            bytes: self.bytes,
            hash: format!("{:032x}", self.sum),
            ..TableData::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(pieces: &[&str]) -> TableData {
        let mut counted = Counted::default();
        for piece in pieces {
            counted.absorb(piece.as_bytes());
        }
        counted.done().unwrap()
    }

    #[test]
    fn the_same_rows_have_the_same_hash_in_whatever_order_and_pieces() {
        let one = counted(&["1\ta\n2\tb\n2\tb\n"]);
        assert_eq!((one.rows, one.bytes), (3, 12));
        assert_eq!(one, counted(&["2\tb\n1\ta\n2\tb\n"]));
        assert_eq!(one, counted(&["2", "\tb\n1\ta\n", "2\t", "b", "\n"]));
        for other in ["1\ta\n2\tb\n", "1\ta\n1\ta\n2\tb\n", "1\tb\n2\ta\n2\tb\n"] {
            assert_ne!(one.hash, counted(&[other]).hash);
        }
    }

    #[test]
    fn a_row_without_an_end_is_no_row() {
        let mut counted = Counted::default();
        counted.absorb(b"1\ta\n2");
        assert!(counted.done().is_err());
    }
}
