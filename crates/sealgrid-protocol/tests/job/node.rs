//! JOB-09 to JOB-13, QUORUM-02, -05, -18, -19: a node alone, and each reason for which it refuses.

use std::sync::Arc;

use sealgrid_protocol::claims::{Claims, EvidenceKind, SignedClaims};
use sealgrid_protocol::job::header::{JobHeader, Payload, RefereeRule};
use sealgrid_protocol::job::message::{AskBranches, AskOperands, Assign, Endorse, Message, Open, Refer, Why};
use sealgrid_protocol::job::node::{NodeBounds, NodeConfig, NodeReport};
use sealgrid_protocol::job::statement::{Commit, Signed};
use sealgrid_protocol::machine::Millis;
use sealgrid_protocol::names::{Environment, Protection};
use sealgrid_seal::digest::{Commitment, Digest, labels};
use sealgrid_seal::envelope;
use sealgrid_seal::secret::Secret;

use crate::grid::{
    CLIENT, Disk, Grid, LIFETIME_MS, Node, START, config, header, honest, identity, inputs, job_key, keys,
    liar, payload, public, rng,
};

const STRANGER: usize = 60;
const NOW: Millis = START + 10;

/// The job of `header`, sealed to the node at `place`.
fn assign_as(header: &JobHeader, place: usize, payload: &Payload) -> Assign {
    let (key, aad) = (keys(place).public(), header.to_bytes());
    let sealed = envelope::seal(&mut rng(9), key, labels::JOB_PAYLOAD, &aad, payload.encode().expose());
    Assign { header: header.clone(), payload: sealed.expect("a good key").0, draft: None }
}

fn assign(header: &JobHeader) -> Message {
    Message::Assign(Arc::new(assign_as(header, 0, &payload())))
}

fn numbered(number: u8) -> JobHeader {
    JobHeader { nonce: [number; 32], ..header(3, 5) }
}

/// Node 0 after it voted, and its commit.
fn voted() -> (Node, Signed<Commit>) {
    let mut node = Node::new(0, honest());
    let commit = match &node.hear(NOW, CLIENT, assign(&header(3, 5)))[..] {
        [Message::Commit(commit)] => commit.clone(),
        said => panic!("one commit expected, not {said:?}"),
    };
    (node, commit)
}

fn other_commit(place: usize) -> Signed<Commit> {
    let commit = Commit { job: header(3, 5).id(), node: public(place), digest: Digest([7; 32]) };
    Signed::sign(&identity(place), commit)
}

fn open(commits: Vec<Signed<Commit>>) -> Message {
    Message::Open(Open { job: header(3, 5).id(), commits })
}

#[test]
fn job_09_only_the_headers_client_speaks_about_a_job() {
    let mut node = Node::new(0, honest());
    assert_eq!(node.refusal(NOW, STRANGER, assign(&header(3, 5))), Why::OtherClient, "a captured assignment");
    assert_eq!(Why::OtherClient.code(), "E-QRM-04");
    let (mut node, commit) = voted();
    let question = || open(vec![commit.clone(), other_commit(1)]);
    assert_eq!(node.refusal(NOW, STRANGER, question()), Why::OtherClient);
    assert!(node.hear(NOW, STRANGER, Message::Close(header(3, 5).id())).is_empty());
    assert_eq!(node.machine.jobs(), 1, "a stranger ends nothing");
    assert!(matches!(node.hear(NOW, CLIENT, question())[..], [Message::Reveal(_)]));
}

#[test]
fn job_10_a_job_is_accepted_once_and_the_same_bytes_get_the_same_answer() {
    let (mut node, commit) = voted();
    let same = node.hear(NOW, CLIENT, assign(&header(3, 5)));
    assert_eq!(same, [Message::Commit(commit.clone())]);
    let other_bytes = || {
        let mut assign = assign_as(&header(3, 5), 0, &payload());
        assign.payload = assign_as(&header(3, 6), 0, &payload()).payload;
        Message::Assign(Arc::new(assign))
    };
    assert_eq!(node.refusal(NOW, CLIENT, other_bytes()), Why::Replayed);
    assert_eq!(Why::Replayed.code(), "E-QRM-05");

    node.restart(NOW);
    assert_eq!(node.refusal(NOW, CLIENT, other_bytes()), Why::Replayed, "after a crash");
    assert_eq!(node.hear(NOW, CLIENT, assign(&header(3, 5))), [Message::Commit(commit)], "the same vote");

    node.hear(NOW, CLIENT, Message::Close(header(3, 5).id()));
    assert_eq!(node.refusal(NOW, CLIENT, assign(&header(3, 5))), Why::Replayed, "the job is over");
    node.restart(NOW);
    assert_eq!(node.refusal(NOW, CLIENT, assign(&header(3, 5))), Why::Replayed, "over, and after a crash");
    assert_eq!(node.refusal(NOW, CLIENT, open(Vec::new())), Why::Replayed);
}

