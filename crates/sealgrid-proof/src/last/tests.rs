use p3_field::BasedVectorSpace;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;
use sealgrid_graph::arbitrary::Random;

use super::*;
use crate::field::{evaluate, random, rank};
use crate::file::evidence::{seed, times};

fn elements(rng: &mut ChaCha20Rng, count: usize) -> Vec<Element> {
    (0..count).map(|_| random(rng).as_basis_coefficients_slice()[0]).collect()
}

struct Case {
    values: Vec<Element>,
    functional: Vec<Challenge>,
    block: Block,
    claim: Challenge,
}

fn case(seed: u8, variables: usize, block: Block) -> Case {
    let mut rng = ChaCha20Rng::from_seed([seed; 32]);
    let values = elements(&mut rng, 1 << variables);
    let mut functional: Vec<Challenge> = (0..1 << variables).map(|_| random(&mut rng)).collect();
    functional[block.start()..][..1 << block.variables].fill(Challenge::ZERO);
    let claim = inner(&functional, &values);
    Case { values, functional, block, claim }
}

impl Case {
    fn proven(&self) -> Vec<Challenge> {
        prove(&mut Transcript::of_test(), &self.values, self.functional.clone(), self.block).0
    }

    /// Whether a verifier who can look up the opened values is convinced of `claim`.
    fn convinces(&self, messages: &[Challenge], claim: Challenge) -> bool {
        let variables = self.values.len().ilog2() as usize;
        let heard = Last::hear(&mut Transcript::of_test(), messages, variables, self.block);
        let openings = heard.and_then(|last| {
            let openings = last.openings();
            last.check(claim, evaluate(&self.functional, &openings[0].point)).map(|()| openings)
        });
        let values: Vec<Challenge> = self.values.iter().map(|value| Challenge::from(*value)).collect();
        openings.is_ok_and(|openings| {
            openings.iter().all(|opening| evaluate(&values, &opening.point) == opening.value)
        })
    }
}

#[test]
fn a_functional_comes_down_to_two_values_and_no_other_sum_does() {
    for (variables, number) in [(10, 0), (10, 1), (11, 3), (12, 5)] {
        let block = Block { number, variables: Block::variables_for(variables) };
        let case = case(variables as u8, variables, block);
        let messages = case.proven();
        assert!(case.convinces(&messages, case.claim), "{variables} variables, block {number}");
        assert!(!case.convinces(&messages, case.claim + Challenge::ONE));
        for place in (0..messages.len()).step_by(3) {
            let mut changed = messages.clone();
            changed[place] += Challenge::ONE;
            assert!(!case.convinces(&changed, case.claim), "message {place} of {}", messages.len());
        }
        assert!(!case.convinces(&messages[1..], case.claim));
    }
}

/// Answers with given challenges, whatever it hears.
struct Fixed {
    challenges: std::vec::IntoIter<Challenge>,
    heard: Vec<Challenge>,
}

impl Listener for Fixed {
    fn hear(&mut self, message: Challenge) {
        self.heard.push(message);
    }

    fn challenge(&mut self) -> Challenge {
        self.challenges.next().expect("enough of them")
    }
}

/// With the challenges given, everything shown is a linear form of the block's elements and the others. If the block's part
/// has full rank, what is shown is uniform whatever the others are.
#[test]
fn the_block_masks_everything_that_is_shown() {
    let mut rng = ChaCha20Rng::from_seed([77; 32]);
    let mut cases = vec![(10, 0, false), (10, 1, true), (11, 3, true), (12, 2, false)];
    // And any: of a vector's blocks, any may be the one that masks.
    let mut numbers = Random::new(seed());
    cases.extend((0..times(2, 60)).map(|_| {
        let variables = usize::try_from(10 + numbers.below(4)).expect("small");
        let blocks = 1 << (variables - Block::variables_for(variables));
        let number = usize::try_from(numbers.below(blocks)).expect("small");
        (variables, number, numbers.below(4) == 0)
    }));
    for (variables, number, empty) in cases {
        let block = Block { number, variables: Block::variables_for(variables) };
        let case = case(3, variables, block);
        // A functional that says nothing masks no worse than one that says everything.
        let functional =
            if empty { vec![Challenge::ZERO; case.values.len()] } else { case.functional.clone() };
        let challenges: Vec<Challenge> =
            (0..variables + block.variables + 3).map(|_| random(&mut rng)).collect();
        let shown_of = |values: &[Element]| {
            let mut listener = Fixed { challenges: challenges.clone().into_iter(), heard: Vec::new() };
            prove_to(&mut listener, values, functional.clone(), block);
            // The last opened value follows from the messages before it; and so does the last leading coefficient: of two
            // elements of a vector, the claim and the value at 0 tell both.
            listener.heard.truncate(listener.heard.len() - 2);
            listener.heard
        };
        let mut columns = Vec::new();
        for element in 0..1usize << block.variables {
            let mut values = vec![Element::ZERO; case.values.len()];
            values[block.start() + element] = Element::ONE;
            let column = shown_of(&values);
            columns.push(
                column
                    .iter()
                    .flat_map(|value| value.as_basis_coefficients_slice().to_vec())
                    .collect::<Vec<_>>(),
            );
        }
        let rows = columns[0].len();
        assert_eq!(rows, DEGREE * (shown(variables, block.variables) - 1));
        assert_eq!(rank(columns), rows, "{variables} variables, block {number}");
    }
}
