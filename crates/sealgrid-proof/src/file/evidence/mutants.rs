//! Files with one thing changed: no field of a proof, of what is published of a model, or of an opening may be another.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};

use super::structure::{Fields, Tree};
use super::*;

/// Fields that some mutant must have changed, whatever else there is.
const CLASSES: [&str; 25] = [
    ".proof statement version",
    ".proof statement model",
    ".proof statement nonce",
    ".proof statement records",
    ".proof statement inputs *",
    ".proof statement outputs *",
    ".proof statement weights private",
    ".proof argument commitment",
    ".proof argument wires",
    ".proof argument wires (list)",
    ".proof argument attached *",
    ".proof argument attached (list)",
    ".proof argument last",
    ".proof argument last (list)",
    ".proof argument opening.evals.value",
    ".sgr public card *",
    ".sgr public architecture *",
    ".sgr registered root",
    ".sgr magnitudes *",
    ".sgr reaches *",
    ".sgr trees *",
    ".sgr argument wires",
    ".opening nonce",
    ".opening key",
    ".opening batches *",
];

/// What a verifier with the true files says of a changed one.
struct Judge {
    case: Case,
    published: Option<RegisteredModel>,
}

impl Judge {
    fn accepts(&self, kind: &str, bytes: &[u8]) -> bool {
        match kind {
            ".proof" => match &self.published {
                None => self.case.verify(bytes).is_ok(),
                Some(model) => Proof::from_bytes(bytes)
                    .and_then(|proof| proof.verify_registered(model, &mut rng(8)))
                    .is_ok(),
            },
            ".sgr" => RegisteredModel::from_bytes(bytes).is_ok_and(|model| {
                model.public.commitment() == self.case.model.commitment() && model.verify(&mut rng(8)).is_ok()
            }),
            _ => Opening::from_bytes(bytes).is_ok_and(|opening| opening.opens(&self.case.proof).is_ok()),
        }
    }

    /// The files of a case.
    fn files(&self) -> Vec<Vec<u8>> {
        let [of_inputs, of_outputs] = keys();
        let Case { role, inputs, outputs, proof, .. } = &self.case;
        let mut files = vec![proof.to_bytes()];
        files.extend(self.published.as_ref().map(RegisteredModel::to_bytes));
        let opening = |side, key, values: &Vec<Batch>| {
            Opening::of(proof, side, key, values.clone()).to_bytes().expose().to_vec()
        };
        if role.inputs == Told::Committed {
            files.push(opening(Side::Inputs, of_inputs, inputs));
        }
        if !role.outputs_shown {
            files.push(opening(Side::Outputs, of_outputs, outputs));
        }
        files
    }
}

/// A file with some bytes others, missing, twice or too many.
fn raw(bytes: &[u8], random: &mut Random) -> (Vec<u8>, &'static str) {
    let mut below = |limit: usize| usize::try_from(random.below(limit as u64)).expect("below a usize");
    let mut changed = bytes.to_vec();
    let place = below(bytes.len());
    let end = (place + 1 + below(64)).min(bytes.len());
    let how = match below(8) {
        0 => {
            changed.truncate(place);
            "cut"
        }
        1 => {
            changed.push(u8::try_from(below(256)).expect("a byte"));
            "a byte behind the end"
        }
        2 => {
            changed.drain(place..end);
            "bytes dropped"
        }
        3 => {
            changed.splice(place..place, bytes[place..end].iter().copied());
            "bytes twice"
        }
        _ => {
            changed[place] ^= 1 << below(8);
            "bit changed"
        }
    };
    (changed, how)
}

/// Panics of the library's verifier, which are caught.
static PANICS: AtomicUsize = AtomicUsize::new(0);

