//! What the fuzz targets and the replay of their corpora call: each takes any bytes and must not panic.

use minicbor::{Decode, Encode};
use sealgrid_protocol::claims::Claims;
use sealgrid_protocol::receipt::{Evidence, ReceiptFile};
use sealgrid_seal::canonical;
use sealgrid_seal::identity::SigningIdentity;
use sealgrid_seal::secret::Secret;

use crate::{TrustRoots, verify};

/// A receipt before it is signed and bundled.
#[derive(Debug, Encode, Decode)]
pub struct Case {
    /// Seed of the node that signs, repeated.
    #[n(0)]
    pub signer: u8,
    /// What it signs; the evidence is named anew.
    #[n(1)]
    pub claims: Claims,
    /// The evidence.
    #[n(2)]
    pub evidence: Vec<Evidence>,
    /// The log's proof.
    #[cbor(n(3), with = "minicbor::bytes")]
    pub log_proof: Option<Vec<u8>>,
}

/// A receipt file as it is, and a [`Case`] whose signer and checksum are right whatever else is wrong, so that altered
/// evidence reaches its judge. The verdict is made in all its forms.
pub fn receipt(bytes: &[u8], roots: &TrustRoots, at: u64) {
    judge(bytes, roots, at);
    let Ok(mut case) = canonical::decode::<Case>(bytes, 1 << 20) else { return };
    let signer = SigningIdentity::from_seed(&Secret::new([case.signer; 32]));
    case.claims.evidence = ReceiptFile::digests(&mut case.evidence);
    let Ok(receipt) = case.claims.sign(&signer) else { return };
    let file = ReceiptFile { receipt, evidence: case.evidence, log_proof: case.log_proof };
    judge(&file.encode(), roots, at);
}

fn judge(file: &[u8], roots: &TrustRoots, at: u64) {
    let verdict = verify(file, roots, at, None, None);
    let _shown = (verdict.text(), verdict.json(), verdict.exit_status());
}
