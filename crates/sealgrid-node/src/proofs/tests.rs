use sealgrid_graph::arbitrary::small_model;
use sealgrid_graph::execute::{Batch, Prepared};
use sealgrid_graph::model::{Model, RegistrationId};
use sealgrid_graph::proving::{Asked, ProvenRun, ProvingError, Side, Verifier, Verifiers};
use sealgrid_graph::reference::Reference;
use sealgrid_seal::digest::{Commitment, CommitmentKey, Digest};

use super::*;

/// Counts openings, and publishes a word: what a registration costs is the node's to count, not the proof system's.
struct Counted;

struct CountedProver(Openings);

impl ProofSystem for Counted {
    fn prover(&self, model: Model) -> Result<Box<dyn Prover>, ProvingError> {
        let count = model.registration().expect("asked for registered ones only").openings;
        Ok(Box::new(CountedProver(Openings { root: [7; 32], count })))
    }
}

impl Verifiers for Counted {
    fn verifier(&self, _: &[u8]) -> Result<Box<dyn Verifier>, ProvingError> {
        unreachable!("a node verifies nothing")
    }
}

impl Prover for CountedProver {
    fn openings(&self) -> Openings {
        self.0
    }

    fn publish(&self) -> Result<Vec<u8>, ProvingError> {
        Ok(b"published".to_vec())
    }

    fn commit(&self, _: Side, _: &CommitmentKey, _: &[Batch]) -> Result<Commitment, ProvingError> {
        unreachable!("nothing runs here")
    }

    fn prove(
        &self,
        _: &dyn Prepared,
        _: &Asked<'_>,
        _: &mut dyn FnMut() -> bool,
    ) -> Result<ProvenRun, ProvingError> {
        unreachable!("openings are spent without a run here")
    }
}

/// A model registered with so many openings, or not at all.
fn model(openings: Option<u32>) -> Model {
    let digest = Digest([1; 32]);
    match openings {
        Some(openings) => {
            small_model(10, &mut rand::rng()).registered(RegistrationId { openings, digest, bits: 99 })
        }
        None => small_model(10, &mut rand::rng()),
    }
}

/// A node's folder with one model in it.
struct Folder {
    folder: tempfile::TempDir,
    model: ModelCommitment,
}

impl Folder {
    fn of(model: &Model, granted: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("m.sgm"), model.to_bytes()).expect("written");
        std::fs::write(folder.path().join("m.openings"), granted).expect("written");
        Self { folder, model: model.commitment() }
    }

    /// What a process opens when it starts.
    fn open(&self) -> Proofs {
        let models = Models::open(self.folder.path(), Arc::new(Reference), 1 << 20).expect("opens");
        let state = State::open(&self.folder.path().join("state.redb")).expect("opens");
        Proofs::new(Arc::new(Counted), Arc::new(models), state)
    }

    fn spend(&self, proofs: &Proofs, times: usize) -> usize {
        let prover = proofs.prover(&self.model).expect("registered");
        (0..times).filter(|_| proofs.spend(&self.model, prover.as_ref())).count()
    }
}

/// Until the thread that writes the state has let go of its file.
fn reopened(folder: &Folder) -> Proofs {
    for _ in 0..200 {
        if State::open(&folder.folder.path().join("state.redb")).is_ok() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    std::thread::sleep(std::time::Duration::from_millis(50));
    folder.open()
}

#[test]
fn a_node_spends_what_it_was_given_and_no_more_and_remembers_it() {
    let folder = Folder::of(&model(Some(100)), "5\n");
    let proofs = folder.open();
    assert_eq!(folder.spend(&proofs, 3), 3);
    drop(proofs);
    let proofs = reopened(&folder);
    assert_eq!(folder.spend(&proofs, 5), 2);
    // Its owner gives it more.
    std::fs::write(folder.folder.path().join("m.openings"), "6").expect("written");
    assert_eq!(folder.spend(&proofs, 5), 1);
}

#[test]
fn what_is_no_number_grants_nothing_and_no_grant_exceeds_the_registration() {
    for (granted, spends) in [("", 0), ("many", 0), ("-1", 0), ("99999999999999999999", 0), ("9", 4)] {
        let folder = Folder::of(&model(Some(4)), granted);
        assert_eq!(folder.spend(&folder.open(), 10), spends, "{granted:?}");
    }
    let folder = Folder::of(&model(Some(4)), "4");
    std::fs::remove_file(folder.folder.path().join("m.openings")).expect("was there");
    assert_eq!(folder.spend(&folder.open(), 10), 0);
}

#[test]
fn a_registration_is_published_once_and_takes_one_opening() {
    let folder = Folder::of(&model(Some(100)), "2");
    let proofs = folder.open();
    for _ in 0..3 {
        assert_eq!(proofs.published(&folder.model).expect("one opening"), b"published");
    }
    assert_eq!(folder.spend(&proofs, 5), 1);
    let spent = Folder::of(&model(Some(100)), "0");
    assert_eq!(spent.open().published(&spent.model), Err(refusal::NO_OPENING));
}

#[test]
fn what_is_not_registered_or_not_here_has_no_prover() {
    let folder = Folder::of(&model(None), "9");
    let proofs = folder.open();
    assert!(proofs.prover(&folder.model).is_none());
    assert_eq!(proofs.published(&folder.model), Err(refusal::NOT_REGISTERED));
    let elsewhere = ModelCommitment(Digest([9; 32]));
    assert!(proofs.prover(&elsewhere).is_none());
    assert_eq!(proofs.published(&elsewhere), Err(refusal::NO_SUCH_MODEL));
}
