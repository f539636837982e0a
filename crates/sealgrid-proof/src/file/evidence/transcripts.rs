//! That transcripts tell nothing: they can be made without a witness, and those of two witnesses, or of a true one and of none, look alike to who
//! knows all of them.

use std::convert::Infallible;

use p3_field::PrimeCharacteristicRing as _;
use rand_core::{Rng as _, TryCryptoRng, TryRng};
use sealgrid_graph::tensor::Data;

use super::statistics::{Samples, Verdict};
use super::*;
use crate::argument::Conversation;
use crate::argument::simulator::{Numbers, beyond, holds_but_for_the_opening, simulate};
use crate::registration::{self, Registration};
use crate::weights::{Parameters, Shape as Rows};

/// Columns of an opening that are looked at: positions that are drawn twice are opened once, so their number is not always the same.
const COLUMNS: usize = 100;

/// Two witnesses of statements that are the same but for what is fresh in each.
#[derive(Clone, Copy, Debug)]
struct Setting {
    name: &'static str,
    registered: bool,
    inputs: Told,
    outputs_shown: bool,
    of: Registered,
    records: [[i8; 2]; 2],
}

/// What may be told to nobody.
#[derive(Clone, Copy, Debug)]
enum Registered {
    Weights([[i8; 6]; 2]),
    Trees([Tree; 2]),
}

/// Two nodes and three leaves.
#[derive(Clone, Copy, Debug)]
struct Tree {
    nodes: [[i32; 4]; 2],
    leaves: [i32; 3],
    base: i32,
}

/// Another root, another side on which the second node stands, other features, thresholds and leaves; the same magnitudes and the same depth.
const TWO_TREES: [Tree; 2] = [
    Tree { nodes: [[0, 5, -1, 1], [1, -7, -2, -3]], leaves: [10, -20, 30], base: 4 },
    Tree { nodes: [[1, 7, 1, -3], [0, -6, -2, -1]], leaves: [-30, 20, 5], base: -4 },
];

const WEIGHTS: [i8; 6] = [3, -2, 100, 7, -1, 1];
/// The same magnitudes in each channel, so the same bounds.
const OTHER_WEIGHTS: [i8; 6] = [-2, 3, 7, -100, 1, 1];

const SETTINGS: [Setting; 4] = [
    Setting {
        name: "two records of one result, which is shown",
        registered: false,
        inputs: Told::Hidden,
        outputs_shown: true,
        of: Registered::Weights([WEIGHTS; 2]),
        records: [[-5, -10], [-3, -7]],
    },
    Setting {
        name: "two records of different results, all committed to",
        registered: false,
        inputs: Told::Committed,
        outputs_shown: false,
        of: Registered::Weights([WEIGHTS; 2]),
        records: [[1, 2], [100, -77]],
    },
    Setting {
        name: "two registered lists of weights within one list of bounds",
        registered: true,
        inputs: Told::Hidden,
        outputs_shown: false,
        of: Registered::Weights([WEIGHTS, OTHER_WEIGHTS]),
        records: [[9, 20]; 2],
    },
    Setting {
        name: "two registered trees of other structure, features, thresholds and leaves",
        registered: true,
        inputs: Told::Hidden,
        outputs_shown: false,
        of: Registered::Trees(TWO_TREES),
        records: [[9, 20]; 2],
    },
];

/// What a prover leaves out of what hides a transcript.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Left {
    Nothing,
    /// The pads of the messages.
    Pads,
    /// The pad of one message, in the middle of them.
    OnePad,
    /// These, and the block that masks the last step.
    PadsAndBlock,
    /// The pads behind the rows of what is committed to.
    Columns,
}

/// Draws as ever, but for elements that a prover leaves out.
struct Leaving {
    inner: ChaCha20Rng,
    left: Left,
    /// Coordinates that were drawn, each by itself, sixteen bytes.
    drawn: usize,
    pads: usize,
}

impl TryRng for Leaving {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(self.inner.next_u32())
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(self.inner.next_u64())
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.inner.fill_bytes(bytes);
        if bytes.len() == 16 {
            // Pads are drawn first, five coordinates each, and then the block.
            let pad = self.drawn / 5;
            self.drawn += 1;
            let leaves = match self.left {
                Left::Nothing | Left::Columns => false,
                Left::Pads => pad < self.pads,
                Left::OnePad => pad == self.pads / 2,
                Left::PadsAndBlock => true,
            };
            if leaves {
                bytes.fill(0);
            }
        }
        Ok(())
    }
}

