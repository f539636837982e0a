//! Provers that change one thing of an honest run, and compute all else from it that they can: operator by operator.

use sealgrid_graph::arbitrary::Random;

use super::*;
use crate::file::evidence::{Counts, KINDS, TREES, either, graph, say, seed, times};

/// A run that a liar starts from.
struct Liar {
    case: Case,
    prover: Run,
    verifier: Run,
    registered: bool,
    honest: Witness,
    /// The places of each record, and the column that each place is part of.
    whole: Vec<Vec<Element>>,
    columns: Vec<Option<usize>>,
}

/// The word of what a place is.
fn word(column: &Column) -> &'static str {
    match column {
        Column::Input { .. } => "an input",
        Column::Output { .. } | Column::OutputLimbs { .. } | Column::Clamped { .. } => "an activation",
        Column::Limbs(_) => "a remainder",
        Column::Split(_) => "a limb of a sum",
        Column::Selected { .. } => "a bit that selects",
        Column::Numbers { .. } => "a number that follows",
        Column::Sums(_) | Column::Products(_) => unreachable!("not committed"),
    }
}

impl Liar {
    fn new(graph: Graph, registered: bool, records: usize) -> Option<Self> {
        let case = Case::new(Arc::new(graph), records);
        let (case, prover, verifier) = if registered {
            let owned = Owned::new(case, 1)?;
            let (prover, verifier) = (owned.prover().ok()?, owned.run(owned.case.outputs.clone()).ok()?);
            (owned.case, prover, verifier)
        } else {
            let [prover, verifier] =
                [(); 2].map(|()| case.run(Inputs::Private(records), case.outputs.clone()).ok());
            (case, prover?, verifier?)
        };
        if argument::variables(&prover).ok()? > 15 {
            return None;
        }
        let honest = prover.witness(case.prepared.as_ref(), &case.inputs).ok()?;
        let (whole, columns) = prover.whole(&case);
        Some(Self { case, prover, verifier, registered, honest, whole, columns })
    }

    fn convinces(&self, witness: &Witness) -> bool {
        verified(&self.verifier, &argued(&self.prover, witness)).is_ok()
    }

    /// Places of each record, by what they are.
    fn kinds(&self) -> BTreeMap<&'static str, Vec<usize>> {
        let mut kinds = BTreeMap::<_, Vec<usize>>::new();
        for place in self.prover.lookups.places().own.clone() {
            if let Some(column) = self.columns[place] {
                kinds.entry(word(&self.prover.columns[column])).or_default().push(place);
            }
        }
        kinds
    }

    /// Whether a change of one place of one record convinces, all behind it computed anew or not; nothing where what comes out is another honest run.
    fn changes(&self, place: usize, record: usize, by: Element, behind: bool) -> Option<bool> {
        let mut whole = self.whole.clone();
        whole[record][place] += by;
        let memo = Memo::default();
        if behind {
            let taken = self.case.taken(&self.prover);
            let first = self.columns[place].expect("a column's") + 1;
            let columns = self.prover.columns[first..].iter();
            columns.for_each(|column| self.prover.fill(column, record, &mut whole[record], &memo, &taken));
        } else {
            // What is not committed is linear in the rest, and no prover can say otherwise.
            let weights = self.prover.weights();
            let sums = &self.prover.sums;
            (0..sums.layers.len())
                .for_each(|it| self.prover.fill_sums(&mut whole[record], &memo, it, &weights));
            (0..sums.products.len()).for_each(|it| self.prover.fill_products(&mut whole[record], &memo, it));
        }
        if self.prover.holds(&whole) {
            return None;
        }
        let mut content = self.honest.content.clone();
        self.prover.lookups.places().put(record, &whole[record], &mut content);
        Some(self.convinces(&recounted(&self.prover, content)))
    }

    /// The same of an element of the content that all records share: a multiplicity, or a registered parameter or pad.
    fn shares(&self, element: usize, by: Element, recount: bool) -> bool {
        let mut content = self.honest.content.clone();
        content[element] += by;
        if recount {
            return self.convinces(&recounted(&self.prover, content));
        }
        self.convinces(&Witness { content, lists: self.honest.lists.clone() })
    }

    /// A prover who ran the graph with one parameter another, and claims what came out; nothing where that is the same.
    fn runs_another(&self, random: &mut Random) -> Option<bool> {
        let graph = &self.case.graph;
        let mut parameters = graph.parameters().to_vec();
        let tensor = &mut parameters[below(random, graph.parameters().len())];
        let mut elements: Vec<i32> = (0..tensor.shape().count()).map(|at| tensor.at(at)).collect();
        let element = below(random, elements.len());
        // Of the same magnitude, so that it lies in the registered bounds.
        elements[element] = elements[element].checked_neg()?;
        let value_type = tensor.value_type();
        *tensor = Tensor::from_elements(&value_type, &elements).ok()?;
        let other = Graph::from_parts(graph.architecture(), parameters).ok()?;
        let mut case = Case::new(Arc::new(other), self.case.inputs[0].records());
        case.inputs.clone_from(&self.case.inputs);
        case.outputs = case.prepared.run(&case.inputs, &mut ()).expect("runs");
        if case.outputs == self.case.outputs {
            return None;
        }
        let outputs = case.outputs.clone();
        let (argument, verifier) = if self.registered {
            let own = Owned::new(Case::new(Arc::clone(&self.case.graph), 1), 1)?;
            let other = Owned::new(case, 1)?;
            let inputs = Inputs::Private(self.case.inputs[0].records());
            let verifier = Run::new(&own.blind, Weights::Private(&own.registration), inputs, outputs).ok()?;
            (other.case.proven(&other.prover().ok()?), verifier)
        } else {
            let run = case.run(Inputs::Private(case.inputs[0].records()), outputs.clone()).ok()?;
            let argument = case.proven(&run);
            (argument, self.case.run(Inputs::Private(self.case.inputs[0].records()), outputs).ok()?)
        };
        Some(verified(&verifier, &argument).is_ok())
    }
}

