//! What is signed: by whom it names, about the job it names, under a label of its own.

use sealgrid_protocol::job::header::JobHeader;
use sealgrid_protocol::job::message::Message;
use sealgrid_protocol::job::statement::{Branches, Commit, Finding, Reveal, Signed, Statement, vote_digest};
use sealgrid_protocol::names::JobId;
use sealgrid_seal::canonical;
use sealgrid_seal::digest::{Commitment, Digest};
use sealgrid_seal::identity::{BadSignature, Signature};

use crate::grid::{Grid, header, honest, identity, liar, public};

const OTHER_JOB: JobId = JobId(Digest([9; 32]));

/// A vote as the node of `place` hides it.
fn vote(header: &JobHeader, place: usize) -> (Commit, Reveal) {
    let (job, node) = (header.id(), public(place));
    let (output, trace, blinding) = (Commitment([1; 32]), Commitment([2; 32]), [3; 32]);
    let digest = vote_digest(job, &node, &output, &trace, &blinding);
    (Commit { job, node, digest }, Reveal { job, node, output, trace, blinding, outputs: Vec::new() })
}

fn is_bound<T: Statement + Clone + std::fmt::Debug + PartialEq>(
    statement: &T,
    labels: [sealgrid_seal::digest::Label; 3],
) {
    let signed = Signed::sign(&identity(0), statement.clone());
    assert_eq!(signed.verify(), Ok(statement));
    assert_eq!(signed.verify_from(&public(0), statement.job()), Ok(statement));
    assert_eq!(signed.verify_from(&public(1), statement.job()), Err(BadSignature), "of another node");
    assert_eq!(signed.verify_from(&public(0), OTHER_JOB), Err(BadSignature), "about another job");
    let forged = Signed::sign(&identity(1), statement.clone());
    assert_eq!(forged.verify(), Err(BadSignature), "signed by another");
    let bytes = canonical::encode(&signed);
    let signature: Signature = identity(0).sign(T::LABEL, &canonical::encode(statement));
    assert!(bytes.ends_with(&canonical::encode(&signature)));
    for label in labels {
        assert_ne!(label.0, T::LABEL.0);
        assert!(
            public(0).verify(label, &canonical::encode(statement), &signature).is_err(),
            "as another statement"
        );
    }
}

#[test]
fn a_statement_holds_for_its_author_its_job_and_its_kind_only() {
    let (commit, reveal) = vote(&header(3, 3), 0);
    let grid = Grid::new(3, vec![honest(), liar(1), honest()]).run();
    let branches = grid.said_by(0).find_map(|said| match said {
        Message::Branches(branches) => Some(*branches.claimed()),
        _ => None,
    });
    let finding = Finding {
        job: commit.job,
        node: public(0),
        operation: 2,
        operands: vec![],
        leaf: Commitment([4; 32]),
    };
    let [c, r, b, f] = [Commit::LABEL, Reveal::LABEL, Branches::LABEL, Finding::LABEL];
    is_bound(&commit, [r, b, f]);
    is_bound(&reveal, [c, b, f]);
    is_bound(&branches.expect("a dispute"), [c, r, f]);
    is_bound(&finding, [c, r, b]);
}

#[test]
fn quorum_02_a_vote_opens_its_own_commit_and_no_other() {
    let (commit, reveal) = vote(&header(3, 3), 0);
    assert!(reveal.opens(&commit));
    for altered in [
        Reveal { output: Commitment([9; 32]), ..reveal.clone() },
        Reveal { trace: Commitment([9; 32]), ..reveal.clone() },
        Reveal { blinding: [9; 32], ..reveal.clone() },
        Reveal { job: OTHER_JOB, ..reveal.clone() },
        Reveal { node: public(1), ..reveal },
    ] {
        assert!(!altered.opens(&commit));
    }
}

#[test]
fn quorum_02_a_copied_commit_is_worthless_to_whoever_copies_it() {
    let (commit, reveal) = vote(&header(3, 3), 0);
    // A parrot signs the digest that it saw, and later, when it has also seen the vote, shows that as its own.
    let copied = Commit { node: public(1), ..commit };
    let parrot = Reveal { node: public(1), ..reveal };
    assert!(Signed::sign(&identity(1), copied).verify().is_ok(), "it can sign it");
    assert!(!parrot.opens(&copied), "it cannot open it");
}
