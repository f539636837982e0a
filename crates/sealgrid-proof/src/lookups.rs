//! That tuples of linear forms of the content stand in public tables: all lookups of a proof as one sum of fractions (LogUp, eprint
//! 2022/1530), `Σ 1/(α − f) = Σ n/(α − t)` over all tuples `f` and all rows `t` with their multiplicities `n`.
//!
//! A tuple is folded to `tag + γ·v_0 + γ²·v_1 + …`, the tag being its table's. Tuples and rows stand at the vertices of a cube, each list in a
//! block of a power of two, the longest first, so that every block is aligned; a vertex without either is the fraction 0/1.
//! The tree of fractions ends in the values of numerators and denominators at one point, which are linear in the content.

use std::sync::Arc;

use p3_field::PrimeCharacteristicRing as _;

use crate::argument::{ContentClaim, Conversation, TooLarge};
use crate::channel::{ProofError, Prover, Verifier};
use crate::commit::VARIABLES_MAX;
use crate::field::{Challenge, Element, equality};
use crate::fractions;
use crate::hidden::Hidden;

/// An affine map from the content to a list of numbers, and its transpose.
pub trait Form: Send + Sync {
    /// Numbers in the list.
    fn count(&self) -> usize;

    /// The list.
    fn values(&self, content: &[Element]) -> Vec<Element>;

    /// Adds to `functional` the weights of the content in `Σ weights·list`; yields what the content has no part in.
    fn pull(&self, weights: &[Challenge], functional: &mut [Challenge]) -> Challenge;
}

/// `constant + Σ_j coefficient_j · content[start_j + i]` for each `i` below `count`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Columns {
    /// Length of the list.
    pub count: usize,
    /// Added to each.
    pub constant: Element,
    /// Where a column begins, and its factor.
    pub terms: Vec<(usize, Element)>,
}

impl Columns {
    /// A column as it is.
    #[must_use]
    pub fn one(start: usize, count: usize) -> Self {
        Self { count, constant: Element::ZERO, terms: vec![(start, Element::ONE)] }
    }
}

impl Form for Columns {
    fn count(&self) -> usize {
        self.count
    }

    fn values(&self, content: &[Element]) -> Vec<Element> {
        let mut values = vec![self.constant; self.count];
        for (start, factor) in &self.terms {
            for (value, element) in values.iter_mut().zip(&content[*start..]) {
                *value += *factor * *element;
            }
        }
        values
    }

    fn pull(&self, weights: &[Challenge], functional: &mut [Challenge]) -> Challenge {
        for (start, factor) in &self.terms {
            for (sum, weight) in functional[*start..].iter_mut().zip(weights) {
                *sum += *weight * *factor;
            }
        }
        weights.iter().copied().sum::<Challenge>() * self.constant
    }
}

/// A public table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// Its columns, of one length: row `i` is the tuple of their elements at `i`. No row occurs twice.
    pub columns: Vec<Vec<Element>>,
    /// Where the multiplicities of its rows begin in the content.
    pub multiplicities: usize,
}

impl Table {
    fn rows(&self) -> usize {
        self.columns[0].len()
    }
}

/// Tuples that are looked up.
pub struct Looked {
    /// In which table.
    pub table: usize,
    /// One form a column of the table.
    pub tuple: Vec<Arc<dyn Form>>,
}

/// All lookups about one content.
pub struct Lookups {
    content: usize,
    tables: Vec<Table>,
    looked: Vec<Looked>,
    blocks: Vec<Block>,
    variables: usize,
}

