//! Words that all topics share: jobs, models, guarantees.

use std::fmt;

use minicbor::{Decode, Encode};
/// The identity of a model everywhere, defined where models are.
pub use sealgrid_graph::model::ModelCommitment;
use sealgrid_seal::digest::Digest;

/// A job: the digest of its public header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Encode, Decode)]
#[cbor(transparent)]
pub struct JobId(pub Digest);

/// Who can see the data (policy axis one).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Encode, Decode)]
#[cbor(index_only)]
pub enum Protection {
    /// Nothing but transport encryption; for measurements, never chosen for a person.
    #[n(0)]
    Plain,
    /// End-to-end encryption to the executing node's job key.
    #[n(1)]
    Sealed,
    /// The same, key bound to verified TEE evidence.
    #[n(2)]
    Attested,
    /// Contiguous segments over nodes.
    #[n(3)]
    Split,
    /// Homomorphic encryption.
    #[n(4)]
    Encrypted,
}

/// How the result is known to be right (policy axis two).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Encode, Decode)]
pub enum Verification {
    /// A receipt only.
    #[n(0)]
    Signed,
    /// `members` nodes run the same job and must agree.
    #[n(1)]
    Quorum {
        /// Committee size, at least 2.
        #[n(0)]
        members: u8,
    },
    /// A zero-knowledge proof of the run.
    #[n(2)]
    Proof,
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "j1:{}", self.0)
    }
}

impl fmt::Display for Protection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plain => "plain",
            Self::Sealed => "sealed",
            Self::Attested => "attested",
            Self::Split => "split",
            Self::Encrypted => "encrypted",
        })
    }
}

impl fmt::Display for Verification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Signed => f.write_str("signed"),
            Self::Quorum { members } => write!(f, "quorum:{members}"),
            Self::Proof => f.write_str("proof"),
        }
    }
}

impl Protection {
    /// Whether data under `self` is seen by nobody from whom `minimum` would hide it (docs/spec/policy.md).
    #[must_use]
    pub const fn satisfies(self, minimum: Self) -> bool {
        match minimum {
            Self::Plain => true,
            Self::Sealed => !matches!(self, Self::Plain),
            Self::Attested => matches!(self, Self::Attested | Self::Encrypted),
            Self::Split => matches!(self, Self::Split | Self::Encrypted),
            Self::Encrypted => matches!(self, Self::Encrypted),
        }
    }
}

impl Verification {
    /// Whether `self` catches everything that `minimum` would catch. A proof catches any wrong computation, so it
    /// satisfies every minimum.
    #[must_use]
    pub const fn satisfies(self, minimum: Self) -> bool {
        match (self, minimum) {
            (Self::Proof, _) | (_, Self::Signed) => true,
            (Self::Quorum { members }, Self::Quorum { members: least }) => members >= least,
            _ => false,
        }
    }

    /// Whether one node answers alone, with a receipt, and nobody votes.
    #[must_use]
    pub const fn is_alone(self) -> bool {
        matches!(self, Self::Signed | Self::Proof)
    }

    /// Nodes that run the job.
    #[must_use]
    pub const fn members(self) -> u8 {
        match self {
            Self::Quorum { members } => members,
            Self::Signed | Self::Proof => 1,
        }
    }
}

/// Fewest and most members of a quorum. More than nine adds cost and no protection that a person asks for.
pub const QUORUM_MEMBERS: std::ops::RangeInclusive<u8> = 2..=9;

/// A word of the command line or of a policy that means nothing here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected}")]
pub struct UnknownWord {
    /// What would be understood.
    pub expected: &'static str,
}

impl std::str::FromStr for Protection {
    type Err = UnknownWord;

    fn from_str(word: &str) -> Result<Self, UnknownWord> {
        Ok(match word {
            "plain" => Self::Plain,
            "sealed" => Self::Sealed,
            "attested" => Self::Attested,
            "split" => Self::Split,
            "encrypted" => Self::Encrypted,
            _ => return Err(UnknownWord { expected: "plain, sealed, attested, split or encrypted" }),
        })
    }
}

