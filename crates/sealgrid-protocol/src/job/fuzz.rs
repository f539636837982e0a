//! What the fuzz targets and the replay of their corpora call: each takes any bytes and must neither panic nor accept
//! what it could not have written.

use std::sync::OnceLock;

use minicbor::{Decode, Encode};
use sealgrid_seal::canonical;
use sealgrid_seal::digest::Digest;
use sealgrid_seal::identity::{PublicIdentity, SigningIdentity};
use sealgrid_seal::secret::{Secret, SecretBytes};

use super::evidence::{Dispute, End, Votes, check_dispute};
use super::header::{JobHeader, Payload, commit_inputs, decode_batches, encode_batches};
use super::message::{DISPUTE_BYTES_MAX, Message};
use super::statement::{Signed, Statement, vote_digest};

/// A message, and what stands inside a sealed one: a payload, or an output.
///
/// # Panics
/// When something decodes that does not encode to the same bytes.
pub fn message(bytes: &[u8]) {
    if let Ok(message) = Message::decode(bytes) {
        assert_eq!(message.encode(), bytes, "a message has one spelling");
        assert!(bytes.len() <= message.exchange().bytes_max(), "an exchange has its limit");
        let _named = message.job();
    }
    let secret = SecretBytes::new(bytes.to_vec());
    if let Ok(payload) = Payload::decode(&secret) {
        assert!(payload.encode() == secret, "a payload has one spelling");
        let _committed = commit_inputs(&payload.job_key, &payload.inputs);
    }
    if let Ok(batches) = decode_batches(&secret) {
        assert!(encode_batches(&batches) == secret, "batches have one spelling");
    }
}

/// A job, what its parties said, and who of them may be impersonated.
#[derive(Debug, Encode, Decode)]
pub struct Case {
    /// The job.
    #[n(0)]
    pub header: JobHeader,
    /// The votes.
    #[n(1)]
    pub votes: Votes,
    /// The disputes.
    #[n(2)]
    pub dispute: Option<Dispute>,
    /// The job key.
    #[n(3)]
    pub key: Digest,
    /// Whether statements are moved to this job and signed anew, so that an altered one reaches what comes after the
    /// signatures. Only the parties of [`signer`] can be impersonated so.
    #[n(4)]
    pub sign_again: bool,
    /// Whether commits are then made anew from the reveals.
    #[n(5)]
    pub commit_again: bool,
}

/// The identity behind number `byte` in a [`Case`]: its seed is that byte, repeated.
#[must_use]
pub fn signer(byte: u8) -> SigningIdentity {
    SigningIdentity::from_seed(&Secret::new([byte; 32]))
}

/// Votes, disputes, a header; and a whole [`Case`], judged with the job key and without.
///
/// # Panics
/// When a header has two spellings, or a judgement accepts less than a majority or blames who stands behind it.
pub fn evidence(bytes: &[u8]) {
    let _votes = Votes::from_bytes(bytes);
    let _dispute = Dispute::from_bytes(bytes);
    if let Ok(header) = JobHeader::from_bytes(bytes) {
        assert_eq!(header.to_bytes(), bytes, "a header has one spelling");
    }
    let Ok(mut case) = canonical::decode::<Case>(bytes, DISPUTE_BYTES_MAX) else { return };
    if case.header.check().is_err() {
        return;
    }
    case.prepare();
    let key = Secret::new(case.key.0);
    for key in [None, Some(&key)] {
        if let Ok(judgement) = check_dispute(&case.header, &case.votes, case.dispute.as_ref(), key) {
            assert!(judgement.survivors.len() >= case.header.majority(), "a majority, or nothing");
            let blamed = |node: &PublicIdentity| judgement.faults.iter().any(|fault| fault.node == *node);
            assert!(!judgement.survivors.iter().any(blamed), "who stands behind the result is not blamed");
        }
    }
}

impl Case {
    fn prepare(&mut self) {
        let job = self.header.id();
        if !self.sign_again {
            return;
        }
        for signed in &mut self.votes.commits {
            let reveals = self.votes.reveals.iter().map(Signed::claimed);
            let reveal = reveals.into_iter().find(|reveal| reveal.node == signed.claimed().node);
            again(signed, |commit| {
                commit.job = job;
                if let Some(reveal) = reveal.filter(|_| self.commit_again) {
                    let (output, trace) = (&reveal.output, &reveal.trace);
                    commit.digest = vote_digest(job, &reveal.node, output, trace, &reveal.blinding);
                }
            });
        }
        self.votes.reveals.iter_mut().for_each(|signed| again(signed, |reveal| reveal.job = job));
        for duel in self.dispute.iter_mut().flat_map(|dispute| &mut dispute.duels) {
            for round in &mut duel.rounds {
                again(&mut round.first, |branches| branches.job = job);
                again(&mut round.second, |branches| branches.job = job);
            }
            if let End::Settle { finding, .. } = &mut duel.end {
                again(finding, |finding| finding.job = job);
            }
        }
    }
}

fn again<T: Statement + Clone>(signed: &mut Signed<T>, alter: impl FnOnce(&mut T)) {
    static SIGNERS: OnceLock<Vec<SigningIdentity>> = OnceLock::new();
    let signers = SIGNERS.get_or_init(|| [1, 2, 3, 4, 5, 6, 120].map(signer).into());
    let mut statement = signed.claimed().clone();
    alter(&mut statement);
    let signer = signers.iter().find(|signer| signer.public() == statement.node());
    if let Some(signer) = signer {
        *signed = Signed::sign(signer, statement);
    }
}
