//! Where a model's parameters stand when they are registered.
//!
//! What a parameter's element weighs in a proof is `eq(point, place)`, a product over the place's bits. So that a verifier need not go through all
//! elements, each parameter is a matrix (weights: an output's behind each other; all others: one row), which is cut into blocks of powers of two either
//! way, and the blocks of all parameters stand behind each other, the longest first: each is aligned, nothing stands between them, and within one of them
//! an element's weight is one of its row times one of its column. The order follows from the architecture alone.

use std::collections::HashSet;
use std::ops::Range;

use p3_field::PrimeCharacteristicRing as _;
use sealgrid_graph::integer::Graph;
use sealgrid_graph::tensor::Tensor;

use crate::field::{Challenge, Element, equality, equality_at};
use crate::form::{Form, Pulling, Values};
use crate::maps::elements_of;
use crate::registration::weight_of;

/// A part of a parameter, of powers of two.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) rows: Range<usize>,
    pub(crate) columns: Range<usize>,
    /// Where it begins among all parameters, row by row: a multiple of its size.
    pub(crate) first: usize,
}

impl Block {
    fn size(&self) -> usize {
        self.rows.len() * self.columns.len()
    }

    /// Where a row of it begins.
    pub(crate) fn row(&self, row: usize) -> usize {
        self.first + (row - self.rows.start) * self.columns.len()
    }

    /// What weighs its rows, and what its columns, where an element's weight is `eq(point, place)`.
    pub(crate) fn equality(&self, point: &[Challenge]) -> [Vec<Challenge>; 2] {
        let (rest, columns) = point.split_at(point.len() - self.columns.len().ilog2() as usize);
        let (rest, rows) = rest.split_at(rest.len() - self.rows.len().ilog2() as usize);
        let block = equality_at(rest, self.first / self.size());
        let mut rows = equality(rows);
        rows.iter_mut().for_each(|row| *row *= block);
        [rows, equality(columns)]
    }
}

/// The places of all parameters.
pub(crate) struct Order(Vec<Vec<Block>>);

/// The powers of two of which a length is made, the longest first.
pub(crate) fn powers(length: usize) -> impl Iterator<Item = Range<usize>> + Clone {
    let bits = (0..usize::BITS).rev().map(move |bit| length & 1 << bit).filter(|power| *power > 0);
    bits.scan(0, |next, power| {
        *next += power;
        Some(*next - power..*next)
    })
}

impl Order {
    /// Of the parameters of `graph`, which are not looked at.
    pub(crate) fn of(graph: &Graph) -> Self {
        let operations = graph.operations().iter();
        let weights: HashSet<u32> =
            operations.filter_map(|operation| weight_of(&operation.primitive)).map(|id| id.0).collect();
        let blocks = graph.parameters().iter().zip(0..).map(|(tensor, id)| -> Vec<Block> {
            let count = tensor.shape().count();
            let rows = if weights.contains(&id) { tensor.shape().axes()[0].max(1) } else { 1 };
            let columns = powers(count / rows);
            let block = |rows: Range<usize>| {
                columns.clone().map(move |columns| Block { rows: rows.clone(), columns, first: 0 })
            };
            powers(rows).flat_map(block).collect()
        });
        let mut blocks: Vec<Vec<Block>> = blocks.collect();
        let mut all: Vec<&mut Block> = blocks.iter_mut().flatten().collect();
        // Stable: of equal ones the parameter's number decides, then the row, then the column.
        all.sort_by_key(|block| std::cmp::Reverse(block.size()));
        let mut next = 0;
        for block in all {
            block.first = next;
            next += block.size();
        }
        Self(blocks)
    }

    /// The blocks of a parameter.
    pub(crate) fn blocks(&self, parameter: u32) -> &[Block] {
        &self.0[parameter as usize]
    }

    /// The same as a matrix of one row, by ascending column.
    pub(crate) fn line(&self, parameter: u32) -> Vec<Block> {
        let blocks = self.blocks(parameter);
        let depth = blocks.iter().map(|block| block.columns.end).max().unwrap_or(0);
        let of_row = |block: &Block, row: usize| {
            let columns = row * depth + block.columns.start..row * depth + block.columns.end;
            Block { rows: 0..1, columns, first: block.row(row) }
        };
        let lines = blocks.iter().flat_map(|block| block.rows.clone().map(move |row| of_row(block, row)));
        let mut line: Vec<Block> = lines.collect();
        line.sort_by_key(|block| block.columns.start);
        line
    }

