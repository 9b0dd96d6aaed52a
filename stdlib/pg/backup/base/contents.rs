//! Reading the tar archive of `pg_basebackup` as it goes by: is it whole, and what is in it?
//!
//! The server's own list of files (`backup_manifest`) comes last. Every file in it must have gone by with the size and the
//! CRC-32C that the server computed, and nothing else may have.

use std::collections::HashMap;
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

use crc_fast::{CrcAlgorithm, Digest};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::super::wal::{Lsn, Segment};

/// What is in a base backup.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Contents {
    /// The system identifier, as `pg_control` has it.
    pub system: u64,
    /// The major version: `15`.
    pub major: String,
    /// The timeline.
    pub timeline: u32,
    /// Where replay has to begin.
    pub start: Lsn,
    /// Where replay must have got for the cluster to be consistent.
    pub end: Lsn,
    /// How many files, without the log's.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The segments of the log that came along, by name and size.
    pub wal: Vec<(String, u64)>,
    /// Who the files belong to.
    pub owner: (u64, u64),
}

/// Where files of the archive go.
pub trait Sink {
    /// A folder.
    ///
    /// # Errors
    /// What the place says.
    fn folder(&mut self, path: &Path) -> io::Result<()>;
    /// A file begins.
    ///
    /// # Errors
    /// What the place says.
    fn file(&mut self, path: &Path, size: u64) -> io::Result<()>;
    /// A piece of it.
    ///
    /// # Errors
    /// What the place says.
    fn piece(&mut self, bytes: &[u8]) -> io::Result<()>;
}

/// Keeps nothing.
pub struct Nothing;

impl Sink for Nothing {
    fn folder(&mut self, _path: &Path) -> io::Result<()> {
        Ok(())
    }
    fn file(&mut self, _path: &Path, _size: u64) -> io::Result<()> {
        Ok(())
    }
    fn piece(&mut self, _bytes: &[u8]) -> io::Result<()> {
        Ok(())
    }
}

/// The server's list of files.
#[derive(Deserialize)]
struct ServerManifest {
    #[serde(rename = "Files")]
    files: Vec<ServerFile>,
    #[serde(rename = "WAL-Ranges")]
    ranges: Vec<ServerRange>,
    #[serde(rename = "Manifest-Checksum")]
    checksum: String,
}

#[derive(Deserialize)]
struct ServerFile {
    #[serde(rename = "Path")]
    path: Option<String>,
    #[serde(rename = "Encoded-Path")]
    encoded: Option<String>,
    #[serde(rename = "Size")]
    size: u64,
    #[serde(rename = "Checksum")]
    checksum: Option<String>,
}

#[derive(Deserialize)]
struct ServerRange {
    #[serde(rename = "Timeline")]
    timeline: u32,
    #[serde(rename = "Start-LSN")]
    start: Lsn,
    #[serde(rename = "End-LSN")]
    end: Lsn,
}

/// What is kept of small files that are looked at.
const SMALL: u64 = 8192;

/// The server's list is never larger: a million files take 200 MB.
const LARGEST_LIST: u64 = 256 << 20;

/// Read an archive to its end.
///
/// # Errors
/// If it is not whole, or not what the server sent.
pub fn read(from: &mut dyn Read, sink: &mut dyn Sink) -> io::Result<Contents> {
    let mut contents = Contents::default();
    let mut seen: HashMap<PathBuf, (u64, u32)> = HashMap::new();
    let mut list = Vec::new();
    let mut label = None;
    let mut buffer = vec![0; 256 << 10];
    let mut archive = tar::Archive::new(from);
    for entry in archive.entries()? {
        let mut entry = entry?;
        let path = inside(&entry.path()?)?;
        let header = entry.header();
        match header.entry_type() {
            tar::EntryType::Directory => {
                if path.as_os_str().is_empty() {
                    continue;
                }
                sink.folder(&path)?;
                continue;
            }
            tar::EntryType::Regular => {}
            other => {
                return Err(wrong(format!(
                    "{} is a {other:?}: only files and folders can be backed up as a stream",
                    path.display()
                )));
            }
        }
        let name = path.to_str().unwrap_or_default().to_owned();
        if name == "PG_VERSION" {
            contents.owner = (header.uid()?, header.gid()?);
        }
        let size = entry.size();
        let is_list = name == "backup_manifest";
        let keep = is_list || ["PG_VERSION", "backup_label", "global/pg_control"].contains(&&*name);
        if keep && size > if is_list { LARGEST_LIST } else { SMALL } {
            return Err(wrong(format!("{name} has {size} bytes")));
        }
        let mut kept = Vec::new();
        let mut crc = Digest::new(CrcAlgorithm::Crc32Iscsi);
        let mut read = 0;
        sink.file(&path, size)?;
        loop {
            let count = entry.read(&mut buffer)?;
            if count == 0 {
                break;
            }
            let piece = &buffer[..count];
            read += count as u64;
            if keep {
                kept.extend_from_slice(piece);
            }
            crc.update(piece);
            sink.piece(piece)?;
        }
        if read != size {
            return Err(wrong(format!("{name} ends after {read} of {size} bytes")));
        }
        let text = || String::from_utf8_lossy(&kept).into_owned();
        match &*name {
            "backup_manifest" => {
                list = kept;
                continue;
            }
            "PG_VERSION" => contents.major = text().trim().to_owned(),
            "backup_label" => label = Some(Label::parse(&text())?),
            "global/pg_control" => {
                let first = kept.first_chunk::<8>();
                contents.system = first.map_or(0, |bytes| u64::from_le_bytes(*bytes));
            }
            _ => {}
        }
        let segment = name.strip_prefix("pg_wal/").filter(|rest| rest.len() == 24);
        if let Some(segment) = segment {
            // They are in no list; each has a checksum in every record.
            contents.wal.push((segment.to_owned(), size));
            continue;
        }
        contents.files += 1;
        contents.bytes += size;
        #[allow(clippy::cast_possible_truncation, reason = "a CRC-32 has 32 bits")]
        seen.insert(path, (size, crc.finalize() as u32));
    }
    // What pads the archive belongs to it as well.
    io::copy(archive.into_inner(), &mut io::sink())?;
    let label = label.ok_or_else(|| wrong("it has no backup_label".to_owned()))?;
    let range = compare(&list, seen)?;
    if contents.system == 0 {
        return Err(wrong("it has no pg_control".to_owned()));
    }
    if label.start != range.start || label.timeline != range.timeline {
        return Err(wrong(format!(
            "its label says that it begins at {}, its list at {}",
            label.start, range.start
        )));
    }
    contents.timeline = range.timeline;
    contents.start = range.start;
    contents.end = range.end;
    contents.wal.sort();
    Ok(contents)
}

