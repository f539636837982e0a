//! Single-bit mutations of a genuine receipt: no one of 10,000 survives, whether the attacker repairs the checksum of the
//! file or not.

mod common;

use common::*;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use sealgrid_protocol::claims::SignedClaims;
use sealgrid_protocol::log::LogProof;
use sealgrid_protocol::log::note::Note;
use sealgrid_protocol::receipt::ReceiptFile;
use sealgrid_verify::verify;

/// Seeds of the positions; each chooses a quarter of them.
const SEEDS: [u64; 4] = [0x5ea1, 0x5ea2, 0x5ea3, 0x5ea4];

/// Flips 10,000 bits of `bytes`, one at a time, and expects each to be rejected.
fn flipped(bytes: &[u8], mut accepts: impl FnMut(&[u8]) -> bool) {
    assert!(accepts(bytes), "the genuine bytes are accepted");
    let mut bytes = bytes.to_vec();
    for seed in SEEDS {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        for _ in 0..2_500 {
            let bit = usize::try_from(rng.next_u64() % (bytes.len() as u64 * 8)).expect("small");
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(!accepts(&bytes), "seed {seed:#x}, bit {bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }
}

fn accepted(file: &ReceiptFile) -> bool {
    verify(&file.encode(), &roots(), NOW, None, None).is_accepted()
}

#[test]
fn ten_thousand_flipped_bits_of_a_receipt_file_are_rejected() {
    let roots = roots();
    flipped(&Fixture::disputed().file().encode(), |bytes| {
        verify(bytes, &roots, NOW, None, None).is_accepted()
    });
}

#[test]
fn ten_thousand_flipped_bits_of_a_receipt_are_rejected_although_the_checksum_is_repaired() {
    let mut file = Fixture::disputed().file();
    let genuine = file.receipt.as_bytes().to_vec();
    flipped(&genuine.clone(), |bytes| {
        file.receipt = SignedClaims::from_bytes(bytes.to_vec());
        // The genuine one is judged whole; of an altered one the signature is what fails, so only that is asked.
        file.receipt.verify().is_ok() && (bytes != genuine || accepted(&file))
    });
}

#[test]
fn ten_thousand_flipped_bits_of_the_evidence_are_rejected_although_the_checksum_is_repaired() {
    let genuine = Fixture::disputed().file();
    let whole: Vec<u8> = genuine.evidence.iter().flat_map(|evidence| evidence.bytes.clone()).collect();
    let (roots, claims) = (roots(), genuine.claims().expect("genuine"));
    flipped(&whole, |bytes| {
        let mut file = genuine.clone();
        let mut rest = bytes;
        for evidence in &mut file.evidence {
            let (own, behind) = rest.split_at(evidence.bytes.len());
            (evidence.bytes, rest) = (own.to_vec(), behind);
        }
        let read = ReceiptFile::decode(&file.encode()).expect("the checksum is right");
        read.check_evidence(&claims).is_ok() && verify(&read.encode(), &roots, NOW, None, None).is_accepted()
    });
}

/// No signature covers who else cosigned: a flipped bit in a line that the roots do not need can only take a witness
/// away. With as many witnesses demanded as there are, every flipped bit is rejected.
#[test]
fn ten_thousand_flipped_bits_of_a_log_proof_and_of_a_checkpoint_are_rejected() {
    let (roots, genuine) = (roots(), Fixture::disputed().file());
    let leaf = genuine.receipt.leaf();
    flipped(genuine.log_proof.as_ref().expect("logged"), |bytes| {
        let text = std::str::from_utf8(bytes).unwrap_or_default();
        LogProof::from_text(text).and_then(|proof| proof.verify(&leaf.0, &roots.log)).is_ok()
    });
    let mut file = genuine;
    file.log_proof.as_mut().expect("logged")[40] ^= 1;
    assert!(!accepted(&file), "and the verdict asks for that");
    let leaves: Vec<_> = (0..9u8).map(|leaf| sealgrid_protocol::log::TreeHash::leaf(&[leaf])).collect();
    flipped(&checkpoint(&leaves, NOW).to_text().into_bytes(), |bytes| {
        Note::parse(bytes).and_then(|note| roots.log.verify(&note)).is_ok()
    });
}

#[test]
fn a_cut_file_is_rejected_wherever_it_is_cut() {
    let genuine = Fixture::disputed().file().encode();
    for length in (0..genuine.len()).step_by(25) {
        assert!(ReceiptFile::decode(&genuine[..length]).is_err(), "length {length}");
    }
}
