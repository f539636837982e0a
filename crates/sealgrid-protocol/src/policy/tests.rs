use proptest::prelude::*;
use sealgrid_seal::digest::Digest;
use sealgrid_seal::envelope::{JobKeyPair, JobPublicKey};
use sealgrid_seal::identity::{PublicIdentity, SigningIdentity};
use sealgrid_seal::secret::Secret;

use super::*;
use crate::directory::{Directory, LogEntry, NodeEntry, NodeLimits, Region, VerifiedDirectory, WitnessEntry};
use crate::names::{Environment, ModelCommitment};
use crate::text::Text;

const FULL: &str = r#"
version = 1
protection = "sealed"
verification = "quorum:5"
on_dispute = "refuse"
referee = "client"
witnesses_min = 2

[nodes]
regions_allowed = ["US-CA", "EU"]
regions_denied = ["EU-XX"]
operators_distinct = false
hardware_required = true

[limits]
deadline_ms = 5000
records_max = 100
bytes_max = 1000000
node_ms_max = 900
"#;

fn region(text: &str) -> Region {
    Region::new(text).expect("a region")
}

fn problems(text: &str) -> Vec<String> {
    match Policy::from_toml(text) {
        Err(error @ PolicyError::Problems(_)) => {
            assert_eq!(error.code(), "E-POL-03");
            let PolicyError::Problems(problems) = error else { unreachable!("matched above") };
            problems.iter().map(Problem::to_string).collect()
        }
        other => panic!("expected problems, got {other:?}"),
    }
}

#[test]
fn a_document_with_every_key_reads_as_written() {
    let expected = Policy {
        version: 1,
        protection: Protection::Sealed,
        verification: Verification::Quorum { members: 5 },
        on_dispute: OnDispute::Refuse,
        referee: Referee::Client,
        witnesses_min: 2,
        nodes: NodeRule {
            regions_allowed: vec![region("EU"), region("US-CA")],
            regions_denied: vec![region("EU-XX")],
            operators_distinct: false,
            hardware_required: true,
        },
        limits: Limits {
            deadline_ms: 5000,
            records_max: 100,
            bytes_max: Some(1_000_000),
            node_ms_max: Some(900),
        },
    };
    assert_eq!(Policy::from_toml(FULL), Ok(expected));
    assert_eq!(Policy::from_toml("version = 1"), Ok(Policy::default()));
}

#[test]
fn every_problem_of_a_document_is_named_with_a_hint() {
    let text = r#"
        protecton = "sealed"
        verification = "quorum:99"
        witnesses_min = -1
        [nodes]
        regions_allowed = ["eu"]
        operators_distinct = "yes"
        favourite = 1
        [limits]
        deadline_ms = 0
    "#;
    insta::assert_snapshot!(problems(text).join("\n"), @r#"
    protecton: is unknown (did you mean protection?)
    version: is absent or not 1 (write version = 1 as the first line)
    verification: does not know "quorum:99" (expected signed, quorum:K with K from 2 to 9, or proof)
    witnesses_min: is no number within its bounds (a whole number from 0 to 16)
    nodes.favourite: is unknown (known are regions_allowed, regions_denied, operators_distinct, hardware_required)
    nodes.regions_allowed: is not a list of regions (at most 64 such as ["EU", "US-CA"], in capital letters)
    nodes.operators_distinct: is neither true nor false (write it without quotes)
    limits.deadline_ms: is no number within its bounds (a whole number from 1 to 86400000)
    "#);
    assert_eq!(problems("version = 1\nnodes = 3").len(), 1);
    assert_eq!(problems("version = 2").len(), 1);
    assert_eq!(problems("version = 1\nprotection = 3").len(), 1);
}

#[test]
fn what_is_not_toml_or_too_long_is_refused_with_its_line() {
    let error = Policy::from_toml("version = 1\nprotection = ").expect_err("cut short");
    assert_eq!(error.code(), "E-POL-01");
    assert!(matches!(error, PolicyError::Syntax { line: 2, .. }), "{error}");
    let long = "#".repeat(DOCUMENT_BYTES_MAX + 1);
    assert_eq!(Policy::from_toml(&long), Err(PolicyError::TooLong(DOCUMENT_BYTES_MAX + 1)));
    let deep = format!("a = {}", "[".repeat(60_000));
    assert_eq!(Policy::from_toml(&deep).expect_err("deep").code(), "E-POL-01");
    let twice = Policy::from_toml("version = 1\nversion = 1").expect_err("a key twice");
    assert_eq!(twice.code(), "E-POL-01");
}

#[test]
fn flags_set_the_minima_and_keep_the_other_defaults() {
    let policy = Policy::from_flags(Some("sealed"), Some("signed")).expect("known words");
    assert_eq!(policy, Policy { verification: Verification::Signed, ..Policy::default() });
    assert_eq!(Policy::from_flags(None, None), Ok(Policy::default()));
    let error = Policy::from_flags(Some("seeled"), Some("quorum")).expect_err("unknown words");
    assert_eq!(error.code(), "E-POL-03");
    assert!(error.to_string().contains("--protect") && error.to_string().contains("--verify"));
}

#[test]
fn the_digest_names_one_policy_and_bounds_hold_for_canonical_bytes_too() {
    let policy = Policy::from_toml(FULL).expect("a good document");
    assert_eq!(Policy::decode(&policy.encode()), Ok(policy.clone()));
    assert_ne!(policy.digest(), Policy::default().digest());
    let refused = |alter: fn(&mut Policy)| {
        let mut bad = policy.clone();
        alter(&mut bad);
        assert_ne!(bad.digest(), policy.digest());
        assert!(Policy::decode(&bad.encode()).is_err());
    };
    refused(|p| p.version = 2);
    refused(|p| p.verification = Verification::Quorum { members: 1 });
    refused(|p| p.witnesses_min = 17);
    refused(|p| p.limits.deadline_ms = 0);
    refused(|p| p.limits.deadline_ms = DEADLINE_MS_MAX + 1);
    refused(|p| p.limits.records_max = 0);
    refused(|p| p.nodes.regions_allowed.reverse());
    refused(|p| p.nodes.regions_denied = vec![Region::new("EU").expect("a region"); 2]);
}

// ---- plans ----

const MODEL: ModelCommitment = ModelCommitment(Digest([1; 32]));

/// X-Wing keys take a millisecond each to expand: made once, in ascending order of the node's number.
fn job_keys() -> &'static [JobPublicKey] {
    static KEYS: std::sync::OnceLock<Vec<JobPublicKey>> = std::sync::OnceLock::new();
    KEYS.get_or_init(|| {
        (0..12).map(|byte| JobKeyPair::from_seed(Secret::new([byte; 32])).public().clone()).collect()
    })
}

