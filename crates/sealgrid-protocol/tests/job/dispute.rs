//! QUORUM-07, -10 to -15, -18: disputes and claims as evidence. Each test takes a genuine dispute and breaks one rule.

use sealgrid_protocol::claims::{Claims, EvidenceKind, Fault, FaultKind};
use sealgrid_protocol::job::evidence::{
    Assumption, Dispute, Duel, End, EvidenceError, Judgement, Unbound, Votes, check_claims, check_dispute,
};
use sealgrid_protocol::job::statement::{Branches, Finding, Signed};
use sealgrid_protocol::names::{JobId, ModelCommitment, Protection, Verification};
use sealgrid_seal::digest::{Commitment, Digest};

use crate::grid::{CLIENT, Grid, LIE, RECORDS, honest, identity, job_key, liar, public};

struct Case {
    grid: Grid,
    votes: Votes,
    dispute: Dispute,
}

/// Node 1 of three lies; the client judges.
fn genuine() -> Case {
    let grid = Grid::new(3, vec![honest(), liar(1), honest()]).run();
    let votes = Votes::from_bytes(&grid.evidence(EvidenceKind::Votes)).expect("evidence");
    let dispute = Dispute::from_bytes(&grid.evidence(EvidenceKind::Dispute)).expect("evidence");
    Case { grid, votes, dispute }
}

impl Case {
    fn judge(&self, with_key: bool) -> Result<Judgement, EvidenceError> {
        let key = job_key();
        check_dispute(&self.grid.header, &self.votes, Some(&self.dispute), with_key.then_some(&key))
    }
}

/// What a dispute altered so is refused for, without the job key and with it.
fn broken(alter: impl Fn(&mut Dispute)) -> [Option<&'static str>; 2] {
    [false, true].map(|with_key| {
        let mut case = genuine();
        alter(&mut case.dispute);
        match case.judge(with_key) {
            Ok(_) => None,
            Err(error @ EvidenceError::Dispute { rule, .. }) => {
                assert_eq!(error.code(), "E-QRM-15");
                Some(rule)
            }
            Err(error) => panic!("{error}"),
        }
    })
}

fn always(rule: &'static str) -> [Option<&'static str>; 2] {
    [Some(rule); 2]
}

fn duel(dispute: &mut Dispute) -> &mut Duel {
    &mut dispute.duels[0]
}

fn finding(dispute: &mut Dispute, alter: impl FnOnce(&mut Finding)) {
    let End::Settle { finding, .. } = &mut duel(dispute).end else { panic!("settled") };
    let mut altered = finding.claimed().clone();
    alter(&mut altered);
    *finding = Signed::sign(&identity(CLIENT), altered);
}

/// Alters the liar's answer in round `round`, signed anew by the liar.
fn answer(dispute: &mut Dispute, round: usize, alter: impl FnOnce(&mut Branches)) {
    let signed = &mut duel(dispute).rounds[round].second;
    let mut altered = *signed.claimed();
    alter(&mut altered);
    *signed = Signed::sign(&identity(1), altered);
}

#[test]
fn a_genuine_dispute_names_the_liar_and_says_on_whose_word() {
    for with_key in [false, true] {
        let judged = genuine().judge(with_key).expect("it holds");
        assert_eq!(judged.survivors, [public(0), public(2)]);
        let lie = Fault { node: public(1), kind: FaultKind::Lie { operation: LIE as u32 } };
        assert_eq!(judged.faults, [lie]);
        assert_eq!(judged.assumed, [Assumption::Referee(public(CLIENT))]);
    }
}

#[test]
fn quorum_10_only_parties_that_differ_dispute_and_every_difference_is_settled() {
    assert_eq!(broken(|dispute| dispute.duels.clear()), always("QUORUM-10"));
    assert_eq!(broken(|dispute| duel(dispute).first = public(1)), always("QUORUM-10"));
    assert_eq!(broken(|dispute| duel(dispute).first = public(40)), always("QUORUM-10"));
    assert_eq!(broken(|dispute| duel(dispute).second = public(2)), always("QUORUM-10"));
    let again = |dispute: &mut Dispute| dispute.duels.push(dispute.duels[0].clone());
    assert_eq!(broken(again), always("QUORUM-10"), "who lost has no vote left");
    let many = |dispute: &mut Dispute| dispute.duels = vec![dispute.duels[0].clone(); 4];
    assert_eq!(broken(many), always("QUORUM-10"));
}

