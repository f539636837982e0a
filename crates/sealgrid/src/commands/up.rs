//! `sealgrid up`: a grid on this machine, one process a node, until Ctrl-C.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use sealgrid_node::fault::Fault;

use super::model;
use crate::failure::Failure;
use crate::home::Home;
use crate::local_grid::{Layout, LocalGrid};
use crate::output::{Output, Report, table};
use crate::{engines, openings};

/// Start a grid on this machine, one process a node, and keep it running until Ctrl-C.
#[derive(Debug, clap::Args)]
pub struct Up {
    /// Nodes of a new grid.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=100))]
    nodes: u16,
    /// The grid's folder; laid out when it is not a grid yet [default: the home's].
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Let a node of a new grid misbehave: NODE=KIND, such as 3=lie (lie, slow, crash). May be repeated.
    #[arg(long, value_name = "NODE=KIND")]
    fault: Vec<NodeFault>,
    /// Model that every node of a new grid serves. May be repeated [default: the home's models].
    #[arg(long, value_name = "FILE")]
    model: Vec<PathBuf>,
    /// Stop after this many seconds.
    #[arg(long, value_name = "SECONDS")]
    seconds: Option<u64>,
}

/// A node by its number from 1 and how it misbehaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NodeFault {
    /// Which node.
    pub node: usize,
    /// How.
    pub kind: Fault,
}

impl FromStr for NodeFault {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (node, kind) = text.split_once('=').ok_or("expected NODE=KIND, such as 3=lie")?;
        let node = node.strip_prefix("node-").unwrap_or(node);
        let node = node.parse().ok().filter(|&node| node > 0).ok_or("nodes are numbered from 1")?;
        Ok(Self { node, kind: kind.parse().map_err(|_| "kinds are lie, slow and crash")? })
    }
}

impl Up {
    /// Runs the grid; the report comes when it has stopped.
    pub fn run(self, home: &Home, output: Output) -> Result<Report, Failure> {
        let grid = LocalGrid::at(self.dir.clone().unwrap_or_else(|| home.grid()));
        if grid.exists() {
            if !self.fault.is_empty() || !self.model.is_empty() {
                return Err(Failure::new("E-USE-03", format!("{} is a grid already", grid.path().display()))
                    .why("faults and models are set when a grid is laid out")
                    .hint("name a new folder with --dir DIR"));
            }
        } else {
            grid.lay_out(&self.layout(home)?)?;
        }
        let stop = stop_signal()?;
        let mut processes = grid.start()?;
        output.say(describe(&grid, &processes)?);
        let until = self.seconds.map(|seconds| std::time::Instant::now() + Duration::from_secs(seconds));
        let mut revived = Vec::new();
        while stop.recv_timeout(Duration::from_millis(200)).is_err() {
            if until.is_some_and(|until| std::time::Instant::now() >= until) {
                break;
            }
            for name in processes.revive()? {
                output.say(format!("{name} had ended and was started again"));
                revived.push(name);
            }
        }
        output.say("stopping: nodes finish what they accepted");
        let nodes = grid.nodes()?.len();
        let drained = processes.stop();
        Ok(Report::new(
            format!("stopped; {drained} of {nodes} nodes finished by themselves"),
            serde_json::json!({ "dir": grid.path(), "nodes": nodes, "drained": drained, "revived": revived }),
        ))
    }

    fn layout(&self, home: &Home) -> Result<Layout, Failure> {
        let models = if self.model.is_empty() { models_of(home) } else { self.model.clone() };
        let grid = self.dir.clone().unwrap_or_else(|| home.grid());
        let mut openings = HashMap::new();
        for path in &models {
            if let Some(share) = shared_out(path, self.nodes.into(), &grid, home)? {
                openings.insert(path.clone(), share);
            }
        }
        Ok(Layout {
            nodes: self.nodes.into(),
            models,
            openings,
            faults: self.fault.iter().map(|fault| (fault.node, fault.kind)).collect(),
        })
    }
}

/// Gives the openings of a registered model to the nodes; yields each node's share.
fn shared_out(path: &Path, nodes: u32, grid: &Path, home: &Home) -> Result<Option<u32>, Failure> {
    let model = model::load(path, home)?;
    let Some(registration) = model.registration() else { return Ok(None) };
    let root = engines::parameters(&model)?.root();
    openings::share_out(home, root, registration.openings, nodes, grid).map(Some)
}

fn models_of(home: &Home) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(home.models()).into_iter().flatten().flatten();
    let mut models: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "sgm"))
        .collect();
    models.sort();
    models
}

/// Receives one message at the first SIGINT or SIGTERM.
fn stop_signal() -> Result<std::sync::mpsc::Receiver<()>, Failure> {
    let (send, receive) = std::sync::mpsc::sync_channel(1);
    ctrlc::set_handler(move || {
        // a signal that waits already is enough, and without a receiver the program is ending anyway
        let _known = send.try_send(());
    })
    .map_err(|error| Failure::new("E-AVL-02", "signals cannot be handled").why(error))?;
    Ok(receive)
}

fn describe(grid: &LocalGrid, processes: &crate::processes::Processes) -> Result<String, Failure> {
    let mut out = table(["node", "process", "listens on", "roles", "fault"]);
    for (index, node) in grid.nodes()?.iter().enumerate() {
        let listen: Vec<String> = node.settings.network.listen.iter().map(ToString::to_string).collect();
        let roles: Vec<String> =
            node.settings.roles.iter().map(|role| format!("{role:?}").to_lowercase()).collect();
        let fault = node.settings.fault.map_or_else(String::new, |fault| format!("FAULT: {fault}"));
        out.add_row([
            node.name.clone(),
            processes.pid(index).to_string(),
            listen.join(" "),
            roles.join(", "),
            fault,
        ]);
    }
    let dir = grid.path().display();
    Ok(format!(
        "{out}\nnodes run as ordinary processes of one user: software, NOT HARDWARE\n\
         run a job:      sealgrid run MODEL --input DATA.csv --grid {dir}\n\
         verify it:      sealgrid verify RECEIPT --roots {dir}/roots\n\
         stop:           Ctrl-C"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_names_a_node_and_a_kind() {
        assert_eq!("3=lie".parse(), Ok(NodeFault { node: 3, kind: Fault::Lie }));
        assert_eq!("node-2=crash".parse(), Ok(NodeFault { node: 2, kind: Fault::Crash }));
        for wrong in ["lie", "0=lie", "x=lie", "1=sulk", "="] {
            assert!(wrong.parse::<NodeFault>().is_err(), "{wrong}");
        }
    }
}
