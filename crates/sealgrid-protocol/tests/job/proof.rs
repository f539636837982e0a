//! JOB-05, JOB-11 and QUORUM-20: jobs that one node proves. Models, proofs and their checks are real ones.

use std::sync::{Arc, OnceLock};

use rand_chacha::ChaCha20Rng;
use sealgrid_graph::arbitrary::small_model;
use sealgrid_graph::execute::{Batch, Executor as _, Prepared};
use sealgrid_graph::model::Model;
use sealgrid_graph::proving::{
    Asked, Openings, ProofSystem as _, ProvenRun, Prover, ProvingError, Side, Verifier, Verifiers as _,
};
use sealgrid_graph::reference::Reference;
use sealgrid_graph::tensor::{Data, Shape};
use sealgrid_proof::file::RegisteredParameters;
use sealgrid_proof::level::Level;
use sealgrid_proof::system::System;
use sealgrid_protocol::claims::{Claims, EvidenceDigest, EvidenceKind, FaultKind, SignedClaims};
use sealgrid_protocol::job::client::{Plan, Reason};
use sealgrid_protocol::job::evidence::{EvidenceError, FalseProof, FalseProofs};
use sealgrid_protocol::job::header::{CommittedPayload, JobHeader, Payload, TraceShape};
use sealgrid_protocol::job::message::{Answer, Message, Why};
use sealgrid_protocol::names::{JobId, ModelCommitment, Verification};
use sealgrid_seal::digest::{Commitment, CommitmentKey, Digest};
use sealgrid_seal::identity::PublicIdentity;

use crate::grid::{CLIENT, Grid, START, Said, header, identity, job_key, plan, public, rng};

const SYSTEM: System<ChaCha20Rng> = System(|| rng(3));

/// Registered for sixteen openings.
fn model() -> &'static Model {
    static MODEL: OnceLock<Model> = OnceLock::new();
    MODEL.get_or_init(|| {
        RegisteredParameters::register(small_model(10, &mut rng(1)), 16, Level::default())
            .expect("registrable")
            .0
    })
}

fn inputs() -> Vec<Batch> {
    let shape = Shape::new(&[1, 2]).expect("small");
    vec![Batch::new(2, shape, Data::I8(vec![1, 2, 30, -40])).expect("two records of two")]
}

fn payload() -> Payload {
    Payload { job_key: job_key(), inputs: inputs() }
}

fn prover() -> Box<dyn Prover> {
    SYSTEM.prover(Model::from_bytes(&model().to_bytes()).expect("a model")).expect("registered")
}

fn published() -> &'static [u8] {
    static PUBLISHED: OnceLock<Vec<u8>> = OnceLock::new();
    PUBLISHED.get_or_init(|| prover().publish().expect("has openings"))
}

fn verifier() -> Box<dyn Verifier> {
    SYSTEM.verifier(published()).expect("holds")
}

fn honest() -> Box<dyn Prepared> {
    Reference.prepare(model().graph().clone()).expect("always")
}

fn proven_header() -> JobHeader {
    let committed = verifier().commit(Side::Inputs, &payload().job_key, &inputs());
    JobHeader {
        model: model().commitment(),
        shape: TraceShape::of(model().graph()),
        input: committed.expect("two records"),
        verification: Verification::Proof,
        verification_asked: Verification::Proof,
        ..header(1, 3)
    }
}

fn proven_plan() -> Plan {
    let header = proven_header();
    let registration = EvidenceKind::Registration;
    let evidence = vec![EvidenceDigest { kind: registration, digest: registration.digest(published()) }];
    Plan { payload: CommittedPayload::committed(payload(), header.input), evidence, ..plan(header) }
}

/// A member and two reserves, all of which can prove.
fn grid() -> Grid {
    let mut grid = Grid::planned(proven_plan(), (0..3).map(|_| honest()).collect());
    for node in &mut grid.nodes {
        node.prover = Some(prover());
        node.openings.set(2);
    }
    grid.verifier = Some(verifier());
    grid
}

/// What the member answers when `alter` had its way with it. Signed again by the member.
fn altered(alter: impl Fn(&mut Claims, &mut Answer) + 'static) -> Grid {
    grid().on_message(move |said: &Said| match &said.message {
        Message::Answer(answer) if said.from == 0 => Some(vec![resigned(0, answer, &alter)]),
        _ => None,
    })
}

fn resigned(node: usize, answer: &Answer, alter: impl Fn(&mut Claims, &mut Answer)) -> Message {
    let mut answer = answer.clone();
    let mut claims = SignedClaims::from_bytes(answer.receipt.clone()).verify().expect("its own");
    alter(&mut claims, &mut answer);
    answer.receipt = claims.sign(&identity(node)).expect("it may").as_bytes().to_vec();
    Message::Answer(answer)
}

