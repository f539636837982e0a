//! That registered trees are trees. Whoever proves a run walks from node to node by what is registered; that this is a walk through an ensemble as the graph
//! has it, and that its leaves do not add up to more than is told, must not rest on the owner's word:
//!
//! - roots ascend from 0 to the number of nodes: each difference is at least one;
//! - a node reads a feature that there is;
//! - each node lies in a tree: a row `(first, end, bound)` of a table of the roots is looked up, and the node is neither before the one nor behind the other;
//! - each child lies behind its parent and before the end of the tree, or is a leaf: a row `(child, least, last, magnitude)` of a table of all nodes and leaves
//!   is looked up. Of a node the two in the middle are itself, of a leaf the number of nodes and 0, which are behind every parent and before every end;
//! - a leaf's numbers do not exceed its magnitude, this not the bound of a tree whose node's child it is, and the bounds of all trees add up to no more than
//!   is told. Bounds and magnitudes are nobody's business: they stand in the content, bounds as the sums of those so far.
//!
//! All numbers of trees are within 2^29 of zero ([`super::Registration::magnitudes`]), so no difference of two reaches the field's order, and none is in a short
//! range modulo the order that is not in it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use p3_field::PrimeCharacteristicRing as _;
use sealgrid_graph::integer::{Architecture, Graph, Operation, ParameterId, Primitive};

use super::{Builder, DEPTH_MAX, Extent, Fill, MAGNITUDE_MAX, Numbers, Rows, SUM_MAX, rounded_up};
use crate::field::Element;
use crate::form::{self, Columns, Form};
use crate::maps::{Known, Plus, Sparse, narrow, signed};

/// The ensembles of a graph, in order: roots, nodes, leaves, base, and the operation.
fn ensembles(operations: &[Operation]) -> impl Iterator<Item = ([ParameterId; 4], &Operation)> {
    operations.iter().filter_map(|operation| match operation.primitive {
        Primitive::TreeEnsemble { roots, nodes, leaves, base, .. } => {
            Some(([roots, nodes, leaves, base], operation))
        }
        _ => None,
    })
}

/// Where thresholds may be cut off without changing what any trees decide: parameters that are nodes and nothing else, and the ends.
pub(super) fn thresholds(graph: &Graph) -> BTreeMap<u32, [i32; 2]> {
    let mut ends: BTreeMap<u32, [i32; 2]> = BTreeMap::new();
    let mut others: Vec<ParameterId> = Vec::new();
    for operation in graph.operations() {
        match operation.primitive {
            Primitive::TreeEnsemble { roots, nodes, leaves, base, .. } => {
                let (low, high) = graph.value_type(operation.operands[0]).dtype.bounds();
                // Features of 32 bits are no farther from zero than a registered number, or their runs are not proven.
                let most = i32::try_from(MAGNITUDE_MAX).expect("2^29");
                let [low, high] = [low.saturating_sub(1).max(-most), high.min(most)];
                let ends = ends.entry(nodes.0).or_insert([low, high]);
                *ends = [ends[0].min(low), ends[1].max(high)];
                others.extend([roots, leaves, base]);
            }
            Primitive::Constant { tensor } => others.push(tensor),
            Primitive::Linear { weight, bias, .. } | Primitive::Convolution { weight, bias, .. } => {
                others.extend([weight, bias]);
            }
            _ => {}
        }
    }
    for other in others {
        ends.remove(&other.0);
    }
    ends
}

/// Elements for the roots and nodes of an architecture with which it is a graph: each tree but the last is one node, and all children are the first leaf. `None`
/// where an ensemble cannot be one.
pub(super) fn placeholders(architecture: &Architecture) -> Option<HashMap<u32, Vec<i32>>> {
    let mut elements = HashMap::new();
    let axes = |id: ParameterId| Some(architecture.parameters.get(id.0 as usize)?.shape.axes());
    for ([roots, nodes, ..], _) in ensembles(&architecture.operations) {
        let (&[ends], &[count, 4]) = (axes(roots)?, axes(nodes)?) else { return None };
        let trees = ends.checked_sub(1)?;
        let first = (0..trees).chain([count]).map(|node| i32::try_from(node).ok());
        elements.insert(roots.0, first.collect::<Option<Vec<i32>>>()?);
        elements.insert(nodes.0, [0, 0, -1, -1].repeat(count));
    }
    Some(elements)
}

