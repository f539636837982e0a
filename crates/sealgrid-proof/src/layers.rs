//! Sums over private weights. They are never committed: what a proof says of them is, in the end, one number `Σ e·sum` for public `e`, and
//! that is an inner product of the parameters with what the operands contribute to each of them.

use std::rc::Rc;
use std::sync::Arc;

use p3_field::PrimeCharacteristicRing as _;
use sealgrid_graph::range::Interval;

use crate::field::{Challenge, Element, LANES, Packed, integer, unpack};
use crate::folding::Factor;
use crate::form::{Form, Pulling, Values};
use crate::maps::{Map, Taps};
use crate::order::Block;

/// One operation: `sum[to] = added[entry[to]] + Σ operand[from] · weight[index]` for the `(to, from, index)` of its map, in each record.
pub(crate) struct Layer {
    /// Nothing where a parameter is taken as it is.
    pub(crate) weighted: Option<Weighted>,
    /// Where the parameter stands that is added, a matrix of one row; empty where none is.
    pub(crate) added: Vec<Block>,
    /// Which of its elements is added to each sum.
    pub(crate) entries: Vec<u32>,
    /// Where its sums begin among all sums.
    pub(crate) sums: usize,
}

/// An operand and the weights that meet it.
pub(crate) struct Weighted {
    /// Made of what is committed alone.
    pub(crate) operand: Arc<dyn Form>,
    pub(crate) meets: Meets,
    /// Where the weights stand, a matrix with a row for each output.
    pub(crate) blocks: Vec<Block>,
}

/// How an operand meets a matrix of weights.
pub(crate) enum Meets {
    /// So many lines of it, each the whole matrix: no weight is looked at.
    Lines(usize),
    /// A convolution.
    Taps(Map),
}

impl Layer {
    /// Sums of a record.
    pub(crate) fn each(&self) -> usize {
        self.entries.len()
    }

    /// Elements of the parameter that is added.
    fn added_count(&self) -> usize {
        self.added.iter().map(|block| block.columns.len()).sum()
    }

    /// The operand's elements, of places among which they stand.
    pub(crate) fn operand(&self, of: Values<'_>) -> Rc<[Element]> {
        self.weighted.as_ref().map_or_else(|| Rc::from([]), |weighted| of.of(&weighted.operand))
    }

    /// The sums, of places among which the operand stands; `parameters` are all that are registered.
    pub(crate) fn values(&self, of: Values<'_>, parameters: &[i32]) -> Vec<Element> {
        // Modulo p in the end: what an honest run yields is far below 2^63.
        let mut sums = match &self.weighted {
            Some(weighted) => weighted.sums(self.each(), of, parameters),
            None => vec![0; self.each()],
        };
        if !self.added.is_empty() {
            let added = natural(&self.added, self.added_count(), |place| i64::from(parameters[place]));
            for (sum, entry) in sums.iter_mut().zip(&self.entries) {
                *sum = sum.wrapping_add(added[*entry as usize]);
            }
        }
        sums.into_iter().map(integer).collect()
    }

    /// Adds to each parameter what meets it in `Σ weights·sum`, the operand's elements being known or folded over records; the records' weights
    /// add up to `all`.
    pub(crate) fn contribute<F: Factor>(
        &self,
        weights: &[Challenge],
        operand: &[F],
        all: Challenge,
        parameters: &mut [Challenge],
    ) {
        let weights = &weights[self.sums..][..self.each()];
        if let Some(weighted) = &self.weighted {
            weighted.meet(weights, operand, parameters);
        }
        if self.added.is_empty() {
            return;
        }
        let mut entries = vec![Challenge::ZERO; self.added_count()];
        for (weight, entry) in weights.iter().zip(&self.entries) {
            entries[*entry as usize] += *weight;
        }
        for block in &self.added {
            let to = parameters[block.first..].iter_mut().zip(&entries[block.columns.clone()]);
            to.for_each(|(to, entry)| *to += all * *entry);
        }
    }

    /// The form that it weighs.
    pub(crate) fn form(&self) -> Option<&Arc<dyn Form>> {
        self.weighted.as_ref().map(|weighted| &weighted.operand)
    }

