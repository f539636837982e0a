use std::collections::BTreeMap;

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;
use sealgrid_graph::arbitrary;
use sealgrid_graph::execute::Executor as _;
use sealgrid_graph::integer::{Builder, Primitive, Requantise, ValueType};
use sealgrid_graph::reference::Reference;
use sealgrid_graph::tensor::{DType, Data, Shape, Tensor};

use sealgrid_seal::digest::CommitmentKey;
use sealgrid_seal::secret::Secret;

use p3_field::PrimeField32 as _;

use super::*;
use crate::argument::{self, Argument};
use crate::form;
use crate::registration::{self, Registering};
use crate::transcript::Transcript;
use crate::values::{self, Side};
use crate::weights::{self, BadShape};

mod liars;
mod maxima;
mod trees;

#[path = "../../benches/models/encoder.rs"]
pub(crate) mod encoder;

fn rng(seed: u8) -> ChaCha20Rng {
    ChaCha20Rng::from_seed([seed; 32])
}

fn shape(axes: &[usize]) -> Shape {
    Shape::new(axes).expect("small")
}

/// A perceptron with weights that look like trained ones, 30-16-2, as the shipped one is.
fn perceptron() -> Arc<Graph> {
    perceptron_of(30, 16)
}

/// The same of other lengths.
fn perceptron_of(inputs: usize, width: usize) -> Arc<Graph> {
    let weights = |count: usize, step: usize| -> Data {
        Data::I8(
            (0..count).map(|i| i8::try_from(i * step % 255).map_or(-((i * 7 % 127) as i8), |v| v)).collect(),
        )
    };
    let tensor = |axes: &[usize], data| Tensor::new(shape(axes), data).expect("filled");
    let mut builder = Builder::new(vec![ValueType { dtype: DType::I8, shape: shape(&[1, inputs]) }]);
    let x = builder.input(0);
    let weight = builder.parameter(tensor(&[width, inputs], weights(width * inputs, 37)));
    let biases = (0..i32::try_from(width).expect("small")).map(|i| i % 16 * 1000 - 8000);
    let bias = builder.parameter(tensor(&[width], Data::I32(biases.collect())));
    let requantise =
        Requantise { multipliers: vec![201], shifts: vec![18], low: 0, high: 127, output: DType::I8 };
    let hidden = Primitive::Linear { weight, bias, requantise };
    let hidden = builder.push("hidden", hidden, &[x]).expect("valid");
    let weight = builder.parameter(tensor(&[2, width], weights(2 * width, 91)));
    let bias = builder.parameter(tensor(&[2], Data::I32(vec![500, -500])));
    let requantise = Requantise {
        multipliers: vec![1, 3],
        shifts: vec![4, 6],
        low: -32768,
        high: 32767,
        output: DType::I16,
    };
    let logits = builder.push("logits", Primitive::Linear { weight, bias, requantise }, &[hidden]);
    Arc::new(builder.finish(vec![logits.expect("valid")]).expect("valid"))
}

struct Case {
    graph: Arc<Graph>,
    inputs: Vec<Batch>,
    outputs: Vec<Batch>,
    prepared: Box<dyn Prepared>,
}

impl Case {
    fn new(graph: Arc<Graph>, records: usize) -> Self {
        let prepared = Reference.prepare(Arc::clone(&graph)).expect("always");
        let inputs = arbitrary::inputs(&graph, records, 1);
        let outputs = prepared.run(&inputs, &mut ()).expect("runs");
        Self { graph, inputs, outputs, prepared }
    }

    fn run(&self, inputs: Inputs<'_>, outputs: Vec<Batch>) -> Result<Run, NotProvable> {
        Run::new(&self.graph, Weights::Public(Level::default()), inputs, outputs)
    }

    fn committed(&self, [inputs, outputs]: [&Vec<Batch>; 2]) -> [Parameters; 2] {
        let key = CommitmentKey::new([9; 32]);
        let commit =
            |side, batches: &[Batch]| values::commit(Level::default(), side, batches, &key).expect("few");
        [commit(Side::Inputs, inputs), commit(Side::Outputs, outputs)]
    }

    /// The run whose inputs and outputs are these, and committed to; with the commitments.
    fn tied(&self, values: [&Vec<Batch>; 2]) -> Result<Run, NotProvable> {
        let own = self.committed(values);
        let [inputs, outputs] = own.each_ref().map(|own| values::root(own).0);
        let inputs = Inputs::Committed(inputs, self.inputs[0].records());
        let run =
            Run::new(&self.graph, Weights::Public(Level::default()), inputs, Outputs::Committed(outputs))?;
        Ok(run.with_values(own.into()))
    }

    fn proven(&self, run: &Run) -> Argument {
        argued(run, &run.witness(self.prepared.as_ref(), &self.inputs).expect("an honest run"))
    }
}

fn argued(run: &impl Conversation, witness: &Witness) -> Argument {
    argument::prove(run, witness, Transcript::of_test(), &mut rng(7)).expect("small")
}

fn verified(run: &Run, argument: &Argument) -> Result<f64, ProofError> {
    argument::verify(run, argument, Transcript::of_test(), &mut rng(8))
}

/// The outputs with one element changed.
fn changed(outputs: &[Batch], which: usize, position: usize) -> Vec<Batch> {
    let mut outputs = outputs.to_vec();
    let old = &outputs[which];
    let mut elements: Vec<i32> = (0..old.data().len()).map(|at| old.data().view().at(at)).collect();
    let (low, high) = old.dtype().bounds();
    elements[position] = if elements[position] == high { low } else { elements[position] + 1 };
    let data = Data::from_elements(old.dtype(), &elements).expect("in range");
    outputs[which] = Batch::new(old.records(), old.shape().clone(), data).expect("filled");
    outputs
}

#[test]
fn a_perceptron_on_hidden_records_yields_its_outputs_and_no_others() {
    for records in [1, 5] {
        let case = Case::new(perceptron(), records);
        let run = case.run(Inputs::Private(records), case.outputs.clone()).expect("provable");
        let argument = case.proven(&run);
        let bits = verified(&run, &argument).expect("an honest proof");
        assert!(bits > 100.0, "{bits}");
        for position in 0..2 * records {
            let other =
                case.run(Inputs::Private(records), changed(&case.outputs, 0, position)).expect("provable");
            assert!(verified(&other, &argument).is_err(), "output {position}");
        }
        // With the records in the clear it is another statement.
        let public = case.run(Inputs::Public(&case.inputs), case.outputs.clone()).expect("provable");
        assert!(verified(&public, &argument).is_err());
        assert!(verified(&public, &case.proven(&public)).is_ok());
    }
}

