use rand_chacha::ChaCha20Rng;
use rand_core::{Rng as _, SeedableRng as _};
use sealgrid_graph::arbitrary::small_model;
use sealgrid_graph::execute::Executor as _;
use sealgrid_graph::integer::{Builder, Primitive, Requantise, ValueType};
use sealgrid_graph::reference::Reference;
use sealgrid_graph::tensor::{DType, Data, Shape};

use super::*;

fn rng(seed: u8) -> ChaCha20Rng {
    ChaCha20Rng::from_seed([seed; 32])
}

fn shape(axes: &[usize]) -> Shape {
    Shape::new(axes).expect("small")
}

fn model(bias: i32) -> Model {
    small_model(bias, &mut rng(1))
}

fn proven(model: &Model, public: bool) -> Proof {
    let data = Data::I8(vec![1, 2, 30, -40, 127, -128]);
    let inputs = [Batch::new(3, shape(&[1, 2]), data).expect("filled")];
    let prepared = Reference.prepare(model.graph().clone()).expect("always");
    prove(model, None, prepared.as_ref(), &inputs, public, &mut rng(2)).expect("provable")
}

fn prove(
    model: &Model,
    parameters: Option<&RegisteredParameters>,
    prepared: &dyn Prepared,
    inputs: &[Batch],
    public: bool,
    rng: &mut ChaCha20Rng,
) -> Result<Proof, ProveError> {
    let records = if public { Records::Show } else { Records::Hide };
    let mut nonce = [0; 32];
    rng.fill_bytes(&mut nonce);
    let about = evidence::about(parameters, Level::default());
    plan(model, about, prepared, inputs, (records, Results::Show), nonce, u64::MAX)?.prove(rng)
}

fn code(result: Result<f64, VerifyError>) -> Option<&'static str> {
    result.err().map(|error| error.code())
}

#[test]
fn a_proof_survives_its_file_and_convinces_with_its_model_alone() {
    let model = model(10);
    for public in [false, true] {
        let bytes = proven(&model, public).to_bytes();
        let proof = Proof::from_bytes(&bytes).expect("a proof");
        assert_eq!(proof.claimed().inputs.shown().is_some(), public);
        let bits = proof.verify(&model, None, &mut rng(3)).expect("an honest proof");
        assert!(bits > 100.0, "{bits}");
        assert_eq!(code(proof.verify(&self::model(11), None, &mut rng(3))), Some("E-PRF-11"));
        fuzz_parse(&bytes);
    }
}

#[test]
fn committed_values_are_opened_by_their_openings_and_by_nothing_else() {
    let model = model(10);
    let data = |last| Data::I8(vec![1, 2, 30, -40, 127, last]);
    let batch = |last| vec![Batch::new(3, shape(&[1, 2]), data(last)).expect("filled")];
    let prepared = Reference.prepare(model.graph().clone()).expect("always");
    let keys = [CommitmentKey::new([5; 32]), CommitmentKey::new([6; 32])];
    let told = (Records::Commit(&keys[0]), Results::Commit(&keys[1]));
    let planned =
        plan(&model, About::Told(Level::default()), prepared.as_ref(), &batch(-128), told, [2; 32], u64::MAX)
            .expect("provable");
    let outputs = planned.outputs().to_vec();
    let proof = planned.prove(&mut rng(3)).expect("provable");
    let bits = proof.verify(&model, None, &mut rng(4)).expect("an honest proof");
    assert!(bits > 100.0, "{bits}");
    assert!(proof.claimed().inputs.shown().is_none() && proof.claimed().outputs.shown().is_none());

    let opening = |side, key: &CommitmentKey, batches| {
        let bytes = Opening::of(&proof, side, key.duplicate(), batches).to_bytes();
        let opening = Opening::from_bytes(bytes.expose()).expect("it survives its file");
        assert_eq!(opening.side(), side);
        opening
    };
    let [own, results] = &keys;
    opening(Side::Inputs, own, batch(-128)).opens(&proof).expect("the records");
    opening(Side::Outputs, results, outputs.clone()).opens(&proof).expect("the results");
    for other in [
        opening(Side::Inputs, own, batch(-127)),
        opening(Side::Inputs, results, batch(-128)),
        opening(Side::Outputs, own, outputs),
        opening(Side::Outputs, results, batch(-128)),
        opening(Side::Inputs, own, Vec::new()),
    ] {
        assert_eq!(other.opens(&proof).map_err(OpeningError::code), Err("E-PRF-16"));
    }
    let mut later = proof.clone();
    later.statement.nonce[0] ^= 1;
    assert!(opening(Side::Inputs, own, batch(-128)).opens(&later).is_err(), "of another proof");
    assert!(later.verify(&model, None, &mut rng(4)).is_err());

    let bytes = opening(Side::Inputs, own, batch(-128)).to_bytes();
    let cut = &bytes.expose()[..bytes.len() - 1];
    assert_eq!(Opening::from_bytes(cut).map(drop).map_err(OpeningError::code), Err("E-PRF-15"));
    fuzz_parse(bytes.expose());
    // Other roots are other statements.
    let root = |values: &Values| values.committed().expect("committed to");
    let mut swapped = proof.clone();
    swapped.statement.inputs = Values::Committed(root(&proof.statement.outputs));
    assert_eq!(code(swapped.verify(&model, None, &mut rng(4))), Some("E-PRF-13"));
    let mut hidden = proof.clone();
    hidden.statement.inputs = Values::Hidden;
    assert_eq!(code(hidden.verify(&model, None, &mut rng(4))), Some("E-PRF-13"));
    let mut silent = proof;
    silent.statement.outputs = Values::Hidden;
    assert_eq!(Proof::from_bytes(&silent.to_bytes()).map(drop).map_err(|e| e.code()), Err("E-PRF-10"));
}

