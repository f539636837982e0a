//! Does the log hold the receipt, where everybody can see that it was not made up later?

use sealgrid_protocol::log::{Included, LogProof};
use sealgrid_protocol::policy::Policy;
use sealgrid_protocol::receipt::{Context, Finding, Status, utc};

use crate::roots::TrustRoots;

/// Checks the log proof. Its absence is a failure where the policy demands witnesses.
pub fn log(context: &Context<'_>, policy: Option<&Policy>, roots: &TrustRoots) -> Vec<Finding> {
    let demanded = policy.map_or(0, |policy| usize::from(policy.witnesses_min));
    let Some(proof) = &context.file.log_proof else {
        let text = "that the log holds this receipt: the file carries no proof of it";
        let status = if demanded > 0 { Status::Fails } else { Status::NotShown };
        return vec![Finding::new("RCP-60", status, text)];
    };
    let leaf = context.file.receipt.leaf();
    let text = std::str::from_utf8(proof).unwrap_or_default();
    let included = LogProof::from_text(text).and_then(|proof| proof.verify(&leaf.0, &roots.log));
    match included {
        Ok(included) => findings(&included, context, demanded),
        Err(error) => vec![Finding::new("RCP-60", Status::Fails, format!("{}: {error}", error.code()))],
    }
}

fn findings(included: &Included, context: &Context<'_>, demanded: usize) -> Vec<Finding> {
    let drawn_from = context.claims.log.size;
    let cosigned = included.cosigned.len();
    let latest = included.cosigned.iter().map(|(_, seconds)| *seconds).max();
    let seen = latest.map_or(String::new(), |seconds| {
        format!(", last at {}", utc(seconds.saturating_mul(1_000).min(MILLIS_SHOWN_MAX)))
    });
    vec![
        Finding::new(
            "RCP-60",
            Status::Holds,
            format!("the log holds this receipt at {} of {}", included.index, included.checkpoint.size),
        ),
        Finding::check(
            "RCP-61",
            included.index >= drawn_from,
            "it was appended after the state that the draw used",
            "it stands before the state that the draw used",
        ),
        Finding::check(
            "RCP-62",
            cosigned >= demanded,
            &format!("{cosigned} trusted witnesses cosigned{seen}; the policy demands {demanded}"),
            &format!("{cosigned} trusted witnesses cosigned where the policy demands {demanded}"),
        ),
    ]
}

/// The last moment of the year 9999.
const MILLIS_SHOWN_MAX: u64 = 253_402_300_799_999;