/// A content that somebody has changed, what is looked up in it counted anew where it can be.
fn recounted(run: &Run, mut content: Vec<Element>) -> Witness {
    let lists = run.lists(&content);
    let _ = run.lookups.count(&lists, &mut content);
    Witness { content, lists: Some(lists) }
}

/// Every 61st element of a content from `first` on, those excluded that stand where a record more would.
fn told_places(run: &Run, first: usize) -> Vec<usize> {
    let mut used = vec![Element::ZERO; run.content()];
    let places = run.lookups.places();
    let ones = vec![Element::ONE; places.count];
    places.put_shared(&ones, &mut used);
    (0..places.records).for_each(|record| places.put(record, &ones, &mut used));
    (first..used.len()).step_by(61).filter(|place| used[*place] == Element::ONE).collect()
}

#[test]
fn a_prover_that_changes_one_number_convinces_nobody() {
    for records in [1, 3] {
        let case = Case::new(perceptron(), records);
        let run = case.run(Inputs::Private(records), case.outputs.clone()).expect("provable");
        let honest = run.witness(case.prepared.as_ref(), &case.inputs).expect("runs");
        assert!(
            verified(&run, &argued(&run, &honest.content.clone().into())).is_ok(),
            "lists follow from it"
        );
        // Every column: records, remainders, activations, multiplicities.
        for place in told_places(&run, 0) {
            let mut content = honest.content.clone();
            content[place] += Element::ONE;
            let changed = recounted(&run, content);
            if changed.content == honest.content {
                continue; // a multiplicity, which was counted anew
            }
            assert!(verified(&run, &argued(&run, &changed)).is_err(), "element {place} of {records} records");
        }
    }
}

#[test]
fn random_graphs_are_proven_or_refused_by_name() {
    let (mut proven, mut refused, mut committed) = (0, 0, 0);
    for seed in 0..1500 {
        let case = Case::new(Arc::new(arbitrary::graph(seed)), 2);
        let run = match case.run(Inputs::Private(2), case.outputs.clone()) {
            Ok(run) => run,
            Err(error) => {
                assert!(!error.why.is_empty());
                refused += 1;
                continue;
            }
        };
        let witness = run.witness(case.prepared.as_ref(), &case.inputs).expect("an honest run");
        // What is linear in the content must be what the reference yields.
        run.each(&witness.content, |record, places| assert!(run.are_equal(record, places), "seed {seed}"));
        proven += 1;
        if proven % 8 == 5
            && let Ok(tied) = case.tied([&case.inputs, &case.outputs])
        {
            committed += 1;
            let argument = case.proven(&tied);
            let verifier = case.tied([&case.inputs, &case.outputs]).expect("the same");
            assert!(verified(&verifier, &argument).is_ok(), "seed {seed}");
            let other = changed(&case.outputs, 0, 0);
            let other = case.tied([&case.inputs, &other]).expect("the same but for its root");
            assert!(verified(&other, &argument).is_err(), "seed {seed}");
        }
        if proven % 8 == 1 {
            let argument = case.proven(&run);
            assert!(verified(&run, &argument).is_ok(), "seed {seed}");
            // An output outside of its range is not even a statement.
            let wrong = case.run(Inputs::Private(2), changed(&case.outputs, 0, 0));
            assert!(wrong.map_or(true, |wrong| verified(&wrong, &argument).is_err()), "seed {seed}");
        }
    }
    assert!(proven >= 40 && committed >= 5, "{proven} of {}, {committed}", proven + refused);
}

impl Run {
    /// The places of each record of an honest run, and which column each is part of.
    fn whole(&self, case: &Case) -> (Vec<Vec<Element>>, Vec<Option<usize>>) {
        let taken = case.taken(self);
        let layout = self.lookups.places();
        let mut columns = vec![None; layout.count];
        let of_record = |record| {
            // Not what any column has.
            let mut places = vec![Element::from_u32(0x5ea1_9d1d); layout.count];
            self.begin(&mut places, &taken.weights);
            self.fill_shown(record, &mut places);
            for (index, column) in self.columns.iter().enumerate() {
                let before = places.clone();
                self.fill(column, record, &mut places, &Memo::default(), &taken);
                for (place, (one, other)) in before.iter().zip(&places).enumerate() {
                    if one != other {
                        columns[place] = Some(index);
                    }
                }
            }
            places
        };
        let whole = (0..layout.records).map(of_record).collect();
        (whole, columns)
    }

    /// Whether everything is equal of a record that is said to be, commitments excluded.
    fn are_equal(&self, record: usize, places: &[Element]) -> bool {
        self.equal.iter().all(|Equal { forms, to }| match to {
            Other::Own(other) => form::values(&forms[0], places) == form::values(other, places),
            Other::Told(told) => forms.iter().zip(told).all(|(form, told)| {
                let told = of_record(told, record, self.lookups.places().records).iter();
                *form::values(form, places) == told.map(|told| Element::from_i32(*told)).collect::<Vec<_>>()
            }),
            Other::Tied(_) => true,
        })
    }

    /// Whether everything holds that is said of the places of all records.
    fn holds(&self, whole: &[Vec<Element>]) -> bool {
        let listed: Vec<Listed> = whole
            .iter()
            .enumerate()
            .map(|(record, places)| self.lookups.listed(record, Memo::default().of(places)))
            .collect();
        let lists = self.lookups.lists(&listed.iter().collect::<Vec<_>>());
        whole.iter().enumerate().all(|(record, places)| self.are_equal(record, places))
            && self.lookups.count(&lists, &mut vec![Element::ZERO; self.content()]).is_ok()
    }
}

impl Case {
    fn taken(&self, run: &Run) -> Taken {
        run.taken(self.prepared.as_ref(), &self.inputs).expect("runs")
    }
}

