//! The asking side: plans, each way a job ends, and taking it up again after a crash at any store.

use sealgrid_protocol::claims::{EvidenceKind, FaultKind};
use sealgrid_protocol::job::client::{ClientMachine, Plan, Reason};
use sealgrid_protocol::job::evidence::{Votes, check_claims};
use sealgrid_protocol::job::header::{CommittedPayload, JobHeader, OnDispute, Payload};
use sealgrid_protocol::job::message::{Message, Refusal, Why};
use sealgrid_protocol::job::statement::{Commit, Signed};
use sealgrid_seal::digest::Digest;
use sealgrid_seal::secret::Secret;

use crate::grid::{
    CLIENT, Grid, START, expected, header, honest, identity, inputs, job_key, liar, plan, public, rng,
};

fn refused_plan(alter: impl FnOnce(&mut Plan)) -> String {
    let mut plan = plan(header(3, 4));
    alter(&mut plan);
    let begun = ClientMachine::begin(identity(CLIENT), rng(1), plan, START);
    let error = begun.err().expect("the plan does not fit together");
    assert_eq!(error.code(), "E-QRM-17");
    error.to_string()
}

#[test]
fn a_plan_that_does_not_fit_together_never_begins() {
    assert_eq!(refused_plan(|plan| plan.header.records = 0), "job cannot begin: no records, or too many");
    assert_eq!(
        refused_plan(|plan| plan.header.client = public(0)),
        "job cannot begin: the header names another client"
    );
    assert_eq!(
        refused_plan(|plan| drop(plan.parties.pop())),
        "job cannot begin: the parties are not those of the header"
    );
    assert_eq!(
        refused_plan(|plan| plan.parties.swap(0, 1)),
        "job cannot begin: the parties are not those of the header"
    );
    assert_eq!(
        refused_plan(|plan| plan.header.records = 3),
        "job cannot begin: an input has another number of records than the header"
    );
    assert_eq!(
        refused_plan(|plan| plan.payload =
            CommittedPayload::new(Payload { job_key: Secret::new([1; 32]), inputs: inputs() })),
        "job cannot begin: the input is not the header's"
    );
    assert!(ClientMachine::begin(identity(CLIENT), rng(1), plan(header(3, 4)), START).is_ok());
}

#[test]
fn quorum_01_who_declines_is_replaced_by_the_next_reserve_and_named() {
    let grid = Grid::new(3, vec![honest(), honest(), honest(), honest()])
        .on_message(|said| match &said.message {
            Message::Commit(commit) if said.from == 1 => {
                let refusal = Refusal {
                    job: commit.claimed().job,
                    exchange: sealgrid_protocol::job::message::Exchange::Assign,
                    why: Why::Busy,
                };
                Some(vec![Message::Refuse(refusal)])
            }
            _ => None,
        })
        .run();
    assert_eq!(grid.accepted().output, expected());
    assert_eq!(grid.faults_of(1), [FaultKind::Refuse]);
    assert_eq!(grid.claims().reserves_used, [public(3)]);
}

#[test]
fn quorum_04_a_vote_after_the_votes_are_fixed_is_not_heard() {
    // Node 1's commit is held back until the votes were shown, then delivered again and again.
    let mut held = None;
    let grid = Grid::new(3, vec![honest(), honest(), honest(), honest()])
        .on_message(move |said| match &said.message {
            Message::Commit(_) if said.from == 1 => {
                held = Some(said.message.clone());
                Some(Vec::new())
            }
            Message::Reveal(_) => {
                let said = said.message.clone();
                Some(held.clone().into_iter().chain([said]).collect())
            }
            _ => None,
        })
        .run();
    assert_eq!(grid.faults_of(1), [FaultKind::Late]);
    let votes = Votes::from_bytes(&grid.evidence(EvidenceKind::Votes)).expect("evidence");
    let voters: Vec<_> = votes.commits.iter().map(|commit| commit.claimed().node).collect();
    assert_eq!(voters, [0, 2, 3].map(public));
}

