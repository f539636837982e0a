//! What goes wrong around a node, each with its code.

mod common;

use common::*;
use sealgrid_net::CallError;
use sealgrid_node::api::{self, refusal};
use sealgrid_node::client::{ClientError, ClientOptions, GridClient};
use sealgrid_node::config::{Clients, Role};
use sealgrid_node::directory::Loaded;
use sealgrid_node::grid::{GridError, GridPlan};
use sealgrid_node::jobs::now;
use sealgrid_node::models::{ModelsError, read_model};
use sealgrid_node::node::{Node, NodeOptions, StartError};
use sealgrid_protocol::draw::TooFewCandidates;
use sealgrid_seal::keyfile::Cost;

async fn refused(client: &GridClient, grid: &Grid, method: &sealgrid_net::Method, body: &[u8]) -> String {
    match client.call(&grid.nodes[1].identity, method, body.to_vec(), "nothing").await {
        Err(ClientError::Call { source: CallError::Refused(refusal), .. }) => refusal.code.into_owned(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_refuses_what_is_not_its_to_do() {
    let grid = Grid::start(2, &[]);
    let client = grid.client(1).await;
    assert_eq!(refused(&client, &grid, &api::ASSIGN, b"no message").await, "E-NET-15");
    assert_eq!(refused(&client, &grid, &api::LOG_HEAD, b"").await, "E-AVL-21");
    let unknown = sealgrid_seal::canonical::encode(&sealgrid_graph::model::ModelCommitment(
        sealgrid_seal::digest::Digest([9; 32]),
    ));
    assert_eq!(refused(&client, &grid, &api::MODEL, &unknown).await, "E-AVL-60");
    let tile = client.call(&grid.nodes[0].identity, &api::LOG_TILE, b"tile/0/999".to_vec(), "a tile").await;
    let Err(ClientError::Call { source: CallError::Refused(refusal), .. }) = tile else { panic!("{tile:?}") };
    assert_eq!(refusal.code, "E-AVL-23");
}

#[test]
fn refusals_that_need_bad_luck_have_their_codes() {
    assert_eq!(refusal::SUPERSEDED.code, "E-AVL-22");
    assert_eq!(refusal::LOG_FAILED.code, "E-STO-47");
    assert_eq!(refusal::LOG_BUSY.code, "E-RES-23");
    assert_eq!(ClientError::NoModel.code(), "E-AVL-25");
    assert_eq!(ClientError::NoLog.code(), "E-AVL-26");
    assert_eq!(ClientError::TooFew(TooFewCandidates { eligible: 1, members: 3 }).code(), "E-AVL-27");
    let nonsense = ClientError::Nonsense { node: person(1).public(), what: "a model" };
    assert_eq!(nonsense.code(), "E-NET-17");
    let metrics = StartError::Metrics {
        address: ([127, 0, 0, 1], 1).into(),
        source: std::io::ErrorKind::AddrInUse.into(),
    };
    assert_eq!(metrics.code(), "E-NET-16");
    assert_eq!(CallError::Lost.code(), "E-NET-08");
    let strange = sealgrid_net::Refusal::new("E-XYZ-99", "of another version");
    assert_eq!(CallError::Refused(strange).code(), "E-NET-14");
}

#[tokio::test]
async fn a_grid_is_laid_out_whole_or_not_at_all() {
    let folder = tempfile::tempdir().expect("a folder");
    let plan = |nodes, witnesses| GridPlan { nodes, witnesses, cost: Cost::LEAST, ..GridPlan::default() };
    let lay_out = |plan: GridPlan, at: &std::path::Path| {
        plan.lay_out(at, &authority(), &passphrase(), now()).map(|_| ()).expect_err("refused")
    };
    assert_eq!(lay_out(plan(2, 2), folder.path()).code(), "E-USE-43");
    assert_eq!(lay_out(plan(0, 0), folder.path()).code(), "E-USE-43");
    let file = folder.path().join("file");
    std::fs::write(&file, b"").expect("written");
    let error = lay_out(plan(1, 0), &file);
    assert!(matches!(error, GridError::Unwritable { .. }));
    assert_eq!(error.code(), "E-STO-49");
    assert_eq!(read_model(&folder.path().join("none.sgm")).expect_err("missing").code(), "E-STO-45");
    assert_eq!(ModelsError::TooMany(folder.path().to_owned()).code(), "E-RES-22");
    let missing = Loaded::from_file(&folder.path().join("none"), &authority().public());
    assert_eq!(missing.expect_err("missing").code(), "E-STO-48");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_of_another_key_and_a_stranger_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let plan = GridPlan { nodes: 2, witnesses: 1, cost: Cost::LEAST, ..GridPlan::default() };
    let files = plan.lay_out(folder.path(), &authority(), &passphrase(), now()).expect("laid out");
    let options = || NodeOptions { cost: Cost::LEAST, ..NodeOptions::new(passphrase()) };
    let mut usurper = load(&files.configs[1]);
    usurper.roles = [Role::Log].into();
    let error = Box::pin(Node::start(usurper, options())).await.err().expect("the log is another's");
    assert_eq!(error.code(), "E-AVL-24");

    let mut closed = load(&files.configs[0]);
    closed.network.clients = Clients::Listed([person(1).public()].into());
    let node = Box::pin(Node::start(closed, options())).await.expect("starts");
    let loaded = Loaded::from_file(&files.directory, &files.authority).expect("verifies");
    let ask = async |byte| {
        let client =
            GridClient::open(person(byte), loaded.clone(), ClientOptions::default()).await.expect("opens");
        client.call(&node.identity(), &api::DESCRIBE, Vec::new(), "a description").await
    };
    assert!(ask(1).await.is_ok());
    assert_eq!(ask(2).await.expect_err("a stranger").code(), "E-NET-03");
    node.stop().await;
}
