//! Proven jobs on a real grid, with real proofs: what comes out is verified offline by whoever holds commitments alone.

mod common;

use std::path::PathBuf;
use std::sync::Arc;

use common::*;
use rand::rngs::StdRng;
use sealgrid_graph::proving::ProofSystem;
use sealgrid_node::api;
use sealgrid_node::client::{ClientError, GridClient, Job, Outcome, Progress};
use sealgrid_node::fault::Fault;
use sealgrid_node::grid::GridPlan;
use sealgrid_proof::file::RegisteredParameters;
use sealgrid_proof::level::Level;
use sealgrid_proof::system::System;
use sealgrid_protocol::claims::{EvidenceKind, FaultKind};
use sealgrid_protocol::job::client::Reason;
use sealgrid_protocol::job::message::Why;
use sealgrid_protocol::names::Verification;
use sealgrid_seal::canonical;
use sealgrid_verify::{TrustRoots, Verdict, verify};

fn system() -> Arc<dyn ProofSystem> {
    Arc::new(System::<StdRng>(rand::make_rng))
}

/// A grid whose nodes prove runs of the small model, and may make so many proofs each.
fn grid(nodes: usize, openings: u32, faults: &[(usize, Fault)]) -> Grid {
    let folder = tempfile::tempdir().expect("a folder");
    let (model, _) =
        RegisteredParameters::register(small_model(), 64, Level::default()).expect("registrable");
    let path: PathBuf = folder.path().join("small.sgm");
    std::fs::write(&path, model.to_bytes()).expect("written");
    let plan = GridPlan {
        nodes,
        faults: faults.to_vec(),
        openings: [(path.clone(), openings)].into(),
        ..GridPlan::default()
    };
    Grid::start_proving(folder, model, path, plan, &system())
}

async fn client(grid: &Grid, byte: u8) -> GridClient {
    grid.client(byte).await.with_proofs(system())
}

fn job(grid: &Grid, count: usize) -> Job {
    grid.job(Verification::Proof, count)
}

fn roots(grid: &Grid) -> TrustRoots {
    let loaded = sealgrid_node::directory::Loaded::from_file(&grid.files.directory, &grid.files.authority);
    TrustRoots::danger_from_directory(&loaded.expect("verifies").directory, 2).expect("roots")
}

/// What a stranger finds offline.
fn judged(grid: &Grid, outcome: &Outcome) -> Verdict {
    let at = sealgrid_node::jobs::now() + 1;
    verify(&outcome.file.encode(), &roots(grid), at, None, Some(&*system()))
}

/// Asserts the result, and that a stranger accepts the receipt offline.
fn check(grid: &Grid, outcome: &Outcome, count: usize) {
    assert_eq!(outcome.outputs, expected(&grid.model, &records(count)));
    let verdict = judged(grid, outcome);
    assert!(verdict.is_accepted(), "{}", verdict.text());
    let at = sealgrid_node::jobs::now() + 1;
    let unverified = verify(&outcome.file.encode(), &roots(grid), at, None, None);
    assert!(!unverified.is_accepted(), "nobody takes it unverified");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proven_job_yields_its_result_and_a_receipt_that_rests_on_nobodys_word() {
    let grid = grid(4, 3, &[]);
    let client = client(&grid, 1).await;
    let mut steps = Vec::new();
    let outcome = client.run(job(&grid, 3), &mut |step| steps.push(step)).await.expect("accepted");
    check(&grid, &outcome, 3);
    assert_eq!(outcome.claims.committee.len(), 1);
    assert!(outcome.claims.evidence(EvidenceKind::Proof).is_some() && outcome.claims.faults.is_empty());
    assert!(steps.contains(&Progress::Checking), "{steps:?}");
    // What the receipt had to be durable for is told to the operator of the node that made it, and of no other.
    let kept = grid.nodes.iter().filter(|node| {
        let metrics = node.node().metrics();
        !metrics.contains("sealgrid_kept_seconds_count 0") && metrics.contains("sealgrid_kept_seconds_count")
    });
    assert_eq!(kept.count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_claims_another_result_than_it_proved_is_named_with_evidence_and_replaced() {
    let grid = grid(3, 12, &[(2, Fault::Lie)]);
    let liar = grid.files.nodes[1];
    let client = client(&grid, 1).await;
    for _ in 0..30 {
        let outcome = client.run(job(&grid, 2), &mut quiet()).await.expect("accepted");
        check(&grid, &outcome, 2);
        if let [fault] = outcome.claims.faults[..] {
            assert_eq!((fault.node, fault.kind), (liar, FaultKind::BadProof));
            assert!(outcome.shows(&fault));
            let verdict = judged(&grid, &outcome);
            let found = |id| verdict.findings().find(|finding| finding.id == id);
            let shown = found("RCP-59").expect("the evidence is in the file");
            assert!(shown.text.contains(&liar.short()), "{}", shown.text);
            assert!(found("RCP-81").is_none(), "nothing is left to the client's word");
            return;
        }
        assert_eq!(outcome.claims.faults.len(), 0);
    }
    panic!("30 draws of 1 among 3 miss a node with probability 5 in a million");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_makes_as_many_proofs_as_it_was_given_and_says_so_after_that_even_across_its_death() {
    let mut grid = grid(3, 2, &[]);
    let client = client(&grid, 1).await;
    let mut accepted = 0;
    let refused = loop {
        let mut declined = Vec::new();
        let ended = client
            .run(job(&grid, 1), &mut |step| {
                if let Progress::Declined(_, why) = step {
                    declined.push(why);
                }
            })
            .await;
        match ended {
            Ok(outcome) => check(&grid, &outcome, 1),
            Err(ClientError::Refused(refused)) => {
                assert_eq!(declined, [Why::NoOpening; 3]);
                break refused;
            }
            Err(error) => panic!("{error}"),
        }
        accepted += 1;
        if accepted == 1 {
            let config = load(&grid.files.configs[0]);
            restart_proving(&mut grid, 0, config, system()).await;
        }
    };
    // Six openings, of which one published the registration.
    assert_eq!((accepted, refused.reason), (5, Reason::TooFewNodes));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_model_that_is_not_registered_is_not_proven_and_the_client_says_so() {
    let plain = Grid::start(3, &[]);
    let client = client(&plain, 1).await;
    let error = client.run(job(&plain, 1), &mut quiet()).await.expect_err("not registered");
    assert_eq!(error.code(), "E-AVL-31");
    let body = canonical::encode(&plain.commitment());
    let node = plain.files.nodes[0];
    let error = client.call(&node, &api::REGISTRATION, body, "a registration").await.expect_err("none");
    assert_eq!(error.code(), "E-AVL-64");
}
