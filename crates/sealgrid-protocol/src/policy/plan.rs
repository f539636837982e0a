//! How a policy will be met, said before anything is sent.

use std::fmt;

use super::{Policy, Referee};
use crate::directory::{NodeEntry, VerifiedDirectory};
use crate::machine::Millis;
use crate::names::{ModelCommitment, Protection, Verification};

/// Bytes around a payload at most: encapsulated key and tag (draft-connolly-cfrg-xwing-kem: 1,120; GCM: 16), header
/// with a committee of nine, framing.
const ASSIGN_BYTES: u64 = 3 << 10;
/// Bytes of a commit, a reveal, a receipt and their framing, without the output.
const ANSWER_BYTES: u64 = 2 << 10;

/// Bytes of a proof, and of what was published of its model: several times what models of the documentation take.
const PROOF_BYTES: u64 = 1 << 20;

/// What a plan must know of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JobFacts {
    /// The model.
    pub model: ModelCommitment,
    /// Bytes of one encoded input record.
    pub input_record_bytes: u64,
    /// Bytes of one output record.
    pub output_record_bytes: u64,
    /// Records of the job.
    pub records: u32,
    /// Whether the client holds the model's file, and so can referee.
    pub client_holds_model: bool,
    /// Of a model whose weights are registered, so that its runs can be proven: elements that its operations yield for one
    /// record.
    pub proven_elements: Option<u64>,
}

/// What a node and a path cost, as measured beforehand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MeasuredCosts {
    /// Processor time of a member for a job without records, in microseconds.
    pub job_us: u64,
    /// Processor time of a member for one record, in nanoseconds.
    pub record_ns: u64,
    /// Processor time of a proof and its check, whatever it is about, in microseconds.
    pub proof_us: u64,
    /// Processor time of proving one element that an operation yields, in nanoseconds.
    pub proof_element_ns: u64,
    /// One exchange with the slowest member, in microseconds.
    pub round_trip_us: u64,
    /// Throughput of the client's path, in bytes a millisecond; 0 counts as 1.
    pub bytes_per_ms: u64,
}

/// What a job will take. Upper-side estimates, not promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prediction {
    /// From request to result, in milliseconds.
    pub time_ms: Millis,
    /// Bytes that the client sends.
    pub bytes_sent: u64,
    /// Bytes that the client receives.
    pub bytes_received: u64,
    /// Machine time of all members together, in milliseconds.
    pub node_ms: u64,
}

/// How a policy will be met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Protection that will be used.
    pub protection: Protection,
    /// Verification that will be used.
    pub verification: Verification,
    /// Nodes that run the job.
    pub members: usize,
    /// Eligible nodes that stand by to replace a member or to referee.
    pub reserves: usize,
    /// What it will take.
    pub predicted: Prediction,
    /// Deadline of the policy.
    pub deadline_ms: Millis,
    /// The guarantee in one sentence.
    pub guarantee: String,
    /// From whom the data is hidden.
    pub hides: Vec<String>,
    /// What is not hidden.
    pub does_not_hide: Vec<String>,
    /// What the guarantee rests on.
    pub assumes: Vec<String>,
}

/// One demand that cannot be met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// The code in docs/reference/errors.
    pub code: &'static str,
    /// What stands in the way.
    pub what: String,
    /// What would satisfy the demand.
    pub satisfied_by: String,
}

/// Every demand that cannot be met; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Why, the most basic first.
    pub reasons: Vec<Reason>,
}

impl Refusal {
    /// The code of the first reason.
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.reasons[0].code
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no plan meets the policy")?;
        self.reasons.iter().try_for_each(|reason| {
            write!(f, "\n  {}: {}; satisfied by {}", reason.code, reason.what, reason.satisfied_by)
        })
    }
}

impl std::error::Error for Refusal {}

/// Plans `job` so that it meets `policy` on the nodes of `directory`, or says why it cannot.
///
/// The plan uses exactly the least that the policy allows, so it neither weakens it nor spends more.
///
/// # Errors
/// [`Refusal`] with every reason.
pub fn plan(
    policy: &Policy,
    job: &JobFacts,
    directory: &VerifiedDirectory,
    costs: &MeasuredCosts,
) -> Result<Plan, Refusal> {
    let members = usize::from(policy.verification.members());
    let available = seats(&directory.eligible(&policy.nodes, &job.model, job.records), policy);
    let predicted = predict(job, costs, policy.verification);
    let mut reasons = Vec::new();
    refuse_unbuilt(policy, &mut reasons);
    if policy.verification == Verification::Proof && job.proven_elements.is_none() {
        reasons.push(Reason {
            code: "E-POL-05",
            what: "the model is not registered for proofs".into(),
            satisfied_by: "the owner registers it (sealgrid model register) and publishes that, or verification = \"quorum:3\""
                .into(),
        });
    }
    refuse_grid(policy, job, directory, available, &mut reasons);
    refuse_limits(policy, job, &predicted, &mut reasons);
    if !reasons.is_empty() {
        return Err(Refusal { reasons });
    }
    Ok(Plan {
        protection: policy.protection,
        verification: policy.verification,
        members,
        reserves: available - members,
        predicted,
        deadline_ms: policy.limits.deadline_ms,
        guarantee: guarantee(policy),
        hides: hides(policy.protection),
        does_not_hide: does_not_hide(policy.protection),
        assumes: assumes(policy),
    })
}