/// Tries graphs: how many could be proven, of which no element may be changed, and why others could not.
fn check_graphs(graphs: impl Iterator<Item = Graph>) -> (usize, BTreeMap<&'static str, usize>) {
    let (mut proven, mut refused) = (0, BTreeMap::new());
    for (number, graph) in graphs.enumerate() {
        let records = 1 + proven % 3;
        let case = Case::new(Arc::new(graph), records);
        let run = match case.run(Inputs::Private(records), case.outputs.clone()) {
            Ok(run) => run,
            Err(error) => {
                *refused.entry(error.why).or_insert(0) += 1;
                continue;
            }
        };
        let (whole, columns) = run.whole(&case);
        assert!(run.holds(&whole), "graph {number}");
        proven += 1;
        if proven > 6 {
            continue;
        }
        // Whatever is changed, and whatever follows from it computed anew: it is seen. Only other records may yield the same.
        let taken = case.taken(&run);
        let is_told = |place: &usize| {
            columns[*place].is_some_and(|column| !matches!(run.columns[column], Column::Input { .. }))
        };
        let layout = run.lookups.places();
        let places: Vec<usize> = layout.own.clone().filter(is_told).collect();
        for (which, place) in places.iter().step_by(places.len() / 8 + 1).enumerate() {
            let record = which % records;
            for change in [1, -1, 256] {
                let mut whole = whole.clone();
                whole[record][*place] += Element::from_i64(change);
                let behind = columns[*place].expect("a column's") + 1;
                let (memo, columns) = (Memo::default(), run.columns[behind..].iter());
                columns.for_each(|column| run.fill(column, record, &mut whole[record], &memo, &taken));
                assert!(!run.holds(&whole), "graph {number}, element {place} of {record}, {change}");
            }
        }
        if proven > 3 {
            continue;
        }
        let argument = case.proven(&run);
        let bits = verified(&run, &argument).unwrap_or_else(|error| panic!("graph {number}: {error}"));
        assert!(bits > 100.0, "{bits}");
        let wrong = case.run(Inputs::Private(records), changed(&case.outputs, 0, 0));
        assert!(wrong.map_or(true, |wrong| verified(&wrong, &argument).is_err()), "graph {number}");
        if let Some(place) = places.get(places.len() / 2) {
            let mut content =
                run.witness(case.prepared.as_ref(), &case.inputs).expect("runs").content.clone();
            let mut changed = whole[records - 1].clone();
            changed[*place] += Element::ONE;
            layout.put(records - 1, &changed, &mut content);
            let argument = argued(&run, &recounted(&run, content));
            assert!(verified(&run, &argument).is_err(), "graph {number}, element {place}");
        }
    }
    (proven, refused)
}

#[test]
fn operations_of_every_kind_are_proven_and_no_others() {
    for kind in 0..25 {
        let graphs = (0..200).map(|seed| match arbitrary::graph_of_kind(kind, seed) {
            graph if kind == 24 => with_small_leaves(&graph),
            graph => graph,
        });
        let (proven, refused) = check_graphs(graphs);
        assert!(proven >= 25, "kind {kind}: {proven}, {refused:?}");
    }
}

/// Random leaves are of 32 bits, and what they add up to is too.
fn with_small_leaves(graph: &Graph) -> Graph {
    let Some(Primitive::TreeEnsemble { leaves, base, .. }) =
        graph.operations().last().map(|operation| &operation.primitive)
    else {
        unreachable!("trees come last")
    };
    let parameters = graph.parameters().iter().enumerate().map(|(index, tensor)| {
        let small = [leaves, base].iter().any(|id| id.0 as usize == index);
        let elements = (0..tensor.shape().count()).map(|at| tensor.at(at) >> if small { 12 } else { 0 });
        Tensor::from_elements(&tensor.value_type(), &elements.collect::<Vec<_>>()).expect("as many")
    });
    Graph::from_parts(graph.architecture(), parameters.collect()).expect("valid")
}

#[test]
fn a_run_on_committed_records_yields_the_committed_results_and_no_others() {
    for records in [1, 3] {
        let case = Case::new(perceptron(), records);
        let own = [&case.inputs, &case.outputs];
        let run = case.tied(own).expect("provable");
        let argument = case.proven(&run);
        let bits = verified(&case.tied(own).expect("provable"), &argument).expect("an honest proof");
        assert!(bits > 100.0, "{bits}");
        for position in [0, 2 * records - 1] {
            let (input, output) = (changed(&case.inputs, 0, position), changed(&case.outputs, 0, position));
            for values in [[&input, &case.outputs], [&case.inputs, &output]] {
                // Neither is it a proof about another commitment, nor does one come out of an honest run and another commitment.
                let other = case.tied(values).expect("provable");
                assert!(verified(&other, &argument).is_err(), "value {position}");
                assert!(verified(&other, &case.proven(&other)).is_err(), "value {position}");
            }
        }
        let swapped = Inputs::Committed(values::root(&case.committed(own)[1]).0, records);
        let root = values::root(&case.committed(own)[0]).0;
        let swapped =
            Run::new(&case.graph, Weights::Public(Level::default()), swapped, Outputs::Committed(root));
        assert!(verified(&swapped.expect("provable"), &argument).is_err());
    }
}

#[test]
fn one_key_hides_different_values_behind_different_pads() {
    let (key, case) = (CommitmentKey::new([4; 32]), Case::new(perceptron(), 1));
    let commit =
        |side, batches: &[Batch]| values::commit(Level::default(), side, batches, &key).expect("few");
    let one = commit(Side::Inputs, &case.inputs);
    assert_eq!(one.registered(), commit(Side::Inputs, &case.inputs).registered(), "opened by key and values");
    let begun = |own: &Parameters| {
        let mut content = vec![Element::ZERO; own.registered().shape.taken()];
        own.begin(&mut content);
        content.split_off(own.registered().shape.elements())
    };
    for other in [commit(Side::Outputs, &case.inputs), commit(Side::Inputs, &changed(&case.inputs, 0, 1))] {
        let equal = begun(&one).into_iter().zip(begun(&other)).filter(|(one, other)| one == other).count();
        assert!(equal < 2, "{equal} pads are the same");
    }
}

