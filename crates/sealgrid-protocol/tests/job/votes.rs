//! QUORUM-02, -03, -06, -08, -09: votes as evidence. Each test takes genuine votes and breaks one rule.

use sealgrid_protocol::claims::{EvidenceKind, FaultKind};
use sealgrid_protocol::job::evidence::{EvidenceError, Votes, check_dispute, check_votes};
use sealgrid_protocol::job::header::JobHeader;
use sealgrid_protocol::job::statement::{Commit, Reveal, Signed, vote_digest};
use sealgrid_seal::digest::{Commitment, Digest};

use crate::grid::{Grid, header, honest, identity, job_key, public};

fn unanimous() -> (JobHeader, Votes) {
    let grid = Grid::with(header(3, 5), vec![honest(), honest(), honest(), honest(), honest()]).run();
    let votes = Votes::from_bytes(&grid.evidence(EvidenceKind::Votes)).expect("evidence");
    (grid.header, votes)
}

/// The rule that votes altered so break.
fn broken(alter: impl FnOnce(&mut Votes)) -> &'static str {
    let (header, mut votes) = unanimous();
    alter(&mut votes);
    let error = check_votes(&header, &votes).expect_err("a rule is broken");
    assert_eq!(error.code(), "E-QRM-14");
    let EvidenceError::Votes { rule, .. } = error else { panic!("{error}") };
    rule
}

fn commit(by: usize, digest: Digest, header: &JobHeader) -> Signed<Commit> {
    Signed::sign(&identity(by), Commit { job: header.id(), node: public(by), digest })
}

fn again<T: Clone>(list: &mut Vec<T>, index: usize) {
    list.push(list[index].clone());
}

#[test]
fn genuine_votes_are_one_class_in_draw_order() {
    let (header, mut votes) = unanimous();
    votes.commits.reverse();
    votes.reveals.reverse();
    let tally = check_votes(&header, &votes).expect("genuine");
    assert_eq!(tally.classes.len(), 1);
    assert_eq!(tally.classes[0].members, [0, 1, 2].map(public));
    assert_eq!(tally.equivocators, []);
}

#[test]
fn quorum_02_every_commit_is_its_partys_own_and_given_once() {
    let (header, _) = unanimous();
    assert_eq!(broken(|votes| again(&mut votes.commits, 0)), "QUORUM-02");
    let forged = Commit { job: header.id(), node: public(0), digest: Digest([1; 32]) };
    assert_eq!(broken(|votes| votes.commits[0] = Signed::sign(&identity(1), forged)), "QUORUM-02");
    let elsewhere = JobHeader { nonce: [9; 32], ..header.clone() };
    let moved = commit(0, Digest([1; 32]), &elsewhere);
    assert_eq!(broken(|votes| votes.commits[0] = moved), "QUORUM-02");
    let many = (0..11).map(|number| commit(0, Digest([number; 32]), &header));
    assert_eq!(broken(|votes| votes.commits = many.collect()), "QUORUM-02");
}

#[test]
fn quorum_02_two_commits_of_one_party_name_it_and_cost_its_vote() {
    let (header, mut votes) = unanimous();
    votes.commits.push(commit(1, Digest([1; 32]), &header));
    let tally = check_votes(&header, &votes).expect("evidence against it, not an error");
    assert_eq!(tally.equivocators, [public(1)]);
    assert_eq!(tally.classes[0].members, [0, 2].map(public));
    let judged = check_dispute(&header, &votes, None, Some(&job_key())).expect("two of three");
    assert!(
        matches!(judged.faults[..], [fault] if fault.node == public(1) && fault.kind == FaultKind::Equivocate)
    );
    assert_eq!(judged.assumed, [], "its own signatures show it");
}

#[test]
fn quorum_03_strangers_do_not_vote() {
    let (header, _) = unanimous();
    let stranger = commit(40, Digest([1; 32]), &header);
    assert_eq!(broken(|votes| votes.commits.push(stranger)), "QUORUM-03");
}