#[test]
fn job_11_what_contradicts_itself_is_refused() {
    let refusal =
        |assign: Assign| Node::new(0, honest()).refusal(NOW, CLIENT, Message::Assign(Arc::new(assign)));
    let good = || assign_as(&header(3, 5), 0, &payload());
    assert_eq!(
        refusal(Assign { payload: assign_as(&header(3, 5), 1, &payload()).payload, ..good() }),
        Why::Malformed
    );
    assert_eq!(
        refusal(Assign { payload: assign_as(&header(3, 6), 0, &payload()).payload, ..good() }),
        Why::Malformed
    );
    let other_key = Payload { job_key: Secret::new([0x56; 32]), inputs: inputs() };
    assert_eq!(refusal(assign_as(&header(3, 5), 0, &other_key)), Why::Malformed, "not what was committed to");
    let more = JobHeader { records: 3, ..header(3, 5) };
    assert_eq!(refusal(assign_as(&more, 0, &payload())), Why::Malformed, "another number of records");
    let mut shape = header(3, 5);
    shape.shape.operations = 6;
    assert_eq!(refusal(assign_as(&shape, 0, &payload())), Why::Malformed, "not the model's shape");
    let broken = JobHeader { records: 0, ..header(3, 5) };
    assert_eq!(refusal(assign_as(&broken, 0, &payload())), Why::Malformed, "a rule of the header");
    assert_eq!(Why::Malformed.code(), "E-QRM-02");
    let alone = assign_as(&header(1, 2), 0, &payload());
    assert_eq!(refusal(alone), Why::Malformed, "`signed` comes with a draft");
}

#[test]
fn a_node_that_is_no_party_declines() {
    let mut node = Node::new(9, honest());
    assert_eq!(node.refusal(NOW, CLIENT, assign(&header(3, 5))), Why::NotAParty);
    assert_eq!(Why::NotAParty.code(), "E-QRM-03");
}

#[test]
fn job_12_nothing_is_taken_outside_its_time_and_all_is_forgotten_at_the_deadline() {
    let skew = NodeBounds::default().skew_ms_max;
    let at = |now| Node::new(0, honest()).hear(now, CLIENT, assign(&header(3, 5)));
    assert!(matches!(at(START - skew)[..], [Message::Commit(_)]));
    assert!(matches!(at(START + LIFETIME_MS - 1)[..], [Message::Commit(_)]));
    for now in [START - skew - 1, START + LIFETIME_MS] {
        let mut node = Node::new(0, honest());
        assert_eq!(node.refusal(now, CLIENT, assign(&header(3, 5))), Why::Expired);
    }
    assert_eq!(Why::Expired.code(), "E-QRM-06");
    let (mut node, _) = voted();
    assert_eq!((node.machine.jobs(), node.disk.len()), (1, 1));
    assert_eq!(node.refusal(START + LIFETIME_MS, CLIENT, assign(&header(3, 5))), Why::Expired);
    assert_eq!((node.machine.jobs(), node.disk.len()), (0, 0), "nothing is left, on disk neither");
    assert!(matches!(node.reports.last(), Some(NodeReport::Forget(_))));
}