fn grid(nodes: u8, operators: u8, witnesses: u8) -> VerifiedDirectory {
    let authority = SigningIdentity::from_seed(&Secret::new([7; 32]));
    let node = |byte: u8| NodeEntry {
        identity: PublicIdentity([byte; 32]),
        job_key: job_keys()[usize::from(byte)].clone(),
        addresses: vec![Text::new("127.0.0.1:1").expect("printable")],
        operator: Text::new(&format!("operator {}", byte % operators)).expect("printable"),
        region: region(if byte.is_multiple_of(3) { "EU-DE" } else { "US" }),
        environment: Environment::Software,
        models: vec![MODEL],
        limits: NodeLimits { records_max: 1000, payload_bytes_max: 1 << 20, jobs_max: 8 },
    };
    let witness = |byte: u8| WitnessEntry {
        name: Text::new(&format!("w{byte}")).expect("printable"),
        key: PublicIdentity([100 + byte; 32]),
    };
    let draft = Directory {
        version: crate::directory::VERSION,
        grid: Text::new("test grid").expect("printable"),
        authority: authority.public(),
        issued: 1,
        expires: 1000,
        log: LogEntry { origin: Text::new("test/log").expect("printable"), key: PublicIdentity([99; 32]) },
        witnesses: (0..witnesses).map(witness).collect(),
        nodes: (0..nodes).map(node).collect(),
    };
    let signed = draft.sign(&authority).expect("a good draft");
    signed.verify(&authority.public(), 1).expect("signed just now")
}

const JOB: JobFacts = JobFacts {
    model: MODEL,
    input_record_bytes: 30,
    output_record_bytes: 2,
    records: 100,
    client_holds_model: true,
    proven_elements: None,
};

const COSTS: MeasuredCosts = MeasuredCosts {
    job_us: 300,
    record_ns: 2_000,
    proof_us: 700,
    proof_element_ns: 100,
    round_trip_us: 500,
    bytes_per_ms: 100_000,
};

fn codes(policy: &Policy, job: &JobFacts, directory: &VerifiedDirectory) -> Vec<&'static str> {
    match plan(policy, job, directory, &COSTS) {
        Ok(plan) => panic!("expected a refusal, got {plan:?}"),
        Err(refusal) => {
            assert_eq!(refusal.code(), refusal.reasons[0].code);
            assert!(refusal.reasons.iter().all(|reason| !reason.satisfied_by.is_empty()));
            refusal.reasons.iter().map(|reason| reason.code).collect()
        }
    }
}

