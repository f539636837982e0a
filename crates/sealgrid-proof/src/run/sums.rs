//! Sums that are not committed, over private weights and of products of two values: everything that is claimed of them comes to one sum of
//! products, `Σ_j right_j·met_j`. On the right stand the registered parameters, which all records share, and the right operands of all products, one for
//! each record, side by side as many as the least power of two: so the last variables of the cube tell the record, and a point's weight is one of a place
//! times one of a record. `met_j` is what the left operands contribute to each of them, of all records to a parameter, and of the record to its own.

use std::rc::Rc;
use std::sync::Arc;

use p3_field::PrimeCharacteristicRing as _;

use crate::channel::{ProofError, Prover, Verifier};
use crate::field::{Challenge, Element, LANES, equality, equality_within, wipe};
use crate::form::{Form, Memo, Pulling, Values};
use crate::hidden::Hidden;
use crate::inner::{self, SidesClaim};
use crate::layers::Layer;
use crate::lookups::Pulled;
use crate::places::Places;

/// All of a run, those of one record.
#[derive(Default)]
pub(super) struct Sums {
    /// How many: places that stand first and are not committed.
    pub(super) count: usize,
    /// Registered parameters, with which the right side begins.
    pub(super) parameters: usize,
    pub(super) layers: Vec<Layer>,
    pub(super) products: Vec<Product>,
}

/// `sum[to] = Σ left[from]·right[index]` over the `(to, from, index)` of its pairs, in each record.
pub(super) struct Product {
    /// Made of what is committed or told alone, as the right operand is.
    pub(super) left: Arc<dyn Form>,
    pub(super) right: Arc<dyn Form>,
    pub(super) pairs: Pairs,
    /// How many sums.
    pub(super) count: usize,
    /// Where its sums begin among all sums.
    pub(super) sums: usize,
    /// Where its right operand begins among those of all products.
    pub(super) first: usize,
}

/// Products of matrices `[rows, depth]·[depth, columns]`, one a block: where the block's sums, its left and its right operand begin in a record.
#[derive(Clone, Debug)]
pub(super) struct Pairs {
    pub(super) blocks: Vec<[u32; 3]>,
    pub(super) rows: usize,
    pub(super) depth: usize,
    pub(super) columns: usize,
}

impl Pairs {
    /// Of single elements.
    pub(super) fn single(blocks: Vec<[u32; 3]>) -> Self {
        Self { blocks, rows: 1, depth: 1, columns: 1 }
    }

    /// Calls `visit(to, from, index)` for every product.
    fn each(&self, mut visit: impl FnMut(usize, usize, usize)) {
        for block in &self.blocks {
            let [to, from, index] = block.map(|start| start as usize);
            for row in 0..self.rows {
                for k in 0..self.depth {
                    for column in 0..self.columns {
                        let to = to + row * self.columns + column;
                        visit(to, from + row * self.depth + k, index + k * self.columns + column);
                    }
                }
            }
        }
    }
}

impl Product {
    /// Where the next product's right operand begins.
    fn end(&self) -> usize {
        self.first + self.right.count()
    }

    /// The sums, as integers, which an honest run has below 2^63.
    pub(super) fn values(&self, of: Values<'_>) -> Vec<i64> {
        let [left, right] = [&self.left, &self.right].map(|form| of.integers(form));
        let mut sums = vec![0i64; self.count];
        self.pairs
            .each(|to, from, index| sums[to] = sums[to].wrapping_add(left[from].wrapping_mul(right[index])));
        sums
    }

    /// What meets each element of the right operand in `Σ weights·sum`.
    fn met(&self, weights: &[Challenge], of: Values<'_>) -> Vec<Challenge> {
        let left = of.of(&self.left);
        let weights = &weights[self.sums..];
        let mut met = vec![Challenge::ZERO; self.right.count()];
        self.pairs.each(|to, from, index| met[index] += weights[to] * left[from]);
        met
    }

    /// [`Form::pull`] of `Σ weights·sum` where the right operands are `right`.
    fn pull(&self, weights: &[Challenge], right: &[Challenge], to: &mut Pulling<'_>) {
        let pulled = to.of(&self.left);
        let (weights, right) = (&weights[self.sums..], &right[self.first..]);
        self.pairs.each(|to, from, index| pulled[from] += weights[to] * right[index]);
    }
}

/// What is left to show of one side: its value, the point of which `eq` weighs the parameters in it, if they are in it, and each record's places, with the
/// records' weights.
pub(super) struct Side {
    pub(super) value: Hidden,
    pub(super) parameters: Option<Vec<Challenge>>,
    pub(super) pulled: Vec<(Pulled, Vec<Challenge>)>,
}

impl Sums {
    /// Where the next product's right operand begins.
    pub(super) fn end(&self) -> usize {
        self.products.last().map_or(0, Product::end)
    }

    /// Where the products' right operands begin on the right side, in units of `width`, the least power of two that is not below the number of records.
    fn start(&self, width: usize) -> usize {
        self.parameters.div_ceil(width)
    }

    /// Variables of the right side's cube.
    pub(super) fn variables(&self, width: usize) -> usize {
        ((self.start(width) + self.end()) * width).next_power_of_two().ilog2() as usize
    }

