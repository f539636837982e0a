//! Files put together from parts of true ones: no part of a proof belongs to another statement, commitment, registration or run.

use sealgrid_graph::arbitrary::small_model;
use sealgrid_graph::tensor::Data;

use super::*;

/// A true proof, and who can check it.
struct World {
    name: &'static str,
    model: Model,
    own: Option<RegisteredParameters>,
    keys: [CommitmentKey; 2],
    inputs: Vec<Batch>,
    outputs: Vec<Batch>,
    proof: Proof,
}

/// What is told of records and results of all worlds that are mixed.
#[derive(Clone, Copy, Debug)]
struct Family {
    registered: bool,
    inputs: Told,
    outputs_shown: bool,
}

fn batch(records: &[[i8; 2]]) -> Vec<Batch> {
    let data = Data::I8(records.as_flattened().to_vec());
    vec![Batch::new(records.len(), shape(&[1, 2]), data).expect("filled")]
}

fn world(
    family: Family,
    name: &'static str,
    (bias, salts): (i32, u64),
    records: &[[i8; 2]],
    (nonce, key): (u8, u8),
) -> World {
    let model = small_model(bias, &mut rng(salts));
    let (model, own) = if family.registered {
        let (model, own) = RegisteredParameters::register(model, 2, Level::default()).expect("registrable");
        (model, Some(own))
    } else {
        (model, None)
    };
    let keys = [CommitmentKey::new([key; 32]), CommitmentKey::new([key + 1; 32])];
    let told = match family.inputs {
        Told::Shown => Records::Show,
        Told::Hidden => Records::Hide,
        Told::Committed => Records::Commit(&keys[0]),
    };
    let results = if family.outputs_shown { Results::Show } else { Results::Commit(&keys[1]) };
    let prepared = Reference.prepare(Arc::clone(model.graph())).expect("always");
    let inputs = batch(records);
    let told = (told, results);
    let planned = plan(
        &model,
        about(own.as_ref(), Level::default()),
        prepared.as_ref(),
        &inputs,
        told,
        [nonce; 32],
        u64::MAX,
    );
    let planned = planned.expect("provable");
    let outputs = planned.outputs().to_vec();
    let proof = planned.prove(&mut rng(u64::from(nonce) << 8 | salts)).expect("provable");
    World { name, model, own, keys, inputs, outputs, proof }
}

/// A proof, and what it differs from it in: nonce, records, keys, weights, salts of the registration, number of records.
fn worlds(family: Family) -> Vec<World> {
    let (one, other) = ([1, 2], [3, -40]);
    let of = |name, model, records: &[[i8; 2]], nonce| world(family, name, model, records, nonce);
    vec![
        of("a proof", (10, 1), &[one], (1, 5)),
        of("of another nonce", (10, 1), &[one], (2, 5)),
        of("of another record", (10, 1), &[other], (1, 5)),
        of("under another key", (10, 1), &[one], (1, 7)),
        of("of other weights", (11, 1), &[one], (1, 5)),
        of("of other salts", (10, 2), &[one], (1, 5)),
        of("of two records", (10, 1), &[one, other], (1, 5)),
        of("of two records the other way round", (10, 1), &[other, one], (1, 5)),
    ]
}

/// The parts of an argument, and the statement as one of them.
fn take(into: &mut Proof, from: &Proof, part: usize) -> bool {
    let (to, other) = (&mut into.argument, &from.argument);
    match part {
        0 => into.statement.clone_from(&from.statement),
        1 => to.commitment = other.commitment.clone(),
        2 => to.wires.clone_from(&other.wires),
        3 => to.last.clone_from(&other.last),
        4 => to.opening.clone_from(&other.opening),
        _ => match (to.attached.get_mut(part - 5), other.attached.get(part - 5)) {
            (Some(to), Some(other)) => to.clone_from(other),
            _ => return false,
        },
    }
    true
}

/// The fields of a statement.
fn take_field(into: &mut Proof, from: &Proof, field: usize) {
    let (to, other) = (&mut into.statement, &from.statement);
    match field {
        0 => to.model = other.model,
        1 => to.nonce = other.nonce,
        2 => to.records = other.records,
        3 => to.inputs = other.inputs.clone(),
        _ => to.outputs = other.outputs.clone(),
    }
}

