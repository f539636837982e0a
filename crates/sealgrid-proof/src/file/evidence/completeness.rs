//! Random graphs over all operators, in all roles, proven and checked through their files.

use super::*;
use crate::registration;

#[test]
fn random_graphs_of_all_operators_are_proven_in_all_roles() {
    let count = times(2 * 26, 5000);
    let (mut operators, mut roles, mut lengths) = (Counts::default(), Counts::default(), Counts::default());
    let mut pairs = Counts::default();
    let mut published = 0;
    let [refused, long] = each_case(count, either(14, 17), |number, seed, case| {
        let label = format!("case {number}, seed {seed}, {:?}", case.role);
        let bytes = case.proof.to_bytes();
        let bits = case.verify(&bytes).unwrap_or_else(|error| panic!("{label}: {error}"));
        assert!(bits > 100.0, "{label}: {bits}");
        let proof = Proof::from_bytes(&bytes).expect("verified above");
        if case.role.outputs_shown {
            assert_eq!(proof.claimed().outputs.shown(), Some(&case.outputs[..]), "{label}");
        }
        // Of every fourth registration also what others check it with.
        if number % 8 == 1
            && let Some(model) = case.published()
        {
            let model = RegisteredModel::from_bytes(&model.to_bytes()).expect("a registered model");
            let bits = model.verify(&mut rng(1)).unwrap_or_else(|error| panic!("{label}: {error}"));
            assert!(bits > 100.0, "{label}: {bits}");
            let bits = proof.verify_registered(&model, &mut rng(1));
            assert!(bits.unwrap_or_else(|error| panic!("{label}: {error}")) > 100.0, "{label}");
            published += 1;
        }
        for word in words(case.model.graph()) {
            operators.add(format!("{}, {word}", case.role.words()[0]));
            case.role.words().iter().for_each(|role| pairs.add(format!("{word}, {role}")));
        }
        case.role.words().into_iter().for_each(|word| roles.add(word));
        lengths.add(format!("2^{} elements", case.variables));
        if number % (count / 20).max(1) == 0 {
            say(&format!("{number} of {count} proven"));
        }
    });
    operators.print("graphs with an operator in them:");
    roles.print("graphs in a role:");
    lengths.print("by length of the vector:");
    say(&format!(
        "completeness: {count} graphs proven and verified, {published} registrations published and verified; \
         {refused} graphs were refused and {long} left out for their length; seed {}",
        seed()
    ));
    if full() {
        // Every operator in every role.
        let of_roles = 2 + 3 + 2 + 4 + Level::ALL.len();
        assert_eq!(pairs.0.len(), of_roles * usize::try_from(KINDS).expect("few"), "{:?}", pairs.0);
    }
    let expected = Counts::default_words();
    let missing: Vec<&String> = expected.iter().filter(|word| operators.of(word) == 0).collect();
    assert!(missing.is_empty(), "operators without a proof: {missing:?}");
    for number in 0..Role::COUNT {
        for word in [false, true].iter().flat_map(|registered| Role::of(*registered, number).words()) {
            assert!(roles.of(&word) > 0, "no proof in the role: {word}");
        }
    }
}

/// What the operations of a graph compute, each once.
pub(super) fn words(graph: &Graph) -> std::collections::BTreeSet<&'static str> {
    graph.operations().iter().map(|operation| operation.primitive.word()).collect()
}

impl Counts {
    /// All operators, told and registered.
    fn default_words() -> Vec<String> {
        let of_kind = |kind| {
            let graph = arbitrary::graph_of_kind(kind, 0);
            graph.operations().last().expect("one at least").primitive.word()
        };
        let told = (0..KINDS).map(|kind| format!("weights told, {}", of_kind(kind)));
        let registered = 0..KINDS;
        told.chain(registered.map(|kind| format!("weights registered, {}", of_kind(kind)))).collect()
    }
}

#[test]
fn a_stage_that_carries_a_step_farther_than_can_be_told_is_published_with_what_its_product_limits() {
    // A layer behind random weights, with so great a multiplier and so small a shift that its step is open.
    for seed in [4_294_967_937, 4_294_967_977, 4_294_968_393] {
        let graph = graph(1, true, seed).expect("it has weights");
        let Ok(case) = Case::new(graph, Role::of(true, 0), seed, 17) else { panic!("{seed}: provable") };
        let own = case.own.as_ref().expect("registered");
        assert_eq!(own.registration.reaches[1].step, registration::STEP_OPEN, "{seed}");
        let model = case.published().expect("registered");
        let bits = model.verify(&mut rng(1)).unwrap_or_else(|error| panic!("{seed}: {error}"));
        assert!(bits > 100.0, "{seed}: {bits}");
        // The step next to it is told, and limits more than the product does.
        let mut tighter = own.registration.clone();
        tighter.reaches[1].step -= 1;
        let tighter = registration::Registering::new(case.model.graph(), &tighter).expect("it fits");
        assert!(tighter.with_parameters(&own.parameters).witness().is_err(), "{seed}");
    }
}