    /// Pads that showing the sums takes: the number that they come to, the sumcheck, and its product's value beyond.
    pub(super) fn pads(&self, width: usize) -> usize {
        if self.count == 0 { 0 } else { 1 + inner::pads(self.variables(width)) + 1 }
    }

    /// Shows what the sums come to in `Σ record·weight·sum`, which is claimed; `each` visits every record's number and places. Yields the point of what
    /// is left to show.
    pub(super) fn prove(
        &self,
        channel: &mut Prover<'_>,
        weights: &[Challenge],
        records: &[Challenge],
        parameters: &[Element],
        each: impl FnOnce(&mut dyn FnMut(usize, &[Element])),
    ) -> Vec<Challenge> {
        let width = records.len();
        // What is missing of the cube is zeros.
        let used = ((self.start(width) + self.end()) * width).next_multiple_of(LANES);
        let mut met = vec![Challenge::ZERO; used.min(1 << self.variables(width))];
        let mut right = Vec::with_capacity(met.len());
        right.extend_from_slice(parameters);
        right.resize(met.len(), Element::ZERO);
        let mut operands = vec![Vec::new(); self.layers.len()];
        each(&mut |record, places| {
            let (memo, layers) = (Memo::default(), operands.iter_mut().zip(&self.layers));
            let of = memo.of(places);
            layers.for_each(|(operand, layer)| operand.push(layer.operand(of)));
            for product in &self.products {
                let first = (self.start(width) + product.first) * width + record;
                let to = met[first..].iter_mut().step_by(width);
                to.zip(product.met(weights, of)).for_each(|(to, met)| *to = records[record] * met);
                let to = right[first..].iter_mut().step_by(width);
                to.zip(&*of.of(&product.right)).for_each(|(to, element)| *to = *element);
            }
        });
        let all = records.iter().copied().sum();
        for (layer, operand) in self.layers.iter().zip(operands) {
            if let [operand] = &operand[..] {
                layer.contribute(weights, operand, all, &mut met);
            } else {
                layer.contribute(weights, &folded(records, &operand), all, &mut met);
            }
        }
        channel.send(met.iter().zip(&right).map(|(met, right)| *met * *right).sum());
        let point = inner::prove(channel, met, &right);
        wipe(&mut right);
        point
    }

    /// The verifier's: what the sums come to, and where both sides are left to show.
    pub(super) fn verify(
        &self,
        channel: &mut Verifier<'_>,
        width: usize,
    ) -> Result<(Hidden, SidesClaim), ProofError> {
        let sum = channel.receive()?;
        let sides = inner::verify(channel, self.variables(width), &sum)?;
        Ok((sum, sides))
    }

    /// Both sides of what is left to show, by the weights of sums and of records that [`Sums::prove`] takes.
    pub(super) fn sides(
        &self,
        claim: SidesClaim,
        places: &Places,
        weights: &[Challenge],
        records: &[Challenge],
    ) -> [Side; 2] {
        let width = records.len();
        let (place, record) = claim.point.split_at(claim.point.len() - width.ilog2() as usize);
        let mut record = equality(record);
        // Nothing stands where no record is.
        record[places.records..].fill(Challenge::ZERO);
        let operands = equality_within(place, self.start(width)..self.start(width) + self.end());
        let nothing = || Pulled { functional: vec![Challenge::ZERO; places.count], known: Challenge::ZERO };
        let (mut left, mut right) = (Vec::new(), Vec::new());
        if !self.layers.is_empty() {
            let mut pulled = nothing();
            let mut to = Pulling::through(self.layers.iter().filter_map(Layer::form), &mut pulled.functional);
            for layer in &self.layers {
                pulled.known += layer.pull(weights, &claim.point, &mut to);
            }
            pulled.known += to.finish();
            left.push((pulled, records.to_vec()));
        }
        if !self.products.is_empty() {
            let (mut lefts, mut rights) = (nothing(), nothing());
            let forms = |of: fn(&Product) -> &Arc<dyn Form>| self.products.iter().map(of);
            let mut left_to = Pulling::through(forms(|product| &product.left), &mut lefts.functional);
            let mut right_to = Pulling::through(forms(|product| &product.right), &mut rights.functional);
            for product in &self.products {
                product.pull(weights, &operands, &mut left_to);
                right_to.add(&product.right, operands[product.first..product.end()].iter().copied());
            }
            lefts.known = left_to.finish();
            rights.known = right_to.finish();
            let both = records.iter().zip(&record).map(|(one, other)| *one * *other).collect();
            left.push((lefts, both));
            right.push((rights, record));
        }
        [
            Side { value: claim.left, parameters: None, pulled: left },
            Side {
                value: claim.right,
                parameters: (self.parameters > 0).then_some(claim.point),
                pulled: right,
            },
        ]
    }

    pub(super) fn errors(&self, width: usize) -> u64 {
        if self.count == 0 { 0 } else { inner::errors(self.variables(width)) }
    }
}

/// Lists of several records, each times its record's weight, added up.
fn folded(records: &[Challenge], lists: &[Rc<[Element]>]) -> Vec<Challenge> {
    let mut sums = vec![Challenge::ZERO; lists[0].len()];
    for (record, list) in records.iter().zip(lists) {
        sums.iter_mut().zip(&**list).for_each(|(sum, element)| *sum += *record * *element);
    }
    sums
}
