//! Trees that nobody tells.

use sealgrid_graph::integer::ParameterId;

use super::*;

/// The nodes of a tree, children as the graph has them but counted from the tree's first node; leaves as they are.
type Nodes = &'static [[i32; 4]];

/// Some ensembles: the features' type, how many, trees, leaves, base; what they are for.
struct Ensemble {
    name: &'static str,
    dtype: DType,
    features: usize,
    trees: &'static [Nodes],
    leaves: &'static [i32],
    base: &'static [i32],
}

const DEEP: Nodes = &[
    [0, 100, -1, 1],
    [1, -100, 2, -2],
    [2, 50, 3, -3],
    [0, 0, -4, 4],
    [1, -50, 5, -1],
    [2, 0, 6, -2],
    [0, -100, -5, -6],
];

const ENSEMBLES: &[Ensemble] = &[
    Ensemble {
        name: "one node with two leaves",
        dtype: DType::I8,
        features: 1,
        trees: &[&[[0, 5, -1, -2]]],
        leaves: &[7, -9],
        base: &[3],
    },
    Ensemble {
        name: "trees that are one leaf, which they share",
        dtype: DType::I8,
        features: 2,
        trees: &[&[[1, 0, -1, -1]], &[[0, 127, -1, -1]]],
        leaves: &[1000],
        base: &[0],
    },
    Ensemble {
        name: "no trees",
        dtype: DType::I16,
        features: 3,
        trees: &[],
        leaves: &[],
        base: &[-5, 1 << 20],
    },
    Ensemble {
        name: "thresholds at the ends of the features and of the numbers",
        dtype: DType::I8,
        features: 2,
        trees: &[
            &[[0, -128, -1, 1], [1, 127, -2, -3]],
            &[[0, -129, -1, 1], [1, i32::MAX, 2, -2], [0, i32::MIN, -3, -2]],
            &[[0, 126, -2, -1]],
        ],
        leaves: &[1, 20, 300],
        base: &[0],
    },
    Ensemble {
        name: "thresholds at the ends of sixteen bits",
        dtype: DType::I16,
        features: 1,
        trees: &[&[[0, 32767, 1, -1], [0, -32768, -2, 2], [0, -32769, -1, 3], [0, 32766, -3, -4]]],
        leaves: &[4, 30, 200, 1000],
        base: &[-1],
    },
    Ensemble {
        name: "one long way and short ones beside it, several outputs",
        dtype: DType::I16,
        features: 3,
        trees: &[DEEP, &[[2, 7, -6, -1]], DEEP],
        leaves: &[1, -2, 3, 40, -50, 60, 700, 800, -900, 0, 0, 0, 5, 5, 5, -1, -1, -1],
        base: &[9, 0, -9],
    },
    Ensemble {
        name: "branches that meet again, and a node that no way leads to",
        dtype: DType::I8,
        features: 2,
        trees: &[&[[0, 0, 1, 2], [1, -7, 3, -1], [1, 7, 3, -2], [0, 50, -3, -4], [0, 1, -1, -1]]],
        leaves: &[10, -11, 12, -13],
        base: &[0],
    },
    Ensemble {
        name: "a leaf as great as one may be",
        dtype: DType::I8,
        features: 1,
        trees: &[&[[0, 3, -1, -2]]],
        leaves: &[1 << 29, -(1 << 29)],
        base: &[0],
    },
];

fn values(dtype: DType, axes: &[usize]) -> ValueType {
    ValueType { dtype, shape: shape(axes) }
}

fn exact(output: DType) -> Requantise {
    let (low, high) = output.bounds();
    Requantise { multipliers: vec![1], shifts: vec![0], low, high, output }
}

