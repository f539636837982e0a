//! What makes a batch of the log durable with one write and one fsync: a journal of two files that take turns.
//!
//! ```text
//! DIR/journal.0  DIR/journal.1   records, one a batch:
//! checksum 32 | length of the rest u64 | first index u64 | leaves u32 | (length u16 | leaf)* | the checkpoint's note
//! ```
//!
//! Numbers are little endian; the checksum is `H(LOG_JOURNAL, the rest)`. A file is written from its start, each record
//! behind the last, and written over when all of it is settled elsewhere. So behind the newest record lies a torn one,
//! an older one, or nothing; the first two are told by the checksum and by the first index, which never comes twice.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use sealgrid_protocol::log::LEAF_LENGTH_MAX;
use sealgrid_seal::digest::{Digest, labels};

/// Bytes after which the other file takes over; the last record of a file may reach beyond. Short in tests, so that
/// files take turns in all of them.
const SEGMENT_BYTES: u64 = if cfg!(test) { 32 << 10 } else { 16 << 20 };

const CHECKSUM_BYTES: usize = 32;
const LENGTH_BYTES: usize = 8;

/// One batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    /// Index of the first leaf.
    pub(crate) first: u64,
    /// The leaves.
    pub(crate) leaves: Vec<Vec<u8>>,
    /// Text of the checkpoint's note, signed by the log.
    pub(crate) note: Vec<u8>,
}

impl Record {
    /// The bytes of a record; leaves are at most [`LEAF_LENGTH_MAX`] long.
    pub(crate) fn encode<L: AsRef<[u8]>>(first: u64, leaves: &[L], note: &str) -> Vec<u8> {
        let length = leaves.iter().map(|leaf| leaf.as_ref().len() + 2).sum::<usize>() + note.len() + 12;
        let mut bytes = Vec::with_capacity(CHECKSUM_BYTES + LENGTH_BYTES + length);
        bytes.extend_from_slice(&[0; CHECKSUM_BYTES]);
        bytes.extend_from_slice(&(length as u64).to_le_bytes());
        bytes.extend_from_slice(&first.to_le_bytes());
        let count = u32::try_from(leaves.len()).expect("a batch is bounded");
        bytes.extend_from_slice(&count.to_le_bytes());
        for leaf in leaves {
            const { assert!(LEAF_LENGTH_MAX == u16::MAX as usize) };
            let length = u16::try_from(leaf.as_ref().len()).expect("the caller has compared it");
            bytes.extend_from_slice(&length.to_le_bytes());
            bytes.extend_from_slice(leaf.as_ref());
        }
        bytes.extend_from_slice(note.as_bytes());
        let checksum = Digest::of(labels::LOG_JOURNAL, &[&bytes[CHECKSUM_BYTES..]]);
        bytes[..CHECKSUM_BYTES].copy_from_slice(&checksum.0);
        bytes
    }

    /// The record at the start of `bytes`, and its length; `None` when there is none, or it is torn.
    fn decode(bytes: &[u8]) -> Option<(Self, usize)> {
        let (checksum, rest) = bytes.split_first_chunk::<CHECKSUM_BYTES>()?;
        let (length, body) = rest.split_first_chunk::<LENGTH_BYTES>()?;
        let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
        let mut body = body.get(..length)?;
        if Digest::of(labels::LOG_JOURNAL, &[&rest[..LENGTH_BYTES + length]]).0 != *checksum {
            return None;
        }
        let first = u64::from_le_bytes(take(&mut body)?);
        let count = u32::from_le_bytes(take(&mut body)?);
        let mut leaves = Vec::new();
        for _ in 0..count {
            let length = usize::from(u16::from_le_bytes(take(&mut body)?));
            let (leaf, rest) = body.split_at_checked(length)?;
            leaves.push(leaf.to_vec());
            body = rest;
        }
        Some((Self { first, leaves, note: body.to_vec() }, CHECKSUM_BYTES + LENGTH_BYTES + length))
    }
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(*taken)
}

/// The two files, open for writing.
#[derive(Debug)]
pub(crate) struct Journal {
    segments: [File; 2],
    active: usize,
    offset: u64,
}

impl Journal {
    /// Opens the files, or makes them, and reads what they hold, by ascending first index. The next record is written at
    /// the start of the first file: the caller has settled all that was read before it writes.
    pub(crate) fn open(dir: &Path) -> io::Result<(Self, Vec<Record>)> {
        let mut records = Vec::new();
        let mut open = |number| {
            let path = path(dir, number);
            let file = File::options().read(true).write(true).create(true).truncate(false).open(&path)?;
            read_records(&fs::read(&path)?, &mut records);
            Ok::<_, io::Error>(file)
        };
        let segments = [open(0)?, open(1)?];
        // The files are entries of their folder before anything is entrusted to them.
        File::open(dir)?.sync_all()?;
        records.sort_by_key(|record| record.first);
        Ok((Self { segments, active: 0, offset: 0 }, records))
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
        self.offset >= SEGMENT_BYTES
    }

    /// Goes on at the start of the other file; the caller has settled what it holds.
    pub(crate) fn turn(&mut self) {
        self.active = 1 - self.active;
        self.offset = 0;
    }
}

/// Where a file of the journal lies.
pub(crate) fn path(dir: &Path, number: usize) -> PathBuf {
    dir.join(format!("journal.{number}"))
}

fn read_records(mut bytes: &[u8], records: &mut Vec<Record>) {
    while let Some((record, length)) = Record::decode(bytes) {
        records.push(record);
        bytes = &bytes[length..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(first: u64) -> Vec<u8> {
        Record::encode(first, &[&b"one"[..], b"", b"three"], "a note\n")
    }

    #[test]
    fn a_record_reads_back_and_its_bytes_are_frozen() {
        let bytes = record(7);
        let (read, length) = Record::decode(&[&bytes[..], b"more"].concat()).expect("whole");
        assert_eq!(length, bytes.len());
        assert_eq!(read.first, 7);
        assert_eq!(read.leaves, [&b"one"[..], b"", b"three"]);
        assert_eq!(read.note, b"a note\n");
        let frozen = "a87ba93c999a3422d90cd04f20a9df72088166dfb6a95dfb3bb3d5658fa1d19c\
                      2100000000000000070000000000000003000000\
                      03006f6e65000005007468726565\
                      61206e6f74650a";
        assert_eq!(hex::encode(&bytes), frozen);
    }

    #[test]
    fn a_record_that_is_cut_or_changed_anywhere_is_none() {
        let bytes = record(7);
        for length in 0..bytes.len() {
            assert!(Record::decode(&bytes[..length]).is_none(), "cut to {length}");
        }
        for place in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[place] ^= 1;
            assert!(Record::decode(&changed).is_none(), "changed at {place}");
        }
    }

    #[test]
    fn a_file_that_is_written_over_yields_the_new_records_and_at_most_older_ones() {
        let dir = tempfile::tempdir().expect("a folder");
        let (mut journal, records) = Journal::open(dir.path()).expect("opens");
        assert!(records.is_empty());
        for first in 0..10 {
            journal.append(&record(first)).expect("room");
        }
        journal.turn();
        journal.append(&record(10)).expect("room");
        journal.turn();
        for first in 11..14 {
            journal.append(&record(first)).expect("room");
        }
        let firsts: Vec<u64> =
            Journal::open(dir.path()).expect("opens").1.iter().map(|record| record.first).collect();
        // Records of one length: the old ones behind the new ones are whole, and told by their index.
        assert_eq!(firsts, [3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13]);
    }
}