#[test]
fn a_plan_says_what_it_takes_and_what_it_guarantees() {
    let plan = plan(&Policy::default(), &JOB, &grid(5, 5, 2), &COSTS).expect("five nodes");
    assert_eq!((plan.members, plan.reserves), (3, 2));
    // 500 µs of work, 3 × (3,072 + 3,000) + 3 × (2,048 + 200) bytes at 100,000 a ms, three exchanges of 500 µs.
    assert_eq!(
        plan.predicted,
        Prediction { time_ms: 1 + 1 + 2, bytes_sent: 18_216, bytes_received: 6_744, node_ms: 2 }
    );
    insta::assert_snapshot!(plan.guarantee, @"3 nodes drawn by lot must agree to the bit or be overruled by 2; a liar is named with the operation it got wrong");
    assert!(plan.assumes.iter().any(|text| text == "at least 2 of the 3 members are honest"));
    assert!(plan.does_not_hide.iter().any(|text| text.contains("operators of the committee")));
}

#[test]
fn a_registered_model_is_proven_by_one_node_and_its_proof_is_part_of_the_prediction() {
    let policy = Policy { verification: Verification::Proof, ..Policy::default() };
    let job = JobFacts { proven_elements: Some(18), ..JOB };
    let plan = plan(&policy, &job, &grid(5, 5, 2), &COSTS).expect("five nodes");
    assert_eq!((plan.members, plan.reserves), (1, 4));
    // A millisecond and 100 × (2 + 1.8) µs of work, 3,072 + 3,000 + 2,048 + 200 bytes and two mebibytes at 100,000 a ms, two exchanges.
    assert_eq!(
        plan.predicted,
        Prediction { time_ms: 2 + 22 + 1, bytes_sent: 6_072, bytes_received: 2_248 + (2 << 20), node_ms: 2 }
    );
    assert!(plan.assumes.iter().any(|text| text.contains("Plonky3")));
    assert_eq!(codes(&policy, &JOB, &grid(5, 5, 2)), ["E-POL-05"]);
}

#[test]
fn each_demand_that_cannot_be_met_is_refused_with_its_code() {
    let grid5 = grid(5, 5, 2);
    let alter = |alter: fn(&mut Policy)| {
        let mut policy = Policy::default();
        alter(&mut policy);
        policy
    };
    for protection in [Protection::Attested, Protection::Split, Protection::Encrypted] {
        let policy = Policy { protection, ..Policy::default() };
        assert_eq!(codes(&policy, &JOB, &grid5), ["E-POL-04"]);
    }
    assert_eq!(codes(&alter(|p| p.verification = Verification::Proof), &JOB, &grid5), ["E-POL-05"]);
    assert_eq!(codes(&Policy::default(), &JOB, &grid(2, 2, 2)), ["E-POL-02"]);
    assert_eq!(codes(&Policy::default(), &JOB, &grid(5, 2, 2)), ["E-POL-02"], "two operators");
    assert_eq!(codes(&alter(|p| p.nodes.regions_allowed = vec![region("EU")]), &JOB, &grid5), ["E-POL-02"]);
    let other_model = JobFacts { model: ModelCommitment(Digest([2; 32])), ..JOB };
    assert_eq!(codes(&Policy::default(), &other_model, &grid5), ["E-POL-02"]);
    assert_eq!(codes(&alter(|p| p.witnesses_min = 3), &JOB, &grid5), ["E-POL-10"]);
    let without_model = JobFacts { client_holds_model: false, ..JOB };
    assert_eq!(codes(&Policy::default(), &without_model, &grid(3, 3, 2)), ["E-POL-11"]);
    assert_eq!(codes(&alter(|p| p.referee = Referee::Client), &without_model, &grid5), ["E-POL-11"]);
    assert_eq!(codes(&alter(|p| p.referee = Referee::Reserve), &JOB, &grid(3, 3, 2)), ["E-POL-11"]);
    assert_eq!(codes(&alter(|p| p.limits.records_max = 99), &JOB, &grid5), ["E-POL-06"]);
    assert_eq!(codes(&Policy::default(), &JobFacts { records: 0, ..JOB }, &grid5), ["E-POL-06"]);
    assert_eq!(codes(&alter(|p| p.limits.deadline_ms = 3), &JOB, &grid5), ["E-POL-07"]);
    assert_eq!(codes(&alter(|p| p.limits.bytes_max = Some(24_959)), &JOB, &grid5), ["E-POL-08"]);
    assert_eq!(codes(&alter(|p| p.limits.node_ms_max = Some(1)), &JOB, &grid5), ["E-POL-09"]);
    assert_eq!(codes(&alter(|p| p.nodes.hardware_required = true), &JOB, &grid5)[0], "E-POL-12");
}