impl Ensemble {
    fn tables(&self) -> [(Vec<usize>, Vec<i32>); 4] {
        let (mut roots, mut nodes) = (vec![0], Vec::new());
        for tree in self.trees {
            let first = *roots.last().expect("one");
            for node in *tree {
                let child = |child: i32| if child < 0 { child } else { first + child };
                nodes.extend([node[0], node[1], child(node[2]), child(node[3])]);
            }
            roots.push(first + i32::try_from(tree.len()).expect("few"));
        }
        let outputs = self.base.len();
        [
            (vec![roots.len()], roots),
            (vec![nodes.len() / 4, 4], nodes),
            (vec![self.leaves.len() / outputs, outputs], self.leaves.to_vec()),
            (vec![outputs], self.base.to_vec()),
        ]
    }

    fn primitive(&self, builder: &mut Builder, requantise: Requantise) -> Primitive {
        let [roots, nodes, leaves, base] = self.tables().map(|(axes, elements)| {
            builder.parameter(Tensor::new(shape(&axes), Data::I32(elements)).expect("filled"))
        });
        Primitive::TreeEnsemble { roots, nodes, leaves, base, requantise }
    }

    fn graph(&self) -> Arc<Graph> {
        let mut builder = Builder::new(vec![values(self.dtype, &[1, self.features])]);
        let x = builder.input(0);
        let trees = self.primitive(&mut builder, exact(DType::I32));
        let y = builder.push("trees", trees, &[x]).expect("valid");
        Arc::new(builder.finish(vec![y]).expect("valid"))
    }

    /// Records at the thresholds and beside them, and at the ends of what features may be; the first goes the longest way.
    fn case(&self, records: usize) -> Case {
        let graph = self.graph();
        let prepared = Reference.prepare(Arc::clone(&graph)).expect("always");
        let (low, high) = self.dtype.bounds();
        let thresholds = self.trees.iter().copied().flatten().map(|node| node[1]);
        let mut known: Vec<i32> = thresholds.flat_map(|it| [it, it.saturating_add(1)]).collect();
        known.extend([low, high, 0]);
        let elements = (0..records * self.features).map(|at| known[at * 5 % known.len()].clamp(low, high));
        let mut elements: Vec<i32> = elements.collect();
        elements[..self.features].iter_mut().zip([high, low, low]).for_each(|(to, from)| *to = from);
        let data = Data::from_elements(self.dtype, &elements).expect("in range");
        let inputs = vec![Batch::new(records, shape(&[1, self.features]), data).expect("filled")];
        let outputs = prepared.run(&inputs, &mut ()).expect("runs");
        Case { graph, inputs, outputs, prepared }
    }
}

#[test]
fn trees_that_nobody_tells_are_proven_of_any_number_of_records_whatever_is_told() {
    for ensemble in ENSEMBLES {
        for records in [1, 3] {
            let [owned, combined] = Owned::each(|| ensemble.case(records), 1);
            for owned in [&owned, &combined] {
                check_run(owned, true, "hidden", true);
            }
            check_run(&owned, true, "told", false);
            check_run(&owned, true, "committed", true);
        }
        // All thresholds and ends, as a content that holds: what is shown is what the reference yields.
        let owned = Owned::new(ensemble.case(40), 1).expect(ensemble.name);
        let run = owned.prover().expect(ensemble.name);
        let witness = run.witness(owned.case.prepared.as_ref(), &owned.case.inputs).expect(ensemble.name);
        run.each(&witness.content, |record, places| {
            assert!(run.are_equal(record, places), "{}, record {record}", ensemble.name);
        });
    }
}

