//! That tuples of linear forms of the content stand in tables: all lookups of a proof as one sum of fractions (LogUp, eprint
//! 2022/1530), `Σ 1/(α − f) = Σ n/(α − t)` over all tuples `f` and all rows `t` with their multiplicities `n`. A table is public, or its rows are linear
//! forms of the content as well: these stand in it before `α` and `γ` are drawn, like everything that is looked up.
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
use std::ops::Range;
use std::sync::Arc;

use p3_field::{PackedValue as _, PrimeCharacteristicRing as _, PrimeField32 as _};

use crate::argument::{ContentClaim, Conversation, Later, TooLarge};
use crate::channel::{ProofError, Prover, Verifier};
use crate::commit::VARIABLES_MAX;
use crate::field::{
    Challenge, Element, LANES, Packed, PackedElement, equality, equality_at, equality_times, wipe,
};
use crate::form::{Form, Memo, Pulling, Values};
use crate::fractions::{self, Leaves};
use crate::hidden::Hidden;
use crate::level::Level;
use crate::places::{Places, side_by_side};
use crate::threads::each;

/// Places from which on lists are pulled by two threads; tests do both.
const PLACES_OF_TWO_THREADS: usize = if cfg!(test) { 1 << 11 } else { 1 << 18 };

/// A table.
pub struct Table {
    /// Its rows.
    pub rows: Rows,
    /// Where the multiplicities of its rows begin in the content.
    pub multiplicities: usize,
}

/// The columns of a table, of one length: row `i` is the tuple of their elements at `i`.
pub enum Rows {
    /// Everybody knows them. No row occurs twice.
    Told(Vec<Vec<Element>>),
    /// Nobody is told them, and they are the same for all records: forms of what these share.
    Shared(Vec<Arc<dyn Form>>),
    /// Each record has its own: forms of its places, among which are the multiplicities. What is looked up of one record is kept from the rows of
    /// another by nothing but a column that says whose they are.
    Own(Vec<Arc<dyn Form>>),
}

impl Table {
    /// How many rows it has.
    pub(crate) fn rows(&self) -> usize {
        match &self.rows {
            Rows::Told(columns) => columns[0].len(),
            Rows::Shared(columns) | Rows::Own(columns) => columns[0].count(),
        }
    }

    fn width(&self) -> usize {
        match &self.rows {
            Rows::Told(columns) => columns.len(),
            Rows::Shared(columns) | Rows::Own(columns) => columns.len(),
        }
    }

    fn is_own(&self) -> bool {
        matches!(self.rows, Rows::Own(_))
    }

    fn is_even(&self) -> bool {
        match &self.rows {
            Rows::Told(columns) => columns.iter().all(|column| column.len() == self.rows()),
            Rows::Shared(columns) | Rows::Own(columns) => {
                columns.iter().all(|column| column.count() == self.rows())
            }
        }
    }
}

/// Finds the rows of a table.
enum Index<'t> {
    /// The first column counts them, or counts so many of them, which the second one counts.
    Counted(&'t [Vec<Element>], usize),
    Other(HashMap<Vec<Element>, usize>),
}

impl<'t> Index<'t> {
    /// Of those rows of the columns that are some.
    fn of(columns: &'t [Vec<Element>], is_row: impl Fn(usize) -> bool) -> Self {
        let rows = 0..columns[0].len();
        let each = columns[0].iter().take_while(|first| **first == columns[0][0]).count();
        let is_counted = each == 1 || columns.len() > 1;
        let is_counted =
            is_counted && rows.clone().all(|row| Self::place(columns, each, columns, row) == row);
        if is_counted && rows.clone().all(&is_row) {
            return Index::Counted(columns, each);
        }
        let key = |row: usize| columns.iter().map(|column| column[row]).collect();
        Index::Other(rows.filter(|row| is_row(*row)).map(|row| (key(row), row)).collect())
    }