impl TryCryptoRng for Leaving {}

/// A run that can be proven, or whose proof can be simulated, and what belongs to it.
struct Prepared {
    run: Run,
    witness: Witness,
    statement: Statement,
}

impl Setting {
    fn model(&self, kind: usize, rng: &mut ChaCha20Rng) -> Model {
        let mut graph = Builder::new(vec![ValueType { dtype: DType::I8, shape: shape(&[1, 2]) }]);
        let x = graph.input(0);
        let tensor = |axes: &[usize], data| Tensor::new(shape(axes), data).expect("filled");
        let requantise =
            Requantise { multipliers: vec![1], shifts: vec![2], low: 0, high: 127, output: DType::I8 };
        let primitive = match &self.of {
            Registered::Weights(weights) => {
                let weight = graph.parameter(tensor(&[3, 2], Data::I8(weights[kind].to_vec())));
                let bias = graph.parameter(tensor(&[3], Data::I32(vec![10, 0, -5])));
                Primitive::Linear { weight, bias, requantise }
            }
            Registered::Trees(trees) => {
                let Tree { nodes, leaves, base } = trees[kind];
                let mut table = |axes: &[usize], elements| graph.parameter(tensor(axes, Data::I32(elements)));
                let (roots, nodes) = (table(&[2], vec![0, 2]), table(&[2, 4], nodes.concat()));
                let (leaves, base) = (table(&[3, 1], leaves.to_vec()), table(&[1], vec![base]));
                Primitive::TreeEnsemble { roots, nodes, leaves, base, requantise }
            }
        };
        let y = graph.push("y", primitive, &[x]).expect("valid");
        let graph = graph.finish(vec![y]).expect("valid");
        Model::new(arbitrary::card("small", &graph), graph, rng).expect("small sums")
    }

    /// One of the two witnesses, under fresh salts and keys; with `bare` commitments whose rows have no pads. `zeros` commits to zeros in the place of
    /// everything, as who has no witness does.
    fn prepared(&self, kind: usize, fresh: u64, bare: bool, zeros: bool) -> Prepared {
        let mut rng = rng(fresh);
        let model = self.model(kind, &mut rng);
        let data = Data::I8(self.records[kind].to_vec());
        let inputs = vec![Batch::new(1, shape(&[1, 2]), data).expect("filled")];
        let prepared = Reference.prepare(Arc::clone(model.graph())).expect("always");
        let outputs = prepared.run(&inputs, &mut ()).expect("runs");
        let key = CommitmentKey::fill(|key| rng.fill_bytes(key));
        let commit = |side, batches: &[Batch]| {
            let elements: Vec<i32> = batches.iter().flat_map(crate::maps::numbers).collect();
            let elements: Vec<Element> = elements.into_iter().map(Element::from_i32).collect();
            if bare {
                return Parameters::bare(
                    Rows::of_values(Level::default(), elements.len()).expect("few"),
                    &elements,
                );
            }
            let nothing = batches.iter().map(|batch| {
                let data =
                    Data::from_elements(batch.dtype(), &vec![0; batch.data().len()]).expect("in range");
                Batch::new(1, batch.shape().clone(), data).expect("filled")
            });
            let batches = if zeros { nothing.collect() } else { batches.to_vec() };
            values::commit(Level::default(), side, &batches, &key).expect("few")
        };
        let mut own = Vec::new();
        let mut told = |side, batches: &[Batch]| {
            let committed = commit(side, batches);
            let root = values::root(&committed);
            own.push(committed);
            Values::Committed(root)
        };
        let told_inputs = match self.inputs {
            Told::Committed => told(Side::Inputs, &inputs),
            _ => Values::Hidden,
        };
        let told_outputs =
            if self.outputs_shown { Values::Shown(outputs) } else { told(Side::Outputs, &outputs) };
        let mut nonce = [0; 32];
        rng.fill_bytes(&mut nonce);
        let statement = Statement {
            version: VERSION,
            model: model.commitment(),
            nonce,
            records: 1,
            inputs: told_inputs,
            outputs: told_outputs,
            weights_private: self.registered,
            level: Level::default(),
        };
        let graph = model.graph();
        let run = if self.registered {
            let elements = registration::elements(graph);
            let nothing = vec![Element::ZERO; elements.len()];
            let seed = model.registration_seed(2, Level::default().bits());
            let parameters = match (bare, zeros) {
                (true, _) => {
                    Parameters::bare(Rows::new(Level::default(), elements.len(), 2).expect("few"), &elements)
                }
                (false, true) => Parameters::commit(Level::default(), &nothing, 2, &seed).expect("few"),
                (false, false) => Parameters::commit(Level::default(), &elements, 2, &seed).expect("few"),
            };
            let registration = Registration::of(graph, parameters.registered().clone());
            let run = statement.run(graph, Weights::Private(&registration)).expect("provable");
            run.with_parameters(&Arc::new(parameters))
        } else {
            statement.run(graph, Weights::Public(Level::default())).expect("provable")
        };
        let run = run.with_values(own);
        // Of a run between commitments to zeros there is none.
        let witness = if zeros {
            Witness::from(Vec::new())
        } else {
            run.witness(prepared.as_ref(), &inputs).expect("runs")
        };
        Prepared { run, witness, statement }
    }