/// Trees between layers of weights, of which two share a parameter, and a constant that is a tree's leaves as well.
fn between_layers() -> Arc<Graph> {
    let mut builder = Builder::new(vec![values(DType::I8, &[1, 4])]);
    let x = builder.input(0);
    let linear = |builder: &mut Builder, [from, to]: [usize; 2], shift: u8, output: DType, operand| {
        let weights = (0..from * to).map(|at| i8::try_from(at * 29 % 101).expect("small") - 50).collect();
        let weight = builder.parameter(Tensor::new(shape(&[to, from]), Data::I8(weights)).expect("filled"));
        let bias = (0..to).map(|at| i32::try_from(at).expect("few") * 70 - 90).collect();
        let bias = builder.parameter(Tensor::new(shape(&[to]), Data::I32(bias)).expect("filled"));
        let (low, high) = output.bounds();
        let requantise = Requantise { multipliers: vec![3], shifts: vec![shift], low, high, output };
        builder.push("linear", Primitive::Linear { weight, bias, requantise }, &[operand]).expect("valid")
    };
    let narrow = |output: DType| {
        let (low, high) = output.bounds();
        Requantise { multipliers: vec![5], shifts: vec![4], low, high, output }
    };
    let hidden = linear(&mut builder, [4, 3], 4, DType::I16, x);
    let deep = ENSEMBLES[5].primitive(&mut builder, narrow(DType::I8));
    let first = builder.push("first", deep.clone(), &[hidden]).expect("valid");
    let Primitive::TreeEnsemble { leaves, .. } = deep else { unreachable!("trees") };
    let second = builder.push("second", deep, &[first]).expect("valid");
    let between = linear(&mut builder, [3, 3], 6, DType::I8, second);
    let last = ENSEMBLES[5].primitive(&mut builder, exact(DType::I32));
    let last = builder.push("last", last, &[between]).expect("valid");
    let constant = builder.push("leaves", Primitive::Constant { tensor: leaves }, &[]).expect("valid");
    Arc::new(builder.finish(vec![last, constant, second]).expect("valid"))
}

#[test]
fn trees_behind_and_before_other_operations_are_proven_without_them() {
    for records in [1, 3] {
        let [owned, combined] = Owned::each(|| Case::new(between_layers(), records), 1);
        check_run(&owned, true, "hidden", true);
        check_run(&combined, true, "committed", false);
    }
}

/// A run of private trees on several records, and its places.
struct Walked {
    owned: Owned,
    prover: Run,
    honest: Witness,
    whole: Vec<Vec<Element>>,
    trees: usize,
    /// Where each step's columns begin, and which columns they are.
    steps: Vec<(usize, usize)>,
}

impl Walked {
    fn new(ensemble: &Ensemble, records: usize) -> Self {
        let owned = Owned::new(ensemble.case(records), 1).expect("small");
        let prover = owned.prover().expect("provable");
        let honest = prover.witness(owned.case.prepared.as_ref(), &owned.case.inputs).expect("runs");
        let (whole, _) = prover.whole(&owned.case);
        let steps = prover.columns.iter().enumerate().filter_map(|(index, column)| match column {
            Column::Numbers { start, .. } => Some((*start, index)),
            _ => None,
        });
        let mut steps: Vec<(usize, usize)> = steps.collect();
        // The last are the leaves' numbers.
        steps.pop();
        Self { owned, prover, honest, whole, trees: ensemble.trees.len(), steps }
    }

    /// All that stands behind a column, computed anew.
    fn follow(&self, column: usize, record: usize, places: &mut [Element]) {
        let (memo, taken) = (Memo::default(), self.owned.case.taken(&self.prover));
        let columns = self.prover.columns[column + 1..].iter();
        columns.for_each(|column| self.prover.fill(column, record, places, &memo, &taken));
    }

    /// What comes out of the records' places, which is what is claimed of them, so that nothing but the way speaks against it.
    fn claimed(&self, whole: &[Vec<Element>]) -> Vec<Batch> {
        let forms = &self.prover.equal.last().expect("outputs").forms;
        let outputs = whole.iter().flat_map(|places| form::values(&forms[0], places).to_vec());
        let outputs = outputs.map(|value| i32::try_from(crate::maps::signed(value)).expect("31 bits"));
        let shape = self.owned.case.outputs[0].shape().clone();
        vec![Batch::new(whole.len(), shape, Data::I32(outputs.collect())).expect("filled")]
    }

