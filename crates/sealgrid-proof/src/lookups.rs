//! That tuples of linear forms of the content stand in public tables: all lookups of a proof as one sum of fractions (LogUp, eprint
//! 2022/1530), `Σ 1/(α − f) = Σ n/(α − t)` over all tuples `f` and all rows `t` with their multiplicities `n`.
//!
//! A tuple is folded to `tag + γ·v_0 + γ²·v_1 + …`, the tag being its table's. Tuples and rows stand at the vertices of a cube, each list in
//! blocks of powers of two, as its length is made of them, the longest blocks of all lists first, so that every block is aligned and nothing stands
//! between them; a vertex without tuple or row is the fraction 0/1.
//! The tree of fractions ends in the values of numerators and denominators at one point, which are linear in the content.
//!
//! A content may be about several records, of which the same is said ([`Places`]). A list then has each of its tuples once a record, side by side, as
//! many as the next power of two: the last variables of the cube tell the record in all lists, so at a point a tuple's weight is one of its place in the
//! list times one of its record, and whatever is done with the weights is done once for all records.

use std::collections::HashMap;
use std::sync::Arc;

use p3_field::{PackedValue as _, PrimeCharacteristicRing as _, PrimeField32 as _};

use crate::argument::{ContentClaim, Conversation, Later, TooLarge};
use crate::channel::{ProofError, Prover, Verifier};
use crate::commit::VARIABLES_MAX;
use crate::field::{Challenge, Element, LANES, Packed, PackedElement, equality, equality_at, wipe};
use crate::fractions::{self, Leaves};
use crate::hidden::Hidden;
use crate::places::{Places, side_by_side};

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

    fn index(&self) -> Index<'_> {
        if self.columns[0].windows(2).all(|pair| pair[1] == pair[0] + Element::ONE) {
            return Index::Counted(self);
        }
        let key = |row: usize| self.columns.iter().map(|column| column[row]).collect();
        Index::Other((0..self.rows()).map(|row| (key(row), row)).collect())
    }
}

/// Finds the rows of a table.
enum Index<'t> {
    /// The first column counts them.
    Counted(&'t Table),
    Other(HashMap<Vec<Element>, usize>),
}

impl Index<'_> {
    /// The row that is the tuple of the `columns` at `at`.
    fn find(&self, columns: &[Vec<Element>], at: usize) -> Option<usize> {
        match self {
            Self::Counted(table) => {
                let row = (columns[0][at] - table.columns[0][0]).as_canonical_u32() as usize;
                let same = row < table.rows()
                    && table.columns.iter().zip(columns).all(|(rows, tuples)| rows[row] == tuples[at]);
                same.then_some(row)
            }
            Self::Other(rows) => {
                let key: Vec<Element> = columns.iter().map(|column| column[at]).collect();
                rows.get(&key).copied()
            }
        }
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
    places: Places,
    tables: Vec<Table>,
    looked: Vec<Looked>,
    blocks: Vec<Block>,
    variables: usize,
}

/// A content, and what follows from it.
#[derive(Clone, Debug)]
pub struct Witness {
    /// What is committed to.
    pub(crate) content: Vec<Element>,
    /// What is looked up. A content that somebody has changed has none yet.
    pub(crate) lists: Option<Lists>,
}

impl From<Vec<Element>> for Witness {
    fn from(content: Vec<Element>) -> Self {
        Self { content, lists: None }
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        wipe(&mut self.content);
        self.lists.iter_mut().flat_map(|lists| &mut lists.0).flatten().for_each(|column| wipe(column));
    }
}

/// The columns of each list's tuples, of one record.
#[derive(Debug)]
pub(crate) struct Listed(Vec<Vec<Vec<Element>>>);

impl Drop for Listed {
    fn drop(&mut self) {
        self.0.iter_mut().flatten().for_each(|column| wipe(column));
    }
}

/// The columns of each list's tuples, as they stand in its block: the records of a tuple side by side.
#[derive(Clone, Debug)]
pub(crate) struct Lists(Vec<Vec<Vec<Element>>>);

/// A functional of the places: what weighs them, and what comes to it that no place has a part in.
#[derive(Clone, Debug)]
pub struct Pulled {
    pub(crate) functional: Vec<Challenge>,
    pub(crate) known: Challenge,
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
    /// Which row, or which tuple of a record, it begins with.
    first: usize,
    /// How many there are, which is a power of two.
    count: usize,
    /// Its first vertex.
    start: usize,
}