impl Contents {
    /// Whether it has all of the log that makes it consistent. The size is that of segments.
    ///
    /// # Errors
    /// With the segment that is missing.
    pub fn has_its_wal(&self, size: u64) -> Result<(), String> {
        let first = self.start.0 / size;
        let last = self.end.0.saturating_sub(1) / size;
        for number in first..=last {
            let name = Segment {
                timeline: self.timeline,
                number,
            }
            .name(size);
            match self.wal.iter().find(|(there, _)| *there == name) {
                None => return Err(format!("the segment {name} is missing")),
                Some((_, found)) if *found != size => {
                    return Err(format!("the segment {name} has {found} bytes"));
                }
                Some(_) => {}
            }
        }
        Ok(())
    }
}

/// What `backup_label` says.
struct Label {
    start: Lsn,
    timeline: u32,
}

impl Label {
    fn parse(text: &str) -> io::Result<Self> {
        let value = |key: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(key))?;
            line.split_whitespace().next().map(str::to_owned)
        };
        let start = value("START WAL LOCATION: ").and_then(|lsn| lsn.parse().ok());
        let timeline = value("START TIMELINE: ").and_then(|timeline| timeline.parse().ok());
        match start.zip(timeline) {
            Some((start, timeline)) => Ok(Self { start, timeline }),
            None => Err(wrong("its backup_label can't be read".to_owned())),
        }
    }
}

/// Whether what went by is what the server says it sent. Returns the range of the log that it takes.
fn compare(list: &[u8], mut seen: HashMap<PathBuf, (u64, u32)>) -> io::Result<ServerRange> {
    if list.is_empty() {
        return Err(wrong(
            "it was cut off: the server's list of files is missing".to_owned(),
        ));
    }
    let unread = |why: String| wrong(format!("the server's list of files can't be read: {why}"));
    let manifest: ServerManifest =
        serde_json::from_slice(list).map_err(|error| unread(error.to_string()))?;
    let before = memchr::memmem::rfind(list, b"\"Manifest-Checksum\"").unwrap_or_default();
    if hex::encode(Sha256::digest(&list[..before])) != manifest.checksum {
        return Err(unread("its checksum is another".to_owned()));
    }
    for file in &manifest.files {
        let path = match (&file.path, &file.encoded) {
            (Some(path), _) => PathBuf::from(path),
            (None, Some(encoded)) => {
                let bytes = hex::decode(encoded).map_err(|error| unread(error.to_string()))?;
                PathBuf::from(String::from_utf8_lossy(&bytes).into_owned())
            }
            (None, None) => return Err(unread("a file without a name".to_owned())),
        };
        let Some((size, crc)) = seen.remove(&path) else {
            return Err(wrong(format!("{} is missing", path.display())));
        };
        if size != file.size {
            return Err(wrong(format!(
                "{} has {size} bytes, and had {}",
                path.display(),
                file.size
            )));
        }
        if let Some(checksum) = &file.checksum
            && *checksum != hex::encode(crc.to_le_bytes())
        {
            return Err(wrong(format!("{} has another checksum", path.display())));
        }
    }
    // Histories of timelines are in no list either.
    let unknown = seen.keys().find(|path| !path.starts_with("pg_wal"));
    if let Some(path) = unknown {
        return Err(wrong(format!(
            "the server knows nothing of {}",
            path.display()
        )));
    }
    // A backup that goes over several timelines is one of a standby that was promoted meanwhile.
    let mut ranges = manifest.ranges.into_iter();
    match (ranges.next(), ranges.next()) {
        (Some(range), None) => Ok(range),
        _ => Err(wrong("it was taken while the timeline changed".to_owned())),
    }
}

