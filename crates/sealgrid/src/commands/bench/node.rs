//! Sealed jobs on a local grid of real processes beside the same work in the clear; durable appends to a log.

use std::sync::Arc;

use sealgrid_graph::execute::{Batch, Prepared};
use sealgrid_graph::model::Model;
use sealgrid_node::client::{ClientError, ClientOptions, GridClient, Job};
use sealgrid_node::directory::Loaded;
use sealgrid_node::log_store::LogStore;
use sealgrid_node::measure::{self, Plain, Spread};
use sealgrid_protocol::names::{Protection, Verification};
use sealgrid_protocol::policy::Policy;
use sealgrid_seal::identity::SigningIdentity;

use super::Line;
use crate::failure::{Failure, unwritable};
use crate::local_grid::{Layout, LocalGrid};
use crate::output::duration;
use crate::shipped::Shipped;
use crate::{asking, engines, roots};

/// Nodes of the grid: the log and the two witnesses that its trust roots ask for; all compute.
const NODES: usize = 3;
/// Jobs under way at once, below what a node takes from one client.
const IN_FLIGHT: usize = 48;
const JOBS: usize = 4000;

/// Sealed jobs of the breast-tumour network.
pub fn jobs(lines: &mut Vec<Line>) -> Result<(), Failure> {
    let scratch = tempfile::tempdir().map_err(|error| unwritable("the temporary folder".as_ref(), &error))?;
    let disk = |error: std::io::Error| unwritable(scratch.path(), &error);
    let shipped = Shipped::named("breast-cancer-mlp").expect("it ships");
    let model = shipped.import()?;
    let file = scratch.path().join("model.sgm");
    std::fs::write(&file, model.to_bytes()).map_err(disk)?;
    let grid = LocalGrid::at(scratch.path().join("grid"));
    grid.lay_out(&Layout { nodes: NODES, models: vec![file], faults: Vec::new() })?;
    let processes = grid.start()?;

    let mut records = shipped.test()?;
    records.rows.truncate(1);
    let (inputs, _) = asking::encode(&records, &model.public())?;
    let failed = |error: sealgrid_graph::execute::ExecuteError| Failure::new(error.code(), error.to_string());
    let prepared: Arc<dyn Prepared> =
        engines::executor().prepare(Arc::clone(model.graph())).map_err(failed)?.into();
    let mut plain = Plain::start(prepared, &inputs[0]).map_err(disk)?;
    let plain = measure::repeat(1000, || plain.ask()).map_err(disk)?;
    let synced = measure::durable_write(scratch.path(), 512, 200).map_err(disk)?;

    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new("E-AVL-02", "the client cannot start its threads").why(error))?;
    let measured = runtime.block_on(Box::pin(measured(&grid, &model, &inputs)));
    processes.stop();
    let (one, took, each) = measured?;

    let beside = format!("in the clear over TCP: {}; one fsync: {}", spread(plain), spread(synced));
    lines.push(Line {
        what: "sealed job, one at a time".into(),
        least: one.least,
        beside: format!("{}; {beside}", spread(one)),
    });
    let rate = JOBS as f64 / took.as_secs_f64();
    let beside = format!("{rate:.0} jobs a second, {IN_FLIGHT} under way; {}", spread(each));
    lines.push(Line { what: "sealed job, many at once".into(), least: each.least, beside });
    Ok(())
}

async fn measured(
    grid: &LocalGrid,
    model: &Model,
    inputs: &[Batch],
) -> Result<(Spread, std::time::Duration, Spread), Failure> {
    let trust = roots::read(&grid.roots())?;
    let loaded = Loaded::from_file(&grid.directory(), &trust.authority)
        .map_err(|error| Failure::new(error.code(), "the grid's directory is not trusted").why(error))?;
    let identity = SigningIdentity::generate(&mut crate::entropy());
    let failed = |error: ClientError| asking::failed(&error);
    let client = GridClient::open(identity, loaded, ClientOptions::default()).await.map_err(failed)?;
    client.know(model.public()).await;
    let job = || Job {
        model: model.commitment(),
        inputs: inputs.to_vec(),
        policy: Policy { verification: Verification::Signed, ..Policy::default() },
        protection: Protection::Sealed,
        verification: Verification::Signed,
        graph: None,
        log: false,
    };
    let client = Arc::new(client);
    let one = measure::one_by_one(&client, job, 300).await.map_err(failed)?;
    let (took, each) = measure::many_at_once(&client, job, IN_FLIGHT, JOBS).await.map_err(failed)?;
    client.close().await;
    Ok((one, took, each))
}

/// Durable appends in batches.
pub fn log(lines: &mut Vec<Line>) -> Result<(), Failure> {
    let scratch = tempfile::tempdir().map_err(|error| unwritable("the temporary folder".as_ref(), &error))?;
    let disk = |error: std::io::Error| unwritable(scratch.path(), &error);
    let failed =
        |error: sealgrid_node::log_store::LogStoreError| Failure::new(error.code(), error.to_string());
    let signer = SigningIdentity::generate(&mut crate::entropy());
    let mut store = LogStore::open(scratch.path(), "example.com/log", signer).map_err(failed)?;
    for count in [1, 256, 8192] {
        let leaves = vec![[7u8; 160]; count];
        let appended = measure::repeat(30, || store.append(&leaves).map(drop)).map_err(failed)?;
        let synced = measure::durable_write(scratch.path(), count * 160, 30).map_err(disk)?;
        let rate = count as f64 / appended.median.as_secs_f64();
        let beside =
            format!("{rate:.0} leaves a second, {}; one fsync: {}", spread(appended), spread(synced));
        lines.push(Line { what: format!("durable append, batch of {count}"), least: appended.least, beside });
    }
    Ok(())
}

fn spread(spread: Spread) -> String {
    format!("median {}, worst {}", duration(spread.median), duration(spread.worst))
}