/// Puts proofs together, and has each checked by whom it names.
struct Splicer {
    worlds: Vec<World>,
    originals: Vec<Vec<u8>>,
    counts: Counts,
    same: usize,
}

impl Splicer {
    fn check(&mut self, what: &str, label: &str, proof: &Proof) {
        let bytes = proof.to_bytes();
        if self.originals.contains(&bytes) {
            self.same += 1;
            return;
        }
        for world in &self.worlds {
            if world.model.commitment() != proof.claimed().model {
                continue;
            }
            let result = Proof::from_bytes(&bytes)
                .and_then(|proof| proof.verify(&world.model, world.own.as_ref(), &mut rng(8)));
            assert!(result.is_err(), "{label}");
        }
        self.counts.add(what);
    }

    /// All ways to take some parts from one and the others from another, or each `step`-th of them.
    fn mix(
        &mut self,
        what: &str,
        parts: usize,
        step: usize,
        take: impl Fn(&mut Proof, &Proof, usize) -> bool,
    ) {
        let mut number = 0;
        for one in 0..self.worlds.len() {
            for other in 0..self.worlds.len() {
                for set in 1..(1usize << parts) - 1 {
                    number += 1;
                    if one == other || number % step != 0 {
                        continue;
                    }
                    let mut proof = self.worlds[one].proof.clone();
                    let mut members = (0..parts).filter(|part| set >> part & 1 == 1);
                    if !members.all(|part| take(&mut proof, &self.worlds[other].proof, part)) {
                        continue;
                    }
                    let names = [one, other].map(|world| self.worlds[world].name);
                    self.check(what, &format!("{names:?}, parts {set:b}"), &proof);
                }
            }
        }
    }
}

#[test]
fn no_proof_is_put_together_from_parts_of_others() {
    let families = [
        Family { registered: true, inputs: Told::Committed, outputs_shown: false },
        Family { registered: true, inputs: Told::Hidden, outputs_shown: true },
        Family { registered: false, inputs: Told::Committed, outputs_shown: true },
        Family { registered: false, inputs: Told::Shown, outputs_shown: true },
    ];
    let mut all = Counts::default();
    let mut same = 0;
    for family in families {
        let worlds = worlds(family);
        let originals = worlds.iter().map(|world| world.proof.to_bytes()).collect();
        let mut splicer = Splicer { worlds, originals, counts: Counts::default(), same: 0 };
        for world in &splicer.worlds {
            let true_one = world.proof.verify(&world.model, world.own.as_ref(), &mut rng(8));
            assert!(true_one.is_ok(), "{family:?}: {}", world.name);
        }
        let attached = splicer.worlds[0].proof.argument.attached.len();
        splicer.mix("statement, commitment, messages, columns, opening", 5 + attached, either(971, 5), take);
        splicer.mix("fields of the statement", 5, either(37, 1), |into, from, field| {
            take_field(into, from, field);
            true
        });
        // One proof's messages up to a place, the other's from there on.
        for other in 1..splicer.worlds.len() {
            let [one, from] = [0, other].map(|world| splicer.worlds[world].proof.clone());
            let length = one.argument.wires.len().min(from.argument.wires.len());
            for cut in (1..length).step_by(either(length, 1)) {
                let mut proof = one.clone();
                proof.argument.wires.splice(cut.., from.argument.wires[cut..].iter().copied());
                splicer.check("messages, cut", &format!("cut {cut}"), &proof);
            }
        }
        // Both commitments, one for the other; of two records each in the other's place.
        for world in 0..splicer.worlds.len() {
            let mut proof = splicer.worlds[world].proof.clone();
            let Statement { inputs, outputs, .. } = &mut proof.statement;
            std::mem::swap(inputs, outputs);
            if proof.statement.outputs != Values::Hidden {
                splicer.check("inputs and outputs swapped", "swapped", &proof);
            }
        }
        let [pair, swapped] = [6, 7].map(|world| splicer.worlds[world].proof.clone());
        for (inputs, outputs) in [(true, false), (false, true), (true, true)] {
            let mut proof = pair.clone();
            let told = [&mut proof.statement.inputs, &mut proof.statement.outputs];
            let from = [&swapped.statement.inputs, &swapped.statement.outputs];
            let of = told.into_iter().zip(from).zip([inputs, outputs]);
            of.filter(|(_, swap)| *swap).for_each(|((to, from), _)| to.clone_from(from));
            splicer.check("records of a batch swapped", "records", &proof);
        }
        splicer.counts.0.into_iter().for_each(|(what, count)| *all.0.entry(what).or_insert(0) += count);
        same += splicer.same;
    }
    all.print("proofs put together:");
    say(&format!(
        "splices: {} proofs put together from parts of two, all rejected ({same} more were one of the two)",
        all.total()
    ));
    assert_eq!(all.0.len(), 5, "each kind of splice");
}