    /// Whether a record's places convince somebody of what comes out of them; where they are those of another honest run, of nothing else.
    fn convinces(&self, record: usize, places: &[Element]) -> bool {
        let mut whole = self.whole.clone();
        whole[record] = places.to_vec();
        let outputs = self.claimed(&whole);
        let records = self.owned.case.inputs[0].records();
        let Ok(verifier) = self.owned.run(outputs.clone()) else { return false };
        let inputs = Inputs::Private(records);
        let weights = Weights::Private(&self.owned.registration);
        let prover = Run::new(&self.owned.case.graph, weights, inputs, outputs).expect("as the verifier's");
        let prover = prover.with_parameters(&self.owned.parameters);
        let mut content = self.honest.content.clone();
        self.prover.lookups.places().put(record, places, &mut content);
        let holds = prover.holds(&whole);
        let convinces = verified(&verifier, &argued(&prover, &recounted(&prover, content))).is_ok();
        assert_eq!(holds, convinces);
        convinces
    }
}

#[test]
fn a_prover_who_goes_another_way_convinces_nobody() {
    let deep = &ENSEMBLES[5];
    let walked = Walked::new(deep, 3);
    let [_, (_, nodes), (_, leaves), _] = deep.tables();
    let node = |position: i64| usize::try_from(position).ok().map(|node| &nodes[4 * node..][..4]);
    let number = |places: &[Element], at: usize| crate::maps::signed(places[at]);
    assert!(walked.convinces(1, &walked.whole[1]), "the honest way");
    let (mut turns, mut ends) = (0, 0);
    for record in [2] {
        for tree in 0..walked.trees {
            for (step, (start, column)) in walked.steps.iter().enumerate() {
                let whole = &walked.whole[record];
                let from = match step.checked_sub(1) {
                    None => [0, 7, 8][tree],
                    Some(last) => number(whole, walked.steps[last].0 + tree),
                };
                let next = start + tree;
                let (key, value) = (start + walked.trees + tree, start + 2 * walked.trees + tree);
                // Onwards from another position, whatever it is.
                for other in [7, 14, -1, 1 << 20] {
                    if other != number(whole, next) {
                        let mut places = whole.clone();
                        places[next] = Element::from_i64(other);
                        walked.follow(*column, record, &mut places);
                        assert!(!walked.convinces(record, &places), "tree {tree}, step {step} to {other}");
                        ends += 1;
                    }
                }
                let Some(node) = node(from) else { continue };
                // The other side of the node, with all that belongs to it: but what is left of the demand is negative.
                let is_left = number(whole, key) % 2 == 1;
                let mut places = whole.clone();
                places[next] = Element::from_i32(node[if is_left { 3 } else { 2 }]);
                places[key] += if is_left { Element::NEG_ONE } else { Element::ONE };
                places[value] = -places[value];
                walked.follow(*column, record, &mut places);
                assert!(!walked.convinces(record, &places), "tree {tree}, step {step}: the other side");
                // The same with a number of the feature that would lead there.
                let mut lied = places.clone();
                lied[value] += Element::from_i32(40_000);
                walked.follow(*column, record, &mut lied);
                assert!(!walked.convinces(record, &lied), "tree {tree}, step {step}: another number");
                // And with another feature, of a number that leads there.
                for (feature, at) in (0..3).zip(3 * record..) {
                    let mut lied = places.clone();
                    lied[key] += Element::TWO * Element::from_i32(feature - node[0]);
                    let input = numbers(&walked.owned.case.inputs[0])[at];
                    lied[value] = Element::from_i32(if is_left { input } else { -input });
                    walked.follow(*column, record, &mut lied);
                    assert!(!walked.convinces(record, &lied), "tree {tree}, step {step}: feature {feature}");
                }
                turns += 1;
            }
        }
    }
    assert!(turns >= 3 && ends >= 60, "{turns}, {ends}");
    // Another leaf's numbers at the end, or one number of another.
    let column = walked.prover.columns.iter().rposition(|column| matches!(column, Column::Numbers { .. }));
    let Some(Column::Numbers { start, .. }) = column.map(|at| &walked.prover.columns[at]) else {
        unreachable!("the leaves' numbers")
    };
    for at in 0..9 {
        let mut places = walked.whole[0].clone();
        places[start + at] += Element::ONE;
        assert!(!walked.convinces(0, &places), "number {at}");
    }
    for leaf in leaves.chunks_exact(3) {
        let mut places = walked.whole[0].clone();
        let reached: Vec<i64> = (0..3).map(|output| number(&places, start + 3 * output)).collect();
        if reached == leaf.iter().copied().map(i64::from).collect::<Vec<_>>() {
            continue;
        }
        (0..3).for_each(|output| places[start + 3 * output] = Element::from_i32(leaf[output]));
        assert!(!walked.convinces(0, &places), "leaf {leaf:?}");
    }
}

