//! Does what the owner discloses stand behind the commitments?

use sealgrid_graph::execute::Batch;
use sealgrid_graph::proving::{Side, Verifier};
use sealgrid_protocol::claims::EvidenceKind;
use sealgrid_protocol::job::header::{JobHeader, commit_inputs, commit_outputs};
use sealgrid_protocol::names::Verification;
use sealgrid_protocol::receipt::{Context, Finding, Status};

use crate::verify::Disclosure;

/// Opens the commitments to input and output with the owner's key. Those of a proven job are its verifier's own.
pub fn opening(
    context: &Context<'_>,
    disclosed: &Disclosure<'_>,
    verifier: Option<&dyn Verifier>,
) -> Vec<Finding> {
    let claims = context.claims;
    let Some(key) = context.key else {
        return vec![Finding::new("RCP-70", Status::Fails, "the opening is of another job")];
    };
    let commit = |side, batches: &[Batch]| match (claims.verification_used, side) {
        (Verification::Proof, _) => verifier?.commit(side, key, batches).ok(),
        (_, Side::Inputs) => Some(commit_inputs(key, batches)),
        (_, Side::Outputs) => {
            let header = context.file.evidence(EvidenceKind::Header)?;
            commit_outputs(key, &JobHeader::from_bytes(header).ok()?.shape, batches)
        }
    };
    let mut findings = Vec::new();
    if let Some(inputs) = disclosed.inputs {
        findings.push(Finding::check(
            "RCP-71",
            commit(Side::Inputs, inputs) == Some(claims.input),
            "the disclosed input is the input of this job",
            "the disclosed input is not the input of this job",
        ));
    }
    if let Some(outputs) = disclosed.outputs {
        findings.push(Finding::check(
            "RCP-72",
            commit(Side::Outputs, outputs) == Some(claims.output),
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
