use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;
use sealgrid_testkit::proving::{self, OPENINGS};

use super::*;

const SYSTEM: System<ChaCha20Rng> = System(|| rng(7));

fn rng(seed: u8) -> ChaCha20Rng {
    ChaCha20Rng::from_seed([seed; 32])
}

/// The suites' model, with the salts of this seed.
fn registered(seed: u8) -> Model {
    let model = proving::unregistered(&mut rng(seed));
    RegisteredParameters::register(model, OPENINGS, Level::default()).expect("registrable").0
}

#[test]
fn a_run_is_proven_between_two_commitments_for_one_job() {
    proving::a_run_is_proven_between_two_commitments_for_one_job(&SYSTEM, &registered(1));
}

#[test]
fn another_models_verifier_accepts_nothing() {
    proving::another_models_verifier_accepts_nothing(&SYSTEM, &registered(1), &registered(2));
}

#[test]
fn nothing_is_spent_on_what_is_not_proven_and_nothing_proven_that_is_not_spent() {
    let model = registered(1);
    proving::nothing_is_spent_on_what_is_not_proven_and_nothing_proven_that_is_not_spent(&SYSTEM, &model);
}

#[test]
fn only_registered_models_have_provers_and_only_what_was_published_verifiers() {
    let plain = proving::unregistered(&mut rng(1));
    proving::only_registered_models_have_provers_and_only_what_was_published_verifiers(
        &SYSTEM,
        plain,
        &registered(1),
    );
}

#[test]
fn a_refusal_has_its_code() {
    let published = SYSTEM.prover(registered(1)).expect("registered").publish().expect("has openings");
    let verifier = SYSTEM.verifier(&published).expect("holds");
    let nowhere = Commitment([0; 32]);
    let statement = Statement {
        model: verifier.model().commitment(),
        nonce: [0; 32],
        records: 1,
        input: nowhere,
        output: nowhere,
    };
    let code = |proof: &[u8]| match verifier.verify(&statement, proof) {
        Err(ProvingError::Other { code, .. }) => code,
        other => panic!("refused in the proof system's own words, not {other:?}"),
    };
    assert_eq!(code(b"no proof"), "E-PRF-10");
    let prepared = sealgrid_graph::reference::Reference;
    let (model, key) = (registered(1), CommitmentKey::new([5; 32]));
    let prepared =
        sealgrid_graph::execute::Executor::prepare(&prepared, model.graph().clone()).expect("always");
    let shape = sealgrid_graph::tensor::Shape::new(&[1, 2]).expect("small");
    let data = sealgrid_graph::tensor::Data::I8(vec![1, 2]);
    let inputs = [Batch::new(1, shape, data).expect("filled")];
    let input = verifier.commit(Side::Inputs, &key, &inputs).expect("one record");
    let asked = Asked { nonce: [0; 32], key: &key, inputs: &inputs, input, memory_max: u64::MAX };
    let prover = SYSTEM.prover(model).expect("registered");
    let run = prover.prove(prepared.as_ref(), &asked, &mut || true).expect("provable");
    assert_eq!(code(&run.proof), "E-PRF-18");
}