fn below(random: &mut Random, limit: usize) -> usize {
    usize::try_from(random.below(limit as u64)).expect("below a usize")
}

/// One more, one less, or anything that is not zero.
fn amount(random: &mut Random) -> Element {
    match random.below(3) {
        0 => Element::ONE,
        1 => Element::NEG_ONE,
        _ => Element::from_u64(1 + random.below(u64::from(Element::ORDER_U32) - 1)),
    }
}

#[test]
fn a_prover_that_changes_one_thing_of_a_run_of_any_operator_convinces_nobody() {
    let (graphs, lies) = (times(1, 4), times(1, 6));
    let mut random = Random::new(seed());
    let (mut kinds, mut operators) = (Counts::default(), Counts::default());
    let mut total = 0;
    for kind in 0..KINDS {
        for registered in [false, true] {
            // In a sample every other kind's weights are registered, and of trees both.
            let sampled = kind == TREES || registered == (kind % 2 == 1);
            if either(!sampled, false) {
                continue;
            }
            let mut liars = 0;
            for attempt in 0..400 {
                if liars == graphs {
                    break;
                }
                let number = seed() << 32 | kind << 16 | attempt;
                let records = 1 + below(&mut random, 3);
                let Some(graph) = graph(kind, registered, number) else { continue };
                let Some(liar) = Liar::new(graph, registered, records) else { continue };
                liars += 1;
                let last = liar.case.graph.operations().last().expect("one").primitive.word();
                let last = format!("{last}, weights {}", if registered { "registered" } else { "told" });
                let label = format!("graph {number}, {last}, {records} records");
                let mut tell = |what: &str, convinced: Option<bool>| {
                    if let Some(convinced) = convinced {
                        assert!(!convinced, "{label}: {what}");
                        kinds.add(what);
                        operators.add(&last);
                        total += 1;
                    }
                };
                let places = liar.prover.lookups.places().clone();
                let of_records = liar.kinds();
                for (which, (what, of_kind)) in of_records.iter().enumerate() {
                    for lie in 0..lies {
                        let place = of_kind[below(&mut random, of_kind.len())];
                        let record = below(&mut random, records);
                        // In a sample one way or the other.
                        for behind in [false, true] {
                            if either(false, true) || behind == ((which + lie) % 2 == 0) {
                                let told = liar.changes(place, record, amount(&mut random), behind);
                                let how = if behind { ", and what follows from it" } else { "" };
                                tell(&format!("{what}{how}"), told);
                                if record > 0 {
                                    tell("an entry of a later record", told);
                                }
                            }
                        }
                    }
                }
                for _ in 0..lies {
                    if places.own.end < places.count {
                        let place = places.own.end + below(&mut random, places.count - places.own.end);
                        let told = liar.shares(places.shared(place), amount(&mut random), false);
                        tell("how often a row of a table is looked up", Some(told));
                    }
                    if registered {
                        let shape = liar.verifier.private.as_ref().expect("registered").registered.shape;
                        let weights = registration::elements(&liar.case.graph).len();
                        // The content begins with parameters and pads.
                        let weight = below(&mut random, weights);
                        let told = liar.shares(weight, amount(&mut random), true);
                        tell("a registered parameter in the vector", Some(told));
                        let pad = shape.elements() + below(&mut random, shape.taken() - shape.elements());
                        let told = liar.shares(pad, amount(&mut random), true);
                        tell("a pad of the registration", Some(told));
                    }
                    if !liar.case.graph.parameters().is_empty() {
                        let what = if registered {
                            "a registered parameter, and the run"
                        } else {
                            "a parameter, and the run"
                        };
                        tell(what, liar.runs_another(&mut random));
                    }
                    // Two records' entries, one for the other.
                    if let (true, Some(of_kind)) = (records > 1, of_records.values().next()) {
                        let place = of_kind[below(&mut random, of_kind.len())];
                        let difference = liar.whole[1][place] - liar.whole[0][place];
                        if difference != Element::ZERO {
                            tell("an entry of another record", liar.changes(place, 0, difference, false));
                        }
                    }
                }
            }
            assert!(liars > 0, "kind {kind}, registered {registered}: nothing is provable");
            say(&format!("kind {kind}, registered {registered}: {liars} graphs, {total} lies until now"));
        }
    }
    kinds.print("lies by what was changed:");
    operators.print("lies by the last operator and the weights:");
    say(&format!("liars: {total} proofs of provers who changed one thing, all rejected; seed {}", seed()));
    for what in [
        "an activation",
        "a remainder",
        "a limb of a sum",
        "how often a row of a table is looked up",
        "a registered parameter in the vector",
        "a parameter, and the run",
        "an entry of a later record",
    ] {
        let told = kinds.of(what) + kinds.of(&format!("{what}, and what follows from it"));
        assert!(told > 0, "no lie about {what}");
    }
}
