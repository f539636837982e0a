//! Where the places of one record stand in a content about several. What is said of each record is the same, so it is said of places: of numbers that
//! are not committed, of elements that all records share, and of elements that each record has for itself.

use std::ops::Range;

use crate::argument::Part;
use crate::field::{Challenge, Element, wipe};
use crate::threads::each;

/// The places: numbers that are not committed, shared elements, each record's own, shared ones again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Places {
    /// Elements of the content that stand before all places, and are none.
    pub(crate) first: usize,
    /// How many are not committed.
    pub(crate) open: usize,
    /// Those that each record has for itself.
    pub(crate) own: Range<usize>,
    /// All of them.
    pub(crate) count: usize,
    pub(crate) records: usize,
}

impl Places {
    /// Of a content that is one record's.
    pub(crate) fn of_one(count: usize) -> Self {
        Self { first: 0, open: 0, own: 0..count, count, records: 1 }
    }

    /// Elements that each place of a record has in the content: one a record, and zeros up to a power of two, so that the weight of place and record is
    /// a product of two wherever one point is asked for.
    pub(crate) fn width(&self) -> usize {
        self.records.next_power_of_two()
    }

    /// Where the records' own elements begin.
    fn start(&self) -> usize {
        (self.first + self.own.start - self.open).next_multiple_of(self.width())
    }

    /// Elements of the content.
    pub(crate) fn content(&self) -> usize {
        self.start() + self.own.len() * self.width() + self.count - self.own.end
    }

    /// Where a place stands in the content that is shared, or a single record's.
    pub(crate) fn shared(&self, place: usize) -> usize {
        debug_assert!(place >= self.open && (self.records == 1 || !self.own.contains(&place)), "one place");
        if place < self.own.start {
            self.first + place - self.open
        } else {
            self.start() + self.own.len() * self.width() + place - self.own.end
        }
    }

    /// Where a place that each record has for itself stands in the content, the first record's; all others' follow, up to the width.
    pub(crate) fn own_at(&self, place: usize) -> usize {
        debug_assert!(self.own.contains(&place), "a record's own");
        self.start() + (place - self.own.start) * self.width()
    }

    /// Writes the records' own places into the content, those of each record as they stand among all.
    pub(crate) fn put_all(&self, records: &[&[Element]], content: &mut [Element]) {
        side_by_side(records, &mut content[self.start()..][..self.own.len() * self.width()]);
    }

    /// Writes the places of one record into the content.
    #[cfg(test)]
    pub(crate) fn put(&self, record: usize, places: &[Element], content: &mut [Element]) {
        let own = content[self.start()..].iter_mut().skip(record).step_by(self.width());
        own.zip(&places[self.own.clone()]).for_each(|(to, from)| *to = *from);
    }

    /// Reads the places of one record, those that are not committed excluded.
    pub(crate) fn take(&self, record: usize, content: &[Element], places: &mut [Element]) {
        let own = content[self.start()..].iter().skip(record).step_by(self.width());
        places[self.own.clone()].iter_mut().zip(own).for_each(|(to, from)| *to = *from);
    }

    /// Writes what is shared.
    pub(crate) fn put_shared(&self, places: &[Element], content: &mut [Element]) {
        let before = self.own.start - self.open;
        content[self.first..][..before].copy_from_slice(&places[self.open..self.own.start]);
        let behind = content.len() - (self.count - self.own.end);
        content[behind..].copy_from_slice(&places[self.own.end..]);
    }

    /// Reads it.
    pub(crate) fn take_shared(&self, content: &[Element], places: &mut [Element]) {
        let before = self.own.start - self.open;
        places[self.open..self.own.start].copy_from_slice(&content[self.first..][..before]);
        let behind = content.len() - (self.count - self.own.end);
        places[self.own.end..].copy_from_slice(&content[behind..]);
    }

    /// Calls `visit` with each record's number and places; those that are not committed are zero.
    pub(crate) fn each(&self, content: &[Element], mut visit: impl FnMut(usize, &mut [Element])) {
        let mut places = vec![Element::default(); self.count];
        self.take_shared(content, &mut places);
        for record in 0..self.records {
            self.take(record, content, &mut places);
            visit(record, &mut places);
        }
        wipe(&mut places);
    }

    /// A functional of the places as one of the content, each record's own elements weighed with `records`, the shared ones as they are.
    pub(crate) fn parts(&self, functional: &[Challenge], records: &[Challenge]) -> Vec<Part> {
        let before = Part::plain(self.first, functional[self.open..self.own.start].to_vec());
        let own = Part::of_records(self.start(), functional[self.own.clone()].to_vec(), records);
        let behind = self.start() + self.own.len() * self.width();
        vec![before, own, Part::plain(behind, functional[self.own.end..].to_vec())]
    }

    /// Weighs what is shared as often as there are records.
    pub(crate) fn share(&self, functional: &mut [Challenge], records: Challenge) {
        if self.records > 1 {
            let (before, behind) = functional.split_at_mut(self.own.end);
            let shared = before[self.open..self.own.start].iter_mut().chain(behind);
            shared.for_each(|weight| *weight *= records);
        }
    }
}

/// Writes lists of several records, of each element those of all records side by side.
pub(crate) fn side_by_side(records: &[&[Element]], to: &mut [Element]) {
    if let [record] = records {
        return to.copy_from_slice(record);
    }
    let width = records.len().next_power_of_two();
    let write = |(first, to): (usize, &mut [Element])| {
        for (place, to) in to.chunks_exact_mut(width).enumerate() {
            to.iter_mut().zip(records).for_each(|(to, record)| *to = record[first + place]);
        }
    };
    let middle = to.len() / width / 2;
    let (low, high) = to.split_at_mut(middle * width);
    let parts = [(0, low), (middle, high)];
    if middle * width >= ELEMENTS_OF_A_THREAD {
        each(parts, write);
    } else {
        parts.into_iter().for_each(write);
    }
}

/// Elements whose copying is worth a thread.
const ELEMENTS_OF_A_THREAD: usize = 1 << 17;

#[cfg(test)]
mod tests {
    use p3_field::PrimeCharacteristicRing as _;

    use super::*;

    #[test]
    fn every_place_of_every_record_stands_somewhere_and_nothing_twice() {
        for (records, first) in (1..6).zip([0, 2, 0, 9, 5]) {
            let places = Places { first, open: 3, own: 8..15, count: 17, records };
            let mut content = vec![Element::ZERO; places.content()];
            let mut next = 1..;
            let mut number = || Element::from_u32(next.next().expect("endless"));
            let mut one: Vec<Element> = (0..17).map(|_| number()).collect();
            places.put_shared(&one, &mut content);
            let expected: Vec<Vec<Element>> = (0..records)
                .map(|_| {
                    one[8..15].fill_with(&mut number);
                    one.clone()
                })
                .collect();
            let own: Vec<&[Element]> = expected.iter().map(|one| &one[8..15]).collect();
            places.put_all(&own, &mut content);
            let written = content.iter().filter(|element| **element != Element::ZERO).count();
            assert_eq!(written, 7 * records + 7);
            assert!((3..8).chain(15..17).all(|place| content[places.shared(place)] == one[place]));
            let mut seen = 0;
            places.each(&content, |record, found| {
                assert_eq!(found[3..], expected[record][3..]);
                seen += 1;
            });
            assert_eq!(seen, records);
        }
    }
}