/// The path below the data directory.
fn inside(path: &Path) -> io::Result<PathBuf> {
    let mut clean = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(part) => clean.push(part),
            Component::CurDir => {}
            _ => {
                return Err(wrong(format!("{} would land elsewhere", path.display())));
            }
        }
    }
    Ok(clean)
}

fn wrong(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An archive as pg_basebackup makes it, with these files, of which the list says what `listed` does to it.
    fn archive(files: &[(&str, &[u8])], listed: impl Fn(&mut String)) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        let mut add = |name: &str, bytes: &[u8]| {
            let mut header = tar::Header::new_ustar();
            header.set_size(bytes.len() as u64);
            header.set_mode(0o600);
            header.set_uid(999);
            header.set_gid(998);
            builder.append_data(&mut header, name, bytes).unwrap();
        };
        let mut lines = Vec::new();
        for (name, bytes) in files {
            add(name, bytes);
            if !name.starts_with("pg_wal/") {
                let mut crc = Digest::new(CrcAlgorithm::Crc32Iscsi);
                crc.update(bytes);
                let crc = hex::encode((crc.finalize() as u32).to_le_bytes());
                lines.push(format!(
                    "{{ \"Path\": \"{name}\", \"Size\": {}, \"Last-Modified\": \"2026-11-25 10:00:00 GMT\", \"Checksum-Algorithm\": \"CRC32C\", \"Checksum\": \"{crc}\" }}",
                    bytes.len()
                ));
            }
        }
        let mut list = format!(
            "{{ \"PostgreSQL-Backup-Manifest-Version\": 1,\n\"Files\": [\n{}\n],\n\"WAL-Ranges\": [\n{{ \"Timeline\": 1, \"Start-LSN\": \"0/2000028\", \"End-LSN\": \"0/3000000\" }}\n],\n",
            lines.join(",\n")
        );
        listed(&mut list);
        let checksum = hex::encode(Sha256::digest(list.as_bytes()));
        list.push_str(&format!("\"Manifest-Checksum\": \"{checksum}\"}}\n"));
        add("backup_manifest", list.as_bytes());
        builder.into_inner().unwrap()
    }

    const LABEL: &[u8] = b"START WAL LOCATION: 0/2000028 (file 000000010000000000000002)\nCHECKPOINT LOCATION: 0/2000060\nSTART TIMELINE: 1\n";

    fn files() -> Vec<(&'static str, &'static [u8])> {
        vec![
            ("PG_VERSION", b"15\n"),
            ("backup_label", LABEL),
            ("base/1/1259", &[7; 3000]),
            ("global/pg_control", &[9; 64]),
            ("pg_wal/000000010000000000000002", &[0; 1024]),
        ]
    }

    fn read_all(bytes: &[u8]) -> io::Result<Contents> {
        read(&mut &bytes[..], &mut Nothing)
    }

    #[test]
    fn a_whole_one_is_read() {
        let contents = read_all(&archive(&files(), |_| ())).unwrap();
        assert_eq!(contents.system, 0x0909_0909_0909_0909);
        assert_eq!((contents.files, contents.owner), (4, (999, 998)));
        assert_eq!(contents.end.to_string(), "0/3000000");
        assert!(
            contents
                .has_its_wal(16 << 20)
                .unwrap_err()
                .contains("1024 bytes")
        );
        let mut other = contents;
        other.wal.clear();
        let missing = other.has_its_wal(16 << 20).unwrap_err();
        assert!(missing.contains("000000010000000000000002 is missing"));
    }

    #[test]
    fn one_that_is_cut_off_or_changed_is_refused() {
        let whole = archive(&files(), |_| ());
        for end in (0..whole.len() - 1024).step_by(511) {
            assert!(read_all(&whole[..end]).is_err(), "cut at {end}");
        }
        let at = memchr::memmem::find(&whole, &[7; 100]).unwrap();
        let mut flipped = whole.clone();
        flipped[at] ^= 1;
        let said = read_all(&flipped).unwrap_err().to_string();
        assert!(said.contains("base/1/1259 has another checksum"), "{said}");
        let said = read_all(&archive(&files(), |list| {
            *list = list.replace("Size\": 3000", "Size\": 3001")
        }));
        assert!(said.unwrap_err().to_string().contains("had 3001"));
        let said = read_all(&archive(&files(), |list| {
            *list = list.replace("base/1/1259", "base/1/1260")
        }));
        assert!(said.unwrap_err().to_string().contains("1260 is missing"));
    }
}