    /// The row that has the first columns of the tuple at `at`, if they are counted.
    fn place(table: &[Vec<Element>], each: usize, columns: &[Vec<Element>], at: usize) -> usize {
        let above = |column: usize| (columns[column][at] - table[column][0]).as_canonical_u32() as usize;
        if each == 1 { above(0) } else { above(0) * each + above(1) }
    }

    /// The row that is the tuple of the `columns` at `at`.
    fn find(&self, columns: &[Vec<Element>], at: usize) -> Option<usize> {
        match self {
            Self::Counted(table, each) => {
                let row = Self::place(table, *each, columns, at);
                let same = row < table[0].len()
                    && table.iter().zip(columns).all(|(rows, tuples)| rows[row] == tuples[at]);
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
        let lists = self.lists.iter_mut().flat_map(|lists| lists.looked.iter_mut().chain(&mut lists.tables));
        lists.flatten().for_each(|column| wipe(column));
    }
}

/// The columns of each list's tuples of one record, and of the rows of tables that are its own, or, of the first, all records'.
#[derive(Debug)]
pub(crate) struct Listed {
    looked: Vec<Vec<Vec<Element>>>,
    tables: Vec<Vec<Vec<Element>>>,
}

impl Drop for Listed {
    fn drop(&mut self) {
        self.looked.iter_mut().chain(&mut self.tables).flatten().for_each(|column| wipe(column));
    }
}

/// What the content says of lists and tables.
#[derive(Clone, Debug)]
pub(crate) struct Lists {
    /// The columns of each list's tuples, as they stand in its block: the records of a tuple side by side.
    looked: Vec<Vec<Vec<Element>>>,
    /// Those of each table's rows, of a record's own likewise; none of a table that is told.
    tables: Vec<Vec<Vec<Element>>>,
}

/// A functional of the places: what weighs them, and what comes to it that no place has a part in.
#[derive(Clone, Debug)]
pub struct Pulled {
    pub(crate) functional: Vec<Challenge>,
    pub(crate) known: Challenge,
}

/// What lists of one record say of the places, and what comes to numerators, denominators and each record's forms that no place has a part in.
struct PulledLists {
    functional: Vec<Challenge>,
    numerators: Challenge,
    denominators: Challenge,
    of_record: Challenge,
}

impl PulledLists {
    fn add(&mut self, other: &Self) {
        self.functional.iter_mut().zip(&other.functional).for_each(|(sum, weight)| *sum += *weight);
        self.numerators += other.numerators;
        self.denominators += other.denominators;
        self.of_record += other.of_record;
    }
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
            assert!(table.is_even(), "columns of one length");
            let end = if table.is_own() { places.own.end } else { places.count };
            assert!(table.rows() > 0 && table.multiplicities + table.rows() <= end, "a row, and places");
        }
        for list in &looked {
            let count = list.tuple[0].count();
            assert!(list.tuple.len() == tables[list.table].width(), "a form a column");
            assert!(count > 0 && list.tuple.iter().all(|form| form.count() == count), "forms of one length");
        }
        let lists = looked.iter().enumerate();
        let lists = lists.flat_map(|(number, list)| blocks_of(Of::Looked(number), list.tuple[0].count()));
        let rows = tables.iter().enumerate();
        let rows = rows.flat_map(|(number, table)| blocks_of(Of::Table(number), table.rows()));
        let vertices = |block: &Block| match block.of {
            Of::Table(number) if !tables[number].is_own() => block.count,
            _ => block.count * places.width(),
        };
        let mut blocks: Vec<Block> = rows.chain(lists).collect();
        blocks.sort_by_key(|block| std::cmp::Reverse(vertices(block)));
        let mut start = 0;
        for block in &mut blocks {
            block.start = start;
            start += vertices(block);
        }
        if start.max(places.content()) > 1 << VARIABLES_MAX {
            return Err(TooLarge::Elements(start.max(places.content())));
        }
        // Also where nothing is looked up, the last variables tell the record.
        let variables = start.next_power_of_two().max(places.width()).ilog2() as usize;
        Ok(Self { places, tables, looked, blocks, variables })
    }

