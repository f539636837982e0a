//! Decision trees: the tables of `TreeEnsemble…` become nodes that lie behind their parents.

use std::collections::HashMap;

use super::Table;
use super::classifier::{classified, labels, post_transform};
use crate::float::{Branch, Child, Primitive, Trees, ValueId};
use crate::onnx::lower::{Lowered, Lowering, float};
use crate::onnx::node::Node;
use crate::onnx::problem::{Kind, Refusal};

pub(super) const OPERATORS: Table =
    &[("TreeEnsembleClassifier", classifier), ("TreeEnsembleRegressor", regressor)];

fn classifier(lowering: &mut Lowering, node: &Node<'_>) -> Lowered {
    let labels = labels(node, "classlabels_int64s", "classlabels_strings")?;
    let mut votes = Votes::read(node, "class")?;
    let mut base = node.numbers("base_values")?.to_vec();
    // Two classes and weights for one of them: the other class has what is left of 1, or the opposite score.
    let binary = labels.len() == 2 && votes.ids.windows(2).all(|pair| pair[0] == pair[1]);
    if binary {
        let positive = votes.weights.iter().all(|&weight| weight >= 0.0);
        if positive && node.text("post_transform", "NONE")? != "NONE" {
            let what = "a transform of two classes with weights of one sign";
            return Err(Refusal::unsupported(what, "write weights for both classes"));
        }
        let score = match base[..] {
            [] => 0.0,
            [one] => one,
            _ => return Err(Refusal::unsupported("two base values for one score", "write one base value")),
        };
        base = vec![if positive { 1.0 - score } else { -score }, score];
        votes.oppose();
    }
    let scores = ensemble(lowering, node, &votes, labels.len(), base, 1.0)?;
    let scores = post_transform(lowering, node, scores)?;
    classified(lowering, scores, labels)
}

fn regressor(lowering: &mut Lowering, node: &Node<'_>) -> Lowered {
    let targets = usize::try_from(node.integer("n_targets", 1)).unwrap_or(0);
    let votes = Votes::read(node, "target")?;
    let base = node.numbers("base_values")?.to_vec();
    let share = match node.text("aggregate_function", "SUM")? {
        "SUM" => 1.0,
        "AVERAGE" => 1.0 / tree_count(node) as f64,
        other => {
            let what = format!("aggregate_function = {other:?}");
            return Err(Refusal::unsupported(what, "use SUM or AVERAGE"));
        }
    };
    let y = ensemble(lowering, node, &votes, targets, base, share)?;
    float(post_transform(lowering, node, y)?)
}

/// The weights that leaves give to outputs.
struct Votes {
    leaves: Vec<(i64, i64)>,
    ids: Vec<i64>,
    weights: Vec<f32>,
}

impl Votes {
    fn read(node: &Node<'_>, prefix: &str) -> Result<Self, Refusal> {
        let list = |name: &str| node.integers(&format!("{prefix}_{name}")).unwrap_or(&[]).to_vec();
        let (trees, nodes) = (list("treeids"), list("nodeids"));
        let (ids, weights) = (list("ids"), node.numbers(&format!("{prefix}_weights"))?.to_vec());
        if [nodes.len(), ids.len(), weights.len()] != [trees.len(); 3] {
            return Err(Refusal::shape(format!("the {prefix} lists differ in length")));
        }
        Ok(Self { leaves: trees.into_iter().zip(nodes).collect(), ids, weights })
    }

    /// Adds, for each weight of the one score, the opposite weight of the other class.
    fn oppose(&mut self) {
        let opposite: Vec<f32> = self.weights.iter().map(|weight| -weight).collect();
        self.ids = [vec![1; self.ids.len()], vec![0; self.ids.len()]].concat();
        self.leaves.extend_from_within(..);
        self.weights.extend(opposite);
    }
}

/// A row of the node tables.
struct Row<'a> {
    mode: &'a [u8],
    feature: i64,
    threshold: f32,
    yes: i64,
    no: i64,
}

/// The node tables of an ensemble, by tree and node.
struct Tables<'a> {
    rows: HashMap<(i64, i64), Row<'a>>,
    /// The first node of each tree, in the order of the file.
    roots: Vec<(i64, i64)>,
}

