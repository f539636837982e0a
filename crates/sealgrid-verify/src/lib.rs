//! Receipt, evidence, trust roots and time in; a verdict out.
//!
//! # Tasks
//! - Say whom you trust: [`TrustRoots`], from a folder of two text files or one canonical file.
//! - Judge a receipt: [`verify`], with what its owner discloses ([`Disclosure`]) or without.
//! - Judge a proof, or what was published of a model: [`proofs`].
//! - Judge a file of whatever kind it is: [`files`].
//! - Show the verdict: [`Verdict::text`], [`Verdict::json`], [`Verdict::exit_status`].
//!
//! # How it works
//! The file is read, the receipt's signature and the claims' own rules are checked, then one [`Judge`] per kind of
//! evidence says what its evidence shows. A single finding that fails rejects the receipt. What is merely assumed, not
//! shown, or not hidden is listed beside what holds: an accepted receipt is not a promise of more than it lists.
//! Rules are numbered RCP-NN in docs/spec/receipt.md.
//!
//! # Non-goals
//! No network, no clock, no disk, no account: the manifest of this crate is the trusted base, and a test holds it.
//!
//! [`Judge`]: sealgrid_protocol::receipt::Judge

#[cfg(feature = "proofs")]
pub mod files;

#[cfg(feature = "proofs")]
pub mod proofs;

mod roots;

mod verdict;

mod judges;

mod verify;

#[doc(hidden)]
pub mod fuzz;

pub use roots::{ROOTS_BYTES_MAX, RootsError, TrustRoots, fuzz_parse};
pub use verdict::{Branch, Verdict};
pub use verify::{Disclosure, unreadable, verify};
