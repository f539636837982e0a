use sealgrid_seal::digest::Commitment;
use sealgrid_seal::envelope::JobKeyPair;
use sealgrid_seal::secret::Secret;

use super::*;
use crate::draw::{DrawFacts, TooFewCandidates};

const ISSUED: Millis = 1_750_000_000_000;

fn authority() -> SigningIdentity {
    SigningIdentity::from_seed(&Secret::new([7; 32]))
}

fn name(text: &str) -> Name {
    Text::new(text).expect("printable")
}

fn region(text: &str) -> Region {
    Region::new(text).expect("a region")
}

fn model(byte: u8) -> ModelCommitment {
    ModelCommitment(Digest([byte; 32]))
}

fn node(byte: u8, operator: &str, at: &str) -> NodeEntry {
    NodeEntry {
        identity: PublicIdentity([byte; 32]),
        job_key: JobKeyPair::from_seed(Secret::new([byte; 32])).public().clone(),
        addresses: vec![Text::new("127.0.0.1:4001").expect("printable")],
        operator: name(operator),
        region: region(at),
        environment: Environment::Software,
        models: vec![model(1)],
        limits: NodeLimits { records_max: 1000, payload_bytes_max: 1 << 20, jobs_max: 8 },
    }
}

fn draft() -> Directory {
    Directory {
        version: VERSION,
        grid: name("test grid"),
        authority: authority().public(),
        issued: ISSUED,
        expires: ISSUED + 86_400_000,
        log: LogEntry {
            origin: Text::new("sealgrid.test/log").expect("printable"),
            key: PublicIdentity([90; 32]),
        },
        witnesses: vec![
            WitnessEntry { name: name("w2"), key: PublicIdentity([92; 32]) },
            WitnessEntry { name: name("w1"), key: PublicIdentity([91; 32]) },
        ],
        nodes: vec![node(3, "cedar", "US"), node(1, "amber", "EU-DE"), node(2, "birch", "EU")],
    }
}

fn verified(draft: Directory) -> VerifiedDirectory {
    draft
        .sign(&authority())
        .and_then(|signed| signed.verify(&authority().public(), ISSUED))
        .expect("a good draft")
}

#[test]
fn a_signed_directory_reads_back_and_verifies_within_its_time() {
    let signed = draft().sign(&authority()).expect("a good draft");
    let read = SignedDirectory::decode(&signed.encode()).expect("its own bytes");
    assert_eq!(read, signed);
    let authority = authority().public();
    let first = read.verify(&authority, ISSUED).expect("at its first moment");
    assert_eq!(first.nodes.iter().map(|node| node.identity.0[0]).collect::<Vec<_>>(), [1, 2, 3]);
    assert!(read.verify(&authority, ISSUED + 86_399_999).is_ok());
    for at in [ISSUED - 1, ISSUED + 86_400_000] {
        let error = read.verify(&authority, at).expect_err("outside its time");
        assert_eq!(error.code(), "E-VER-13");
    }
}

#[test]
fn only_the_authority_it_names_can_sign_and_only_for_who_trusts_it() {
    let mallory = SigningIdentity::from_seed(&Secret::new([8; 32]));
    assert_eq!(draft().sign(&mallory).expect_err("another key").code(), "E-VER-12");
    let signed = draft().sign(&authority()).expect("a good draft");
    assert_eq!(signed.verify(&mallory.public(), ISSUED).expect_err("another key").code(), "E-VER-12");
    // Mallory signs, under her own key, a list that names the authority.
    let body = canonical::encode(&draft());
    let forged = SignedDirectory { signature: mallory.sign(labels::DIRECTORY, &body), body };
    assert_eq!(forged.verify(&mallory.public(), ISSUED), Err(DirectoryError::Signature));
    assert_eq!(forged.verify(&authority().public(), ISSUED), Err(DirectoryError::Signature));
}

