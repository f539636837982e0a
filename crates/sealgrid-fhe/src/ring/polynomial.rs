//! Polynomials by their residues modulo several primes.

use std::marker::PhantomData;
use std::sync::Arc;

use zeroize::Zeroize;

use super::{Available, Degree, Modulus, Table};

/// A degree, a chain of ordinary primes and perhaps one special prime, with their tables. Cheap to clone.
#[derive(Clone)]
pub struct Ring {
    chain: usize,
    degree: Degree,
    available: Available,
    tables: Arc<[Table]>,
}

/// Which primes of a ring a polynomial is known by: the first of the chain, and perhaps the special one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Basis {
    /// How many primes of the chain.
    pub primes: usize,
    /// Whether the special prime is there, too; its row is the last.
    pub special: bool,
}

impl Basis {
    /// So many primes of the chain.
    #[must_use]
    pub const fn chain(primes: usize) -> Self {
        Self { primes, special: false }
    }

    /// The same with the special prime.
    #[must_use]
    pub const fn with_special(self) -> Self {
        Self { special: true, ..self }
    }

    /// The same without the special prime.
    const fn special_dropped(self) -> Self {
        Self::chain(self.primes)
    }

    /// How many rows.
    #[must_use]
    pub const fn rows(self) -> usize {
        self.primes + self.special as usize
    }
}

/// The rows are coefficients, constant term first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coefficients {}

/// The rows are values at the odd powers of a root of unity, in the order of [`Table::exponent`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Values {}

/// [`Coefficients`] or [`Values`].
pub trait Form {}
impl Form for Coefficients {}
impl Form for Values {}

/// Residues of a polynomial: `basis.rows()` rows of `N`.
#[derive(Clone, PartialEq, Eq)]
pub struct Polynomial<F: Form> {
    basis: Basis,
    degree: Degree,
    words: Vec<u64>,
    form: PhantomData<F>,
}

impl<F: Form> Polynomial<F> {
    /// Zero.
    pub(crate) fn zero(degree: Degree, basis: Basis) -> Self {
        let words = vec![0; degree.get() * basis.rows()];
        Self { basis, degree, words, form: PhantomData }
    }

    /// Which primes it is known by.
    #[must_use]
    pub const fn basis(&self) -> Basis {
        self.basis
    }

    /// The residues modulo one prime, counted in the basis.
    pub(crate) fn row(&self, row: usize) -> &[u64] {
        let n = self.degree.get();
        &self.words[n * row..n * (row + 1)]
    }

    pub(crate) fn row_mut(&mut self, row: usize) -> &mut [u64] {
        let n = self.degree.get();
        &mut self.words[n * row..n * (row + 1)]
    }

    pub(crate) fn rows(&self) -> impl Iterator<Item = &[u64]> {
        self.words.chunks_exact(self.degree.get())
    }

    pub(crate) fn rows_mut(&mut self) -> impl Iterator<Item = &mut [u64]> {
        self.words.chunks_exact_mut(self.degree.get())
    }

    /// Forgets all but the first primes of the chain.
    pub(crate) fn truncate(&mut self, primes: usize) {
        assert!(primes <= self.basis.primes, "a basis only shrinks");
        self.basis = Basis::chain(primes);
        self.words.truncate(primes * self.degree.get());
    }

    fn into_form<G: Form>(self) -> Polynomial<G> {
        Polynomial { basis: self.basis, degree: self.degree, words: self.words, form: PhantomData }
    }
}

impl<F: Form> Zeroize for Polynomial<F> {
    fn zeroize(&mut self) {
        self.words.zeroize();
    }
}

/// `X → X^g` for odd `g`, as a permutation of values.
#[derive(Clone)]
pub struct Automorphism {
    /// Position of the source of each position.
    sources: Vec<u32>,
}

impl Automorphism {
    /// The automorphism of an odd power `g < 2N`.
    ///
    /// # Panics
    /// When `power` is even.
    #[must_use]
    pub fn new(degree: Degree, power: usize) -> Self {
        assert!(power % 2 == 1, "even powers do not permute the roots");
        let twice = 2 * degree.get();
        let mut positions = vec![0; twice];
        for position in 0..degree.get() {
            positions[Table::exponent(degree, position)] =
                u32::try_from(position).expect("a degree has at most 15 bits");
        }
        // The value of a(X^g) at root^e is the value of a at root^{e g}.
        let source = |position| positions[Table::exponent(degree, position) * power % twice];
        Self { sources: (0..degree.get()).map(source).collect() }
    }

