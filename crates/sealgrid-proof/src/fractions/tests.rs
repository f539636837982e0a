use p3_field::ExtensionField as _;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;

use super::*;
use crate::channel::{PadClaim, Pads, Sent};
use crate::field::{evaluate, random};
use crate::transcript::Transcript;

/// Lookups of values in a table of 16: one fraction a lookup, one a row with its multiplicity, and fillers.
fn lookups(rng: &mut ChaCha20Rng, variables: usize) -> (Vec<Challenge>, Vec<Challenge>) {
    let (leaves, alpha) = (1usize << variables, random(rng));
    let rows = 16.min(leaves / 2);
    let looked_up: Vec<usize> = (0..leaves - rows - leaves / 8).map(|i| i * i % rows).collect();
    let mut fractions = Vec::new();
    for value in &looked_up {
        fractions.push((Challenge::ONE, alpha - Challenge::from_usize(*value)));
    }
    for row in 0..rows {
        let times = looked_up.iter().filter(|value| **value == row).count();
        fractions.push((-Challenge::from_usize(times), alpha - Challenge::from_usize(row)));
    }
    fractions.resize(leaves, (Challenge::ZERO, Challenge::ONE));
    fractions.into_iter().unzip()
}

fn pads_of(rng: &mut ChaCha20Rng, variables: usize) -> Pads {
    // Two values at 0, and C at 0 and beyond the products' points.
    Pads::random(rng, pads(variables) + 3 + products(variables))
}

fn proven(pads: &Pads, (p, q): (Vec<Challenge>, Vec<Challenge>)) -> (Vec<Challenge>, usize) {
    let mut channel = Prover::new(Transcript::of_test(), pads);
    let numerators: Vec<Element> = p.iter().map(|p| p.as_base().expect("a number")).collect();
    prove(&mut channel, Leaves::new(&numerators, &q));
    let Sent { wires, used, .. } = channel.finish();
    (wires, used)
}

fn verified(wires: &[Challenge], variables: usize) -> Result<(LeafClaim, PadClaim), ProofError> {
    let mut channel = Verifier::new(Transcript::of_test(), wires, &[]);
    let leaves = verify(&mut channel, variables)?;
    Ok((leaves, channel.finish()?.0))
}

#[test]
fn what_adds_up_to_zero_is_shown_and_the_leaves_are_what_is_left() {
    let mut rng = ChaCha20Rng::from_seed([2; 32]);
    for variables in 1..10 {
        let (p, q) = lookups(&mut rng, variables);
        let pads = pads_of(&mut rng, variables);
        let (wires, used) = proven(&pads, (p.clone(), q.clone()));
        assert_eq!(used, pads.expose().len(), "as many pads as announced");
        let (leaves, claim) = verified(&wires, variables).expect("an honest proof");
        assert!(claim.holds(pads.expose()), "{variables} variables");
        assert_eq!(leaves.numerator.open(pads.expose()), evaluate(&p, &leaves.point));
        assert_eq!(leaves.denominator.open(pads.expose()), evaluate(&q, &leaves.point));
    }
}

/// Whether a verifier who also learns the leaves' values would be convinced.
fn convinces(
    wires: &[Challenge],
    variables: usize,
    pads: &Pads,
    (p, q): (&[Challenge], &[Challenge]),
) -> bool {
    verified(wires, variables).is_ok_and(|(leaves, claim)| {
        claim.holds(pads.expose())
            && leaves.numerator.open(pads.expose()) == evaluate(p, &leaves.point)
            && leaves.denominator.open(pads.expose()) == evaluate(q, &leaves.point)
    })
}

#[test]
fn a_changed_message_convinces_nobody() {
    let mut rng = ChaCha20Rng::from_seed([3; 32]);
    for variables in [1, 3, 6] {
        let (p, q) = lookups(&mut rng, variables);
        let pads = pads_of(&mut rng, variables);
        let (wires, _) = proven(&pads, (p.clone(), q.clone()));
        assert!(convinces(&wires, variables, &pads, (&p, &q)));
        for place in 0..wires.len() {
            for change in [Challenge::ONE, random(&mut rng)] {
                let mut changed = wires.clone();
                changed[place] += change;
                assert!(
                    !convinces(&changed, variables, &pads, (&p, &q)),
                    "message {place} of {}",
                    wires.len()
                );
            }
        }
        assert_eq!(verified(&wires[..wires.len() - 1], variables).err(), Some(ProofError::Truncated));
        let longer = [&wires[..], &[Challenge::ZERO]].concat();
        assert_eq!(verified(&longer, variables).err(), Some(ProofError::TooLong));
    }
}

#[test]
fn what_does_not_add_up_to_zero_convinces_nobody() {
    let mut rng = ChaCha20Rng::from_seed([4; 32]);
    let variables = 6;
    for place in [0, 17, 40, 63] {
        let (mut p, q) = lookups(&mut rng, variables);
        p[place] += Challenge::ONE;
        let pads = pads_of(&mut rng, variables);
        let (wires, _) = proven(&pads, (p.clone(), q.clone()));
        assert!(!convinces(&wires, variables, &pads, (&p, &q)));
    }
}

/// Every message but the three that are shown in the clear is a uniform pad's: whatever the leaves, the same wires come out
/// of some pads. Here the pads are chosen for a second witness so that its proof has the first one's wires.
#[test]
fn two_witnesses_have_the_same_wires_under_different_pads() {
    let mut rng = ChaCha20Rng::from_seed([5; 32]);
    let variables = 4;
    let (first, second) = (lookups(&mut rng, variables), lookups(&mut rng, variables));
    assert_ne!(first, second);
    let pads = pads_of(&mut rng, variables);
    let (wires, _) = proven(&pads, first);
    // One message after another: the challenges before it are equal already, so changing its pad sets it.
    let mut chosen = pads_of(&mut rng, variables).expose().to_vec();
    let sent = pads.expose().len() - 2; // the factors' values at 0 are pads that are not sent
    let hidden = wires.len() - 3;
    assert_eq!(sent, hidden);
    for place in 0..hidden {
        let pad = if place < super::pads(variables) { place } else { place + 2 };
        let (so_far, _) = proven(&Pads::fixed(chosen.clone()), second.clone());
        chosen[pad] += so_far[place] - wires[place];
    }
    let (again, _) = proven(&Pads::fixed(chosen.clone()), second);
    assert_eq!(again[..hidden], wires[..hidden]);
    // The last three follow from the factors' values at 0, which are uniform as well: move them, and with them what hides C.
    let (_, claim) = verified(&again, variables).expect("honest");
    assert!(claim.holds(&chosen));
}
