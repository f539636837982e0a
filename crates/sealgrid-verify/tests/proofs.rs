//! Receipts that rest on a proof: real models, proofs and registrations.

mod common;
#[path = "common/proven.rs"]
mod proven;

use common::*;
use proven::*;
use sealgrid_graph::execute::Batch;
use sealgrid_protocol::claims::{Claims, EvidenceDigest, EvidenceKind, Fault, FaultKind};
use sealgrid_protocol::job::evidence::{FalseProof, FalseProofs};
use sealgrid_protocol::receipt::{Evidence, Status};
use sealgrid_seal::digest::Commitment;
use sealgrid_verify::{Disclosure, Verdict, verify};

fn judge(proven: &Proven) -> Verdict {
    let file = proven.fixture.file_with(proven.evidence.clone()).encode();
    verify(&file, &roots(), NOW, None, Some(&SYSTEM))
}

#[track_caller]
fn rejected(verdict: &Verdict, rule: &str) {
    assert_eq!(verdict.failures().next().map(|finding| finding.id), Some(rule), "{}", verdict.text());
    assert_eq!((verdict.exit_status(), verdict.code()), (4, Some("E-VER-17")), "{}", verdict.text());
}

#[test]
fn a_proven_receipt_is_accepted_by_whoever_holds_nothing_but_commitments() {
    let proven = proven();
    let verdict = judge(&proven);
    assert!(verdict.is_accepted(), "{}", verdict.text());
    let found = |id| verdict.findings().find(|finding| finding.id == id).expect("a finding");
    assert_eq!((found("RCP-56").status, found("RCP-57").status), (Status::Holds, Status::Holds));
    assert!(found("RCP-57").text.contains("bits of soundness"));
    assert_eq!(found("RCP-58").status, Status::Assumed);
    assert!(verdict.findings().all(|finding| finding.id != "RCP-50" && finding.id != "RCP-80"));

    let opening = proven.fixture.opening();
    let file = proven.fixture.file_with(proven.evidence.clone()).encode();
    let disclosed = |inputs: &[Batch], outputs: &[Batch]| {
        let disclosure = Disclosure { opening: &opening, inputs: Some(inputs), outputs: Some(outputs) };
        verify(&file, &roots(), NOW, Some(&disclosure), Some(&SYSTEM))
    };
    let verdict = disclosed(&inputs(), &proven.outputs);
    assert!(verdict.is_accepted(), "{}", verdict.text());
    let holds = |id| verdict.findings().any(|finding| finding.id == id && finding.status == Status::Holds);
    assert!(holds("RCP-71") && holds("RCP-72"));
    let others = disclosed(&proven.outputs, &inputs());
    let failed: Vec<&str> = others.failures().map(|finding| finding.id).collect();
    assert_eq!(failed, ["RCP-71", "RCP-72"]);
}

#[test]
fn a_receipt_that_rests_on_a_proof_is_rejected_where_nothing_verifies_it() {
    let proven = proven();
    let file = proven.fixture.file_with(proven.evidence).encode();
    rejected(&verify(&file, &roots(), NOW, None, None), "RCP-56");
}

#[test]
fn a_proof_of_something_else_is_rejected() {
    let genuine = proven();
    let piece = |kind, bytes: Vec<u8>| {
        let mut evidence = genuine.evidence.clone();
        evidence.retain(|piece| piece.kind != kind);
        evidence.extend((!bytes.is_empty()).then_some(Evidence { kind, bytes }));
        evidence
    };
    let bytes = |kind| {
        let found = genuine.evidence.iter().find(|piece| piece.kind == kind);
        found.expect("genuine").bytes.clone()
    };
    let with = |evidence| {
        let file = genuine.fixture.file_with(evidence).encode();
        verify(&file, &roots(), NOW, None, Some(&SYSTEM))
    };
    let registration = EvidenceKind::Registration;
    rejected(&with(piece(registration, Vec::new())), "RCP-56");
    rejected(&with(piece(registration, prover(&registered(11)).publish().expect("openings"))), "RCP-56");
    rejected(&with(piece(EvidenceKind::Proof, Vec::new())), "RCP-57");
    rejected(&with(piece(EvidenceKind::Proof, b"no proof".to_vec())), "RCP-57");
    let mut changed = bytes(EvidenceKind::Proof);
    let middle = changed.len() / 2;
    changed[middle] ^= 1;
    rejected(&with(piece(EvidenceKind::Proof, changed)), "RCP-57");

    let mut other = proven();
    other.fixture.claims.output = Commitment([7; 32]);
    rejected(&judge(&other), "RCP-57");
    // Of the same run, made for another job.
    let mut later = proven();
    later.fixture.header.nonce = [0x23; 32];
    later.fixture.claims.nonce = later.fixture.header.nonce;
    later.fixture.claims.job = later.fixture.header.id();
    let header = later.evidence.iter_mut().find(|piece| piece.kind == EvidenceKind::Header);
    header.expect("genuine").bytes = later.fixture.header.to_bytes();
    let verdict = judge(&later);
    assert!(verdict.failures().any(|finding| finding.id == "RCP-57"), "{}", verdict.text());
}

