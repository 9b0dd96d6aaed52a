//! Reading a segment of the write-ahead log, page by page: whose it is, and which moments are in it.
//!
//! The layout is that of `src/include/access/xlog_internal.h`, `xlogrecord.h` and `xact.h`, the same from PostgreSQL 10
//! to 17. Records are followed from one to the next; each has a CRC-32C, so what is not a log is noticed. A record that
//! begins in the segment before is passed over, and so is one that ends in the next.

use crc_fast::{CrcAlgorithm, Digest};
use serde::{Deserialize, Serialize};

use super::name::Lsn;

/// Bytes of a page (`XLOG_BLCKSZ`).
pub const PAGE: usize = 8192;

/// A page begins with this much, and the first of a segment with more.
const SHORT_HEADER: usize = 24;
const LONG_HEADER: usize = 40;

/// A record begins with this much.
const RECORD_HEADER: usize = 24;

/// More of a record is not kept: what is looked for stands at its begin.
const KEPT: usize = 1024;

/// Flags of a page.
const FIRST_IS_CONTRECORD: u16 = 1;
const IS_LONG: u16 = 2;
const OVERWRITES_CONTRECORD: u16 = 8;

/// Resource managers, and what they wrote.
const RM_XLOG: u8 = 0;
const RM_XACT: u8 = 1;
const SWITCH: u8 = 0x40;
const RESTORE_POINT: u8 = 0x70;

/// What the first page of a segment says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// The system identifier of the cluster.
    pub system: u64,
    /// The timeline that was current when the page was written.
    pub timeline: u32,
    /// Where the segment begins.
    pub start: Lsn,
    /// How large segments of the cluster are.
    pub segment_size: u64,
}

impl Header {
    /// From the begin of a segment; `None` if it is none.
    #[must_use]
    pub fn read(page: &[u8]) -> Option<Self> {
        let (magic, info) = (u16_at(page, 0)?, u16_at(page, 2)?);
        let segment_size = u64::from(u32_at(page, 32)?);
        let block = u32_at(page, 36)? as usize;
        let sound = magic >> 8 == 0xD0 || magic >> 8 == 0xD1;
        let sized = segment_size.is_power_of_two() && (1 << 20..=1 << 30).contains(&segment_size);
        (sound && info & IS_LONG != 0 && block == PAGE && sized).then_some(Self {
            system: u64_at(page, 24)?,
            timeline: u32_at(page, 4)?,
            start: Lsn(u64_at(page, 8)?),
            segment_size,
        })
    }
}

/// A named restore point.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Point {
    /// Its name.
    pub name: String,
    /// Where its record begins.
    pub lsn: Lsn,
    /// When it was made, in microseconds since 1970.
    pub micros: i64,
}

/// Which moments are in a segment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moments {
    /// Where its last record begins.
    pub last_record: Option<Lsn>,
    /// Where that ends; a record that goes on in the next segment does not count.
    pub end: Option<Lsn>,
    /// When the first transaction in it ended, in microseconds since 1970.
    pub first_transaction: Option<i64>,
    /// The latest end of a transaction.
    pub last_transaction: Option<i64>,
    /// The latest moment that something in it tells: the end of a transaction, or a restore point.
    pub latest: Option<i64>,
    /// The highest number of a transaction that ended.
    pub highest_xid: Option<u32>,
    /// The restore points.
    pub points: Vec<Point>,
    /// Where it can't be read any further, although it should.
    pub broken_at: Option<Lsn>,
}

/// Goes through the pages of a segment.
pub struct Scan {
    start: Lsn,
    /// How much of the segment was seen.
    seen: u64,
    /// Of a record that began before this segment.
    skip: u64,
    record: Option<Record>,
    over: bool,
    moments: Moments,
}

/// A record that is being read.
struct Record {
    lsn: Lsn,
    length: usize,
    read: usize,
    kept: Vec<u8>,
    crc: Digest,
}

impl Scan {
    /// Of the segment that begins at a position.
    #[must_use]
    pub fn new(start: Lsn) -> Self {
        Self {
            start,
            seen: 0,
            skip: 0,
            record: None,
            over: false,
            moments: Moments::default(),
        }
    }

    /// The next page.
    pub fn page(&mut self, page: &[u8]) {
        let at = Lsn(self.start.0 + self.seen);
        let first = self.seen == 0;
        self.seen += page.len() as u64;
        if !self.over && self.read(page, at, first).is_none() {
            self.moments.broken_at = Some(at);
            self.over = true;
        }
    }

    /// What was found.
    #[must_use]
    pub fn finish(self) -> Moments {
        self.moments
    }