/// What is told of the ensembles of `graph`.
pub(super) fn extents(graph: &Graph) -> Vec<Extent> {
    let elements = |id: ParameterId| {
        let tensor = &graph.parameters()[id.0 as usize];
        (0..tensor.shape().count()).map(|at| tensor.at(at)).collect::<Vec<i32>>()
    };
    let extent = |([roots, nodes, leaves, base], _): ([ParameterId; 4], &Operation)| {
        let outputs = graph.parameters()[base.0 as usize].shape().count();
        let [roots, nodes, leaves] = [roots, nodes, leaves].map(elements);
        let depth = depths(&nodes);
        let depth =
            roots[..roots.len() - 1].iter().filter_map(|root| depth.get(usize::try_from(*root).ok()?));
        let sum = bounds(&roots, &nodes, &magnitudes(&leaves, outputs)).into_iter().sum::<i64>();
        Extent { depth: depth.copied().max().unwrap_or(0), sum: rounded_up(sum.unsigned_abs()) }
    };
    ensembles(graph.operations()).map(extent).collect()
}

/// Nodes on the longest way from each node, of which all children lie behind their parents.
fn depths(nodes: &[i32]) -> Vec<u32> {
    let mut depths = vec![0; nodes.len() / 4];
    for (at, node) in nodes.as_chunks::<4>().0.iter().enumerate().rev() {
        let below = node[2..].iter().filter_map(|child| depths.get(usize::try_from(*child).ok()?));
        depths[at] = 1 + below.copied().max().unwrap_or(0);
    }
    depths
}

/// Of each leaf the greatest magnitude of its numbers.
fn magnitudes(leaves: &[i32], outputs: usize) -> Vec<i64> {
    let of_leaf = |leaf: &[i32]| leaf.iter().map(|number| i64::from(*number).abs()).max().unwrap_or(0);
    leaves.chunks_exact(outputs.max(1)).map(of_leaf).collect()
}

/// Of each tree the greatest magnitude of a leaf.
fn bounds(roots: &[i32], nodes: &[i32], magnitudes: &[i64]) -> Vec<i64> {
    let of_leaf = |child: &i32| magnitudes.get(usize::try_from(-1 - i64::from(*child)).ok()?).copied();
    let (nodes, []) = nodes.as_chunks::<4>() else { return vec![0; roots.len().saturating_sub(1)] };
    let of_tree = |ends: &[i32]| {
        let [first, end] = [ends[0], ends[1]].map(|end| usize::try_from(end).unwrap_or(0));
        let children = nodes.get(first..end).unwrap_or_default().iter().flat_map(|node| &node[2..]);
        children.filter_map(of_leaf).max().unwrap_or(0)
    };
    roots.windows(2).map(of_tree).collect()
}

/// Whether extents can be those of the ensembles of `graph`, of which the parameters are not looked at.
pub(super) fn fit(extents: &[Extent], graph: &Graph) -> bool {
    let fits = |(extent, ([roots, ..], _)): (&Extent, ([ParameterId; 4], &Operation))| {
        let trees = graph.parameters()[roots.0 as usize].shape().count() - 1;
        extent.depth <= DEPTH_MAX
            && (extent.depth == 0) == (trees == 0)
            && (1..=SUM_MAX).contains(&extent.sum)
    };
    extents.len() == ensembles(graph.operations()).count()
        && extents.iter().zip(ensembles(graph.operations())).all(fits)
}

/// An ensemble: its registered parameters, and how many there are of all things.
pub(super) struct Forest {
    ids: [ParameterId; 4],
    roots: Arc<dyn Form>,
    nodes: Arc<dyn Form>,
    leaves: Arc<dyn Form>,
    trees: usize,
    of_nodes: usize,
    of_leaves: usize,
    outputs: usize,
    features: usize,
}

impl Forest {
    /// Which parameter its leaves are.
    pub(super) fn leaves_id(&self) -> usize {
        self.ids[2].0 as usize
    }

    /// Nodes or numbers of leaves, whichever are more.
    pub(super) fn rows(&self) -> usize {
        self.of_nodes.max(self.of_leaves * self.outputs)
    }
}

/// All ensembles of a graph, whose parameters are not looked at: `registered` are those that were committed to.
pub(super) fn forests(
    graph: &Graph,
    registered: impl Fn(ParameterId) -> Arc<dyn Form>,
) -> impl Iterator<Item = Forest> {
    ensembles(graph.operations()).map(move |(ids, operation)| {
        let shape = |id: ParameterId| graph.parameters()[id.0 as usize].shape();
        let [roots, nodes, leaves, base] = ids;
        Forest {
            ids,
            roots: registered(roots),
            nodes: registered(nodes),
            leaves: registered(leaves),
            trees: shape(roots).count() - 1,
            of_nodes: shape(nodes).axes()[0],
            of_leaves: shape(leaves).axes()[0],
            outputs: shape(base).count(),
            features: graph.value_type(operation.operands[0]).shape.axes()[1],
        }
    })
}

/// The integers that a form's elements stand for.
fn integers(form: &Arc<dyn Form>, content: &[Element]) -> Vec<i64> {
    form::values(form, content).iter().copied().map(signed).collect()
}