#[test]
fn quorum_06_who_does_not_show_its_vote_has_none() {
    let grid = Grid::new(3, vec![honest(), honest(), honest()])
        .on_message(|said| (said.from == 1 && matches!(said.message, Message::Reveal(_))).then(Vec::new))
        .run();
    assert_eq!(grid.accepted().output, expected());
    assert_eq!(grid.faults_of(1), [FaultKind::Late]);
}

/// A node that commits twice, on the way to the client.
fn equivocating(place: usize) -> impl FnMut(&crate::grid::Said) -> Option<Vec<Message>> {
    move |said| match &said.message {
        Message::Commit(commit) if said.from == place => {
            let second = Commit { digest: Digest([7; 32]), ..*commit.claimed() };
            Some(vec![said.message.clone(), Message::Commit(Signed::sign(&identity(place), second))])
        }
        _ => None,
    }
}

#[test]
fn quorum_02_an_equivocator_is_named_with_both_of_its_signatures() {
    for parties in [3, 4] {
        let nodes = (0..parties).map(|_| honest()).collect();
        let grid = Grid::new(3, nodes).on_message(equivocating(1)).run();
        assert_eq!(grid.faults_of(1), [FaultKind::Equivocate]);
        let votes = Votes::from_bytes(&grid.evidence(EvidenceKind::Votes)).expect("evidence");
        assert_eq!(votes.commits.iter().filter(|commit| commit.claimed().node == public(1)).count(), 2);
    }
}

/// What was known of an equivocator is durable before anything rests on it: a client that dies then still ends with a
/// receipt, and blames nobody else.
#[test]
fn an_equivocator_is_still_proven_after_the_client_was_killed() {
    for parties in [3, 4] {
        for word in ["open", "voter-03"] {
            let nodes = (0..parties).map(|_| honest()).collect();
            let mut grid = Grid::new(3, nodes).on_message(equivocating(1));
            grid.kill_after = Some(word);
            let grid = grid.run();
            assert_eq!(grid.accepted().output, expected());
            assert_eq!(grid.faults_of(1), [FaultKind::Equivocate], "{parties} {word}");
            assert_eq!([0, 2].map(|place| grid.faults_of(place)), [vec![], vec![]], "{parties} {word}");
            let (votes, claims) = (grid.evidence(EvidenceKind::Votes), grid.claims());
            let judged = check_claims(&grid.header, &claims, &votes, &[], Some(&job_key()));
            assert!(judged.is_ok(), "{judged:?}");
        }
    }
}

#[test]
fn a_client_killed_at_any_store_ends_with_the_same_result() {
    for word in ["plan", "voter-00", "voter-02", "open", "decision"] {
        let mut grid = Grid::new(3, vec![honest(), liar(1), honest(), honest()]);
        grid.kill_after = Some(word);
        let grid = grid.run();
        assert_eq!(grid.kill_after, None, "it was killed at {word}");
        assert_eq!(grid.accepted().output, expected(), "{word}");
        assert!(matches!(grid.faults_of(1)[..], [FaultKind::Lie { .. }]), "{word}");
    }
}

#[test]
fn nothing_durable_is_a_job_that_never_began() {
    assert!(ClientMachine::resume(identity(CLIENT), rng(1), START, []).is_none());
}

#[test]
fn quorum_16_a_policy_that_refuses_disputes_refuses_as_soon_as_two_differ() {
    let header = JobHeader { on_dispute: OnDispute::Refuse, ..header(3, 3) };
    let grid = Grid::with(header, vec![honest(), liar(1), honest()]).run();
    assert_eq!((grid.refused().reason, grid.refused().reason.code()), (Reason::Disputed, "E-QRM-21"));
    assert!(!grid.transcript.iter().any(|said| matches!(said.message, Message::AskBranches(_))));
}

