//! What makes a write durable with one write and one fsync: a journal of two files that take turns.
//!
//! ```text
//! DIR/STEM.0  DIR/STEM.1   records, one a write:
//! checksum 32 | length of the rest u64 | number u64 | body
//! ```
//!
//! Numbers are little endian; the checksum is `H(label, the rest)`. A file is written from its start, each record
//! behind the last, and written over when all of it is settled elsewhere. So behind the newest record lies a torn one,
//! an older one, or nothing; the first two are told by the checksum and by the number, which never comes twice.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use sealgrid_seal::digest::{Digest, Label};

const CHECKSUM_BYTES: usize = 32;
const LENGTH_BYTES: usize = 8;
const NUMBER_BYTES: usize = 8;

/// What a journal is for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kind {
    /// Beginning of the files' names.
    pub(crate) stem: &'static str,
    /// Of the checksums.
    pub(crate) label: Label,
    /// Bytes after which the other file takes over; the last record of a file may reach beyond.
    pub(crate) segment_bytes: u64,
    /// Whether the files have that length from the beginning: a sync that need not note a new length is a third cheaper.
    pub(crate) full_length: bool,
}

/// One write as it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Its number, which never comes twice.
    pub(crate) number: u64,
    /// What was written.
    pub(crate) body: Vec<u8>,
}

/// The bytes of a record; `write` appends its body.
pub(crate) fn record(label: Label, number: u64, write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut bytes = vec![0; CHECKSUM_BYTES + LENGTH_BYTES];
    bytes.extend_from_slice(&number.to_le_bytes());
    write(&mut bytes);
    let length = (bytes.len() - CHECKSUM_BYTES - LENGTH_BYTES) as u64;
    bytes[CHECKSUM_BYTES..][..LENGTH_BYTES].copy_from_slice(&length.to_le_bytes());
    let checksum = Digest::of(label, &[&bytes[CHECKSUM_BYTES..]]);
    bytes[..CHECKSUM_BYTES].copy_from_slice(&checksum.0);
    bytes
}

/// The record at the start of `bytes`, and its length; `None` when there is none, or it is torn.
fn entry(label: Label, bytes: &[u8]) -> Option<(Entry, usize)> {
    let (checksum, rest) = bytes.split_first_chunk::<CHECKSUM_BYTES>()?;
    let (length, body) = rest.split_first_chunk::<LENGTH_BYTES>()?;
    let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
    let (number, body) = body.get(..length)?.split_first_chunk::<NUMBER_BYTES>()?;
    if Digest::of(label, &[&rest[..LENGTH_BYTES + length]]).0 != *checksum {
        return None;
    }
    let entry = Entry { number: u64::from_le_bytes(*number), body: body.to_vec() };
    Some((entry, CHECKSUM_BYTES + LENGTH_BYTES + length))
}

/// The two files, open for writing.
#[derive(Debug)]
pub(crate) struct Journal {
    kind: Kind,
    segments: [File; 2],
    active: usize,
    offset: u64,
}

impl Journal {
    /// Opens the files, or makes them, and reads what they hold, by ascending number. The next record is written at the start
    /// of the first file: the caller has settled all that was read before it writes.
    pub(crate) fn open(dir: &Path, kind: Kind) -> io::Result<(Self, Vec<Entry>)> {
        let mut entries = Vec::new();
        let mut open = |number| {
            let path = path(dir, kind.stem, number);
            let file = File::options().read(true).write(true).create(true).truncate(false).open(&path)?;
            read_entries(kind.label, &fs::read(&path)?, &mut entries);
            let length = file.metadata()?.len();
            if kind.full_length && length < kind.segment_bytes {
                let missing = usize::try_from(kind.segment_bytes - length).map_err(io::Error::other)?;
                file.write_all_at(&vec![0; missing], length)?;
                file.sync_all()?;
            }
            Ok::<_, io::Error>(file)
        };
        let segments = [open(0)?, open(1)?];
        // The files are entries of their folder before anything is entrusted to them.
        File::open(dir)?.sync_all()?;
        entries.sort_by_key(|entry| entry.number);
        Ok((Self { kind, segments, active: 0, offset: 0 }, entries))
    }

    /// Makes a record durable.
    pub(crate) fn append(&mut self, record: &[u8]) -> io::Result<()> {
        let file = &self.segments[self.active];
        file.write_all_at(record, self.offset)?;
        file.sync_data()?;
        self.offset += record.len() as u64;
        Ok(())
    }

    /// Whether the file in use is as long as it may get.
    pub(crate) fn is_full(&self) -> bool {
        self.offset >= self.kind.segment_bytes
    }

    /// Goes on at the start of the other file; the caller has settled what it holds.
    pub(crate) fn turn(&mut self) {
        self.active = 1 - self.active;
        self.offset = 0;
    }
}

/// Where a file of a journal lies.
pub(crate) fn path(dir: &Path, stem: &str, number: usize) -> PathBuf {
    dir.join(format!("{stem}.{number}"))
}

fn read_entries(label: Label, mut bytes: &[u8], entries: &mut Vec<Entry>) {
    while let Some((entry, length)) = entry(label, bytes) {
        entries.push(entry);
        bytes = &bytes[length..];
    }
}

#[cfg(test)]
mod tests {
    use sealgrid_seal::digest::labels;

    use super::*;

    const KIND: Kind =
        Kind { stem: "journal", label: labels::LOG_JOURNAL, segment_bytes: 4096, full_length: false };

    fn write(number: u64) -> Vec<u8> {
        record(KIND.label, number, |bytes| bytes.extend_from_slice(b"a body\n"))
    }

    #[test]
    fn a_record_reads_back_and_its_bytes_are_frozen() {
        let bytes = write(7);
        let (read, length) = entry(KIND.label, &[&bytes[..], b"more"].concat()).expect("whole");
        assert_eq!(length, bytes.len());
        assert_eq!(read, Entry { number: 7, body: b"a body\n".to_vec() });
        let frozen = "aa3b5538614a0fb01fc952913b50ac39d7f3c663a2d424379626d88b4c9bf184\
                      0f000000000000000700000000000000\
                      6120626f64790a";
        assert_eq!(hex::encode(&bytes), frozen);
    }

    #[test]
    fn a_record_that_is_cut_or_changed_anywhere_is_none() {
        let bytes = write(7);
        for length in 0..bytes.len() {
            assert!(entry(KIND.label, &bytes[..length]).is_none(), "cut to {length}");
        }
        for place in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[place] ^= 1;
            assert!(entry(KIND.label, &changed).is_none(), "changed at {place}");
        }
        assert!(entry(labels::RECEIPT_LEAF, &bytes).is_none(), "of another journal");
        assert!(entry(KIND.label, &[0; 100]).is_none(), "room that was never written");
    }

    #[test]
    fn a_file_that_is_written_over_yields_the_new_records_and_at_most_older_ones() {
        let dir = tempfile::tempdir().expect("a folder");
        for full_length in [false, true] {
            let kind = Kind { full_length, ..KIND };
            let (mut journal, _) = Journal::open(dir.path(), kind).expect("opens");
            for number in 0..10 {
                journal.append(&write(number)).expect("room");
            }
            journal.turn();
            journal.append(&write(10)).expect("room");
            journal.turn();
            for number in 11..14 {
                journal.append(&write(number)).expect("room");
            }
            let entries = Journal::open(dir.path(), kind).expect("opens").1;
            // Records of one length: the old ones behind the new ones are whole, and told by their number.
            let numbers: Vec<u64> = entries.iter().map(|entry| entry.number).collect();
            assert_eq!(numbers, [3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13]);
        }
    }
}