fn renamed(claims: &mut Claims, proof: &[u8]) {
    let kind = EvidenceKind::Proof;
    claims.evidence.iter_mut().filter(|piece| piece.kind == kind).for_each(|piece| {
        piece.digest = kind.digest(proof);
    });
}

#[test]
fn quorum_20_a_proven_job_ends_in_a_receipt_that_names_its_proof_and_anybody_can_check_it() {
    let grid = grid().run();
    let accepted = grid.accepted();
    assert_eq!(accepted.output, honest().run(&inputs(), &mut ()).expect("runs"));
    let claims = grid.claims();
    assert_eq!((claims.issuer, claims.verification_used), (public(0), Verification::Proof));
    let proof = grid.evidence(EvidenceKind::Proof);
    assert_eq!(claims.evidence(EvidenceKind::Proof), Some(EvidenceKind::Proof.digest(&proof)));
    assert!(claims.evidence(EvidenceKind::Registration).is_some() && claims.faults.is_empty());
    // Whoever holds nothing but commitments.
    assert!(verifier().verify(&claims.proven(), &proof).expect("holds") > 990);
    assert!(verifier().verify(&Claims { records: 3, ..claims }.proven(), &proof).is_err());
    assert_eq!(grid.nodes[0].openings.get(), 1);
}

#[test]
fn quorum_20_a_result_whose_proof_does_not_hold_costs_the_member_its_place() {
    // A proof that is broken, and one of another result than the one that is claimed.
    let lies: [fn(&mut Claims, &mut Answer); 2] =
        [broken, |claims, _: &mut Answer| claims.output = Commitment([7; 32])];
    for lie in lies {
        let grid = altered(lie).run();
        assert_eq!(grid.faults_of(0), [FaultKind::BadProof]);
        assert_eq!(grid.claims().issuer, public(1), "the first reserve proves it");
    }
}

/// A bit of the proof is flipped, and the receipt signed anew over it.
fn broken(claims: &mut Claims, answer: &mut Answer) {
    let proof = answer.proof.as_mut().expect("a proof");
    let middle = proof.len() / 2;
    proof[middle] ^= 1;
    renamed(claims, proof);
}

/// The dispute evidence of a job's end, checked as a stranger checks it.
fn shown(grid: &Grid) -> Result<Vec<PublicIdentity>, EvidenceError> {
    let bytes = grid.evidence(EvidenceKind::Dispute);
    let claims = grid.claims();
    assert_eq!(claims.evidence(EvidenceKind::Dispute), Some(EvidenceKind::Dispute.digest(&bytes)));
    FalseProofs::from_bytes(&bytes).and_then(|proofs| proofs.check(&claims, verifier().as_ref()))
}

#[test]
fn quorum_21_the_next_receipt_carries_the_proof_that_does_not_hold_and_what_was_signed_with_it() {
    let grid = altered(broken).run();
    assert_eq!(shown(&grid), Ok(vec![public(0)]));
    // Two of them, in draw order.
    let both = self::grid().on_message(|said: &Said| match &said.message {
        Message::Answer(answer) if said.from < 2 => Some(vec![resigned(said.from, answer, broken)]),
        _ => None,
    });
    let both = both.run();
    assert_eq!((both.claims().issuer, shown(&both)), (public(2), Ok(vec![public(0), public(1)])));
    // Everybody: nothing is accepted, and what shows why is with the refusal.
    let all = self::grid().on_message(|said: &Said| match &said.message {
        Message::Answer(answer) => Some(vec![resigned(said.from, answer, broken)]),
        _ => None,
    });
    let all = all.run();
    assert_eq!(all.refused().reason, Reason::TooFewNodes);
    let given = FalseProofs::from_bytes(&all.evidence(EvidenceKind::Dispute)).expect("canonical").given;
    assert_eq!(given.len(), 3);
}

#[test]
fn quorum_21_what_only_the_client_can_see_stays_its_word() {
    // The proof holds for what is claimed; what was delivered is something else.
    let mut misdelivered = grid();
    misdelivered.nodes[0].prover = Some(Box::new(Misdelivering(prover())));
    let misdelivered = misdelivered.run();
    assert_eq!(misdelivered.faults_of(0), [FaultKind::BadProof]);
    assert_eq!(misdelivered.claims().evidence(EvidenceKind::Dispute), None);
    assert!(misdelivered.evidence(EvidenceKind::Dispute).is_empty());

    // A client that cannot check has nothing to show.
    let mut blind = grid();
    blind.verifier = None;
    let blind = blind.run();
    assert_eq!(blind.refused().faults.len(), 3);
    assert!(blind.evidence(EvidenceKind::Dispute).is_empty());
}