/// Nodes that may sit together.
fn seats(eligible: &[&NodeEntry], policy: &Policy) -> usize {
    if !policy.nodes.operators_distinct {
        return eligible.len();
    }
    let operators: std::collections::HashSet<_> =
        eligible.iter().map(|node| node.operator.as_str()).collect();
    operators.len()
}

fn refuse_unbuilt(policy: &Policy, reasons: &mut Vec<Reason>) {
    match policy.protection {
        Protection::Plain | Protection::Sealed => {}
        Protection::Attested | Protection::Split | Protection::Encrypted => reasons.push(Reason {
            code: "E-POL-04",
            what: format!("protection {} is not part of this version", policy.protection),
            satisfied_by: "protection = \"sealed\", which shows the records to the committee's operators"
                .into(),
        }),
    }
    if policy.nodes.hardware_required {
        reasons.push(Reason {
            code: "E-POL-12",
            what: "hardware isolation is demanded, and this version cannot verify its evidence".into(),
            satisfied_by: "hardware_required = false under [nodes]".into(),
        });
    }
}

fn refuse_grid(
    policy: &Policy,
    job: &JobFacts,
    directory: &VerifiedDirectory,
    available: usize,
    reasons: &mut Vec<Reason>,
) {
    let members = usize::from(policy.verification.members());
    if available < members {
        reasons.push(too_few_nodes(policy, job, directory, available, members));
    }
    if directory.witnesses.len() < usize::from(policy.witnesses_min) {
        reasons.push(Reason {
            code: "E-POL-10",
            what: format!(
                "the log has {} witnesses where the policy demands {}",
                directory.witnesses.len(),
                policy.witnesses_min
            ),
            satisfied_by: "a grid with more witnesses, or a smaller witnesses_min".into(),
        });
    }
    if let Verification::Quorum { .. } = policy.verification {
        refuse_referee(policy.referee, job.client_holds_model, available.saturating_sub(members), reasons);
    }
}

fn too_few_nodes(
    policy: &Policy,
    job: &JobFacts,
    directory: &VerifiedDirectory,
    available: usize,
    members: usize,
) -> Reason {
    let serving = directory.nodes.iter().filter(|node| node.serves(&job.model)).count();
    let distinct = if policy.nodes.operators_distinct { " of distinct operators" } else { "" };
    Reason {
        code: "E-POL-02",
        what: format!(
            "{available} nodes{distinct} meet the policy where {members} are needed ({serving} of {} serve the model)",
            directory.nodes.len()
        ),
        satisfied_by: "more nodes that serve the model, wider [nodes] rules, or a smaller quorum".into(),
    }
}

fn refuse_referee(referee: Referee, client_holds_model: bool, reserves: usize, reasons: &mut Vec<Reason>) {
    let possible = match referee {
        Referee::Either => client_holds_model || reserves > 0,
        Referee::Client => client_holds_model,
        Referee::Reserve => reserves > 0,
    };
    if !possible {
        reasons.push(Reason {
            code: "E-POL-11",
            what: "nobody whom the policy allows could referee a dispute".into(),
            satisfied_by: "the model's file at the client, or one more eligible node as reserve".into(),
        });
    }
}

fn refuse_limits(policy: &Policy, job: &JobFacts, predicted: &Prediction, reasons: &mut Vec<Reason>) {
    let limits = &policy.limits;
    if job.records == 0 {
        let what = "the job has no records".into();
        reasons.push(Reason { code: "E-POL-06", what, satisfied_by: "at least one record".into() });
    }
    let mut over = |code, what: &str, found: u64, limit: u64, satisfied_by: &str| {
        if found > limit {
            let what = format!("{what} {found} where the policy allows {limit}");
            reasons.push(Reason { code, what, satisfied_by: satisfied_by.into() });
        }
    };
    let smaller = "fewer records a job";
    over("E-POL-06", "records", job.records.into(), limits.records_max.into(), smaller);
    over("E-POL-07", "predicted milliseconds", predicted.time_ms, limits.deadline_ms, smaller);
    let bytes = predicted.bytes_sent.saturating_add(predicted.bytes_received);
    over("E-POL-08", "predicted bytes", bytes, limits.bytes_max.unwrap_or(u64::MAX), smaller);
    let cost_limit = limits.node_ms_max.unwrap_or(u64::MAX);
    over("E-POL-09", "predicted machine milliseconds", predicted.node_ms, cost_limit, smaller);
}