    /// [`Form::pull`] of `Σ weights·sum` where each parameter is `eq(point, place)`.
    pub(crate) fn pull(&self, weights: &[Challenge], point: &[Challenge], to: &mut Pulling<'_>) -> Challenge {
        let weights = &weights[self.sums..][..self.each()];
        let mut added = vec![Challenge::ZERO; self.added_count()];
        for block in &self.added {
            let [row, columns] = block.equality(point);
            let to = added[block.columns.clone()].iter_mut().zip(columns);
            to.for_each(|(to, column)| *to = row[0] * column);
        }
        let mut known = Challenge::ZERO;
        if !added.is_empty() {
            let entries = weights.iter().zip(&self.entries);
            known = entries.map(|(weight, entry)| *weight * added[*entry as usize]).sum();
        }
        if let Some(weighted) = &self.weighted {
            weighted.pull(weights, point, to.of(&weighted.operand));
        }
        known
    }
}

/// A matrix of so many columns in its own order.
fn natural(blocks: &[Block], columns: usize, mut at: impl FnMut(usize) -> i64) -> Vec<i64> {
    let mut elements = vec![0; blocks.iter().map(|block| block.rows.len() * block.columns.len()).sum()];
    for block in blocks {
        for row in block.rows.clone() {
            for (at_column, column) in block.columns.clone().enumerate() {
                elements[row * columns + column] = at(block.row(row) + at_column);
            }
        }
    }
    elements
}

impl Weighted {
    /// Columns of the matrix of weights.
    fn depth(&self) -> usize {
        self.blocks.iter().map(|block| block.columns.end).max().unwrap_or(0)
    }

    fn sums(&self, each: usize, of: Values<'_>, parameters: &[i32]) -> Vec<i64> {
        let operand = of.integers(&self.operand);
        let (mut sums, depth) = (vec![0i64; each], self.depth());
        match &self.meets {
            Meets::Lines(rows) => {
                let lines = sums.chunks_exact_mut(each / rows).zip(operand.chunks_exact(depth));
                for (sums, operand) in lines {
                    for block in &self.blocks {
                        for row in block.rows.clone() {
                            let weights = &parameters[block.row(row)..];
                            let terms = operand[block.columns.clone()].iter().zip(weights);
                            let sum = terms.fold(0i64, |sum, (operand, weight)| {
                                sum.wrapping_add(operand.wrapping_mul(i64::from(*weight)))
                            });
                            sums[row] = sums[row].wrapping_add(sum);
                        }
                    }
                }
            }
            Meets::Taps(map) => {
                let weights = natural(&self.blocks, depth, |place| i64::from(parameters[place]));
                map.each_index(|to, from, index| {
                    sums[to] = sums[to].wrapping_add(operand[from].wrapping_mul(weights[index]));
                });
            }
        }
        sums
    }

    /// Adds `Σ weights[to]·operand[from]` to what meets each weight.
    fn meet<F: Factor>(&self, weights: &[Challenge], operand: &[F], parameters: &mut [Challenge]) {
        let depth = self.depth();
        let map = match &self.meets {
            Meets::Taps(map) => map,
            Meets::Lines(rows) => return self.meet_lines(*rows, weights, operand, parameters),
        };
        let count = self.blocks.iter().map(|block| block.rows.len() * block.columns.len()).sum();
        let mut met = vec![Challenge::ZERO; count];
        map.meet(weights, operand, &mut met);
        for block in &self.blocks {
            for row in block.rows.clone() {
                let to = parameters[block.row(row)..].iter_mut();
                to.zip(&met[row * depth..][block.columns.clone()]).for_each(|(to, met)| *to += *met);
            }
        }
    }

    fn meet_lines<F: Factor>(
        &self,
        rows: usize,
        weights: &[Challenge],
        operand: &[F],
        parameters: &mut [Challenge],
    ) {
        let (depth, channels) = (self.depth(), weights.len() / rows);
        for block in &self.blocks {
            for row in block.rows.clone() {
                let mut sums = vec![Packed::ZERO; block.columns.len().div_ceil(LANES)];
                for line in 0..rows {
                    let operand = &operand[line * depth..][block.columns.clone()];
                    F::row(&mut sums, weights[line * channels + row], operand);
                }
                let to = parameters[block.row(row)..][..block.columns.len()].iter_mut();
                to.zip(unpack(&sums)).for_each(|(to, sum)| *to += sum);
            }
        }
    }