#[test]
fn job_13_tables_are_bounded() {
    let bounded = |limits| Node::with(NodeConfig { limits, ..config(0) }, 0, honest());
    let limits = NodeBounds { jobs_max: 2, ..NodeBounds::default() };
    for limits in [limits, NodeBounds { jobs_per_client_max: 2, ..NodeBounds::default() }] {
        let mut node = bounded(limits);
        for number in 0..2 {
            assert!(matches!(node.hear(NOW, CLIENT, assign(&numbered(number)))[..], [Message::Commit(_)]));
        }
        assert_eq!(node.refusal(NOW, CLIENT, assign(&numbered(2))), Why::Busy);
        node.hear(NOW, CLIENT, Message::Close(numbered(0).id()));
        assert!(matches!(node.hear(NOW, CLIENT, assign(&numbered(2)))[..], [Message::Commit(_)]));
    }
    assert_eq!(Why::Busy.code(), "E-RES-60");
    let mut node = bounded(NodeBounds { ended_max: 2, ..NodeBounds::default() });
    for number in 0..2 {
        node.hear(NOW, CLIENT, assign(&numbered(number)));
        node.hear(NOW, CLIENT, Message::Close(numbered(number).id()));
    }
    assert_eq!(node.refusal(NOW, CLIENT, assign(&numbered(2))), Why::Busy, "no room to remember it");
}

fn refer(operation: u32, values: Vec<u32>) -> Message {
    let header = JobHeader { referee: RefereeRule::Reserve, ..header(3, 5) };
    let shown = Payload { job_key: job_key(), inputs: vec![inputs()[0].clone(); values.len()] };
    let aad = [&header.to_bytes()[..], &operation.to_le_bytes()].concat();
    let sealed =
        envelope::seal(&mut rng(9), keys(4).public(), labels::JOB_PAYLOAD, &aad, shown.encode().expose());
    Message::Refer(Box::new(Refer { header, operation, values, payload: sealed.expect("a good key").0 }))
}

#[test]
fn job_13_operations_refereed_at_a_time_are_bounded() {
    let limits = NodeBounds { referees_max: 1, ..NodeBounds::default() };
    let mut node = Node::with(NodeConfig { limits, ..config(4) }, 4, honest());
    node.lazy = Some(Vec::new());
    assert!(node.hear(NOW, CLIENT, refer(2, vec![2, 0])).is_empty());
    assert_eq!(node.refusal(NOW, CLIENT, refer(2, vec![2, 0])), Why::Busy);
    assert!(matches!(node.work(NOW)[..], [Message::Finding(_)]));
    assert!(matches!(node.hear(NOW, CLIENT, refer(2, vec![2, 0]))[..], [Message::Finding(_)]));
}

#[test]
fn a_referee_refuses_operands_that_are_not_the_operations() {
    for (operation, values) in [(2, vec![2, 2]), (2, vec![2]), (2, vec![]), (5, vec![2, 0])] {
        let mut node = Node::new(4, honest());
        assert_eq!(node.refusal(NOW, CLIENT, refer(operation, values)), Why::BadQuestion);
    }
    assert_eq!(Why::BadQuestion.code(), "E-QRM-09");
}

#[test]
fn a_job_that_was_never_assigned_is_unknown() {
    let mut node = Node::new(0, honest());
    assert_eq!(node.refusal(NOW, CLIENT, open(Vec::new())), Why::UnknownJob);
    assert_eq!(Why::UnknownJob.code(), "E-QRM-07");
    node.lazy = Some(Vec::new());
    assert!(node.hear(NOW, CLIENT, assign(&header(3, 5))).is_empty());
    assert_eq!(node.refusal(NOW, CLIENT, open(Vec::new())), Why::UnknownJob, "its vote is not durable yet");
}

#[test]
fn a_model_that_is_not_served_is_named_as_that() {
    let mut node = Node::new(0, honest());
    node.prepared = None;
    assert_eq!(node.refusal(NOW, CLIENT, assign(&header(3, 5))), Why::UnknownModel);
    assert_eq!(Why::UnknownModel.code(), "E-AVL-60");
    assert_eq!(node.machine.jobs(), 0, "its place is free again");
}

#[test]
fn a_node_that_cannot_repeat_its_own_result_stays_silent_rather_than_contradict_itself() {
    let (mut node, commit) = voted();
    node.restart(NOW);
    node.prepared = Some(liar(1));
    assert_eq!(node.refusal(NOW, CLIENT, open(vec![commit, other_commit(1)])), Why::Failed);
    assert_eq!(Why::Failed.code(), "E-AVL-61");
}

