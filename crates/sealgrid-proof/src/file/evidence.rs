//! The evidence that proofs are complete, sound and tell nothing: what the bars of docs/reference/benchmarks/proof.md are measured with.
//!
//! By itself each test takes a sample that ends in seconds. With `SEALGRID_EVIDENCE=100` in the environment it takes the numbers that the bars name, and
//! prints what it counted; with less, so many percent of them:
//!
//! ```text
//! SEALGRID_EVIDENCE=100 cargo test --release -p sealgrid-proof -- --nocapture --test-threads=1 evidence liars masks as_many_columns
//! ```
//!
//! `SEALGRID_SEED` (a number) has it take other cases; every failure names what makes it again.

mod completeness;
mod mutants;
mod splices;
mod statistics;
mod structure;
mod transcripts;
mod vectors;

use std::collections::BTreeMap;
use std::sync::Arc;

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;
use sealgrid_graph::arbitrary::{self, Random};
use sealgrid_graph::execute::Executor as _;
use sealgrid_graph::integer::{Builder, Graph, Primitive, Requantise, ValueType};
use sealgrid_graph::reference::Reference;
use sealgrid_graph::tensor::{DType, Shape, Tensor};

use super::*;

/// Kinds of operations that `arbitrary` makes graphs of; the one behind the last stands for graphs of any operations.
pub(crate) const KINDS: u64 = 25;
/// Tree ensembles.
pub(crate) const TREES: u64 = 24;

/// How much of the numbers of the bars was asked for, in percent; nothing where samples are enough.
fn percent() -> Option<usize> {
    let percent = std::env::var("SEALGRID_EVIDENCE").ok()?;
    Some(percent.parse().expect("SEALGRID_EVIDENCE is a number of percent"))
}

/// Whether a bar is to be reached.
pub(crate) fn full() -> bool {
    percent().is_some_and(|percent| percent >= 100)
}

/// What to do in a sample, and what if more was asked for.
pub(crate) fn either<T>(sample: T, more: T) -> T {
    if percent().is_some() { more } else { sample }
}

/// How often to do something: in a sample, and for the bar.
pub(crate) fn times(sample: usize, bar: usize) -> usize {
    percent().map_or(sample, |percent| sample.max(bar * percent / 100))
}

/// What all samples follow from.
pub(crate) fn seed() -> u64 {
    std::env::var("SEALGRID_SEED").map_or(1, |seed| seed.parse().expect("SEALGRID_SEED is a number"))
}

fn rng(seed: u64) -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(seed)
}

/// A line for who waits for the numbers of a bar.
pub(crate) fn say(line: &str) {
    if percent().is_some() {
        println!("{line}");
    }
}

/// How often each of some things happened.
#[derive(Default)]
pub(crate) struct Counts(BTreeMap<String, usize>);

impl Counts {
    pub(crate) fn add(&mut self, what: impl Into<String>) {
        *self.0.entry(what.into()).or_insert(0) += 1;
    }

    pub(crate) fn of(&self, what: &str) -> usize {
        self.0.get(what).copied().unwrap_or(0)
    }

    fn total(&self) -> usize {
        self.0.values().sum()
    }

    pub(crate) fn print(&self, title: &str) {
        say(title);
        self.0.iter().for_each(|(what, count)| say(&format!("  {count:>8}  {what}")));
    }
}

/// What a proof tells, and of how many records it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Role {
    registered: bool,
    inputs: Told,
    outputs_shown: bool,
    records: usize,
    level: Level,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Shown,
    Hidden,
    Committed,
}

impl Role {
    /// Roles without the weights', each once in so many numbers.
    const COUNT: usize = 48;

    fn of(registered: bool, number: usize) -> Self {
        let inputs = [Told::Shown, Told::Hidden, Told::Committed][number % 3];
        let rest = number / 3;
        let (outputs_shown, records) = (rest.is_multiple_of(2), 1 + rest / 2 % 4);
        // In the first half one level after the other, too, and in the second the other way round.
        let level = Level::ALL[(number + number / (Self::COUNT / 2)) % 2];
        Self { registered, inputs, outputs_shown, records, level }
    }

    /// Each of its parts by itself.
    fn words(self) -> [String; 5] {
        let weights = if self.registered { "registered" } else { "told" };
        let inputs = match self.inputs {
            Told::Shown => "shown",
            Told::Hidden => "hidden",
            Told::Committed => "committed",
        };
        let outputs = if self.outputs_shown { "shown" } else { "committed" };
        [
            format!("weights {weights}"),
            format!("inputs {inputs}"),
            format!("outputs {outputs}"),
            format!("records {}", self.records),
            format!("level {}", self.level),
        ]
    }
}

