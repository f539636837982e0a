use sealgrid_seal::canonical;
use sealgrid_seal::digest::{Commitment, Digest};
use sealgrid_seal::identity::SigningIdentity;
use sealgrid_seal::secret::Secret;

use super::*;
use crate::claims::{Claims, EvidenceKind, Fault, FaultKind, LogState, VERSION};
use crate::names::{Environment, JobId, ModelCommitment, Protection, Verification};

fn signer(byte: u8) -> SigningIdentity {
    SigningIdentity::from_seed(&Secret::new([byte; 32]))
}

fn claims(evidence: &mut [Evidence]) -> Claims {
    let node = |byte| signer(byte).public();
    Claims {
        version: VERSION,
        job: JobId(Digest([1; 32])),
        nonce: [2; 32],
        model: ModelCommitment(Digest([3; 32])),
        input: Commitment([4; 32]),
        output: Commitment([5; 32]),
        records: 4,
        policy: Digest([6; 32]),
        protection_asked: Protection::Plain,
        protection_used: Protection::Sealed,
        verification_asked: Verification::Quorum { members: 3 },
        verification_used: Verification::Quorum { members: 3 },
        committee: vec![node(1), node(2), node(3)],
        reserves_used: vec![node(4)],
        faults: vec![
            Fault { node: node(1), kind: FaultKind::Lie { operation: 2 } },
            Fault { node: node(3), kind: FaultKind::Unreachable },
        ],
        evidence: ReceiptFile::digests(evidence),
        issuer: node(2),
        environment: Environment::Software,
        requested: 1_750_000_000_000,
        finished: 1_750_000_000_987,
        directory: Digest([9; 32]),
        log: LogState { size: 7, root: [10; 32] },
    }
}

fn evidence() -> Vec<Evidence> {
    vec![
        Evidence { kind: EvidenceKind::Votes, bytes: b"votes".to_vec() },
        Evidence { kind: EvidenceKind::Directory, bytes: b"directory".to_vec() },
    ]
}

fn file() -> ReceiptFile {
    let mut evidence = evidence();
    let receipt = claims(&mut evidence).sign(&signer(2)).expect("good claims");
    ReceiptFile { receipt, evidence, log_proof: Some(b"proof".to_vec()) }
}

#[test]
fn a_file_reads_back_and_its_evidence_matches_its_claims() {
    let read = ReceiptFile::decode(&file().encode()).expect("its own bytes");
    assert_eq!(read, file());
    let claims = read.claims().expect("signed");
    assert_eq!(read.check_evidence(&claims), Ok(()));
    assert_eq!(read.evidence(EvidenceKind::Votes), Some(&b"votes"[..]));
    assert_eq!(read.evidence(EvidenceKind::Dispute), None);
}

#[test]
fn any_flipped_bit_of_a_file_is_refused_on_reading() {
    let bytes = file().encode();
    for bit in 0..bytes.len() * 8 {
        let mut altered = bytes.clone();
        altered[bit / 8] ^= 1 << (bit % 8);
        let refused = ReceiptFile::decode(&altered).expect_err("altered");
        assert_eq!((refused.code(), refused.rule()), ("E-VER-01", "RCP-01"), "bit {bit}");
    }
    assert_eq!(ReceiptFile::decode(&bytes[..bytes.len() - 1]).expect_err("cut").code(), "E-VER-01");
}

#[test]
fn evidence_that_is_missing_swapped_or_unnamed_is_refused() {
    let genuine = file();
    let claims = genuine.claims().expect("signed");
    let refused = |alter: fn(&mut Vec<Evidence>), expected: EvidenceKind| {
        let mut file = genuine.clone();
        alter(&mut file.evidence);
        file.evidence.sort_by_key(|evidence| evidence.kind);
        // An attacker writes a good checksum.
        let file = ReceiptFile::decode(&file.encode()).expect("well formed");
        let error = file.check_evidence(&claims).expect_err("altered");
        assert_eq!(error, FileError::Evidence { kind: expected });
        assert_eq!((error.code(), error.rule()), ("E-VER-04", "RCP-13"));
    };
    refused(|evidence| drop(evidence.remove(0)), EvidenceKind::Directory);
    refused(|evidence| evidence[1].bytes.push(0), EvidenceKind::Votes);
    refused(|evidence| evidence[1].kind = EvidenceKind::Dispute, EvidenceKind::Votes);
    refused(
        |evidence| evidence.push(Evidence { kind: EvidenceKind::Dispute, bytes: Vec::new() }),
        EvidenceKind::Dispute,
    );
    let mut disordered = genuine.clone();
    disordered.evidence.reverse();
    assert_eq!(ReceiptFile::decode(&disordered.encode()), Err(FileError::Order));
    let long = ReceiptFile { log_proof: Some(vec![0; LOG_PROOF_BYTES_MAX + 1]), ..genuine };
    assert_eq!(ReceiptFile::decode(&long.encode()), Err(FileError::LogProof));
}

