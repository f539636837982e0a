//! Whole jobs on a real grid: sealed, signed or by quorum, with every fault; what comes out is verified offline.

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::*;
use sealgrid_node::api;
use sealgrid_node::client::{ClientError, Outcome, Progress};
use sealgrid_node::config::LimitsConfig;
use sealgrid_node::fault::{Fault, lied_about};
use sealgrid_protocol::claims::FaultKind;
use sealgrid_protocol::names::Verification;
use sealgrid_seal::identity::PublicIdentity;
use sealgrid_verify::{TrustRoots, verify};

const QUORUM: Verification = Verification::Quorum { members: 3 };

/// Asserts the result, and that a stranger accepts the receipt offline.
fn check(grid: &Grid, outcome: &Outcome, records_count: usize) {
    assert_eq!(outcome.outputs, expected(&grid.model, &records(records_count)));
    let loaded = sealgrid_node::directory::Loaded::from_file(&grid.files.directory, &grid.files.authority);
    let roots = TrustRoots::danger_from_directory(&loaded.expect("verifies").directory, 2).expect("roots");
    let verdict = verify(&outcome.file.encode(), &roots, sealgrid_node::jobs::now() + 1, None, None);
    assert!(verdict.is_accepted(), "{}", verdict.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signed_job_yields_its_result_and_a_receipt_that_a_stranger_accepts() {
    let grid = Grid::start(4, &[]);
    let client = grid.client(1).await;
    let outcome = client.run(grid.job(Verification::Signed, 3), &mut quiet()).await.expect("accepted");
    check(&grid, &outcome, 3);
    assert!(outcome.claims.faults.is_empty());
    let described = client.describe().await;
    assert_eq!(described.len(), 4);
    assert!(described.values().all(|description| description.fault.is_none()));
    let group = client.endpoint().key_exchange_with(&outcome.claims.issuer).await;
    assert_eq!(group.as_deref(), Some("X25519MLKEM768"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_honest_quorum_agrees() {
    let grid = Grid::start(5, &[]);
    let client = grid.client(1).await;
    let mut steps = Vec::new();
    let outcome = client.run(grid.job(QUORUM, 5), &mut |step| steps.push(step)).await.expect("accepted");
    check(&grid, &outcome, 5);
    assert_eq!(outcome.claims.committee.len(), 3);
    assert!(outcome.claims.faults.is_empty());
    let revealed = steps.iter().filter(|step| matches!(step, Progress::Revealed(_))).count();
    assert_eq!(revealed, 3);
    assert!(matches!(steps.last(), Some(Progress::Logged { witnesses: 2, .. })));
}

/// Runs jobs until the faulty node sat in a committee.
async fn with_faulty_member(grid: &Grid, faulty: PublicIdentity, referee: bool) -> Outcome {
    let client = grid.client(1).await;
    for _ in 0..30 {
        let mut sat = false;
        let mut job = grid.job(QUORUM, 2);
        job.graph = referee.then(|| grid.model.graph().clone());
        let outcome = client
            .run(job, &mut |step| {
                if let Progress::Drawn { committee, .. } = step {
                    sat = committee.contains(&faulty);
                }
            })
            .await
            .expect("accepted");
        check(grid, &outcome, 2);
        if sat {
            return outcome;
        }
    }
    panic!("30 draws of 3 among 5 miss a node with probability 10^-12");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_liar_is_named_with_the_operation_by_a_reserve() {
    let grid = Grid::start(5, &[(2, Fault::Lie)]);
    let liar = grid.nodes[1].identity;
    let outcome = with_faulty_member(&grid, liar, false).await;
    let operation = u32::try_from(lied_about(grid.model.graph())).expect("small");
    let named: Vec<_> = outcome.claims.faults.iter().map(|fault| (fault.node, fault.kind)).collect();
    assert_eq!(named, [(liar, FaultKind::Lie { operation })]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_liar_is_named_by_the_client_that_holds_the_model() {
    let grid = Grid::start(5, &[(5, Fault::Lie)]);
    let liar = grid.nodes[4].identity;
    let outcome = with_faulty_member(&grid, liar, true).await;
    let operation = u32::try_from(lied_about(grid.model.graph())).expect("small");
    let named: Vec<_> = outcome.claims.faults.iter().map(|fault| (fault.node, fault.kind)).collect();
    assert_eq!(named, [(liar, FaultKind::Lie { operation })]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_member_is_replaced_and_named_late() {
    let grid = Grid::start(5, &[(3, Fault::Slow)]);
    let slow = grid.nodes[2].identity;
    let outcome = with_faulty_member(&grid, slow, false).await;
    let named: Vec<_> = outcome.claims.faults.iter().map(|fault| (fault.node, fault.kind)).collect();
    assert_eq!(named, [(slow, FaultKind::Late)]);
    assert_eq!(outcome.claims.reserves_used.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crashed_member_is_replaced_at_once_and_named_unreachable() {
    let grid = Grid::start(5, &[(4, Fault::Crash)]);
    let crashing = grid.nodes[3].identity;
    let outcome = with_faulty_member(&grid, crashing, false).await;
    let named: Vec<_> = outcome.claims.faults.iter().map(|fault| (fault.node, fault.kind)).collect();
    assert_eq!(named, [(crashing, FaultKind::Unreachable)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_most_members_lie_the_job_is_refused() {
    let grid = Grid::start(3, &[(1, Fault::Lie), (2, Fault::Lie)]);
    let client = grid.client(1).await;
    let mut job = grid.job(QUORUM, 2);
    job.graph = Some(grid.model.graph().clone());
    let error = client.run(job, &mut quiet()).await.expect_err("two of three lie");
    let ClientError::Refused(refused) = &error else { panic!("{error}") };
    assert_eq!(error.code(), "E-QRM-20");
    let mut liars: Vec<_> = refused.faults.iter().map(|fault| fault.node).collect();
    liars.sort_unstable();
    let mut expected = vec![grid.nodes[0].identity, grid.nodes[1].identity];
    expected.sort_unstable();
    assert_eq!(liars, expected);
    assert!(refused.faults.iter().all(|fault| matches!(fault.kind, FaultKind::Lie { .. })));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fault_is_announced_to_everybody_who_asks() {
    let grid = Grid::start(2, &[(2, Fault::Slow)]);
    let client = grid.client(1).await;
    let described = client.describe().await;
    let said = described[&grid.nodes[1].identity].fault.as_ref().expect("announced").as_str();
    assert_eq!(said, "FAULT: slow");
    assert!(grid.nodes[1].node().metrics().contains("sealgrid_fault{kind=\"slow\"} 1"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_draining_node_finishes_what_it_has_and_refuses_the_rest() {
    let patient: Arc<dyn sealgrid_graph::execute::Executor> = Arc::new(Patient(Duration::from_millis(700)));
    let grid = Grid::start_with(2, &[], &patient);
    let mut job = grid.job(Verification::Signed, 1);
    job.policy.witnesses_min = 1;
    let client = Arc::new(grid.client(1).await);
    let (say, heard) = tokio::sync::oneshot::channel();
    let mut say = Some(say);
    let running = {
        let client = client.clone();
        tokio::spawn(async move {
            let mut note = |step| {
                if let Progress::Assigned(node) = step
                    && let Some(say) = say.take()
                {
                    let _ = say.send(node);
                }
            };
            client.run(job, &mut note).await
        })
    };
    let assigned = heard.await.expect("assigned");
    tokio::time::sleep(Duration::from_millis(250)).await;
    let node = grid.nodes.iter().find(|node| node.identity == assigned).expect("one of the grid");
    let draining = node.node();
    let drained = tokio::task::spawn_blocking({
        let handle = tokio::runtime::Handle::current();
        move || handle.block_on(draining.drain())
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    let (assign, _) = raw_assign(&client, &grid, 1).await;
    let refused = client.call(&assigned, &api::ASSIGN, assign, "a job").await.expect_err("draining");
    assert!(refused.to_string().contains(&assigned.short()));
    let ClientError::Call { source: sealgrid_net::CallError::Refused(refusal), .. } = &refused else {
        panic!("{refused:?}")
    };
    assert_eq!(refusal.code, "E-AVL-20");
    assert!(drained.await.expect("no panic"), "everything accepted was finished");
    running.await.expect("no panic").expect("the accepted job is answered");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replayed_job_is_refused_by_the_node_that_had_it_even_after_a_restart() {
    use sealgrid_protocol::job::message::{Message, Why};
    let mut grid = Grid::start(3, &[]);
    let client = grid.client(7).await;
    let (assign, node) = raw_assign(&client, &grid, 7).await;
    let ask = async |body: Vec<u8>, method: &sealgrid_net::Method| {
        let answer = client.call(&node, method, body, "an answer").await.expect("answered");
        (!answer.is_empty()).then(|| Message::decode(&answer).expect("a message"))
    };
    let first = ask(assign.clone(), &api::ASSIGN).await.expect("a message");
    let Message::Answer(answer) = &first else { panic!("{first:?}") };
    let again = ask(assign.clone(), &api::ASSIGN).await;
    assert_eq!(again.as_ref(), Some(&first), "asked again by its own client it gives the same answer");

    // Somebody else who recorded it gets nothing.
    let mallory = grid.client(66).await;
    let stolen = mallory.call(&node, &api::ASSIGN, assign.clone(), "an answer").await.expect("answered");
    let why = |message: &Message| match message {
        Message::Refuse(refusal) => refusal.why,
        other => panic!("{other:?}"),
    };
    assert_eq!(why(&Message::decode(&stolen).expect("a message")), Why::OtherClient);

    let over = sealgrid_seal::canonical::encode(&vec![answer.job]);
    ask(over, &api::CLOSE).await;
    assert_eq!(why(&ask(assign.clone(), &api::ASSIGN).await.expect("a message")), Why::Replayed);
    assert_eq!(Why::Replayed.code(), "E-QRM-05");

    // What was written survives the process.
    tokio::time::sleep(Duration::from_millis(200)).await;
    let place = grid.nodes.iter().position(|running| running.identity == node).expect("one of the grid");
    let config = load(&grid.files.configs[place]);
    restart(&mut grid, place, config).await;
    assert_eq!(why(&retry(&client, &node, &assign).await), Why::Replayed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signed_result_is_the_same_after_a_crash() {
    use sealgrid_protocol::job::message::Message;
    let mut grid = Grid::start(3, &[]);
    let client = grid.client(9).await;
    let (assign, node) = raw_assign(&client, &grid, 9).await;
    let answer = client.call(&node, &api::ASSIGN, assign.clone(), "an answer").await.expect("answered");
    let first = Message::decode(&answer).expect("a message");
    assert!(matches!(first, Message::Answer(_)), "{first:?}");
    let place = grid.nodes.iter().position(|running| running.identity == node).expect("one of the grid");
    let config = load(&grid.files.configs[place]);
    restart(&mut grid, place, config).await;
    assert_eq!(retry(&client, &node, &assign).await, first, "receipt, output and time are those of before");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_costs_too_much_is_refused_with_its_code() {
    use sealgrid_protocol::job::message::{Message, Why};
    let limits = LimitsConfig { job_mega_operations_max: 1, ..LimitsConfig::default() };
    let grid = Grid::start_within(2, &limits);
    let client = grid.client(1).await;
    let ask = async |records| {
        let (mut assigns, parties) = raw(&client, &grid, 1, Verification::Signed, records).await;
        let answer = client.call(&parties[0], &api::ASSIGN, assigns.remove(0), "an answer").await;
        Message::decode(&answer.expect("answered")).expect("a message")
    };
    let most = 1_000_000 / (30 * 16 + 16 * 2 + 16 + 2);
    let Message::Refuse(refusal) = ask(most + 1).await else { panic!("not refused") };
    assert_eq!((refusal.why, refusal.why.code()), (Why::TooCostly, "E-RES-61"));
    assert!(matches!(ask(1000).await, Message::Answer(_)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_vote_is_the_same_after_a_crash_and_can_still_be_shown() {
    use sealgrid_protocol::job::message::{Message, Open};
    let mut grid = Grid::start(4, &[]);
    let client = grid.client(8).await;
    let (assigns, parties) = raw_quorum(&client, &grid, 8).await;
    let mut commits = Vec::new();
    for (assign, node) in assigns.iter().zip(&parties) {
        let answer = client.call(node, &api::ASSIGN, assign.clone(), "a vote").await.expect("answered");
        let Message::Commit(commit) = Message::decode(&answer).expect("a message") else { panic!("no vote") };
        commits.push(commit);
    }
    let place =
        grid.nodes.iter().position(|running| running.identity == parties[0]).expect("one of the grid");
    let config = load(&grid.files.configs[place]);
    restart(&mut grid, place, config).await;
    let again = retry(&client, &parties[0], &assigns[0]).await;
    assert_eq!(again, Message::Commit(commits[0].clone()), "the node does not vote twice");
    let job = again.job();
    let open = Message::Open(Open { job, commits }).encode();
    let answer = client.call(&parties[0], &api::OPEN, open, "a vote shown").await.expect("answered");
    assert!(matches!(Message::decode(&answer), Ok(Message::Reveal(_))));
}

async fn retry(
    client: &sealgrid_node::client::GridClient,
    node: &PublicIdentity,
    assign: &[u8],
) -> sealgrid_protocol::job::message::Message {
    for _ in 0..100 {
        if let Ok(answer) = client.call(node, &api::ASSIGN, assign.to_vec(), "an answer").await {
            return sealgrid_protocol::job::message::Message::decode(&answer).expect("a message");
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the node does not come back");
}