#[test]
fn no_registration_is_put_together_from_parts_of_others() {
    let family = Family { registered: true, inputs: Told::Hidden, outputs_shown: true };
    let worlds = worlds(family);
    let models: Vec<RegisteredModel> = [0, 4, 5]
        .iter()
        .map(|world: &usize| {
            let World { own, model, .. } = &worlds[*world];
            own.as_ref().expect("registered").publish(model, &mut rng(3)).expect("in bounds")
        })
        .collect();
    let mut count = 0;
    for (one, other) in [(0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1)] {
        for set in (1..(1usize << 8) - 1).step_by(either(29, 1)) {
            let (mut model, from) = (models[one].clone(), &models[other]);
            let has = |part: usize| set >> part & 1 == 1;
            if has(0) {
                model.public = from.public.clone();
            }
            if has(1) {
                model.registration.registered = from.registration.registered.clone();
            }
            if has(2) {
                model.registration.magnitudes.clone_from(&from.registration.magnitudes);
                model.registration.reaches.clone_from(&from.registration.reaches);
                model.registration.trees.clone_from(&from.registration.trees);
            }
            if has(3) {
                model.argument.commitment = from.argument.commitment.clone();
            }
            if has(4) {
                model.argument.wires.clone_from(&from.argument.wires);
            }
            if has(5) {
                model.argument.attached.clone_from(&from.argument.attached);
            }
            if has(6) {
                model.argument.last.clone_from(&from.argument.last);
            }
            if has(7) {
                model.argument.opening.clone_from(&from.argument.opening);
            }
            let bytes = model.to_bytes();
            if models.iter().any(|model| model.to_bytes() == bytes) {
                continue;
            }
            let read = RegisteredModel::from_bytes(&bytes).expect("well formed");
            assert!(read.verify(&mut rng(8)).is_err(), "{one}, {other}, parts {set:b}");
            count += 1;
        }
    }
    // A proof and what is published of another model, or of the same weights registered anew.
    for world in &worlds {
        for model in &models {
            let own = model.public.commitment() == world.model.commitment();
            assert_eq!(world.proof.verify_registered(model, &mut rng(8)).is_ok(), own, "{}", world.name);
            count += usize::from(!own);
        }
    }
    say(&format!(
        "splices: {count} published models put together from parts of two, or another's, all rejected"
    ));
}

#[test]
fn an_opening_opens_one_side_of_one_proof() {
    let family = Family { registered: false, inputs: Told::Committed, outputs_shown: false };
    let worlds = worlds(family);
    let (mut opened, mut refused) = (0, 0);
    for nonce in &worlds {
        for values in &worlds {
            for (side, batches) in [
                (Side::Inputs, &values.inputs),
                (Side::Outputs, &values.outputs),
                (Side::Inputs, &values.outputs),
            ] {
                for key in worlds.iter().flat_map(|world| &world.keys) {
                    let opening = Opening::of(&nonce.proof, side, key.duplicate(), batches.clone());
                    for world in &worlds {
                        let (own, own_key) = match side {
                            Side::Inputs => (&world.inputs, &world.keys[0]),
                            Side::Outputs => (&world.outputs, &world.keys[1]),
                        };
                        let expected = world.proof.claimed().nonce == nonce.proof.claimed().nonce
                            && own == batches
                            && own_key.expose() == key.expose();
                        assert_eq!(opening.opens(&world.proof).is_ok(), expected, "{}", world.name);
                        opened += usize::from(expected);
                        refused += usize::from(!expected);
                    }
                }
            }
            if either(true, false) {
                break;
            }
        }
    }
    say(&format!("splices: {refused} openings of something else refused, {opened} taken"));
    assert!(opened > 0 && refused > 0);
}
