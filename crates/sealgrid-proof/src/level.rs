//! How many bits of soundness a proof is made for.
//!
//! The field (155 bits) and the hash (collisions of 128) are the same for all levels; what differs is how many positions are drawn. All codes are decoded
//! within the unique radius, where folding and batching let a cheat through with a word's length over the field's order: with the longest
//! words that leaves 127 bits, so no larger field is needed (docs/design/0008).

use minicbor::{Decode, Encode};

/// Fewest bits of soundness that a proof has, all of its steps added up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(index_only)]
pub enum Level {
    /// At least 99: what proofs are made for where nothing else is asked.
    #[default]
    #[n(99)]
    Bits99,
    /// At least 127.
    #[n(127)]
    Bits127,
}

impl Level {
    /// All.
    pub const ALL: [Self; 2] = [Self::Bits99, Self::Bits127];

    /// Its bits.
    #[must_use]
    pub fn bits(self) -> u8 {
        match self {
            Self::Bits99 => 99,
            Self::Bits127 => 127,
        }
    }

    /// The level of so many bits; `None` when there is none.
    #[must_use]
    pub fn of_bits(bits: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.bits() == bits)
    }

    /// Bits by which positions that are drawn together miss a word that they should not, the work before they are drawn included.
    pub(crate) fn query_bits(self) -> usize {
        match self {
            Self::Bits99 => 104,
            Self::Bits127 => 133,
        }
    }

    /// Columns that a proof opens of registered parameters: each misses another word with probability at most `(1 + rate) / 2`, and the rate is at most
    /// `1/4`, so all of them, with the work, by [`Level::query_bits`].
    pub(crate) fn columns(self) -> usize {
        match self {
            Self::Bits99 => 136,
            Self::Bits127 => 179,
        }
    }
}

/// Bits of soundness of two things that both must hold: their errors add up.
#[must_use]
pub fn joined(one: f64, other: f64) -> f64 {
    -((-one).exp2() + (-other).exp2()).log2()
}

impl std::fmt::Display for Level {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bits", self.bits())
    }
}
