use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;
use sealgrid_graph::execute::Executor as _;
use sealgrid_graph::reference::Reference;
use sealgrid_graph::tensor::Data;

use super::*;
use crate::file::test_model;

const SYSTEM: System<ChaCha20Rng> = System(|| ChaCha20Rng::from_seed([7; 32]));

fn registered(bias: i32) -> Model {
    let (model, _) = RegisteredParameters::register(test_model(bias), 4).expect("registrable");
    model
}

/// A model in two hands: the same file, read twice.
fn again(model: &Model) -> Model {
    Model::from_bytes(&model.to_bytes()).expect("a model")
}

fn batch(last: i8) -> Vec<Batch> {
    let shape = sealgrid_graph::tensor::Shape::new(&[1, 2]).expect("small");
    vec![Batch::new(2, shape, Data::I8(vec![1, 2, 30, last])).expect("filled")]
}

/// What is proven of a run under [`KEY`].
struct Proven {
    statement: Statement,
    run: ProvenRun,
}

fn key() -> CommitmentKey {
    CommitmentKey::new([5; 32])
}

fn prove(prover: &dyn Prover, model: &Model, verifier: &dyn Verifier, nonce: u8) -> Proven {
    let prepared = Reference.prepare(model.graph().clone()).expect("always");
    let input = verifier.commit(Side::Inputs, &key(), &batch(4)).expect("two records");
    let (mut spent, key) = (0, key());
    let asked = Asked { nonce: [nonce; 32], key: &key, inputs: &batch(4), input };
    let mut spend = || {
        spent += 1;
        true
    };
    let run = prover.prove(prepared.as_ref(), &asked, &mut spend).expect("provable");
    assert_eq!(spent, 1);
    let model = model.commitment();
    let statement = Statement { model, nonce: [nonce; 32], records: 2, input, output: run.output };
    Proven { statement, run }
}

fn code(result: Result<u32, ProvingError>) -> &'static str {
    match result {
        Err(ProvingError::Other { code, .. }) => code,
        other => panic!("refused by the proof system's own words, not {other:?}"),
    }
}

#[test]
fn a_run_is_proven_between_two_commitments_for_one_job() {
    let model = registered(10);
    let prover = SYSTEM.prover(again(&model)).expect("registered");
    assert_eq!(prover.openings().count, 4);
    let published = prover.publish().expect("has openings");
    let verifier = SYSTEM.verifier(&published).expect("holds");
    assert_eq!(verifier.model().commitment(), model.commitment());
    let Proven { statement, run } = prove(prover.as_ref(), &model, verifier.as_ref(), 1);
    let expected = Reference.prepare(model.graph().clone()).expect("always").run(&batch(4), &mut ());
    assert_eq!(run.outputs, expected.expect("runs"));
    let committed = verifier.commit(Side::Outputs, &key(), &run.outputs);
    assert_eq!(committed, Ok(run.output));
    let tenths = verifier.verify(&statement, &run.proof).expect("an honest proof");
    assert!(tenths >= 990, "{tenths}");

    // Nothing of a statement can be another.
    let other = Commitment([9; 32]);
    for changed in [
        Statement { nonce: [2; 32], ..statement },
        Statement { records: 3, ..statement },
        Statement { input: other, ..statement },
        Statement { output: other, ..statement },
        Statement { input: statement.output, output: statement.input, ..statement },
        Statement { model: registered(11).commitment(), ..statement },
    ] {
        assert_eq!(code(verifier.verify(&changed, &run.proof)), "E-PRF-18");
    }
    // What two proofs say is not interchangeable.
    let next = prove(prover.as_ref(), &model, verifier.as_ref(), 2);
    assert_eq!(code(verifier.verify(&statement, &next.run.proof)), "E-PRF-18");
    assert_eq!(code(verifier.verify(&statement, b"no proof")), "E-PRF-10");
    let mut cut = run.proof.clone();
    cut.truncate(cut.len() - 1);
    assert_eq!(code(verifier.verify(&statement, &cut)), "E-PRF-10");
}

#[test]
fn another_models_verifier_accepts_nothing() {
    let (model, other) = (registered(10), registered(11));
    let prover = SYSTEM.prover(again(&model)).expect("registered");
    let own = SYSTEM.verifier(&prover.publish().expect("has openings")).expect("holds");
    let published = SYSTEM.prover(again(&other)).expect("registered").publish().expect("has openings");
    let verifier = SYSTEM.verifier(&published).expect("holds");
    let Proven { statement, run } = prove(prover.as_ref(), &model, own.as_ref(), 1);
    assert_eq!(code(verifier.verify(&statement, &run.proof)), "E-PRF-11");
}

#[test]
fn nothing_is_spent_on_what_is_not_proven_and_nothing_proven_that_is_not_spent() {
    let model = registered(10);
    let prover = SYSTEM.prover(again(&model)).expect("registered");
    let prepared = Reference.prepare(model.graph().clone()).expect("always");
    let key = key();
    let verifier = SYSTEM.verifier(&prover.publish().expect("has openings")).expect("holds");
    let input = verifier.commit(Side::Inputs, &key, &batch(4)).expect("two records");
    let mut spent = 0;
    let mut spend = || {
        spent += 1;
        true
    };
    let asked = Asked { nonce: [1; 32], key: &key, inputs: &batch(5), input };
    let refused = prover.prove(prepared.as_ref(), &asked, &mut spend).expect_err("other records");
    assert_eq!(refused, ProvingError::OtherInput);
    let refused = prover.prove(prepared.as_ref(), &Asked { inputs: &[], ..asked }, &mut spend);
    assert!(matches!(refused, Err(ProvingError::Other { .. } | ProvingError::TooLarge(_))), "{refused:?}");
    assert_eq!(spent, 0);
    let asked = Asked { inputs: &batch(4), ..asked };
    let refused = prover.prove(prepared.as_ref(), &asked, &mut || false).expect_err("none left");
    assert_eq!(refused, ProvingError::NoOpening);
}

#[test]
fn only_registered_models_have_provers_and_only_what_was_published_verifiers() {
    let refused = SYSTEM.prover(test_model(10)).err();
    assert!(matches!(refused, Some(ProvingError::Other { code: "E-PRF-20", .. })), "{refused:?}");
    let published = SYSTEM.prover(registered(10)).expect("registered").publish().expect("has openings");
    for at in (0..published.len()).step_by(published.len() / 40) {
        let mut changed = published.clone();
        changed[at] ^= 1;
        assert!(SYSTEM.verifier(&changed).is_err(), "byte {at}");
    }
}