#[test]
fn an_opening_reads_back_and_prints_no_key() {
    let opening = Opening { job: JobId(Digest([1; 32])), key: Secret::new([0xab; 32]) };
    let bytes = opening.encode();
    assert_eq!(
        Opening::decode(bytes.expose()),
        Ok(Opening { job: opening.job, key: Secret::new([0xab; 32]) })
    );
    assert!(!format!("{opening:?}").contains("ab, ab") && !format!("{opening:?}").contains("171"));
    for wrong in [&bytes.expose()[1..], &[bytes.expose(), &[0]].concat(), &[0x83, 2], &[0; 129]] {
        assert_eq!(Opening::decode(wrong).expect_err("wrong").code(), "E-VER-09");
    }
}

#[test]
fn claims_read_well() {
    insta::assert_snapshot!(claims_text(&file().claims().expect("signed")), @r#"
    job           j1:0101010101010101010101010101010101010101010101010101010101010101
    model         mc1:0303030303030303030303030303030303030303030303030303030303030303
    records       4
    input         0404040404040404040404040404040404040404040404040404040404040404 (keyed commitment)
    output        0505050505050505050505050505050505050505050505050505050505050505 (keyed commitment)
    protection    sealed (asked: at least plain)
    verification  quorum:3
    issuer        8139770e (software, NOT HARDWARE)
    committee     8a88e3dd, 8139770e, ed4928c6
    reserves      ca93ac17
    fault         node 8a88e3dd lied at operation 2
    fault         node ed4928c6 could not be reached
    requested     2025-06-15T15:06:40.000Z
    finished      2025-06-15T15:06:40.987Z (987 ms)
    "#);
}

#[test]
fn claims_have_a_stable_json_form() {
    let json = claims_json(&file().claims().expect("signed"));
    insta::assert_snapshot!(serde_json::to_string_pretty(&json).expect("plain values"), @r#"
    {
      "committee": [
        "8a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c",
        "8139770ea87d175f56a35466c34c7ecccb8d8a91b4ee37a25df60f5b8fc9b394",
        "ed4928c628d1c2c6eae90338905995612959273a5c63f93636c14614ac8737d1"
      ],
      "directory": "0909090909090909090909090909090909090909090909090909090909090909",
      "environment": {
        "kind": "software",
        "label": "software, NOT HARDWARE"
      },
      "evidence": [
        {
          "digest": "d32fbcbecee6c7bdbd769ca3c8c17e0fbae218e90186ad6c19a0b5e1c959c69e",
          "kind": "directory"
        },
        {
          "digest": "78d41e763b767719b348cc69bd8cb4e334128993e9719571d07356f6f73f387b",
          "kind": "votes"
        }
      ],
      "faults": [
        {
          "kind": "lie",
          "node": "8a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c",
          "operation": 2,
          "provable": true
        },
        {
          "kind": "unreachable",
          "node": "ed4928c628d1c2c6eae90338905995612959273a5c63f93636c14614ac8737d1",
          "operation": null,
          "provable": false
        }
      ],
      "finished": "2025-06-15T15:06:40.987Z",
      "finished_ms": 1750000000987,
      "input": "0404040404040404040404040404040404040404040404040404040404040404",
      "issuer": "8139770ea87d175f56a35466c34c7ecccb8d8a91b4ee37a25df60f5b8fc9b394",
      "job": "j1:0101010101010101010101010101010101010101010101010101010101010101",
      "log": {
        "root": "0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a",
        "size": 7
      },
      "model": "mc1:0303030303030303030303030303030303030303030303030303030303030303",
      "nonce": "0202020202020202020202020202020202020202020202020202020202020202",
      "output": "0505050505050505050505050505050505050505050505050505050505050505",
      "policy": "0606060606060606060606060606060606060606060606060606060606060606",
      "protection": {
        "asked": "plain",
        "used": "sealed"
      },
      "records": 4,
      "requested": "2025-06-15T15:06:40.000Z",
      "requested_ms": 1750000000000,
      "reserves_used": [
        "ca93ac1705187071d67b83c7ff0efe8108e8ec4530575d7726879333dbdabe7c"
      ],
      "verification": {
        "asked": "quorum:3",
        "used": "quorum:3"
      },
      "version": 1
    }
    "#);
}

#[test]
fn a_moment_prints_as_rfc_3339() {
    for (millis, expected) in [
        (0, "1970-01-01T00:00:00.000Z"),
        (951_782_399_999, "2000-02-28T23:59:59.999Z"),
        (951_782_400_000, "2000-02-29T00:00:00.000Z"),
        (1_709_251_199_000, "2024-02-29T23:59:59.000Z"),
        (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        (1_750_000_000_987, "2025-06-15T15:06:40.987Z"),
    ] {
        assert_eq!(utc(millis), expected);
    }
    assert!(!utc(u64::MAX).is_empty());
}

#[test]
fn another_version_or_another_kind_of_file_is_refused() {
    assert_eq!(ReceiptFile::decode(&canonical::encode(&7u64)).expect_err("a number").code(), "E-VER-01");
    let bytes = file().encode();
    let mut other = bytes.clone();
    let at = bytes.windows(8).position(|window| window == b"sealgrid").expect("the magic");
    other[at + 16] = 2; // The version follows the sixteen letters of the magic.
    assert_eq!(ReceiptFile::decode(&other), Err(FileError::Version(2)));
}
