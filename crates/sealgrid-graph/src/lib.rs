//! What a model means.
//!
//! A model is one integer [`integer::Graph`]. [`integer::Graph::interpret`] is the only walk over it;
//! the [`mod@reference`] interpreter, slow and plain, *is* the specification (docs/spec/graph.md), and every
//! other interpreter (fast kernels, value ranges, cost, trace digests, and in other crates ciphertexts
//! and proofs) is tested for equality with it.
//!
//! # Tasks
//! - Make a model from a file of another framework: [`onnx::import`], then [`quantise::quantise`] with calibration
//!   records, then [`model::Model::new`]; say how good it is with [`quantise::measure`] and what it costs with
//!   [`quantise::Verdict`].
//! - Read, name and open a model: [`model::Model::from_bytes`], [`model::Model::commitment`],
//!   [`model::Model::open_parameter`]; know it without its weights: [`model::PublicModel`].
//! - Encode records and read answers: [`model::InputCard::encode`], [`model::OutputCard::decode`].
//! - Run it: [`execute::Executor::prepare`], [`execute::Prepared::run`], with a [`trace::TraceObserver`] to commit to
//!   every operation.
//! - Settle a dispute: [`trace::Bisection`], then [`reference::run_operation`].
//! - Give it another meaning: [`integer::Interpreter`]; have its runs proven: [`proving::ProofSystem`].
//!
//! # Non-goals
//! No disk, no clock, no threads of its own, no floating point once a graph is integer.

pub mod tensor;

pub mod float;

pub mod onnx;

pub mod integer;

pub mod execute;

pub mod reference;

pub mod fast;

mod merkle;
pub mod trace;

pub mod range;

pub mod cost;

pub mod model;

pub mod proving;

pub mod quantise;

#[cfg(any(test, feature = "testing"))]
pub mod arbitrary;

#[doc(hidden)]
pub mod fuzz;

#[cfg(test)]
mod vectors;
