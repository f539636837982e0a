//! That a model's committed parameters are what its architecture takes, shown once: every parameter lies in the range of its type, a bias within its
//! bits, and the magnitudes of a channel's weights add up to no more than a bound. Whoever then checks a run without the parameters knows how far
//! its sums reach.
//!
//! Told are, besides the architecture: for each parameter the bits of its greatest magnitude, where its type leaves that open (biases), and for weights
//! the greatest sum of magnitudes along a channel, rounded up to four significant bits.

use std::sync::Arc;

use p3_field::{PrimeCharacteristicRing as _, PrimeField32 as _};
use sealgrid_graph::integer::{Graph, ParameterId, Primitive};
use sealgrid_graph::range::Interval;
use sealgrid_graph::tensor::{DType, Tensor};

use crate::argument::{ContentClaim, Conversation, TooLarge};
use crate::channel::{ProofError, Prover, Verifier};
use crate::field::Element;
use crate::lookups::{Columns, Form, Looked, Lookups, NotInTable, Table};
use crate::maps::{LIMB_BITS, Map, Plus, Sum, Term, narrow, signed};
use crate::weights::{Parameters, Places, Registered};

/// What is known of one private parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bound {
    /// Its elements lie in `-2^bits … 2^bits − 1`.
    pub bits: u8,
    /// The magnitudes of a channel's weights add up to at most this; 0 where it is no weight.
    pub sums: u64,
}

/// Committed parameters and what is known of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    /// The commitment.
    pub registered: Registered,
    /// One a parameter of the architecture.
    pub bounds: Vec<Bound>,
}

/// Whether an operation multiplies by weights.
pub(crate) fn has_weights(primitive: &Primitive) -> bool {
    weight_of(primitive).is_some()
}

fn weight_of(primitive: &Primitive) -> Option<ParameterId> {
    match primitive {
        Primitive::Linear { weight, .. } | Primitive::Convolution { weight, .. } => Some(*weight),
        _ => None,
    }
}

/// Where each parameter begins when all stand behind each other.
pub(crate) fn starts(graph: &Graph) -> Vec<usize> {
    let counts = graph.parameters().iter().map(|parameter| parameter.shape().count());
    let starts = counts.scan(0, |start, count| {
        *start += count;
        Some(*start - count)
    });
    starts.collect()
}

/// All parameters behind each other.
#[must_use]
pub fn elements(graph: &Graph) -> Vec<Element> {
    let of = |tensor: &Tensor| -> Vec<Element> {
        (0..tensor.shape().count()).map(|at| Element::from_i32(tensor.at(at))).collect()
    };
    graph.parameters().iter().flat_map(of).collect()
}

/// Which parameters are weights.
fn weights(graph: &Graph) -> Vec<bool> {
    let mut are = vec![false; graph.parameters().len()];
    let weights = graph.operations().iter().filter_map(|operation| weight_of(&operation.primitive));
    weights.for_each(|id| are[id.0 as usize] = true);
    are
}

/// Bits of a magnitude that a type leaves open: those of 32 bits are biases, which are far smaller.
fn bits_of(dtype: DType) -> Option<u8> {
    match dtype {
        DType::I8 => Some(7),
        DType::I16 => Some(15),
        DType::I32 => None,
    }
}

/// The least number with four significant bits that is not below `sum`.
fn rounded_up(sum: u64) -> u64 {
    let step = 1u64 << sum.max(1).ilog2().saturating_sub(3);
    sum.max(1).next_multiple_of(step)
}

impl Registration {
    /// What is told of the parameters of `graph`, which were committed to.
    #[must_use]
    pub fn of(graph: &Graph, registered: Registered) -> Self {
        let bound = |(tensor, is_weight): (&Tensor, bool)| {
            let magnitude = |value: i32| u64::from(if value < 0 { !value } else { value }.unsigned_abs());
            let all = || (0..tensor.shape().count()).map(|at| tensor.at(at));
            let bits = bits_of(tensor.dtype()).unwrap_or_else(|| {
                let most = all().map(magnitude).max().unwrap_or(0);
                u8::try_from((most + 1).next_power_of_two().ilog2()).expect("at most 32")
            });
            let channel = tensor.shape().count() / tensor.shape().axes().first().copied().unwrap_or(1);
            let numbers: Vec<u64> = all().map(|value| value.unsigned_abs().into()).collect();
            let most = numbers.chunks(channel.max(1)).map(|channel| channel.iter().sum()).max();
            Bound { bits, sums: if is_weight { rounded_up(most.unwrap_or(0)) } else { 0 } }
        };
        let bounds = graph.parameters().iter().zip(weights(graph)).map(bound).collect();
        Self { registered, bounds }
    }