#[test]
fn committed_outputs_of_sixteen_bits_are_told_where_their_clamp_cuts_them_and_where_it_does_not() {
    // One input of 16 bits, times 1, 40 and −40: some results are cut off at either end.
    let mut builder = Builder::new(vec![ValueType { dtype: DType::I16, shape: shape(&[1, 1]) }]);
    let x = builder.input(0);
    let weight = Tensor::new(shape(&[3, 1]), Data::I8(vec![1, 40, -40])).expect("filled");
    let weight = builder.parameter(weight);
    let bias = builder.parameter(Tensor::new(shape(&[3]), Data::I32(vec![0, 9, -9])).expect("filled"));
    let requantise =
        Requantise { multipliers: vec![3], shifts: vec![2], low: -32768, high: 32767, output: DType::I16 };
    let y = builder.push("y", Primitive::Linear { weight, bias, requantise }, &[x]).expect("valid");
    let graph = Arc::new(builder.finish(vec![y]).expect("valid"));
    let prepared = Reference.prepare(Arc::clone(&graph)).expect("always");
    let records = vec![0, 1, -1, 1000, -1000, 1092, 1093, 32767, -32768];
    let inputs = vec![Batch::new(records.len(), shape(&[1, 1]), Data::I16(records)).expect("filled")];
    let outputs = prepared.run(&inputs, &mut ()).expect("runs");
    let yielded: Vec<i32> = numbers(&outputs[0]);
    assert!(yielded.contains(&32767) && yielded.contains(&-32768) && yielded.contains(&0));
    let case = Case { graph, inputs, outputs, prepared };
    let own = [&case.inputs, &case.outputs];
    let argument = case.proven(&case.tied(own).expect("provable"));
    assert!(verified(&case.tied(own).expect("provable"), &argument).is_ok());
    for position in 0..27 {
        let other = changed(&case.outputs, 0, position);
        let other = case.tied([&case.inputs, &other]).expect("provable");
        assert!(verified(&other, &case.proven(&other)).is_err(), "output {position}");
    }
}

/// A graph whose parameters are private: what the owner has, and what everybody else has.
struct Owned {
    case: Case,
    parameters: Arc<Parameters>,
    registration: Registration,
    blind: Arc<Graph>,
}

impl Owned {
    fn new(case: Case, seed: u8) -> Option<Self> {
        Self::of(case, |count, openings| weights::Shape::new(Level::default(), count, openings), seed)
    }

    /// One whose proofs hold a combination of the parameters' rows, as those of large models do.
    fn combined(case: Case, seed: u8) -> Option<Self> {
        Self::of(case, |count, openings| weights::Shape::combined(Level::default(), count, openings), seed)
    }

    /// Both.
    fn each(case: impl Fn() -> Case, seed: u8) -> [Self; 2] {
        [Self::new(case(), seed), Self::combined(case(), seed)].map(|owned| owned.expect("small"))
    }

    fn of(case: Case, shape: fn(usize, u32) -> Result<weights::Shape, BadShape>, seed: u8) -> Option<Self> {
        let elements = registration::elements(&case.graph);
        let shape = shape(elements.len(), 2).ok()?;
        let parameters = Arc::new(Parameters::in_shape(shape, &elements, &Secret::new([seed; 32])));
        let registration = Registration::of(&case.graph, parameters.registered().clone());
        let blind = registration::without_parameters(case.graph.architecture())?;
        Some(Self { case, parameters, registration, blind: Arc::new(blind) })
    }

    fn run(&self, outputs: Vec<Batch>) -> Result<Run, NotProvable> {
        let inputs = Inputs::Private(self.case.inputs[0].records());
        Run::new(&self.blind, Weights::Private(&self.registration), inputs, outputs)
    }

    fn prover(&self) -> Result<Run, NotProvable> {
        // The owner's graph has the parameters: what is said must not depend on them.
        let inputs = Inputs::Private(self.case.inputs[0].records());
        let weights = Weights::Private(&self.registration);
        let run = Run::new(&self.case.graph, weights, inputs, self.case.outputs.clone())?;
        Ok(run.with_parameters(&self.parameters))
    }
}

#[test]
fn a_perceptron_whose_weights_nobody_tells_yields_its_outputs_and_no_others() {
    for (records, which) in [(1, 0), (3, 0), (1, 1), (3, 1)] {
        let owned = |seed| {
            Owned::each(|| Case::new(perceptron(), records), seed).into_iter().nth(which).expect("two")
        };
        let [owned, again] = [1, 2].map(owned);
        let argument = owned.case.proven(&owned.prover().expect("provable"));
        let outputs = || owned.case.outputs.clone();
        let bits = verified(&owned.run(outputs()).expect("provable"), &argument).expect("an honest proof");
        assert!(bits > 100.0, "{bits}");
        for position in 0..2 * records {
            let other = owned.run(changed(&owned.case.outputs, 0, position)).expect("provable");
            assert!(verified(&other, &argument).is_err(), "output {position}");
        }
        // The same weights registered anew: nobody can tell, so it is another model.
        assert!(verified(&again.run(outputs()).expect("provable"), &argument).is_err());
        // With the weights in the clear it is another statement, and so it is with other bounds.
        let inputs = Inputs::Private(records);
        let public = owned.case.run(inputs, outputs()).expect("provable");
        assert!(verified(&public, &argument).is_err());
        let mut wider = owned.registration.clone();
        wider.reaches[0].product *= 2;
        wider.reaches[0].step *= 2;
        let wider = Run::new(&owned.blind, Weights::Private(&wider), inputs, outputs()).expect("provable");
        assert!(verified(&wider, &argument).is_err());
    }
}

#[test]
fn records_in_the_clear_are_those_of_the_run_whose_weights_nobody_tells() {
    for owned in Owned::each(|| Case::new(perceptron(), 3), 1) {
        let run = |graph: &Arc<Graph>, inputs: &[Batch]| {
            let weights = Weights::Private(&owned.registration);
            Run::new(graph, weights, Inputs::Public(inputs), owned.case.outputs.clone()).expect("provable")
        };
        let inputs = &owned.case.inputs;
        let argument = owned.case.proven(&run(&owned.case.graph, inputs).with_parameters(&owned.parameters));
        assert!(verified(&run(&owned.blind, inputs), &argument).is_ok());
        for position in [0, 31, 89] {
            let other = changed(inputs, 0, position);
            assert!(verified(&run(&owned.blind, &other), &argument).is_err(), "input {position}");
        }
    }
}