    /// `None` if it is no page of this log.
    fn read(&mut self, page: &[u8], at: Lsn, first: bool) -> Option<()> {
        let info = u16_at(page, 2)?;
        if Lsn(u64_at(page, 8)?) != at {
            return None;
        }
        let mut position = if info & IS_LONG == 0 {
            SHORT_HEADER
        } else {
            LONG_HEADER
        };
        let continued = (info & FIRST_IS_CONTRECORD != 0).then_some(u64::from(u32_at(page, 16)?));
        if info & OVERWRITES_CONTRECORD != 0 {
            // The server was stopped hard, and wrote something else over the rest of a record.
            self.record = None;
            self.skip = 0;
        } else if first {
            self.skip = continued.unwrap_or_default();
        } else {
            let open = self.record.as_ref();
            let expected = open.map_or(self.skip, |record| (record.length - record.read) as u64);
            if continued.unwrap_or_default() != expected {
                return None;
            }
        }
        while position < page.len() {
            let rest = page.get(position..)?;
            if self.skip > 0 {
                let step = self.skip.min(rest.len() as u64);
                self.skip -= step;
                position = aligned(position + step as usize);
                continue;
            }
            match &mut self.record {
                None => {
                    let length = u32_at(rest, 0)? as usize;
                    // Zeros: the log was switched, or the server ended here.
                    if length == 0 {
                        self.over = true;
                        return Some(());
                    }
                    if !(RECORD_HEADER..=1 << 30).contains(&length) {
                        return None;
                    }
                    self.record = Some(Record::new(Lsn(at.0 + position as u64), length));
                }
                Some(record) => {
                    let step = (record.length - record.read).min(rest.len());
                    record.push(&rest[..step]);
                    position = aligned(position + step);
                    if record.read == record.length {
                        let end = Lsn(at.0 + position as u64);
                        let record = self.record.take()?;
                        self.note(&record, end)?;
                        if self.over {
                            return Some(());
                        }
                    }
                }
            }
        }
        Some(())
    }

    /// Look at a whole record. `None` if its CRC is wrong.
    fn note(&mut self, record: &Record, end: Lsn) -> Option<()> {
        if !record.is_sound() {
            return None;
        }
        self.moments.last_record = Some(record.lsn);
        self.moments.end = Some(end);
        let (info, manager) = (*record.kept.get(16)? & 0xF0, *record.kept.get(17)?);
        match (manager, info) {
            (RM_XLOG, SWITCH) => self.over = true,
            (RM_XLOG, RESTORE_POINT) => {
                let data = record.data()?;
                let micros = unix_micros(u64_at(data, 0)? as i64);
                let name = data.get(8..)?;
                let name = name.split(|byte| *byte == 0).next()?;
                self.moments.points.push(Point {
                    name: String::from_utf8_lossy(name).into_owned(),
                    lsn: record.lsn,
                    micros,
                });
                self.moments.latest = self.moments.latest.max(Some(micros));
            }
            // Commit, abort, and both of a prepared transaction begin with the time.
            (RM_XACT, _) if [0x00, 0x20, 0x30, 0x40].contains(&(info & 0x70)) => {
                let micros = unix_micros(u64_at(record.data()?, 0)? as i64);
                let moments = &mut self.moments;
                moments.first_transaction.get_or_insert(micros);
                moments.last_transaction = moments.last_transaction.max(Some(micros));
                moments.latest = moments.latest.max(Some(micros));
                let xid = u32_at(&record.kept, 4)?;
                moments.highest_xid = moments.highest_xid.max(Some(xid).filter(|xid| *xid != 0));
            }
            _ => {}
        }
        Some(())
    }
}

impl Record {
    fn new(lsn: Lsn, length: usize) -> Self {
        Self {
            lsn,
            length,
            read: 0,
            kept: Vec::with_capacity(length.min(KEPT)),
            crc: Digest::new(CrcAlgorithm::Crc32Iscsi),
        }
    }

    fn push(&mut self, bytes: &[u8]) {
        // The CRC is of what follows the header, and then of the header as far as the CRC itself.
        let header = RECORD_HEADER.saturating_sub(self.read).min(bytes.len());
        self.crc.update(&bytes[header..]);
        let room = KEPT.saturating_sub(self.kept.len()).min(bytes.len());
        self.kept.extend_from_slice(&bytes[..room]);
        self.read += bytes.len();
    }

    fn is_sound(&self) -> bool {
        let mut crc = self.crc;
        crc.update(&self.kept[..20]);
        u32_at(&self.kept, 20).map(u64::from) == Some(crc.finalize())
    }

    /// What the resource manager wrote, of a record without blocks.
    fn data(&self) -> Option<&[u8]> {
        let mut position = RECORD_HEADER;
        loop {
            match self.kept.get(position)? {
                // Where a replicated transaction came from; the transaction above a subtransaction.
                253 => position += 3,
                252 => position += 5,
                255 => return self.kept.get(position + 2..),
                254 => return self.kept.get(position + 5..),
                _ => return None,
            }
        }
    }
}

/// Records begin at multiples of eight bytes.
fn aligned(position: usize) -> usize {
    position.next_multiple_of(8)
}

