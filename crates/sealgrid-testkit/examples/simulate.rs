//! Runs hostile worlds: `simulate COUNT [FIRST SEED]`. Ends with a panic that names the seed when an invariant breaks.
#![expect(clippy::print_stdout, reason = "a program for a person")]

use sealgrid_testkit::simulate::{Scenario, run};

fn main() {
    let mut arguments = std::env::args().skip(1).map(|argument| argument.parse::<u64>().expect("a number"));
    let count = arguments.next().unwrap_or(10_000);
    let first = arguments.next().unwrap_or(0);
    let (mut accepted, mut messages, mut crashes) = (0_u64, 0, 0);
    for seed in first..first + count {
        let outcome = run(Scenario::random(seed));
        outcome.check();
        accepted += u64::from(outcome.refused().is_none());
        messages += outcome.messages;
        crashes += outcome.crashes;
    }
    println!("{count} worlds from seed {first}: {accepted} accepted, {messages} messages, {crashes} crashes");
}
