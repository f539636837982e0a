//! One pass over a receipt file, from bytes to verdict.

use sealgrid_graph::execute::Batch;
use sealgrid_graph::model;
use sealgrid_graph::proving::{Verifier, Verifiers};
use sealgrid_protocol::claims::{Claims, EvidenceKind, Fault, FaultKind};
use sealgrid_protocol::machine::Millis;
use sealgrid_protocol::names::{Protection, Verification};
use sealgrid_protocol::policy::Policy;
use sealgrid_protocol::receipt::{Context, FileError, Finding, Judge, Opening, ReceiptFile, Status, utc};
use sealgrid_seal::identity::PublicIdentity;

use crate::judges::{self, CheckpointJudge, HeaderJudge, PolicyJudge, ProofJudge, VotesJudge};
use crate::roots::TrustRoots;
use crate::verdict::{Branch, Verdict};

/// What the owner of a job discloses to a verifier.
#[derive(Clone, Copy, Debug)]
pub struct Disclosure<'a> {
    /// The job key.
    pub opening: &'a Opening,
    /// The input, one batch per graph input.
    pub inputs: Option<&'a [Batch]>,
    /// The output, one batch per graph output.
    pub outputs: Option<&'a [Batch]>,
}

/// Judges the receipt file `file` under `roots` at the moment `at`, with what the owner discloses or without. `system`
/// verifies zero-knowledge proofs; without it a receipt that rests on one is rejected.
#[must_use]
pub fn verify(
    file: &[u8],
    roots: &TrustRoots,
    at: Millis,
    disclosed: Option<&Disclosure<'_>>,
    system: Option<&dyn Verifiers>,
) -> Verdict {
    let mut receipt = Vec::new();
    let opened = read(file, at, &mut receipt);
    let mut branches = vec![Branch { about: "receipt", findings: receipt }];
    let Some((file, claims)) = opened else {
        return Verdict { claims: None, branches };
    };
    let mut add = |about, findings: Vec<Finding>| {
        if !findings.is_empty() {
            branches.push(Branch { about, findings });
        }
    };

    let (directory, findings) = judges::directory(&file, &claims, roots);
    add("directory", findings);
    let right_job = disclosed.is_none_or(|disclosed| disclosed.opening.job == claims.job);
    let key = disclosed.filter(|_| right_job).map(|disclosed| &disclosed.opening.key);
    let context = Context { claims: &claims, file: &file, directory: directory.as_ref(), at, key };
    let policy = file.evidence(EvidenceKind::Policy).and_then(|bytes| Policy::decode(bytes).ok());
    add("policy", required(&PolicyJudge, &context));
    let mut draw = required(&HeaderJudge, &context);
    draw.extend(optional(&CheckpointJudge { roots }, &context));
    draw.extend(judges::draw(&context, policy.as_ref()));
    add("draw", draw);
    let verifier = match claims.verification_used {
        Verification::Proof => judges::verifier(&context, system),
        _ => Err("nothing was proven".to_owned()),
    };
    let verifier = verifier.as_deref().map_err(String::as_str);
    let (about, mut findings) = result(&context, verifier);
    let mut shown = Vec::new();
    if claims.verification_used == Verification::Proof {
        let (liars, more) = judges::false_proofs(&context, verifier.ok());
        findings.extend(more);
        shown = liars;
    }
    add(about, findings);
    add("log", judges::log(&context, policy.as_ref(), roots));
    if let Some(disclosed) = disclosed {
        add("opening", judges::opening(&context, disclosed, verifier.ok()));
    }
    add("limits of this receipt", limits(&context, &shown));
    Verdict { claims: Some(claims), branches }
}

/// The verdict on what cannot be read as a receipt, whatever trust roots, time and disclosure would be; `None` for what can.
#[must_use]
pub fn unreadable(file: &[u8]) -> Option<Verdict> {
    let error = ReceiptFile::decode(file).err()?;
    let findings = vec![not_readable(file, &error)];
    Some(Verdict { claims: None, branches: vec![Branch { about: "receipt", findings }] })
}

/// What is said of bytes that are no receipt: of those that do not even begin as one, that they are of no kind that is verified.
fn not_readable(file: &[u8], error: &FileError) -> Finding {
    let why = match file {
        _ if ReceiptFile::begins(file) => error.to_string(),
        [] => "the file is empty".to_owned(),
        _ if file.starts_with(&model::MAGIC) => {
            "the file is a model, weights included: proofs are checked with it, and it is none".to_owned()
        }
        _ => "the file is neither a receipt, a proof nor a registered model".to_owned(),
    };
    Finding::new(error.rule(), Status::Fails, why)
}