#[test]
fn no_file_with_one_thing_changed_is_taken() {
    let (subjects, mutants) = (either(6, 52), times(40, 1800));
    let (mut classes, mut ways, mut roles) = (Counts::default(), Counts::default(), Counts::default());
    let mut found: std::collections::BTreeSet<String> = std::collections::BTreeSet::new();
    let mut total = 0;
    if either(false, true) {
        // The library's panics are counted; ours are failures and say so as ever.
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if panic.location().is_some_and(|place| place.file().contains("/p3-")) {
                PANICS.fetch_add(1, Ordering::Relaxed);
            } else {
                usual(panic);
            }
        }));
    }
    // Told and registered ones of each kind; of a sample, of some kinds.
    let mut visit = |number: usize, seed: u64, case: Case| {
        let role = case.role;
        role.words().into_iter().for_each(|word| roles.add(word));
        completeness::words(case.model.graph()).into_iter().for_each(|word| roles.add(word));
        let published = case.published();
        let judge = Judge { case, published };
        let mut random = Random::new(seed);
        for file in judge.files() {
            let mut tree = Tree::of(&file);
            let kind = tree.kind();
            assert!(judge.accepts(kind, &file), "seed {seed}, {role:?}: {kind} as it was made");
            let mut check = |class: &str, how: &str, changed: Vec<u8>| {
                if changed == file {
                    return;
                }
                let accepted = catch_unwind(AssertUnwindSafe(|| judge.accepts(kind, &changed)));
                let label = format!("seed {seed}, {role:?}: {class}, {how}");
                assert!(!accepted.unwrap_or_else(|_| panic!("{label}: a panic")), "{label}: accepted");
                classes.add(class);
                ways.add(format!("{kind}: {how}"));
                total += 1;
            };
            for changed in tree.longer() {
                check(&format!("{kind}, the library's values"), "a length spelled with a byte more", changed);
            }
            let Fields(fields) = Fields::of(&tree);
            found.extend(fields.iter().map(|(class, _)| class.clone()));
            // Most of what there is to change is in the proof.
            let share = match kind {
                ".proof" => mutants,
                ".sgr" => mutants / 2,
                _ => mutants / 10,
            };
            for step in 0..share {
                if step % 10 == 9 {
                    let (changed, how) = raw(&file, &mut random);
                    check(&format!("{kind}, any bytes"), how, changed);
                    continue;
                }
                // The classes in turn, those of large and of small fields alike.
                let (class, members) = &fields[(step + step / 10 + number * mutants) % fields.len()];
                let member = usize::try_from(random.below(members.len() as u64)).expect("below a usize");
                if let Some((changed, how)) = tree.changed(&members[member], &mut random) {
                    check(class, how, changed);
                }
            }
        }
        say(&format!("{} of {subjects} proofs, {total} mutants", number + 1));
    };
    let _ = each_case(subjects, 14, &mut visit);
    // A sample ends before there are trees, of which a registration tells more.
    let trees = |seed| Case::new(graph(TREES, true, seed)?, Role::of(true, 2), seed, 14).ok();
    if let (true, Some((seed, case))) =
        (either(true, false), (0..200).find_map(|seed| Some((seed, trees(seed)?))))
    {
        visit(subjects, seed, case);
    }
    classes.print("mutants by field:");
    ways.print("mutants by how they were made:");
    roles.print("proofs that were changed, by operator and role:");
    say(&format!(
        "soundness: {total} mutants of the files of {subjects} proofs, all rejected; \
         {} panics of the library, caught; seed {}",
        PANICS.load(Ordering::Relaxed),
        seed()
    ));
    let missed: Vec<&String> = found.iter().filter(|class| classes.of(class) == 0).collect();
    if full() {
        assert!(missed.is_empty(), "no mutant of {missed:?}");
        let classless: Vec<&&str> = CLASSES.iter().filter(|class| classes.of(class) == 0).collect();
        assert!(classless.is_empty(), "no mutant of {classless:?}");
        assert!(total >= 100_000, "{total} mutants");
    } else {
        let classless: Vec<&&str> = CLASSES.iter().filter(|class| !found.contains(**class)).collect();
        assert!(classless.is_empty(), "no such field: {classless:?}, but {found:?}");
    }
}