/// The blocks of a list, without their vertices.
fn blocks_of(of: Of, count: usize) -> impl Iterator<Item = Block> {
    let bits = (0..usize::BITS).rev().map(move |bit| count & 1 << bit).filter(|count| *count > 0);
    bits.scan(0, move |next, count| {
        let first = *next;
        *next += count;
        Some(Block { of, first, count, start: 0 })
    })
}

/// A tuple of the witness stands in no table: the content is not that of an honest run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("tuple {slot} of list {looked} is in no row of its table")]
pub struct NotInTable {
    /// Which list.
    pub looked: usize,
    /// Which tuple, of some record.
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
        Self::over(Places::of_one(content), tables, looked)
    }

    /// [`Lookups::new`] about the places of several records; multiplicities are shared.
    pub(crate) fn over(places: Places, tables: Vec<Table>, looked: Vec<Looked>) -> Result<Self, TooLarge> {
        for table in &tables {
            assert!(table.columns.iter().all(|column| column.len() == table.rows()), "columns of one length");
            assert!(
                table.rows() > 0 && table.multiplicities + table.rows() <= places.count,
                "a row, and places"
            );
        }
        for list in &looked {
            let count = list.tuple[0].count();
            assert!(list.tuple.len() == tables[list.table].columns.len(), "a form a column");
            assert!(count > 0 && list.tuple.iter().all(|form| form.count() == count), "forms of one length");
        }
        let lists = looked.iter().enumerate();
        let lists = lists.flat_map(|(number, list)| blocks_of(Of::Looked(number), list.tuple[0].count()));
        let rows = tables.iter().enumerate();
        let rows = rows.flat_map(|(number, table)| blocks_of(Of::Table(number), table.rows()));
        let vertices = |block: &Block| match block.of {
            Of::Table(_) => block.count,
            Of::Looked(_) => block.count * places.width(),
        };
        let mut blocks: Vec<Block> = rows.chain(lists).collect();
        blocks.sort_by_key(|block| std::cmp::Reverse(vertices(block)));
        let mut start = 0;
        for block in &mut blocks {
            block.start = start;
            start += vertices(block);
        }
        if start.max(places.content()) > 1 << VARIABLES_MAX {
            return Err(TooLarge { elements: start.max(places.content()) });
        }
        // Also where nothing is looked up, the last variables tell the record.
        let variables = start.next_power_of_two().max(places.width()).ilog2() as usize;
        Ok(Self { places, tables, looked, blocks, variables })
    }

    /// Variables of the tree of fractions.
    pub(crate) fn variables(&self) -> usize {
        self.variables
    }

    /// Where everything stands.
    pub(crate) fn places(&self) -> &Places {
        &self.places
    }

    /// What is looked up of one record.
    pub(crate) fn listed(&self, places: &[Element]) -> Listed {
        let columns = |list: &Looked| list.tuple.iter().map(|form| form.values(places)).collect();
        Listed(self.looked.iter().map(columns).collect())
    }

    /// What is looked up of all records.
    pub(crate) fn lists(&self, records: &[&Listed]) -> Lists {
        let columns = |(number, list): (usize, &Looked)| {
            let column = |column: usize| {
                let records: Vec<&[Element]> =
                    records.iter().map(|record| &record.0[number][column][..]).collect();
                let mut all = vec![Element::ZERO; list.tuple[0].count() * self.places.width()];
                side_by_side(&records, &mut all);
                all
            };
            (0..list.tuple.len()).map(column).collect()
        };
        Lists(self.looked.iter().enumerate().map(columns).collect())
    }

    /// Counts how often each row is looked up, and writes that into the content.
    pub(crate) fn count(&self, lists: &Lists, content: &mut [Element]) -> Result<(), NotInTable> {
        for (number, table) in self.tables.iter().enumerate() {
            let rows = table.index();
            let mut counts = vec![0u32; table.rows()];
            let looked = self.looked.iter().zip(&lists.0).enumerate();
            for (looked, (_, columns)) in looked.filter(|(_, (list, _))| list.table == number) {
                for at in 0..columns[0].len() {
                    if at % self.places.width() < self.places.records {
                        let slot = at / self.places.width();
                        let row = rows.find(columns, at).ok_or(NotInTable { looked, slot })?;
                        counts[row] += 1;
                    }
                }
            }
            let places = content[self.places.shared(table.multiplicities)..].iter_mut();
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
    pub(crate) fn show(&self, channel: &mut Prover<'_>, lists: &Lists, content: &[Element]) -> Drawn {
        let (alpha, gamma) = (channel.challenge(), channel.challenge());
        let point = fractions::prove(channel, self.leaves(alpha, gamma, lists, content));
        self.drawn(alpha, gamma, point)
    }

    fn leaves(&self, alpha: Challenge, gamma: Challenge, lists: &Lists, content: &[Element]) -> Leaves {
        let (width, records) = (self.places.width(), self.places.records);
        let mut leaves = Leaves::empty(self.variables);
        // Of blocks that are shorter than a pack.
        let mut rest = Vec::new();
        for block in &self.blocks {
            let (table, columns, first, count) = match block.of {
                Of::Table(number) => (number, &self.tables[number].columns, block.first, block.count),
                Of::Looked(number) => {
                    let table = self.looked[number].table;
                    (table, &lists.0[number], block.first * width, block.count * width)
                }
            };
            let numerator = |at: usize| match block.of {
                Of::Table(number) => {
                    let table = &self.tables[number];
                    -content[self.places.shared(table.multiplicities) + block.first + at]
                }
                Of::Looked(_) => Element::from_bool(at % width < records),
            };
            let above = alpha - Challenge::from(Self::tag(table));
            if count < LANES {
                for at in 0..count {
                    let columns = columns.iter().zip(gamma.powers().skip(1));
                    let tuple: Challenge = columns.map(|(column, power)| power * column[first + at]).sum();
                    let of_record = matches!(block.of, Of::Table(_)) || at % width < records;
                    rest.push((numerator(at), if of_record { above - tuple } else { Challenge::ONE }));
                }
                continue;
            }
            let powers: Vec<Packed> = gamma.powers().skip(1).take(columns.len()).map(Packed::from).collect();
            let above = Packed::from(above);
            for at in (0..count).step_by(LANES) {
                let packs =
                    columns.iter().map(|column| *PackedElement::from_slice(&column[first + at..][..LANES]));
                let tuple: Packed = powers.iter().zip(packs).map(|(power, pack)| *power * pack).sum();
                let mut denominator = above - tuple;
                if width != records && matches!(block.of, Of::Looked(_)) {
                    // 1 where no record is.
                    let of_record =
                        PackedElement::from_fn(|lane| Element::from_bool((at + lane) % width < records));
                    denominator = (denominator - Packed::ONE) * of_record + Packed::ONE;
                }
                leaves.push(PackedElement::from_fn(|lane| numerator(at + lane)), denominator);
            }
        }
        leaves.finish(&rest);
        leaves
    }

    /// The verifier's; what was drawn, and the fractions' numerator and denominator there.
    pub(crate) fn check(&self, channel: &mut Verifier<'_>) -> Result<(Drawn, [Hidden; 2]), ProofError> {
        let (alpha, gamma) = (channel.challenge(), channel.challenge());
        let claim = fractions::verify(channel, self.variables)?;
        Ok((self.drawn(alpha, gamma, claim.point), [claim.numerator, claim.denominator]))
    }

    fn drawn(&self, alpha: Challenge, gamma: Challenge, mut point: Vec<Challenge>) -> Drawn {
        let record = point.split_off(point.len() - self.places.width().ilog2() as usize);
        let mut records = equality(&record);
        records[self.places.records..].fill(Challenge::ZERO);
        Drawn { alpha, gamma, point, record, records }
    }

    /// What numerator and `merge` times the denominator at the point that was drawn say of the places. `also` adds what else is said of each record's,
    /// in the same records' weights, and yields what no place has a part in.
    pub(crate) fn pull(
        &self,
        drawn: &Drawn,
        merge: Challenge,
        also: impl FnOnce(&mut [Challenge]) -> Challenge,
    ) -> Pulled {
        let Drawn { alpha, gamma, point, .. } = drawn;
        let all_records = drawn.all_records();
        let mut functional = vec![Challenge::ZERO; self.places.count];
        // A denominator is 1 where nothing stands, so that all weights add up to 1.
        let mut denominators = Challenge::ONE;
        let mut numerators = Challenge::ZERO;
        let mut of_record = also(&mut functional);
        for (number, list) in self.looked.iter().enumerate() {
            let weights = self.weights(Of::Looked(number), list.tuple[0].count(), point, self.places.width());
            let all = weights.iter().copied().sum::<Challenge>() * all_records;
            numerators += all;
            denominators += all * (*alpha - Challenge::from(Self::tag(list.table)) - Challenge::ONE);
            for (form, power) in list.tuple.iter().zip(gamma.powers().skip(1)) {
                let factor = -(power * merge);
                let weights: Vec<Challenge> = weights.iter().map(|weight| factor * *weight).collect();
                of_record += form.pull(&weights, &mut functional);
            }
        }
        self.places.share(&mut functional, all_records);
        let whole: Vec<Challenge> = point.iter().chain(&drawn.record).copied().collect();
        for (number, table) in self.tables.iter().enumerate() {
            let weights = self.weights(Of::Table(number), table.rows(), &whole, 1);
            let places = functional[table.multiplicities..].iter_mut();
            let rows = folded(Self::tag(number), &table.columns, *gamma);
            for ((place, weight), row) in places.zip(weights).zip(rows) {
                *place -= weight;
                denominators += (*alpha - row - Challenge::ONE) * weight;
            }
        }
        Pulled { functional, known: numerators + merge * denominators + of_record * all_records }
    }

    /// `eq(point, x)` for the `count` tuples or rows of a list, each of which takes `width` vertices.
    fn weights(&self, of: Of, count: usize, point: &[Challenge], width: usize) -> Vec<Challenge> {
        let mut weights = vec![Challenge::ZERO; count];
        for block in self.blocks.iter().filter(|block| block.of == of) {
            let to = weights[block.first..].iter_mut();
            let of_block = block_weights(point, block.start / width, block.count);
            to.zip(of_block).for_each(|(to, weight)| *to = weight);
        }
        weights
    }
}

/// What is drawn while lookups are shown.
#[derive(Clone, Debug)]
pub(crate) struct Drawn {
    alpha: Challenge,
    gamma: Challenge,
    /// Where in the lists, in units of records.
    point: Vec<Challenge>,
    /// Where in the records.
    record: Vec<Challenge>,
    /// Each record's weight there; zeros where there is none.
    pub(crate) records: Vec<Challenge>,
}

impl Drawn {
    /// What the records' weights add up to.
    pub(crate) fn all_records(&self) -> Challenge {
        self.records.iter().copied().sum()
    }
}

/// `eq(point, x)` for the vertices `x` of an aligned block.
fn block_weights(point: &[Challenge], start: usize, length: usize) -> Vec<Challenge> {
    let (block, within) = point.split_at(point.len() - length.ilog2() as usize);
    let weight = equality_at(block, start / length);
    let mut weights = equality(within);
    weights.iter_mut().for_each(|within| *within *= weight);
    weights
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
        self.places.content()
    }

    fn pads(&self) -> usize {
        // Each product brings a value beyond; together they bring both sides and their product at 0.
        fractions::pads(self.variables) + fractions::products(self.variables) + 3
    }

    fn prove(&self, channel: &mut Prover<'_>, witness: &Witness) -> Option<Pulled> {
        let Witness { content, lists } = witness;
        match lists {
            Some(lists) => self.show(channel, lists, content),
            None => {
                let mut listed = Vec::new();
                self.places.each(content, |_, places| listed.push(self.listed(places)));
                self.show(channel, &self.lists(&listed.iter().collect::<Vec<_>>()), content)
            }
        };
        // Drawn by both sides, to merge with.
        let _ = channel.challenge();
        None
    }

    fn verify<'c>(
        &'c self,
        channel: &mut Verifier<'c>,
        pulled: Option<Pulled>,
    ) -> Result<Later<'c>, ProofError> {
        let (drawn, [numerator, denominator]) = self.check(channel)?;
        let merge = channel.challenge();
        Ok(Box::new(move || {
            let pulled = pulled.unwrap_or_else(|| self.pull(&drawn, merge, |_| Challenge::ZERO));
            let value = &numerator + &(&denominator * merge);
            let functional = self.places.parts(&pulled.functional, &drawn.records);
            Ok(vec![ContentClaim { functional, value: &value - &Hidden::known(pulled.known) }])
        }))
    }

    fn errors(&self) -> u64 {
        // α: the sum's numerator has a degree below the number of fractions; γ: two tuples fold alike; numerator and denominator are merged.
        let fractions = 1u64 << self.variables;
        fractions::errors(self.variables) + fractions + self.widest() * fractions + 1
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
        recount(&lookups, &mut content).expect("an honest content");
        (lookups, content)
    }

    fn recount(lookups: &Lookups, content: &mut [Element]) -> Result<(), NotInTable> {
        let lists = lookups.lists(&[&lookups.listed(content)]);
        lookups.count(&lists, content)
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
        let witness = Witness::from(content);
        let argument =
            argument::prove(&lookups, &witness, Transcript::of_test(), &mut rng()).expect("not too large");
        let bits = verified(&lookups, &argument).expect("an honest argument");
        assert!((100.0..105.0).contains(&bits), "{bits}");
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
            argument::prove(&lookups, &witness, Transcript::of_test(), &mut ChaCha20Rng::from_seed([6; 32]));
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
            recount(&lookups, &mut {
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
                argument::prove(&lookups, &wrong.into(), Transcript::of_test(), &mut rng()).expect("fits");
            assert!(verified(&lookups, &argument).is_err(), "element {place}");
        }
    }
}