/// Proves one result, commits to it, and delivers another.
struct Misdelivering(Box<dyn Prover>);

impl Prover for Misdelivering {
    fn openings(&self) -> Openings {
        self.0.openings()
    }

    fn publish(&self) -> Result<Vec<u8>, ProvingError> {
        self.0.publish()
    }

    fn commit(&self, side: Side, key: &CommitmentKey, batches: &[Batch]) -> Result<Commitment, ProvingError> {
        self.0.commit(side, key, batches)
    }

    fn prove(
        &self,
        prepared: &dyn Prepared,
        asked: &Asked<'_>,
        spend: &mut dyn FnMut() -> bool,
    ) -> Result<ProvenRun, ProvingError> {
        let mut run = self.0.prove(prepared, asked, spend)?;
        let first = &run.outputs[0];
        let Data::I8(mut elements) = first.data().clone() else { panic!("the small model yields bytes") };
        elements[0] ^= 1;
        run.outputs[0] =
            Batch::new(first.records(), first.shape().clone(), Data::I8(elements)).expect("of its shape");
        Ok(run)
    }
}

#[test]
fn quorum_21_an_accusation_that_is_not_true_is_refused() {
    let grid = altered(broken).run();
    let genuine = FalseProofs::from_bytes(&grid.evidence(EvidenceKind::Dispute)).expect("canonical");
    let claims = grid.claims();
    let refused = |proofs: &FalseProofs, claims: &Claims| match proofs.check(claims, verifier().as_ref()) {
        Err(EvidenceError::Dispute { rule: "QUORUM-21", what }) => what,
        other => panic!("{other:?}"),
    };
    let with = |given: Vec<FalseProof>| FalseProofs { given, ..genuine.clone() };
    let one = genuine.given[0].clone();

    // An honest member's receipt and proof, given out as a liar's.
    let honest = self::grid().run();
    let (receipt, proof) = (honest.accepted().receipt.clone(), honest.evidence(EvidenceKind::Proof));
    let holds = refused(&with(vec![FalseProof { receipt: receipt.clone(), proof }]), &claims);
    assert_eq!(holds, "a proof that is called false holds: the accusation is false");
    // The same receipt beside a proof that it does not name.
    let other = refused(&with(vec![FalseProof { receipt, proof: one.proof.clone() }]), &claims);
    assert_eq!(other, "a false proof that is not the one that was signed for");
    // Signed by nobody, or about something else.
    let unsigned = FalseProof { receipt: b"no receipt".to_vec(), ..one.clone() };
    assert_eq!(
        refused(&with(vec![unsigned]), &claims),
        "a false proof that nobody signed for under this job"
    );
    for another in [
        Claims { job: JobId(Digest([1; 32])), ..claims.clone() },
        Claims { input: Commitment([1; 32]), ..claims.clone() },
        Claims { records: 3, ..claims.clone() },
        Claims { model: ModelCommitment(Digest([1; 32])), ..claims.clone() },
    ] {
        assert_eq!(refused(&genuine, &another), "a false proof that nobody signed for under this job");
    }
    // Of somebody who is not accused of it, and twice of one.
    let unnamed = Claims { faults: Vec::new(), ..claims.clone() };
    let not_named = "a false proof of somebody whom the claims do not name for it, or not in order";
    assert_eq!(refused(&genuine, &unnamed), not_named);
    assert_eq!(refused(&with(vec![one.clone(), one]), &claims), not_named);
    // In another spelling, or of another version.
    let bytes = genuine.to_bytes();
    for wrong in [&b""[..], &bytes[..bytes.len() - 1], &[&bytes[..], &[0]].concat()] {
        assert_eq!(FalseProofs::from_bytes(wrong), Err(EvidenceError::Unreadable("false proofs")));
    }
    let later = FalseProofs { version: 2, ..genuine };
    assert!(FalseProofs::from_bytes(&later.to_bytes()).is_err());
}

#[test]
fn quorum_21_what_shows_a_false_proof_outlives_the_client_that_found_it() {
    let mut grid = altered(broken);
    grid.kill_after = Some("voter-01");
    let grid = grid.run();
    assert_eq!((grid.claims().issuer, shown(&grid)), (public(1), Ok(vec![public(0)])));
}

#[test]
fn quorum_20_a_receipt_that_does_not_name_the_proof_is_none() {
    let cases: [fn(&mut Claims, &mut Answer); 4] = [
        |claims, _| claims.evidence.retain(|piece| piece.kind != EvidenceKind::Proof),
        |_, answer| answer.proof = None,
        |claims, answer| {
            claims.evidence.retain(|piece| piece.kind != EvidenceKind::Proof);
            answer.proof = None;
        },
        |claims, _| renamed(claims, b"another"),
    ];
    for alter in cases {
        let grid = altered(alter).run();
        assert_eq!(grid.faults_of(0), [FaultKind::Refuse]);
        assert_eq!(grid.claims().issuer, public(1));
    }
}

