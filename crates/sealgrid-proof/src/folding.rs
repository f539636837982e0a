//! Maps with weights, folded with challenges, as many at once as the machine's vectors hold: what a proof spends most of its time on besides fractions.

use p3_field::{PackedFieldExtension as _, PackedValue as _, PrimeCharacteristicRing};

use crate::field::{Challenge, Element, LANES, Packed, PackedElement, total, unpack};
use crate::maps::{Map, Taps};

/// What a weight is in a fold: a number that is known, or what a challenge has made of one.
pub(crate) trait Factor: PrimeCharacteristicRing + Copy {
    /// `by` times each of `factors`, added to `sums`; the last pack may be longer.
    fn row(sums: &mut [Packed], by: Challenge, factors: &[Self]);

    /// `packed` times this.
    fn times(self, packed: Packed) -> Packed;

    /// `Σ packed·factors`, lane by lane; the last pack may be longer.
    fn inner(packed: &[Packed], factors: &[Self]) -> Packed;
}

impl Factor for Element {
    fn row(sums: &mut [Packed], by: Challenge, factors: &[Self]) {
        let by = Packed::from(by);
        for (sum, factors) in sums.iter_mut().zip(factors.chunks(LANES)) {
            *sum += by * packed_elements(factors);
        }
    }

    fn times(self, packed: Packed) -> Packed {
        packed * PackedElement::from(self)
    }

    fn inner(packed: &[Packed], factors: &[Self]) -> Packed {
        packed.iter().zip(factors.chunks(LANES)).map(|(packed, own)| *packed * packed_elements(own)).sum()
    }
}

impl Factor for Challenge {
    fn row(sums: &mut [Packed], by: Challenge, factors: &[Self]) {
        for (sum, factors) in sums.iter_mut().zip(factors.chunks(LANES)) {
            *sum += packed_challenges(factors) * by;
        }
    }

    fn times(self, packed: Packed) -> Packed {
        packed * self
    }

    fn inner(packed: &[Packed], factors: &[Self]) -> Packed {
        packed.iter().zip(factors.chunks(LANES)).map(|(packed, own)| *packed * packed_challenges(own)).sum()
    }
}

/// One pack, zeros behind the last.
fn packed_elements(values: &[Element]) -> PackedElement {
    match values.len() {
        LANES => *PackedElement::from_slice(values),
        _ => PackedElement::from_fn(|lane| values.get(lane).copied().unwrap_or(Element::ZERO)),
    }
}

fn packed_challenges(values: &[Challenge]) -> Packed {
    match values.len() {
        LANES => Packed::from_ext_slice(values),
        _ => Packed::from_ext_fn(|lane| values.get(lane).copied().unwrap_or(Challenge::ZERO)),
    }
}

fn add(sums: &mut [Challenge], packed: &[Packed]) {
    sums.iter_mut().zip(unpack(packed)).for_each(|(sum, value)| *sum += value);
}

impl Map {
    /// Adds `Σ weights[to]·factor[index]` to `pulled[from]` over all `(to, from, index)`, for one record.
    pub(crate) fn fold<F: Factor>(&self, weights: &[Challenge], factors: &[F], pulled: &mut [Challenge]) {
        match self {
            Self::Linear { weight, .. } => {
                let [channels, depth] = *weight.shape().axes() else { unreachable!("checked") };
                let rows = weights.chunks_exact(channels).zip(pulled.chunks_exact_mut(depth));
                for (weights, pulled) in rows {
                    let mut sums = vec![Packed::ZERO; depth.div_ceil(LANES)];
                    for (weight, factors) in weights.iter().zip(factors.chunks_exact(depth)) {
                        F::row(&mut sums, *weight, factors);
                    }
                    add(pulled, &sums);
                }
            }
            Self::Convolution { weight, groups, taps } => {
                let axes = weight.shape().axes();
                let shape = ConvolutionShape::new(axes, *groups, taps);
                let packed = shape.packed_weights(weights);
                for group in 0..*groups {
                    for input in 0..shape.inputs {
                        let from = (group * shape.inputs + input) * taps.inputs;
                        for (tap, hits) in taps.by_tap.iter().enumerate() {
                            let mut sums = vec![Packed::ZERO; shape.chunks];
                            for channel in shape.channels_of(group) {
                                let factor = factors[shape.index(channel, input, tap)];
                                for (sum, weight) in sums.iter_mut().zip(&packed[channel * shape.chunks..]) {
                                    *sum += factor.times(*weight);
                                }
                            }
                            let sums = unpack(&sums);
                            for (output, under) in hits {
                                pulled[from + *under as usize] += sums[*output as usize];
                            }
                        }
                    }
                }
            }
            Self::Moves(_) => unreachable!("moves have no weights"),
        }
    }