#[test]
fn the_features_of_one_record_do_not_serve_another() {
    let walked = Walked::new(&ENSEMBLES[5], 3);
    let (first, last) = (walked.steps[0].0, walked.prover.lookups.places().own.end);
    for (record, other) in [(0, 1), (1, 2), (2, 0)] {
        assert_ne!(walked.whole[record], walked.whole[other]);
        // All that follows from the features, as another record has it.
        let mut places = walked.whole[record].clone();
        places[first..last].copy_from_slice(&walked.whole[other][first..last]);
        assert!(!walked.convinces(record, &places), "{other} for {record}");
    }
}

#[test]
fn a_prover_who_walks_by_other_trees_than_the_registered_convinces_nobody() {
    let ensemble = &ENSEMBLES[5];
    let walked = Walked::new(ensemble, 3);
    let records = 3;
    let tables = ensemble.tables();
    // A root, features, thresholds, children, leaves, the base.
    let changes = [
        (0, 1, 1),
        (1, 0, 1),
        (1, 1, -150),
        (1, 2, 1),
        (1, 3, 1),
        (1, 29, 30),
        (2, 0, 1),
        (2, 17, -1),
        (3, 2, 5),
    ];
    for (which, at, by) in changes {
        let parameter = ParameterId(u32::try_from(which).expect("one of four"));
        let place = walked.prover.constants[which].1 + at;
        assert_eq!(
            crate::maps::signed(walked.whole[0][place]),
            i64::from(tables[which].1[at]),
            "element {at} of {parameter:?}"
        );
        // The copy that the run is made of, all else computed from it.
        let mut whole = walked.whole.clone();
        let mut content = walked.honest.content.clone();
        for (record, places) in whole.iter_mut().enumerate() {
            places[place] += Element::from_i32(by);
            walked.follow(0, record, places);
            walked.prover.lookups.places().put(record, places, &mut content);
            walked.prover.lookups.places().put_shared(places, &mut content);
        }
        let outputs = walked.claimed(&whole);
        let Ok(verifier) = walked.owned.run(outputs.clone()) else { continue };
        let weights = Weights::Private(&walked.owned.registration);
        let prover = Run::new(&walked.owned.case.graph, weights, Inputs::Private(records), outputs);
        let prover = prover.expect("as the verifier's").with_parameters(&walked.owned.parameters);
        let recounted = recounted(&prover, content);
        assert!(
            verified(&verifier, &argued(&prover, &recounted)).is_err(),
            "element {at} of {parameter:?} by {by}"
        );
    }
}

#[test]
fn how_often_rows_are_looked_up_is_not_the_provers_to_say() {
    let walked = Walked::new(&ENSEMBLES[5], 3);
    let verifier = walked.owned.run(walked.owned.case.outputs.clone()).expect("provable");
    let layout = walked.prover.lookups.places();
    let own = walked.prover.lookups.own_multiplicities();
    assert!(own.len() == 1 && own[0].len() == 7, "two rows a feature, and nothing");
    for place in own[0].clone() {
        for record in 0..3 {
            let mut content = walked.honest.content.clone();
            content[layout.own_at(place) + record] += Element::ONE;
            let witness = Witness { content, lists: walked.honest.lists.clone() };
            assert!(verified(&verifier, &argued(&walked.prover, &witness)).is_err(), "{place} of {record}");
        }
        // Where a fourth record would stand nothing is looked at.
        let mut content = walked.honest.content.clone();
        content[layout.own_at(place) + 3] += Element::ONE;
        let witness = Witness { content, lists: walked.honest.lists.clone() };
        assert!(verified(&verifier, &argued(&walked.prover, &witness)).is_ok());
    }
    for place in (layout.own.end..layout.count).step_by(7) {
        let mut content = walked.honest.content.clone();
        content[layout.shared(place)] += Element::ONE;
        let witness = Witness { content, lists: walked.honest.lists.clone() };
        assert!(verified(&verifier, &argued(&walked.prover, &witness)).is_err(), "{place}");
    }
}