impl std::str::FromStr for Verification {
    type Err = UnknownWord;

    fn from_str(word: &str) -> Result<Self, UnknownWord> {
        let unknown = UnknownWord { expected: "signed, quorum:K with K from 2 to 9, or proof" };
        match word {
            "signed" => Ok(Self::Signed),
            "proof" => Ok(Self::Proof),
            // One digit, so that `quorum:+3` and `quorum:03` are not second spellings.
            _ => match word.strip_prefix("quorum:").map(str::as_bytes) {
                Some(&[digit]) if digit.is_ascii_digit() && QUORUM_MEMBERS.contains(&(digit - b'0')) => {
                    Ok(Self::Quorum { members: digit - b'0' })
                }
                _ => Err(unknown),
            },
        }
    }
}

/// Where a node says it runs. Hardware kinds are its operator's word until a receipt carries evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Encode, Decode)]
#[cbor(index_only)]
pub enum Environment {
    /// An ordinary process: whoever controls the machine can read its memory.
    #[n(0)]
    Software,
    /// Intel Trust Domain Extensions.
    #[n(1)]
    IntelTdx,
    /// AMD Secure Encrypted Virtualization with Secure Nested Paging.
    #[n(2)]
    AmdSevSnp,
    /// AWS Nitro Enclaves.
    #[n(3)]
    AwsNitro,
}

impl Environment {
    /// Whether the node claims to be isolated by hardware.
    #[must_use]
    pub const fn claims_hardware(self) -> bool {
        !matches!(self, Self::Software)
    }

    /// The stable word of JSON output.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Software => "software",
            Self::IntelTdx => "intel-tdx",
            Self::AmdSevSnp => "amd-sev-snp",
            Self::AwsNitro => "aws-nitro",
        }
    }
}

impl fmt::Display for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Software => "software, NOT HARDWARE",
            Self::IntelTdx => "Intel TDX, claimed by its operator",
            Self::AmdSevSnp => "AMD SEV-SNP, claimed by its operator",
            Self::AwsNitro => "AWS Nitro, claimed by its operator",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROTECTIONS: [Protection; 5] = [
        Protection::Plain,
        Protection::Sealed,
        Protection::Attested,
        Protection::Split,
        Protection::Encrypted,
    ];

    #[test]
    fn words_read_back_as_they_are_printed() {
        for protection in PROTECTIONS {
            assert_eq!(protection.to_string().parse(), Ok(protection));
        }
        for verification in [
            Verification::Signed,
            Verification::Quorum { members: 2 },
            Verification::Quorum { members: 9 },
            Verification::Proof,
        ] {
            assert_eq!(verification.to_string().parse(), Ok(verification));
        }
        for word in ["", "quorum", "quorum:", "quorum:1", "quorum:10", "quorum:03", "quorum:+3", "Signed"] {
            assert!(word.parse::<Verification>().is_err(), "{word}");
        }
    }

    #[test]
    fn satisfaction_is_a_partial_order() {
        for a in PROTECTIONS {
            assert!(a.satisfies(a));
            for b in PROTECTIONS {
                assert!(a == b || !(a.satisfies(b) && b.satisfies(a)), "{a} {b}");
                for c in PROTECTIONS {
                    assert!(!(a.satisfies(b) && b.satisfies(c)) || a.satisfies(c), "{a} {b} {c}");
                }
            }
        }
        assert!(!Protection::Split.satisfies(Protection::Attested));
        assert!(!Verification::Signed.satisfies(Verification::Quorum { members: 2 }));
        assert!(Verification::Quorum { members: 5 }.satisfies(Verification::Quorum { members: 3 }));
        assert!(!Verification::Quorum { members: 3 }.satisfies(Verification::Quorum { members: 5 }));
    }
}