#[test]
fn quorum_02_the_vote_is_hidden_and_the_same_in_every_life() {
    let (_, first) = voted();
    let (mut node, second) = voted();
    assert_eq!(first, second, "derived from the node's secret and the job");
    let again = NodeConfig { identity: identity(1), ..config(1) };
    let mut other = Node::with(again, 1, honest());
    let assign = Message::Assign(Arc::new(assign_as(&header(3, 5), 1, &payload())));
    let [Message::Commit(commit)] = &other.hear(NOW, CLIENT, assign)[..] else { panic!("a commit") };
    assert_ne!(commit.claimed().digest, first.claimed().digest, "equal results are hidden differently");
    node.restart(NOW);
    let said = node.hear(NOW, CLIENT, open(vec![first.clone(), other_commit(1)]));
    let [Message::Reveal(reveal)] = &said[..] else { panic!("a reveal") };
    assert!(reveal.reveal.claimed().opens(first.claimed()), "also by another life");
}

#[test]
fn quorum_05_a_vote_is_shown_for_a_majority_of_signed_commits_in_draw_order_its_own_among_them() {
    let (mut node, own) = voted();
    let forged = Signed::sign(&identity(2), Commit { node: public(1), ..*other_commit(1).claimed() });
    let elsewhere =
        Signed::sign(&identity(1), Commit { job: header(3, 6).id(), ..*other_commit(1).claimed() });
    let altered = Signed::sign(&identity(0), Commit { digest: Digest([7; 32]), ..*own.claimed() });
    let [first, second] = [other_commit(1), other_commit(2)];
    for (what, commits) in [
        ("one of three", vec![own.clone()]),
        ("without its own", vec![first.clone(), second.clone()]),
        ("its own altered", vec![altered, first.clone()]),
        ("twice the same party", vec![own.clone(), first.clone(), first.clone()]),
        ("out of order", vec![first.clone(), own.clone()]),
        ("not signed by its party", vec![own.clone(), forged]),
        ("about another job", vec![own.clone(), elsewhere]),
        ("of a stranger", vec![own.clone(), other_commit(50)]),
        ("more than places", vec![own.clone(), first.clone(), second.clone(), other_commit(3)]),
    ] {
        assert_eq!(node.refusal(NOW, CLIENT, open(commits)), Why::BadVotes, "{what}");
    }
    assert_eq!(Why::BadVotes.code(), "E-QRM-08");
    for commits in [vec![own.clone(), first.clone()], vec![own, first, second]] {
        assert!(matches!(node.hear(NOW, CLIENT, open(commits))[..], [Message::Reveal(_)]));
    }
}

#[test]
fn questions_about_parts_that_the_trace_does_not_have_are_refused() {
    let (mut node, _) = voted();
    let job = header(3, 5).id();
    let mut root = sealgrid_graph::trace::Position::root(5);
    assert!(matches!(
        node.hear(NOW, CLIENT, Message::AskBranches(AskBranches { job, position: root }))[..],
        [Message::Branches(_)]
    ));
    root.start = 1;
    assert_eq!(
        node.refusal(NOW, CLIENT, Message::AskBranches(AskBranches { job, position: root })),
        Why::BadQuestion
    );
    assert_eq!(
        node.refusal(NOW, CLIENT, Message::AskOperands(AskOperands { job, operation: 5 })),
        Why::BadQuestion
    );
    let shown = node.hear(NOW, CLIENT, Message::AskOperands(AskOperands { job, operation: 4 }));
    assert!(matches!(shown[..], [Message::Operands(_)]));
}

/// A quorum of which node 1 lies, just before its receipt is signed: the question to the lead.
fn endorsement() -> (Node, Endorse) {
    let mut grid = Grid::new(3, vec![honest(), liar(1), honest()]).run();
    let endorse = grid.said_by(CLIENT).find_map(|said| match said {
        Message::Endorse(endorse) => Some((**endorse).clone()),
        _ => None,
    });
    let assign = grid.said_by(CLIENT).find(|said| matches!(said, Message::Assign(_))).cloned();
    let mut lead = Node::new(0, honest());
    lead.disk = Disk::new();
    lead.hear(grid.now, CLIENT, assign.expect("an assignment"));
    grid.now += 1;
    (lead, endorse.expect("an endorsement"))
}

