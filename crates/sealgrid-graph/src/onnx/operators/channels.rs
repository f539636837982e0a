//! Factors and summands per channel, folded into what precedes them where possible.
//!
//! `x·s + o` behind a linear operation or a convolution changes their weights; behind another affine step it joins that
//! one; what multiplies by 1 and adds 0 vanishes. So a scaler in front of a network becomes one leading affine step,
//! and a batch normalisation behind a convolution leaves nothing.

use crate::float::{Primitive, ValueId};
use crate::onnx::literal::{Elements, Literal};
use crate::onnx::lower::Lowering;
use crate::onnx::problem::Refusal;

/// Up to this many channels a single factor is written out per channel.
const SPREAD_MAX: usize = 1 << 12;

/// A factor and a summand for each channel of an axis.
pub(super) struct Channels {
    pub axis: usize,
    pub scale: Vec<f64>,
    pub offset: Vec<f64>,
}

impl Channels {
    /// Factors from a known operand that has one element, or one for each position of one axis of `x`; `None` when
    /// it is neither, or would make the result larger than `x`.
    pub fn of(lowering: &Lowering, x: ValueId, literal: &Literal) -> Option<(usize, Vec<f64>)> {
        let axes = lowering.axes(x);
        let own = literal.shape.axes();
        let values: Vec<f64> = match &literal.elements {
            Elements::Float(values) => values.iter().map(|&value| value.into()).collect(),
            Elements::Integer(values) => values.iter().map(|&value| value as f64).collect(),
            Elements::Text(_) => return None,
        };
        if own.len() > axes.len() || axes.is_empty() {
            return None;
        }
        let skipped = axes.len() - own.len();
        match own.iter().filter(|&&length| length != 1).count() {
            0 => {
                let axis = channel_axis(lowering, x);
                let fits = axes[axis] <= SPREAD_MAX;
                fits.then(|| (axis, vec![values[0]; axes[axis]]))
            }
            1 => {
                let axis = skipped + own.iter().position(|&length| length != 1)?;
                (values.len() == axes[axis]).then_some((axis, values))
            }
            _ => None,
        }
    }

    /// Adds `x·scale + offset`. `shared` says that something else reads `x` too.
    pub fn apply(self, lowering: &mut Lowering, x: ValueId, shared: bool) -> Result<ValueId, Refusal> {
        if self.scale.iter().all(|&s| s == 1.0) && self.offset.iter().all(|&o| o == 0.0) {
            return Ok(x);
        }
        if !shared && let Some(folded) = self.fold(lowering, x)? {
            return Ok(folded);
        }
        let count = self.scale.len();
        let scale = lowering.parameter(&[count], narrowed(&self.scale))?;
        let offset = lowering.parameter(&[count], narrowed(&self.offset))?;
        lowering.push(Primitive::Affine { axis: self.axis, scale, offset }, &[x])
    }

    /// Another operation that does both; the former one is dropped when nothing else needs it.
    fn fold(&self, lowering: &mut Lowering, x: ValueId) -> Result<Option<ValueId>, Refusal> {
        let rank = lowering.axes(x).len();
        let Some(operation) = lowering.builder.operation(x) else { return Ok(None) };
        let (primitive, operands) = (operation.primitive.clone(), operation.operands.clone());
        let folded = match primitive {
            Primitive::Linear { weight, bias } if self.axis == rank - 1 => {
                let (weight, bias) = self.folded(lowering, weight, bias)?;
                Primitive::Linear { weight, bias }
            }
            Primitive::Convolution { weight, bias, window, groups } if self.axis == 1 => {
                let (weight, bias) = self.folded(lowering, weight, bias)?;
                Primitive::Convolution { weight, bias, window, groups }
            }
            Primitive::Affine { axis, scale, offset } if axis == self.axis => {
                let (scale, offset) = self.folded(lowering, scale, offset)?;
                Primitive::Affine { axis, scale, offset }
            }
            _ => return Ok(None),
        };
        if let Primitive::Affine { scale, offset, .. } = &folded {
            let nothing = lowering.builder.tensor(*scale).elements().iter().all(|&s| s == 1.0)
                && lowering.builder.tensor(*offset).elements().iter().all(|&o| o == 0.0);
            if nothing {
                return Ok(Some(operands[0]));
            }
        }
        Ok(Some(lowering.push(folded, &operands)?))
    }

    /// Weights whose first axis is the channels, and biases, scaled and shifted.
    fn folded(
        &self,
        lowering: &mut Lowering,
        weight: crate::float::ParameterId,
        bias: crate::float::ParameterId,
    ) -> Result<(crate::float::ParameterId, crate::float::ParameterId), Refusal> {
        let (weights, biases) = (lowering.builder.tensor(weight), lowering.builder.tensor(bias));
        let axes = weights.shape().axes().to_vec();
        let per_channel = weights.shape().count() / self.scale.len();
        let scaled = weights.elements().chunks_exact(per_channel).zip(&self.scale);
        let new_weights: Vec<f32> = scaled
            .flat_map(|(part, scale)| part.iter().map(move |w| (f64::from(*w) * scale) as f32))
            .collect();
        let stages = self.scale.iter().zip(&self.offset);
        let new_biases: Vec<f32> = biases
            .elements()
            .iter()
            .zip(stages)
            .map(|(bias, (scale, offset))| (f64::from(*bias) * scale + offset) as f32)
            .collect();
        let count = new_biases.len();
        Ok((lowering.parameter(&axes, new_weights)?, lowering.parameter(&[count], new_biases)?))
    }
}

/// The axis that a single factor is spread over: the channels of what precedes, else the second, else the only one.
fn channel_axis(lowering: &Lowering, x: ValueId) -> usize {
    let rank = lowering.axes(x).len();
    match lowering.builder.operation(x).map(|operation| &operation.primitive) {
        Some(Primitive::Linear { .. }) => rank - 1,
        Some(Primitive::Affine { axis, .. }) => *axis,
        _ => 1.min(rank - 1),
    }
}

fn narrowed(values: &[f64]) -> Vec<f32> {
    values.iter().map(|&value| value as f32).collect()
}