#[test]
fn every_rule_is_checked_on_signing_and_on_verifying() {
    type Break = fn(&mut Directory);
    let breaks: &[(&str, Break)] = &[
        ("DIR-03", |d| d.version = 2),
        ("DIR-04", |d| d.expires = d.issued),
        ("DIR-04", |d| d.expires = d.issued + LIFETIME_MS_MAX + 1),
        ("DIR-05", |d| d.witnesses[1].key = d.witnesses[0].key),
        ("DIR-05", |d| d.witnesses[1].name = d.witnesses[0].name.clone()),
        ("DIR-05", |d| d.witnesses[0].key = d.log.key),
        ("DIR-05", |d| {
            d.witnesses = (0..17)
                .map(|i| WitnessEntry { name: name(&format!("w{i}")), key: PublicIdentity([i; 32]) })
                .collect();
        }),
        ("DIR-06", |d| d.nodes[1] = d.nodes[0].clone()),
        ("DIR-06", |d| d.nodes = vec![d.nodes[0].clone(); NODES_MAX + 1]),
        ("DIR-07", |d| d.nodes[1].job_key = d.nodes[0].job_key.clone()),
        ("DIR-08", |d| d.nodes[0].addresses.clear()),
        ("DIR-08", |d| d.nodes[0].addresses = vec![d.nodes[0].addresses[0].clone(); 9]),
        ("DIR-09", |d| d.nodes[0].models = vec![model(1), model(1)]),
        ("DIR-09", |d| d.nodes[0].models = (0..=255).chain([0]).map(model).collect()),
    ];
    for (expected, alter) in breaks {
        let mut bad = draft();
        alter(&mut bad);
        let refused = bad.clone().sign(&authority()).expect_err("a broken rule");
        assert!(
            matches!(refused, DirectoryError::Rule { rule, .. } if rule == *expected),
            "{expected}: {refused}"
        );
        // An authority that signs a broken list all the same is not believed either.
        bad.sort();
        let body = canonical::encode(&bad);
        let signed = SignedDirectory { signature: authority().sign(labels::DIRECTORY, &body), body };
        let refused = signed.verify(&authority().public(), ISSUED).expect_err("a broken rule");
        assert_eq!(refused.code(), "E-VER-11");
        assert!(
            matches!(refused, DirectoryError::Rule { rule, .. } if rule == *expected),
            "{expected}: {refused}"
        );
    }
    // DIR-06 on verifying: signing sorts, so an unsorted list needs a careless authority.
    let body = canonical::encode(&draft());
    let signed = SignedDirectory { signature: authority().sign(labels::DIRECTORY, &body), body };
    assert!(matches!(
        signed.verify(&authority().public(), ISSUED),
        Err(DirectoryError::Rule { rule: "DIR-05" | "DIR-06", .. })
    ));
}

#[test]
fn any_flipped_bit_of_a_signed_directory_is_refused() {
    let bytes = draft().sign(&authority()).expect("a good draft").encode();
    for position in 0..bytes.len() {
        let mut altered = bytes.clone();
        altered[position] ^= 1 << (position % 8);
        let outcome =
            SignedDirectory::decode(&altered).and_then(|signed| signed.verify(&authority().public(), ISSUED));
        assert!(outcome.is_err(), "byte {position}");
    }
    assert_eq!(SignedDirectory::decode(&bytes[1..]).expect_err("cut").code(), "E-VER-10");
}

#[test]
fn the_digest_names_one_list() {
    let mut other = draft();
    other.nodes[0].region = region("CH");
    assert_ne!(verified(draft()).digest(), verified(other).digest());
    assert_eq!(verified(draft()).digest(), verified(draft()).digest());
}

#[test]
fn a_region_covers_itself_and_what_lies_within() {
    let cases = [("EU", "EU", true), ("EU", "EU-DE", true), ("EU-DE", "EU", false), ("EU", "EUR", false)];
    for (wide, narrow, covered) in cases {
        assert_eq!(region(wide).covers(&region(narrow)), covered, "{wide} {narrow}");
    }
    for text in ["", "eu", "EU-", "-EU", "EU--DE", "E U", &"A".repeat(33)] {
        assert_eq!(Region::new(text), Err(RegionError), "{text:?}");
    }
}

#[test]
fn a_node_is_eligible_when_it_keeps_every_demand() {
    let eligible = |rule: NodeRule, wanted: ModelCommitment, records: u32| -> Vec<u8> {
        let directory = verified(draft());
        let nodes = directory.eligible(&rule, &wanted, records);
        nodes.iter().map(|node| node.identity.0[0]).collect()
    };
    let all = NodeRule::default();
    assert_eq!(eligible(all.clone(), model(1), 1000), [1, 2, 3]);
    assert_eq!(eligible(all.clone(), model(2), 1), [0u8; 0]);
    assert_eq!(eligible(all.clone(), model(1), 1001), [0u8; 0]);
    let europe = NodeRule { regions_allowed: vec![region("EU")], ..all.clone() };
    assert_eq!(eligible(europe.clone(), model(1), 1), [1, 2]);
    let not_germany = NodeRule { regions_denied: vec![region("EU-DE")], ..europe };
    assert_eq!(eligible(not_germany, model(1), 1), [2]);
    assert_eq!(eligible(NodeRule { hardware_required: true, ..all }, model(1), 1), [0u8; 0]);
}

#[test]
fn a_draw_takes_eligible_nodes_of_the_directory_it_names() {
    let directory = verified(draft());
    let facts = DrawFacts {
        nonce: [1; 32],
        directory: directory.digest(),
        checkpoint_root: [2; 32],
        model: model(1),
        input: Commitment([3; 32]),
    };
    let europe = NodeRule { regions_allowed: vec![region("EU")], ..NodeRule::default() };
    let draw = directory.draw(&facts, &europe, 1, 2).expect("two nodes in Europe");
    assert!(draw.reserves.is_empty() && draw.committee.iter().all(|node| node.0[0] < 3));
    assert_eq!(directory.draw(&facts, &europe, 1, 3), Err(TooFewCandidates { eligible: 2, members: 3 }));
    let elsewhere = DrawFacts { directory: Digest([0; 32]), ..facts };
    assert_eq!(directory.draw(&elsewhere, &europe, 1, 1), Err(TooFewCandidates { eligible: 0, members: 1 }));
}
