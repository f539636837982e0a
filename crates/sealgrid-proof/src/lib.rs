//! Zero-knowledge proofs of runs of the integer graph: docs/design/0006-how-a-run-is-proven.md says how, and what is not built yet.
//!
//! # What there is
//! - [`file`]: a proof of a run as a file, and what is published of a model so that others can check proofs.
//! - [`run`]: what a run of a graph says about a committed content.
//! - [`argument`]: a whole argument about one committed vector, from the commitment to the opening.
//! - [`channel`]: what prover and verifier say, every value hidden by a pad, every check an equation about pads.
//! - [`inner`]: that a sum of products is a hidden value, which is what a layer of sums comes to.
//! - [`commit`]: the commitment that hides a vector and is opened once.
//! - [`last`]: that a linear functional of a committed vector has a value, down to two of the vector's values.
//! - [`lookups`]: that tuples of linear forms stand in public tables.
//! - [`fractions`]: that a sum of fractions is zero, which is what all lookups of a proof together come to (LogUp).
//! - [`registration`]: that committed parameters lie in their bounds, shown once.
//! - [`system`]: this crate as the proof system of jobs.
//! - [`values`]: the commitment to what goes into a run or comes out of it.
//! - [`weights`]: the commitment to private parameters that many proofs are about.
//!
//! # Non-goals
//! No fields, hash functions or polynomial commitments of our own: those are Plonky3's.

pub mod argument;
pub mod channel;
pub mod commit;
pub mod file;
pub mod form;
pub mod fractions;
pub mod inner;
pub mod last;
pub mod level;
pub mod lookups;
pub mod registration;
pub mod run;
pub mod system;
pub mod values;
pub mod weights;

mod field;
mod folding;
mod hidden;
mod layers;
mod maps;
mod order;
mod places;
mod products;
mod threads;
mod transcript;

pub use field::{Challenge, Element, soundness_bits};
pub use hidden::Hidden;
pub use transcript::Transcript;
