//! The only module with `unsafe` code of this crate: transforms and sums of products for three kinds of processor.
//!
//! # The safety argument
//! Two things could go wrong, and each is excluded in one place.
//!
//! 1. *An instruction the processor lacks.* A vector version is entered only from a function here that takes an
//!    [`Available`], and that is made only by [`Backend::available`], which asks the processor.
//! 2. *A pointer outside its slice.* Vectors are loaded from and stored to references to arrays of eight words, so each
//!    `unsafe` load or store is in bounds by its own argument's type. The loops in `loops.rs` are safe code: they
//!    index slices of such arrays, and an index that were wrong would panic.
//!
//! # Why all backends agree to the bit
//! Inside, values are reduced lazily and may differ between backends by multiples of `q`. Whatever leaves a kernel is the one
//! representative in `0..q` of a residue that exact arithmetic determines. The loops are one text expanded for each
//! backend; what differs is how eight products modulo `q` are computed, and each backend says why its own are exact.
//!
//! Products of secrets take the same instructions whatever the values: nothing here branches on or indexes by data.
#![expect(unsafe_code, reason = "vector instructions; see the safety argument above")]

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod loops;
mod portable;

use super::modulus::{Factor, Modulus};
use super::transform::Table;

/// Words of a vector, on every backend.
pub(super) const LANES: usize = 8;

/// A family of kernels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Backend {
    /// Plain Rust, for every processor.
    Portable,
    /// x86-64 with AVX2 and FMA.
    Avx2,
    /// x86-64 with AVX-512 (F) and its 52-bit integer products (IFMA).
    Avx512Ifma,
}

impl Backend {
    /// Every backend, slowest first.
    pub const ALL: [Self; 3] = [Self::Portable, Self::Avx2, Self::Avx512Ifma];

    /// A short name for reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            Self::Avx2 => "avx2",
            Self::Avx512Ifma => "avx512-ifma",
        }
    }

    /// The proof that this processor has what the backend needs; `None` when it has not.
    #[must_use]
    pub fn available(self) -> Option<Available> {
        let has = match self {
            Self::Portable => true,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => std::is_x86_feature_detected!("avx2") && std::is_x86_feature_detected!("fma"),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Ifma => {
                std::is_x86_feature_detected!("avx512f") && std::is_x86_feature_detected!("avx512ifma")
            }
            #[cfg(not(target_arch = "x86_64"))]
            Self::Avx2 | Self::Avx512Ifma => false,
        };
        has.then_some(Available(self))
    }
}

/// A backend that this processor was asked about and has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Available(Backend);

impl Available {
    /// The fastest.
    #[must_use]
    pub fn fastest() -> Self {
        Backend::ALL.iter().rev().find_map(|backend| backend.available()).unwrap_or(Self(Backend::Portable))
    }

    /// Which one.
    #[must_use]
    pub const fn backend(self) -> Backend {
        self.0
    }
}

/// Most products that [`Available::sum_of_products`] adds before it reduces: the upper halves of 100-bit products have 48
/// bits, and fifteen of them with a carry stay below 2^52.
const PRODUCTS_MAX: usize = 15;

/// Calls the backend's version of a loop.
macro_rules! dispatch {
    ($available:expr, $name:ident($($argument:expr),*)) => {
        match $available.0 {
            // SAFETY: an `Available` says that this processor has the features.
            #[cfg(target_arch = "x86_64")]
            Backend::Avx512Ifma => unsafe { avx512::$name($($argument),*) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Backend::Avx2 => unsafe { avx2::$name($($argument),*) },
            _ => portable::$name($($argument),*),
        }
    };
}

/// Rows are slices of `N` canonical residues, `N` a multiple of 64.
impl Available {
    /// Coefficients to values at the odd powers of the root, in the table's order.
    pub(super) fn forward(self, row: &mut [u64], table: &Table) {
        assert_eq!(row.len(), table.degree().get());
        dispatch!(self, forward(chunks_mut(row), table));
    }

    /// Values back to coefficients.
    pub(super) fn inverse(self, row: &mut [u64], table: &Table) {
        assert_eq!(row.len(), table.degree().get());
        dispatch!(self, inverse(chunks_mut(row), table));
    }

    /// `out += a`.
    pub(crate) fn add(self, out: &mut [u64], a: &[u64], q: Modulus) {
        assert_eq!(out.len(), a.len());
        dispatch!(self, add(chunks_mut(out), chunks(a), q));
    }

    /// `out -= a`.
    pub(crate) fn subtract(self, out: &mut [u64], a: &[u64], q: Modulus) {
        assert_eq!(out.len(), a.len());
        dispatch!(self, subtract(chunks_mut(out), chunks(a), q));
    }

    /// `out = Σ a_i · b_i`.
    pub(crate) fn sum_of_products(self, out: &mut [u64], pairs: &[(&[u64], &[u64])], q: Modulus) {
        assert!(pairs.iter().all(|(a, b)| a.len() == out.len() && b.len() == out.len()));
        let (first, rest) = pairs.split_at(pairs.len().min(PRODUCTS_MAX));
        dispatch!(self, sum_of_products(chunks_mut(out), first, false, q));
        for part in rest.chunks(PRODUCTS_MAX - 1) {
            dispatch!(self, sum_of_products(chunks_mut(out), part, true, q));
        }
    }

    /// `out = (out - a) · factor`.
    pub(crate) fn subtract_and_scale(self, out: &mut [u64], a: &[u64], factor: Factor, q: Modulus) {
        assert_eq!(out.len(), a.len());
        dispatch!(self, subtract_and_scale(chunks_mut(out), chunks(a), factor, q));
    }

    /// `out *= factor`.
    pub(crate) fn scale(self, out: &mut [u64], factor: Factor, q: Modulus) {
        dispatch!(self, scale(chunks_mut(out), factor, q));
    }

    /// `out = a` read as integers in `-from/2..from/2`, modulo `to`.
    pub(crate) fn change_modulus(self, out: &mut [u64], a: &[u64], from: Modulus, to: Modulus) {
        assert_eq!(out.len(), a.len());
        dispatch!(self, change_modulus(chunks_mut(out), chunks(a), from, to));
    }
}

fn chunks(row: &[u64]) -> &[[u64; LANES]] {
    let (chunks, rest) = row.as_chunks();
    assert!(rest.is_empty(), "rows are whole vectors");
    chunks
}

fn chunks_mut(row: &mut [u64]) -> &mut [[u64; LANES]] {
    let (chunks, rest) = row.as_chunks_mut();
    assert!(rest.is_empty(), "rows are whole vectors");
    chunks
}