    /// Adds `Σ weights[to]·operand[from]` to `met[index]` over all `(to, from, index)`, for one record.
    pub(crate) fn meet<F: Factor>(&self, weights: &[Challenge], operand: &[F], met: &mut [Challenge]) {
        match self {
            Self::Linear { weight, .. } => {
                let [channels, depth] = *weight.shape().axes() else { unreachable!("checked") };
                let rows = weights.chunks_exact(channels).zip(operand.chunks_exact(depth));
                for (weights, operand) in rows {
                    for (weight, met) in weights.iter().zip(met.chunks_exact_mut(depth)) {
                        let mut sums = vec![Packed::ZERO; depth.div_ceil(LANES)];
                        F::row(&mut sums, *weight, operand);
                        add(met, &sums);
                    }
                }
            }
            Self::Convolution { weight, groups, taps } => {
                let shape = ConvolutionShape::new(weight.shape().axes(), *groups, taps);
                let packed = shape.packed_weights(weights);
                let mut under = vec![F::ZERO; shape.chunks * LANES];
                for group in 0..*groups {
                    for input in 0..shape.inputs {
                        let from = &operand[(group * shape.inputs + input) * taps.inputs..];
                        for (tap, hits) in taps.by_tap.iter().enumerate() {
                            under.fill(F::ZERO);
                            hits.iter()
                                .for_each(|(output, input)| under[*output as usize] = from[*input as usize]);
                            for channel in shape.channels_of(group) {
                                let weights = &packed[channel * shape.chunks..][..shape.chunks];
                                met[shape.index(channel, input, tap)] += total(F::inner(weights, &under));
                            }
                        }
                    }
                }
            }
            Self::Moves(_) => unreachable!("moves have no weights"),
        }
    }
}

/// What the loops over a convolution need.
struct ConvolutionShape {
    /// Channels of a group's results.
    channels: usize,
    /// Channels of a group's operands.
    inputs: usize,
    taps: usize,
    outputs: usize,
    /// Packs of one channel's outputs.
    chunks: usize,
}

impl ConvolutionShape {
    fn new(axes: &[usize], groups: usize, taps: &Taps) -> Self {
        let (channels, inputs, outputs) = (axes[0] / groups, axes[1], taps.outputs);
        Self { channels, inputs, taps: taps.by_tap.len(), outputs, chunks: outputs.div_ceil(LANES) }
    }

    fn channels_of(&self, group: usize) -> std::ops::Range<usize> {
        group * self.channels..(group + 1) * self.channels
    }

    fn index(&self, channel: usize, input: usize, tap: usize) -> usize {
        (channel * self.inputs + input) * self.taps + tap
    }

    /// Each channel's weights, from a pack of its own on.
    fn packed_weights(&self, weights: &[Challenge]) -> Vec<Packed> {
        weights
            .chunks_exact(self.outputs)
            .flat_map(|channel| channel.chunks(LANES).map(packed_challenges))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng as _;
    use sealgrid_graph::integer::Window;
    use sealgrid_graph::tensor::{Data, Shape, Tensor};

    use super::*;
    use crate::field::random;

    fn weight(axes: &[usize]) -> Tensor {
        let count: usize = axes.iter().product();
        let elements = (0..count).map(|i| i8::try_from(i * 37 % 127).expect("small") - 60).collect();
        Tensor::new(Shape::new(axes).expect("small"), Data::I8(elements)).expect("filled")
    }

    #[test]
    fn folding_many_at_once_is_folding_one_by_one() {
        let mut rng = ChaCha20Rng::from_seed([3; 32]);
        let window = |kernel: [usize; 2], strides: [usize; 2], pads: [usize; 2]| Window {
            kernel: kernel.to_vec(),
            strides: strides.to_vec(),
            dilations: vec![1, 1],
            pads_before: pads.to_vec(),
            pads_after: pads.to_vec(),
        };
        let convolution = |axes: &[usize], groups, window: &Window, from: &[usize], to: &[usize]| {
            Map::Convolution { weight: weight(axes), groups, taps: Taps::new(window, from, to) }
        };
        // Map, results and operands of a record, weights.
        let cases = [
            (Map::Linear { rows: 3, weight: weight(&[5, 13]) }, 15, 39, 65),
            (Map::Linear { rows: 1, weight: weight(&[2, 16]) }, 2, 16, 32),
            (convolution(&[4, 3, 3, 3], 1, &window([3, 3], [1, 1], [1, 1]), &[5, 5], &[5, 5]), 100, 75, 108),
            (convolution(&[4, 1, 2, 3], 2, &window([2, 3], [2, 1], [0, 1]), &[6, 4], &[3, 4]), 48, 48, 24),
        ];
        for (map, results, operands, weights) in cases {
            let challenges =
                |rng: &mut ChaCha20Rng, count| (0..count).map(|_| random(rng)).collect::<Vec<Challenge>>();
            let by = challenges(&mut rng, results);
            let wide = challenges(&mut rng, weights);
            let elements: Vec<Element> = (0..weights).map(|i| Element::from_usize(i * i + 7)).collect();
            let operand: Vec<Element> = (0..operands).map(|i| Element::from_usize(i * 31 + 1)).collect();
            let (mut expected, mut expected_wide) =
                (vec![Challenge::ONE; operands], vec![Challenge::ONE; operands]);
            let mut expected_met = vec![Challenge::ONE; weights];
            map.each_index(|to, from, index| {
                expected[from] += by[to] * elements[index];
                expected_wide[from] += by[to] * wide[index];
                expected_met[index] += by[to] * operand[from];
            });
            let (mut pulled, mut pulled_wide) =
                (vec![Challenge::ONE; operands], vec![Challenge::ONE; operands]);
            let mut met = vec![Challenge::ONE; weights];
            map.fold(&by, &elements, &mut pulled);
            map.fold(&by, &wide, &mut pulled_wide);
            map.meet(&by, &operand, &mut met);
            let mut met_wide = vec![Challenge::ONE; weights];
            let operand: Vec<Challenge> = operand.into_iter().map(Challenge::from).collect();
            map.meet(&by, &operand, &mut met_wide);
            assert!(pulled == expected && pulled_wide == expected_wide);
            assert!(met == expected_met && met_wide == expected_met);
        }
    }
}