impl<'a> Tables<'a> {
    fn read(node: &'a Node<'_>) -> Result<Self, Refusal> {
        for name in ["nodes_values_as_tensor", "nodes_missing_value_tracks_true"] {
            let used =
                |a: &crate::onnx::schema::AttributeProto| a.t.is_some() || a.ints.iter().any(|&i| i != 0);
            if node.attribute(name).is_some_and(used) {
                return Err(Refusal::unsupported(
                    format!("uses {name}"),
                    "export for float32 without missing values",
                ));
            }
        }
        let list = |name: &str| node.integers(name).unwrap_or(&[]);
        let (trees, nodes) = (list("nodes_treeids"), list("nodes_nodeids"));
        let (yes, no, features) =
            (list("nodes_truenodeids"), list("nodes_falsenodeids"), list("nodes_featureids"));
        let thresholds = node.numbers("nodes_values")?;
        let modes = node.attribute("nodes_modes").map_or(&[][..], |attribute| &attribute.strings);
        let lengths = [nodes.len(), yes.len(), no.len(), features.len(), thresholds.len(), modes.len()];
        if trees.is_empty() || lengths != [trees.len(); 6] {
            return Err(Refusal::shape("the nodes lists are empty or differ in length"));
        }
        let (mut rows, mut roots): (HashMap<_, _>, Vec<(i64, i64)>) = (HashMap::new(), Vec::new());
        for at in 0..trees.len() {
            let id = (trees[at], nodes[at]);
            if roots.last().is_none_or(|root| root.0 != id.0) {
                roots.push(id);
            }
            let row = Row {
                mode: &modes[at],
                feature: features[at],
                threshold: thresholds[at],
                yes: yes[at],
                no: no[at],
            };
            if rows.insert(id, row).is_some() {
                return Err(Refusal::new(
                    Kind::Structure,
                    "a tree node is defined twice",
                    "export the model again",
                ));
            }
        }
        Ok(Self { rows, roots })
    }
}

fn tree_count(node: &Node<'_>) -> usize {
    let trees = node.integers("nodes_treeids").unwrap_or(&[]);
    1 + trees.windows(2).filter(|pair| pair[0] != pair[1]).count()
}

fn ensemble(
    lowering: &mut Lowering,
    node: &Node<'_>,
    votes: &Votes,
    outputs: usize,
    mut base: Vec<f32>,
    share: f64,
) -> Result<ValueId, Refusal> {
    let x = lowering.numbers(node, 0)?;
    let tables = Tables::read(node)?;
    if base.is_empty() {
        lowering.claim(outputs)?;
        base = vec![0.0; outputs];
    }
    if base.len() != outputs || outputs == 0 {
        return Err(Refusal::shape(format!("{} base values for {outputs} outputs", base.len())));
    }
    let layout = Layout::of(&tables)?;
    let values = layout.leaf_values(lowering, votes, outputs, share)?;
    let mut base: Vec<f64> = base.into_iter().map(f64::from).collect();
    for &leaf in &layout.lone_leaves {
        base.iter_mut().zip(&values[leaf * outputs..]).for_each(|(base, value)| *base += f64::from(*value));
    }
    let base = base.into_iter().map(|value| value as f32).collect();
    if layout.nodes.is_empty() {
        return Err(Refusal::unsupported("no tree has a decision", "the model is a constant"));
    }
    let leaves = lowering.parameter(&[layout.leaves.len(), outputs], values)?;
    let base = lowering.parameter(&[outputs], base)?;
    let trees = Trees { roots: layout.roots, nodes: layout.nodes };
    lowering.push(Primitive::TreeEnsemble { trees, leaves, base }, &[x])
}

/// Trees laid out so that children lie behind their parents.
#[derive(Default)]
struct Layout {
    roots: Vec<usize>,
    nodes: Vec<Branch>,
    leaves: Vec<(i64, i64)>,
    /// Leaves that are whole trees.
    lone_leaves: Vec<usize>,
}

