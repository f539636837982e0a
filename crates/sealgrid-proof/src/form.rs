//! Affine maps from a record's places to lists of numbers: what is said of a run is said in these, by values for the prover, and by what weighs them for both
//! sides.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use p3_field::PrimeCharacteristicRing as _;

use crate::field::{Challenge, Element, wipe};
use crate::maps::signed;

/// An affine map from the content to a list of numbers, and its transpose.
pub trait Form: Send + Sync {
    /// Numbers in the list.
    fn count(&self) -> usize;

    /// The forms that it is made of, none of which is made of it.
    fn operands(&self) -> Vec<&Arc<dyn Form>> {
        Vec::new()
    }

    /// The list, of places where everything stands that it is made of.
    fn values(&self, of: Values<'_>) -> Vec<Element>;

    /// Adds to the weights of the content, and to those of its operands, what these weigh in `Σ weights·list`; yields what neither has a part in.
    fn pull(&self, weights: &[Challenge], to: &mut Pulling<'_>) -> Challenge;
}

/// The places of one record, and what forms of them come to, each of which is worked out once, however many others are made of it.
#[derive(Clone, Copy)]
pub struct Values<'p> {
    places: &'p [Element],
    memo: &'p Memo,
}

/// What forms of one record's places have come to. It stays true while further places are filled, because a form is asked for only when everything stands
/// that it is made of; of other places it says nothing.
#[derive(Default)]
pub struct Memo(RefCell<HashMap<*const (), Rc<[Element]>>>);

impl Memo {
    /// The places that this is about, as far as they are filled.
    pub fn of<'p>(&'p self, places: &'p [Element]) -> Values<'p> {
        Values { places, memo: self }
    }
}

impl Drop for Memo {
    fn drop(&mut self) {
        self.0.get_mut().values_mut().filter_map(Rc::get_mut).for_each(wipe);
    }
}

impl std::fmt::Debug for Memo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Memo(..)")
    }
}

impl std::fmt::Debug for Values<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Values(..)")
    }
}

impl<'p> Values<'p> {
    /// The places.
    pub fn places(self) -> &'p [Element] {
        self.places
    }

    /// What a form comes to.
    #[must_use]
    pub fn of(self, form: &Arc<dyn Form>) -> Rc<[Element]> {
        if let Some(known) = self.memo.0.borrow().get(&key(form)) {
            return Rc::clone(known);
        }
        let values: Rc<[Element]> = form.values(self).into();
        self.memo.0.borrow_mut().insert(key(form), Rc::clone(&values));
        values
    }

    /// The same as integers, those nearest to zero.
    pub(crate) fn integers(self, form: &Arc<dyn Form>) -> Vec<i64> {
        self.of(form).iter().copied().map(signed).collect()
    }
}

/// What a form comes to, of places where everything stands that it is made of.
pub(crate) fn values(form: &Arc<dyn Form>, places: &[Element]) -> Rc<[Element]> {
    Memo::default().of(places).of(form)
}

/// Weights on their way from lists to the content. What several lists are made of is weighed by each of them; all that is added up before it is pulled
/// farther, so every form is gone through once, however many others are made of it.
pub struct Pulling<'p> {
    functional: &'p mut [Challenge],
    /// Each before its operands.
    forms: Vec<&'p dyn Form>,
    /// Where a form stands among these.
    places: HashMap<*const (), usize>,
    /// Empty where nothing weighs a form yet.
    weights: Vec<Vec<Challenge>>,
    /// What nothing has a part in.
    known: Challenge,
}

impl std::fmt::Debug for Pulling<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Pulling({} forms)", self.forms.len())
    }
}

impl<'p> Pulling<'p> {
    /// Through `forms`, and what they are made of, to the weights of the content.
    pub fn through(
        forms: impl IntoIterator<Item = &'p Arc<dyn Form>>,
        functional: &'p mut [Challenge],
    ) -> Self {
        let mut pulling = Self {
            functional,
            forms: Vec::new(),
            places: HashMap::new(),
            weights: Vec::new(),
            known: Challenge::ZERO,
        };
        forms.into_iter().for_each(|form| pulling.place(form));
        // They stand behind their operands until here.
        pulling.forms.reverse();
        let last = pulling.forms.len().wrapping_sub(1);
        pulling.places.values_mut().for_each(|place| *place = last - *place);
        pulling.weights.resize(pulling.forms.len(), Vec::new());
        pulling
    }

    fn place(&mut self, form: &'p Arc<dyn Form>) {
        let key = key(form);
        if !self.places.contains_key(&key) {
            form.operands().into_iter().for_each(|operand| self.place(operand));
            self.places.insert(key, self.forms.len());
            self.forms.push(&**form);
        }
    }

    /// The weights of the content.
    pub fn content(&mut self) -> &mut [Challenge] {
        self.functional
    }

    /// The weights of a form, to be added to.
    ///
    /// # Panics
    /// When it is none of those that are pulled through.
    pub fn of(&mut self, form: &Arc<dyn Form>) -> &mut [Challenge] {
        let slot = &mut self.weights[self.places[&key(form)]];
        if slot.is_empty() {
            slot.resize(form.count(), Challenge::ZERO);
        }
        slot
    }

    /// Adds weights to those of a form.
    ///
    /// # Panics
    /// When it is none of those that are pulled through.
    pub fn add(&mut self, form: &Arc<dyn Form>, weights: impl Iterator<Item = Challenge>) {
        let place = self.places[&key(form)];
        let form = self.forms[place];
        if form.operands().is_empty() {
            // Made of the content alone: what weighs it need not be kept until all is there.
            let weights: Vec<Challenge> = weights.collect();
            let known = form.pull(&weights, self);
            self.known += known;
            return;
        }
        let slot = &mut self.weights[place];
        if slot.is_empty() {
            slot.extend(weights);
        } else {
            slot.iter_mut().zip(weights).for_each(|(sum, weight)| *sum += weight);
        }
    }

    /// Pulls everything to the content; yields what it has no part in.
    pub fn finish(mut self) -> Challenge {
        for place in 0..self.forms.len() {
            let weights = std::mem::take(&mut self.weights[place]);
            if !weights.is_empty() {
                let known = self.forms[place].pull(&weights, &mut self);
                self.known += known;
            }
        }
        self.known
    }
}

/// What tells a form from others.
fn key(form: &Arc<dyn Form>) -> *const () {
    Arc::as_ptr(form).cast()
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

    fn values(&self, of: Values<'_>) -> Vec<Element> {
        let mut values = vec![self.constant; self.count];
        for (start, factor) in &self.terms {
            for (value, element) in values.iter_mut().zip(&of.places()[*start..]) {
                *value += *factor * *element;
            }
        }
        values
    }

    fn pull(&self, weights: &[Challenge], to: &mut Pulling<'_>) -> Challenge {
        for (start, factor) in &self.terms {
            let sums = to.content()[*start..].iter_mut().zip(weights);
            if *factor == Element::ONE {
                sums.for_each(|(sum, weight)| *sum += *weight);
            } else {
                sums.for_each(|(sum, weight)| *sum += *weight * *factor);
            }
        }
        if self.constant == Element::ZERO {
            return Challenge::ZERO;
        }
        weights.iter().copied().sum::<Challenge>() * self.constant
    }
}
