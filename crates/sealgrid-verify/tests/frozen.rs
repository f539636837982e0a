//! The bytes of receipts do not change: frozen files are made again bit for bit, accepted or rejected as they were, and
//! the corpora of the fuzz targets are replayed.

mod common;

use std::path::{Path, PathBuf};

use common::*;
use sealgrid_protocol::claims::SignedClaims;
use sealgrid_protocol::job;
use sealgrid_protocol::receipt::ReceiptFile;
use sealgrid_seal::canonical;
use sealgrid_seal::digest::Digest;
use sealgrid_verify::{TrustRoots, verify};

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

fn genuine() -> [(&'static str, Vec<u8>); 6] {
    let fixture = Fixture::disputed();
    [
        ("disputed.receipt", fixture.file().encode()),
        ("unanimous.receipt", Fixture::unanimous().file().encode()),
        ("signed.receipt", Fixture::signed().file().encode()),
        ("disputed.opening", fixture.opening().encode().expose().to_vec()),
        ("grid.directory", fixture.signed_directory.encode()),
        ("trust.roots", roots().encode()),
    ]
}

/// Files that are wrong in one way, by the rule that rejects them.
fn wrong() -> Vec<(&'static str, Vec<u8>)> {
    let altered = |alter: fn(&mut Fixture)| {
        let mut fixture = Fixture::disputed();
        alter(&mut fixture);
        fixture.file().encode()
    };
    let bundled = |alter: fn(&mut ReceiptFile)| {
        let mut file = Fixture::disputed().file();
        alter(&mut file);
        file.encode()
    };
    let mut damaged = Fixture::disputed().file().encode();
    *damaged.last_mut().expect("bytes") ^= 1;
    vec![
        ("RCP-01-checksum.receipt", damaged),
        ("RCP-02-no-statement.receipt", bundled(|f| f.receipt = SignedClaims::from_bytes(vec![0]))),
        (
            "RCP-04-signature.receipt",
            bundled(|f| {
                let mut bytes = f.receipt.as_bytes().to_vec();
                *bytes.last_mut().expect("a signature") ^= 1;
                f.receipt = SignedClaims::from_bytes(bytes);
            }),
        ),
        ("RCP-13-evidence.receipt", bundled(|f| f.evidence[4].bytes.push(0))),
        (
            "RCP-15-directory.receipt",
            altered(|f| {
                let mut draft = directory();
                draft.expires = REQUESTED;
                f.signed_directory = draft.sign(&authority()).expect("a good draft");
            }),
        ),
        ("RCP-17-stranger.receipt", altered(|f| f.claims.reserves_used = vec![signer(50).public()])),
        ("RCP-20-policy.receipt", altered(|f| f.policy.limits.deadline_ms += 1)),
        (
            "RCP-21-late.receipt",
            altered(|f| {
                f.policy.limits.deadline_ms = 699;
                f.claims.policy = f.policy.digest();
            }),
        ),
        (
            "RCP-30-checkpoint.receipt",
            altered(|f| f.checkpoint = Some(checkpoint(&f.log_leaves[..4], REQUESTED))),
        ),
        ("RCP-40-header.receipt", altered(|f| f.header.deadline += 1)),
        ("RCP-50-output.receipt", altered(|f| f.claims.output = unrelated().1)),
        ("RCP-60-log.receipt", bundled(|f| f.log_proof = None)),
        ("RCP-61-early.receipt", altered(|f| f.log_leaves.truncate(2))),
    ]
}

/// Compares with the frozen file; with `SEALGRID_WRITE_VECTORS` set, writes it where it is missing and never over another.
fn frozen(name: &str, bytes: &[u8]) {
    let path = repository("vectors/receipt").join(name);
    if std::env::var_os("SEALGRID_WRITE_VECTORS").is_some() && !path.exists() {
        std::fs::write(&path, bytes).expect("the folder exists");
    }
    let stored = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert_eq!(stored, bytes, "{name} is made otherwise than it was frozen");
}

#[test]
fn genuine_vectors_are_made_again_and_accepted() {
    let roots = roots();
    for (name, bytes) in genuine() {
        frozen(name, &bytes);
        if name.ends_with(".receipt") {
            let verdict = verify(&bytes, &roots, NOW, None, None);
            assert!(verdict.is_accepted(), "{name}: {}", verdict.text());
        }
    }
    assert_eq!(TrustRoots::decode(&roots.encode()), Ok(roots));
}

#[test]
fn each_wrong_vector_is_rejected_by_the_rule_in_its_name() {
    for (name, bytes) in wrong() {
        frozen(name, &bytes);
        let verdict = verify(&bytes, &roots(), NOW, None, None);
        let rule = verdict.failures().next().map(|finding| finding.id);
        assert_eq!(rule, Some(&name[..6]), "{name}: {}", verdict.text());
    }
}

/// Inputs from which the fuzzers start: genuine ones, so that they stand behind the front door.
fn seeds() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let fixture = Fixture::disputed();
    let (votes, dispute) = (fixture.votes.clone().expect("a quorum"), fixture.dispute.clone());
    let case = |sign_again| job::fuzz::Case {
        header: fixture.header.clone(),
        votes: votes.clone(),
        dispute: dispute.clone(),
        key: Digest(*job_key().expose()),
        sign_again,
        commit_again: sign_again,
    };
    let receipt = |fixture: &Fixture| {
        let file = fixture.file();
        let claims = fixture.claims.clone();
        let signer = (1..=6).find(|byte| signer(*byte).public() == claims.issuer).expect("a node");
        let (evidence, log_proof) = (file.evidence, file.log_proof);
        canonical::encode(&sealgrid_verify::fuzz::Case { signer, claims, evidence, log_proof })
    };
    vec![
        ("job_evidence", "header", fixture.header.to_bytes()),
        ("job_evidence", "votes", votes.to_bytes()),
        ("job_evidence", "dispute", dispute.as_ref().expect("a dispute").to_bytes()),
        ("job_evidence", "case", canonical::encode(&case(false))),
        ("job_evidence", "case-signed-again", canonical::encode(&case(true))),
        ("verify", "disputed", receipt(&fixture)),
        ("verify", "unanimous", receipt(&Fixture::unanimous())),
        ("verify", "signed", receipt(&Fixture::signed())),
        ("verify", "file", fixture.file().encode()),
    ]
}

