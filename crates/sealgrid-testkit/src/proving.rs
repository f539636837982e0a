//! The contract of [`ProofSystem`]: a proof is one of its own statement and of no other, and nothing is spent on what is not proven.

use sealgrid_graph::arbitrary::small_model;
use sealgrid_graph::execute::{Batch, Executor as _};
use sealgrid_graph::model::{Model, ModelCommitment};
use sealgrid_graph::proving::{
    Asked, ProofSystem, ProvenRun, Prover, ProvingError, Side, Statement, Verifier,
};
use sealgrid_graph::reference::Reference;
use sealgrid_graph::tensor::{Data, Shape};
use sealgrid_seal::digest::{Commitment, CommitmentKey, Digest};
use sealgrid_seal::rand_core::CryptoRng;

/// Openings of the registrations that the suites ask for.
pub const OPENINGS: u32 = 4;

/// A model that is to be registered with [`OPENINGS`].
#[must_use]
pub fn unregistered(rng: &mut impl CryptoRng) -> Model {
    small_model(10, rng)
}

/// Two records for it.
fn batch(last: i8) -> Vec<Batch> {
    let shape = Shape::new(&[1, 2]).expect("small");
    vec![Batch::new(2, shape, Data::I8(vec![1, 2, 30, last])).expect("filled")]
}

fn key() -> CommitmentKey {
    CommitmentKey::new([5; 32])
}

fn prover(system: &dyn ProofSystem, model: &Model) -> Box<dyn Prover> {
    system.prover(Model::from_bytes(&model.to_bytes()).expect("its own file")).expect("registered")
}

fn verifier(system: &dyn ProofSystem, prover: &dyn Prover) -> Box<dyn Verifier> {
    system.verifier(&prover.publish().expect("has openings")).expect("its own publication")
}

fn prove(prover: &dyn Prover, model: &Model, verifier: &dyn Verifier, nonce: u8) -> (Statement, ProvenRun) {
    let prepared = Reference.prepare(model.graph().clone()).expect("always");
    let input = verifier.commit(Side::Inputs, &key(), &batch(4)).expect("two records");
    let (mut spent, key) = (0, key());
    let asked = Asked { nonce: [nonce; 32], key: &key, inputs: &batch(4), input, memory_max: u64::MAX };
    let mut spend = || {
        spent += 1;
        true
    };
    let run = prover.prove(prepared.as_ref(), &asked, &mut spend).expect("provable");
    assert_eq!(spent, 1);
    let model = model.commitment();
    (Statement { model, nonce: [nonce; 32], records: 2, input, output: run.output }, run)
}

/// A proof of a run holds for its own statement, and for none that differs in anything.
///
/// # Panics
/// When the contract is broken.
pub fn a_run_is_proven_between_two_commitments_for_one_job(system: &dyn ProofSystem, model: &Model) {
    let prover = prover(system, model);
    assert_eq!(prover.openings().count, OPENINGS);
    let verifier = verifier(system, prover.as_ref());
    assert_eq!(verifier.model().commitment(), model.commitment());
    let (statement, run) = prove(prover.as_ref(), model, verifier.as_ref(), 1);
    let expected = Reference.prepare(model.graph().clone()).expect("always").run(&batch(4), &mut ());
    assert_eq!(run.outputs, expected.expect("runs"));
    assert_eq!(verifier.commit(Side::Outputs, &key(), &run.outputs), Ok(run.output));
    assert_eq!(prover.commit(Side::Outputs, &key(), &run.outputs), Ok(run.output));
    let tenths = verifier.verify(&statement, &run.proof).expect("an honest proof");
    assert!(tenths >= 990, "{tenths} tenths of a bit");
    for changed in [
        Statement { nonce: [2; 32], ..statement },
        Statement { records: 3, ..statement },
        Statement { input: Commitment([9; 32]), ..statement },
        Statement { output: Commitment([9; 32]), ..statement },
        Statement { input: statement.output, output: statement.input, ..statement },
        Statement { model: ModelCommitment(Digest([9; 32])), ..statement },
    ] {
        assert!(verifier.verify(&changed, &run.proof).is_err(), "{changed:?}");
    }
    let (_, next) = prove(prover.as_ref(), model, verifier.as_ref(), 2);
    assert!(verifier.verify(&statement, &next.proof).is_err(), "another job's proof");
    for wrong in [&b"no proof"[..], &run.proof[..run.proof.len() - 1], &[&run.proof[..], &[0]].concat()] {
        assert!(verifier.verify(&statement, wrong).is_err());
    }
}

/// What a model's prover proves, another model's verifier does not accept.
///
/// # Panics
/// When the contract is broken.
pub fn another_models_verifier_accepts_nothing(system: &dyn ProofSystem, model: &Model, other: &Model) {
    let prover = prover(system, model);
    let own = verifier(system, prover.as_ref());
    let others = verifier(system, self::prover(system, other).as_ref());
    let (statement, run) = prove(prover.as_ref(), model, own.as_ref(), 1);
    assert!(others.verify(&statement, &run.proof).is_err());
    let renamed = Statement { model: other.commitment(), ..statement };
    assert!(others.verify(&renamed, &run.proof).is_err());
}

/// Records that were not committed to, or do not fit, cost no opening; and without one nothing is proven.
///
/// # Panics
/// When the contract is broken.
pub fn nothing_is_spent_on_what_is_not_proven_and_nothing_proven_that_is_not_spent(
    system: &dyn ProofSystem,
    model: &Model,
) {
    let prover = prover(system, model);
    let prepared = Reference.prepare(model.graph().clone()).expect("always");
    let key = key();
    let verifier = verifier(system, prover.as_ref());
    let input = verifier.commit(Side::Inputs, &key, &batch(4)).expect("two records");
    let mut spent = 0;
    let mut spend = || {
        spent += 1;
        true
    };
    let asked = Asked { nonce: [1; 32], key: &key, inputs: &batch(5), input, memory_max: u64::MAX };
    let refused = prover.prove(prepared.as_ref(), &asked, &mut spend).expect_err("other records");
    assert_eq!(refused, ProvingError::OtherInput);
    assert!(prover.prove(prepared.as_ref(), &Asked { inputs: &[], ..asked }, &mut spend).is_err());
    let asked = Asked { inputs: &batch(4), ..asked };
    let refused = prover.prove(prepared.as_ref(), &Asked { memory_max: 1 << 10, ..asked }, &mut spend);
    assert!(matches!(refused, Err(ProvingError::TooLarge(_))), "a kibibyte: {refused:?}");
    assert_eq!(spent, 0);
    let refused = prover.prove(prepared.as_ref(), &asked, &mut || false).expect_err("none left");
    assert_eq!(refused, ProvingError::NoOpening);
}

/// A model that is not registered has no prover, and bytes that were changed have no verifier.
///
/// # Panics
/// When the contract is broken.
pub fn only_registered_models_have_provers_and_only_what_was_published_verifiers(
    system: &dyn ProofSystem,
    unregistered: Model,
    model: &Model,
) {
    assert!(system.prover(unregistered).is_err());
    let published = prover(system, model).publish().expect("has openings");
    for at in (0..published.len()).step_by(published.len() / 40) {
        let mut changed = published.clone();
        changed[at] ^= 1;
        assert!(system.verifier(&changed).is_err(), "byte {at}");
    }
}