/// Postgres counts microseconds since 2000.
fn unix_micros(postgres: i64) -> i64 {
    postgres.saturating_add(946_684_800_000_000)
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A record as Postgres writes it.
    fn record(manager: u8, info: u8, xid: u32, data: &[u8]) -> Vec<u8> {
        let mut body = vec![255, u8::try_from(data.len()).unwrap()];
        body.extend_from_slice(data);
        let mut header = Vec::new();
        header.extend(
            u32::try_from(RECORD_HEADER + body.len())
                .unwrap()
                .to_le_bytes(),
        );
        header.extend(xid.to_le_bytes());
        header.extend(0_u64.to_le_bytes());
        header.extend([info, manager, 0, 0]);
        let mut crc = Digest::new(CrcAlgorithm::Crc32Iscsi);
        crc.update(&body);
        crc.update(&header);
        header.extend(u32::try_from(crc.finalize()).unwrap().to_le_bytes());
        header.extend(body);
        header
    }

    /// Two pages with these records, the second one over the edge between them.
    fn pages(records: &[Vec<u8>], start: u64) -> Vec<u8> {
        let mut log = vec![0; LONG_HEADER];
        log[..2].copy_from_slice(&0xD110_u16.to_le_bytes());
        log[2..4].copy_from_slice(&IS_LONG.to_le_bytes());
        log[4..8].copy_from_slice(&1_u32.to_le_bytes());
        log[8..16].copy_from_slice(&start.to_le_bytes());
        log[24..32].copy_from_slice(&77_u64.to_le_bytes());
        log[32..36].copy_from_slice(&(16_u32 << 20).to_le_bytes());
        log[36..40].copy_from_slice(&8192_u32.to_le_bytes());
        for record in records {
            for (at, byte) in record.iter().enumerate() {
                if log.len().is_multiple_of(PAGE) {
                    let mut header = vec![0; SHORT_HEADER];
                    header[..2].copy_from_slice(&0xD110_u16.to_le_bytes());
                    header[2..4].copy_from_slice(&u16::from(at > 0).to_le_bytes());
                    let left = if at > 0 { record.len() - at } else { 0 };
                    header[16..20].copy_from_slice(&u32::try_from(left).unwrap().to_le_bytes());
                    header[8..16].copy_from_slice(&(start + log.len() as u64).to_le_bytes());
                    log.extend(header);
                }
                log.push(*byte);
            }
            log.resize(log.len().next_multiple_of(8), 0);
        }
        log.resize(PAGE * 2, 0);
        if log[PAGE..PAGE + 24].iter().all(|byte| *byte == 0) {
            log[PAGE + 8..PAGE + 16].copy_from_slice(&(start + PAGE as u64).to_le_bytes());
        }
        log
    }

    fn scan(log: &[u8], start: u64) -> Moments {
        let mut scan = Scan::new(Lsn(start));
        log.chunks(PAGE).for_each(|page| scan.page(page));
        scan.finish()
    }

    fn commit(xid: u32, seconds: i64) -> Vec<u8> {
        record(
            RM_XACT,
            0,
            xid,
            &(seconds * 1_000_000 - 946_684_800_000_000).to_le_bytes(),
        )
    }

    #[test]
    fn moments_are_read_also_over_the_edge_of_a_page() {
        let start = 16 << 20;
        let mut point = Vec::from((2_000_000_000_000_000_i64 - 946_684_800_000_000).to_le_bytes());
        point.extend(b"before the migration\0\0\0\0");
        let filler = || record(10, 0, 5, &[7; 200]);
        let mut records = vec![commit(9, 1_700_000_000)];
        records.extend((0..40).map(|_| filler()));
        records.extend([
            record(RM_XLOG, RESTORE_POINT, 0, &point),
            commit(12, 1_700_000_100),
        ]);
        records.push(record(RM_XLOG, SWITCH, 0, &[]));
        let log = pages(&records, start);
        assert_eq!(Header::read(&log).unwrap().system, 77);
        let found = scan(&log, start);
        assert_eq!(found.broken_at, None);
        assert_eq!(found.first_transaction, Some(1_700_000_000_000_000));
        assert_eq!(found.last_transaction, Some(1_700_000_100_000_000));
        assert_eq!(found.latest, Some(2_000_000_000_000_000));
        assert_eq!(found.highest_xid, Some(12));
        assert_eq!(found.points.len(), 1);
        assert_eq!(found.points[0].name, "before the migration");
        assert!(found.last_record.unwrap() > found.points[0].lsn);
        assert!(found.points[0].lsn > Lsn(start + PAGE as u64));
    }

    #[test]
    fn a_flipped_bit_is_noticed_whatever_it_hits() {
        let records: Vec<Vec<u8>> = (0..30).map(|n| commit(n + 3, 1_700_000_000)).collect();
        let log = pages(&records, 0);
        assert_eq!(scan(&log, 0).broken_at, None);
        for at in (LONG_HEADER..LONG_HEADER + 30 * 40).step_by(41) {
            let mut wrong = log.clone();
            wrong[at] ^= 4;
            let found = scan(&wrong, 0);
            // Padding between records is no record's.
            let padding = (at - LONG_HEADER) % 40 >= 34;
            assert_eq!(found.broken_at.is_some(), !padding, "at {at}");
        }
        let elsewhere = scan(&log, 16 << 20);
        assert!(elsewhere.broken_at.is_some());
    }
}
