//! Jobs that a real grid does not finish, each with its code.

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::*;
use sealgrid_graph::execute::{Batch, ExecuteError, Executor, Observer, Prepared};
use sealgrid_graph::fast::FastExecutor;
use sealgrid_graph::integer::Graph;
use sealgrid_node::api;
use sealgrid_node::client::{ClientError, GridClient, Keep};
use sealgrid_node::fault::Fault;
use sealgrid_protocol::job::message::Message;
use sealgrid_protocol::names::Verification;
use sealgrid_seal::identity::PublicIdentity;
use sealgrid_seal::secret::SecretBytes;

/// Accepts every model and runs none.
struct Broken;

struct BrokenRun(Arc<Graph>);

impl Executor for Broken {
    fn name(&self) -> &'static str {
        "broken"
    }

    fn prepare(&self, graph: Arc<Graph>) -> Result<Box<dyn Prepared>, ExecuteError> {
        Ok(Box::new(BrokenRun(graph)))
    }
}

impl Prepared for BrokenRun {
    fn graph(&self) -> &Arc<Graph> {
        &self.0
    }

    fn run(&self, _: &[Batch], observer: &mut dyn Observer) -> Result<Vec<Batch>, ExecuteError> {
        // The wrong number of inputs: a real executor's own refusal.
        FastExecutor::default().prepare(self.0.clone())?.run(&[], observer)
    }
}

/// A disk that is full.
struct FullDisk;

impl Keep for FullDisk {
    fn put(&self, _: &[u8], _: &SecretBytes) -> std::io::Result<()> {
        use std::io::Write as _;
        std::fs::File::options().write(true).open("/dev/full")?.write_all(b"a record")
    }
}

async fn asked(client: &GridClient, node: &PublicIdentity, assign: Vec<u8>) -> Message {
    let answer = client.call(node, &api::ASSIGN, assign, "an answer").await.expect("answered");
    Message::decode(&answer).expect("a message")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_cannot_run_a_model_says_so() {
    let grid = Grid::start_with(2, &[], &(Arc::new(Broken) as Arc<dyn Executor>));
    let client = grid.client(1).await;
    let (assign, node) = raw_assign(&client, &grid, 1).await;
    let Message::Refuse(refusal) = asked(&client, &node, assign).await else { panic!("it ran") };
    assert_eq!(refusal.why.code(), "E-AVL-61");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_whose_places_are_taken_says_so() {
    let patient = Arc::new(Patient(Duration::from_secs(3))) as Arc<dyn Executor>;
    let mut grid = Grid::start_with(2, &[], &patient);
    for place in 0..2 {
        let mut config = load(&grid.files.configs[place]);
        config.limits.jobs_per_client_max = 1;
        let data = config.data.clone();
        let ended = grid.nodes.remove(place);
        let patient = patient.clone();
        let started = tokio::task::spawn_blocking(move || {
            ended.crash();
            wait_until_free(&data);
            RunningNode::start(config, patient)
        });
        grid.nodes.insert(place, started.await.expect("no panic"));
    }
    let client = Arc::new(grid.client(1).await);
    let (first, node) = raw_assign(&client, &grid, 1).await;
    let running = {
        let client = client.clone();
        tokio::spawn(async move { asked(&client, &node, first).await })
    };
    // Another job that the draw gives to the same node, while the first one runs.
    let second = loop {
        let (assign, drawn) = raw_assign(&client, &grid, 1).await;
        if drawn == node {
            break assign;
        }
    };
    tokio::time::sleep(Duration::from_millis(300)).await;
    let answer = asked(&client, &node, second).await;
    let Message::Refuse(refusal) = answer else { panic!("{answer:?}") };
    assert_eq!(refusal.why.code(), "E-RES-60");
    assert!(matches!(running.await.expect("no panic"), Message::Answer(_)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_nobody_answers_ends_at_its_deadline() {
    let slow: Vec<(usize, Fault)> = (1..=5).map(|node| (node, Fault::Slow)).collect();
    let grid = Grid::start(5, &slow);
    let client = grid.client(1).await;
    let mut job = grid.job(Verification::Signed, 1);
    job.policy.limits.deadline_ms = 2_000;
    let error = client.run(job, &mut quiet()).await.expect_err("nobody answers");
    assert!(matches!(error, ClientError::Refused(_)), "{error:?}");
    assert_eq!(error.code(), "E-AVL-63");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_cannot_be_kept_is_sent_to_nobody() {
    let grid = Grid::start(2, &[]);
    let client = grid.client(1).await;
    let mut job = grid.job(Verification::Signed, 1);
    job.policy.witnesses_min = 1;
    let error = client.run_kept(job, Some(&FullDisk), &mut quiet()).await.expect_err("the disk is full");
    assert_eq!(error.code(), "E-STO-51");
    for node in &grid.nodes {
        assert!(!node.node().metrics().contains("outcome=\"taken\""), "nobody has heard of it");
    }
    let nothing = client.resume(Vec::new(), None, &FullDisk, &mut quiet()).await;
    assert_eq!(nothing.err().expect("nothing was kept").code(), "E-AVL-29");
}