/// The same job when the member drawn first gave a broken proof, or what `alter` makes of its receipt's and proof's place in the
/// evidence, and the first reserve proved it.
fn replaced(alter: impl FnOnce(&mut Claims, &mut Vec<u8>)) -> Proven {
    let mut proven = proven();
    let claims = &mut proven.fixture.claims;
    let (member, reserve) = (proven.fixture.header.committee[0], proven.fixture.header.reserves[0]);
    let proof = proven.evidence.iter().find(|piece| piece.kind == EvidenceKind::Proof);
    let mut its_proof = proof.expect("proven").bytes.clone();
    let middle = its_proof.len() / 2;
    its_proof[middle] ^= 1;
    let mut its_claims = claims.clone();
    alter(&mut its_claims, &mut its_proof);
    let kind = EvidenceKind::Proof;
    its_claims.evidence = vec![EvidenceDigest { kind, digest: kind.digest(&its_proof) }];
    let receipt = its_claims.sign(&node(&member)).expect("it may").as_bytes().to_vec();
    let given = vec![FalseProof { receipt, proof: its_proof }];
    let bytes = FalseProofs { given, ..FalseProofs::none() }.to_bytes();
    proven.evidence.push(Evidence { kind: EvidenceKind::Dispute, bytes });
    claims.faults = vec![Fault { node: member, kind: FaultKind::BadProof }];
    claims.reserves_used = vec![reserve];
    claims.issuer = reserve;
    proven
}

#[test]
fn who_gave_a_proof_that_does_not_hold_is_shown_to_anybody() {
    let proven = replaced(|_, _| {});
    let member = proven.fixture.header.committee[0];
    let verdict = judge(&proven);
    assert!(verdict.is_accepted(), "{}", verdict.text());
    let shown: Vec<_> = verdict.findings().filter(|finding| finding.id == "RCP-59").collect();
    assert!(
        matches!(shown[..], [finding] if finding.status == Status::Holds && finding.text.contains(&member.short()))
    );
    assert!(verdict.findings().all(|finding| finding.id != "RCP-81"));

    // Without evidence it is the client's word, and said to be.
    let mut word = replaced(|_, _| {});
    word.evidence.retain(|piece| piece.kind != EvidenceKind::Dispute);
    let verdict = judge(&word);
    assert!(verdict.is_accepted(), "{}", verdict.text());
    let unshown = verdict.findings().find(|finding| finding.id == "RCP-81").expect("said");
    assert!(unshown.text.contains("the client says so") && unshown.status == Status::NotShown);
    assert!(verdict.findings().all(|finding| finding.id != "RCP-59"));
}

#[test]
fn a_receipt_that_accuses_falsely_is_rejected() {
    let middle = |proof: &mut Vec<u8>| {
        let at = proof.len() / 2;
        proof[at] ^= 1;
    };
    // The bit is flipped back: the member's proof holds.
    let framed = judge(&replaced(|_, proof| middle(proof)));
    rejected(&framed, "RCP-59");
    let text = framed.failures().next().expect("rejected").text.clone();
    assert!(text.contains("E-QRM-15") && text.contains("the accusation is false"), "{text}");
    // Signed under another job, or about other records.
    rejected(&judge(&replaced(|claims, _| claims.nonce = [9; 32])), "RCP-59");
    rejected(&judge(&replaced(|claims, _| claims.job.0.0[0] ^= 1)), "RCP-59");
    rejected(&judge(&replaced(|claims, _| claims.records += 1)), "RCP-59");
    // Of a member that the claims do not accuse.
    let mut silent = replaced(|_, _| {});
    silent.fixture.claims.faults[0].kind = FaultKind::Late;
    rejected(&judge(&silent), "RCP-59");
    // No evidence at all, or more than there may be.
    for bytes in [b"nothing".to_vec(), FalseProofs { version: 9, ..FalseProofs::none() }.to_bytes()] {
        let mut unreadable = replaced(|_, _| {});
        let piece = unreadable.evidence.iter_mut().find(|piece| piece.kind == EvidenceKind::Dispute);
        piece.expect("given").bytes = bytes;
        rejected(&judge(&unreadable), "RCP-59");
    }
    // Every flipped bit of it.
    let genuine = replaced(|_, _| {});
    let at = genuine.evidence.iter().position(|piece| piece.kind == EvidenceKind::Dispute).expect("given");
    let length = genuine.evidence[at].bytes.len();
    for position in (0..length).step_by(length / 25) {
        let mut evidence = genuine.evidence.clone();
        evidence[at].bytes[position] ^= 1;
        let file = genuine.fixture.file_with(evidence).encode();
        rejected(&verify(&file, &roots(), NOW, None, Some(&SYSTEM)), "RCP-59");
    }
}