#[test]
fn every_part_of_the_statement_is_bound() {
    let model = model(10);
    let proof = proven(&model, true);
    let changed = |change: fn(&mut Proof)| {
        let mut changed = proof.clone();
        change(&mut changed);
        code(changed.verify(&model, None, &mut rng(3)))
    };
    let batch =
        |elements: [i8; 9]| Batch::new(3, shape(&[1, 3]), Data::I8(elements.to_vec())).expect("filled");
    assert_eq!(changed(|_| {}), None);
    assert_eq!(changed(|proof| proof.statement.nonce[0] ^= 1), Some("E-PRF-13"));
    assert_eq!(changed(|proof| proof.statement.inputs = Values::Hidden), Some("E-PRF-13"));
    assert_eq!(changed(|proof| proof.statement.records = 2), Some("E-PRF-10"));
    assert_eq!(changed(|proof| proof.statement.outputs = Values::Shown(Vec::new())), Some("E-PRF-12"));
    assert_eq!(changed(|proof| proof.statement.inputs = Values::Shown(Vec::new())), Some("E-PRF-12"));
    let mut other = proof.clone();
    other.statement.outputs = Values::Shown(vec![batch([0; 9])]);
    assert_eq!(code(other.verify(&model, None, &mut rng(3))), Some("E-PRF-13"));
    let data = Data::I8(vec![1, 2, 30, -40, 127, -127]);
    let mut other = proof.clone();
    other.statement.inputs = Values::Shown(vec![Batch::new(3, shape(&[1, 2]), data).expect("filled")]);
    assert_eq!(code(other.verify(&model, None, &mut rng(3))), Some("E-PRF-13"));
    let mut other = proof.clone();
    other.argument.opening = proven(&model, true).argument.opening;
    assert!(other.verify(&model, None, &mut rng(3)).is_ok(), "the same seed made the same proof");
}

#[test]
fn no_changed_byte_is_taken() {
    let model = model(10);
    let bytes = proven(&model, false).to_bytes();
    for step in 0..300 {
        let mut changed = bytes.clone();
        let place = step * bytes.len() / 300;
        changed[place] ^= 1 << (step % 8);
        let result = Proof::from_bytes(&changed).and_then(|proof| proof.verify(&model, None, &mut rng(3)));
        assert!(result.is_err(), "byte {place}");
    }
    for length in [0, 3, 4, 100, bytes.len() - 1] {
        let cut = Proof::from_bytes(&bytes[..length]).map(drop);
        assert_eq!(cut.map_err(|error| error.code()), Err("E-PRF-10"), "{length} bytes");
    }
}

