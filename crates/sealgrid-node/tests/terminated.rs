//! A real node process that is told to stop while it works.

mod common;

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use common::*;
use sealgrid_graph::execute::{Batch, ExecuteError, Executor, Observer, Prepared};
use sealgrid_graph::fast::FastExecutor;
use sealgrid_graph::integer::Graph;
use sealgrid_net::CallError;
use sealgrid_node::api::{self, Description};
use sealgrid_node::client::{ClientError, GridClient};
use sealgrid_node::config::LimitsConfig;
use sealgrid_node::node::{Node, NodeOptions};
use sealgrid_protocol::job::message::Message;
use sealgrid_seal::canonical;
use sealgrid_seal::keyfile::Cost;

const CONFIG: &str = "SEALGRID_TEST_CONFIG";
const RELEASE: &str = "SEALGRID_TEST_RELEASE";

/// An executor that says when it runs, and goes on when a file appears.
struct Held(PathBuf);

impl Executor for Held {
    fn name(&self) -> &'static str {
        "held"
    }

    fn prepare(&self, graph: Arc<Graph>) -> Result<Box<dyn Prepared>, ExecuteError> {
        Ok(Box::new(HeldRun(self.0.clone(), FastExecutor::default().prepare(graph)?)))
    }
}

struct HeldRun(PathBuf, Box<dyn Prepared>);

impl Prepared for HeldRun {
    fn graph(&self) -> &Arc<Graph> {
        self.1.graph()
    }

    fn run(&self, inputs: &[Batch], observer: &mut dyn Observer) -> Result<Vec<Batch>, ExecuteError> {
        say("running");
        while !self.0.exists() {
            std::thread::sleep(Duration::from_millis(5));
        }
        self.1.run(inputs, observer)
    }
}

fn say(word: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "child: {word}").and_then(|()| out.flush()).expect("the parent reads");
}

/// Not a test by itself: the process that the next test tells to stop. Ends well when the node does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "run as a child process by the test below"]
async fn child_runs_a_node_until_terminated() {
    let given = |name| PathBuf::from(std::env::var_os(name).expect("given by the parent"));
    let config = load(&given(CONFIG));
    let executor = Arc::new(Held(given(RELEASE)));
    let options = NodeOptions { cost: Cost::LEAST, executor, ..NodeOptions::new(passphrase()) };
    let node = Box::pin(Node::start(config, options)).await.expect("starts");
    node.run(|_| say("ready")).await.expect("hears signals");
}

async fn is_draining(client: &GridClient, node: &sealgrid_seal::identity::PublicIdentity) -> bool {
    let body = client.call(node, &api::DESCRIBE, Vec::new(), "itself").await.expect("it still answers");
    let limit = usize::try_from(api::DESCRIBE.response_bytes_max).expect("u32 fits usize");
    canonical::decode::<Description>(&body, limit).expect("a description").draining
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_terminated_process_finishes_its_job_refuses_new_ones_and_ends_well() {
    // The first node writes the log, in this process; the second one becomes a process of its own.
    let limits = LimitsConfig { drain_seconds_max: 600, ..LimitsConfig::default() };
    let mut grid = Grid::start_within(2, &limits);
    let client = grid.client(1).await;
    let place = 1;
    let node = grid.nodes[place].identity;
    // Drawn among two: ask for jobs until one is the process's.
    let assign = async || loop {
        let (assign, drawn) = raw_assign(&client, &grid, 1).await;
        if drawn == node {
            return assign;
        }
    };
    let (job, another) = (assign().await, assign().await);
    grid.nodes.remove(place).crash();
    wait_until_free(&load(&grid.files.configs[place]).data);

    let release = grid.folder.path().join("release");
    let mut child = Command::new(std::env::current_exe().expect("known"))
        .args(["--exact", "child_runs_a_node_until_terminated", "--ignored", "--nocapture"])
        .env(CONFIG, &grid.files.configs[place])
        .env(RELEASE, &release)
        .stdout(Stdio::piped())
        .spawn()
        .expect("starts");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let mut heard = |word: &str| {
        let wanted = format!("child: {word}");
        assert!(lines.any(|line| line.is_ok_and(|line| line.contains(&wanted))), "{word}");
    };
    heard("ready");
    // The connection to the node that crashed is still being found out about.
    let client = Arc::new(grid.client(1).await);
    let running = {
        let client = client.clone();
        tokio::spawn(async move { client.call(&node, &api::ASSIGN, job, "a job").await })
    };
    heard("running");

    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("it runs");
    while !is_draining(&client, &node).await {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let refused = client.call(&node, &api::ASSIGN, another, "another job").await.expect_err("it drains");
    let ClientError::Call { source: CallError::Refused(refusal), .. } = &refused else {
        panic!("{refused:?}")
    };
    assert_eq!(refusal.code, "E-AVL-20");
    assert!(child.try_wait().expect("a child").is_none(), "it waits for the job that it accepted");

    std::fs::write(&release, b"").expect("writable");
    let answer = running.await.expect("no panic").expect("answered before it ends");
    assert!(matches!(Message::decode(&answer), Ok(Message::Answer(_))));
    let status = tokio::task::spawn_blocking(move || child.wait()).await.expect("no panic").expect("a child");
    assert_eq!(status.code(), Some(0));
}