/// The same where they are those of 32 bits that registered trees are, zero elsewhere.
fn numbers(form: &Arc<dyn Form>, content: &[Element]) -> Vec<i32> {
    integers(form, content).into_iter().map(|number| i32::try_from(number).unwrap_or(0)).collect()
}

/// `constant + Σ factor·operand[from]` for each of the constants.
fn sparse(
    operand: &Arc<dyn Form>,
    constants: impl Iterator<Item = i64>,
    terms: impl Iterator<Item = (usize, usize, i32)>,
) -> Arc<dyn Form> {
    let constants = constants.map(Element::from_i64).collect();
    let terms = terms.map(|(to, from, factor)| (narrow(to), narrow(from), Element::from_i32(factor)));
    Arc::new(Sparse { operand: Arc::clone(operand), lines: 1, constants, terms: terms.collect() })
}

fn plus(forms: &[&Arc<dyn Form>]) -> Arc<dyn Form> {
    Arc::new(Plus(forms.iter().copied().map(Arc::clone).collect()))
}

fn index(number: usize) -> i64 {
    narrow(number).into()
}

impl Builder {
    /// That an ensemble is one, and reaches as far as is told.
    pub(super) fn trees(&mut self, forest: &Forest, extent: Extent, magnitude: u64) {
        let Forest { trees, of_nodes, .. } = *forest;
        let nothing =
            sparse(&forest.roots, [0, -index(of_nodes)].into_iter(), [(0, 0, 1), (1, trees, 1)].into_iter());
        self.looked.push((Rows::Range(0), vec![nothing]));
        if trees == 0 {
            return;
        }
        let below_nodes = index(of_nodes - 1).unsigned_abs();
        let steps = (0..trees).flat_map(|tree| [(tree, tree, -1), (tree, tree + 1, 1)]);
        let steps = sparse(&forest.roots, std::iter::repeat_n(-1, trees), steps);
        self.up_to(&steps, below_nodes);
        let features = |constant: i64, factor: i32| {
            let terms = (0..of_nodes).map(|node| (node, 4 * node, factor));
            sparse(&forest.nodes, std::iter::repeat_n(constant, of_nodes), terms)
        };
        // From both ends, because limbs may make a little more.
        let most = index(forest.features - 1);
        [features(0, 1), features(most, -1)].iter().for_each(|form| self.up_to(form, most.unsigned_abs()));

        let magnitudes = self.magnitudes(forest, magnitude);
        let bounds = self.bounds(forest, extent, &magnitudes);
        let [first, end, bound] = self.trees_of_nodes(forest, &bounds);
        let node = |factor: i64, constant: i64| -> Arc<dyn Form> {
            let numbers = (0..of_nodes).map(|node| factor * index(node) + constant);
            Arc::new(Known(numbers.map(|number| i32::try_from(number).expect("at most 2^24")).collect()))
        };
        let negative = |form: &Arc<dyn Form>| {
            let same = (0..form.count()).map(|at| (at, at, -1));
            sparse(form, std::iter::repeat_n(0, form.count()), same)
        };
        self.up_to(&plus(&[&node(1, 0), &negative(&first)]), below_nodes);
        self.up_to(&plus(&[&node(-1, -1), &end]), below_nodes);
        for side in [2, 3] {
            let [least, last, most] = self.children(forest, side, &magnitudes);
            self.up_to(&plus(&[&node(-1, -1), &least]), below_nodes);
            self.up_to(&plus(&[&node(0, -1), &end, &negative(&last)]), below_nodes);
            self.up_to(&plus(&[&bound, &negative(&most)]), extent.sum);
        }
    }

    fn numbers(&mut self, count: usize, numbers: Numbers) -> Arc<dyn Form> {
        let start = self.column(count);
        self.fills.push(Fill::Numbers { start, numbers });
        Arc::new(Columns::one(start, count))
    }

    /// A table whose rows are forms.
    fn held(&mut self, columns: Vec<Arc<dyn Form>>) -> Rows {
        self.held.push(columns);
        Rows::Held(self.held.len() - 1)
    }

    /// A magnitude of each leaf, which none of its numbers exceeds.
    fn magnitudes(&mut self, forest: &Forest, most: u64) -> Arc<dyn Form> {
        let (leaves, outputs) = (Arc::clone(&forest.leaves), forest.outputs);
        let found: Numbers = Box::new(move |content| magnitudes(&numbers(&leaves, content), outputs));
        let found = self.numbers(forest.of_leaves, found);
        self.up_to(&found, most);
        let count = forest.of_leaves * outputs;
        let each = (0..count).map(|at| (at, at / outputs, 1));
        let each = sparse(&found, std::iter::repeat_n(0, count), each);
        for factor in [1, -1] {
            let own = (0..count).map(|at| (at, at, factor));
            let own = sparse(&forest.leaves, std::iter::repeat_n(0, count), own);
            self.up_to(&plus(&[&each, &own]), 2 * most);
        }
        found
    }