#[test]
fn quorum_17_two_liars_of_three_are_refused_and_named() {
    for second in [1, 2] {
        let grid = Grid::new(3, vec![liar(1), honest(), liar(second)]).run();
        assert_eq!((grid.refused().reason, grid.refused().reason.code()), (Reason::NoMajority, "E-QRM-20"));
        for place in [0, 2] {
            assert!(matches!(grid.faults_of(place)[..], [FaultKind::Lie { .. }]));
        }
    }
}

#[test]
fn quorum_07_outputs_that_do_not_open_leave_no_result() {
    let garble = |said: &crate::grid::Said, place: usize| match &said.message {
        Message::Reveal(reveal) if said.from <= place => {
            let mut reveal = reveal.clone();
            reveal.output[40] ^= 1;
            Some(vec![Message::Reveal(reveal)])
        }
        _ => None,
    };
    let grid = Grid::new(3, vec![honest(), honest(), honest()]).on_message(move |said| garble(said, 2)).run();
    assert_eq!((grid.refused().reason, grid.refused().reason.code()), (Reason::NoOutput, "E-QRM-23"));
    assert_eq!(
        [0, 1, 2].map(|place| grid.faults_of(place)),
        [const { [FaultKind::Silent] }; 3].map(|f| f.to_vec())
    );
    // One that opens is enough: the votes are equal.
    let grid = Grid::new(3, vec![honest(), honest(), honest()]).on_message(move |said| garble(said, 1)).run();
    assert_eq!(grid.accepted().output, expected());
    assert_eq!(grid.claims().issuer, public(2));
}

#[test]
fn quorum_18_without_a_member_that_signs_there_is_no_result() {
    let grid = Grid::new(3, vec![honest(), honest(), honest()])
        .on_message(|said| matches!(said.message, Message::Receipt(_)).then(Vec::new))
        .run();
    assert_eq!((grid.refused().reason, grid.refused().reason.code()), (Reason::NoReceipt, "E-QRM-24"));
}

#[test]
fn quorum_18_a_receipt_of_other_claims_or_another_signer_is_not_taken() {
    let grid = Grid::new(3, vec![honest(), honest(), honest()])
        .on_message(|said| match &said.message {
            Message::Receipt(receipt) if said.from == 0 => {
                let mut receipt = receipt.clone();
                *receipt.receipt.last_mut().expect("a signature") ^= 1;
                Some(vec![Message::Receipt(receipt)])
            }
            _ => None,
        })
        .run();
    assert_eq!((grid.faults_of(0), grid.claims().issuer), (vec![FaultKind::Late], public(1)));
}

#[test]
fn too_few_nodes_and_too_little_time_have_their_own_reasons() {
    let silent = |said: &crate::grid::Said| (said.from != CLIENT).then(Vec::new);
    let grid = Grid::new(3, vec![honest(), honest(), honest()]).on_message(silent).run();
    assert_eq!((grid.refused().reason, grid.refused().reason.code()), (Reason::TooFewNodes, "E-AVL-62"));
    assert_eq!([0, 1].map(|place| grid.faults_of(place)), [vec![FaultKind::Late], vec![FaultKind::Late]]);
    let grid = Grid::new(3, (0..12).map(|_| honest()).collect()).on_message(silent).run();
    assert_eq!((grid.refused().reason, grid.refused().reason.code()), (Reason::Deadline, "E-AVL-63"));
    assert!(grid.now >= grid.header.deadline);
}

#[test]
fn quorum_19_a_single_signers_answer_is_checked_against_the_draft() {
    let grid = Grid::new(1, vec![honest(), honest()]).run();
    assert_eq!((grid.accepted().output.clone(), grid.claims().issuer), (expected(), public(0)));
    let grid = Grid::new(1, vec![honest(), honest()])
        .on_message(|said| match &said.message {
            Message::Answer(answer) if said.from == 0 => {
                let mut answer = answer.clone();
                answer.output[40] ^= 1;
                Some(vec![Message::Answer(answer)])
            }
            _ => None,
        })
        .run();
    assert_eq!((grid.faults_of(0), grid.claims().issuer), (vec![FaultKind::Refuse], public(1)));
}