    /// A transcript of one of the two witnesses.
    fn transcript(&self, kind: usize, fresh: u64, left: Left) -> (Prepared, Argument) {
        let prepared = self.prepared(kind, fresh, left == Left::Columns, false);
        let pads = prepared.run.pads();
        let mut rng = Leaving { inner: rng(!fresh), left, drawn: 0, pads };
        let transcript = prepared.statement.transcript();
        let argument =
            argument::prove(&prepared.run, &prepared.witness, transcript, &mut rng).expect("small");
        (prepared, argument)
    }

    /// All numbers that a transcript shows, and each minus what it would be of either witness if nothing hid it.
    fn seen(&self, of: &Prepared, argument: &Argument, supposed: &[Prepared; 2]) -> Vec<u32> {
        let mut numbers = flat(&Numbers::of(argument));
        for supposed in supposed {
            let by = (&supposed.run, &supposed.witness);
            let left = beyond(&of.run, by, argument, of.statement.transcript(), &mut rng(8));
            numbers.extend(flat(&left));
        }
        numbers
    }

    /// Whether transcripts of either witness are told apart.
    fn compared(&self, count: usize, left: Left) -> Verdict {
        let supposed = [0, 1].map(|kind| self.prepared(kind, 1, true, false));
        let mut samples: Option<Samples> = None;
        for number in 0..count {
            // Half of them each, in no order.
            let fresh = seed() << 32 | number as u64;
            let kind = usize::from(rng(fresh ^ 0xc01).next_u32() & 1 == 1);
            let (prepared, argument) = self.transcript(kind, fresh, left);
            if number % (count / 20).max(1) == 0 {
                let verified =
                    argument::verify(&prepared.run, &argument, prepared.statement.transcript(), &mut rng(8));
                assert!(verified.is_ok(), "{self:?}, {left:?}, {fresh}");
                if count > 1000 {
                    say(&format!("{number} of {count} transcripts: {}", self.name));
                }
            }
            let numbers = self.seen(&prepared, &argument, &supposed);
            samples.get_or_insert_with(|| Samples::new(numbers.len())).add(kind, &numbers);
        }
        samples.expect("one at least").verdict()
    }
}

fn flat(numbers: &Numbers) -> Vec<u32> {
    let messages = numbers.wires.iter().chain(&numbers.last);
    let messages = messages.flat_map(|message| message.as_basis_coefficients_slice().to_vec());
    let columns = numbers.columns.iter().flat_map(|columns| &columns[..COLUMNS]).flatten().copied();
    messages.chain(columns).map(|element| element.as_canonical_u32()).collect()
}

fn told(setting: &Setting, what: &str, count: usize, verdict: &Verdict) {
    let Verdict { positions, worst, limit, accuracy, beyond_guessing, .. } = verdict;
    say(&format!(
        "{}, {what}: {count} transcripts of {positions} numbers; worst position {worst:.2} of {limit:.2} standard deviations; \
         named rightly {:.2} % of {} unseen ones ({beyond_guessing:+.2} standard deviations from guessing); seed {}",
        setting.name,
        100.0 * accuracy,
        count - count / 2,
        seed()
    ));
}

#[test]
fn transcripts_of_two_witnesses_are_not_told_apart() {
    // In a sample the first and the last.
    for setting in SETTINGS.iter().step_by(either(3, 1)) {
        let count = times(48, 10_000);
        let verdict = setting.compared(count, Left::Nothing);
        told(setting, "all hidden", count, &verdict);
        assert!(verdict.at_chance(), "{}: {verdict:?}", setting.name);
    }
}

