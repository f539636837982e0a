//! Does the proof lead from the committed input to this output, by the registered model? And do those proofs not hold for which
//! members were replaced?

use sealgrid_graph::proving::{Verifier, Verifiers};
use sealgrid_protocol::claims::{EvidenceKind, FaultKind};
use sealgrid_protocol::job::evidence::FalseProofs;
use sealgrid_protocol::receipt::{Context, Finding, Judge, Status};
use sealgrid_seal::identity::PublicIdentity;

/// Judges proofs.
pub struct ProofJudge<'a> {
    /// What verifies them, or why nothing does.
    pub verifier: Result<&'a dyn Verifier, &'a str>,
}

/// The verifier of the receipt's own model, from the registration that stands beside the proof.
pub fn verifier(context: &Context<'_>, system: Option<&dyn Verifiers>) -> Result<Box<dyn Verifier>, String> {
    let system = system.ok_or("this program verifies no zero-knowledge proofs")?;
    let published = context.file.evidence(EvidenceKind::Registration);
    let published = published.ok_or("the receipt carries no registration evidence")?;
    let verifier = system.verifier(published).map_err(|error| error.to_string())?;
    if verifier.model().commitment() != context.claims.model {
        return Err("the registration is another model's".to_owned());
    }
    Ok(verifier)
}

/// Who is shown to have given a proof that does not hold: what they signed and gave stands in the receipt. An accusation that
/// does not hold rejects the receipt.
pub fn false_proofs(
    context: &Context<'_>,
    verifier: Option<&dyn Verifier>,
) -> (Vec<PublicIdentity>, Vec<Finding>) {
    let (Some(evidence), Some(verifier)) = (context.file.evidence(EvidenceKind::Dispute), verifier) else {
        return (Vec::new(), Vec::new());
    };
    match FalseProofs::from_bytes(evidence).and_then(|proofs| proofs.check(context.claims, verifier)) {
        Ok(liars) => {
            let text = |liar: &PublicIdentity| {
                let what = FaultKind::BadProof;
                format!("node {} {what}: the proof that it signed for under this job is here", liar.short())
            };
            let findings = liars.iter().map(|liar| Finding::new("RCP-59", Status::Holds, text(liar)));
            (liars.clone(), findings.collect())
        }
        Err(error) => {
            let text = format!("{}: {error}", error.code());
            (Vec::new(), vec![Finding::new("RCP-59", Status::Fails, text)])
        }
    }
}

impl Judge for ProofJudge<'_> {
    fn kind(&self) -> EvidenceKind {
        EvidenceKind::Proof
    }

    fn judge(&self, evidence: &[u8], context: &Context<'_>) -> Vec<Finding> {
        let verifier = match self.verifier {
            Ok(verifier) => verifier,
            Err(text) => return vec![Finding::new("RCP-56", Status::Fails, text)],
        };
        let registered = "the model's weights are registered under its identity, and lie in their bounds";
        let mut findings = vec![Finding::new("RCP-56", Status::Holds, registered)];
        match verifier.verify(&context.claims.proven(), evidence) {
            Ok(tenths) => {
                let text = format!(
                    "the registered model leads from the committed input to the committed output, for this job: \
                     {}.{} bits of soundness, proven, all steps added up",
                    tenths / 10,
                    tenths % 10
                );
                findings.push(Finding::new("RCP-57", Status::Holds, text));
                let assumed = |text: &&str| Finding::new("RCP-58", Status::Assumed, *text);
                findings.extend(verifier.assumes().iter().map(assumed));
            }
            Err(error) => findings.push(Finding::new("RCP-57", Status::Fails, error.to_string())),
        }
        findings
    }
}