/// The keys of a proof's commitments.
fn keys() -> [CommitmentKey; 2] {
    [CommitmentKey::new([5; 32]), CommitmentKey::new([6; 32])]
}

/// A model, and what is proven of it.
struct Case {
    model: Model,
    own: Option<RegisteredParameters>,
    role: Role,
    inputs: Vec<Batch>,
    outputs: Vec<Batch>,
    /// Of the vector that the proof is about.
    variables: usize,
    proof: Proof,
}

/// Why there is no case.
enum Refused {
    /// The graph cannot be proven so, or its parameters not be registered.
    Refused,
    /// It takes longer than a sample of many may.
    Long,
}

impl Case {
    /// A proof about a graph on random records, of vectors of at most so many variables; everything follows from the seed.
    fn new(graph: Graph, role: Role, seed: u64, variables_max: usize) -> Result<Self, Refused> {
        let inputs = arbitrary::inputs(&graph, role.records, seed);
        let card = arbitrary::card("evidence", &graph);
        let model = Model::new(card, graph, &mut rng(seed)).map_err(|_| Refused::Refused)?;
        let (model, own) = if role.registered {
            let registered =
                RegisteredParameters::register(model, 2, role.level).map_err(|_| Refused::Refused)?;
            (registered.0, Some(registered.1))
        } else {
            (model, None)
        };
        Self::of(model, own, role, inputs, seed, variables_max)
    }

    fn of(
        model: Model,
        own: Option<RegisteredParameters>,
        role: Role,
        inputs: Vec<Batch>,
        seed: u64,
        variables_max: usize,
    ) -> Result<Self, Refused> {
        let [of_inputs, of_outputs] = keys();
        let records = match role.inputs {
            Told::Shown => Records::Show,
            Told::Hidden => Records::Hide,
            Told::Committed => Records::Commit(&of_inputs),
        };
        let results = if role.outputs_shown { Results::Show } else { Results::Commit(&of_outputs) };
        let mut nonce = [0; 32];
        nonce[..8].copy_from_slice(&seed.to_le_bytes());
        let prepared = Reference.prepare(Arc::clone(model.graph())).expect("always");
        let told = (records, results);
        let planned =
            plan(&model, about(own.as_ref(), role.level), prepared.as_ref(), &inputs, told, nonce, u64::MAX)
                .map_err(|_| Refused::Refused)?;
        let variables = argument::variables(&planned.run).expect("planned");
        if variables > variables_max {
            return Err(Refused::Long);
        }
        let outputs = planned.outputs().to_vec();
        let proof = planned.prove(&mut rng(seed ^ 0x5ea1)).map_err(|_| Refused::Refused)?;
        Ok(Self { model, own, role, inputs, outputs, variables, proof })
    }

    /// What a verifier says of a file that is to be this proof, as the one who has the model.
    fn verify(&self, bytes: &[u8]) -> Result<f64, VerifyError> {
        Proof::from_bytes(bytes)?.verify(&self.model, self.own.as_ref(), &mut rng(8))
    }

    /// What is published of its model.
    fn published(&self) -> Option<RegisteredModel> {
        let own = self.own.as_ref()?;
        Some(own.publish(&self.model, &mut rng(9)).expect("within its bounds, and with two openings"))
    }
}

/// Registered parameters where there are some.
pub(crate) fn about(own: Option<&RegisteredParameters>, level: Level) -> About<'_> {
    own.map_or(About::Told(level), About::from)
}

/// A random graph whose last operation is of a kind, or of any operations; to be registered it stands behind a layer of weights, so that it has some.
pub(crate) fn graph(kind: u64, registered: bool, seed: u64) -> Option<Graph> {
    let graph = match kind {
        KINDS => arbitrary::graph(seed),
        TREES => with_small_leaves(&arbitrary::graph_of_kind(TREES, seed)),
        _ => arbitrary::graph_of_kind(kind, seed),
    };
    if registered { behind_weights(&graph, &mut Random::new(seed)) } else { Some(graph) }
}

