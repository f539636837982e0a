//! One file a command: its arguments, what it does, its report.

mod bench;
mod data;
mod demo;
mod doctor;
mod fhe;
pub mod key;
mod log;
mod manual;
pub mod model;
mod node;
mod plan;
mod prove;
mod run;
mod soak;
mod up;
mod verify;

use clap::Subcommand;

use crate::failure::Failure;
use crate::home::Home;
use crate::output::{Output, Report};

/// The commands, in the order of `--help`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Import, inspect, publish, list models.
    #[command(subcommand)]
    Model(model::ModelCommand),
    /// A local grid that scores real records in every mode, catches a liar, and ends by itself.
    Demo(demo::Demo),
    /// Say how a policy would be met, or why it cannot be.
    Plan(plan::Plan),
    /// Run a model on the grid: records in, results and a receipt out.
    Run(run::Run),
    /// Run a model here and prove what it yields, without telling the records.
    Prove(prove::Prove),
    /// Score records under encryption, step by step: keygen, encrypt, eval, decrypt.
    #[command(subcommand)]
    Fhe(fhe::FheCommand),
    /// Check receipts and proofs offline.
    Verify(verify::Verify),
    /// Start a grid on this machine, one process a node.
    Up(up::Up),
    /// Run one node until SIGTERM.
    Node(node::NodeCommand),
    /// Make, list, rotate and destroy keys that only you hold.
    Key(key::KeyCommand),
    /// Seal files at rest to keys that only you hold, and open them.
    Data(data::DataCommand),
    /// Look at the grid's transparency log, prove what is in it, catch it lying.
    #[command(subcommand)]
    Log(log::LogCommand),
    /// Measure this machine.
    Bench(bench::Bench),
    /// Check what this machine can do.
    Doctor,
    /// Print a completion script for a shell.
    Completions(manual::Completions),
    /// Write the manual pages.
    Man(manual::Man),
}

impl Command {
    /// Carries out the command.
    pub fn run(self, home: &Home, output: Output) -> Result<Report, Failure> {
        match self {
            Self::Model(command) => command.run(home, output),
            Self::Demo(command) => command.run(output),
            Self::Plan(command) => command.run(home),
            Self::Run(command) => command.run(home, output),
            Self::Prove(command) => command.run(home, output),
            Self::Fhe(command) => command.run(home, output),
            Self::Verify(command) => command.run(home),
            Self::Up(command) => command.run(home, output),
            Self::Node(command) => command.run(output),
            Self::Key(command) => command.run(home, output),
            Self::Data(command) => command.run(home, output),
            Self::Log(command) => command.run(home),
            Self::Bench(command) => command.run(output),
            Self::Doctor => doctor::run(home),
            Self::Completions(command) => command.run(),
            Self::Man(command) => command.run(),
        }
    }
}