    /// Adds `Σ weights[to]·eq(point, place of the weight)` to each element of the operand. A block's weights are products, so its rows are folded before its
    /// columns are gone through: in time linear in rows and columns, not in weights.
    fn pull(&self, weights: &[Challenge], point: &[Challenge], pulled: &mut [Challenge]) {
        let depth = self.depth();
        for block in &self.blocks {
            let [of_rows, of_columns] = block.equality(point);
            match &self.meets {
                Meets::Lines(rows) => {
                    let lines =
                        weights.chunks_exact(weights.len() / rows).zip(pulled.chunks_exact_mut(depth));
                    for (weights, pulled) in lines {
                        let own = weights[block.rows.clone()].iter().zip(&of_rows);
                        let sum: Challenge = own.map(|(weight, of_row)| *weight * *of_row).sum();
                        let to = pulled[block.columns.clone()].iter_mut().zip(&of_columns);
                        to.for_each(|(to, of_column)| *to += sum * *of_column);
                    }
                }
                Meets::Taps(Map::Convolution { weight, groups, taps }) => {
                    let (channels, inputs) = (weight.shape().axes()[0] / groups, weight.shape().axes()[1]);
                    for group in 0..*groups {
                        let own = block.rows.start.max(group * channels)
                            ..block.rows.end.min((group + 1) * channels);
                        if own.is_empty() {
                            continue;
                        }
                        let mut folded = vec![Packed::ZERO; taps.outputs.div_ceil(LANES)];
                        for row in own {
                            let by = of_rows[row - block.rows.start];
                            Challenge::row(&mut folded, by, &weights[row * taps.outputs..][..taps.outputs]);
                        }
                        let columns = block.columns.clone().zip(&of_columns);
                        spread(&folded, columns, &mut pulled[group * inputs * taps.inputs..], taps);
                    }
                }
                Meets::Taps(_) => unreachable!("a convolution"),
            }
        }
    }
}

/// Adds to the inputs of a group what is under each tap, the outputs weighing `folded`, the taps of all inputs their `columns`' weights.
fn spread<'c>(
    folded: &[Packed],
    columns: impl Iterator<Item = (usize, &'c Challenge)>,
    pulled: &mut [Challenge],
    taps: &Taps,
) {
    for (column, of_column) in columns {
        let (input, tap) = (column / taps.by_tap.len(), column % taps.by_tap.len());
        let scaled: Vec<Packed> = folded.iter().map(|folded| *folded * *of_column).collect();
        let scaled = unpack(&scaled);
        for (output, under) in &taps.by_tap[tap] {
            pulled[input * taps.inputs + *under as usize] += scaled[*output as usize];
        }
    }
}