    /// Where the elements of a parameter stand, in their own order: neighbours, by where they begin and how many they are.
    pub(crate) fn runs(&self, parameter: u32) -> Vec<(usize, usize)> {
        let mut runs: Vec<(usize, usize)> = Vec::new();
        for block in self.line(parameter) {
            match runs.last_mut() {
                Some((first, count)) if *first + *count == block.first => *count += block.columns.len(),
                _ => runs.push((block.first, block.columns.len())),
            }
        }
        runs
    }

    /// All elements, as they are registered.
    pub(crate) fn elements<'t>(&self, parameters: impl Iterator<Item = &'t Tensor> + Clone) -> Vec<Element> {
        let count = parameters.clone().map(|parameter| parameter.shape().count()).sum();
        let mut placed = vec![Element::ZERO; count];
        for (tensor, id) in parameters.zip(0..) {
            let elements = elements_of(tensor);
            let mut rest = &elements[..];
            for (start, count) in self.runs(id) {
                let own = rest.split_off(..count).expect("as many as there are places");
                placed[start..start + count].copy_from_slice(own);
            }
        }
        placed
    }
}

/// `constant + factor · content[place]` for places that are neighbours in runs.
pub(crate) struct Runs {
    pub(crate) runs: Vec<(usize, usize)>,
    pub(crate) constant: Element,
    pub(crate) factor: Element,
}

impl Form for Runs {
    fn count(&self) -> usize {
        self.runs.iter().map(|(_, count)| count).sum()
    }

    fn values(&self, of: Values<'_>) -> Vec<Element> {
        let elements = self.runs.iter().flat_map(|(start, count)| &of.places()[*start..start + count]);
        elements.map(|element| self.constant + self.factor * *element).collect()
    }

    fn pull(&self, weights: &[Challenge], to: &mut Pulling<'_>) -> Challenge {
        let mut rest = weights;
        for (start, count) in &self.runs {
            let own = rest.split_off(..*count).expect("a weight for each");
            let places = to.content()[*start..].iter_mut().zip(own);
            places.for_each(|(place, weight)| *place += *weight * self.factor);
        }
        weights.iter().copied().sum::<Challenge>() * self.constant
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng as _;
    use sealgrid_graph::arbitrary;

    use super::*;
    use crate::field::random;

    #[test]
    fn every_parameter_has_a_place_of_its_own_and_weighs_there_what_its_row_and_column_do() {
        let mut rng = ChaCha20Rng::from_seed([3; 32]);
        let mut seen = 0;
        for seed in 0..300 {
            let graph = arbitrary::graph(seed);
            let order = Order::of(&graph);
            let count: usize = graph.parameters().iter().map(|tensor| tensor.shape().count()).sum();
            if count == 0 {
                continue;
            }
            seen += 1;
            let bits = count.next_power_of_two().ilog2() as usize + 1;
            let point: Vec<Challenge> = (0..bits).map(|_| random(&mut rng)).collect();
            let all = equality(&point);
            let mut taken = vec![false; count];
            for (tensor, id) in graph.parameters().iter().zip(0..) {
                let columns = order.blocks(id).iter().map(|block| block.columns.end).max().unwrap_or(0);
                let mut natural = vec![None; tensor.shape().count()];
                for block in order.blocks(id) {
                    let [of_rows, of_columns] = block.equality(&point);
                    for (row, of_row) in block.rows.clone().zip(of_rows) {
                        for (at, (column, of_column)) in block.columns.clone().zip(&of_columns).enumerate() {
                            let place = block.row(row) + at;
                            assert!(!std::mem::replace(&mut taken[place], true), "seed {seed}: {place}");
                            assert_eq!(all[place], of_row * *of_column, "seed {seed}: {place}");
                            natural[row * columns + column] = Some(place);
                        }
                    }
                }
                let runs = order.runs(id).into_iter().flat_map(|(start, count)| start..start + count);
                assert!(runs.eq(natural.into_iter().map(|place| place.expect("every element"))));
            }
            assert!(taken.into_iter().all(|taken| taken), "seed {seed}");
        }
        assert!(seen > 50, "{seen} graphs with parameters");
    }
}
