//! `sealgrid node`: one production node, until it is told to stop.

use std::io::{Read as _, Write as _};
use std::path::PathBuf;

use sealgrid_node::config::NodeConfig;
use sealgrid_node::node::{Node, NodeOptions};

use crate::failure::Failure;
use crate::output::{Output, Report};
use crate::{engines, passphrase};

/// Run one node until SIGTERM, then finish accepted jobs and stop.
#[derive(Debug, clap::Args)]
pub struct NodeCommand {
    /// The node's configuration.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// File whose first line opens the node's keys; otherwise $SEALGRID_PASSPHRASE, otherwise you are asked.
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
    /// Also stop when standard input closes: for whoever starts this process.
    #[arg(long, hide = true)]
    with_parent: bool,
}

impl NodeCommand {
    /// Runs the node; the report comes when it has stopped.
    pub fn run(self, output: Output) -> Result<Report, Failure> {
        tracing_subscriber::fmt()
            .with_writer(std::io::stderr)
            .with_env_filter(
                tracing_subscriber::EnvFilter::try_from_env("SEALGRID_LOG")
                    .unwrap_or_else(|_| "warn,sealgrid_node=info".into()),
            )
            .init();
        let config = NodeConfig::load(&self.config).map_err(|error| {
            Failure::new(error.code(), format!("{} is not a node's configuration", self.config.display()))
                .because(&error)
                .hint("sealgrid up --dir DIR writes examples")
        })?;
        let mut options = NodeOptions::new(passphrase::obtain(self.passphrase_file.as_deref(), false)?);
        options.executor = engines::executor();
        options.proofs = Some(engines::proofs());
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .map_err(|error| Failure::new("E-AVL-02", "the node cannot start its threads").why(error))?;
        runtime.block_on(async {
            let node = Node::start(config, options)
                .await
                .map_err(|error| Failure::new(error.code(), "the node cannot start").because(&error))?;
            let ready = |node: &Node| {
                announce(node, output);
                if self.with_parent {
                    stop_with_parent();
                }
            };
            node.run(ready)
                .await
                .map_err(|error| Failure::new("E-AVL-02", "the node cannot wait for signals").why(error))
        })?;
        Ok(Report::new("stopped", serde_json::json!({ "stopped": true })))
    }
}

/// The one line on stdout that says the node takes jobs.
fn announce(node: &Node, output: Output) {
    let addresses: Vec<String> = node.addresses().iter().map(ToString::to_string).collect();
    let mut stdout = std::io::stdout().lock();
    let _closed_pipe =
        writeln!(stdout, "ready {} {}", node.identity(), addresses.join(" ")).and_then(|()| stdout.flush());
    if let Some(address) = node.metrics_address() {
        output.say(format!("metrics at http://{address}/metrics"));
    }
}

/// Turns the end of standard input into the signal that a person would send.
fn stop_with_parent() {
    std::thread::spawn(|| {
        let mut discarded = [0u8; 64];
        while std::io::stdin().read(&mut discarded).is_ok_and(|count| count > 0) {}
        // raising a signal in the own process cannot fail
        let _raised = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::TERM);
    });
}
