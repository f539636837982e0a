//! What a job leaves behind: one file that a stranger can check, and one key that only the owner has.
//!
//! [`ReceiptFile`] bundles a signed receipt ([`crate::claims`]) with its evidence and its place in the log.
//! [`Opening`] is the owner's sidecar: with it commitments can be opened, destroying it makes them meaningless.
//! [`Judge`] is the socket through which `sealgrid-verify` takes one judge per kind of evidence; what they say is a list
//! of [`Finding`]s. Rules are numbered RCP-NN in docs/spec/receipt.md.

mod file;
mod judge;
mod opening;
mod render;

pub use file::{Evidence, FILE_BYTES_MAX, FileError, LOG_PROOF_BYTES_MAX, ReceiptFile, fuzz_parse};
pub use judge::{Context, Finding, Judge, Status};
pub use opening::{OPENING_BYTES_MAX, Opening, OpeningError};
pub use render::{claims_json, claims_text, utc};

#[cfg(test)]
mod tests;
