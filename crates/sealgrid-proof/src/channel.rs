//! What prover and verifier say. A value is sent minus a pad that was committed before the first challenge, so what is
//! sent is uniform and tells nothing; what the verifier would check about values becomes equations about pads (the encrypted transcript
//! of draft-google-cfrg-libzk). At the end all equations are one claim about the committed pads.

use p3_field::{ExtensionField as _, PrimeCharacteristicRing};
use rand_core::CryptoRng;
use sealgrid_seal::digest::labels;

use crate::field::{Challenge, Element, random, wipe};
use crate::hidden::Hidden;
use crate::products::{self, Product};
use crate::transcript::Transcript;

/// Why a proof is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// It says less than it must.
    #[error("the proof ends early")]
    Truncated,
    /// It says more than it must.
    #[error("the proof goes on after its end")]
    TooLong,
    /// Something it shows is not what it must be.
    #[error("the proof does not hold")]
    Wrong,
    /// It is longer than what it was made for allows: too many bits of soundness are lost.
    #[error("a proof as long as this one does not reach what it was made for")]
    Weak,
}

/// Pads of one proof: uniform, used once each, forgotten when dropped.
pub struct Pads(Vec<Challenge>);

impl Pads {
    /// Draws pads.
    pub fn random(rng: &mut impl CryptoRng, count: usize) -> Self {
        Self((0..count).map(|_| random(rng)).collect())
    }

    /// Given pads, to show that any messages can come out of some.
    #[cfg(test)]
    pub(crate) fn fixed(pads: Vec<Challenge>) -> Self {
        Self(pads)
    }

    /// The pads: what the prover commits to.
    pub fn expose(&self) -> &[Challenge] {
        &self.0
    }
}

impl Drop for Pads {
    fn drop(&mut self) {
        wipe(&mut self.0);
    }
}

impl std::fmt::Debug for Pads {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Pads({}, ..)", self.0.len())
    }
}

/// Commits to what follows from what was drawn so far.
type Second<'p> = Box<dyn FnOnce(&mut Transcript, &[Element]) + 'p>;

/// The prover's end.
pub struct Prover<'p> {
    transcript: Transcript,
    pads: &'p Pads,
    used: usize,
    wires: Vec<Challenge>,
    attached: Vec<Vec<u8>>,
    products: Vec<[Challenge; 3]>,
    second: Option<Second<'p>>,
}

impl std::fmt::Debug for Prover<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Prover({} messages, ..)", self.wires.len())
    }
}

/// Everything that a prover has sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Elements.
    pub wires: Vec<Challenge>,
    /// What is no element.
    pub attached: Vec<Vec<u8>>,
    /// How many pads were used.
    pub used: usize,
}

impl<'p> Prover<'p> {
    /// Begins with a transcript that has absorbed the statement and the commitment to `pads`.
    #[must_use]
    pub fn new(transcript: Transcript, pads: &'p Pads) -> Self {
        let (wires, attached, products) = (Vec::new(), Vec::new(), Vec::new());
        Self { transcript, pads, used: 0, wires, attached, products, second: None }
    }

    /// With what commits to a content's second part.
    #[must_use]
    pub(crate) fn with_second(self, commit: impl FnOnce(&mut Transcript, &[Element]) + 'p) -> Self {
        Self { second: Some(Box::new(commit)), ..self }
    }

    /// Commits to a content's second part, which follows from what was drawn.
    ///
    /// # Panics
    /// When there is none, or it was committed to before.
    pub(crate) fn second(&mut self, content: &[Element]) {
        let commit = self.second.take().expect("a content with a second part, told once");
        commit(&mut self.transcript, content);
    }

    /// Draws the verifier's next challenge.
    pub fn challenge(&mut self) -> Challenge {
        self.transcript.challenge()
    }

    /// Sends a value, hidden.
    ///
    /// # Panics
    /// When more is sent than there are pads.
    pub fn send(&mut self, value: Challenge) {
        let wire = value - self.pad();
        self.reveal(wire);
    }

    /// Sends a value as it is: one that is uniform by itself.
    pub fn reveal(&mut self, value: Challenge) {
        self.transcript.absorb(value);
        self.wires.push(value);
    }

    /// Sends the product of two values that the verifier has hidden, hidden.
    pub fn product(&mut self, left: Challenge, right: Challenge) {
        let product = left * right;
        self.send(product);
        self.products.push([left, right, product]);
    }

    /// Does the work that is asked before positions are drawn ([`crate::transcript::WORK_BITS`]).
    pub(crate) fn work(&mut self) {
        let shown = self.transcript.work();
        self.wires.push(Challenge::from(shown));
    }

    /// Takes a pad for a value of its own: one that is drawn and not sent.
    pub(crate) fn pad(&mut self) -> Challenge {
        let pad = self.pads.0[self.used];
        self.used += 1;
        pad
    }

    /// Draws a number of `bits` bits.
    pub(crate) fn position(&mut self, bits: usize) -> usize {
        self.transcript.position(bits)
    }

    /// Sends what is no element.
    pub(crate) fn attach(&mut self, bytes: Vec<u8>) {
        self.transcript.absorb_bytes(labels::PROOF_ATTACHED, &bytes);
        self.attached.push(bytes);
    }

    /// Shows the products and ends.
    #[must_use]
    pub fn finish(mut self) -> Sent {
        let products = std::mem::take(&mut self.products);
        products::prove(&mut self, &products);
        Sent { wires: self.wires, attached: self.attached, used: self.used }
    }
}

/// The verifier's end.
pub struct Verifier<'w> {
    transcript: Transcript,
    wires: std::slice::Iter<'w, Challenge>,
    attached: std::slice::Iter<'w, Vec<u8>>,
    pads: u32,
    zeros: Vec<Hidden>,
    products: Vec<Product>,
    second: Option<&'w dyn Fn(&mut Transcript)>,
}