    /// Whether it can be of the architecture of `graph`, of which the parameters are not looked at.
    pub(crate) fn fits(&self, graph: &Graph) -> bool {
        let count = graph.parameters().iter().map(|parameter| parameter.shape().count()).sum();
        let each = self.bounds.iter().zip(graph.parameters()).zip(weights(graph));
        let fits = |((bound, tensor), is_weight): ((&Bound, &Tensor), bool)| {
            let bits = bits_of(tensor.dtype()).map_or(bound.bits <= 29, |bits| bound.bits == bits);
            let channel = tensor.shape().count() / tensor.shape().axes().first().copied().unwrap_or(1).max(1);
            // Neither a bound nor the magnitudes of a channel reach the middle of the field.
            let sums = bound.sums < 1 << 30 && channel <= 1 << 22;
            bits && (bound.sums > 0) == is_weight && (sums || !is_weight)
        };
        self.bounds.len() == graph.parameters().len()
            && self.registered.shape.count() == count
            && each.into_iter().all(fits)
    }
}

/// The conversation about a registration.
pub struct Registering {
    registered: Registered,
    lookups: Lookups,
    fills: Vec<Fill>,
    parameters: Option<Arc<Parameters>>,
}

impl std::fmt::Debug for Registering {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Registering({:?})", self.registered)
    }
}

/// How a part of the content follows from what is before it.
enum Fill {
    /// Limbs of what a form yields, which is not negative.
    Limbs { start: usize, form: Arc<dyn Form>, bits: u32 },
    /// Magnitudes.
    Magnitudes { start: usize, from: usize, count: usize },
}

/// A registration that no run can rest on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotRegistrable {
    /// Of another architecture.
    #[error(
        "the registration is of another architecture, or the architecture has no parameters or biases above 29 bits"
    )]
    OtherArchitecture,
    /// Too many.
    #[error(transparent)]
    TooLarge(#[from] TooLarge),
}

/// Builds the content of a registration.
struct Builder {
    content: usize,
    looked: Vec<(Rows, Vec<Arc<dyn Form>>)>,
    fills: Vec<Fill>,
}

/// Which table.
#[derive(Clone, Copy, PartialEq)]
enum Rows {
    Range(u32),
    Magnitudes,
}

impl Builder {
    fn column(&mut self, count: usize) -> usize {
        self.content += count;
        self.content - count
    }

    /// That a form yields numbers from 0 below `2^bits`.
    fn range(&mut self, form: &Arc<dyn Form>, bits: u32) {
        if bits <= LIMB_BITS.into() {
            return self.looked.push((Rows::Range(bits), vec![Arc::clone(form)]));
        }
        let count = form.count();
        let widths: Vec<u32> =
            (0..bits).step_by(LIMB_BITS.into()).map(|below| (bits - below).min(LIMB_BITS.into())).collect();
        let start = self.column(widths.len() * count);
        self.fills.push(Fill::Limbs { start, form: Arc::clone(form), bits });
        // They add up to it, as integers: neither reaches the field's order.
        for (limb, width) in widths.iter().enumerate() {
            let column: Arc<dyn Form> = Arc::new(Columns::one(start + limb * count, count));
            self.looked.push((Rows::Range(*width), vec![column]));
        }
        let terms = (0..widths.len())
            .map(|limb| (start + limb * count, -Element::from_u64(1 << (limb * usize::from(LIMB_BITS)))));
        let back = Columns { count, constant: Element::ZERO, terms: terms.collect() };
        let nothing: Arc<dyn Form> = Arc::new(Plus(vec![Arc::clone(form), Arc::new(back)]));
        self.looked.push((Rows::Range(0), vec![nothing]));
    }
}