#[test]
fn a_run_that_looks_nothing_up_is_proven_of_several_records() {
    let mut builder = Builder::new(vec![ValueType { dtype: DType::I8, shape: shape(&[1, 3]) }]);
    let x = builder.input(0);
    let weight = Tensor::new(shape(&[2, 3]), Data::I8(vec![1, -2, 3, 4, 5, -6])).expect("filled");
    let weight = builder.parameter(weight);
    let bias = builder.parameter(Tensor::new(shape(&[2]), Data::I32(vec![7, -8])).expect("filled"));
    let requantise =
        Requantise { multipliers: vec![1], shifts: vec![0], low: -32768, high: 32767, output: DType::I16 };
    let y = builder.push("y", Primitive::Linear { weight, bias, requantise }, &[x]).expect("valid");
    let case = Case::new(Arc::new(builder.finish(vec![y]).expect("valid")), 5);
    let run = |outputs| case.run(Inputs::Public(&case.inputs), outputs).expect("provable");
    let argument = case.proven(&run(case.outputs.clone()));
    assert!(verified(&run(case.outputs.clone()), &argument).is_ok());
    for position in 0..10 {
        assert!(verified(&run(changed(&case.outputs, 0, position)), &argument).is_err(), "output {position}");
    }
}

#[test]
fn a_prover_that_changes_one_private_number_convinces_nobody() {
    for records in [1, 3] {
        let owned = Owned::new(Case::new(perceptron(), records), 1).expect("small");
        let (prover, verifier) =
            (owned.prover().expect("ok"), owned.run(owned.case.outputs.clone()).expect("ok"));
        let honest = prover.witness(owned.case.prepared.as_ref(), &owned.case.inputs).expect("runs");
        let shape = owned.registration.registered.shape;
        let parameters = shape.taken();
        let count = registration::elements(&owned.case.graph).len();
        // Weights, biases, pads, and every 61st of the columns; sums follow from what the prover has.
        let places = [0, 200, 479, 480, 495, count - 1, shape.elements(), parameters - 1];
        for place in places.into_iter().chain(told_places(&prover, parameters)) {
            let mut content = honest.content.clone();
            content[place] += Element::ONE;
            let changed = recounted(&prover, content);
            if changed.content == honest.content {
                continue; // a multiplicity, which was counted anew
            }
            assert!(verified(&verifier, &argued(&prover, &changed)).is_err(), "element {place}");
        }
    }
}

/// A run whose prover changes the vector that it commits to in the middle.
struct Spoiled<'r> {
    run: &'r Run,
    place: usize,
}

impl Conversation for Spoiled<'_> {
    fn level(&self) -> Level {
        self.run.level()
    }

    fn content(&self) -> usize {
        self.run.content()
    }

    fn second(&self) -> Option<usize> {
        self.run.second()
    }

    fn pads(&self) -> usize {
        self.run.pads()
    }

    fn prove(&self, channel: &mut Prover<'_>, witness: &Witness) -> Option<Pulled> {
        self.run.prove(channel, witness)
    }

    fn verify<'c>(
        &'c self,
        channel: &mut Verifier<'c>,
        pulled: Option<Pulled>,
    ) -> Result<Later<'c>, ProofError> {
        self.run.verify(channel, pulled)
    }

    fn errors(&self) -> u64 {
        self.run.errors()
    }

    fn spoil(&self, vector: &mut [Element]) {
        vector[self.place] += Element::ONE;
    }
}

#[test]
fn a_prover_that_combines_other_rows_or_goes_on_with_another_content_convinces_nobody() {
    for records in [1, 3] {
        let owned = Owned::combined(Case::new(perceptron(), records), 1).expect("small");
        let prover = owned.prover().expect("ok");
        let verifier = owned.run(owned.case.outputs.clone()).expect("ok");
        let honest = prover.witness(owned.case.prepared.as_ref(), &owned.case.inputs).expect("runs");
        let argument = argued(&prover, &honest);
        assert!(verified(&verifier, &argument).is_ok());
        // The combination, its pads, content, the conversation's pads, pads of what was committed to first.
        let shape = owned.registration.registered.shape;
        let second = prover.second().expect("a combination");
        let (content, pads) = (prover.content(), 5 * prover.pads());
        let first = weights::Shape::of_first(Level::default(), content + pads);
        let start = second.next_multiple_of(first.row());
        let places = [0, shape.row() - 1, 5 * shape.row() - 1, 5 * shape.row(), second - 1]
            .into_iter()
            .chain((start..start + content + pads).step_by(211))
            .chain([start + first.elements() - 1, start + first.elements(), start + first.taken() - 1]);
        for place in places {
            let spoiled = Spoiled { run: &prover, place };
            assert!(verified(&verifier, &argued(&spoiled, &honest)).is_err(), "element {place}");
        }
        // Behind all that there are zeros, which nothing is said of.
        let spoiled = Spoiled { run: &prover, place: start + first.taken() };
        assert!(verified(&verifier, &argued(&spoiled, &honest)).is_ok());
        // Another root, other columns, of what is registered or of what was committed to first, and one word more or less.
        assert_eq!(argument.attached.len(), 3);
        for which in 0..3 {
            for step in 0..17 {
                let mut changed = argument.clone();
                let place = step * changed.attached[which].len() / 17;
                changed.attached[which][place] ^= 1 << (step % 8);
                assert!(verified(&verifier, &changed).is_err(), "byte {place} of {which}");
            }
            let mut cut = argument.clone();
            cut.attached.remove(which);
            assert!(verified(&verifier, &cut).is_err());
            let mut longer = argument.clone();
            longer.attached[which].push(0);
            assert!(verified(&verifier, &longer).is_err());
        }
        // A weight, a bias, an element behind the last, a pad: another than the registered one.
        let elements = registration::elements(&owned.case.graph);
        for place in [0, 479, elements.len() - 1, shape.elements() - 1, shape.elements(), shape.taken() - 1] {
            let own = Parameters::in_shape(shape, &elements, &Secret::new([1; 32])).changed(place);
            let inputs = Inputs::Private(records);
            let weights = Weights::Private(&owned.registration);
            let run = Run::new(&owned.case.graph, weights, inputs, owned.case.outputs.clone()).expect("ok");
            let run = run.with_parameters(&Arc::new(own));
            assert!(
                verified(&verifier, &argued(&run, &recounted(&run, honest.content.clone()))).is_err(),
                "{place}"
            );
        }
        // One number of the content, whatever follows from it counted anew.
        for place in told_places(&prover, 0) {
            let mut content = honest.content.clone();
            content[place] += Element::ONE;
            let changed = recounted(&prover, content);
            if changed.content != honest.content {
                assert!(verified(&verifier, &argued(&prover, &changed)).is_err(), "element {place}");
            }
        }
    }
}

