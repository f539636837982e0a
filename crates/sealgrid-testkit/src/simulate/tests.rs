use super::*;

use Behaviour::{
    Crash, Equivocate, Garble, Honest, Lie, LieAndMisopen, LieOutput, LieSilently, Slow, Withhold,
};

fn calm(members: u8, nodes: &[Behaviour]) -> Outcome {
    let outcome = run(Scenario::calm(7, members, nodes.to_vec()));
    outcome.check();
    outcome
}

#[test]
fn an_honest_grid_accepts_and_names_nobody() {
    for members in [1, 2, 3, 5, 9] {
        let outcome = calm(members, &vec![Honest; usize::from(members)]);
        assert_eq!(outcome.refused(), None, "{members}");
        assert_eq!(outcome.all_faults(), []);
    }
}

#[test]
fn one_liar_of_three_is_named_at_its_operation_and_the_job_is_done() {
    for place in 0..3 {
        for referee in [RefereeRule::Client, RefereeRule::Reserve] {
            let mut nodes = vec![Honest; 4];
            nodes[place] = Lie { flip: 1 };
            let outcome = run(Scenario { referee, ..Scenario::calm(11, 3, nodes) });
            outcome.check();
            assert_eq!(outcome.refused(), None);
            assert!(matches!(outcome.faults_of(place)[..], [FaultKind::Lie { .. }]), "{:?}", outcome.faults);
            assert_eq!(
                outcome.all_faults().iter().filter(|f| f.node != outcome.identities[place]).count(),
                0
            );
        }
    }
}

#[test]
fn every_way_to_cheat_alone_is_survived_and_named() {
    for (seed, behaviour) in (0..60).zip(Behaviour::DISHONEST.into_iter().cycle()) {
        let nodes = vec![Honest, behaviour, Honest, Honest];
        let outcome = run(Scenario::calm(seed, 3, nodes));
        outcome.check();
        assert_eq!(outcome.refused(), None, "{behaviour:?}, seed {seed}");
        assert!(!outcome.faults_of(1).is_empty(), "{behaviour:?} is not named, seed {seed}");
    }
}

#[test]
fn the_fault_says_how_it_cheated() {
    let fault = |behaviour| calm(3, &[Honest, behaviour, Honest, Honest]).faults_of(1);
    assert!(matches!(fault(LieOutput)[..], [FaultKind::Lie { .. }]));
    assert_eq!(fault(Equivocate), [FaultKind::Equivocate]);
    assert_eq!(fault(LieAndMisopen), [FaultKind::Equivocate]);
    assert_eq!(fault(LieSilently), [FaultKind::Silent]);
    assert_eq!(fault(Withhold), [FaultKind::Late]);
    assert_eq!(fault(Garble), [FaultKind::Silent]);
    assert_eq!(fault(Slow), [FaultKind::Late]);
}

#[test]
fn two_of_three_lying_are_refused_and_named_whether_they_agree_or_not() {
    for second in [1, 2] {
        let outcome = calm(3, &[Lie { flip: 1 }, Honest, Lie { flip: second }, Honest]);
        assert_eq!(outcome.refused(), Some(Reason::NoMajority));
        for liar in [0, 2] {
            assert!(matches!(outcome.faults_of(liar)[..], [FaultKind::Lie { .. }]));
        }
        assert_eq!(outcome.faults_of(1), []);
    }
}

#[test]
fn a_policy_that_refuses_disputes_refuses() {
    let nodes = vec![Honest, Lie { flip: 1 }, Honest];
    let outcome = run(Scenario { on_dispute: OnDispute::Refuse, ..Scenario::calm(3, 3, nodes) });
    outcome.check();
    assert_eq!(outcome.refused(), Some(Reason::Disputed));
}

#[test]
fn a_dispute_without_referee_is_refused() {
    let nodes = vec![Honest, Lie { flip: 1 }, Honest];
    let outcome = run(Scenario { referee: RefereeRule::Reserve, ..Scenario::calm(3, 3, nodes) });
    outcome.check();
    assert_eq!(outcome.refused(), Some(Reason::NoReferee));
}

#[test]
fn reserves_replace_who_is_slow_or_gone() {
    for missing in [Slow, Crash { after: 0 }] {
        let outcome = calm(3, &[Honest, missing, Honest, Honest]);
        assert_eq!(outcome.refused(), None);
        assert!(matches!(outcome.faults_of(1)[..], [FaultKind::Late | FaultKind::Unreachable]));
    }
    let outcome = calm(1, &[Crash { after: 0 }, Honest]);
    assert_eq!(outcome.refused(), None);
}

#[test]
fn a_majority_that_is_gone_is_refused_as_unavailable() {
    let gone = Crash { after: 0 };
    let reason = calm(3, &[gone, gone, Honest]).refused().expect("two of three are gone");
    assert_eq!(reason.code(), "E-AVL-62");
}

/// Thousands of hostile worlds; `cargo run --release -p sealgrid-testkit --example simulate -- SEEDS` runs more.
#[test]
fn hostile_worlds_keep_the_invariants() {
    let mut accepted = 0;
    let mut crashes = 0;
    for seed in 0..1_500 {
        let outcome = run(Scenario::random(seed));
        outcome.check();
        accepted += u32::from(outcome.refused().is_none());
        crashes += outcome.crashes;
    }
    // The worlds must be neither so calm nor so hostile that they show nothing.
    assert!((750..1_490).contains(&accepted), "{accepted} of 1,500 accepted");
    assert!(crashes > 750, "{crashes} crashes");
}

#[test]
fn the_same_seed_is_the_same_world() {
    for seed in 0..20 {
        let (first, second) = (run(Scenario::random(seed)), run(Scenario::random(seed)));
        assert_eq!(first.decision, second.decision);
        assert_eq!(first.messages, second.messages);
    }
}
