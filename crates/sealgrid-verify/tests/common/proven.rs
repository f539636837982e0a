//! A genuine receipt that rests on a proof.

#![allow(dead_code, reason = "each test file uses its own part")]

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng as _;
use sealgrid_graph::arbitrary::small_model;
use sealgrid_graph::execute::{Batch, Executor as _};
use sealgrid_graph::model::Model;
use sealgrid_graph::proving::{Asked, ProofSystem as _, Prover, Side, Verifiers as _};
use sealgrid_graph::reference::Reference;
use sealgrid_graph::tensor::{Data, Shape};
use sealgrid_proof::file::RegisteredParameters;
use sealgrid_proof::level::Level;
use sealgrid_proof::system::System;
use sealgrid_protocol::claims::EvidenceKind;
use sealgrid_protocol::names::{Environment, Verification};
use sealgrid_protocol::policy::Policy;
use sealgrid_protocol::receipt::Evidence;

use crate::common::*;

pub const SYSTEM: System<ChaCha20Rng> = System(|| ChaCha20Rng::from_seed([7; 32]));

pub fn inputs() -> Vec<Batch> {
    let data = Data::I8(vec![1, 2, 30, -40, 5, 6, -7, 8]);
    vec![Batch::new(RECORDS, Shape::new(&[1, 2]).expect("small"), data).expect("four records of two")]
}

pub struct Proven {
    pub fixture: Fixture,
    pub evidence: Vec<Evidence>,
    pub outputs: Vec<Batch>,
}

pub fn registered(bias: i32) -> Model {
    RegisteredParameters::register(
        small_model(bias, &mut ChaCha20Rng::from_seed([1; 32])),
        8,
        Level::default(),
    )
    .expect("registrable")
    .0
}

pub fn prover(model: &Model) -> Box<dyn Prover> {
    SYSTEM.prover(Model::from_bytes(&model.to_bytes()).expect("a model")).expect("registered")
}

/// A job that one node proved.
pub fn proven() -> Proven {
    let model = registered(10);
    let prover = prover(&model);
    let published = prover.publish().expect("has openings");
    let verifier = SYSTEM.verifier(&published).expect("holds");
    let input = verifier.commit(Side::Inputs, &job_key(), &inputs()).expect("four records");
    let policy = Policy { verification: Verification::Proof, ..Policy::default() };
    let mut fixture = Fixture::build_of(Environment::Software, &policy, false, (model.commitment(), input));
    let (nonce, key) = (fixture.header.id().0.0, job_key());
    let asked = Asked { nonce, key: &key, inputs: &inputs(), input, memory_max: u64::MAX };
    let prepared = Reference.prepare(model.graph().clone()).expect("always");
    let run = prover.prove(prepared.as_ref(), &asked, &mut || true).expect("provable");
    fixture.claims.output = run.output;
    let mut evidence = fixture.evidence();
    evidence.push(Evidence { kind: EvidenceKind::Proof, bytes: run.proof });
    evidence.push(Evidence { kind: EvidenceKind::Registration, bytes: published });
    Proven { fixture, evidence, outputs: run.outputs }
}
