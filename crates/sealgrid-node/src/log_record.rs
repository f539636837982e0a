//! One batch of the log as a record of its journal: `leaves u32 | (length u16 | leaf)* | the checkpoint's note`, numbered
//! by the index of its first leaf; numbers are little endian.

use sealgrid_protocol::log::LEAF_LENGTH_MAX;
use sealgrid_seal::digest::labels;

use crate::journal::{Entry, Kind, record};

/// The log's journal. Short in tests, so that files take turns in all of them.
pub(crate) const JOURNAL: Kind = Kind {
    stem: "journal",
    label: labels::LOG_JOURNAL,
    segment_bytes: if cfg!(test) { 32 << 10 } else { 16 << 20 },
    full_length: false,
};

/// One batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LogRecord {
    /// Index of the first leaf.
    pub(crate) first: u64,
    /// The leaves.
    pub(crate) leaves: Vec<Vec<u8>>,
    /// Text of the checkpoint's note, signed by the log.
    pub(crate) note: Vec<u8>,
}

impl LogRecord {
    /// The bytes of a record; leaves are at most [`LEAF_LENGTH_MAX`] long.
    pub(crate) fn encode<L: AsRef<[u8]>>(first: u64, leaves: &[L], note: &str) -> Vec<u8> {
        record(JOURNAL.label, first, |bytes| {
            let count = u32::try_from(leaves.len()).expect("a batch is bounded");
            bytes.reserve(leaves.iter().map(|leaf| leaf.as_ref().len() + 2).sum::<usize>() + note.len() + 4);
            bytes.extend_from_slice(&count.to_le_bytes());
            for leaf in leaves {
                const { assert!(LEAF_LENGTH_MAX == u16::MAX as usize) };
                let length = u16::try_from(leaf.as_ref().len()).expect("the caller has compared it");
                bytes.extend_from_slice(&length.to_le_bytes());
                bytes.extend_from_slice(leaf.as_ref());
            }
            bytes.extend_from_slice(note.as_bytes());
        })
    }

    /// What an entry of the journal holds; `None` when it is none of these.
    pub(crate) fn read(entry: &Entry) -> Option<Self> {
        let mut body = &entry.body[..];
        let count = u32::from_le_bytes(take(&mut body)?);
        let mut leaves = Vec::new();
        for _ in 0..count {
            let length = usize::from(u16::from_le_bytes(take(&mut body)?));
            let (leaf, rest) = body.split_at_checked(length)?;
            leaves.push(leaf.to_vec());
            body = rest;
        }
        Some(Self { first: entry.number, leaves, note: body.to_vec() })
    }
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(*taken)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::Journal;

    #[test]
    fn a_batch_reads_back_and_its_bytes_are_frozen() {
        let bytes = LogRecord::encode(7, &[&b"one"[..], b"", b"three"], "a note\n");
        let frozen = "a87ba93c999a3422d90cd04f20a9df72088166dfb6a95dfb3bb3d5658fa1d19c\
                      2100000000000000070000000000000003000000\
                      03006f6e65000005007468726565\
                      61206e6f74650a";
        assert_eq!(hex::encode(&bytes), frozen);
        let dir = tempfile::tempdir().expect("a folder");
        let (mut journal, found) = Journal::open(dir.path(), JOURNAL).expect("opens");
        assert!(found.is_empty());
        journal.append(&bytes).expect("room");
        let found = Journal::open(dir.path(), JOURNAL).expect("opens").1;
        let read: Vec<_> = found.iter().filter_map(LogRecord::read).collect();
        let leaves = vec![b"one".to_vec(), Vec::new(), b"three".to_vec()];
        assert_eq!(read, [LogRecord { first: 7, leaves, note: b"a note\n".to_vec() }]);
        for length in 0..4 + 13 {
            let body = bytes[48..][..length].to_vec();
            assert!(LogRecord::read(&Entry { number: 7, body }).is_none(), "cut to {length}");
        }
    }
}