#[test]
fn quorum_11_each_step_is_signed_and_about_the_node_that_was_asked_for() {
    assert_eq!(broken(|dispute| duel(dispute).rounds.clear()), always("QUORUM-11"), "no search");
    assert_eq!(
        broken(|dispute| duel(dispute).rounds.truncate(1)),
        always("QUORUM-11"),
        "the search did not end"
    );
    assert_eq!(broken(|dispute| duel(dispute).rounds.swap(0, 1)), always("QUORUM-11"));
    let moved = |dispute: &mut Dispute| answer(dispute, 0, |branches| branches.job = JobId(Digest([9; 32])));
    assert_eq!(broken(moved), always("QUORUM-11"));
    let unsigned = |dispute: &mut Dispute| {
        let round = &mut duel(dispute).rounds[0];
        round.second = Signed::sign(&identity(0), *round.second.claimed());
    };
    assert_eq!(broken(unsigned), always("QUORUM-11"));
    let swapped = |dispute: &mut Dispute| {
        let round = &mut duel(dispute).rounds[0];
        std::mem::swap(&mut round.first, &mut round.second);
    };
    assert_eq!(broken(swapped), always("QUORUM-11"));
    let too_many = |dispute: &mut Dispute| {
        let round = duel(dispute).rounds[0].clone();
        duel(dispute).rounds = vec![round; 33];
    };
    assert_eq!(broken(too_many), always("QUORUM-11"));
}

#[test]
fn quorum_11_a_wrong_opening_is_seen_with_the_key_alone() {
    // The last step's answer is altered, so without the key the finding still differs from the liar's leaf.
    let wrong = |dispute: &mut Dispute| {
        let last = dispute.duels[0].rounds.len() - 1;
        answer(dispute, last, |branches| branches.opening.right.0[0] ^= 1);
    };
    assert_eq!(broken(wrong), [None, Some("QUORUM-11")]);
}

#[test]
fn quorum_11_nobody_is_said_to_misopen_whose_answer_is_right() {
    let misopen =
        |first, second| move |dispute: &mut Dispute| duel(dispute).end = End::Misopen { first, second };
    assert_eq!(broken(misopen(false, true)), [None, Some("QUORUM-11")]);
    assert_eq!(broken(misopen(false, false)), always("QUORUM-11"));
    let unopened = |dispute: &mut Dispute| {
        misopen(false, true)(dispute);
        duel(dispute).rounds.clear();
    };
    assert_eq!(broken(unopened), always("QUORUM-11"));
    // Without the key it is the client's word, and said to be.
    let mut case = genuine();
    misopen(false, true)(&mut case.dispute);
    assert_eq!(case.judge(false).expect("assumed").assumed, [Assumption::Key(public(1))]);
}

#[test]
fn quorum_11_who_opens_wrongly_is_an_equivocator() {
    let grid = Grid::new(3, vec![honest(), liar(1), honest()])
        .on_message(|said| match &said.message {
            sealgrid_protocol::job::message::Message::Branches(branches) if said.from == 1 => {
                let mut wrong = *branches.claimed();
                wrong.opening.left.0[0] ^= 1;
                let signed = Signed::sign(&identity(1), wrong);
                Some(vec![sealgrid_protocol::job::message::Message::Branches(signed)])
            }
            _ => None,
        })
        .run();
    assert_eq!(grid.faults_of(1), [FaultKind::Equivocate]);
    let votes = Votes::from_bytes(&grid.evidence(EvidenceKind::Votes)).expect("evidence");
    let dispute = Dispute::from_bytes(&grid.evidence(EvidenceKind::Dispute)).expect("evidence");
    let judged = check_dispute(&grid.header, &votes, Some(&dispute), Some(&job_key())).expect("it holds");
    assert_eq!(judged.assumed, [], "with the key nothing is assumed");
}

#[test]
fn quorum_12_the_referee_was_given_the_operands_that_both_agree_on() {
    let other = |dispute: &mut Dispute| {
        let End::Settle { operands, .. } = &mut duel(dispute).end else { panic!("settled") };
        operands[0].leaf = Commitment([9; 32]);
    };
    assert_eq!(broken(other), always("QUORUM-12"), "the finding names others");
    let both = |dispute: &mut Dispute| {
        other(dispute);
        finding(dispute, |finding| finding.operands[0] = Commitment([9; 32]));
    };
    assert_eq!(broken(both), [None, Some("QUORUM-12")], "they stand in no trace");
}

#[test]
fn quorum_13_silence_is_the_clients_word() {
    let silence =
        |first, second| move |dispute: &mut Dispute| duel(dispute).end = End::Silence { first, second };
    assert_eq!(broken(silence(false, false)), always("QUORUM-13"));
    let mut case = genuine();
    silence(false, true)(&mut case.dispute);
    let judged = case.judge(true).expect("it holds");
    assert_eq!(judged.faults, [Fault { node: public(1), kind: FaultKind::Silent }]);
    assert_eq!(judged.assumed, [Assumption::Client(public(1))]);
}

