//! Whether this processor has what the program was compiled for (.cargo/config.toml): asked before anything else, because without it the
//! program would end at some later instruction, and without a word.

use crate::failure::Failure;

/// Instructions beyond the oldest of the architecture: the name, and where the processor says that it has them.
#[cfg(target_arch = "x86_64")]
const NEEDED: [(&str, Leaf, u32); 6] = [
    ("FMA", Leaf::Features, 12),
    ("MOVBE", Leaf::Features, 22),
    ("AVX", Leaf::Features, 28),
    ("BMI1", Leaf::Extended, 3),
    ("AVX2", Leaf::Extended, 5),
    ("BMI2", Leaf::Extended, 8),
];

/// Which of the processor's answers.
#[cfg(target_arch = "x86_64")]
#[derive(Debug, Clone, Copy)]
enum Leaf {
    /// Leaf 1, `ecx`.
    Features,
    /// Leaf 7, `ebx`.
    Extended,
}

/// Refuses a processor that cannot run this program.
#[cfg(target_arch = "x86_64")]
pub fn check() -> Result<(), Failure> {
    use std::arch::x86_64::{__cpuid, __cpuid_count};
    // The standard library's own question is answered when it is compiled, from what the program was compiled for.
    let extended = if __cpuid(0).eax < 7 { 0 } else { __cpuid_count(7, 0).ebx };
    suffices(__cpuid(1).ecx, extended)
}

/// Nothing beyond the oldest of the architecture is asked for.
#[cfg(not(target_arch = "x86_64"))]
#[expect(clippy::unnecessary_wraps, reason = "the same on every architecture")]
pub const fn check() -> Result<(), Failure> {
    Ok(())
}

#[cfg(target_arch = "x86_64")]
fn suffices(features: u32, extended: u32) -> Result<(), Failure> {
    let lacks = |(_, leaf, bit): &(&str, Leaf, u32)| {
        let answer = match leaf {
            Leaf::Features => features,
            Leaf::Extended => extended,
        };
        answer >> bit & 1 == 0
    };
    let missing: Vec<&str> = NEEDED.iter().filter(|needed| lacks(needed)).map(|(name, ..)| *name).collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(Failure::new("E-RES-70", "this program is compiled for a newer processor")
        .why(format!("the processor lacks {}", missing.join(", ")))
        .hint("RUSTFLAGS='-C target-cpu=x86-64' cargo build --release, on the machine that is to run it"))
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::*;

    #[test]
    fn a_processor_without_the_instructions_is_told_which() {
        assert_eq!(check(), Ok(()), "the test runs");
        let all = (1 << 12 | 1 << 22 | 1 << 28, 1 << 3 | 1 << 5 | 1 << 8);
        assert_eq!(suffices(all.0, all.1), Ok(()));
        let failure = suffices(all.0, all.1 & !(1 << 5)).expect_err("no AVX2");
        assert_eq!((failure.code.as_str(), failure.exit_status()), ("E-RES-70", 6));
        assert_eq!(failure.why.as_deref(), Some("the processor lacks AVX2"));
        assert!(
            suffices(0, 0).is_err_and(|failure| failure.why.is_some_and(|why| why.contains("FMA, MOVBE")))
        );
    }
}