/// A small encoder as PyTorch exports it, on records that are not those of its calibration.
fn encoder_case(records: usize) -> Case {
    let size = encoder::Size { tokens: 4, width: 8, heads: 2, inner: 12, layers: 2 };
    let (graph, inputs) = encoder::encoder(size, records);
    let prepared = Reference.prepare(Arc::clone(&graph)).expect("always");
    let outputs = prepared.run(&inputs, &mut ()).expect("runs");
    Case { graph, inputs, outputs, prepared }
}

#[test]
fn a_transformer_encoder_is_proven_with_its_weights_told_or_not() {
    let case = encoder_case(2);
    let run = case.run(Inputs::Private(2), case.outputs.clone()).expect("provable");
    let argument = case.proven(&run);
    assert!(verified(&run, &argument).expect("an honest proof") > 100.0);
    let other = case.run(Inputs::Private(2), changed(&case.outputs, 0, 1)).expect("provable");
    assert!(verified(&other, &argument).is_err());

    for owned in Owned::each(|| encoder_case(2), 1) {
        let (prover, verifier) =
            (owned.prover().expect("ok"), owned.run(owned.case.outputs.clone()).expect("ok"));
        let argument = owned.case.proven(&prover);
        assert!(verified(&verifier, &argument).expect("an honest proof") > 100.0);
        let other = owned.run(changed(&owned.case.outputs, 0, 1)).expect("provable");
        assert!(verified(&other, &argument).is_err());
    }
}

/// Products of numbers that are told or hidden, with sums over weights before and behind them.
fn products() -> Arc<Graph> {
    let values = |axes: &[usize]| ValueType { dtype: DType::I8, shape: shape(axes) };
    let mut builder = Builder::new(vec![values(&[2, 3]), values(&[3, 2])]);
    let (x, y) = (builder.input(0), builder.input(1));
    let requantise = |shift, high: i32, output| Requantise {
        multipliers: vec![77],
        shifts: vec![shift],
        low: -high - 1,
        high,
        output,
    };
    let linear = |builder: &mut Builder, depth: usize, operand| {
        let weights = (0..2 * depth).map(|at| i8::try_from(at * 31 % 111).expect("small") - 50).collect();
        let weight = builder.parameter(Tensor::new(shape(&[2, depth]), Data::I8(weights)).expect("filled"));
        let bias = builder.parameter(Tensor::new(shape(&[2]), Data::I32(vec![70, -900])).expect("filled"));
        let primitive = Primitive::Linear { weight, bias, requantise: requantise(12, 127, DType::I8) };
        builder.push("linear", primitive, &[operand]).expect("valid")
    };
    let product = || Primitive::MatrixProduct { requantise: requantise(13, 127, DType::I8) };
    // Of what is told where inputs are, of what follows from it, and of that alone.
    let told = builder.push("told", product(), &[y, x]).expect("valid");
    let hidden = linear(&mut builder, 3, x);
    let mixed = builder.push("mixed", product(), &[y, hidden]).expect("valid");
    let other = builder.push("other", product(), &[hidden, x]).expect("valid");
    let square = Primitive::Multiply { requantise: requantise(6, 32767, DType::I16) };
    let square = builder.push("square", square, &[mixed, mixed]).expect("valid");
    let last = linear(&mut builder, 3, other);
    let largest = builder.push("largest", Primitive::ArgMaximum { axis: 1 }, &[told]).expect("valid");
    Arc::new(builder.finish(vec![told, square, last, largest]).expect("valid"))
}

/// Proves a run whose inputs and outputs are told, hidden or committed to and whose weights are told or not; nobody is shown others.
fn check_run(owned: &Owned, private: bool, inputs: &str, shown: bool) {
    let Owned { case, parameters, registration, blind } = owned;
    let records = case.inputs[0].records();
    let graph = if private { blind } else { &case.graph };
    let weights = if private { Weights::Private(registration) } else { Weights::Public(Level::default()) };
    let run = |into: &Vec<Batch>, out: &Vec<Batch>| -> Result<Run, NotProvable> {
        let commitments = case.committed([into, out]);
        let roots = commitments.each_ref().map(|own| values::root(own).0);
        let told = match inputs {
            "told" => Inputs::Public(into),
            "hidden" => Inputs::Private(records),
            _ => Inputs::Committed(roots[0], records),
        };
        let yielded = if shown { Outputs::Public(out.clone()) } else { Outputs::Committed(roots[1]) };
        let run = Run::new(graph, weights, told, yielded)?;
        let [into, out] = commitments;
        let own = (inputs == "committed").then_some(into).into_iter().chain((!shown).then_some(out));
        Ok(run.with_values(own.collect()))
    };
    let known = |run: Run| if private { run.with_parameters(parameters) } else { run };
    let label = format!("{records} records, weights {private}, {inputs} inputs, outputs {shown}");
    let honest = || run(&case.inputs, &case.outputs).expect("provable");
    let argument = case.proven(&known(honest()));
    let bits = verified(&honest(), &argument).expect(&label);
    assert!(bits > 100.0, "{bits}");
    // Of some numbers everybody sees that no run yields them.
    let is_refused = |run: Result<Run, _>| run.map_or(true, |run| verified(&run, &argument).is_err());
    for (which, batch) in case.outputs.iter().enumerate() {
        let other = changed(&case.outputs, which, batch.data().len() - 1);
        assert!(is_refused(run(&case.inputs, &other)), "{label}, output {which}");
    }
    if inputs != "hidden" {
        let other = changed(&case.inputs, 0, 0);
        // What is told of the records is in the transcript; of records that are shown and not looked at, nothing is said beside it.
        let same = inputs == "told" && case.prepared.run(&other, &mut ()).expect("runs") == case.outputs;
        assert!(is_refused(run(&other, &case.outputs)) || same, "{label}");
    }
}

#[test]
fn products_are_proven_of_any_number_of_records_whatever_is_told() {
    for records in [1, 2, 3, 5] {
        let [owned, combined] = Owned::each(|| Case::new(products(), records), 1);
        for (owned, private) in [(&owned, false), (&owned, true), (&combined, true)] {
            for inputs in ["told", "hidden", "committed"] {
                for shown in [false, true] {
                    check_run(owned, private, inputs, shown);
                }
            }
        }
    }
    for records in [1, 3] {
        let [owned, combined] = Owned::each(|| encoder_case(records), 1);
        for (owned, private, inputs, shown) in [
            (&owned, true, "told", true),
            (&owned, true, "committed", false),
            (&combined, true, "told", true),
            (&combined, true, "committed", false),
            (&owned, false, "told", false),
            (&owned, false, "committed", true),
        ] {
            check_run(owned, private, inputs, shown);
        }
    }
}

