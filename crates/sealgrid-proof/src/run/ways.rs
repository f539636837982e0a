//! Trees that nobody tells. Of each tree a record goes a way of as many steps as the registration says that the deepest has: at each it stands at a
//! position, which is a node or a leaf, and the next one is looked up in a table of the registered parameters.
//!
//! ```text
//! (position, key, demand, next)    two rows a node: (node, 2·feature + 1, threshold, left), (node, 2·feature, −threshold − 1, right)
//!                                  and one a leaf, at which a record stays: (leaf, 2·features, 0, leaf)
//! (record, key, value)             two rows a feature: −x under 2·feature + 1, x under 2·feature; and 0 under 2·features
//! (leaf, number of each output)
//! ```
//!
//! A record is on the left of a node where `threshold − x` is not negative, and on the right where `x − threshold − 1` is not: of either side that is
//! `demand + value`, a linear form, so nothing is multiplied. Of two integers of which one is minus the other less one, exactly one is not negative, so
//! there is one way, and it is the reference's. Behind the last step stands a leaf, or it would be in no row of the last table.
//!
//! Nodes are positions from 0 on, leaves `−1 − leaf`, as children name them. That the registered parameters are trees, that children lie behind
//! their parents, and how far the leaves of all trees add up, a registration shows ([`crate::registration`]).

use std::sync::Arc;

use p3_field::PrimeCharacteristicRing as _;
use sealgrid_graph::integer::{Operation, ParameterId, Requantise};
use sealgrid_graph::range::Interval;
use sealgrid_graph::tensor::Tensor;

use super::stage::Summed;
use super::tables::{Forms, Rows};
use super::walk::{Builder, Joined, Value, refused};
use super::wide::{Numbers, Of, is_equal, weighed};
use super::{Column, NotProvable, TOO_LARGE};
use crate::commit::VARIABLES_MAX;
use crate::field::Element;
use crate::form::{Columns, Form};
use crate::lookups::Looked;
use crate::maps::{Known, Moved, Plus, Sparse, Strided, narrow, signed};
use crate::registration::ROWS_MAX;

/// An ensemble of which everybody knows how large it is.
pub(super) struct Forest {
    ids: [ParameterId; 4],
    trees: usize,
    nodes: usize,
    leaves: usize,
    outputs: usize,
    features: usize,
}

impl Forest {
    /// Roots, nodes, leaves, base, of which the shapes alone are looked at.
    pub(super) fn new(ids: [ParameterId; 4], parameters: &[Tensor], features: usize) -> Self {
        let [roots, nodes, leaves, base] = ids.map(|id| parameters[id.0 as usize].shape());
        let [trees, outputs] = [roots.count() - 1, base.count()];
        Self { ids, trees, nodes: nodes.axes()[0], leaves: leaves.axes()[0], outputs, features }
    }

    /// The key under which every record has zero.
    fn nothing(&self) -> usize {
        2 * self.features
    }
}

/// Where the registered parameters of an ensemble begin among the places.
#[derive(Clone, Copy)]
struct Held {
    nodes: usize,
    leaves: usize,
    of_nodes: usize,
    of_leaves: usize,
    outputs: usize,
    nothing: usize,
}

/// A step away from a position.
#[derive(Clone, Copy, Default)]
struct Step {
    next: i64,
    key: i64,
    value: i64,
}

impl Held {
    fn node(&self, places: &[Element], position: i64) -> Option<[i64; 4]> {
        let node = usize::try_from(position).ok().filter(|node| *node < self.of_nodes)?;
        let row = &places[self.nodes + 4 * node..][..4];
        Some([0, 1, 2, 3].map(|at| signed(row[at])))
    }

    /// The step that an honest run takes; nothing in particular from where there is none.
    fn step(&self, places: &[Element], position: i64, x: &[i64]) -> Step {
        let Some([feature, threshold, left, right]) = self.node(places, position) else {
            let nothing = i64::try_from(self.nothing).unwrap_or_default();
            return Step { next: position, key: nothing, ..Step::default() };
        };
        let x = usize::try_from(feature).ok().and_then(|feature| x.get(feature)).copied().unwrap_or_default();
        match x <= threshold {
            true => Step { next: left, key: 2 * feature + 1, value: -x },
            false => Step { next: right, key: 2 * feature, value: x },
        }
    }

    /// What a node demands on the side that a key names.
    fn demand(&self, places: &[Element], position: i64, key: i64) -> i64 {
        let demand = |[_, threshold, ..]: [i64; 4]| if key & 1 == 1 { threshold } else { -threshold - 1 };
        self.node(places, position).map_or(0, demand)
    }

    /// A leaf's number for an output.
    fn leaf(&self, places: &[Element], position: i64, output: usize) -> i64 {
        let leaf = usize::try_from(-1 - position).ok().filter(|leaf| *leaf < self.of_leaves);
        leaf.map_or(0, |leaf| signed(places[self.leaves + leaf * self.outputs + output]))
    }
}