/// Exchanges: assign and answer; for a quorum also reveal, and the receipt; for a proof what was published of the model.
fn predict(job: &JobFacts, costs: &MeasuredCosts, verification: Verification) -> Prediction {
    let members = u64::from(verification.members());
    let elements = job.proven_elements.unwrap_or(0);
    let (exchanges, proof_bytes, proof_us, proof_record_ns) = match verification {
        Verification::Signed => (1, 0, 0, 0),
        Verification::Quorum { .. } => (3, 0, 0, 0),
        Verification::Proof => {
            (2, 2 * PROOF_BYTES, costs.proof_us, elements.saturating_mul(costs.proof_element_ns))
        }
    };
    let per_member =
        |fixed: u64, record: u64| record.saturating_mul(job.records.into()).saturating_add(fixed);
    let bytes_sent = per_member(ASSIGN_BYTES, job.input_record_bytes).saturating_mul(members);
    let answers = per_member(ANSWER_BYTES, job.output_record_bytes).saturating_mul(members);
    let bytes_received = answers.saturating_add(proof_bytes);
    let job_ns = costs.job_us.saturating_add(proof_us).saturating_mul(1_000);
    let run_ns = per_member(job_ns, costs.record_ns.saturating_add(proof_record_ns));
    let transfer_ms = bytes_sent.saturating_add(bytes_received).div_ceil(costs.bytes_per_ms.max(1));
    let waiting_ms = costs.round_trip_us.saturating_mul(exchanges).div_ceil(1_000);
    Prediction {
        time_ms: run_ns.div_ceil(1_000_000).saturating_add(transfer_ms).saturating_add(waiting_ms),
        bytes_sent,
        bytes_received,
        node_ms: run_ns.saturating_mul(members).div_ceil(1_000_000),
    }
}

fn guarantee(policy: &Policy) -> String {
    let members = policy.verification.members();
    match policy.verification {
        Verification::Signed => {
            "one node signs its result and cannot deny it later; nobody checks that the result is right"
                .into()
        }
        Verification::Quorum { .. } if policy.on_dispute == super::OnDispute::Refuse => format!(
            "{members} nodes drawn by lot must agree to the bit; any disagreement refuses the job, so a wrong result \
             needs all {members} to collude"
        ),
        Verification::Quorum { .. } => format!(
            "{members} nodes drawn by lot must agree to the bit or be overruled by {}; a liar is named with the \
             operation it got wrong",
            members / 2 + 1
        ),
        Verification::Proof => {
            "one node proves its result in zero-knowledge and you check the proof before you take it: whoever has the \
             receipt knows that the committed model gave this result, whatever machine computed it"
                .into()
        }
    }
}

fn hides(protection: Protection) -> Vec<String> {
    let hidden: &[&str] = match protection {
        Protection::Plain => &["records from the network, by transport encryption only"],
        Protection::Sealed => {
            &["records and results from the network, from storage, and from nodes outside the committee"]
        }
        Protection::Attested => &["records and results from everybody but the attested program"],
        Protection::Split => &["the raw input and the whole model from each single node"],
        Protection::Encrypted => &["records and results from everybody but the key's holder"],
    };
    hidden.iter().map(|&text| text.to_owned()).collect()
}

fn does_not_hide(protection: Protection) -> Vec<String> {
    let content: &[&str] = match protection {
        Protection::Plain | Protection::Sealed => {
            &["records and results from the operators of the committee's nodes"]
        }
        Protection::Split => &["intermediate values, from which inputs can in part be recovered"],
        Protection::Attested | Protection::Encrypted => &[],
    };
    let always = ["the model's commitment", "the number of records", "times, sizes and network addresses"];
    content.iter().chain(&always).map(|&text| text.to_owned()).collect()
}

fn assumes(policy: &Policy) -> Vec<String> {
    let mut assumed = vec![
        "Ed25519, X-Wing, AES-256-GCM and BLAKE3 hold".to_owned(),
        "the directory's authority lists each operator under one name".to_owned(),
    ];
    match policy.verification {
        Verification::Signed => assumed.push("the one node computes honestly".to_owned()),
        Verification::Quorum { members } => {
            let honest = if policy.on_dispute == super::OnDispute::Refuse { 1 } else { members / 2 + 1 };
            assumed.push(format!("at least {honest} of the {members} members are honest"));
        }
        Verification::Proof => assumed.extend([
            "BLAKE3 behaves as a random function (Fiat-Shamir, Merkle trees)".to_owned(),
            "the proof library Plonky3 0.8, which nobody has audited yet, is sound".to_owned(),
            "nodes make no more proofs than the registration bears (for the weights' secrecy alone)"
                .to_owned(),
        ]),
    }
    assumed
}
