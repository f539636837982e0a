//! Were the parties nodes of the grid, as its authority listed them when the client asked?

use sealgrid_protocol::claims::{Claims, EvidenceKind};
use sealgrid_protocol::directory::{SignedDirectory, VerifiedDirectory};
use sealgrid_protocol::receipt::{Finding, ReceiptFile, Status};

use crate::roots::TrustRoots;

/// Verifies the directory for the moment of the request, and holds the parties against it.
pub fn directory(
    file: &ReceiptFile,
    claims: &Claims,
    roots: &TrustRoots,
) -> (Option<VerifiedDirectory>, Vec<Finding>) {
    let Some(bytes) = file.evidence(EvidenceKind::Directory) else {
        let text = "the receipt carries no directory evidence";
        return (None, vec![Finding::new("RCP-15", Status::Fails, text)]);
    };
    let verified =
        SignedDirectory::decode(bytes).and_then(|signed| signed.verify(&roots.authority, claims.requested));
    let directory = match verified {
        Ok(directory) => directory,
        Err(error) => {
            let text = format!("{}: {error}", error.code());
            return (None, vec![Finding::new("RCP-15", Status::Fails, text)]);
        }
    };
    let mut findings = vec![Finding::check(
        "RCP-15",
        directory.digest() == claims.directory,
        &format!("grid {}, signed by the trusted authority, in force when the client asked", directory.grid),
        "the directory is not the one that the claims name",
    )];
    findings.push(same_log(&directory, roots));
    findings.push(parties(&directory, claims));
    findings.push(environment(&directory, claims));
    findings.push(Finding::new(
        "RCP-19",
        Status::Assumed,
        "the authority lists each operator under one name; regions and operators are what operators said",
    ));
    (Some(directory), findings)
}

fn same_log(directory: &VerifiedDirectory, roots: &TrustRoots) -> Finding {
    let log = &directory.log;
    Finding::check(
        "RCP-16",
        log.key == roots.log.log() && log.origin.as_str() == roots.log.origin(),
        "the grid's log is the trusted log",
        "the grid uses another log than the trusted one",
    )
}

fn parties(directory: &VerifiedDirectory, claims: &Claims) -> Finding {
    let mut parties = claims.committee.iter().chain(&claims.reserves_used);
    let listed = parties.all(|party| directory.node(party).is_some_and(|node| node.serves(&claims.model)));
    Finding::check(
        "RCP-17",
        listed,
        "every party is a listed node that serves the model",
        "a party is not listed as serving the model",
    )
}

fn environment(directory: &VerifiedDirectory, claims: &Claims) -> Finding {
    let listed = directory.node(&claims.issuer).map(|node| node.environment);
    if listed != Some(claims.environment) {
        return Finding::new("RCP-18", Status::Fails, "the issuer's environment is not the listed one");
    }
    let status = if claims.environment.claims_hardware() { Status::NotShown } else { Status::Holds };
    Finding::new("RCP-18", status, format!("the issuer runs in: {}", claims.environment))
}