#[test]
fn quorum_20_who_cannot_prove_declines_and_says_why() {
    let mut cannot = grid();
    cannot.nodes[0].prover = None;
    cannot.nodes[1].openings.set(0);
    let cannot = cannot.run();
    assert_eq!(cannot.declined, [(public(0), Why::NoProof), (public(1), Why::NoOpening)]);
    assert_eq!((Why::NoProof.code(), Why::NoOpening.code()), ("E-AVL-64", "E-RES-62"));
    assert_eq!(cannot.claims().issuer, public(2));
    assert_eq!(cannot.claims().faults.len(), 2);

    let mut nobody = grid();
    nobody.nodes.iter_mut().for_each(|node| node.openings.set(0));
    assert_eq!(nobody.run().refused().reason, Reason::TooFewNodes);
}

#[test]
fn job_11_nothing_is_spent_on_records_that_were_not_committed_to() {
    let mut plan = proven_plan();
    plan.header.input = Commitment([9; 32]);
    plan.payload = CommittedPayload::committed(payload(), plan.header.input);
    let mut grid = Grid::planned(plan, (0..3).map(|_| honest()).collect());
    grid.nodes.iter_mut().for_each(|node| {
        node.prover = Some(prover());
        node.openings.set(2);
    });
    let grid = grid.run();
    assert_eq!(grid.refused().reason, Reason::TooFewNodes);
    assert!(grid.declined.iter().all(|(_, why)| *why == Why::Malformed), "{:?}", grid.declined);
    assert!(grid.nodes.iter().all(|node| node.openings.get() == 2));
}

#[test]
fn quorum_20_a_draft_that_names_a_proof_already_is_refused_before_anything_is_spent() {
    let grid = grid().on_message(|said: &Said| match &said.message {
        Message::Assign(assign) if said.to == 0 => {
            let mut assign = Arc::unwrap_or_clone(Arc::clone(assign));
            let draft = assign.draft.as_mut().expect("one answers alone");
            let at = draft.evidence.partition_point(|piece| piece.kind < EvidenceKind::Proof);
            let named = EvidenceDigest { kind: EvidenceKind::Proof, digest: Digest([1; 32]) };
            draft.evidence.insert(at, named);
            Some(vec![Message::Assign(Arc::new(assign))])
        }
        _ => None,
    });
    let grid = grid.run();
    assert_eq!(grid.declined, [(public(0), Why::BadClaims)]);
    assert_eq!(grid.nodes[0].openings.get(), 2);
}

#[test]
fn job_10_a_proof_is_made_once_and_given_again_after_a_crash() {
    let mut grid = grid();
    let mut kept = None;
    let assign = loop {
        match sealgrid_protocol::machine::Machine::poll(&mut grid.client).expect("it begins") {
            sealgrid_protocol::job::client::ClientEffect::Send { message, .. } => break message,
            sealgrid_protocol::job::client::ClientEffect::Store { ticket, .. } => {
                let event = sealgrid_protocol::job::client::ClientEvent::Stored { ticket };
                sealgrid_protocol::machine::Machine::handle(&mut grid.client, START, event);
            }
            _ => {}
        }
    };
    let mut node = grid.nodes.remove(0);
    for restarts in 0..3 {
        let said = node.hear(START + 1, CLIENT, assign.clone());
        assert!(matches!(said[..], [Message::Answer(_)]), "{said:?}");
        assert_eq!(*kept.get_or_insert(said.clone()), said, "after {restarts} restarts");
        assert_eq!(node.openings.get(), 1);
        node.restart(START + 1);
    }
}

#[test]
fn a_client_that_was_killed_finishes_its_proven_job() {
    for word in ["plan", "voter-00", "decision"] {
        let mut grid = grid();
        grid.kill_after = Some(word);
        let grid = grid.run();
        assert_eq!(grid.claims().issuer, public(0), "{word}");
        assert!(verifier().verify(&grid.claims().proven(), &grid.evidence(EvidenceKind::Proof)).is_ok());
    }
}

#[test]
fn nobody_else_than_its_members_sees_anything_of_a_proven_jobs_records() {
    let grid = grid().run();
    let Payload { inputs, .. } = payload();
    let bytes = inputs[0].data().view().le_bytes();
    let sent = grid.transcript.iter().map(|said| said.message.encode());
    assert!(
        sent.flat_map(|message| message.windows(bytes.len()).map(<[u8]>::to_vec).collect::<Vec<_>>())
            .all(|window| window != *bytes)
    );
}