    /// `a(X)` to `a(X^g)`.
    #[must_use]
    pub fn apply(&self, a: &Polynomial<Values>) -> Polynomial<Values> {
        let mut result = Polynomial::zero(a.degree, a.basis);
        for (out, row) in result.rows_mut().zip(a.rows()) {
            for (out, &source) in out.iter_mut().zip(&self.sources) {
                *out = row[source as usize];
            }
        }
        result
    }
}

impl Ring {
    /// The ring of a degree over primes that are all different.
    ///
    /// # Panics
    /// When a prime has no transform at the degree, or two are equal: chains are stated in [`crate::parameters`].
    pub(crate) fn new(
        degree: Degree,
        chain: &[Modulus],
        special: Option<Modulus>,
        available: Available,
    ) -> Self {
        let primes: Vec<Modulus> = chain.iter().copied().chain(special).collect();
        assert!((1..primes.len()).all(|at| !primes[..at].contains(&primes[at])), "primes are different");
        let tables = primes.into_iter().map(|prime| Table::new(degree, prime)).collect();
        Self { chain: chain.len(), degree, available, tables }
    }

    /// `N`.
    #[must_use]
    pub const fn degree(&self) -> Degree {
        self.degree
    }

    /// The kernels in use.
    #[must_use]
    pub const fn available(&self) -> Available {
        self.available
    }

    /// All primes of the chain.
    #[must_use]
    pub fn chain(&self) -> Basis {
        Basis::chain(self.chain)
    }

    /// The prime of a row.
    #[must_use]
    pub fn modulus(&self, basis: Basis, row: usize) -> Modulus {
        self.table(basis, row).modulus()
    }

    /// All primes, the special one with them.
    #[must_use]
    pub fn all(&self) -> Basis {
        Basis { special: self.tables.len() > self.chain, ..self.chain() }
    }

    pub(crate) fn table(&self, basis: Basis, row: usize) -> &Table {
        &self.tables[if row < basis.primes { row } else { self.chain }]
    }

    /// Coefficients to values.
    #[must_use]
    pub fn forward(&self, mut a: Polynomial<Coefficients>) -> Polynomial<Values> {
        let basis = a.basis;
        for (index, row) in a.rows_mut().enumerate() {
            self.table(basis, index).transform(row, self.available);
        }
        a.into_form()
    }

    /// Values to coefficients.
    #[must_use]
    pub fn inverse(&self, mut a: Polynomial<Values>) -> Polynomial<Coefficients> {
        let basis = a.basis;
        for (index, row) in a.rows_mut().enumerate() {
            self.table(basis, index).transform_back(row, self.available);
        }
        a.into_form()
    }

    /// `a += b`. Where `b` is known by more primes, they are left out.
    pub(crate) fn add<F: Form>(&self, a: &mut Polynomial<F>, b: &Polynomial<F>) {
        let basis = a.basis;
        for index in 0..basis.rows() {
            let row = b.row(Self::same_prime(basis, b.basis, index));
            self.available.add(a.row_mut(index), row, self.modulus(basis, index));
        }
    }

    /// `a -= b`. Where `b` is known by more primes, they are left out.
    pub(crate) fn subtract<F: Form>(&self, a: &mut Polynomial<F>, b: &Polynomial<F>) {
        let basis = a.basis;
        for index in 0..basis.rows() {
            let row = b.row(Self::same_prime(basis, b.basis, index));
            self.available.subtract(a.row_mut(index), row, self.modulus(basis, index));
        }
    }

    /// `Σ a_i · b_i` in the given basis, of which every operand knows all primes.
    pub(crate) fn sum_of_products(
        &self,
        basis: Basis,
        pairs: &[(&Polynomial<Values>, &Polynomial<Values>)],
    ) -> Polynomial<Values> {
        let mut result = Polynomial::zero(self.degree, basis);
        for index in 0..basis.rows() {
            let row = |a: &Polynomial<Values>| Self::same_prime(basis, a.basis, index);
            let rows: Vec<_> = pairs.iter().map(|(a, b)| (a.row(row(a)), b.row(row(b)))).collect();
            let modulus = self.modulus(basis, index);
            self.available.sum_of_products(result.row_mut(index), &rows, modulus);
        }
        result
    }

