//! Was the owner's policy kept?

use sealgrid_protocol::claims::{Claims, EvidenceKind};
use sealgrid_protocol::policy::Policy;
use sealgrid_protocol::receipt::{Context, Finding, Judge, Status};

/// Judges the policy document.
pub struct PolicyJudge;

impl Judge for PolicyJudge {
    fn kind(&self) -> EvidenceKind {
        EvidenceKind::Policy
    }

    fn judge(&self, evidence: &[u8], context: &Context<'_>) -> Vec<Finding> {
        let claims = context.claims;
        let Ok(policy) = Policy::decode(evidence) else {
            return vec![Finding::new("RCP-20", Status::Fails, "the policy cannot be read")];
        };
        if policy.digest() != claims.policy {
            return vec![Finding::new(
                "RCP-20",
                Status::Fails,
                "the policy is not the one that the claims name",
            )];
        }
        let mut findings = vec![minima(&policy, claims), limits(&policy, claims)];
        findings.extend(context.directory.map(|directory| {
            let mut parties = claims.committee.iter().chain(&claims.reserves_used);
            let admitted = |party| directory.node(party).is_some_and(|node| policy.nodes.admits(node));
            Finding::check(
                "RCP-22",
                parties.all(admitted),
                "every party keeps the policy's demands on nodes",
                "a party does not keep the policy's demands on nodes",
            )
        }));
        if policy.nodes.hardware_required {
            let text = "the policy demands hardware isolation, and this version cannot verify its evidence";
            findings.push(Finding::new("RCP-23", Status::Fails, text));
        }
        findings
    }
}

fn minima(policy: &Policy, claims: &Claims) -> Finding {
    let asked = (claims.protection_asked, claims.verification_asked);
    Finding::check(
        "RCP-20",
        asked == (policy.protection, policy.verification),
        &format!("the owner asked for at least {} and {}", policy.protection, policy.verification),
        "the claims ask for something else than the policy",
    )
}

fn limits(policy: &Policy, claims: &Claims) -> Finding {
    let limits = &policy.limits;
    let took = claims.finished - claims.requested; // RCP-07 holds
    Finding::check(
        "RCP-21",
        claims.records <= limits.records_max && took <= limits.deadline_ms,
        "records and time stay within the policy's limits",
        "records or time exceed the policy's limits",
    )
}
