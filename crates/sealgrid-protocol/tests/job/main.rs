//! Every rule of docs/spec/job.md and docs/spec/quorum.md, kept and broken, on real machines in one process.

mod grid;

mod header;

mod message;

mod statement;

mod votes;

mod dispute;

mod referee;

mod node;

mod client;

mod proof;

mod vectors;