#[test]
fn trees_are_told_as_deep_as_they_are_and_no_less() {
    let owned = Owned::new(ENSEMBLES[5].case(3), 1).expect("small");
    assert_eq!(owned.registration.trees, [registration::Extent { depth: 7, sum: 900 + 3 + 900 + 1 }]);
    // Ten significant bits of 1,803 are 1,804. A step less, and the longest way does not end.
    let mut shallow = owned.registration.clone();
    shallow.trees[0].depth = 6;
    let run = |registration: &Registration| {
        let weights = Weights::Private(registration);
        let run = Run::new(&owned.case.graph, weights, Inputs::Private(3), owned.case.outputs.clone());
        run.map(|run| run.with_parameters(&owned.parameters))
    };
    let witness = |run: &Run| run.witness(owned.case.prepared.as_ref(), &owned.case.inputs);
    let all = Owned::new(ENSEMBLES[5].case(40), 1).expect("small");
    let full = all.prover().expect("provable");
    assert!(full.witness(all.case.prepared.as_ref(), &all.case.inputs).is_ok());
    let weights = Weights::Private(&shallow);
    let short = Run::new(&all.case.graph, weights, Inputs::Private(40), all.case.outputs.clone());
    let short = short.expect("provable").with_parameters(&all.parameters);
    assert!(short.witness(all.case.prepared.as_ref(), &all.case.inputs).is_err(), "a way of seven nodes");
    // Another depth is another statement.
    let argument = argued(
        &run(&owned.registration).expect("ok"),
        &witness(&run(&owned.registration).expect("ok")).expect("ok"),
    );
    let mut deeper = owned.registration.clone();
    deeper.trees[0].depth = 8;
    assert!(verified(&run(&deeper).expect("provable"), &argument).is_err());
    for depth in [0, registration::DEPTH_MAX + 1] {
        let mut none = owned.registration.clone();
        none.trees[0].depth = depth;
        assert!(run(&none).is_err(), "{depth}");
    }
}

/// What an owner registers who chooses any numbers for trees, and tells what an honest one of the graph would.
fn registering(owned: &Owned, graph_of: [&[i32]; 4]) -> Registering {
    let elements = registration::elements_of(&owned.case.graph, &graph_of);
    let shape = owned.registration.registered.shape;
    let parameters = Arc::new(Parameters::in_shape(shape, &elements, &Secret::new([2; 32])));
    let registration =
        Registration { registered: parameters.registered().clone(), ..owned.registration.clone() };
    let registering = Registering::new(&owned.blind, &registration).expect("of this architecture");
    registering.with_parameters(&parameters)
}

/// What it is, in which of the four parameters, and which of its elements become what.
type Change = (&'static str, usize, &'static [(usize, i32)]);

