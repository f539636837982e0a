//! A job: from a client's header to a receipt, by one signer or by a quorum.
//!
//! Reading order: [`header`] (what is asked), [`statement`] (what is signed), [`message`] (what is said), [`work`] (what is
//! computed), [`evidence`] (what convinces others), [`node`] and [`client`] (the two machines). Rules are numbered JOB-NN
//! in docs/spec/job.md and QUORUM-NN in docs/spec/quorum.md.

pub mod header;

pub mod statement;

pub mod message;

pub mod work;

pub mod evidence;

pub mod node;

pub mod client;

#[doc(hidden)]
pub mod fuzz;
