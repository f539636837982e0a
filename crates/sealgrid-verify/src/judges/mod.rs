//! One judge per kind of evidence, and the checks that need several.

mod directory;

mod policy;

mod draw;

mod votes;

mod proof;

mod log;

mod opening;

use sealgrid_protocol::claims::EvidenceKind;

pub use directory::directory;
pub use draw::{CheckpointJudge, HeaderJudge, draw};
pub use log::log;
pub use opening::opening;
pub use policy::PolicyJudge;
pub use proof::{ProofJudge, false_proofs, verifier};
pub use votes::VotesJudge;

/// The rule that the absence of evidence breaks.
pub const fn missing(kind: EvidenceKind) -> &'static str {
    match kind {
        EvidenceKind::Directory => "RCP-15",
        EvidenceKind::Policy => "RCP-20",
        EvidenceKind::Header => "RCP-40",
        EvidenceKind::Checkpoint => "RCP-30",
        EvidenceKind::Registration => "RCP-56",
        EvidenceKind::Proof => "RCP-57",
        _ => "RCP-50",
    }
}
