//! The program as people and scripts meet it: real processes, real exit statuses, real kills.

mod common;

mod canary;
mod encrypted;
mod grid;
mod proofs;
mod resume;
mod transcripts;
