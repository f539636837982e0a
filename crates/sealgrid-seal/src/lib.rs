//! Digests with domain labels, canonical bytes, identities, owner-held keys, signed statements, envelopes.
//!
//! # Tasks
//! - Name bytes for ever: [`digest::Digest::of`] with a [`digest::Label`].
//! - Commit to private bytes: [`digest::Commitment::of`], keyed, so that nobody can guess and compare.
//! - Turn a value into the one byte string that may be hashed or signed: [`canonical`].
//! - Be somebody: [`identity::SigningIdentity`]; check somebody: [`identity::PublicIdentity::verify`].
//! - Say something that others can check: [`statement::sign`], [`statement::Unverified::parse`].
//! - Accept an owner's wallet as an identity: [`wallet`].
//! - Send bytes that one key pair can read, and answer: [`envelope::seal`], [`envelope::JobKeyPair::open`],
//!   [`envelope::Exporter::reply_key`].
//!
//! - Send or keep more than fits in memory: [`stream`] (in order), [`rest`] (random access, several recipients).
//! - Hold keys: [`keystore::KeyStore`], [`keystore::RingStore`] under a passphrase.
//!
//! # Non-goals
//! No disk, no clock, no socket, no global randomness: bytes, time and a generator are arguments.

pub mod digest;
pub mod secret;

pub mod canonical;
pub mod identity;
pub mod statement;

pub mod wallet;

pub mod envelope;

pub mod rest;
pub mod stream;

pub mod keyfile;
pub mod keystore;

pub mod aead;
mod hpke;
mod x25519;
mod xwing;

/// The randomness traits that every function here takes as an argument.
pub use rand_core;

#[cfg(test)]
mod frozen;
#[cfg(test)]
mod known_answers;