impl Builder<'_> {
    /// An ensemble of registered parameters.
    pub(super) fn hidden_trees(
        &mut self,
        index: usize,
        operation: &Operation,
        operand: &Value,
        forest: &Forest,
        requantise: &Requantise,
    ) -> Result<Value, NotProvable> {
        let refuse = |why| refused(index, operation, why);
        let private = self.private.as_ref().expect("registered parameters");
        let told = private.registration.trees[self.ensembles];
        let [_, most_of_nodes, _, most_of_base] =
            forest.ids.map(|id| private.registration.magnitudes[id.0 as usize]);
        let [roots, nodes, leaves, base] = forest.ids.map(|id| private.start(id));
        self.ensembles += 1;
        let base: Arc<dyn Form> = Arc::new(Columns::one(base, forest.outputs));
        let reach = told.sum.checked_add(most_of_base).and_then(|reach| i32::try_from(reach).ok());
        let reach = reach.ok_or_else(|| refuse("what its leaves add up to may leave int32"))?;
        let bounds = Interval { low: (-reach).into(), high: reach.into() };
        let mut form = base;
        if forest.trees > 0 {
            let steps = usize::try_from(told.depth).ok().and_then(|depth| depth.checked_mul(forest.trees));
            let steps = steps.and_then(|steps| steps.checked_mul(self.records * (5 + forest.outputs)));
            let rows = forest.nodes.max(forest.leaves * forest.outputs);
            if steps.is_none_or(|steps| steps > 1 << VARIABLES_MAX) || rows > ROWS_MAX {
                return Err(refuse(TOO_LARGE));
            }
            let held = Held {
                nodes,
                leaves,
                of_nodes: forest.nodes,
                of_leaves: forest.leaves,
                outputs: forest.outputs,
                nothing: forest.nothing(),
            };
            let ends = self
                .way(operand, forest, (held, roots), told.depth as usize, most_of_nodes.cast_signed())
                .ok_or_else(|| refuse("its features have too wide a range"))?;
            form = Arc::new(Plus(vec![form, self.reached(&ends, forest, held)]));
        }
        let bounds = Some(vec![bounds; forest.outputs]);
        let sum = Summed { form, bounds, is_committed: true, parts: Vec::new() };
        self.stage(index, operation, sum, requantise, |_| 0)
    }

    /// The ways through all trees; yields where they end.
    fn way(
        &mut self,
        operand: &Value,
        forest: &Forest,
        (held, roots): (Held, usize),
        depth: usize,
        threshold: i64,
    ) -> Option<Columns> {
        let (trees, steps) = (forest.trees, forest.trees * depth);
        // What is demanded, of either side, by any threshold of any feature.
        let Interval { low, high } = operand.range;
        let most = low.abs().max(high.abs()).checked_add(threshold)?.checked_add(1)?;
        let left = Interval { low: 0, high: (1i64.checked_shl(most.ilog2() + 1)?).checked_sub(1)? };
        if !is_equal([(-most).into(), most.into()], [0, left.high.into()]) {
            return None;
        }
        // A step's columns stand behind each other: where it leads, its keys, the features' numbers.
        let start = self.column(3 * steps);
        let starts = |step: usize| -> Arc<dyn Form> {
            match step.checked_sub(1) {
                None => Arc::new(Columns::one(roots, trees)),
                Some(last) => Arc::new(Columns::one(start + 3 * trees * last, trees)),
            }
        };
        let of_steps = |which: usize| -> Arc<dyn Form> {
            let of = |step: usize| -> Arc<dyn Form> {
                Arc::new(Columns::one(start + (3 * step + which) * trees, trees))
            };
            Arc::new(Joined((0..depth).map(of).collect()))
        };
        for step in 0..depth {
            let (from, features) = (starts(step), Arc::clone(&operand.form));
            let numbers: Numbers = Box::new(move |values| {
                let (places, x) = (values.places(), values.integers(&features));
                let positions = values.integers(&from).into_iter();
                let steps: Vec<Step> = positions.map(|position| held.step(places, position, &x)).collect();
                let of = |number: fn(&Step) -> i64| steps.iter().map(number);
                of(|step| step.next).chain(of(|step| step.key)).chain(of(|step| step.value)).collect()
            });
            self.columns.push(Column::Numbers { start: start + 3 * trees * step, numbers });
        }
        let (from, next): (Arc<dyn Form>, _) =
            (Arc::new(Joined((0..depth).map(starts).collect())), of_steps(0));
        let (keys, values) = (of_steps(1), of_steps(2));
        // What is left of each demand: not negative, and the demand is what it is without the feature's number.
        let numbers: Numbers = {
            let (from, keys, values) = (Arc::clone(&from), Arc::clone(&keys), Arc::clone(&values));
            Box::new(move |of| {
                let [from, keys, values] = [&from, &keys, &values].map(|form| of.integers(form));
                let left = |at: usize| held.demand(of.places(), from[at], keys[at]) + values[at];
                (0..from.len()).map(left).collect()
            })
        };
        let left = self.limbs_of(Of::Numbers(numbers), left, steps).form();
        let demands = weighed(steps, 0, [(left, 1), (Arc::clone(&values), -1)].into_iter());
        let nodes = self.nodes(forest, held.nodes);
        self.looked.push(Looked { table: nodes, tuple: vec![from, Arc::clone(&keys), demands, next] });
        let features = self.features(forest, operand);
        let record = self.record(steps);
        self.looked.push(Looked { table: features, tuple: vec![record, keys, values] });
        Some(Columns::one(start + 3 * trees * (depth - 1), trees))
    }

    /// The table of nodes, at whose leaves a record stays.
    fn nodes(&mut self, forest: &Forest, start: usize) -> usize {
        let (of_nodes, of_leaves) = (forest.nodes, forest.leaves);
        let leaves = || (0..of_leaves).map(|leaf| -1 - i64::from(narrow(leaf)));
        let positions = (0..of_nodes).flat_map(|node| [i64::from(narrow(node)); 2]).chain(leaves());
        let positions = positions.map(|position| i32::try_from(position).expect("at most 2^24")).collect();
        let operand: Arc<dyn Form> = Arc::new(Columns::one(start, 4 * of_nodes));
        // Of each side of a node: a constant, which of its four numbers, and how often.
        let column = |sides: [(i32, usize, i32); 2], of_leaf: &mut dyn Iterator<Item = i64>| {
            let constants = (0..of_nodes).flat_map(|_| sides.map(|(constant, ..)| i64::from(constant)));
            let constants = constants.chain(of_leaf).map(Element::from_i64).collect();
            let terms = (0..of_nodes).flat_map(|node| {
                [0, 1].map(|side| {
                    let (_, number, factor) = sides[side];
                    (narrow(2 * node + side), narrow(4 * node + number), Element::from_i32(factor))
                })
            });
            let operand = Arc::clone(&operand);
            let form: Arc<dyn Form> =
                Arc::new(Sparse { operand, lines: 1, constants, terms: terms.collect() });
            form
        };
        let repeated = |number: usize| std::iter::repeat_n(i64::from(narrow(number)), of_leaves);
        let keys = column([(1, 0, 2), (0, 0, 2)], &mut repeated(forest.nothing()));
        let demands = column([(0, 1, 1), (-1, 1, -1)], &mut repeated(0));
        let next = column([(0, 2, 1), (0, 3, 1)], &mut leaves());
        self.table(Rows::Shared(Forms(vec![Arc::new(Known(positions)), keys, demands, next])))
    }

    /// The table of a record's features.
    fn features(&mut self, forest: &Forest, operand: &Value) -> usize {
        let count = forest.nothing() + 1;
        let record = self.record(count);
        let keys = (0..count).map(|key| i32::try_from(key).expect("at most 2^29")).collect();
        let term = |feature: usize| {
            [(2 * feature + 1, Element::NEG_ONE), (2 * feature, Element::ONE)]
                .map(|(key, factor)| (narrow(key), narrow(feature), factor))
        };
        let values = Sparse {
            operand: Arc::clone(&operand.form),
            lines: 1,
            constants: vec![Element::ZERO; count],
            terms: (0..forest.features).flat_map(term).collect(),
        };
        let multiplicities = self.column(count);
        let columns: Vec<Arc<dyn Form>> = vec![record, Arc::new(Known(keys)), Arc::new(values)];
        self.table(Rows::Own(Forms(columns), multiplicities))
    }

    /// The record's number, as often as it is asked for.
    fn record(&self, count: usize) -> Arc<dyn Form> {
        let operand: Arc<dyn Form> = Arc::new(Columns::one(self.number, 1));
        Arc::new(Moved { operand, from: vec![Some(0); count], constant: 0 })
    }

    /// What the leaves that are reached add up to.
    fn reached(&mut self, ends: &Columns, forest: &Forest, held: Held) -> Arc<dyn Form> {
        let (trees, outputs) = (forest.trees, forest.outputs);
        let start = self.column(trees * outputs);
        let numbers: Numbers = {
            let ends: Arc<dyn Form> = Arc::new(ends.clone());
            Box::new(move |of| {
                let ends: Vec<i64> = of.integers(&ends);
                let of_output = |output| ends.iter().map(move |end| held.leaf(of.places(), *end, output));
                (0..outputs).flat_map(of_output).collect()
            })
        };
        self.columns.push(Column::Numbers { start, numbers });
        let leaves = (0..forest.leaves).map(|leaf| -1 - i32::try_from(leaf).expect("at most 2^24"));
        let mut columns: Vec<Arc<dyn Form>> = vec![Arc::new(Known(leaves.collect()))];
        let mut tuple: Vec<Arc<dyn Form>> = vec![Arc::new(ends.clone())];
        for output in 0..outputs {
            let first = held.leaves + output;
            columns.push(Arc::new(Strided { first, step: outputs, count: forest.leaves }));
            tuple.push(Arc::new(Columns::one(start + output * trees, trees)));
        }
        let table = self.table(Rows::Shared(Forms(columns)));
        self.looked.push(Looked { table, tuple });
        let term = |at: usize| (narrow(at / trees), narrow(at), Element::ONE);
        Arc::new(Sparse {
            operand: Arc::new(Columns::one(start, trees * outputs)),
            lines: 1,
            constants: vec![Element::ZERO; outputs],
            terms: (0..trees * outputs).map(term).collect(),
        })
    }
}
