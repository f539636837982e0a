//! Single-bit mutations of a model file: each is refused, or is another model with another commitment.

use std::path::Path;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};
use sealgrid_graph::model::Model;

/// Seeds of the positions; each chooses a quarter of them.
const SEEDS: [u64; 4] = [0x5ea1, 0x5ea2, 0x5ea3, 0x5ea4];

#[test]
fn ten_thousand_flipped_bits_of_a_model_are_refused_or_change_its_commitment() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../vectors/graph/model.sgm");
    let mut bytes = std::fs::read(file).expect("a frozen model");
    let genuine = Model::from_bytes(&bytes).expect("genuine").commitment();
    let (mut refused, mut other) = (0, 0);
    for seed in SEEDS {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        for _ in 0..2_500 {
            let bit = usize::try_from(rng.next_u64() % (bytes.len() as u64 * 8)).expect("small");
            bytes[bit / 8] ^= 1 << (bit % 8);
            match Model::from_bytes(&bytes) {
                Err(_) => refused += 1,
                Ok(model) => {
                    assert_ne!(model.commitment(), genuine, "seed {seed:#x}, bit {bit}");
                    other += 1;
                }
            }
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }
    assert!(refused > 0 && other > 0, "both happen: {refused} refused, {other} other models");
}