#[test]
fn quorum_18_the_lead_signs_what_follows_from_the_evidence_and_agrees_with_its_own_vote() {
    let (mut lead, endorse) = endorsement();
    let said = lead.hear(NOW, CLIENT, Message::Endorse(Box::new(endorse.clone())));
    let [Message::Receipt(receipt)] = &said[..] else { panic!("a receipt expected, not {said:?}") };
    assert_eq!(SignedClaims::from_bytes(receipt.receipt.clone()).verify(), Ok(endorse.claims.clone()));

    type Alter = fn(&mut Endorse);
    let altered: [(&str, Alter); 8] = [
        ("another output", |endorse| endorse.claims.output = Commitment([9; 32])),
        ("nobody to blame", |endorse| endorse.claims.faults.clear()),
        ("another issuer", |endorse| endorse.claims.issuer = public(2)),
        ("another environment", |endorse| endorse.claims.environment = Environment::IntelTdx),
        ("a stronger protection", |endorse| endorse.claims.protection_used = Protection::Attested),
        ("finished in the future", |endorse| endorse.claims.finished += 59_000),
        ("votes left out", |endorse| endorse.votes.clear()),
        ("the dispute left out", |endorse| endorse.dispute.clear()),
    ];
    for (what, alter) in altered {
        let mut wrong = endorse.clone();
        alter(&mut wrong);
        assert_eq!(lead.refusal(NOW, CLIENT, Message::Endorse(Box::new(wrong))), Why::BadClaims, "{what}");
    }
    assert_eq!(Why::BadClaims.code(), "E-QRM-10");
}

#[test]
fn quorum_18_who_voted_otherwise_does_not_sign() {
    let (_, endorse) = endorsement();
    let assign = assign(&header(3, 3));
    let mut other = Node::new(0, liar(1));
    assert!(matches!(other.hear(NOW, CLIENT, assign)[..], [Message::Commit(_)]));
    assert_eq!(other.refusal(NOW, CLIENT, Message::Endorse(Box::new(endorse))), Why::BadClaims);
}

/// The assignment of a job with one signer.
fn alone() -> Assign {
    let grid = Grid::new(1, vec![honest()]).run();
    let assign = grid.said_by(CLIENT).find_map(|said| match said {
        Message::Assign(assign) => Some((**assign).clone()),
        _ => None,
    });
    assign.expect("an assignment")
}

#[test]
fn quorum_19_the_only_member_completes_the_draft_with_output_and_time() {
    let assign = alone();
    let said = Node::new(0, honest()).hear(NOW, CLIENT, Message::Assign(Arc::new(assign.clone())));
    let [Message::Answer(answer)] = &said[..] else { panic!("an answer expected, not {said:?}") };
    let claims = SignedClaims::from_bytes(answer.receipt.clone()).verify().expect("a receipt");
    let draft = assign.draft.expect("a draft");
    assert_eq!(claims, Claims { output: claims.output, finished: NOW, ..draft });
}

#[test]
fn quorum_19_a_draft_that_the_node_cannot_vouch_for_is_refused() {
    type Alter = fn(&mut Claims);
    let altered: [(&str, Alter); 4] = [
        ("another environment", |draft| draft.environment = Environment::IntelTdx),
        ("another issuer", |draft| draft.issuer = public(3)),
        ("another policy", |draft| draft.policy = Digest([9; 32])),
        ("without the header", |draft| draft.evidence.retain(|e| e.kind != EvidenceKind::Header)),
    ];
    for (what, alter) in altered {
        let mut assign = alone();
        alter(assign.draft.as_mut().expect("a draft"));
        let refusal = Node::new(0, honest()).refusal(NOW, CLIENT, Message::Assign(Arc::new(assign)));
        assert_eq!(refusal, Why::BadClaims, "{what}");
    }
}

#[test]
fn a_result_that_was_sent_gives_way_to_a_new_job() {
    let limits = NodeBounds { jobs_max: 1, ..NodeBounds::default() };
    let mut node = Node::with(NodeConfig { limits, ..config(0) }, 0, honest());
    let first = Message::Assign(Arc::new(alone()));
    assert!(matches!(node.hear(NOW, CLIENT, first.clone())[..], [Message::Answer(_)]));
    assert!(matches!(node.hear(NOW, CLIENT, assign(&header(3, 5)))[..], [Message::Commit(_)]));
    assert_eq!(node.refusal(NOW, CLIENT, first), Why::Replayed, "forgotten, and not taken again");
}

#[test]
fn a_node_hears_no_answers() {
    let mut node = Node::new(0, honest());
    assert!(node.hear(NOW, CLIENT, Message::Commit(other_commit(1))).is_empty());
}
