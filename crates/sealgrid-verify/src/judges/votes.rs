//! Do the votes, and where they differed the bisections, lead to this output and to these faults?

use sealgrid_protocol::claims::{EvidenceKind, FaultKind};
use sealgrid_protocol::job::evidence::{Assumption, Judgement, check_claims};
use sealgrid_protocol::job::header::{JobHeader, OnDispute};
use sealgrid_protocol::receipt::{Context, Finding, Judge, Status};

/// Judges votes together with the dispute that belongs to them.
pub struct VotesJudge;

impl Judge for VotesJudge {
    fn kind(&self) -> EvidenceKind {
        EvidenceKind::Votes
    }

    fn judge(&self, evidence: &[u8], context: &Context<'_>) -> Vec<Finding> {
        let header =
            context.file.evidence(EvidenceKind::Header).and_then(|bytes| JobHeader::from_bytes(bytes).ok());
        let Some(header) = header else {
            return vec![Finding::new("RCP-50", Status::Fails, "without a header votes mean nothing")];
        };
        let dispute = context.file.evidence(EvidenceKind::Dispute).unwrap_or_default();
        match check_claims(&header, context.claims, evidence, dispute, context.key) {
            Ok(judgement) => findings(&header, &judgement, context),
            Err(error) => vec![Finding::new("RCP-50", Status::Fails, format!("{}: {error}", error.code()))],
        }
    }
}

fn findings(header: &JobHeader, judgement: &Judgement, context: &Context<'_>) -> Vec<Finding> {
    let agreed = format!(
        "{} of {} places opened what they had committed to and agree on the output to the bit",
        judgement.survivors.len(),
        header.members()
    );
    let mut findings = vec![Finding::new("RCP-50", Status::Holds, agreed)];
    let is_dispute = |kind| matches!(kind, FaultKind::Lie { .. } | FaultKind::Equivocate | FaultKind::Silent);
    if header.on_dispute == OnDispute::Refuse && judgement.faults.iter().any(|fault| is_dispute(fault.kind)) {
        findings.push(Finding::new(
            "RCP-51",
            Status::Fails,
            "members differed, and the policy refuses such a job",
        ));
    }
    findings.extend(judgement.faults.iter().map(|fault| {
        Finding::new("RCP-52", Status::Holds, format!("node {} {}", fault.node.short(), fault.kind))
    }));
    let mut assumed: Vec<_> = judgement.assumed.clone();
    let mut seen = std::collections::HashSet::new();
    assumed.retain(|assumption| seen.insert(*assumption));
    findings.extend(
        assumed
            .iter()
            .map(|assumption| Finding::new("RCP-53", Status::Assumed, sentence(assumption, header))),
    );
    let honest = format!("at least {} of the {} members are honest", header.majority(), header.members());
    findings.push(Finding::new("RCP-54", Status::Assumed, honest));
    if context.key.is_none() {
        let text = "that opened branches and the referee's operands hash to their parents: hashes are keyed, and the key was not given";
        if context.file.evidence(EvidenceKind::Dispute).is_some() {
            findings.push(Finding::new("RCP-55", Status::Assumed, text));
        }
    }
    findings
}

fn sentence(assumption: &Assumption, header: &JobHeader) -> String {
    match assumption {
        Assumption::Referee(node) if *node == header.client => {
            "the client, as referee, ran the disputed operation rightly".to_owned()
        }
        Assumption::Referee(node) => {
            format!("node {}, as referee, ran the disputed operation rightly", node.short())
        }
        Assumption::Client(node) => {
            format!("the client tells the truth about the silence of node {}", node.short())
        }
        Assumption::Key(node) => {
            format!("node {} opened something else than it had committed to", node.short())
        }
    }
}