#[test]
fn products_of_one_record_are_not_made_up_for_by_another() {
    let owned = Owned::new(Case::new(products(), 3), 1).expect("small");
    for private in [false, true] {
        let run = || {
            let inputs = Inputs::Private(3);
            let outputs = owned.case.outputs.clone();
            if private {
                owned.prover().expect("provable")
            } else {
                Run::new(&owned.case.graph, Weights::Public(Level::default()), inputs, outputs)
                    .expect("provable")
            }
        };
        let run = run();
        let honest = run.witness(owned.case.prepared.as_ref(), &owned.case.inputs).expect("runs");
        let layout = run.lookups.places();
        let (whole, columns) = run.whole(&owned.case);
        // Where a fourth record would stand nothing is looked at.
        let mut content = honest.content.clone();
        layout.put(3, &whole[1], &mut content);
        assert!(verified(&run, &argued(&run, &recounted(&run, content))).is_ok());
        for place in layout.own.clone().filter(|place| columns[*place].is_some()).step_by(7) {
            // One more here and one less there; what another record has.
            for exchanged in [false, true] {
                let mut content = honest.content.clone();
                let [mut one, mut other] = [whole[0].clone(), whole[1].clone()];
                if exchanged {
                    std::mem::swap(&mut one[place], &mut other[place]);
                } else {
                    one[place] += Element::ONE;
                    other[place] -= Element::ONE;
                }
                layout.put(0, &one, &mut content);
                layout.put(1, &other, &mut content);
                if content == honest.content {
                    continue;
                }
                let argument = argued(&run, &recounted(&run, content));
                assert!(verified(&run, &argument).is_err(), "element {place}, {exchanged}");
            }
        }
    }
}

#[test]
fn products_of_sixteen_bits_are_proven_to_their_ends_and_not_one_order_beside() {
    let ends = [-32768, -32767, -32640, -1, 0, 1, 32640, 32767];
    let values = ValueType { dtype: DType::I16, shape: shape(&[64]) };
    let mut builder = Builder::new(vec![values; 2]);
    let (low, high) = DType::I16.bounds();
    let requantise =
        Requantise { multipliers: vec![i32::MAX], shifts: vec![46], low, high, output: DType::I16 };
    let operands = [builder.input(0), builder.input(1)];
    let y = builder.push("y", Primitive::Multiply { requantise }, &operands).expect("valid");
    let graph = Arc::new(builder.finish(vec![y]).expect("valid"));
    let pairs = ends.iter().flat_map(|x| ends.map(|y| (*x, y)));
    let (left, right): (Vec<i16>, Vec<i16>) = pairs.unzip();
    let batch = |data: Vec<i16>| Batch::new(1, shape(&[64]), Data::I16(data)).expect("filled");
    let inputs = vec![batch(left), batch(right)];
    let prepared = Reference.prepare(Arc::clone(&graph)).expect("always");
    let outputs = prepared.run(&inputs, &mut ()).expect("runs");
    let case = Case { graph, inputs, outputs, prepared };
    let run = case.run(Inputs::Private(1), case.outputs.clone()).expect("provable");
    assert!(verified(&run, &case.proven(&run)).is_ok());
    // The field cannot tell a product from one that is its order more or less; its parity does.
    let (whole, _) = run.whole(&case);
    let taken = case.taken(&run);
    let split = |column: &Column| matches!(column, Column::Split(split) if split.is_of_products());
    let at = run.columns.iter().position(split).expect("the product in limbs");
    let Column::Split(limbs) = &run.columns[at] else { unreachable!("a split") };
    let mut seen = 0;
    for place in 0..64 {
        for order in [i64::from(Element::ORDER_U32), -i64::from(Element::ORDER_U32)] {
            let mut places = whole[0].clone();
            if !limbs.shifted(&mut places, place, order) {
                continue;
            }
            seen += 1;
            run.columns[at + 1..]
                .iter()
                .for_each(|column| run.fill(column, 0, &mut places, &Memo::default(), &taken));
            assert!(!run.are_equal(0, &places), "product {place}");
        }
    }
    assert!(seen > 0, "some products have another beside them");
}

#[test]
fn random_graphs_with_private_parameters_are_proven_or_refused_by_name() {
    let (mut proven, mut refused, mut shown) = (0, 0, [0; 2]);
    for seed in 0..1500 {
        // One layout and the other, over all numbers of records.
        let (case, layout) = (Case::new(Arc::new(arbitrary::graph(seed)), 1 + proven % 3), proven / 4 % 2);
        let owned = if layout == 0 { Owned::new(case, 3) } else { Owned::combined(case, 3) };
        let Some(owned) = owned else { continue };
        let (prover, verifier) = match (owned.prover(), owned.run(owned.case.outputs.clone())) {
            (Ok(prover), Ok(verifier)) => (prover, verifier),
            (Err(one), Err(other)) => {
                assert_eq!(one, other, "what is said depends on nothing private: seed {seed}");
                refused += 1;
                continue;
            }
            (one, other) => panic!("seed {seed}: {one:?} and {other:?}"),
        };
        let witness =
            prover.witness(owned.case.prepared.as_ref(), &owned.case.inputs).expect("an honest run");
        proven += 1;
        if proven % 4 == 1 {
            shown[layout] += 1;
            assert!(verified(&verifier, &argued(&prover, &witness)).is_ok(), "seed {seed}");
        }
    }
    assert!(shown.iter().all(|shown| *shown >= 3), "{shown:?}");
    assert!(proven >= 20, "{proven} of {}", proven + refused);
}

#[test]
fn parameters_are_registered_within_their_bounds_and_in_no_tighter_ones() {
    check_bounds(perceptron());
}

#[test]
fn many_weights_are_registered_two_and_two_within_their_bounds_and_in_no_tighter_ones() {
    // Of each channel one is left over, of the second layer none.
    check_bounds(perceptron_of(65, 64));
}

