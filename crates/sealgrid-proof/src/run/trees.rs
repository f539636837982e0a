//! Trees that everybody knows; those that nobody tells are walked in [`super::ways`]. One leaf of each tree is selected, `Σ b = 1`; a node is passed where one of the leaves below it is selected, on its left or
//! on its right. Of the nodes of one depth in a tree one at most is passed, so what each demands can be added up: `threshold − x` is not negative where
//! it is passed on the left, `x − threshold − 1` where it is on the right.

use std::sync::Arc;

use p3_field::PrimeCharacteristicRing as _;
use sealgrid_graph::integer::{Operation, Requantise};
use sealgrid_graph::range::Interval;
use sealgrid_graph::tensor::Tensor;

use super::stage::Summed;
use super::sums::Pairs;
use super::tables::Rows;
use super::walk::{Builder, Value, refused};
use super::wide::{Numbers, weighed};
use super::{Column, NotProvable};
use crate::field::Element;
use crate::form::{Columns, Form};
use crate::lookups::Looked;
use crate::maps::{Known, Sparse, Sum, narrow};

/// Most nodes on the ways to all leaves.
const STEPS_MAX: usize = 1 << 22;

/// The tensors of an ensemble.
pub(super) struct Ensemble<'t> {
    pub(super) roots: &'t Tensor,
    pub(super) nodes: &'t Tensor,
    pub(super) leaves: &'t Tensor,
    pub(super) base: &'t Tensor,
}

/// A place where a tree ends.
#[derive(Clone, Debug)]
struct End {
    tree: usize,
    leaf: usize,
    /// The nodes on the way, and whether it goes left there.
    way: Vec<(usize, bool)>,
}

impl Ensemble<'_> {
    fn trees(&self) -> usize {
        self.roots.shape().count() - 1
    }

    fn feature(&self, node: usize) -> usize {
        usize::try_from(self.nodes.at(4 * node)).expect("a checked graph")
    }

    fn threshold(&self, node: usize) -> i64 {
        self.nodes.at(4 * node + 1).into()
    }

    /// All ends, from left to right; `None` where branches meet again, or there are too many.
    fn ends(&self) -> Option<Vec<End>> {
        let (mut ends, mut steps) = (Vec::new(), 0);
        let mut met = vec![false; self.nodes.shape().axes()[0]];
        for tree in 0..self.trees() {
            let mut open = vec![(self.roots.at(tree), Vec::new())];
            while let Some((at, way)) = open.pop() {
                let Ok(node) = usize::try_from(at) else {
                    steps += way.len();
                    let leaf = usize::try_from(-1 - i64::from(at)).ok()?;
                    ends.push(End { tree, leaf, way });
                    continue;
                };
                if std::mem::replace(&mut met[node], true) || steps > STEPS_MAX || way.len() > 1 << 10 {
                    return None;
                }
                for (side, is_left) in [(3, false), (2, true)] {
                    open.push((self.nodes.at(4 * node + side), [&way[..], &[(node, is_left)]].concat()));
                }
            }
        }
        Some(ends)
    }
}

