//! The `sealgrid` binary: commands, configuration, output.
//!
//! Reading order: [`commands`] (one file a command), [`engines`] (the one file that plugs engines in),
//! [`output`] and [`failure`] (what people and machines get to see).

mod asking;
mod commands;
mod data;
mod engines;
mod failure;
mod files;
mod home;
mod kept;
mod local_grid;
mod log_tiles;
mod openings;
mod output;
mod passphrase;
mod processes;
mod processor;
mod roots;
mod shipped;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser};

use crate::commands::Command;
use crate::output::Output;

/// Long vectors come and go with every step of a proof. The system's allocator hands each back to the kernel, which clears its pages anew: half of the
/// time of a proof about a large model. `.cargo/config.toml` asks for huge pages.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Run and train AI on machines you do not trust, and prove afterwards what happened.
#[derive(Debug, Parser)]
#[command(name = "sealgrid", version, propagate_version = true, max_term_width = 100)]
struct Arguments {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// Options of every command.
#[derive(Debug, Clone, clap::Args)]
struct Global {
    /// Print the result as JSON on stdout.
    #[arg(long, global = true)]
    json: bool,
    /// Say nothing on the way.
    #[arg(long, short, global = true)]
    quiet: bool,
    /// Where keys, models, trust roots and receipts are kept.
    #[arg(long, global = true, value_name = "DIR", env = "SEALGRID_HOME")]
    home: Option<std::path::PathBuf>,
}

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        // Help and version are answers, not errors. A closed pipe is not an error of ours.
        Err(answer) if !answer.use_stderr() => {
            let _closed_pipe = answer.print();
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            let json = std::env::args_os().any(|argument| argument == "--json");
            let typed = std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned());
            let failure = failure::usage(&error.render().to_string(), &meant(typed));
            Output { json, quiet: false }.fail(&failure);
            return ExitCode::from(failure.exit_status());
        }
    };
    let output = Output { json: arguments.global.json, quiet: arguments.global.quiet };
    if let Err(failure) = processor::check() {
        output.fail(&failure);
        return ExitCode::from(failure.exit_status());
    }
    let home = home::Home::new(arguments.global.home);
    match arguments.command.run(&home, output) {
        // What is said has to get somewhere, or no exit status stands for it.
        Ok(report) => match output.report(&report) {
            Ok(()) => ExitCode::from(report.exit),
            Err(error) => {
                let failure = failure::unwritable("standard output".as_ref(), &error);
                output.fail(&failure);
                ExitCode::from(failure.exit_status())
            }
        },
        Err(failure) => {
            output.fail(&failure);
            ExitCode::from(failure.exit_status())
        }
    }
}

/// The operating system's generator; without it nothing can be kept secret, so its failure ends the program.
fn entropy() -> impl sealgrid_seal::rand_core::CryptoRng {
    sealgrid_seal::rand_core::UnwrapErr(getrandom::SysRng)
}

/// Milliseconds since the Unix epoch.
fn now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// The command that was meant, by the words that were typed behind the program's name.
fn meant(typed: impl IntoIterator<Item = String>) -> String {
    let mut tree = command_tree();
    let mut command = tree.get_name().to_owned();
    for word in typed {
        if let Some(inner) = tree.find_subcommand(&word).cloned() {
            command = format!("{command} {}", inner.get_name());
            tree = inner;
        }
    }
    command
}

/// The whole command tree, for completions and man pages.
fn command_tree() -> clap::Command {
    Arguments::command()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_command_tree_is_sound() {
        super::command_tree().debug_assert();
    }
}