/// Where a sum of products lies, and what is added to it; `None` when it may leave 32 bits.
pub(crate) fn reach(operand: Interval, sums: u64, added: u64) -> Option<Interval> {
    let most = operand.low.unsigned_abs().max(operand.high.unsigned_abs());
    let reach = most.checked_mul(sums)?.checked_add(added)?;
    let reach = i32::try_from(reach).ok()?;
    Some(Interval { low: -i64::from(reach), high: reach.into() })
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng as _;
    use sealgrid_graph::arbitrary;
    use sealgrid_graph::integer::{Graph, Primitive};

    use super::*;
    use crate::field::{equality, random};
    use crate::form::{Columns, Memo};
    use crate::maps::signed;
    use crate::order::Order;

    /// The layers of a graph, each about an operand that stands at the beginning of a content, and its map.
    fn layers(graph: &Graph) -> Vec<(Layer, Map)> {
        let order = Order::of(graph);
        let of = |operation: &sealgrid_graph::integer::Operation| {
            let (weight, bias) = match &operation.primitive {
                Primitive::Linear { weight, bias, .. } | Primitive::Convolution { weight, bias, .. } => {
                    (*weight, *bias)
                }
                _ => return None,
            };
            let operand = &graph.value_type(operation.operands[0]).shape;
            let (from, to) = (operand.axes(), operation.output.shape.axes());
            let (tensor, each) =
                (graph.parameters()[weight.0 as usize].clone(), operation.output.shape.count());
            let channels = tensor.shape().axes()[0];
            let (map, entries) = match &operation.primitive {
                Primitive::Convolution { window, groups, .. } => {
                    let taps = Taps::new(window, &from[2..], &to[2..]);
                    let spatial = each / channels;
                    (
                        Map::Convolution { weight: tensor, groups: *groups, taps },
                        (0..each).map(|at| at / spatial).collect::<Vec<_>>(),
                    )
                }
                _ => (
                    Map::Linear { rows: each / channels, weight: tensor },
                    (0..each).map(|at| at % channels).collect(),
                ),
            };
            let blocks = order.blocks(weight.0).to_vec();
            let meets = match &map {
                Map::Linear { rows, .. } => Meets::Lines(*rows),
                map => Meets::Taps(map.clone()),
            };
            let weighted = Weighted { operand: Arc::new(Columns::one(0, operand.count())), meets, blocks };
            let entries = entries.into_iter().map(crate::maps::narrow).collect();
            Some((Layer { weighted: Some(weighted), added: order.line(bias.0), entries, sums: 0 }, map))
        };
        graph.operations().iter().filter_map(of).collect()
    }

    #[test]
    fn sums_and_what_meets_their_parameters_are_those_of_the_map_element_by_element() {
        let mut rng = ChaCha20Rng::from_seed([3; 32]);
        let (mut linear, mut convolutions) = (0, 0);
        for seed in 0..400 {
            let graph = arbitrary::graph(seed);
            let order = Order::of(&graph);
            let placed = order.elements(graph.parameters().iter());
            let registered: Vec<i32> =
                placed.iter().map(|it| i32::try_from(signed(*it)).expect("31 bits")).collect();
            let bits = placed.len().next_power_of_two().ilog2() as usize;
            let point: Vec<Challenge> = (0..bits).map(|_| random(&mut rng)).collect();
            let all = equality(&point);
            for (layer, map) in layers(&graph) {
                let weighted = layer.weighted.as_ref().expect("weights");
                match map {
                    Map::Linear { .. } => linear += 1,
                    _ => convolutions += 1,
                }
                let places = |blocks: &[Block]| -> Vec<usize> {
                    let depth = blocks.iter().map(|block| block.columns.end).max().unwrap_or(0);
                    let rows = blocks.iter().map(|block| block.rows.end).max().unwrap_or(0);
                    let mut places = vec![usize::MAX; depth * rows];
                    for block in blocks {
                        for row in block.rows.clone() {
                            for (at, column) in block.columns.clone().enumerate() {
                                places[row * depth + column] = block.row(row) + at;
                            }
                        }
                    }
                    places
                };
                let (weights, added) = (places(&weighted.blocks), places(&layer.added));
                let operand: Vec<Element> = (0..weighted.operand.count())
                    .map(|at| Element::from_usize(at * 37 % 255) - Element::from_u32(127))
                    .collect();
                let by: Vec<Challenge> = (0..layer.each()).map(|_| random(&mut rng)).collect();
                let mut sums = vec![Element::ZERO; layer.each()];
                let mut met = vec![Challenge::ZERO; placed.len()];
                let mut pulled = vec![Challenge::ZERO; operand.len()];
                let mut known = Challenge::ZERO;
                for (to, entry) in layer.entries.iter().enumerate() {
                    let place = added[*entry as usize];
                    sums[to] += placed[place];
                    met[place] += by[to] * Challenge::TWO;
                    known += by[to] * all[place];
                }
                map.each_index(|to, from, index| {
                    sums[to] += operand[from] * placed[weights[index]];
                    met[weights[index]] += by[to] * operand[from];
                    pulled[from] += by[to] * all[weights[index]];
                });
                assert!(layer.values(Memo::default().of(&operand), &registered) == sums, "seed {seed}");
                let mut found = vec![Challenge::ZERO; placed.len()];
                layer.contribute(&by, &operand, Challenge::TWO, &mut found);
                assert!(found == met, "seed {seed}");
                let mut found = vec![Challenge::ZERO; operand.len()];
                let mut pulling = Pulling::through(layer.form(), &mut found);
                let own = layer.pull(&by, &point, &mut pulling);
                assert_eq!(own + pulling.finish(), known, "seed {seed}");
                assert!(found == pulled, "seed {seed}");
            }
        }
        assert!(linear > 20 && convolutions > 20, "{linear}, {convolutions}");
    }
}
