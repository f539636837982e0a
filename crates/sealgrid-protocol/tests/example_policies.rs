//! The policies under examples/ are policies, and say what their first lines promise.

use std::path::Path;

use sealgrid_protocol::names::{Protection, Verification};
use sealgrid_protocol::policy::{OnDispute, Policy};

fn example(name: &str) -> Policy {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples").join(name);
    let text = std::fs::read_to_string(&path).expect("the example exists");
    Policy::from_toml(&text).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn every_example_is_a_sealed_policy() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    let names =
        std::fs::read_dir(folder).expect("the folder exists").flatten().map(|entry| entry.file_name());
    let policies: Vec<String> = names
        .map(|name| name.to_string_lossy().into_owned())
        .filter(|name| name.starts_with("policy-") && name.ends_with(".toml"))
        .collect();
    assert!(policies.len() >= 3, "{policies:?}");
    for name in policies {
        assert_eq!(example(&name).protection, Protection::Sealed, "{name}");
    }
}

#[test]
fn the_hospital_refuses_on_dispute_and_wants_three_operators_of_the_union() {
    let policy = example("policy-hospital.toml");
    assert_eq!(policy.verification, Verification::Quorum { members: 3 });
    assert_eq!(policy.on_dispute, OnDispute::Refuse);
    assert!(policy.nodes.operators_distinct);
    assert_eq!(policy.witnesses_min, 2);
}

#[test]
fn research_takes_the_majority_of_five() {
    let policy = example("policy-research.toml");
    assert_eq!(policy.verification, Verification::Quorum { members: 5 });
    assert_eq!(policy.on_dispute, OnDispute::Majority);
}