/// Registers a perceptron: within its bounds, and in no tighter ones, and no weight that is no byte.
fn check_bounds(graph: Arc<Graph>) {
    let owned = Owned::new(Case::new(graph, 1), 1).expect("small");
    let prove = |registration: &Registration| {
        let registering =
            Registering::new(&owned.blind, registration).expect("fits").with_parameters(&owned.parameters);
        let witness = registering.witness().map_err(|_| "outside")?;
        Ok::<_, &str>(argued(&registering, &witness))
    };
    let check = |registration: &Registration, argument: &Argument| {
        let registering = Registering::new(&owned.blind, registration).expect("fits");
        argument::verify(&registering, argument, Transcript::of_test(), &mut rng(8))
    };
    let argument = prove(&owned.registration).expect("within");
    let bits = check(&owned.registration, &argument).expect("an honest proof");
    assert!(bits > 100.0, "{bits}");
    // Bounds whose own range would go round the field show nothing, so they are none.
    for magnitude in [0, (1 << 29) + 1] {
        let mut wide = owned.registration.clone();
        wide.magnitudes[1] = magnitude;
        assert!(Registering::new(&owned.blind, &wide).is_err());
        let inputs = Inputs::Private(1);
        let run = Run::new(&owned.blind, Weights::Private(&wide), inputs, owned.case.outputs.clone());
        assert!(run.is_err(), "{magnitude}");
    }
    // A tighter bound on the first layer's weights, on the second's, on a bias's bits.
    let changes: [fn(&mut Registration); 4] = [
        |tighter| tighter.reaches[0].product -= tighter.reaches[0].product / 64,
        |tighter| tighter.reaches[0].step -= tighter.reaches[0].step / 64,
        |tighter| tighter.reaches[1].step -= tighter.reaches[1].step / 64,
        |tighter| tighter.magnitudes[1] -= tighter.magnitudes[1] / 64,
    ];
    for (which, change) in changes.iter().enumerate() {
        let mut tighter = owned.registration.clone();
        change(&mut tighter);
        assert_eq!(prove(&tighter).err(), Some("outside"), "change {which}");
        assert!(check(&tighter, &argument).is_err(), "change {which}");
    }
    // A weight that is no byte, whatever is said of its magnitude; its neighbour making up for it; one that is a byte.
    let registered = |places: &[(usize, i32)]| {
        let mut elements = registration::elements(&owned.case.graph);
        places.iter().for_each(|(place, weight)| elements[*place] = Element::from_i32(*weight));
        let shape = owned.registration.registered.shape;
        let parameters = Arc::new(Parameters::in_shape(shape, &elements, &Secret::new([2; 32])));
        let registration =
            Registration { registered: parameters.registered().clone(), ..owned.registration.clone() };
        let of = || Registering::new(&owned.blind, &registration).expect("fits");
        let registering = of().with_parameters(&parameters);
        let argument = argued(&registering, &registering.supposed());
        argument::verify(&of(), &argument, Transcript::of_test(), &mut rng(8)).is_ok()
    };
    let elements = registration::elements(&owned.case.graph);
    let pair = [0, 1].map(|place| i32::try_from(crate::maps::signed(elements[place])).expect("a byte"));
    assert!(registered(&[(0, pair[0]), (1, pair[1])]));
    for far in [[(0, 200), (1, pair[1])], [(0, pair[0]), (1, -300)], [(0, pair[0] + 256), (1, pair[1] - 256)]]
    {
        assert!(!registered(&far), "{far:?}");
    }
}

#[test]
fn a_run_with_more_products_than_a_verifier_goes_through_is_refused() {
    let mut builder = Builder::new(vec![ValueType { dtype: DType::I8, shape: shape(&[1, 2048]) }]);
    let x = builder.input(0);
    let tensor = |axes: &[usize], data| Tensor::new(shape(axes), data).expect("filled");
    let weight = builder.parameter(tensor(&[2048, 2048], Data::I8(vec![0; 1 << 22])));
    let bias = builder.parameter(tensor(&[2048], Data::I32(vec![0; 2048])));
    let requantise =
        Requantise { multipliers: vec![1], shifts: vec![4], low: 0, high: 127, output: DType::I8 };
    let y = builder.push("wide", Primitive::Linear { weight, bias, requantise }, &[x]).expect("valid");
    let graph = Arc::new(builder.finish(vec![y]).expect("valid"));
    let refused = |records: usize| {
        let outputs = Batch::new(records, shape(&[1, 2048]), Data::I8(vec![0; records * 2048]));
        let outputs = vec![outputs.expect("filled")];
        Run::new(&graph, Weights::Public(Level::default()), Inputs::Private(records), outputs)
            .err()
            .map(|error| error.why)
    };
    assert_eq!(refused(2049), Some(TOO_LARGE));
    assert_eq!(refused(1), None);
}

#[test]
fn sums_over_private_weights_that_leave_the_field_are_divided_piece_by_piece() {
    // Behind the multiplier alone, and by themselves, so that the field does not tell them apart.
    for (dtype, depth, alone) in [(DType::I8, 600, false), (DType::I16, 300, true)] {
        let mut builder = Builder::new(vec![ValueType { dtype, shape: shape(&[1, depth]) }]);
        let x = builder.input(0);
        let weights = (0..3 * depth).map(|at| if at * 7 % 13 < 6 { -127 } else { 126 }).collect();
        let weight = builder.parameter(Tensor::new(shape(&[3, depth]), Data::I8(weights)).expect("filled"));
        let bias = Data::I32(vec![70_000, -900_000, 12]);
        let bias = builder.parameter(Tensor::new(shape(&[3]), bias).expect("filled"));
        let shifts = if alone { vec![27, 26, 27] } else { vec![20, 24, 22] };
        let requantise =
            Requantise { multipliers: vec![251, 130, 199], shifts, low: -127, high: 127, output: DType::I8 };
        let y = builder.push("y", Primitive::Linear { weight, bias, requantise }, &[x]).expect("valid");
        let graph = Arc::new(builder.finish(vec![y]).expect("valid"));
        for records in [1, 3] {
            for owned in Owned::each(|| Case::new(Arc::clone(&graph), records), 1) {
                let reach = owned.registration.reaches[0].product;
                let most = if alone { 251 << 15 } else { 1 << 7 };
                assert!(reach * most > u64::from(Element::ORDER_U32) / 2 * if alone { 251 } else { 1 });
                for (inputs, shown) in [("told", true), ("hidden", true), ("committed", false)] {
                    check_run(&owned, true, inputs, shown);
                }
            }
        }
    }
}