/// Random leaves are of 32 bits, and what they add up to is too, which no run is admitted with.
fn with_small_leaves(graph: &Graph) -> Graph {
    let small: Vec<usize> = graph
        .operations()
        .iter()
        .filter_map(|operation| match &operation.primitive {
            Primitive::TreeEnsemble { leaves, base, .. } => Some([leaves.0 as usize, base.0 as usize]),
            _ => None,
        })
        .flatten()
        .collect();
    let parameters = graph.parameters().iter().enumerate().map(|(index, tensor)| {
        let shift = if small.contains(&index) { 12 } else { 0 };
        let elements: Vec<i32> = (0..tensor.shape().count()).map(|at| tensor.at(at) >> shift).collect();
        Tensor::from_elements(&tensor.value_type(), &elements).expect("as many")
    });
    Graph::from_parts(graph.architecture(), parameters.collect()).expect("valid")
}

fn shape(axes: &[usize]) -> Shape {
    Shape::new(axes).expect("small")
}

/// The graph, each input of which is what a random layer makes of a vector of a few elements.
fn behind_weights(graph: &Graph, random: &mut Random) -> Option<Graph> {
    let mut below = |limit: usize| usize::try_from(random.below(limit as u64)).expect("small");
    let depths: Vec<usize> = graph.inputs().iter().map(|_| 1 + below(4)).collect();
    let vectors = depths.iter().map(|depth| ValueType { dtype: DType::I8, shape: shape(&[1, *depth]) });
    let mut builder = Builder::new(vectors.collect());
    for parameter in graph.parameters() {
        // First, so that the operations find them where they were.
        builder.parameter(parameter.clone());
    }
    let mut values = Vec::new();
    for (index, value_type) in graph.inputs().iter().enumerate() {
        let (count, depth) = (value_type.shape.count(), depths[index]);
        if count == 0 {
            return None;
        }
        let mut parameter = |dtype, axes: &[usize], limit: usize| {
            let value_type = ValueType { dtype, shape: shape(axes) };
            let middle = i32::try_from(limit / 2).expect("small");
            let elements =
                (0..value_type.shape.count()).map(|_| i32::try_from(below(limit)).expect("small") - middle);
            builder
                .parameter(Tensor::from_elements(&value_type, &elements.collect::<Vec<_>>()).expect("small"))
        };
        let weight = parameter(DType::I8, &[count, depth], 256);
        let bias = parameter(DType::I32, &[count], 4096);
        let (lowest, highest) = value_type.dtype.bounds();
        let reach = 1 << below(17);
        let requantise = Requantise {
            multipliers: vec![1],
            shifts: vec![u8::try_from(below(8)).expect("small")],
            low: lowest.max(-reach),
            high: highest.min(reach - 1),
            output: value_type.dtype,
        };
        let input = builder.input(index);
        let layer = builder.push("layer", Primitive::Linear { weight, bias, requantise }, &[input]).ok()?;
        values.push(builder.push_shaped("shaped", Primitive::Reshape, &[layer], &value_type.shape).ok()?);
    }
    for operation in graph.operations() {
        let operands: Vec<_> = operation.operands.iter().map(|id| values[id.0 as usize]).collect();
        let (name, primitive) = (&operation.name, operation.primitive.clone());
        values.push(builder.push_shaped(name, primitive, &operands, &operation.output.shape).ok()?);
    }
    builder.finish(graph.outputs().iter().map(|id| values[id.0 as usize]).collect()).ok()
}

/// Cases of each kind of operation, told and registered, whose roles go round; `visit` gets as many as asked for.
fn each_case(count: usize, variables_max: usize, mut visit: impl FnMut(usize, u64, Case)) -> [usize; 2] {
    let (mut refused, mut long) = (0, 0);
    let mut next = 0;
    // Of every two cases of a kind one is registered.
    for number in 0..count {
        let kind = number as u64 / 2 % (KINDS + 1);
        let registered = number % 2 == 1;
        // From one case of a kind to its next the role goes on by 25, which has no factor in common with the number of roles: all roles meet all kinds.
        let role = Role::of(registered, (number / 2 - number / 52) % Role::COUNT);
        let case = loop {
            let seed = seed() << 32 | next;
            next += 1;
            let Some(graph) = graph(kind, registered, seed) else { continue };
            match Case::new(graph, role, seed, variables_max) {
                Ok(case) => break (seed, case),
                Err(Refused::Refused) => refused += 1,
                Err(Refused::Long) => long += 1,
            }
            assert!(
                next < 200 * (count as u64 + 10),
                "kind {kind}, registered {registered}: nothing is provable"
            );
        };
        visit(number, case.0, case.1);
    }
    [refused, long]
}
