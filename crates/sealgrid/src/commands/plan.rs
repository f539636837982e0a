//! `sealgrid plan`: how a policy would be met, or why it cannot be. Nothing is sent but a question for the model's card.

use std::path::PathBuf;

use sealgrid_seal::identity::SigningIdentity;

use crate::asking::{self, Asking};
use crate::failure::Failure;
use crate::home::Home;
use crate::local_grid;
use crate::output::{Report, facts, thousands};

/// Say how a policy would be met, at which cost, with which guarantee; or refuse with every reason (exit 3).
#[derive(Debug, clap::Args)]
pub struct Plan {
    /// Model file, `mc1:…` commitment, or the name on the model's card.
    model: String,
    /// Policy file in TOML [default: sealed, quorum:3].
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// Who may see the data, at least.
    #[arg(long, value_name = "P", conflicts_with = "policy")]
    protect: Option<String>,
    /// How the result is known to be right, at least.
    #[arg(long, value_name = "V", conflicts_with = "policy")]
    verify: Option<String>,
    /// Records of the job.
    #[arg(long, default_value_t = 1)]
    records: u32,
    /// The grid's folder [default: the home's].
    #[arg(long, value_name = "DIR")]
    grid: Option<PathBuf>,
    /// Folder of the trust roots [default: the grid's, else the home's].
    #[arg(long, value_name = "DIR")]
    roots: Option<PathBuf>,
}

impl Plan {
    /// The plan as a table.
    pub fn run(self, home: &Home) -> Result<Report, Failure> {
        let policy = asking::policy(self.policy.as_deref(), self.protect.as_deref(), self.verify.as_deref())?;
        let grid = local_grid::existing(self.grid, home)?;
        let trust = asking::trust_roots(self.roots.as_deref(), &grid, home)?;
        let asking = Asking::open(&grid, trust, SigningIdentity::generate(&mut crate::entropy()))?;
        let found = asking.find(&self.model, home)?;
        let plan = asking.plan(&policy, &found, self.records)?;
        asking.close();
        let mut out = facts();
        out.add_row(["guarantee", &plan.guarantee]);
        out.add_row(["mode", &format!("{}, {}", plan.protection, plan.verification)]);
        out.add_row(["nodes", &format!("{} drawn, {} in reserve", plan.members, plan.reserves)]);
        out.add_row([
            "time",
            &format!("at most {} ms predicted, deadline {} ms", plan.predicted.time_ms, plan.deadline_ms),
        ]);
        let (sent, received) =
            (thousands(plan.predicted.bytes_sent), thousands(plan.predicted.bytes_received));
        out.add_row(["bytes", &format!("{sent} sent, {received} received")]);
        out.add_row(["hides from", &plan.hides.join("; ")]);
        out.add_row(["does not hide", &plan.does_not_hide.join("; ")]);
        out.add_row(["assumes", &plan.assumes.join("; ")]);
        let json = serde_json::json!({
            "model": found.commitment.to_string(),
            "protection": plan.protection.to_string(),
            "verification": plan.verification.to_string(),
            "members": plan.members,
            "reserves": plan.reserves,
            "predicted": {
                "time_ms": plan.predicted.time_ms,
                "bytes_sent": plan.predicted.bytes_sent,
                "bytes_received": plan.predicted.bytes_received,
                "node_ms": plan.predicted.node_ms,
            },
            "deadline_ms": plan.deadline_ms,
            "guarantee": plan.guarantee,
            "hides": plan.hides,
            "does_not_hide": plan.does_not_hide,
            "assumes": plan.assumes,
        });
        Ok(Report::new(out.to_string(), json))
    }
}