#[test]
fn quorum_14_a_finding_is_about_the_operation_that_the_search_ended_at() {
    assert_eq!(broken(|dispute| finding(dispute, |finding| finding.operation += 1)), always("QUORUM-14"));
    assert_eq!(
        broken(|dispute| finding(dispute, |finding| finding.job = JobId(Digest([9; 32])))),
        always("QUORUM-14")
    );
}

#[test]
fn quorum_15_whose_leaf_differs_lies_with_its_class_and_both_may() {
    let mut case = genuine();
    finding(&mut case.dispute, |finding| finding.leaf = Commitment([9; 32]));
    assert_eq!(case.judge(true), Err(EvidenceError::NoMajority { equal: 0, needed: 2 }));
    let accomplices = Grid::new(5, vec![honest(), liar(1), honest(), liar(1), honest()]).run();
    assert_eq!(accomplices.faults_of(1), accomplices.faults_of(3));
    let dispute = Dispute::from_bytes(&accomplices.evidence(EvidenceKind::Dispute)).expect("evidence");
    assert_eq!(dispute.duels.len(), 1, "one dispute names the class");
}

#[test]
fn quorum_07_an_output_outside_its_trace_is_shown_by_the_key() {
    let mut case = genuine();
    case.dispute.unbound.push(Unbound { node: public(2), operation: 4 });
    let error = case.judge(true).expect_err("it does stand in its trace");
    let what = "an output said to be outside its trace stands in it";
    assert_eq!(error, EvidenceError::Dispute { rule: "QUORUM-07", what });
    assert_eq!(case.judge(false), Err(EvidenceError::NoMajority { equal: 1, needed: 2 }), "its vote is gone");
    let stranger = |dispute: &mut Dispute| dispute.unbound.push(Unbound { node: public(40), operation: 4 });
    assert_eq!(broken(stranger), always("QUORUM-10"));
}

#[test]
fn disputes_have_one_spelling_and_version() {
    let mut dispute = genuine().dispute;
    assert_eq!(Dispute::from_bytes(&dispute.to_bytes()), Ok(dispute.clone()));
    let longer = [&dispute.to_bytes()[..], &[0]].concat();
    assert_eq!(Dispute::from_bytes(&longer).expect_err("a byte behind").code(), "E-QRM-13");
    dispute.version = 2;
    assert_eq!(Dispute::from_bytes(&dispute.to_bytes()).expect_err("newer").code(), "E-QRM-13");
}

#[test]
fn quorum_18_claims_say_what_follows_and_nothing_else() {
    let case = genuine();
    let (votes, dispute) = (case.votes.to_bytes(), case.dispute.to_bytes());
    let check = |claims: &Claims| check_claims(&case.grid.header, claims, &votes, &dispute, Some(&job_key()));
    let claims = case.grid.claims();
    assert_eq!(check(&claims).expect("genuine").survivors, [public(0), public(2)]);
    type Alter = fn(&mut Claims);
    let altered: [(&str, Alter); 19] = [
        ("their own rules", |claims| claims.version = 2),
        ("the job", |claims| claims.nonce = [9; 32]),
        ("the job", |claims| claims.job = JobId(Digest([9; 32]))),
        ("the model", |claims| claims.model = ModelCommitment(Digest([9; 32]))),
        ("the input", |claims| claims.input = Commitment([9; 32])),
        ("the input", |claims| claims.records = RECORDS + 1),
        ("the policy", |claims| claims.policy = Digest([9; 32])),
        ("the protection", |claims| claims.protection_used = Protection::Attested),
        ("the verification", |claims| claims.verification_asked = Verification::Signed),
        ("the directory", |claims| claims.directory = Digest([9; 32])),
        ("the directory", |claims| claims.log.size = 9),
        ("the committee", |claims| claims.committee.swap(1, 2)),
        ("the reserves", |claims| claims.reserves_used.push(public(40))),
        ("the times", |claims| claims.finished = claims.requested + 86_400_000),
        ("the header's digest", |claims| claims.evidence.retain(|e| e.kind != EvidenceKind::Header)),
        ("the votes' digest", |claims| claims.evidence.retain(|e| e.kind != EvidenceKind::Votes)),
        ("the dispute's digest", |claims| claims.evidence.retain(|e| e.kind != EvidenceKind::Dispute)),
        ("the output", |claims| claims.output = Commitment([9; 32])),
        ("the faults", |claims| {
            claims.faults.push(Fault { node: public(2), kind: FaultKind::Lie { operation: 0 } });
        }),
    ];
    for (what, alter) in altered {
        let mut claims = claims.clone();
        alter(&mut claims);
        let error = check(&claims).expect_err(what);
        assert_eq!((error, error.code()), (EvidenceError::Claims(what), "E-QRM-16"));
    }
    let unnamed = Claims { faults: Vec::new(), ..claims };
    assert_eq!(check(&unnamed), Err(EvidenceError::Claims("the faults")), "a fault that follows is left out");
}
