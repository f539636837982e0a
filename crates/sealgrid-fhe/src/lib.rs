//! Computes on ciphertexts.

pub mod ring;
