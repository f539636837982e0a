//! Computes on ciphertexts: what an evaluator gets tells it nothing of the records, and it cannot hold their key.
//!
//! # Tasks
//! - Choose parameters: [`parameters::Parameters::new`] of a named set; less than 128 bits of security cannot be made.
//! - Make a key: [`rlwe::SecretKey::generate`]; keep it as bytes that are wiped: [`rlwe::SecretKey::to_secret_bytes`].
//! - Have a linear or logistic model evaluated exactly, without evaluation keys: [`linear::encrypt`],
//!   [`linear::Layer::evaluate`], [`linear::decrypt`]. The sums are the accumulators of the integer graph.
//! - Send and keep what was made: [`linear::EncryptedRecords::to_bytes`], [`linear::EncryptedSums::to_bytes`].
//! - Build another scheme on the same polynomials: [`ring`].
//!
//! # What is not built yet
//! Approximate arithmetic on slots (CKKS), evaluation keys, rotations and matrices, encryption under public keys, training, and a
//! mode of jobs that uses any of it. Nothing in this crate hides a model's weights from the owner of the records' key, and
//! decrypted sums are exact, so the attack on approximate results (B. Li, D. Micciancio, 2021) has nothing to work on yet.
//! The code has not been reviewed by anybody outside the project.
//!
//! # Non-goals
//! No disk, no clock, no global randomness: generators are arguments. No cipher, hash or generator of our own. Integrity is
//! not a property of ciphertexts: receipts and quorums show what was evaluated, and evaluation gives the same bits everywhere.
//!
//! The reasons are in docs/design/0009-computing-on-ciphertexts.md.

pub mod ring;

pub mod parameters;

pub mod rlwe;
pub mod sampling;

pub mod linear;

pub mod ckks;

pub mod wire;
