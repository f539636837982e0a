//! Computes on ciphertexts.

pub mod ring;

pub mod parameters;

pub mod rlwe;
pub mod sampling;

pub mod linear;
pub mod wire;