#[test]
fn two_proofs_of_one_run_share_nothing_that_is_sent() {
    let model = model(10);
    let inputs = [Batch::new(1, shape(&[1, 2]), Data::I8(vec![5, 6])).expect("filled")];
    let prepared = Reference.prepare(model.graph().clone()).expect("always");
    let of = |seed| prove(&model, None, prepared.as_ref(), &inputs, false, &mut rng(seed)).expect("provable");
    let (one, other) = (of(2), of(3));
    assert_ne!(one.argument.commitment, other.argument.commitment);
    let pairs = one.argument.wires.iter().chain(&one.argument.last);
    assert!(
        pairs.zip(other.argument.wires.iter().chain(&other.argument.last)).all(|(one, other)| one != other)
    );
}

/// A registered model, its parameters, a proof of a run, and what is published, as bytes.
fn registered() -> (Model, RegisteredParameters, Proof, Vec<u8>) {
    let (model, own) = RegisteredParameters::register(model(10), 2, Level::default()).expect("registrable");
    let inputs = [Batch::new(1, shape(&[1, 2]), Data::I8(vec![5, 6])).expect("filled")];
    let prepared = Reference.prepare(model.graph().clone()).expect("always");
    let proof = prove(&model, Some(&own), prepared.as_ref(), &inputs, false, &mut rng(2)).expect("provable");
    let published = own.publish(&model, &mut rng(3)).expect("within its bounds").to_bytes();
    (model, own, proof, published)
}

#[test]
fn a_proof_convinces_who_has_neither_weights_nor_records() {
    let (model, own, proof, published) = registered();
    let bytes = proof.to_bytes();
    // No byte of either file has a weight in it: weights are one byte each, so look for all of them together.
    let weights = [3, 0xfe, 100, 7, 0xff, 1];
    for file in [&bytes, &published] {
        assert!(!file.windows(weights.len()).any(|window| window == weights));
    }
    let proof = Proof::from_bytes(&bytes).expect("a proof");
    let read = RegisteredModel::from_bytes(&published).expect("a registered model");
    assert_eq!(read.to_bytes(), published);
    assert_eq!((read.openings(), read.public().commitment()), (2, model.commitment()));
    assert!(read.verify(&mut rng(4)).expect("an honest registration") > 100.0);
    assert!(proof.verify_registered(&read, &mut rng(4)).expect("an honest proof") > 100.0);
    // Its owner, who has the parameters, is convinced as well; from the file of the model, too.
    let again = Model::from_bytes(&model.to_bytes()).expect("a model");
    let theirs = RegisteredParameters::of(&again).expect("registered");
    assert_eq!(theirs.root(), own.root());
    assert!(proof.verify(&again, Some(&theirs), &mut rng(4)).is_ok());
    assert_eq!(code(proof.verify(&again, None, &mut rng(4))), Some("E-PRF-20"));
    // One that was made with public weights is not for this verifier.
    let inputs = [Batch::new(1, shape(&[1, 2]), Data::I8(vec![5, 6])).expect("filled")];
    let prepared = Reference.prepare(model.graph().clone()).expect("always");
    let public = prove(&model, None, prepared.as_ref(), &inputs, false, &mut rng(2)).expect("provable");
    assert_eq!(code(public.verify_registered(&read, &mut rng(4))), Some("E-PRF-14"));
    let mut claimed = public;
    claimed.statement.weights_private = true;
    assert_eq!(code(claimed.verify_registered(&read, &mut rng(4))), Some("E-PRF-13"));
}

