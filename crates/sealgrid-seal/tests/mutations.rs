//! Single-bit mutations of a file at rest: no one of 10,000 opens.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};
use sealgrid_seal::envelope::JobKeyPair;
use sealgrid_seal::rest;
use sealgrid_seal::secret::Secret;

/// Seeds of the positions; each chooses a quarter of them.
const SEEDS: [u64; 4] = [0x5ea1, 0x5ea2, 0x5ea3, 0x5ea4];

#[test]
fn ten_thousand_flipped_bits_of_a_file_at_rest_are_refused() {
    let pair = JobKeyPair::from_seed(Secret::new([7; 32]));
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    // Two chunks, the second of them partial.
    let plain: Vec<u8> = (0..70_000_u32).map(|i| i.to_le_bytes()[0]).collect();
    let mut sealed = rest::seal(&mut rng, &[pair.public().clone()], &plain).expect("a good key");
    assert!(rest::open(&sealed, &pair).expect("genuine").expose() == plain);
    for seed in SEEDS {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        for _ in 0..2_500 {
            let bit = usize::try_from(rng.next_u64() % (sealed.len() as u64 * 8)).expect("small");
            sealed[bit / 8] ^= 1 << (bit % 8);
            assert!(rest::open(&sealed, &pair).is_err(), "seed {seed:#x}, bit {bit}");
            sealed[bit / 8] ^= 1 << (bit % 8);
        }
    }
}
