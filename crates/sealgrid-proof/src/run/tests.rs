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
use crate::registration::{self, Registering};
use crate::transcript::Transcript;
use crate::values::{self, Side};

#[path = "../../benches/models/encoder.rs"]
mod encoder;

fn rng(seed: u8) -> ChaCha20Rng {
    ChaCha20Rng::from_seed([seed; 32])
}

fn shape(axes: &[usize]) -> Shape {
    Shape::new(axes).expect("small")
}

/// A perceptron with weights that look like trained ones, 30-16-2, as the shipped one is.
fn perceptron() -> Arc<Graph> {
    let weights = |count: usize, step: usize| -> Data {
        Data::I8(
            (0..count).map(|i| i8::try_from(i * step % 255).map_or(-((i * 7 % 127) as i8), |v| v)).collect(),
        )
    };
    let tensor = |axes: &[usize], data| Tensor::new(shape(axes), data).expect("filled");
    let mut builder = Builder::new(vec![ValueType { dtype: DType::I8, shape: shape(&[1, 30]) }]);
    let x = builder.input(0);
    let weight = builder.parameter(tensor(&[16, 30], weights(480, 37)));
    let bias = builder.parameter(tensor(&[16], Data::I32((0..16).map(|i| i * 1000 - 8000).collect())));
    let requantise =
        Requantise { multipliers: vec![201], shifts: vec![18], low: 0, high: 127, output: DType::I8 };
    let hidden = Primitive::Linear { weight, bias, requantise };
    let hidden = builder.push("hidden", hidden, &[x]).expect("valid");
    let weight = builder.parameter(tensor(&[2, 16], weights(32, 91)));
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
        Run::new(&self.graph, Weights::Public, inputs, outputs)
    }

    fn committed(&self, [inputs, outputs]: [&Vec<Batch>; 2]) -> [Parameters; 2] {
        let key = CommitmentKey::new([9; 32]);
        let commit = |side, batches: &[Batch]| values::commit(side, batches, &key).expect("few");
        [commit(Side::Inputs, inputs), commit(Side::Outputs, outputs)]
    }

    /// The run whose inputs and outputs are these, and committed to; with the commitments.
    fn tied(&self, values: [&Vec<Batch>; 2]) -> Result<Run, NotProvable> {
        let own = self.committed(values);
        let [inputs, outputs] = own.each_ref().map(|own| values::root(own).0);
        let inputs = Inputs::Committed(inputs, self.inputs[0].records());
        let run = Run::new(&self.graph, Weights::Public, inputs, Outputs::Committed(outputs))?;
        Ok(run.with_values(own.into()))
    }

    fn proven(&self, run: &Run) -> Argument {
        let content = run.witness(self.prepared.as_ref(), &self.inputs).expect("an honest run");
        argument::prove(run, &content, Transcript::of_test(), &mut rng(7)).expect("small")
    }
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

