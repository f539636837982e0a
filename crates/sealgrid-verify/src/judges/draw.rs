//! Is the job what the client asked for, and is its committee the one that the lot fell on?

use sealgrid_protocol::claims::EvidenceKind;
use sealgrid_protocol::job::evidence::check_against_header;
use sealgrid_protocol::job::header::{self, JobHeader, RefereeRule};
use sealgrid_protocol::log::note::Note;
use sealgrid_protocol::names::Verification;
use sealgrid_protocol::policy::{self, Policy, Referee};
use sealgrid_protocol::receipt::{Context, Finding, Judge, Status};

use crate::roots::TrustRoots;

/// Judges the job's header against the claims.
pub struct HeaderJudge;

impl Judge for HeaderJudge {
    fn kind(&self) -> EvidenceKind {
        EvidenceKind::Header
    }

    fn judge(&self, evidence: &[u8], context: &Context<'_>) -> Vec<Finding> {
        let agreed = JobHeader::from_bytes(evidence).map_err(|error| error.to_string()).and_then(|header| {
            check_against_header(&header, context.claims).map_err(|error| error.to_string())
        });
        vec![match agreed {
            Ok(()) => Finding::new(
                "RCP-40",
                Status::Holds,
                "the job's identifier is that of its header, and the claims repeat it",
            ),
            Err(text) => Finding::new("RCP-40", Status::Fails, text),
        }]
    }
}

/// Judges the checkpoint that the draw used.
pub struct CheckpointJudge<'a> {
    /// Whom to trust about the log.
    pub roots: &'a TrustRoots,
}

impl Judge for CheckpointJudge<'_> {
    fn kind(&self) -> EvidenceKind {
        EvidenceKind::Checkpoint
    }

    fn judge(&self, evidence: &[u8], context: &Context<'_>) -> Vec<Finding> {
        let trusted = Note::parse(evidence).and_then(|note| self.roots.log.verify(&note));
        let trusted = match trusted {
            Ok(trusted) => trusted,
            Err(error) => {
                return vec![Finding::new("RCP-30", Status::Fails, format!("{}: {error}", error.code()))];
            }
        };
        let state = context.claims.log;
        let same = trusted.checkpoint.size == state.size && trusted.checkpoint.root.0 == state.root;
        vec![Finding::check(
            "RCP-30",
            same,
            &format!("the draw used a log state that {} trusted witnesses cosigned", trusted.cosigned.len()),
            "the checkpoint is not the log state that the claims name",
        )]
    }
}

/// Draws the committee again.
pub fn draw(context: &Context<'_>, policy: Option<&Policy>) -> Vec<Finding> {
    let claims = context.claims;
    let (Some(directory), Some(policy)) = (context.directory, policy) else {
        return vec![Finding::new(
            "RCP-32",
            Status::Fails,
            "without directory and policy the draw cannot be repeated",
        )];
    };
    let members = usize::from(claims.verification_used.members());
    let drawn = match directory.draw(&claims.draw_facts(), &policy.nodes, claims.records, members) {
        Ok(drawn) => drawn,
        Err(error) => return vec![Finding::new("RCP-32", Status::Fails, error.to_string())],
    };
    let mut findings = vec![Finding::check(
        "RCP-32",
        drawn.committee == claims.committee,
        "the committee is the one that the lot falls on",
        "the lot falls on another committee",
    )];
    let header =
        context.file.evidence(EvidenceKind::Header).and_then(|bytes| JobHeader::from_bytes(bytes).ok());
    if let Some(header) = header {
        let reserves = &header.reserves;
        findings.push(Finding::check(
            "RCP-33",
            drawn.reserves.starts_with(reserves),
            "the reserves are the next in the draw",
            "the reserves are not the next in the draw",
        ));
        findings.extend(conduct(&header, policy));
    }
    findings
}

/// Whether the header settles disputes as the policy demands; a matter of quorums only.
fn conduct(header: &JobHeader, policy: &Policy) -> Option<Finding> {
    if !matches!(header.verification, Verification::Quorum { .. }) {
        return None;
    }
    let referee = match policy.referee {
        Referee::Either => true,
        Referee::Client => header.referee == RefereeRule::Client,
        Referee::Reserve => header.referee == RefereeRule::Reserve,
    };
    let on_dispute = match policy.on_dispute {
        policy::OnDispute::Majority => true,
        policy::OnDispute::Refuse => header.on_dispute == header::OnDispute::Refuse,
    };
    Some(Finding::check(
        "RCP-41",
        referee && on_dispute,
        "disputes were to be settled as the policy demands",
        "disputes were to be settled otherwise than the policy demands",
    ))
}