#[test]
fn a_proof_has_as_many_bits_as_it_was_made_for_and_no_level_passes_for_another() {
    let inputs = [Batch::new(1, shape(&[1, 2]), Data::I8(vec![5, 6])).expect("filled")];
    let plain = model(10);
    let prepared = Reference.prepare(plain.graph().clone()).expect("always");
    let key = CommitmentKey::new([5; 32]);
    let both = Level::ALL.map(|level| {
        let (model, own) = RegisteredParameters::register(self::model(10), 2, level).expect("registrable");
        let proof = |model: &Model, about| {
            let told = (Records::Commit(&key), Results::Commit(&key));
            let planned = plan(model, about, prepared.as_ref(), &inputs, told, [1; 32], u64::MAX);
            planned.expect("provable").prove(&mut rng(2)).expect("provable")
        };
        let told = proof(&plain, About::Told(level));
        let private = proof(&model, (&own).into());
        let published = own.publish(&model, &mut rng(3)).expect("within its bounds");
        let read = RegisteredModel::from_bytes(&published.to_bytes()).expect("a registered model");
        assert_eq!(
            (read.level(), RegisteredParameters::of(&model).expect("registered").level()),
            (level, level)
        );
        for bits in [
            told.verify(&plain, None, &mut rng(4)).expect("an honest proof"),
            private.verify_registered(&read, &mut rng(4)).expect("an honest proof"),
            read.verify(&mut rng(4)).expect("an honest registration"),
        ] {
            assert!(bits > f64::from(level.bits()), "{level}: {bits}");
        }
        (told, private, read, own)
    });
    // Nothing that hides something is the same for both.
    let [one, other] = &both;
    assert_ne!(one.0.statement.inputs, other.0.statement.inputs);
    assert_ne!(one.0.statement.outputs, other.0.statement.outputs);
    assert_ne!(one.3.root(), other.3.root());
    let [seed, another] = Level::ALL.map(|level| plain.registration_seed(2, level.bits()));
    assert_ne!(seed.expose(), another.expose());
    assert_ne!(one.2.public().commitment(), other.2.public().commitment());
    for ((told, private, read, _), level) in both.iter().zip([Level::Bits127, Level::Bits99]) {
        let mut changed = told.clone();
        changed.statement.level = level;
        assert!(changed.verify(&plain, None, &mut rng(4)).is_err(), "{level}");
        let mut changed = private.clone();
        changed.statement.level = level;
        assert_eq!(code(changed.verify_registered(read, &mut rng(4))), Some("E-PRF-10"), "{level}");
        // The registration with the other level's name: another identity, and no proof for it.
        let mut changed = read.clone();
        let named = changed.public.registration.as_mut().expect("registered");
        named.bits = level.bits();
        assert_eq!(changed.verify(&mut rng(4)).err().map(|error| error.code()), Some("E-PRF-21"), "{level}");
    }
    assert_eq!(Level::of_bits(100), None);
}

#[test]
fn a_registration_is_the_one_that_the_identity_names() {
    let (model, _, proof, published) = registered();
    let read = RegisteredModel::from_bytes(&published).expect("a registered model");
    let failed = |result: Result<f64, RegistrationError>| result.err().map(|error| error.code());
    // Another model, another root, another bound.
    let (other, own) =
        RegisteredParameters::register(self::model(11), 2, Level::default()).expect("registrable");
    assert_ne!(other.commitment(), model.commitment());
    let other = own.publish(&other, &mut rng(3)).expect("within its bounds");
    assert_eq!(code(proof.verify_registered(&other, &mut rng(4))), Some("E-PRF-11"));
    let mut changed = read.clone();
    changed.registration.registered.root = own.root();
    assert_eq!(failed(changed.verify(&mut rng(4))), Some("E-PRF-21"));
    assert_eq!(code(proof.verify_registered(&changed, &mut rng(4))), Some("E-PRF-13"));
    let mut changed = read.clone();
    changed.registration.reaches[0].step += 1;
    assert_eq!(failed(changed.verify(&mut rng(4))), Some("E-PRF-21"));
    // Another owner's argument for the right registration; a registration that no identity names.
    let mut changed = read.clone();
    changed.argument = other.argument;
    assert_eq!(failed(changed.verify(&mut rng(4))), Some("E-PRF-25"));
    let mut changed = read;
    changed.public.registration = None;
    assert_eq!(failed(changed.verify(&mut rng(4))), Some("E-PRF-20"));
    assert_eq!(RegisteredParameters::of(&self::model(10)).err().map(|error| error.code()), Some("E-PRF-20"));
    // A model that names another registration than its parameters'.
    let named = sealgrid_graph::model::RegistrationId {
        openings: 3,
        digest: model.registration().expect("one").digest,
        bits: 99,
    };
    let forged = self::model(10).registered(named);
    assert_eq!(RegisteredParameters::of(&forged).err().map(|error| error.code()), Some("E-PRF-21"));
}

