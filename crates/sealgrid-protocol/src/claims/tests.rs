use sealgrid_seal::secret::Secret;

use super::*;

fn signer(byte: u8) -> SigningIdentity {
    SigningIdentity::from_seed(&Secret::new([byte; 32]))
}

fn claims() -> Claims {
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
        protection_asked: Protection::Sealed,
        protection_used: Protection::Sealed,
        verification_asked: Verification::Quorum { members: 3 },
        verification_used: Verification::Quorum { members: 3 },
        committee: vec![node(1), node(2), node(3)],
        reserves_used: vec![node(4)],
        faults: vec![Fault { node: node(1), kind: FaultKind::Lie { operation: 2 } }],
        evidence: vec![
            EvidenceDigest { kind: EvidenceKind::Directory, digest: Digest([7; 32]) },
            EvidenceDigest { kind: EvidenceKind::Votes, digest: Digest([8; 32]) },
        ],
        issuer: node(2),
        environment: Environment::Software,
        requested: 1_750_000_000_000,
        finished: 1_750_000_000_900,
        directory: Digest([9; 32]),
        log: LogState { size: 7, root: [10; 32] },
    }
}

#[test]
fn a_signed_receipt_gives_its_claims_back() {
    let signed = claims().sign(&signer(2)).expect("good claims");
    assert_eq!(signed.verify(), Ok(claims()));
    assert_eq!(SignedClaims::from_bytes(signed.as_bytes().to_vec()).leaf(), signed.leaf());
    assert_eq!(signed, claims().sign(&signer(2)).expect("good claims"), "the same claims, the same bytes");
}

#[test]
fn any_flipped_bit_of_a_receipt_is_refused() {
    let bytes = claims().sign(&signer(2)).expect("good claims").as_bytes().to_vec();
    for bit in 0..bytes.len() * 8 {
        let mut altered = bytes.clone();
        altered[bit / 8] ^= 1 << (bit % 8);
        assert!(SignedClaims::from_bytes(altered).verify().is_err(), "bit {bit}");
    }
}

#[test]
fn claims_that_contradict_themselves_are_neither_signed_nor_believed() {
    type Break = fn(&mut Claims);
    let breaks: &[(&str, Break)] = &[
        ("RCP-05", |c| c.version = 2),
        ("RCP-06", |c| c.records = 0),
        ("RCP-06", |c| c.records = RECORDS_MAX + 1),
        ("RCP-07", |c| c.finished = c.requested - 1),
        ("RCP-08", |c| c.protection_asked = Protection::Attested),
        ("RCP-08", |c| c.verification_asked = Verification::Quorum { members: 5 }),
        ("RCP-09", |c| c.committee.truncate(2)),
        ("RCP-09", |c| c.committee[2] = c.committee[0]),
        ("RCP-09", |c| c.reserves_used[0] = c.committee[1]),
        ("RCP-09", |c| c.reserves_used = (4..34).map(|byte| signer(byte).public()).collect()),
        ("RCP-10", |c| c.faults.push(Fault { node: c.issuer, kind: FaultKind::Late })),
        ("RCP-10", |c| c.faults.clear()),
        ("RCP-11", |c| c.faults.push(c.faults[0])),
        ("RCP-11", |c| c.faults.push(Fault { node: PublicIdentity([0; 32]), kind: FaultKind::Late })),
        ("RCP-11", |c| {
            let node = c.committee[0];
            c.faults = (0..65).map(|operation| Fault { node, kind: FaultKind::Lie { operation } }).collect();
        }),
        ("RCP-12", |c| c.evidence.reverse()),
        ("RCP-12", |c| c.evidence[1].kind = EvidenceKind::Directory),
    ];
    for (rule, alter) in breaks {
        let mut bad = claims();
        alter(&mut bad);
        assert_eq!(bad.sign(&signer(2)).expect_err(rule).rule(), *rule);
        let forced = SignedClaims(statement::sign_value(&signer(2), &RECEIPT, &bad));
        let refused = forced.verify().expect_err(rule);
        assert_eq!((refused.rule(), refused.code()), (*rule, "E-VER-03"));
    }
}

#[test]
fn a_receipt_is_signed_by_the_issuer_it_names_and_as_a_receipt() {
    assert_eq!(claims().sign(&signer(3)).expect_err("another node").rule(), "RCP-04");
    let by_another = SignedClaims(statement::sign_value(&signer(3), &RECEIPT, &claims()));
    assert_eq!(by_another.verify().expect_err("another node").rule(), "RCP-04");
    let as_policy = Kind { content_type: "application/sealgrid-policy+cbor", ..RECEIPT };
    let as_policy = SignedClaims(statement::sign_value(&signer(2), &as_policy, &claims()));
    let refused = as_policy.verify().expect_err("another kind");
    assert_eq!((refused.rule(), refused.code()), ("RCP-02", "E-VER-02"));
    let of_nothing = SignedClaims(statement::sign_value(&signer(2), &RECEIPT, &7u64));
    assert_eq!(of_nothing.verify().expect_err("no claims").rule(), "RCP-03");
    assert_eq!(SignedClaims(vec![0; RECEIPT_BYTES_MAX + 1]).verify().expect_err("long").rule(), "RCP-02");
}

#[test]
fn the_digest_of_evidence_depends_on_its_kind() {
    let digests: HashSet<_> = EvidenceKind::ALL.iter().map(|kind| kind.digest(b"bytes")).collect();
    assert_eq!(digests.len(), EvidenceKind::ALL.len());
    assert!(EvidenceKind::ALL.is_sorted_by(|a, b| a < b));
}
