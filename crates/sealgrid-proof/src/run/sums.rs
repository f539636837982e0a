//! Sums that are not committed, because everything that is claimed of them comes to one sum of products.

use std::sync::Arc;

use p3_field::PrimeCharacteristicRing as _;

use crate::argument::ContentClaim;
use crate::channel::{ProofError, Prover, Verifier};
use crate::field::{Challenge, Element, equality};
use crate::hidden::Hidden;
use crate::inner;
use crate::layers::Layer;
use crate::weights::{Parameters, Registered};

/// The private parameters of a run.
pub(super) struct Private {
    pub(super) registered: Registered,
    pub(super) layers: Vec<Layer>,
    /// Sums of all layers: elements of the lookups' content that are not committed.
    pub(super) sums: usize,
    /// The prover's.
    pub(super) parameters: Option<Arc<Parameters>>,
}

impl Private {
    /// Variables of the parameters' cube.
    pub(super) fn variables(&self) -> usize {
        self.registered.shape.elements().next_power_of_two().ilog2() as usize
    }

    /// Pads that showing the sums takes: the number that they come to, the sumcheck, and its product's value beyond.
    pub(super) fn pads(&self) -> usize {
        if self.layers.is_empty() { 0 } else { 1 + inner::pads(self.variables()) + 1 }
    }

    /// Shows what the sums come to, `claim` being about them and the content behind them.
    pub(super) fn prove(&self, channel: &mut Prover<'_>, claim: &ContentClaim, content: &[Element]) {
        let parameters = self.parameters.as_ref().expect("the prover's");
        if !self.layers.is_empty() {
            let (weights, _) = claim.functional.split_at(self.sums);
            channel.send(weights.iter().zip(content).map(|(weight, sum)| *weight * *sum).sum());
            let mut met = vec![Challenge::ZERO; 1 << self.variables()];
            self.layers.iter().for_each(|layer| layer.contribute(weights, content, &mut met));
            let mut elements: Vec<Challenge> =
                parameters.elements().iter().map(|element| Challenge::from(*element)).collect();
            elements.resize(met.len(), Challenge::ZERO);
            inner::prove(channel, met, elements);
        }
        parameters.prove(channel);
    }

    /// What is left to show of the content.
    pub(super) fn verify(
        &self,
        channel: &mut Verifier<'_>,
        mut claim: ContentClaim,
    ) -> Result<Vec<ContentClaim>, ProofError> {
        let behind = claim.functional.split_off(self.sums);
        let weights = std::mem::replace(&mut claim.functional, behind);
        let content = claim.functional.len();
        let mut claims = Vec::new();
        if !self.layers.is_empty() {
            let sum = channel.receive()?;
            claim.value = &claim.value - &sum;
            let sides = inner::verify(channel, self.variables(), &sum)?;
            let parameters = equality(&sides.point);
            let mut functional = vec![Challenge::ZERO; self.sums + content];
            let mut known = Challenge::ZERO;
            for layer in &self.layers {
                known += layer.pull(&weights, &parameters, &mut functional);
            }
            let functional = functional.split_off(self.sums);
            claims.push(ContentClaim { functional, value: &sides.left - &Hidden::known(known) });
            let mut functional = vec![Challenge::ZERO; content];
            let elements = self.registered.shape.elements();
            functional[..elements].copy_from_slice(&parameters[..elements]);
            claims.push(ContentClaim { functional, value: sides.right });
        }
        claims.push(claim);
        claims.push(self.registered.verify(channel, 0, content)?);
        Ok(claims)
    }

    pub(super) fn errors(&self) -> u64 {
        // Three claims become one.
        2 + inner::errors(self.variables()) + self.registered.errors()
    }
}