#[test]
fn quorum_06_a_reveal_is_of_a_party_that_committed_and_given_once() {
    assert_eq!(broken(|votes| again(&mut votes.reveals, 0)), "QUORUM-06");
    assert_eq!(broken(|votes| votes.commits.truncate(2)), "QUORUM-06");
    let forge = |votes: &mut Votes| {
        votes.reveals[0] = Signed::sign(&identity(1), votes.reveals[0].claimed().clone());
    };
    assert_eq!(broken(forge), "QUORUM-06");
    let many = |votes: &mut Votes| (0..11).for_each(|_| again(&mut votes.reveals, 0));
    assert_eq!(broken(many), "QUORUM-06");
}

#[test]
fn quorum_06_a_reveal_of_another_vote_is_an_equivocation() {
    let (header, mut votes) = unanimous();
    let reveal = Reveal { output: Commitment([1; 32]), ..votes.reveals[2].claimed().clone() };
    votes.reveals[2] = Signed::sign(&identity(2), reveal);
    let tally = check_votes(&header, &votes).expect("evidence against it, not an error");
    assert_eq!(tally.equivocators, [public(2)]);
}

/// Whoever waits for the others and repeats what they hid, later with what they showed, is found out.
#[test]
fn copying_a_vote_is_useless() {
    let (header, mut votes) = unanimous();
    let (digest, shown) = (votes.commits[0].claimed().digest, votes.reveals[0].claimed().clone());
    votes.commits[2] = commit(2, digest, &header);
    votes.reveals[2] = Signed::sign(&identity(2), Reveal { node: public(2), ..shown });
    let tally = check_votes(&header, &votes).expect("evidence against it, not an error");
    assert_eq!(tally.equivocators, [public(2)]);
    assert_eq!(tally.classes[0].members, [0, 1].map(public), "the copy does not count");
}

#[test]
fn quorum_08_votes_are_equal_when_output_and_trace_are() {
    for alter in [|reveal: &mut Reveal| reveal.output.0[0] ^= 1, |reveal: &mut Reveal| reveal.trace.0[0] ^= 1]
    {
        let (header, mut votes) = unanimous();
        let mut reveal = votes.reveals[1].claimed().clone();
        alter(&mut reveal);
        let digest = vote_digest(header.id(), &public(1), &reveal.output, &reveal.trace, &reveal.blinding);
        votes.commits[1] = commit(1, digest, &header);
        votes.reveals[1] = Signed::sign(&identity(1), reveal);
        let tally = check_votes(&header, &votes).expect("genuine");
        let members: Vec<_> = tally.classes.iter().map(|class| class.members.clone()).collect();
        assert_eq!(members, [vec![public(0), public(2)], vec![public(1)]]);
    }
}

#[test]
fn quorum_09_a_majority_counts_places_whether_filled_or_not() {
    let (header, mut votes) = unanimous();
    votes.commits.truncate(2);
    votes.reveals.truncate(2);
    assert!(check_dispute(&header, &votes, None, None).is_ok());
    votes.commits.truncate(1);
    votes.reveals.truncate(1);
    let error = check_dispute(&header, &votes, None, None).expect_err("one of three");
    assert_eq!((error, error.code()), (EvidenceError::NoMajority { equal: 1, needed: 2 }, "E-QRM-20"));
}

#[test]
fn votes_have_one_spelling_and_version() {
    let (_, mut votes) = unanimous();
    assert_eq!(Votes::from_bytes(&votes.to_bytes()), Ok(votes.clone()));
    let longer = [&votes.to_bytes()[..], &[0]].concat();
    assert_eq!(Votes::from_bytes(&longer).expect_err("a byte behind").code(), "E-QRM-13");
    votes.version = 2;
    assert_eq!(Votes::from_bytes(&votes.to_bytes()).expect_err("newer").code(), "E-QRM-13");
}