    /// Where the multiplicities of tables stand that each record has for itself.
    #[cfg(test)]
    pub(crate) fn own_multiplicities(&self) -> Vec<std::ops::Range<usize>> {
        let own = self.tables.iter().filter(|table| table.is_own());
        own.map(|table| table.multiplicities..table.multiplicities + table.rows()).collect()
    }

    /// Variables of the tree of fractions.
    pub(crate) fn variables(&self) -> usize {
        self.variables
    }

    /// Where everything stands.
    pub(crate) fn places(&self) -> &Places {
        &self.places
    }

    /// What is looked up of one record, and the rows of tables that it has, or, being the first, shares.
    pub(crate) fn listed(&self, record: usize, of: Values<'_>) -> Listed {
        let values = |forms: &[Arc<dyn Form>]| forms.iter().map(|form| of.of(form).to_vec()).collect();
        let rows = |table: &Table| match &table.rows {
            Rows::Own(rows) => values(rows),
            Rows::Shared(rows) if record == 0 => values(rows),
            Rows::Shared(_) | Rows::Told(_) => Vec::new(),
        };
        Listed {
            looked: self.looked.iter().map(|list| values(&list.tuple)).collect(),
            tables: self.tables.iter().map(rows).collect(),
        }
    }

    /// What is looked up of all records, the first at the beginning.
    pub(crate) fn lists(&self, records: &[&Listed]) -> Lists {
        let all = |columns: usize, of: &dyn Fn(&Listed) -> &[Vec<Element>]| -> Vec<Vec<Element>> {
            let column = |column: usize| {
                let records: Vec<&[Element]> = records.iter().map(|record| &of(record)[column][..]).collect();
                let mut all = vec![Element::ZERO; records[0].len() * self.places.width()];
                side_by_side(&records, &mut all);
                all
            };
            (0..columns).map(column).collect()
        };
        let looked = self.looked.iter().enumerate();
        let looked = looked.map(|(number, list)| all(list.tuple.len(), &|record| &record.looked[number]));
        let rows = |(number, table): (usize, &Table)| match &table.rows {
            Rows::Own(rows) => all(rows.len(), &|record| &record.tables[number]),
            Rows::Shared(_) => records[0].tables[number].clone(),
            Rows::Told(_) => Vec::new(),
        };
        Lists { looked: looked.collect(), tables: self.tables.iter().enumerate().map(rows).collect() }
    }

    /// Counts how often each row is looked up, and writes that into the content.
    pub(crate) fn count(&self, lists: &Lists, content: &mut [Element]) -> Result<(), NotInTable> {
        let is_of_record = |at: usize| at % self.places.width() < self.places.records;
        for (number, table) in self.tables.iter().enumerate() {
            let columns = match &table.rows {
                Rows::Told(columns) => columns,
                Rows::Shared(_) | Rows::Own(_) => &lists.tables[number],
            };
            let rows = Index::of(columns, |row| !table.is_own() || is_of_record(row));
            let mut counts = vec![0u32; columns[0].len()];
            let looked = self.looked.iter().zip(&lists.looked).enumerate();
            for (looked, (_, columns)) in looked.filter(|(_, (list, _))| list.table == number) {
                for at in (0..columns[0].len()).filter(|at| is_of_record(*at)) {
                    let slot = at / self.places.width();
                    let row = rows.find(columns, at).ok_or(NotInTable { looked, slot })?;
                    counts[row] += 1;
                }
            }
            let places = content[self.multiplicities(table)..].iter_mut();
            places.zip(counts).for_each(|(place, count)| *place = Element::from_u32(count));
        }
        Ok(())
    }

    /// Where the multiplicities of a table begin in the content; those of all records stand side by side.
    fn multiplicities(&self, table: &Table) -> usize {
        match table.is_own() {
            true => self.places.own_at(table.multiplicities),
            false => self.places.shared(table.multiplicities),
        }
    }

    /// Tags begin with 1, so that no tuple folds to the padding's nothing by itself.
    fn tag(table: usize) -> Element {
        Element::from_usize(table + 1)
    }

