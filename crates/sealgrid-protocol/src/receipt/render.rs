//! Claims as a person and as a program read them. Everything here is public.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::claims::{Claims, Fault, FaultKind};
use crate::machine::Millis;

/// Claims as JSON, in the stable form of docs/spec/receipt.md.
#[must_use]
pub fn claims_json(claims: &Claims) -> Value {
    let texts = |nodes: &[sealgrid_seal::identity::PublicIdentity]| -> Vec<String> {
        nodes.iter().map(ToString::to_string).collect()
    };
    let evidence: Vec<_> = claims
        .evidence
        .iter()
        .map(|evidence| json!({ "kind": evidence.kind.word(), "digest": evidence.digest.to_string() }))
        .collect();
    json!({
        "version": claims.version,
        "job": claims.job.to_string(),
        "nonce": hex(&claims.nonce),
        "model": claims.model.to_string(),
        "input": claims.input.to_string(),
        "output": claims.output.to_string(),
        "records": claims.records,
        "policy": claims.policy.to_string(),
        "protection": {
            "asked": claims.protection_asked.to_string(),
            "used": claims.protection_used.to_string(),
        },
        "verification": {
            "asked": claims.verification_asked.to_string(),
            "used": claims.verification_used.to_string(),
        },
        "committee": texts(&claims.committee),
        "reserves_used": texts(&claims.reserves_used),
        "faults": claims.faults.iter().map(fault_json).collect::<Vec<_>>(),
        "evidence": evidence,
        "issuer": claims.issuer.to_string(),
        "environment": { "kind": claims.environment.word(), "label": claims.environment.to_string() },
        "requested_ms": claims.requested,
        "requested": utc(claims.requested),
        "finished_ms": claims.finished,
        "finished": utc(claims.finished),
        "directory": claims.directory.to_string(),
        "log": { "size": claims.log.size, "root": hex(&claims.log.root) },
    })
}

fn fault_json(fault: &Fault) -> Value {
    let operation = match fault.kind {
        FaultKind::Lie { operation } => Some(operation),
        _ => None,
    };
    json!({
        "node": fault.node.to_string(),
        "kind": fault.kind.word(),
        "operation": operation,
        "provable": fault.kind.is_proven(),
    })
}

/// Claims as a person reads them, one a line.
#[must_use]
pub fn claims_text(claims: &Claims) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: String| {
        writeln!(text, "{name:<13} {value}").expect("writing to a String does not fail");
    };
    line("job", claims.job.to_string());
    line("model", claims.model.to_string());
    line("records", claims.records.to_string());
    line("input", format!("{} (keyed commitment)", claims.input));
    line("output", format!("{} (keyed commitment)", claims.output));
    line("protection", used_and_asked(&claims.protection_used, &claims.protection_asked));
    line("verification", used_and_asked(&claims.verification_used, &claims.verification_asked));
    line("issuer", format!("{} ({})", claims.issuer.short(), claims.environment));
    line("committee", claims.committee.iter().map(|node| node.short()).collect::<Vec<_>>().join(", "));
    if !claims.reserves_used.is_empty() {
        line("reserves", claims.reserves_used.iter().map(|node| node.short()).collect::<Vec<_>>().join(", "));
    }
    for fault in &claims.faults {
        line("fault", format!("node {} {}", fault.node.short(), fault.kind));
    }
    line("requested", utc(claims.requested));
    line("finished", format!("{} ({} ms)", utc(claims.finished), claims.finished - claims.requested));
    text
}

fn used_and_asked(used: &impl ToString, asked: &impl ToString) -> String {
    let (used, asked) = (used.to_string(), asked.to_string());
    if used == asked { used } else { format!("{used} (asked: at least {asked})") }
}

/// A moment as `2025-06-15T15:06:40.123Z` (RFC 3339). Days to dates as in Hinnant, "chrono-compatible low-level date
/// algorithms", `civil_from_days`: years begin in March, so that the leap day is the last.
#[must_use]
pub fn utc(at: Millis) -> String {
    let (days, millis) = (at / 86_400_000, at % 86_400_000);
    let days = days + 719_468; // from 0000-03-01
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute, second) = (millis / 3_600_000, millis / 60_000 % 60, millis / 1_000 % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", millis % 1_000)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a String does not fail");
        text
    })
}