/// Which child of which node waits to be laid out.
#[derive(Clone, Copy)]
struct Pending {
    id: (i64, i64),
    /// Parent and whether it is its left child; `None` for a root.
    parent: Option<(usize, bool)>,
}

impl Layout {
    fn of(tables: &Tables<'_>) -> Result<Self, Refusal> {
        let mut layout = Self::default();
        let mut seen = std::collections::HashSet::new();
        for &root in &tables.roots {
            let start = layout.nodes.len();
            let mut pending = vec![Pending { id: root, parent: None }];
            while let Some(next) = pending.pop() {
                if !seen.insert(next.id) {
                    let what = "a tree node has two parents, or lies in a circle";
                    return Err(Refusal::new(Kind::Structure, what, "export the model again"));
                }
                layout.place(tables, next, &mut pending)?;
            }
            if layout.nodes.len() > start {
                layout.roots.push(start);
            }
        }
        layout.roots.push(layout.nodes.len());
        Ok(layout)
    }

    fn place(
        &mut self,
        tables: &Tables<'_>,
        next: Pending,
        pending: &mut Vec<Pending>,
    ) -> Result<(), Refusal> {
        let Some(row) = tables.rows.get(&next.id) else {
            return Err(Refusal::new(
                Kind::Structure,
                "a tree node does not exist",
                "export the model again",
            ));
        };
        if row.mode == b"LEAF" {
            let leaf = self.leaves.len();
            self.leaves.push(next.id);
            match next.parent {
                None => self.lone_leaves.push(leaf),
                Some(parent) => self.attach(parent, Child::Leaf(leaf)),
            }
            return Ok(());
        }
        let at = self.nodes.len();
        if let Some(parent) = next.parent {
            self.attach(parent, Child::Node(at));
        }
        let below = row.threshold.next_down();
        // Each mode as "not above a threshold", and whether yes is left.
        let (threshold, yes_left) = match row.mode {
            b"BRANCH_LEQ" => (row.threshold, true),
            b"BRANCH_LT" => (below, true),
            b"BRANCH_GT" => (row.threshold, false),
            b"BRANCH_GTE" => (below, false),
            other => {
                let what = format!("nodes of mode {:?}", String::from_utf8_lossy(other));
                return Err(Refusal::unsupported(what, "use BRANCH_LEQ, _LT, _GT or _GTE"));
            }
        };
        let feature = usize::try_from(row.feature).map_err(|_| Refusal::shape("a feature is negative"))?;
        // Both children are attached when they are placed.
        let nowhere = Child::Leaf(usize::MAX);
        self.nodes.push(Branch { feature, threshold, left: nowhere, right: nowhere });
        let tree = next.id.0;
        pending.push(Pending { id: (tree, row.no), parent: Some((at, !yes_left)) });
        pending.push(Pending { id: (tree, row.yes), parent: Some((at, yes_left)) });
        Ok(())
    }

    fn attach(&mut self, (parent, left): (usize, bool), child: Child) {
        let branch = &mut self.nodes[parent];
        *(if left { &mut branch.left } else { &mut branch.right }) = child;
    }

    /// The rows of leaf values, in the order of the leaves.
    fn leaf_values(
        &self,
        lowering: &mut Lowering,
        votes: &Votes,
        outputs: usize,
        share: f64,
    ) -> Result<Vec<f32>, Refusal> {
        let count = self.leaves.len().saturating_mul(outputs);
        lowering.claim(count)?;
        let rows: HashMap<_, _> = self.leaves.iter().enumerate().map(|(at, id)| (*id, at)).collect();
        let mut sums = vec![0.0; count];
        for ((leaf, &id), &weight) in votes.leaves.iter().zip(&votes.ids).zip(&votes.weights) {
            let output = usize::try_from(id).ok().filter(|&output| output < outputs);
            let output =
                output.ok_or_else(|| Refusal::shape("a leaf votes for an output that does not exist"))?;
            // Weights of nodes that no tree reaches are without effect.
            if let Some(row) = rows.get(leaf) {
                sums[row * outputs + output] += f64::from(weight) * share;
            }
        }
        Ok(sums.into_iter().map(|sum| sum as f32).collect())
    }
}
