//! Everything long-running: performs the protocols' effects, disk, workers, metrics.
//!
//! # Tasks
//! - Run a node: [`config::NodeConfig::load`], then [`node::Node::start`] and [`node::Node::run`].
//! - Be a client: [`client::GridClient::open`], then [`client::GridClient::run`].
//! - Lay out a grid on one machine: [`grid::GridPlan::lay_out`].
//! - Keep an owner's keys in a file: [`keys::create_store`], [`keys::open_store`].
//!
//! # Concepts
//! Machines of `sealgrid-protocol` decide, this crate performs: [`jobs`] for a node's jobs, [`witness`] and [`log_service`]
//! for the log, [`client`] for the asking side. What must survive `kill -9` goes through [`state`] or [`log_store`]; what
//! costs time runs on a [`pool`]; what an operator sees goes through [`metrics`], whose labels cannot carry content.
//!
//! # Non-goals
//! No protocol decisions, no engines by name (an [`Executor`](sealgrid_graph::execute::Executor) is given), no printing.

pub mod config;

pub mod api;

pub mod node;

pub mod jobs;

pub mod log_service;

mod journal;
mod log_record;
pub mod log_store;

pub mod witness;

pub mod client;
mod goodbye;

pub mod grid;

pub mod directory;

pub mod keys;

pub mod models;

pub mod proofs;

pub mod publishing;

pub mod pool;

pub mod traces;

pub mod measure;

pub mod state;

pub mod folder;

pub mod fault;

pub mod metrics;
