//! Single-bit mutations of a genuine receipt: no one of 10,000 survives, whether the attacker repairs the checksum of the
//! file or not.

mod common;

use common::*;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use sealgrid_protocol::log::note::Note;
use sealgrid_protocol::receipt::ReceiptFile;
use sealgrid_verify::verify;

const SEED: u64 = 0x5ea1;

fn flip(bytes: &mut [u8], rng: &mut ChaCha8Rng) -> usize {
    let bit = usize::try_from(rng.next_u64()).expect("64-bit tests") % (bytes.len() * 8);
    bytes[bit / 8] ^= 1 << (bit % 8);
    bit
}

#[test]
fn ten_thousand_flipped_bits_of_a_receipt_file_are_rejected() {
    let genuine = Fixture::disputed().file().encode();
    assert!(verify(&genuine, &roots(), NOW, None).is_accepted());
    let mut rng = ChaCha8Rng::seed_from_u64(SEED);
    for _ in 0..10_000 {
        let mut bytes = genuine.clone();
        let bit = flip(&mut bytes, &mut rng);
        assert!(!verify(&bytes, &roots(), NOW, None).is_accepted(), "seed {SEED:#x}, bit {bit}");
    }
}

#[test]
fn flipped_bits_are_rejected_when_the_checksum_is_repaired() {
    let genuine = Fixture::disputed().file();
    let mut rng = ChaCha8Rng::seed_from_u64(SEED);
    let parts = genuine.evidence.len() + 1;
    for round in 0..4_000 {
        let mut file = genuine.clone();
        let bit = match round % parts {
            0 => {
                let mut bytes = file.receipt.as_bytes().to_vec();
                let bit = flip(&mut bytes, &mut rng);
                file.receipt = sealgrid_protocol::claims::SignedClaims::from_bytes(bytes);
                bit
            }
            part => flip(&mut file.evidence[part - 1].bytes, &mut rng),
        };
        let verdict = verify(&file.encode(), &roots(), NOW, None);
        assert!(!verdict.is_accepted(), "seed {SEED:#x}, round {round}, bit {bit}");
    }
}

/// No signature covers who else cosigned: a flipped bit in a line that the roots do not need can only take a witness
/// away. With as many witnesses demanded as there are, every flipped bit is rejected.
#[test]
fn flipped_bits_of_a_log_proof_and_of_a_checkpoint_are_rejected() {
    let genuine = Fixture::disputed().file();
    let mut rng = ChaCha8Rng::seed_from_u64(SEED);
    for round in 0..2_000 {
        let mut file = genuine.clone();
        let bit = flip(file.log_proof.as_mut().expect("logged"), &mut rng);
        let verdict = verify(&file.encode(), &roots(), NOW, None);
        assert!(!verdict.is_accepted(), "seed {SEED:#x}, round {round}, bit {bit}");
    }
    let leaves: Vec<_> = (0..9u8).map(|leaf| sealgrid_protocol::log::TreeHash::leaf(&[leaf])).collect();
    let text = checkpoint(&leaves, NOW).to_text().into_bytes();
    assert!(Note::parse(&text).and_then(|note| roots().log.verify(&note)).is_ok());
    for round in 0..10_000 {
        let mut bytes = text.clone();
        let bit = flip(&mut bytes, &mut rng);
        let outcome = Note::parse(&bytes).and_then(|note| roots().log.verify(&note));
        assert!(outcome.is_err(), "seed {SEED:#x}, round {round}, bit {bit}");
    }
}

#[test]
fn a_cut_file_is_rejected_wherever_it_is_cut() {
    let genuine = Fixture::disputed().file().encode();
    let mut rng = ChaCha8Rng::seed_from_u64(SEED);
    for _ in 0..500 {
        let length = usize::try_from(rng.next_u64()).expect("64-bit tests") % genuine.len();
        assert!(ReceiptFile::decode(&genuine[..length]).is_err(), "seed {SEED:#x}, length {length}");
    }
}
