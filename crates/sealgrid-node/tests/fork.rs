//! A log that shows its two witnesses two faces: both find out from each other and keep both signed heads as a file.

mod common;

use std::time::Duration;

use common::*;
use sealgrid_node::api;
use sealgrid_node::client::GridClient;
use sealgrid_node::directory::Loaded;
use sealgrid_node::keys::NodeKeys;
use sealgrid_protocol::log::Checkpoint;
use sealgrid_protocol::log::tree::{self, TreeHash};
use sealgrid_protocol::log::witness::{AddCheckpoint, Fork, WitnessMessage};
use sealgrid_seal::canonical;
use sealgrid_seal::identity::{PublicIdentity, SigningIdentity};
use sealgrid_seal::keyfile::Cost;
use sealgrid_seal::keystore::Purpose;

async fn said(client: &GridClient, witness: &PublicIdentity, message: &WitnessMessage) -> WitnessMessage {
    loop {
        if let Ok(answer) = client.call(witness, &api::WITNESS, canonical::encode(message), "a word").await
            && !answer.is_empty()
        {
            return canonical::decode(&answer, 1 << 17).expect("a message");
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// A face of the log: one leaf more than what both witnesses saw.
fn face(log: &SigningIdentity, origin: &str, first: TreeHash, leaf: &[u8]) -> WitnessMessage {
    let leaves = [first, TreeHash::leaf(leaf)];
    let root = tree::root(&leaves[..], 2).expect("in memory");
    let note = Checkpoint { origin: origin.to_owned(), size: 2, root }.sign(log).expect("a name");
    let consistency = tree::consistency_proof(&leaves[..], 1, 2).expect("in memory");
    WitnessMessage::AddCheckpoint(AddCheckpoint { old_size: 1, consistency, note }.to_text())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_witness_nodes_catch_a_log_with_two_faces_and_both_keep_both_heads() {
    let mut grid = Grid::start(3, &[]);
    let client = grid.client(1).await;
    let loaded = Loaded::from_file(&grid.files.directory, &grid.files.authority).expect("verifies");
    let roots = loaded.log_roots(0).expect("sound");
    let witnesses = [grid.nodes[1].identity, grid.nodes[2].identity];
    // Both have cosigned the first leaf, the directory's digest.
    let ask = WitnessMessage::AskHead(roots.origin().to_owned());
    for witness in &witnesses {
        let WitnessMessage::Head(head) = said(&client, witness, &ask).await else { panic!("no head") };
        assert!(head.contains("\n1\n"), "{head}");
    }

    // The honest log ends; whoever has its key now speaks with two tongues.
    let data = load(&grid.files.configs[0]).data;
    grid.nodes.remove(0).crash();
    let keys = NodeKeys::open(&data.join("keys"), passphrase(), Cost::LEAST).expect("opens");
    let log = keys.signing(Purpose::Log).expect("the log's key");
    let first = TreeHash::leaf(&loaded.directory.digest().0);
    for (witness, leaf) in witnesses.iter().zip([b"one face", b"another!"]) {
        let answer = said(&client, witness, &face(&log, roots.origin(), first, leaf)).await;
        assert!(matches!(answer, WitnessMessage::Cosigned(_)), "each alone sees an honest log: {answer:?}");
    }

    for config in &grid.files.configs[1..] {
        let forks = load(config).data.join("forks");
        let kept = loop {
            let file = std::fs::read_dir(&forks).ok().and_then(|mut files| files.find_map(Result::ok));
            match file.filter(|file| file.path().extension().is_some_and(|ext| ext == "fork")) {
                Some(file) => break std::fs::read(file.path()).expect("readable"),
                None => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        };
        let fork: Fork = canonical::decode(&kept, 1 << 17).expect("evidence");
        let (one, other) = fork.verify(&roots).expect("the log's own signatures accuse it");
        assert_eq!((one.size, other.size), (2, 2));
        assert_ne!(one.root, other.root);
    }
    // The witness that cosigned one face refuses the other.
    let refused = said(&client, &witnesses[0], &face(&log, roots.origin(), first, b"another!")).await;
    assert_eq!(refused, WitnessMessage::Refused("E-LOG-09".into()));
}