impl std::fmt::Debug for Verifier<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Verifier({} pads, ..)", self.pads)
    }
}

/// What is left to show: `Σ coefficient·pad = value` for the committed pads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PadClaim {
    /// One coefficient a pad.
    pub coefficients: Vec<Challenge>,
    /// What they come to.
    pub value: Challenge,
}

impl<'w> Verifier<'w> {
    /// Begins with a transcript that has absorbed the same as the prover's.
    #[must_use]
    pub fn new(transcript: Transcript, wires: &'w [Challenge], attached: &'w [Vec<u8>]) -> Self {
        let (wires, attached) = (wires.iter(), attached.iter());
        Self { transcript, wires, attached, pads: 0, zeros: Vec::new(), products: Vec::new(), second: None }
    }

    /// With what absorbs the commitment to a content's second part.
    #[must_use]
    pub(crate) fn with_second(self, absorb: &'w dyn Fn(&mut Transcript)) -> Self {
        Self { second: Some(absorb), ..self }
    }

    /// Whether a content's second part was not committed to yet: then nothing binds the prover to it.
    pub(crate) fn awaits_second(&self) -> bool {
        self.second.is_some()
    }

    /// Absorbs the commitment to a content's second part.
    pub(crate) fn second(&mut self) {
        let absorb = self.second.take().expect("what absorbs it, asked once");
        absorb(&mut self.transcript);
    }

    /// Draws a number of `bits` bits.
    pub(crate) fn position(&mut self, bits: usize) -> usize {
        self.transcript.position(bits)
    }

    /// What the prover attaches next.
    ///
    /// # Errors
    /// [`ProofError::Truncated`].
    pub(crate) fn attached(&mut self) -> Result<&'w [u8], ProofError> {
        let attached = self.attached.next().ok_or(ProofError::Truncated)?;
        self.transcript.absorb_bytes(labels::PROOF_ATTACHED, attached);
        Ok(attached)
    }

    /// Draws the next challenge.
    pub fn challenge(&mut self) -> Challenge {
        self.transcript.challenge()
    }

    /// The next hidden value.
    ///
    /// # Errors
    /// [`ProofError::Truncated`].
    pub fn receive(&mut self) -> Result<Hidden, ProofError> {
        let pad = self.pad();
        Ok(&self.receive_revealed().map(Hidden::known)? + &pad)
    }

    /// The next value that is sent as it is.
    ///
    /// # Errors
    /// [`ProofError::Truncated`].
    pub fn receive_revealed(&mut self) -> Result<Challenge, ProofError> {
        let wire = *self.wires.next().ok_or(ProofError::Truncated)?;
        self.transcript.absorb(wire);
        Ok(wire)
    }

    /// Checks the work that is asked before positions are drawn.
    ///
    /// # Errors
    /// [`ProofError`].
    pub(crate) fn worked(&mut self) -> Result<(), ProofError> {
        let wire = self.wires.next().ok_or(ProofError::Truncated)?;
        let shown = wire.as_base().ok_or(ProofError::Wrong)?;
        if self.transcript.worked(shown) { Ok(()) } else { Err(ProofError::Wrong) }
    }

    /// The product of two hidden values, which the prover sends and shows at the end.
    ///
    /// # Errors
    /// [`ProofError::Truncated`].
    pub fn product(&mut self, left: Hidden, right: Hidden) -> Result<Hidden, ProofError> {
        let product = self.receive()?;
        self.products.push(Product { left, right, product: product.clone() });
        Ok(product)
    }

    /// Demands that a value is zero.
    pub fn require_zero(&mut self, value: Hidden) {
        self.zeros.push(value);
    }

    /// The pad that the prover uses next.
    pub(crate) fn pad(&mut self) -> Hidden {
        let pad = Hidden::padded(Challenge::ZERO, self.pads);
        self.pads += 1;
        pad
    }

    /// Numerator of the error of [`Verifier::finish`]: the degree of the products' polynomial, and of the one in whose powers the
    /// equations are weighed.
    #[must_use]
    pub fn errors(&self) -> u64 {
        (self.zeros.len() + 3 * usize::from(!self.products.is_empty()) + 2 * self.products.len()) as u64
    }

    /// Checks the products and merges what was demanded. A prover that has sent anything wrong can show the claim with
    /// probability at most [`Verifier::errors`]` / |Challenge|`. The transcript goes on behind it.
    ///
    /// # Errors
    /// [`ProofError`].
    pub fn finish(mut self) -> Result<(PadClaim, Transcript), ProofError> {
        let products = std::mem::take(&mut self.products);
        products::verify(&mut self, &products)?;
        if self.wires.next().is_some() || self.attached.next().is_some() {
            return Err(ProofError::TooLong);
        }
        let weight = self.challenge();
        let mut claim =
            PadClaim { coefficients: vec![Challenge::ZERO; self.pads as usize], value: Challenge::ZERO };
        let mut power = Challenge::ONE;
        for zero in &self.zeros {
            for (pad, coefficient) in zero.terms() {
                claim.coefficients[*pad as usize] += power * *coefficient;
            }
            claim.value -= power * zero.constant();
            power *= weight;
        }
        Ok((claim, self.transcript))
    }
}

impl PadClaim {
    /// Whether it holds of these pads.
    #[must_use]
    pub fn holds(&self, pads: &[Challenge]) -> bool {
        let sum = self.coefficients.iter().zip(pads).map(|(c, p)| *c * *p).sum::<Challenge>();
        pads.len() >= self.coefficients.len() && sum == self.value
    }
}
