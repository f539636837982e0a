//! Sums over decision trees: several records walk down a tree together, so that their loads overlap.

use super::Task;
use crate::fast::kernels;
use crate::fast::memory::{load, store};
use crate::integer::Requantise;
use crate::tensor::Tensor;

/// Records that walk together.
const TOGETHER: usize = 8;

/// An ensemble.
pub(in crate::fast) struct Trees {
    /// First node of each tree.
    roots: Vec<i32>,
    nodes: Vec<Node>,
    leaves: Vec<i32>,
    base: Vec<i32>,
    stage: Requantise,
}

/// Go to `children[0]` when the feature is at most the threshold, else to `children[1]`; below 0 are leaves.
struct Node {
    feature: u32,
    threshold: i32,
    children: [i32; 2],
}

impl Trees {
    pub(super) fn new([roots, nodes, leaves, base]: [&Tensor; 4], stage: &Requantise) -> Self {
        let elements =
            |tensor: &Tensor| (0..tensor.shape().count()).map(|at| tensor.at(at)).collect::<Vec<_>>();
        let trees = roots.shape().count() - 1;
        let nodes = elements(nodes)
            .chunks_exact(4)
            .map(|node| Node {
                feature: u32::try_from(node[0]).expect("checked to be an index"),
                threshold: node[1],
                children: [node[2], node[3]],
            })
            .collect();
        Self {
            roots: elements(roots)[..trees].to_vec(),
            nodes,
            leaves: elements(leaves),
            base: elements(base),
            stage: stage.clone(),
        }
    }

    pub(super) fn run(&self, mut task: Task<'_>) {
        let x = task.operand(0);
        let features = task.sources[0].count;
        let outputs = self.base.len();
        for first in (0..task.records).step_by(TOGETHER) {
            let together = TOGETHER.min(task.records - first);
            let wide = &mut task.scratch.wide;
            wide.clear();
            wide.resize(together * (features + outputs), 0);
            let (rows, sums) = wide.split_at_mut(together * features);
            load(task.available, x.data, first * features, 1, rows);
            for sums in sums.chunks_exact_mut(outputs) {
                sums.copy_from_slice(&self.base);
            }
            for &root in &self.roots {
                self.add_tree(root, rows, features, sums);
            }
            let (multiplier, shift) = (self.stage.multipliers[0], self.stage.shifts[0]);
            kernels::requantise(task.available, sums, multiplier, shift, [self.stage.low, self.stage.high]);
            store(task.available, sums, &mut task.output, first * outputs);
        }
    }

    /// Walks all records down one tree, a level at a time, and adds their leaves.
    fn add_tree(&self, root: i32, rows: &[i32], features: usize, sums: &mut [i32]) {
        let outputs = self.base.len();
        let together = sums.len() / outputs;
        let mut at = [root; TOGETHER];
        loop {
            let mut walking = false;
            for (at, row) in at.iter_mut().zip(rows.chunks_exact(features)) {
                if let Some(node) = usize::try_from(*at).ok().map(|index| &self.nodes[index]) {
                    let right = usize::from(row[node.feature as usize] > node.threshold);
                    *at = node.children[right];
                    walking |= *at >= 0;
                }
            }
            if !walking {
                break;
            }
        }
        for (at, sums) in at.iter().take(together).zip(sums.chunks_exact_mut(outputs)) {
            let leaf = usize::try_from(-1 - at).expect("a walk ends in a leaf") * outputs;
            for (sum, leaf) in sums.iter_mut().zip(&self.leaves[leaf..leaf + outputs]) {
                *sum = sum.wrapping_add(*leaf);
            }
        }
    }
}
