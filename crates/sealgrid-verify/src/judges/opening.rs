//! Does what the owner discloses stand behind the commitments?

use sealgrid_protocol::claims::EvidenceKind;
use sealgrid_protocol::job::header::{JobHeader, commit_inputs, commit_outputs};
use sealgrid_protocol::receipt::{Context, Finding, Status};

use crate::verify::Disclosure;

/// Opens the commitments to input and output with the owner's key.
pub fn opening(context: &Context<'_>, disclosed: &Disclosure<'_>) -> Vec<Finding> {
    let claims = context.claims;
    let Some(key) = context.key else {
        return vec![Finding::new("RCP-70", Status::Fails, "the opening is of another job")];
    };
    let header =
        context.file.evidence(EvidenceKind::Header).and_then(|bytes| JobHeader::from_bytes(bytes).ok());
    let mut findings = Vec::new();
    if let Some(inputs) = disclosed.inputs {
        findings.push(Finding::check(
            "RCP-71",
            commit_inputs(key, inputs) == claims.input,
            "the disclosed input is the input of this job",
            "the disclosed input is not the input of this job",
        ));
    }
    if let Some(outputs) = disclosed.outputs {
        let committed = header.and_then(|header| commit_outputs(key, &header.shape, outputs));
        findings.push(Finding::check(
            "RCP-72",
            committed == Some(claims.output),
            "the disclosed output is the output of this job",
            "the disclosed output is not the output of this job",
        ));
    }
    if findings.is_empty() {
        let text = "that the key is the job's: nothing that it opens was disclosed";
        findings.push(Finding::new("RCP-73", Status::NotShown, text));
    }
    findings
}
