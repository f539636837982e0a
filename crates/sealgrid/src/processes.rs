//! The node processes of a local grid: started, awaited, stopped, and never left behind.
//!
//! Each node is `sealgrid node --config FILE --with-parent`: it prints one line `ready …` on stdout when it takes
//! jobs, and drains when its standard input closes, which also happens when this process dies in any way.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader};
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use sealgrid_seal::secret::SecretBytes;

use crate::failure::{Failure, unreadable, unwritable};
use crate::passphrase;

/// How long a node may take from start to `ready`.
const READY_WITHIN: Duration = Duration::from_secs(15);
/// How long a node may take to drain before it is killed.
const DRAIN_WITHIN: Duration = Duration::from_secs(5);

/// How to start one node.
#[derive(Debug, Clone)]
pub struct NodeProcess {
    /// Its name in tables.
    pub name: String,
    /// Its configuration.
    pub config: PathBuf,
    /// Where its log lines go.
    pub log: PathBuf,
}

/// A running node.
struct Running {
    node: NodeProcess,
    child: Child,
    stdin: Option<ChildStdin>,
}

/// Running nodes. Dropping them kills what still runs.
pub struct Processes {
    running: Vec<Running>,
    passphrase: SecretBytes,
}

impl Processes {
    /// Starts the nodes and waits until each takes jobs. Their key rings open with `passphrase`.
    pub fn start(nodes: Vec<NodeProcess>, passphrase: &SecretBytes) -> Result<Self, Failure> {
        let (ready, readiness) = mpsc::sync_channel(nodes.len());
        let mut processes = Self {
            running: Vec::with_capacity(nodes.len()),
            passphrase: SecretBytes::new(passphrase.expose().to_vec()),
        };
        for node in nodes {
            processes.running.push(spawn(node, passphrase, &ready)?);
        }
        drop(ready);
        let until = Instant::now() + READY_WITHIN;
        let mut waiting = processes.running.len();
        while waiting > 0 {
            match readiness.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(true) => waiting -= 1,
                Ok(false) | Err(_) => return Err(processes.not_ready()),
            }
        }
        Ok(processes)
    }

    /// The process id of a node, for people who want to send it a signal.
    pub fn pid(&self, index: usize) -> u32 {
        self.running[index].child.id()
    }

    /// Ends a node with SIGKILL: nothing of it runs any more when this returns.
    pub fn kill(&mut self, index: usize) {
        let child = &mut self.running[index].child;
        // a node that has ended already cannot be killed, and need not be
        let _ended_already = child.kill();
        let _reaped = child.wait();
    }

    /// Nodes that have ended, with their exit status.
    pub fn ended(&mut self) -> Vec<(String, ExitStatus)> {
        let ended = |running: &mut Running| {
            let status = running.child.try_wait().ok().flatten()?;
            Some((running.node.name.clone(), status))
        };
        self.running.iter_mut().filter_map(ended).collect()
    }

    /// Starts again every node that has ended; returns their names.
    pub fn revive(&mut self) -> Result<Vec<String>, Failure> {
        let mut revived = Vec::new();
        for running in &mut self.running {
            if running.child.try_wait().ok().flatten().is_some() {
                let (ready, readiness) = mpsc::sync_channel(1);
                *running = spawn(running.node.clone(), &self.passphrase, &ready)?;
                if readiness.recv_timeout(READY_WITHIN) == Ok(true) {
                    revived.push(running.node.name.clone());
                }
            }
        }
        Ok(revived)
    }

    /// Asks every node to drain and waits; kills those that do not. Returns how many ended by themselves.
    pub fn stop(mut self) -> usize {
        for running in &mut self.running {
            running.stdin = None;
        }
        let until = Instant::now() + DRAIN_WITHIN;
        let mut drained = 0;
        for running in &mut self.running {
            loop {
                if matches!(running.child.try_wait(), Ok(Some(_)) | Err(_)) {
                    drained += 1;
                    break;
                }
                if Instant::now() >= until {
                    break;
                }
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        drained
    }

    fn not_ready(&mut self) -> Failure {
        let ended: Vec<String> =
            self.ended().into_iter().map(|(name, status)| format!("{name} ended with {status}")).collect();
        let why = if ended.is_empty() { "no answer within 15 s".to_owned() } else { ended.join(", ") };
        let log =
            self.running.first().map_or_else(String::new, |running| running.node.log.display().to_string());
        Failure::new("E-AVL-01", "the nodes of the local grid did not start")
            .why(why)
            .hint(format!("tail {log}"))
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        for running in &mut self.running {
            // a node that has ended already cannot be killed, and need not be
            let _ended_already = running.child.kill();
            let _reaped = running.child.wait();
        }
    }
}

fn spawn(
    node: NodeProcess,
    passphrase: &SecretBytes,
    ready: &mpsc::SyncSender<bool>,
) -> Result<Running, Failure> {
    let program =
        std::env::current_exe().map_err(|error| unreadable(&PathBuf::from("this program"), &error))?;
    let log = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(&node.log)
        .map_err(|error| unwritable(&node.log, &error))?;
    let mut child = Command::new(&program)
        .args(["node", "--with-parent", "--config"])
        .arg(&node.config)
        .env(passphrase::VARIABLE, OsStr::from_bytes(passphrase.expose()))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()
        .map_err(|error| Failure::new("E-AVL-01", format!("cannot start {}", node.name)).why(error))?;
    let stdin = child.stdin.take();
    let stdout = child.stdout.take().expect("stdout was asked to be piped");
    let ready = ready.clone();
    std::thread::spawn(move || {
        let mut lines = BufReader::new(stdout).lines();
        let announced = lines.next().is_some_and(|line| line.is_ok_and(|line| line.starts_with("ready")));
        // nobody waits any more when another node failed first
        let _nobody_waits = ready.send(announced);
        lines.for_each(drop);
    });
    Ok(Running { node, child, stdin })
}