impl Registering {
    /// About the parameters of `graph`, which are not looked at.
    ///
    /// # Errors
    /// [`NotRegistrable`].
    pub fn new(graph: &Graph, registration: &Registration) -> Result<Self, NotRegistrable> {
        if !registration.fits(graph) {
            return Err(NotRegistrable::OtherArchitecture);
        }
        let shape = registration.registered.shape;
        let mut builder =
            Builder { content: shape.elements() + shape.all_pads(), looked: Vec::new(), fills: Vec::new() };
        let parameters = graph.parameters().iter().zip(starts(graph)).zip(&registration.bounds);
        for ((tensor, start), bound) in parameters {
            let count = tensor.shape().count();
            let shifted = |constant: u64| -> Arc<dyn Form> {
                Arc::new(Columns {
                    count,
                    constant: Element::from_u64(constant),
                    terms: vec![(start, Element::ONE)],
                })
            };
            if bound.sums == 0 {
                builder.range(&shifted(1 << bound.bits), u32::from(bound.bits) + 1);
                continue;
            }
            let magnitudes = builder.column(count);
            builder.fills.push(Fill::Magnitudes { start: magnitudes, from: start, count });
            let magnitudes: Arc<dyn Form> = Arc::new(Columns::one(magnitudes, count));
            builder.looked.push((Rows::Magnitudes, vec![shifted(0), Arc::clone(&magnitudes)]));
            // What is left of the bound on each channel.
            let channels = tensor.shape().axes()[0];
            let channel = count / channels;
            let moves = (0..count).map(|at| (narrow(at / channel), narrow(at))).collect();
            let range = Interval { low: 0, high: 1 << 7 };
            let term = Term { operand: magnitudes, range, map: Map::Moves(moves), factor: -1 };
            let most = i32::try_from(bound.sums).expect("below 2^30");
            let left = Sum { records: 1, constants: vec![most; channels], terms: vec![term] };
            builder.range(&(Arc::new(left) as Arc<dyn Form>), bound.sums.ilog2() + 1);
        }
        let mut kinds: Vec<Rows> = Vec::new();
        let mut tables = Vec::new();
        let mut looked = Vec::new();
        for (rows, tuple) in builder.looked {
            let table = kinds.iter().position(|known| *known == rows).unwrap_or_else(|| {
                kinds.push(rows);
                kinds.len() - 1
            });
            looked.push(Looked { table, tuple });
        }
        let mut content = builder.content;
        for rows in kinds {
            let columns: Vec<Vec<Element>> = match rows {
                Rows::Range(bits) => vec![(0..1u32 << bits).map(Element::from_u32).collect()],
                Rows::Magnitudes => {
                    let values = || -128..128i32;
                    let magnitudes = values().map(|value| Element::from_u32(value.unsigned_abs()));
                    vec![values().map(Element::from_i32).collect(), magnitudes.collect()]
                }
            };
            let multiplicities = content;
            content += columns[0].len();
            tables.push(Table { columns, multiplicities });
        }
        let lookups = Lookups::new(content, tables, looked)?;
        Ok(Self {
            registered: registration.registered.clone(),
            lookups,
            fills: builder.fills,
            parameters: None,
        })
    }

    /// The prover's: with the parameters behind the registration.
    ///
    /// # Panics
    /// When these are others.
    #[must_use]
    pub fn with_parameters(mut self, parameters: &Arc<Parameters>) -> Self {
        assert!(self.registered == *parameters.registered(), "the registered parameters");
        self.parameters = Some(Arc::clone(parameters));
        self
    }

    /// The content.
    ///
    /// # Errors
    /// [`NotInTable`] when the parameters are not within the bounds.
    ///
    /// # Panics
    /// Without parameters.
    pub fn witness(&self) -> Result<Vec<Element>, NotInTable> {
        let parameters = self.parameters.as_ref().expect("the prover's");
        let mut content = [parameters.elements(), parameters.pads()].concat();
        content.resize(self.lookups.content(), Element::ZERO);
        for fill in &self.fills {
            match fill {
                Fill::Magnitudes { start, from, count } => {
                    for at in 0..*count {
                        content[start + at] = Element::from_i64(signed(content[from + at]).abs());
                    }
                }
                Fill::Limbs { start, form, bits } => {
                    let values = form.values(&content);
                    for (limb, below) in (0..*bits).step_by(LIMB_BITS.into()).enumerate() {
                        for (at, value) in values.iter().enumerate() {
                            let limb_value = value.as_canonical_u32() >> below & ((1 << LIMB_BITS) - 1);
                            content[start + limb * values.len() + at] = Element::from_u32(limb_value);
                        }
                    }
                }
            }
        }
        self.lookups.count(&mut content)?;
        Ok(content)
    }

    fn places(&self) -> Places {
        Places { elements: 0, pads: self.registered.shape.elements() }
    }
}

impl Conversation for Registering {
    fn content(&self) -> usize {
        self.lookups.content()
    }

    fn pads(&self) -> usize {
        self.lookups.pads()
    }

    fn prove(&self, channel: &mut Prover<'_>, content: &[Element]) {
        self.lookups.prove(channel, content);
        self.parameters.as_ref().expect("the prover's").prove(channel);
    }

    fn verify(&self, channel: &mut Verifier<'_>) -> Result<Vec<ContentClaim>, ProofError> {
        let mut claims = self.lookups.verify(channel)?;
        claims.push(self.registered.verify(channel, self.content(), self.places())?);
        Ok(claims)
    }

    fn errors(&self) -> u64 {
        self.lookups.errors() + self.registered.errors()
    }

    fn missed(&self) -> f64 {
        self.registered.missed()
    }
}