    fn widest(&self) -> u64 {
        self.tables.iter().map(|table| table.width() as u64).max().unwrap_or(0)
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
            let (table, columns) = match block.of {
                Of::Table(number) => match &self.tables[number].rows {
                    Rows::Told(columns) => (number, columns),
                    Rows::Shared(_) | Rows::Own(_) => (number, &lists.tables[number]),
                },
                Of::Looked(number) => (self.looked[number].table, &lists.looked[number]),
            };
            // Whether each record has its own, side by side.
            let is_own = self.is_own(block.of);
            let (first, count) =
                if is_own { (block.first * width, block.count * width) } else { (block.first, block.count) };
            let numerator = |at: usize| match block.of {
                Of::Table(number) if !is_own || at % width < records => {
                    -content[self.multiplicities(&self.tables[number]) + first + at]
                }
                Of::Table(_) => Element::ZERO,
                Of::Looked(_) => Element::from_bool(at % width < records),
            };
            let above = alpha - Challenge::from(Self::tag(table));
            if count < LANES {
                for at in 0..count {
                    let columns = columns.iter().zip(gamma.powers().skip(1));
                    let tuple: Challenge = columns.map(|(column, power)| power * column[first + at]).sum();
                    let of_record = !is_own || at % width < records;
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
                if width != records && is_own {
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

    /// Whether what stands in a block stands there once a record.
    fn is_own(&self, of: Of) -> bool {
        match of {
            Of::Table(number) => self.tables[number].is_own(),
            Of::Looked(_) => true,
        }
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

    /// What numerator and `merge` times the denominator at the point that was drawn say of the places; `also` is what else weighs lists of each record's,
    /// in the same records' weights.
    pub(crate) fn pull<'l>(
        &'l self,
        drawn: &Drawn,
        merge: Challenge,
        mut also: Vec<(&'l Arc<dyn Form>, Vec<Challenge>)>,
    ) -> Pulled {
        let Drawn { alpha, gamma, point, .. } = drawn;
        let all_records = drawn.all_records();
        // Tables of which each record has its own are weighed as the lists are.
        let mut own: Vec<(usize, &Table, Vec<Challenge>)> = Vec::new();
        for (number, table) in self.tables.iter().enumerate() {
            let Rows::Own(rows) = &table.rows else { continue };
            let weights = self.weights(Of::Table(number), table.rows(), point, self.places.width());
            for (form, power) in rows.iter().zip(gamma.powers().skip(1)) {
                let factor = -(power * merge);
                also.push((form, weights.iter().map(|weight| factor * *weight).collect()));
            }
            own.push((number, table, weights));
        }
        let all = 0..self.looked.len();
        let pull = if self.places.count < PLACES_OF_TWO_THREADS {
            self.pull_lists(all, drawn, merge, &also)
        } else {
            let middle = self.middle(&also);
            let parts = [(all.start..middle, &also[..]), (middle..all.end, &[][..])];
            let [mut one, other] = each(parts, |(lists, also)| self.pull_lists(lists, drawn, merge, also));
            one.add(&other);
            one
        };
        let above = |table: usize| *alpha - Challenge::from(Self::tag(table)) - Challenge::ONE;
        let PulledLists { mut functional, numerators, mut denominators, of_record } = pull;
        // A denominator is 1 where nothing stands, so that all weights add up to 1.
        denominators += Challenge::ONE;
        let count = |table: &Table, weights: &[Challenge], functional: &mut [Challenge]| {
            let places = functional[table.multiplicities..].iter_mut();
            places.zip(weights).for_each(|(place, weight)| *place -= *weight);
        };
        for (number, table, weights) in &own {
            denominators += weights.iter().copied().sum::<Challenge>() * all_records * above(*number);
            count(table, weights, &mut functional);
        }
        self.places.share(&mut functional, all_records);
        let whole: Vec<Challenge> = point.iter().chain(&drawn.record).copied().collect();
        let forms = self.tables.iter().flat_map(|table| match &table.rows {
            Rows::Shared(rows) => &rows[..],
            Rows::Told(_) | Rows::Own(_) => &[],
        });
        let mut pulling = Pulling::through(forms, &mut functional);
        for (number, table) in self.tables.iter().enumerate() {
            let weights = match table.rows {
                Rows::Own(_) => continue,
                Rows::Told(_) | Rows::Shared(_) => self.weights(Of::Table(number), table.rows(), &whole, 1),
            };
            count(table, &weights, pulling.content());
            match &table.rows {
                Rows::Told(columns) => {
                    let rows = folded(Self::tag(number), columns, *gamma);
                    for (weight, row) in weights.iter().zip(rows) {
                        denominators += (*alpha - row - Challenge::ONE) * *weight;
                    }
                }
                Rows::Shared(rows) | Rows::Own(rows) => {
                    denominators += weights.iter().copied().sum::<Challenge>() * above(number);
                    for (form, power) in rows.iter().zip(gamma.powers().skip(1)) {
                        let factor = -(power * merge);
                        pulling.add(form, weights.iter().map(|weight| factor * *weight));
                    }
                }
            }
        }
        let shared = pulling.finish();
        let known = numerators + merge * denominators + of_record * all_records + shared;
        Pulled { functional, known }
    }

    /// Where the lists are parted so that about as much is pulled on either side, what is pulled also being on the first.
    fn middle(&self, also: &[(&Arc<dyn Form>, Vec<Challenge>)]) -> usize {
        let counts = self.looked.iter().map(|list| (1 + list.tuple.len()) * list.tuple[0].count());
        let also = also.iter().map(|(_, weights)| weights.len()).sum::<usize>();
        let all = also + counts.clone().sum::<usize>();
        let before = counts.scan(also, |before, count| {
            *before += count;
            Some(*before)
        });
        before.take_while(|before| 2 * before <= all).count()
    }

    /// What some of the lists say, and what is pulled also.
    fn pull_lists(
        &self,
        lists: Range<usize>,
        drawn: &Drawn,
        merge: Challenge,
        also: &[(&Arc<dyn Form>, Vec<Challenge>)],
    ) -> PulledLists {
        let all_records = drawn.all_records();
        let mut functional = vec![Challenge::ZERO; self.places.count];
        let [mut numerators, mut denominators] = [Challenge::ZERO; 2];
        let own = &self.looked[lists.clone()];
        let forms = own.iter().flat_map(|list| &list.tuple).chain(also.iter().map(|(form, _)| *form));
        let mut pulling = Pulling::through(forms, &mut functional);
        also.iter().for_each(|(form, weights)| pulling.add(form, weights.iter().copied()));
        for (number, list) in lists.zip(own) {
            let count = list.tuple[0].count();
            let weights = self.weights(Of::Looked(number), count, &drawn.point, self.places.width());
            let all = weights.iter().copied().sum::<Challenge>() * all_records;
            numerators += all;
            denominators += all * (drawn.alpha - Challenge::from(Self::tag(list.table)) - Challenge::ONE);
            for (form, power) in list.tuple.iter().zip(drawn.gamma.powers().skip(1)) {
                let factor = -(power * merge);
                pulling.add(form, weights.iter().map(|weight| factor * *weight));
            }
        }
        let of_record = pulling.finish();
        PulledLists { functional, numerators, denominators, of_record }
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
    equality_times(weight, within)
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
    // Alone it is argued about in tests; runs and registrations have their own.
    fn level(&self) -> Level {
        Level::default()
    }

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
                self.places.each(content, |record, places| {
                    listed.push(self.listed(record, Memo::default().of(places)));
                });
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
        Ok(vec![Box::new(move || {
            let pulled = pulled.unwrap_or_else(|| self.pull(&drawn, merge, Vec::new()));
            let value = &numerator + &(&denominator * merge);
            let functional = self.places.parts(&pulled.functional, &drawn.records);
            Ok(vec![ContentClaim { functional, value: &value - &Hidden::known(pulled.known) }])
        })])
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
    use crate::form::{self, Columns};
    use crate::transcript::Transcript;

    fn element(value: i64) -> Element {
        Element::from_i64(value)
    }

    /// 300 numbers `x` and their clamped shifts `y = clamp(x + 2·z)`: `z` in a range, `(x + 2z, y)` in a table of the clamp.
    fn lookups() -> (Lookups, Vec<Element>) {
        const COUNT: usize = 300;
        let range =
            Table { rows: Rows::Told(vec![(0..16).map(element).collect()]), multiplicities: 3 * COUNT };
        let inputs = -20..80i64;
        let clamp = Table {
            rows: Rows::Told(vec![
                inputs.clone().map(element).collect(),
                inputs.map(|input| element(input.clamp(0, 31))).collect(),
            ]),
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
        let lists = lookups.lists(&[&lookups.listed(0, Memo::default().of(content))]);
        lookups.count(&lists, content)
    }

    fn rng() -> ChaCha20Rng {
        ChaCha20Rng::from_seed([5; 32])
    }

    fn verified(lookups: &Lookups, argument: &Argument) -> Result<f64, ProofError> {
        argument::verify(lookups, argument, Transcript::of_test(), &mut rng())
    }

    /// Twice another form, which counts how often it is pulled through.
    struct Counted(Arc<dyn Form>, std::sync::atomic::AtomicUsize);

    impl Form for Counted {
        fn count(&self) -> usize {
            self.0.count()
        }

        fn operands(&self) -> Vec<&Arc<dyn Form>> {
            vec![&self.0]
        }

        fn values(&self, of: Values<'_>) -> Vec<Element> {
            of.of(&self.0).iter().map(|value| value.double()).collect()
        }

        fn pull(&self, weights: &[Challenge], to: &mut Pulling<'_>) -> Challenge {
            self.1.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            to.add(&self.0, weights.iter().map(|weight| weight.double()));
            Challenge::ZERO
        }
    }

    #[test]
    fn what_several_lists_are_made_of_is_pulled_through_once_and_comes_to_the_same() {
        let mut rng = rng();
        let mut random =
            |count: usize| -> Vec<Challenge> { (0..count).map(|_| crate::field::random(&mut rng)).collect() };
        let terms = vec![(0, element(3)), (4, element(-1)), (2, Element::ONE)];
        let base: Arc<dyn Form> = Arc::new(Columns { count: 6, constant: element(7), terms });
        let counted = Arc::new(Counted(Arc::clone(&base), 0.into()));
        let shared: Arc<dyn Form> = Arc::<Counted>::clone(&counted);
        let from = [Some(5), None, Some(0), Some(5), None, Some(1)].to_vec();
        let moved: Arc<dyn Form> =
            Arc::new(crate::maps::Moved { operand: Arc::clone(&shared), from, constant: -2 });
        let both = [&shared, &moved, &base, &shared].map(Arc::clone).to_vec();
        let sum: Arc<dyn Form> = Arc::new(crate::maps::Plus(both));
        // What comes first is made of what comes later, and the other way round; the sum is weighed twice.
        for lists in [[&shared, &sum, &moved, &sum], [&sum, &moved, &sum, &shared]] {
            let content: Vec<Element> = (0..10).map(|at| element(at * at - 20)).collect();
            let mut functional = vec![Challenge::ZERO; 10];
            let mut expected = Challenge::ZERO;
            counted.1.store(0, std::sync::atomic::Ordering::Relaxed);
            let mut pulling = Pulling::through(lists, &mut functional);
            for list in lists {
                let weights = random(6);
                let values = form::values(list, &content);
                expected += weights
                    .iter()
                    .zip(values.iter())
                    .map(|(weight, value)| *weight * *value)
                    .sum::<Challenge>();
                pulling.add(list, weights.into_iter());
            }
            let known = pulling.finish();
            let own = functional.iter().zip(&content).map(|(weight, element)| *weight * *element);
            assert_eq!(own.sum::<Challenge>() + known, expected);
            assert_eq!(counted.1.load(std::sync::atomic::Ordering::Relaxed), 1);
        }
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
