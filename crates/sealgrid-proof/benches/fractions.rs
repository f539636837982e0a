//! Proving and verifying a sum of fractions (docs/design/0006): what a lookup costs.

#![expect(clippy::print_stdout, reason = "a measuring program prints its measurements")]

use std::time::Instant;

use p3_field::PrimeCharacteristicRing as _;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;
use sealgrid_proof::channel::{Pads, Prover, Verifier};
use sealgrid_proof::fractions::{self, Leaves};
use sealgrid_proof::{Challenge, Element, Transcript};
use sealgrid_seal::digest::labels;

fn main() {
    let transcript = || Transcript::new(labels::GRAPH_ARCHITECTURE);
    for variables in [12, 14, 16, 18] {
        let mut rng = ChaCha20Rng::from_seed([7; 32]);
        let pads = fractions::pads(variables) + 3 + fractions::products(variables);
        let pads = Pads::random(&mut rng, pads);
        let alpha = pads.expose()[0];
        let leaves = 1usize << variables;
        let denominators: Vec<Challenge> =
            (0..leaves).map(|i| alpha - Challenge::from_usize(i / 2 % 1000)).collect();
        let numerators: Vec<Element> =
            (0..leaves).map(|i| if i % 2 == 0 { Element::ONE } else { Element::NEG_ONE }).collect();
        let (mut least, mut checked) = (f64::MAX, f64::MAX);
        for _ in 0..7 {
            let leaves = Leaves::new(&numerators, &denominators);
            let started = Instant::now();
            let mut prover = Prover::new(transcript(), &pads);
            fractions::prove(&mut prover, leaves);
            let wires = prover.finish().wires;
            least = least.min(started.elapsed().as_secs_f64());
            let started = Instant::now();
            let mut verifier = Verifier::new(transcript(), &wires, &[]);
            fractions::verify(&mut verifier, variables).expect("an honest proof");
            let (claim, _) = verifier.finish().expect("an honest proof");
            checked = checked.min(started.elapsed().as_secs_f64());
            assert!(claim.holds(pads.expose()));
        }
        println!(
            "2^{variables} fractions: proven in {:.2} ms, {:.0} ns each; verified in {:.2} ms; {} pads",
            least * 1e3,
            least * 1e9 / leaves as f64,
            checked * 1e3,
            pads.expose().len()
        );
    }
}