#[test]
fn the_seeds_of_the_fuzz_targets_are_what_is_written_today() {
    for (target, name, bytes) in seeds() {
        let path = repository("fuzz/corpus").join(target).join(name);
        if std::env::var_os("SEALGRID_WRITE_VECTORS").is_some() && !path.exists() {
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("the folder can be made");
            std::fs::write(&path, &bytes).expect("the folder exists");
        }
        let stored = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert!(stored == bytes, "{target}/{name} is made otherwise than it was frozen");
    }
}

#[test]
fn the_corpora_of_the_fuzz_targets_are_replayed() {
    type Target = (&'static str, fn(&[u8]));
    let targets: [Target; 5] = [
        ("receipt", |bytes| {
            sealgrid_protocol::receipt::fuzz_parse(bytes);
            sealgrid_verify::fuzz_parse(bytes);
            let _ = verify(bytes, &roots(), NOW, None, None).text();
        }),
        ("verify", |bytes| sealgrid_verify::fuzz::receipt(bytes, &roots(), NOW)),
        ("directory", sealgrid_protocol::directory::fuzz_parse),
        ("policy", sealgrid_protocol::policy::fuzz_parse),
        ("job_evidence", job::fuzz::evidence),
    ];
    for (target, run) in targets {
        let folder = repository("fuzz/corpus").join(target);
        let entries =
            std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        let mut count = 0;
        for entry in entries {
            run(&std::fs::read(entry.expect("an entry").path()).expect("a file"));
            count += 1;
        }
        assert!(count > 0, "{target} has seeds");
    }
}