#[test]
fn a_prover_that_changes_one_number_convinces_nobody() {
    let case = Case::new(perceptron(), 1);
    let run = case.run(Inputs::Private(1), case.outputs.clone()).expect("provable");
    let honest = run.witness(case.prepared.as_ref(), &case.inputs).expect("runs");
    // Every column: records, remainders, activations, multiplicities; the lookups counted anew where they can be.
    for place in (0..honest.len()).step_by(61) {
        let mut content = honest.clone();
        content[place] += Element::ONE;
        let _ = run.lookups.count(&mut content);
        if content == honest {
            continue; // a multiplicity, which was counted anew
        }
        let argument = argument::prove(&run, &content, Transcript::of_test(), &mut rng(7)).expect("small");
        assert!(verified(&run, &argument).is_err(), "element {place}");
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
        let content = run.witness(case.prepared.as_ref(), &case.inputs).expect("an honest run");
        // What is linear in the content must be what the reference yields.
        let mut all = [&vec![Element::ZERO; run.sums.count], content.as_slice()].concat();
        run.fill_all_sums(&mut all);
        for [yielded, told] in &run.equal {
            assert_eq!(yielded.values(&all), told.values(&all), "seed {seed}");
        }
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
    /// What an honest content stands behind, and which column each element is part of.
    fn whole(&self, case: &Case) -> (Vec<Element>, Vec<Option<usize>>) {
        let kept = case.kept(self);
        // Not what any column has.
        let mut content = vec![Element::from_u32(0x5ea1_9d1d); self.lookups.content()];
        let mut columns = vec![None; content.len()];
        for (index, column) in self.columns.iter().enumerate() {
            let before = content.clone();
            self.fill(column, &mut content, &case.inputs, &kept);
            for (place, (one, other)) in before.iter().zip(&content).enumerate() {
                if one != other {
                    columns[place] = Some(index);
                }
            }
        }
        (content, columns)
    }

    /// Whether everything holds that is said of a content with its sums.
    fn holds(&self, content: &mut [Element]) -> bool {
        self.equal.iter().all(|[one, other]| one.values(content) == other.values(content))
            && self.lookups.count(content).is_ok()
    }
}

impl Case {
    fn kept(&self, run: &Run) -> HashMap<usize, Batch> {
        run.kept(self.prepared.as_ref(), &self.inputs).expect("runs")
    }
}

/// Tries graphs: how many could be proven, of which no element may be changed, and why others could not.
fn check_graphs(graphs: impl Iterator<Item = Graph>) -> (usize, BTreeMap<&'static str, usize>) {
    let (mut proven, mut refused) = (0, BTreeMap::new());
    for (number, graph) in graphs.enumerate() {
        let case = Case::new(Arc::new(graph), 2);
        let run = match case.run(Inputs::Private(2), case.outputs.clone()) {
            Ok(run) => run,
            Err(error) => {
                *refused.entry(error.why).or_insert(0) += 1;
                continue;
            }
        };
        let (mut whole, columns) = run.whole(&case);
        assert!(run.holds(&mut whole), "graph {number}");
        proven += 1;
        if proven > 6 {
            continue;
        }
        // Whatever is changed, and whatever follows from it computed anew: it is seen. Only other records may yield the same.
        let kept = case.kept(&run);
        let places: Vec<usize> = (run.sums.count..whole.len())
            .filter(|place| {
                columns[*place].is_some_and(|column| !matches!(run.columns[column], Column::Input { .. }))
            })
            .collect();
        for place in places.iter().step_by(places.len() / 8 + 1) {
            for change in [1, -1, 256] {
                let mut content = whole.clone();
                content[*place] += Element::from_i64(change);
                let behind = columns[*place].expect("a column's") + 1;
                run.columns[behind..]
                    .iter()
                    .for_each(|column| run.fill(column, &mut content, &case.inputs, &kept));
                assert!(!run.holds(&mut content), "graph {number}, element {place}, {change}");
            }
        }
        if proven > 2 {
            continue;
        }
        let content = run.witness(case.prepared.as_ref(), &case.inputs).expect("an honest run");
        let prove = |content: &[Element]| {
            argument::prove(&run, content, Transcript::of_test(), &mut rng(7)).expect("small")
        };
        let argument = prove(&content);
        let bits = verified(&run, &argument).unwrap_or_else(|error| panic!("graph {number}: {error}"));
        assert!(bits > 100.0, "{bits}");
        let wrong = case.run(Inputs::Private(2), changed(&case.outputs, 0, 0));
        assert!(wrong.map_or(true, |wrong| verified(&wrong, &argument).is_err()), "graph {number}");
        if let Some(place) = places.get(places.len() / 2) {
            let mut content = content.clone();
            content[place - run.sums.count] += Element::ONE;
            assert!(verified(&run, &prove(&content)).is_err(), "graph {number}, element {place}");
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
        let swapped = Run::new(&case.graph, Weights::Public, swapped, Outputs::Committed(root));
        assert!(verified(&swapped.expect("provable"), &argument).is_err());
    }
}

#[test]
fn one_key_hides_different_values_behind_different_pads() {
    let (key, case) = (CommitmentKey::new([4; 32]), Case::new(perceptron(), 1));
    let commit = |side, batches: &[Batch]| values::commit(side, batches, &key).expect("few");
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
        let elements = registration::elements(&case.graph);
        let parameters = Arc::new(Parameters::commit(&elements, 2, &Secret::new([seed; 32])).ok()?);
        let registration = Registration::of(&case.graph, parameters.registered().clone());
        let zeros = case.graph.parameters().iter().map(|tensor| {
            let elements = vec![0; tensor.shape().count()];
            Tensor::from_elements(&tensor.value_type(), &elements).expect("as many")
        });
        let blind = Graph::from_parts(case.graph.architecture(), zeros.collect()).ok()?;
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
    for records in [1, 3] {
        let owned = Owned::new(Case::new(perceptron(), records), 1).expect("small");
        let argument = owned.case.proven(&owned.prover().expect("provable"));
        let outputs = || owned.case.outputs.clone();
        let bits = verified(&owned.run(outputs()).expect("provable"), &argument).expect("an honest proof");
        assert!(bits > 100.0, "{bits}");
        for position in 0..2 * records {
            let other = owned.run(changed(&owned.case.outputs, 0, position)).expect("provable");
            assert!(verified(&other, &argument).is_err(), "output {position}");
        }
        // The same weights registered anew: nobody can tell, so it is another model.
        let again = Owned::new(Case::new(perceptron(), records), 2).expect("small");
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
fn a_prover_that_changes_one_private_number_convinces_nobody() {
    let owned = Owned::new(Case::new(perceptron(), 1), 1).expect("small");
    let (prover, verifier) =
        (owned.prover().expect("ok"), owned.run(owned.case.outputs.clone()).expect("ok"));
    let honest = prover.witness(owned.case.prepared.as_ref(), &owned.case.inputs).expect("runs");
    let shape = owned.registration.registered.shape;
    let parameters = shape.taken();
    let count = registration::elements(&owned.case.graph).len();
    // Weights, biases, pads, and every 61st of the columns; sums follow from what was changed, lookups are counted anew.
    let places = [0, 200, 479, 480, 495, count - 1, shape.elements(), parameters - 1];
    for place in places.into_iter().chain((parameters..honest.len()).step_by(61)) {
        let mut full = vec![Element::ZERO; prover.sums.count];
        full.extend_from_slice(&honest);
        full[prover.sums.count + place] += Element::ONE;
        prover.fill_all_sums(&mut full);
        let _ = prover.lookups.count(&mut full);
        let content = full.split_off(prover.sums.count);
        if content == honest {
            continue; // a multiplicity, which was counted anew
        }
        let argument = argument::prove(&prover, &content, Transcript::of_test(), &mut rng(7)).expect("small");
        assert!(verified(&verifier, &argument).is_err(), "element {place}");
    }
}

/// A small encoder, on records that are not those of its calibration.
fn encoder_case() -> Case {
    let size = encoder::Size { tokens: 4, width: 8, heads: 2, inner: 12, layers: 2 };
    let (graph, inputs) = encoder::encoder(size, 2);
    let prepared = Reference.prepare(Arc::clone(&graph)).expect("always");
    let outputs = prepared.run(&inputs, &mut ()).expect("runs");
    Case { graph, inputs, outputs, prepared }
}

#[test]
fn a_transformer_encoder_is_proven_with_its_weights_told_or_not() {
    let case = encoder_case();
    let run = case.run(Inputs::Private(2), case.outputs.clone()).expect("provable");
    let argument = case.proven(&run);
    assert!(verified(&run, &argument).expect("an honest proof") > 100.0);
    let other = case.run(Inputs::Private(2), changed(&case.outputs, 0, 1)).expect("provable");
    assert!(verified(&other, &argument).is_err());

    let owned = Owned::new(encoder_case(), 1).expect("small");
    let (prover, verifier) =
        (owned.prover().expect("ok"), owned.run(owned.case.outputs.clone()).expect("ok"));
    let argument = owned.case.proven(&prover);
    assert!(verified(&verifier, &argument).expect("an honest proof") > 100.0);
    let other = owned.run(changed(&owned.case.outputs, 0, 1)).expect("provable");
    assert!(verified(&other, &argument).is_err());
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
    let kept = case.kept(&run);
    let split = |column: &Column| matches!(column, Column::Split(split) if split.is_of_products());
    let at = run.columns.iter().position(split).expect("the product in limbs");
    let Column::Split(limbs) = &run.columns[at] else { unreachable!("a split") };
    let mut seen = 0;
    for place in 0..64 {
        for order in [i64::from(Element::ORDER_U32), -i64::from(Element::ORDER_U32)] {
            let mut content = whole.clone();
            if !limbs.shifted(&mut content, place, order) {
                continue;
            }
            seen += 1;
            run.columns[at + 1..]
                .iter()
                .for_each(|column| run.fill(column, &mut content, &case.inputs, &kept));
            let wrong =
                run.equal.iter().filter(|[one, other]| one.values(&content) != other.values(&content));
            assert!(wrong.count() > 0, "product {place}");
        }
    }
    assert!(seen > 0, "some products have another beside them");
}

#[test]
fn random_graphs_with_private_parameters_are_proven_or_refused_by_name() {
    let (mut proven, mut refused) = (0, 0);
    for seed in 0..1500 {
        let Some(owned) = Owned::new(Case::new(Arc::new(arbitrary::graph(seed)), 2), 3) else { continue };
        let (prover, verifier) = match (owned.prover(), owned.run(owned.case.outputs.clone())) {
            (Ok(prover), Ok(verifier)) => (prover, verifier),
            (Err(one), Err(other)) => {
                assert_eq!(one, other, "what is said depends on nothing private: seed {seed}");
                refused += 1;
                continue;
            }
            (one, other) => panic!("seed {seed}: {one:?} and {other:?}"),
        };
        let content =
            prover.witness(owned.case.prepared.as_ref(), &owned.case.inputs).expect("an honest run");
        proven += 1;
        if proven % 4 == 1 {
            let argument =
                argument::prove(&prover, &content, Transcript::of_test(), &mut rng(7)).expect("small");
            assert!(verified(&verifier, &argument).is_ok(), "seed {seed}");
        }
    }
    assert!(proven >= 20, "{proven} of {}", proven + refused);
}

#[test]
fn parameters_are_registered_within_their_bounds_and_in_no_tighter_ones() {
    let owned = Owned::new(Case::new(perceptron(), 1), 1).expect("small");
    let prove = |registration: &Registration| {
        let registering =
            Registering::new(&owned.blind, registration).expect("fits").with_parameters(&owned.parameters);
        let content = registering.witness().map_err(|_| "outside")?;
        Ok::<_, &str>(
            argument::prove(&registering, &content, Transcript::of_test(), &mut rng(7)).expect("small"),
        )
    };
    let check = |registration: &Registration, argument: &Argument| {
        let registering = Registering::new(&owned.blind, registration).expect("fits");
        argument::verify(&registering, argument, Transcript::of_test(), &mut rng(8))
    };
    let argument = prove(&owned.registration).expect("within");
    let bits = check(&owned.registration, &argument).expect("an honest proof");
    assert!(bits > 100.0, "{bits}");
    // Bounds whose own range would go round the field show nothing, so they are none.
    for magnitude in [0, 1 << 29] {
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
        Run::new(&graph, Weights::Public, Inputs::Private(records), outputs).err().map(|error| error.why)
    };
    assert_eq!(refused(2049), Some(TOO_LARGE));
    assert_eq!(refused(1), None);
}