#[test]
fn trees_that_are_none_are_not_registered() {
    let ensemble = &ENSEMBLES[5];
    let owned = Owned::new(ensemble.case(1), 1).expect("small");
    let tables = ensemble.tables().map(|(_, elements)| elements);
    let with = |which: usize, changes: &[(usize, i32)]| {
        let mut tables = tables.clone();
        changes.iter().for_each(|(at, number)| tables[which][*at] = *number);
        registering(&owned, tables.each_ref().map(|table| &table[..]))
    };
    let check = |registering: &Registering| {
        argument::verify(
            registering,
            &argued(registering, &registering.supposed()),
            Transcript::of_test(),
            &mut rng(8),
        )
    };
    assert!(check(&with(0, &[])).expect("honest trees") > 100.0);
    // The trees have 7, 1 and 7 nodes, of 3 features, and 6 leaves; told is that all numbers of nodes are within 100 of zero, and that leaves
    // add up to 1,804.
    let bad: [Change; 22] = [
        ("the first root is another node", 0, &[(0, 1)]),
        ("the last tree ends before the last node", 0, &[(3, 14)]),
        ("the last tree ends behind the last node", 0, &[(3, 16)]),
        ("a tree has no node", 0, &[(1, 8)]),
        ("a tree ends before it begins", 0, &[(1, 8), (2, 7)]),
        ("a root is negative", 0, &[(1, -1)]),
        ("a node reads a feature that there is not", 1, &[(0, 3)]),
        ("a node reads one before the first", 1, &[(4, -1)]),
        ("a node is its own child", 1, &[(3, 0)]),
        ("a child lies before its parent", 1, &[(14, 2)]),
        ("two nodes are children of each other", 1, &[(14, 2), (10, 3)]),
        ("a child is the first node", 1, &[(26, 0)]),
        ("a child lies in the next tree", 1, &[(26, 7)]),
        ("a child lies in the tree before", 1, &[(30, 3)]),
        ("a child lies behind the last node", 1, &[(58, 15)]),
        ("a leaf is behind the last", 1, &[(58, -7)]),
        ("a child of the second tree lies in the third", 0, &[(2, 9)]),
        ("a threshold exceeds what is told", 1, &[(1, 101)]),
        ("a leaf exceeds what is told", 2, &[(0, 901)]),
        ("a leaf exceeds what all leaves may be", 2, &[(7, 1 << 20)]),
        ("the greatest leaves of all trees add up to more than is told", 2, &[(0, 10)]),
        ("a base exceeds what is told", 3, &[(0, 10)]),
    ];
    for (what, which, changes) in bad {
        let registering = with(which, changes);
        assert!(registering.witness().is_err(), "{what}");
        assert!(check(&registering).is_err(), "{what}");
    }
    // What is among the bounds is registered, though it be other trees.
    let good: [Change; 3] = [
        ("another threshold", 1, &[(1, -100)]),
        ("a branch that meets another", 1, &[(3, 3)]),
        ("another leaf", 2, &[(0, 2)]),
    ];
    for (what, which, changes) in good {
        assert!(check(&with(which, changes)).is_ok(), "{what}");
    }
}

#[test]
fn what_follows_in_a_registration_of_trees_is_not_its_owners_to_say() {
    let owned = Owned::new(ENSEMBLES[5].case(1), 1).expect("small");
    let registering = Registering::new(&owned.blind, &owned.registration).expect("fits");
    let registering = registering.with_parameters(&owned.parameters);
    let honest = registering.supposed();
    let check = |place: usize, by: i32| {
        let mut content = honest.content.clone();
        content[place] += Element::from_i32(by);
        let argument = argued(&registering, &registering.counted(content));
        argument::verify(&registering, &argument, Transcript::of_test(), &mut rng(8)).is_ok()
    };
    // Magnitudes of leaves, bounds so far; of each node its tree's first node, end and bound; of either child what it is behind, what before, and its
    // magnitude.
    let starts = registering.followed();
    assert_eq!(starts.len(), 2 + 3 + 6);
    assert!(!check(starts[0] + 2, -1), "a leaf of 900");
    // Of either side of it all nodes say so.
    assert!((0..3).all(|tree| !check(starts[1] + tree, -1) && !check(starts[1] + tree, 1)), "bounds");
    for (which, start) in starts.iter().enumerate().skip(2) {
        for node in (which % 3..15).step_by(3) {
            for by in [1, -1] {
                assert!(!check(start + node, by), "number {which} of node {node}");
            }
        }
    }
}