impl Builder<'_> {
    pub(super) fn trees(
        &mut self,
        index: usize,
        operation: &Operation,
        operand: &Value,
        ensemble: &Ensemble<'_>,
        requantise: &Requantise,
    ) -> Result<Value, NotProvable> {
        let refuse = |why| refused(index, operation, why);
        if ensemble.trees() == 0 {
            let base = (0..ensemble.base.shape().count()).map(|output| ensemble.base.at(output)).collect();
            let sum = Sum { constants: base, terms: Vec::new() };
            return self.stage(index, operation, sum, requantise, |_| 0);
        }
        let ends = ensemble.ends().ok_or_else(|| refuse("its trees are too deep, or branches meet again"))?;
        let bits = self.selected_ends(operand, ensemble, &ends);
        let one = by_ends(&bits, vec![0; ensemble.trees()], &ends, |end| vec![(end.tree, 1)]);
        self.equal.push([one, Arc::new(Known(vec![1; ensemble.trees()]))]);
        self.ways(operand, ensemble, &ends, &bits)
            .ok_or_else(|| refuse("its features have too wide a range"))?;

        let outputs = ensemble.base.shape().count();
        let value = |leaf: usize, output: usize| i64::from(ensemble.leaves.at(leaf * outputs + output));
        let base: Vec<i64> = (0..outputs).map(|output| ensemble.base.at(output).into()).collect();
        let mut bounds: Vec<Interval> =
            base.iter().map(|base| Interval { low: *base, high: *base }).collect();
        for tree in ends.chunk_by(|one, other| one.tree == other.tree) {
            for (output, bounds) in bounds.iter_mut().enumerate() {
                let values = tree.iter().map(|end| value(end.leaf, output));
                bounds.low += values.clone().min().expect("a tree has leaves");
                bounds.high += values.max().expect("a tree has leaves");
            }
        }
        let form = by_ends(&bits, base, &ends, |end| {
            (0..outputs).map(|output| (output, value(end.leaf, output))).collect()
        });
        let sum = Summed { form, bounds: Some(bounds), is_committed: true, parts: Vec::new() };
        self.stage(index, operation, sum, requantise, |_| 0)
    }

    /// A number for each end: one where the record ends, zero elsewhere.
    fn selected_ends(&mut self, operand: &Value, ensemble: &Ensemble<'_>, ends: &[End]) -> Arc<dyn Form> {
        let start = self.column(ends.len());
        let form = Arc::clone(&operand.form);
        let way = |end: &End| -> Vec<(usize, i64, bool)> {
            let step =
                |(node, left): &(usize, bool)| (ensemble.feature(*node), ensemble.threshold(*node), *left);
            end.way.iter().map(step).collect()
        };
        let ways: Vec<_> = ends.iter().map(way).collect();
        let numbers: Numbers = Box::new(move |of| {
            let values = of.integers(&form);
            let is_taken =
                |(feature, threshold, left): &(usize, i64, bool)| (values[*feature] <= *threshold) == *left;
            ways.iter().map(|way| i64::from(way.iter().all(is_taken))).collect()
        });
        self.columns.push(Column::Numbers { start, numbers });
        let bits: Arc<dyn Form> = Arc::new(Columns::one(start, ends.len()));
        let table = self.table(Rows::Range(Interval { low: 0, high: 1 }));
        self.looked.push(Looked { table, tuple: vec![Arc::clone(&bits)] });
        bits
    }

    /// That each record goes the way to the end that is selected.
    fn ways(
        &mut self,
        operand: &Value,
        ensemble: &Ensemble<'_>,
        ends: &[End],
        bits: &Arc<dyn Form>,
    ) -> Option<()> {
        // Where the nodes of a tree that are as deep as each other stand, and which stands where.
        let depths = |tree: &[End]| tree.iter().map(|end| end.way.len()).max().unwrap_or(0);
        let trees: Vec<&[End]> = ends.chunk_by(|one, other| one.tree == other.tree).collect();
        let firsts: Vec<usize> = trees
            .iter()
            .scan(0, |first, tree| {
                *first += depths(tree);
                Some(*first - depths(tree))
            })
            .collect();
        let levels = trees.last().map_or(0, |tree| firsts[firsts.len() - 1] + depths(tree));
        let mut level_of = vec![None; ensemble.nodes.shape().axes()[0]];
        for end in ends {
            for (depth, (node, _)) in end.way.iter().enumerate() {
                level_of[*node] = Some(firsts[end.tree] + depth);
            }
        }
        // Whatever lies outside of the feature's range, the comparison is the same as at its end.
        let Interval { low, high } = operand.range;
        let threshold = |node: usize| ensemble.threshold(node).clamp(low - 1, high);
        let sides = by_ends(bits, vec![0; level_of.len()], ends, |end| {
            end.way.iter().map(|(node, left)| (*node, if *left { -1 } else { 1 })).collect()
        });
        let blocks = level_of.iter().enumerate().filter_map(|(node, level)| {
            Some([narrow((*level)?), narrow(node), narrow(ensemble.feature(node))])
        });
        let pairs = Pairs::single(blocks.collect());
        let compared = self.products([sides, Arc::clone(&operand.form)], pairs, levels);
        let thresholds = by_ends(bits, vec![0; levels], ends, |end| {
            let demand = |(node, left): &(usize, bool)| {
                let demand = if *left { threshold(*node) } else { -threshold(*node) - 1 };
                (level_of[*node].expect("on a way"), demand)
            };
            end.way.iter().map(demand).collect()
        });
        let demanded = weighed(compared.count(), 0, [(compared, 1), (thresholds, 1)].into_iter());
        let most = high.checked_sub(low)?.checked_add(2)?;
        self.not_negative(&demanded, Interval { low: -most, high: most })
    }
}

/// Sums, begun with constants, of what is selected: each end adds its numbers to these places.
fn by_ends(
    bits: &Arc<dyn Form>,
    constants: Vec<i64>,
    ends: &[End],
    terms: impl Fn(&End) -> Vec<(usize, i64)>,
) -> Arc<dyn Form> {
    let terms = ends.iter().enumerate().flat_map(|(from, end)| {
        let terms = terms(end).into_iter();
        terms.map(move |(to, number)| (narrow(to), narrow(from), Element::from_i64(number)))
    });
    let constants = constants.into_iter().map(Element::from_i64).collect();
    Arc::new(Sparse { operand: Arc::clone(bits), lines: 1, constants, terms: terms.collect() })
}