    /// The row of `of` for the prime of row `index` of `basis`.
    fn same_prime(basis: Basis, of: Basis, index: usize) -> usize {
        if index < basis.primes {
            assert!(index < of.primes, "the operand knows fewer primes");
            return index;
        }
        assert!(of.special, "the operand does not know the special prime");
        of.primes
    }

    /// A polynomial of small integers, `|c| < q` for every prime, without a branch on them.
    pub(crate) fn of_small(&self, basis: Basis, coefficients: &[i64]) -> Polynomial<Coefficients> {
        let mut result = Polynomial::zero(self.degree, basis);
        for (index, row) in result.rows_mut().enumerate() {
            let modulus = self.modulus(basis, index);
            for (residue, &coefficient) in row.iter_mut().zip(coefficients) {
                *residue = modulus.of_small(coefficient);
            }
        }
        result
    }

    /// A polynomial of integers of any size.
    pub(crate) fn of_integers(&self, basis: Basis, coefficients: &[i64]) -> Polynomial<Coefficients> {
        let mut result = Polynomial::zero(self.degree, basis);
        for (index, row) in result.rows_mut().enumerate() {
            let modulus = self.modulus(basis, index);
            for (residue, &coefficient) in row.iter_mut().zip(coefficients) {
                *residue = modulus.of_integer(coefficient);
            }
        }
        result
    }

    /// `a += b` in one row, whatever else `b` is known by.
    pub(crate) fn add_row<F: Form>(&self, a: &mut Polynomial<F>, b: &Polynomial<F>, row: usize) {
        let modulus = self.modulus(a.basis, row);
        self.available.add(a.row_mut(row), b.row(row), modulus);
    }

    /// The integers closest to zero of one row, modulo all primes of a basis.
    pub(crate) fn lift(&self, row: &[u64], from: Modulus, basis: Basis) -> Polynomial<Values> {
        let mut result = Polynomial::zero(self.degree, basis);
        for (index, out) in result.rows_mut().enumerate() {
            let table = self.table(basis, index);
            self.available.change_modulus(out, row, from, table.modulus());
            table.transform(out, self.available);
        }
        result
    }

    /// `P · a` for the special prime `P`, in one prime more: `P` itself, modulo which it is zero.
    pub(crate) fn times_special(&self, a: &Polynomial<Values>) -> Polynomial<Values> {
        let special = self.tables[self.chain].modulus().value();
        let basis = Basis::chain(a.basis.primes).with_special();
        let mut result = Polynomial::zero(self.degree, basis);
        for index in 0..basis.primes {
            let modulus = self.modulus(basis, index);
            result.row_mut(index).copy_from_slice(a.row(index));
            self.available.scale(result.row_mut(index), modulus.factor(special), modulus);
        }
        result
    }

    /// `a / P`, rounded, for the special prime, which is dropped.
    pub(crate) fn divide_by_special(&self, a: Polynomial<Values>) -> Polynomial<Values> {
        assert!(a.basis.special, "the special prime is there");
        self.divide(a, Basis::special_dropped)
    }

    /// `a / q`, rounded, for the last prime of the chain, which is dropped.
    pub(crate) fn divide_by_last(&self, a: Polynomial<Values>) -> Polynomial<Values> {
        assert!(!a.basis.special && a.basis.primes > 1, "another prime is left");
        self.divide(a, |basis| Basis::chain(basis.primes - 1))
    }

    /// Subtracts the remainder by the prime of the last row, then multiplies by its inverse (J. Cheon, K. Han, A. Kim, M. Kim,
    /// Y. Song, "A full RNS variant of approximate homomorphic encryption", 2018, section 4).
    fn divide(&self, mut a: Polynomial<Values>, shorter: impl Fn(Basis) -> Basis) -> Polynomial<Values> {
        let last = a.basis.rows() - 1;
        let table = self.table(a.basis, last);
        let divisor = table.modulus();
        table.transform_back(a.row_mut(last), self.available);
        let basis = shorter(a.basis);
        let remainder = self.lift(a.row(last), divisor, basis);
        a.truncate(basis.primes);
        for (index, row) in a.rows_mut().enumerate() {
            let modulus = self.modulus(basis, index);
            let inverse = modulus.factor(modulus.inverse(divisor.value()));
            self.available.subtract_and_scale(row, remainder.row(index), inverse, modulus);
        }
        a
    }
}
