//! Computes on ciphertexts: what an evaluator gets tells it nothing of the records, and it cannot hold their key.
//!
//! # Tasks
//! - Choose parameters: [`parameters::Parameters::new`] of a named set; less than 128 bits of security cannot be made.
//! - Make a key: [`rlwe::SecretKey::generate`]; keep it as bytes that are wiped: [`rlwe::SecretKey::to_secret_bytes`].
//! - Have a linear or logistic model evaluated exactly, without evaluation keys: [`linear::encrypt`],
//!   [`linear::Layer::evaluate`], [`linear::decrypt`]. The sums are the accumulators of the integer graph.
//! - Score records of a whole model of one linear layer: [`model::LinearModel::encrypt`], [`model::Evaluator::evaluate`],
//!   [`model::LinearModel::decrypt`]. The results are the integer graph's.
//! - Compute on encrypted vectors of real numbers: [`ckks::encrypt`], [`ckks::EvaluationKeys::generate`], [`ckks::Evaluator`],
//!   [`ckks::danger_decrypt`].
//! - Send and keep what was made: [`linear::EncryptedRecords::to_bytes`], [`linear::EncryptedSums::to_bytes`],
//!   [`ckks::FreshCiphertext::to_bytes`], [`ckks::Ciphertext::to_bytes`], [`ckks::EvaluationKeys::to_bytes`].
//! - Build another scheme on the same polynomials: [`ring`].
//!
//! # What is not built yet
//! - Flooding of what [`ckks`] decrypts, without which it must not leave the key's owner (B. Li, D. Micciancio, 2021).
//! - Hiding weights: nothing here hides a model's weights from the owner of the records' key.
//! - Digits of several primes in key switching, deeper parameter sets, bootstrapping, encryption under public keys.
//! - The compiler from graphs, exact products of ciphertexts, trees, training, joint keys, a mode of jobs.
//!
//! Nobody outside the project has reviewed the code.
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

pub mod model;

pub mod ckks;

pub mod wire;