/// What stands in a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Of {
    Table(usize),
    Looked(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Block {
    of: Of,
    start: usize,
    count: usize,
}

/// A tuple of the witness stands in no table: the content is not that of an honest run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("tuple {slot} of list {looked} is in no row of its table")]
pub struct NotInTable {
    /// Which list.
    pub looked: usize,
    /// Which tuple.
    pub slot: usize,
}

impl Lookups {
    /// Lookups about `content` elements.
    ///
    /// # Errors
    /// [`TooLarge`] when there are more than 2^24 tuples and rows.
    ///
    /// # Panics
    /// When a tuple has not its table's width, its forms differ in length, or a table is empty.
    pub fn new(content: usize, tables: Vec<Table>, looked: Vec<Looked>) -> Result<Self, TooLarge> {
        for table in &tables {
            assert!(table.columns.iter().all(|column| column.len() == table.rows()), "columns of one length");
            assert!(table.rows() > 0 && table.multiplicities + table.rows() <= content, "a row, and places");
        }
        for list in &looked {
            let count = list.tuple[0].count();
            assert!(list.tuple.len() == tables[list.table].columns.len(), "a form a column");
            assert!(count > 0 && list.tuple.iter().all(|form| form.count() == count), "forms of one length");
        }
        let lists =
            looked.iter().enumerate().map(|(number, list)| (Of::Looked(number), list.tuple[0].count()));
        let rows = tables.iter().enumerate().map(|(number, table)| (Of::Table(number), table.rows()));
        let mut lists: Vec<(Of, usize)> = rows.chain(lists).collect();
        lists.sort_by_key(|(_, count)| std::cmp::Reverse(count.next_power_of_two()));
        let mut start = 0;
        let blocks = lists
            .into_iter()
            .map(|(of, count)| {
                let block = Block { of, start, count };
                start += count.next_power_of_two();
                block
            })
            .collect();
        if start > 1 << VARIABLES_MAX {
            return Err(TooLarge { elements: start });
        }
        let variables = start.next_power_of_two().ilog2() as usize;
        Ok(Self { content, tables, looked, blocks, variables })
    }

    /// Counts how often each row is looked up, and writes that into the content.
    ///
    /// # Errors
    /// [`NotInTable`].
    pub fn count(&self, content: &mut [Element]) -> Result<(), NotInTable> {
        use std::collections::HashMap;
        for (number, table) in self.tables.iter().enumerate() {
            let row =
                |index: usize| -> Vec<Element> { table.columns.iter().map(|column| column[index]).collect() };
            let places: HashMap<Vec<Element>, usize> =
                (0..table.rows()).map(|index| (row(index), index)).collect();
            let mut counts = vec![0u32; table.rows()];
            for (looked, list) in self.looked.iter().enumerate().filter(|(_, list)| list.table == number) {
                let tuple: Vec<Vec<Element>> = list.tuple.iter().map(|form| form.values(content)).collect();
                for slot in 0..tuple[0].len() {
                    let value: Vec<Element> = tuple.iter().map(|column| column[slot]).collect();
                    let place = places.get(&value).ok_or(NotInTable { looked, slot })?;
                    counts[*place] += 1;
                }
            }
            let places = content[table.multiplicities..].iter_mut();
            places.zip(counts).for_each(|(place, count)| *place = Element::from_u32(count));
        }
        Ok(())
    }

    /// Tags begin with 1, so that no tuple folds to the padding's nothing by itself.
    fn tag(table: usize) -> Element {
        Element::from_usize(table + 1)
    }

    fn widest(&self) -> u64 {
        self.tables.iter().map(|table| table.columns.len() as u64).max().unwrap_or(0)
    }

    /// The prover's words; what was drawn.
    pub(crate) fn show(&self, channel: &mut Prover<'_>, content: &[Element]) -> Drawn {
        let (alpha, gamma) = (channel.challenge(), channel.challenge());
        let mut numerators = vec![Challenge::ZERO; 1 << self.variables];
        let mut denominators = vec![Challenge::ONE; 1 << self.variables];
        for block in &self.blocks {
            let (tag, columns) = match block.of {
                Of::Table(number) => {
                    let table = &self.tables[number];
                    let counts = &content[table.multiplicities..];
                    let places = numerators[block.start..].iter_mut().take(block.count);
                    places.zip(counts).for_each(|(place, count)| *place = -Challenge::from(*count));
                    (Self::tag(number), table.columns.clone())
                }
                Of::Looked(number) => {
                    let list = &self.looked[number];
                    numerators[block.start..][..block.count].fill(Challenge::ONE);
                    let columns = list.tuple.iter().map(|form| form.values(content)).collect();
                    (Self::tag(list.table), columns)
                }
            };
            let places = denominators[block.start..].iter_mut();
            places.zip(folded(tag, &columns, gamma)).for_each(|(place, tuple)| *place = alpha - tuple);
        }
        let point = fractions::prove(channel, numerators, denominators);
        Drawn { alpha, gamma, point }
    }

    /// The verifier's; what was drawn, and the fractions' numerator and denominator there.
    pub(crate) fn check(&self, channel: &mut Verifier<'_>) -> Result<(Drawn, [Hidden; 2]), ProofError> {
        let (alpha, gamma) = (channel.challenge(), channel.challenge());
        let claim = fractions::verify(channel, self.variables)?;
        Ok((Drawn { alpha, gamma, point: claim.point }, [claim.numerator, claim.denominator]))
    }

    /// What numerator and denominator at the point that was drawn say of the content.
    pub(crate) fn claims(&self, drawn: &Drawn, [numerator, denominator]: &[Hidden; 2]) -> [ContentClaim; 2] {
        let Drawn { alpha, gamma, point } = drawn;
        let weights = equality(point);
        let mut numerators = vec![Challenge::ZERO; self.content];
        let mut denominators = vec![Challenge::ZERO; self.content];
        // What the content has no part in. A denominator is 1 where nothing stands, so that all weights add up to 1.
        let (mut known_numerator, mut known_denominator) = (Challenge::ZERO, Challenge::ONE);
        for block in &self.blocks {
            let weights = &weights[block.start..][..block.count];
            let all: Challenge = weights.iter().copied().sum();
            known_denominator -= all;
            match block.of {
                Of::Table(number) => {
                    let table = &self.tables[number];
                    let places = numerators[table.multiplicities..].iter_mut();
                    places.zip(weights).for_each(|(place, weight)| *place -= *weight);
                    let rows = folded(Self::tag(number), &table.columns, *gamma);
                    let rows = rows.into_iter().zip(weights).map(|(row, weight)| (*alpha - row) * *weight);
                    known_denominator += rows.sum::<Challenge>();
                }
                Of::Looked(number) => {
                    let list = &self.looked[number];
                    known_numerator += all;
                    known_denominator += all * (*alpha - Challenge::from(Self::tag(list.table)));
                    for (form, power) in list.tuple.iter().zip(gamma.powers().skip(1)) {
                        let weights: Vec<Challenge> = weights.iter().map(|weight| -power * *weight).collect();
                        known_denominator += form.pull(&weights, &mut denominators);
                    }
                }
            }
        }
        [
            ContentClaim { functional: numerators, value: numerator - &Hidden::known(known_numerator) },
            ContentClaim { functional: denominators, value: denominator - &Hidden::known(known_denominator) },
        ]
    }
}

/// What is drawn while lookups are shown.
#[derive(Clone, Debug)]
pub(crate) struct Drawn {
    alpha: Challenge,
    gamma: Challenge,
    point: Vec<Challenge>,
}

/// `tag + γ·v_0 + γ²·v_1 + …` for every tuple.
fn folded(tag: Element, columns: &[Vec<Element>], gamma: Challenge) -> Vec<Challenge> {
    let mut sums = vec![Challenge::from(tag); columns[0].len()];
    for (column, power) in columns.iter().zip(gamma.powers().skip(1)) {
        sums.iter_mut().zip(column).for_each(|(sum, value)| *sum += power * *value);
    }
    sums
}

impl Conversation for Lookups {
    fn content(&self) -> usize {
        self.content
    }

    fn pads(&self) -> usize {
        // Each product brings a value beyond; together they bring both sides and their product at 0.
        fractions::pads(self.variables) + fractions::products(self.variables) + 3
    }

    fn prove(&self, channel: &mut Prover<'_>, content: &[Element]) {
        self.show(channel, content);
    }

    fn verify(&self, channel: &mut Verifier<'_>) -> Result<Vec<ContentClaim>, ProofError> {
        let (drawn, fractions) = self.check(channel)?;
        Ok(self.claims(&drawn, &fractions).into())
    }

    fn errors(&self) -> u64 {
        // α: the sum's numerator has a degree below the number of fractions; γ: two tuples fold alike.
        let fractions = 1u64 << self.variables;
        fractions::errors(self.variables) + fractions + self.widest() * fractions
    }
}

impl std::fmt::Debug for Lookups {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Lookups({} lists in {} tables)", self.looked.len(), self.tables.len())
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng as _;

    use super::*;
    use crate::argument::{self, Argument};
    use crate::transcript::Transcript;

    fn element(value: i64) -> Element {
        Element::from_i64(value)
    }

    /// 300 numbers `x` and their clamped shifts `y = clamp(x + 2·z)`: `z` in a range, `(x + 2z, y)` in a table of the clamp.
    fn lookups() -> (Lookups, Vec<Element>) {
        const COUNT: usize = 300;
        let range = Table { columns: vec![(0..16).map(element).collect()], multiplicities: 3 * COUNT };
        let inputs = -20..80i64;
        let clamp = Table {
            columns: vec![
                inputs.clone().map(element).collect(),
                inputs.map(|input| element(input.clamp(0, 31))).collect(),
            ],
            multiplicities: 3 * COUNT + 16,
        };
        let shifted = Columns {
            count: COUNT,
            constant: Element::ZERO,
            terms: vec![(0, Element::ONE), (COUNT, Element::TWO)],
        };
        let looked = vec![
            Looked { table: 0, tuple: vec![Arc::new(Columns::one(COUNT, COUNT))] },
            Looked { table: 1, tuple: vec![Arc::new(shifted), Arc::new(Columns::one(2 * COUNT, COUNT))] },
        ];
        let lookups = Lookups::new(3 * COUNT + 16 + 100, vec![range, clamp], looked).expect("small");
        let mut content = vec![Element::ZERO; lookups.content()];
        for place in 0..COUNT {
            let i = i64::try_from(place).expect("small");
            let (x, z) = ((i * 37) % 60 - 15, (i * 11) % 10);
            content[place] = element(x);
            content[COUNT + place] = element(z);
            content[2 * COUNT + place] = element((x + 2 * z).clamp(0, 31));
        }
        lookups.count(&mut content).expect("an honest content");
        (lookups, content)
    }

    fn rng() -> ChaCha20Rng {
        ChaCha20Rng::from_seed([5; 32])
    }

    fn verified(lookups: &Lookups, argument: &Argument) -> Result<f64, ProofError> {
        argument::verify(lookups, argument, Transcript::of_test(), &mut rng())
    }

    #[test]
    fn what_stands_in_its_tables_is_shown_with_a_hundred_bits() {
        let (lookups, content) = lookups();
        let argument =
            argument::prove(&lookups, &content, Transcript::of_test(), &mut rng()).expect("not too large");
        let bits = verified(&lookups, &argument).expect("an honest argument");
        assert!((100.0..104.0).contains(&bits), "{bits}");
        // Every message of the conversation and of the last step, and the commitment.
        for place in 0..argument.wires.len() + argument.last.len() {
            let mut changed = argument.clone();
            match changed.wires.get_mut(place) {
                Some(wire) => *wire += Challenge::ONE,
                None => changed.last[place - argument.wires.len()] += Challenge::ONE,
            }
            assert!(verified(&lookups, &changed).is_err(), "message {place}");
        }
        let other =
            argument::prove(&lookups, &content, Transcript::of_test(), &mut ChaCha20Rng::from_seed([6; 32]));
        let other = other.expect("not too large");
        for changed in [
            Argument { commitment: other.commitment.clone(), ..argument.clone() },
            Argument { opening: other.opening.clone(), ..argument.clone() },
            Argument { wires: other.wires.clone(), ..argument.clone() },
            Argument { last: other.last, ..argument },
        ] {
            assert!(verified(&lookups, &changed).is_err(), "two proofs of one thing do not mix");
        }
    }

    #[test]
    fn a_content_with_one_number_changed_is_not_shown() {
        let (lookups, content) = lookups();
        assert_eq!(
            lookups.count(&mut {
                let mut bad = content.clone();
                bad[300] = element(16);
                bad
            }),
            Err(NotInTable { looked: 0, slot: 0 })
        );
        // A summand, a range's number, a clamped value, multiplicities of either table: whatever the prover says.
        for place in [0, 299, 300, 599, 600, 899, 900, 915, 916, 1015] {
            let mut wrong = content.clone();
            wrong[place] += element(41);
            let argument =
                argument::prove(&lookups, &wrong, Transcript::of_test(), &mut rng()).expect("fits");
            assert!(verified(&lookups, &argument).is_err(), "element {place}");
        }
    }
}