#[test]
fn no_changed_byte_of_a_registered_model_is_taken() {
    let (model, _, proof, published) = registered();
    for step in 0..200 {
        let mut changed = published.clone();
        let place = step * published.len() / 200;
        changed[place] ^= 1 << (step % 8);
        let taken =
            RegisteredModel::from_bytes(&changed).and_then(|read| read.verify(&mut rng(4)).map(|_| read));
        // A card of another wording is a valid model of another identity: the proof is not about it.
        assert!(taken.map_or(true, |read| read.public().commitment() != model.commitment()), "byte {place}");
    }
    let bytes = proof.to_bytes();
    let read = RegisteredModel::from_bytes(&published).expect("a registered model");
    for step in 0..200 {
        let mut changed = bytes.clone();
        let place = step * bytes.len() / 200;
        changed[place] ^= 1 << (step % 8);
        let result =
            Proof::from_bytes(&changed).and_then(|proof| proof.verify_registered(&read, &mut rng(3)));
        assert!(result.is_err(), "byte {place}");
    }
    for length in [0, 3, 4, 100, published.len() - 1] {
        let cut = RegisteredModel::from_bytes(&published[..length]).map(drop);
        assert_eq!(cut.map_err(|error| error.code()), Err("E-PRF-24"), "{length} bytes");
    }
}

#[test]
fn what_cannot_be_registered_says_why() {
    let errors: [(RegistrationError, &str); 3] = [
        (RegistrationError::from(TooLarge::Elements(1 << 25)), "E-RES-81"),
        (
            RegistrationError::NotRegistrable(crate::registration::NotRegistrable::OtherArchitecture),
            "E-PRF-22",
        ),
        (RegistrationError::NotInTable(crate::lookups::NotInTable { looked: 0, slot: 0 }), "E-PRF-23"),
    ];
    for (error, code) in errors {
        assert_eq!(error.code(), code);
    }
    // A bias that no field of 31 bits holds with a sign.
    let wide = RegisteredParameters::register(model(1 << 30), 2, Level::default()).map(drop);
    assert_eq!(wide.map_err(|error| error.code()), Err("E-PRF-22"));
    for openings in [0, crate::weights::OPENINGS_MAX + 1] {
        let none = RegisteredParameters::register(model(10), openings, Level::default()).map(drop);
        assert_eq!(none.map_err(|error| error.code()), Err("E-RES-81"));
    }
}

#[test]
fn what_cannot_be_proven_says_why() {
    let errors: [(ProveError, &str); 2] = [
        (ProveError::TooLarge(TooLarge::Elements(1 << 25)), "E-RES-80"),
        (
            ProveError::Witness(WitnessError::NotInTable(crate::lookups::NotInTable { looked: 0, slot: 0 })),
            "E-PRF-02",
        ),
    ];
    for (error, code) in errors {
        assert_eq!(error.code(), code);
    }
    let mut graph = Builder::new(vec![ValueType { dtype: DType::I8, shape: shape(&[1, 2]) }]);
    let x = graph.input(0);
    // As far as int32 goes, and farther than the field does.
    let (low, high) = DType::I32.bounds();
    let requantise =
        Requantise { multipliers: vec![i32::MAX], shifts: vec![0], low, high, output: DType::I32 };
    let y = graph.push("last", Primitive::Rescale { requantise }, &[x]).expect("valid");
    let graph = std::sync::Arc::new(graph.finish(vec![y]).expect("valid"));
    let told = Batch::new(1, shape(&[1, 2]), Data::I32(vec![0; 2])).expect("filled");
    let error = Run::new(&graph, Weights::Public(Level::default()), Inputs::Private(1), vec![told])
        .map(drop)
        .expect_err("not provable");
    assert_eq!(ProveError::from(error.clone()).code(), "E-PRF-01");
    assert!(error.to_string().contains("last"), "{error}");
    // More records than a proof holds: fewer would do.
    let error = Run::new(&graph, Weights::Public(Level::default()), Inputs::Private(1 << 24), Vec::new());
    let error = error.map(drop).expect_err("no outputs");
    assert!(!error.is_too_large(), "{error}");
    let root = Outputs::Committed([0; 32]);
    let error = Run::new(&graph, Weights::Public(Level::default()), Inputs::Private(1 << 24), root);
    let error = error.map(drop).expect_err("too many");
    assert!(error.is_too_large() && error.to_string().starts_with("the run: "), "{error}");
    assert_eq!(ProveError::from(error).code(), "E-RES-80");
}

#[test]
fn the_corpus_is_replayed() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/proof");
    for entry in std::fs::read_dir(folder).expect("a committed corpus") {
        fuzz_parse(&std::fs::read(entry.expect("an entry").path()).expect("an input"));
    }
}
