//! Every conversation of the grid, without I/O.
//!
//! Reading order: [`machine`] (how a protocol is driven); then what all topics share: [`text`], [`names`], [`draw`],
//! [`directory`], [`claims`]; then the topics. Topics never import each other.
//!
//! # Non-goals
//! No disk, no clock, no socket, no global randomness; `sealgrid-node` performs effects, and
//! `sealgrid-testkit` performs them in virtual time. There is no third place.

pub mod machine;
// Shared words and documents, in reading order.

pub mod text;

pub mod names;

pub mod draw;

pub mod directory;

pub mod claims;

// Topics.

pub mod policy;

pub mod publication;

pub mod receipt;

pub mod log;

pub mod job;