    /// A bound of each tree; all together are no more than is told.
    fn bounds(&mut self, forest: &Forest, extent: Extent, magnitudes: &Arc<dyn Form>) -> Arc<dyn Form> {
        let trees = forest.trees;
        let [roots, nodes, magnitudes] = [&forest.roots, &forest.nodes, magnitudes].map(Arc::clone);
        let so_far: Numbers = Box::new(move |content| {
            let [roots, nodes] = [&roots, &nodes].map(|form| numbers(form, content));
            let bounds = bounds(&roots, &nodes, &integers(&magnitudes, content));
            bounds
                .into_iter()
                .scan(0, |sum, bound| {
                    *sum += bound;
                    Some(*sum)
                })
                .collect()
        });
        let so_far = self.numbers(trees, so_far);
        self.up_to(&so_far, extent.sum);
        let steps = (0..trees).map(|tree| (tree, tree, 1)).chain((1..trees).map(|tree| (tree, tree - 1, -1)));
        let bounds = sparse(&so_far, std::iter::repeat_n(0, trees), steps);
        self.up_to(&bounds, extent.sum);
        let sum = i64::try_from(extent.sum).expect("below 2^30");
        self.up_to(&sparse(&so_far, [sum].into_iter(), [(0, trees - 1, -1)].into_iter()), extent.sum);
        bounds
    }

    /// Of each node a tree's first node, its end, and its bound.
    fn trees_of_nodes(&mut self, forest: &Forest, bounds: &Arc<dyn Form>) -> [Arc<dyn Form>; 3] {
        let Forest { trees, of_nodes, .. } = *forest;
        let ends = [0, 1].map(|shift| {
            let same = (0..trees).map(|tree| (tree, tree + shift, 1));
            sparse(&forest.roots, std::iter::repeat_n(0, trees), same)
        });
        let columns = [&ends[0], &ends[1], bounds].map(|column| {
            let (roots, column) = (Arc::clone(&forest.roots), Arc::clone(column));
            let found: Numbers = Box::new(move |content| {
                let (roots, column) = (integers(&roots, content), integers(&column, content));
                // The last tree that begins at the node or before it.
                let tree = |node: i64| roots[..trees].partition_point(|root| *root <= node).saturating_sub(1);
                (0..of_nodes).map(|node| column[tree(index(node))]).collect()
            });
            self.numbers(of_nodes, found)
        });
        let [first, end] = ends;
        let table = self.held(vec![first, end, Arc::clone(bounds)]);
        self.looked.push((table, columns.to_vec()));
        columns
    }

    /// Of each node's child on a side: which node's parent it may be at the least, in which tree's end it lies at the last, and its magnitude.
    fn children(&mut self, forest: &Forest, side: usize, magnitudes: &Arc<dyn Form>) -> [Arc<dyn Form>; 3] {
        let Forest { of_nodes, of_leaves, .. } = *forest;
        let child = (0..of_nodes).map(|node| (node, 4 * node + side, 1));
        let child = sparse(&forest.nodes, std::iter::repeat_n(0, of_nodes), child);
        let behind = index(of_nodes);
        let leaf = move |child: i64| usize::try_from(-1 - child).ok().filter(|leaf| *leaf < of_leaves);
        let of_child = |which: usize| {
            let (child, magnitudes) = (Arc::clone(&child), Arc::clone(magnitudes));
            let found: Numbers = Box::new(move |content| {
                let magnitudes = integers(&magnitudes, content);
                let of = |child: i64| match (which, leaf(child)) {
                    (0, Some(_)) => behind,
                    (1, Some(_)) | (2, None) => 0,
                    (2, Some(leaf)) => magnitudes[leaf],
                    _ => child,
                };
                integers(&child, content).into_iter().map(of).collect()
            });
            found
        };
        let columns = [0, 1, 2].map(of_child).map(|found| self.numbers(of_nodes, found));
        // Leaves, then nodes.
        let rows = |of_leaf: &dyn Fn(usize) -> i64| -> Arc<dyn Form> {
            let rows = (0..of_leaves).map(of_leaf).chain((0..of_nodes).map(index));
            Arc::new(Known(rows.map(|number| i32::try_from(number).expect("at most 2^24")).collect()))
        };
        let own = (0..of_leaves).map(|leaf| (leaf, leaf, 1));
        let own = sparse(magnitudes, std::iter::repeat_n(0, of_leaves + of_nodes), own);
        let table = self.held(vec![rows(&|leaf| -1 - index(leaf)), rows(&|_| behind), rows(&|_| 0), own]);
        let [least, last, most] = columns.clone();
        self.looked.push((table, vec![child, least, last, most]));
        columns
    }
}