#[test]
fn a_refusal_lists_every_reason_for_a_person() {
    let policy = Policy::from_toml("version = 1\nprotection = \"split\"\nverification = \"proof\"");
    let refusal = plan(&policy.expect("known words"), &JOB, &grid(5, 5, 2), &COSTS).expect_err("not built");
    insta::assert_snapshot!(refusal, @r#"
    no plan meets the policy
      E-POL-04: protection split is not part of this version; satisfied by protection = "sealed", which shows the records to the committee's operators
      E-POL-05: the model is not registered for proofs; satisfied by the owner registers it (sealgrid model register) and publishes that, or verification = "quorum:3"
    "#);
}

fn any_policy() -> impl Strategy<Value = Policy> {
    let protection = prop_oneof![
        4 => Just(Protection::Sealed),
        1 => Just(Protection::Plain),
        1 => Just(Protection::Attested),
        1 => Just(Protection::Split),
        1 => Just(Protection::Encrypted),
    ];
    let verification = prop_oneof![
        1 => Just(Verification::Signed),
        6 => (2u8..=9).prop_map(|members| Verification::Quorum { members }),
        1 => Just(Verification::Proof),
    ];
    let dispute = prop_oneof![Just(OnDispute::Majority), Just(OnDispute::Refuse)];
    let referee = prop_oneof![Just(Referee::Either), Just(Referee::Client), Just(Referee::Reserve)];
    let nodes = (0usize..4, 0usize..3, any::<bool>(), prop::bool::weighted(0.1)).prop_map(
        |(allowed, denied, operators_distinct, hardware_required)| NodeRule {
            regions_allowed: ["EU", "US"].iter().take(allowed.saturating_sub(1)).map(|r| region(r)).collect(),
            regions_denied: ["EU-DE", "US"].iter().take(denied / 2).map(|r| region(r)).collect(),
            operators_distinct,
            hardware_required,
        },
    );
    let limits = (1u64..40, 1u32..2000, prop::option::of(1u64..200_000), prop::option::of(1u64..30))
        .prop_map(|(deadline_ms, records_max, bytes_max, node_ms_max)| Limits {
            deadline_ms,
            records_max,
            bytes_max,
            node_ms_max,
        });
    (protection, verification, dispute, referee, 0u8..4, nodes, limits).prop_map(
        |(protection, verification, on_dispute, referee, witnesses_min, nodes, limits)| Policy {
            version: VERSION,
            protection,
            verification,
            on_dispute,
            referee,
            witnesses_min,
            nodes,
            limits,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn no_plan_ever_weakens_its_policy(
        policy in any_policy(),
        shape in (0u8..12, 1u8..6, 0u8..4),
        records in 0u32..1500,
        client_holds_model: bool,
        registered: bool,
    ) {
        let directory = grid(shape.0, shape.1, shape.2);
        let proven_elements = registered.then_some(18);
        let job = JobFacts { records, client_holds_model, proven_elements, ..JOB };
        match plan(&policy, &job, &directory, &COSTS) {
            Err(refusal) => prop_assert!(!refusal.reasons.is_empty()),
            Ok(plan) => {
                prop_assert!(plan.protection.satisfies(policy.protection));
                prop_assert!(plan.verification.satisfies(policy.verification));
                prop_assert!(matches!(plan.protection, Protection::Plain | Protection::Sealed));
                prop_assert!(plan.verification != Verification::Proof || registered);
                prop_assert!(!policy.nodes.hardware_required);
                prop_assert!(plan.predicted.time_ms <= policy.limits.deadline_ms);
                prop_assert!((1..=policy.limits.records_max).contains(&records));
                let bytes = plan.predicted.bytes_sent + plan.predicted.bytes_received;
                prop_assert!(policy.limits.bytes_max.is_none_or(|limit| bytes <= limit));
                prop_assert!(policy.limits.node_ms_max.is_none_or(|limit| plan.predicted.node_ms <= limit));
                prop_assert!(directory.witnesses.len() >= usize::from(policy.witnesses_min));
                // The draw that follows a plan always finds its committee and keeps the policy's rule.
                let facts = crate::draw::DrawFacts {
                    nonce: [1; 32],
                    directory: directory.digest(),
                    checkpoint_root: [2; 32],
                    model: MODEL,
                    input: sealgrid_seal::digest::Commitment([3; 32]),
                };
                let draw = directory.draw(&facts, &policy.nodes, records, plan.members).expect("a plan was made");
                prop_assert_eq!(draw.reserves.len(), plan.reserves);
                for node in &draw.committee {
                    prop_assert!(policy.nodes.admits(directory.node(node).expect("drawn from it")));
                }
            }
        }
    }

    #[test]
    fn every_policy_has_one_canonical_form(policy in any_policy()) {
        prop_assert_eq!(Policy::decode(&policy.encode()), Ok(policy));
    }

    #[test]
    fn any_text_is_a_policy_or_a_refusal(text in "[a-z_\\[\\]=\"0-9\\n .:]{0,200}") {
        super::document::fuzz_parse(text.as_bytes());
    }
}