/// The file and its claims, when nothing forbids to look further.
fn read(file: &[u8], at: Millis, findings: &mut Vec<Finding>) -> Option<(ReceiptFile, Claims)> {
    let fails = |rule, error: &dyn std::error::Error| Finding::new(rule, Status::Fails, error.to_string());
    let decoded = ReceiptFile::decode(file);
    let file = decoded.map_err(|error| findings.push(not_readable(file, &error))).ok()?;
    findings.push(Finding::new("RCP-01", Status::Holds, "the file is whole and in its one spelling"));
    let claims = file.claims().map_err(|error| findings.push(fails(error.rule(), &error))).ok()?;
    let signed = format!("signed by node {}, which cannot deny it", claims.issuer.short());
    findings.push(Finding::new("RCP-04", Status::Holds, signed));
    findings.push(Finding::new(
        "RCP-08",
        Status::Holds,
        "protection and verification used are what was asked, or more",
    ));
    file.check_evidence(&claims).map_err(|error| findings.push(fails(error.rule(), &error))).ok()?;
    findings.push(Finding::new("RCP-13", Status::Holds, "the evidence is the evidence that the claims name"));
    findings.push(Finding::check(
        "RCP-14",
        claims.finished <= at,
        "the job was finished before the moment of this verdict",
        &format!("the job finished at {}, after the moment of this verdict", utc(claims.finished)),
    ));
    Some((file, claims))
}

/// What a judge says of evidence without which a receipt is rejected.
fn required(judge: &impl Judge, context: &Context<'_>) -> Vec<Finding> {
    match context.file.evidence(judge.kind()) {
        Some(evidence) => judge.judge(evidence, context),
        None => vec![Finding::new(
            judges::missing(judge.kind()),
            Status::Fails,
            format!("the receipt carries no {} evidence", judge.kind()),
        )],
    }
}

/// What a judge says of evidence that may be absent; its absence is a finding of its own.
fn optional(judge: &impl Judge, context: &Context<'_>) -> Vec<Finding> {
    match context.file.evidence(judge.kind()) {
        Some(evidence) => judge.judge(evidence, context),
        None => vec![Finding::new(
            judges::missing(judge.kind()),
            Status::Assumed,
            "the log state that the draw used is the client's word; a client that chose it harms itself alone",
        )],
    }
}

/// Whether the result is right.
fn result(context: &Context<'_>, verifier: Result<&dyn Verifier, &str>) -> (&'static str, Vec<Finding>) {
    match context.claims.verification_used {
        Verification::Quorum { .. } => ("votes", required(&VotesJudge, context)),
        Verification::Signed => {
            let text = "that the result is right: one node computed it alone";
            ("votes", vec![Finding::new("RCP-50", Status::NotShown, text)])
        }
        Verification::Proof => ("proof", required(&ProofJudge { verifier }, context)),
    }
}

/// What no check of this version shows, and what the chosen protection leaves visible. Of `shown` it was shown that they gave a proof
/// that does not hold.
fn limits(context: &Context<'_>, shown: &[PublicIdentity]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let proofs = [EvidenceKind::Proof, EvidenceKind::Registration];
    let proofs = proofs.iter().filter(|_| context.claims.verification_used != Verification::Proof);
    let others = [EvidenceKind::Attestation, EvidenceKind::Ciphertext, EvidenceKind::Privacy];
    for kind in others.iter().chain(proofs).copied() {
        if context.file.evidence(kind).is_some() {
            let text = format!("{kind} evidence is present, and nothing in this verdict rests on it");
            findings.push(Finding::new("RCP-80", Status::NotShown, text));
        }
    }
    let is_shown = |fault: &Fault| match fault.kind {
        FaultKind::BadProof => shown.contains(&fault.node),
        kind => kind.is_proven(),
    };
    let unshown = context.claims.faults.iter().filter(|fault| !is_shown(fault));
    findings.extend(unshown.map(|fault| {
        let text = format!("that node {} {}: the client says so", fault.node.short(), fault.kind);
        Finding::new("RCP-81", Status::NotShown, text)
    }));
    findings.push(Finding::new("RCP-82", Status::NotShown, "that nodes kept no copy of what they saw"));
    findings.extend(visible(context.claims.protection_used));
    findings
}

fn visible(protection: Protection) -> Vec<Finding> {
    let seen = match protection {
        Protection::Plain | Protection::Sealed => {
            "records and results, from the operators of the committee's nodes"
        }
        Protection::Attested | Protection::Split | Protection::Encrypted => {
            let text = format!("this version cannot verify protection {protection}");
            return vec![Finding::new("RCP-83", Status::Fails, text)];
        }
    };
    [seen, "the model's commitment, the number of records, times and sizes, from whoever has this file"]
        .into_iter()
        .map(|text| Finding::new("RCP-90", Status::NotHidden, text))
        .collect()
}