#[test]
fn transcripts_that_lack_a_mask_are_told_apart() {
    let [hidden, committed, registered, _] = &SETTINGS;
    let cases = [
        (hidden, Left::Pads),
        (hidden, Left::PadsAndBlock),
        (registered, Left::Columns),
        (committed, Left::Columns),
        (committed, Left::Pads),
        (registered, Left::Pads),
        (hidden, Left::OnePad),
    ];
    for (setting, left) in &cases[..either(3, 7)] {
        // Fewer than where nothing is missing, because it is seen at once.
        let count = times(48, 500).max(either(48, 300));
        let verdict = setting.compared(count, *left);
        told(setting, &format!("without {left:?}"), count, &verdict);
        assert!(!verdict.at_chance(), "{}, {left:?}: {verdict:?}", setting.name);
        // One message of many is seen at its place.
        let learnt = verdict.accuracy > 0.9 || *left == Left::OnePad && verdict.worst > verdict.limit;
        assert!(learnt, "{}, {left:?}: {verdict:?}", setting.name);
    }
}

#[test]
fn transcripts_are_made_without_a_witness_and_pass_for_true_ones() {
    for setting in &SETTINGS {
        let count = times(6, 2_000);
        let mut samples: Option<Samples> = None;
        for number in 0..count {
            let fresh = seed() << 32 | 1 << 31 | number as u64;
            let kind = usize::from(rng(fresh ^ 0xc01).next_u32() & 1 == 1 || count < 100);
            let (prepared, argument) = if kind == 0 {
                setting.transcript(0, fresh, Left::Nothing)
            } else {
                // Of the witness nothing is used: neither by what is committed to, which is zeros, nor by what is said.
                let prepared = setting.prepared(0, fresh, false, true);
                let transcript = prepared.statement.transcript();
                let argument = simulate(&prepared.run, transcript, &mut rng(!fresh));
                (prepared, argument)
            };
            let holds = |argument: &Argument| {
                let transcript = prepared.statement.transcript();
                holds_but_for_the_opening(&prepared.run, argument, transcript, &mut rng(8))
            };
            if number < 100 {
                assert_eq!(holds(&argument), Ok(()), "{}, {fresh}", setting.name);
                // Not because anything passes.
                let mut others = vec![argument.clone(); 3];
                let place = number % argument.wires.len();
                others[0].wires[place] += Challenge::ONE;
                let place = number % argument.last.len();
                others[1].last[place] += Challenge::ONE;
                others[2].commitment = commit::Commitment::from_bytes([7; 32]);
                assert!(others.iter().all(|other| holds(other).is_err()), "{}, {fresh}", setting.name);
                if kind == 1 {
                    let transcript = prepared.statement.transcript();
                    let opened = argument::verify(&prepared.run, &argument, transcript, &mut rng(8));
                    assert!(opened.is_err(), "only the opening is missing");
                }
            }
            let numbers = flat(&Numbers::of(&argument));
            samples.get_or_insert_with(|| Samples::new(numbers.len())).add(kind, &numbers);
        }
        if either(false, true) {
            let verdict = samples.expect("one at least").verdict();
            told(setting, "simulated or not", count, &verdict);
            assert!(verdict.at_chance(), "{}: {verdict:?}", setting.name);
        }
    }
}

#[test]
fn the_two_witnesses_of_a_setting_have_one_statement() {
    for setting in &SETTINGS {
        let [one, other] = [0, 1].map(|kind| setting.prepared(kind, 1, true, false));
        assert_eq!(one.run.content(), other.run.content());
        assert_ne!(one.witness.content, other.witness.content, "{}", setting.name);
        if setting.outputs_shown {
            assert_eq!(one.statement.outputs, other.statement.outputs, "{}", setting.name);
        }
        let bounds = [0, 1].map(|kind| {
            let model = setting.model(kind, &mut rng(1));
            let elements = registration::elements(model.graph());
            let parameters =
                Parameters::bare(Rows::new(Level::default(), elements.len(), 2).expect("few"), &elements);
            let Registration { magnitudes, reaches, trees, .. } =
                Registration::of(model.graph(), parameters.registered().clone());
            (magnitudes, reaches, trees)
        });
        assert_eq!(bounds[0], bounds[1], "{}", setting.name);
    }
}
