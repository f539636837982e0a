//! Sealed jobs on a local grid of real processes beside the same work in the clear; durable appends to a log.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::time::Instant;

use sealgrid_graph::execute::{Batch, Prepared};
use sealgrid_graph::model::Model;
use sealgrid_node::client::{ClientOptions, GridClient, Job};
use sealgrid_node::directory::Loaded;
use sealgrid_node::log_store::LogStore;
use sealgrid_node::measure::{self, Plain, PlainCall, SignedCall, Spread};
use sealgrid_protocol::names::{Protection, Verification};
use sealgrid_protocol::policy::Policy;
use sealgrid_seal::identity::{PublicIdentity, SigningIdentity};
use tokio::runtime::Builder;

use super::Line;
use crate::data::Records;
use crate::failure::{Failure, unwritable};
use crate::local_grid::{Layout, LocalGrid};
use crate::output::{Report, duration};
use crate::shipped::Shipped;
use crate::{asking, engines, roots};

/// Nodes of the grid: the log and the two witnesses that its trust roots ask for; all compute.
const NODES: usize = 3;
/// Jobs under way at once, below what a node takes from one client.
const IN_FLIGHT: usize = 48;
const JOBS: usize = 4000;

/// Records of one job, 60 bytes each: a small one, one of 120 kB, and one of about a mebibyte.
const RECORDS: [usize; 3] = [1, 2_048, 16_384];

/// Sealed jobs of the breast-tumour network.
pub fn jobs(lines: &mut Vec<Line>) -> Result<(), Failure> {
    let scratch = tempfile::tempdir().map_err(|error| unwritable("the temporary folder".as_ref(), &error))?;
    let disk = |error: std::io::Error| unwritable(scratch.path(), &error);
    let shipped = Shipped::named("breast-cancer-mlp").expect("it ships");
    let model = shipped.import()?;
    let file = scratch.path().join("model.sgm");
    std::fs::write(&file, model.to_bytes()).map_err(disk)?;
    let grid = LocalGrid::at(scratch.path().join("grid"));
    grid.lay_out(&Layout { nodes: NODES, models: vec![file], ..Layout::default() })?;
    let processes = grid.start()?;
    let test = shipped.records()?;
    let one_at_a_time = async {
        let client = client(&grid, &model).await?;
        for count in RECORDS {
            beside_plain(&client, &model, &inputs(&test, &model, count)?, lines).await?;
        }
        client.close().await;
        Ok(())
    };
    // As `run` has it: one thread. Many at once get all processors.
    let measured = asking::started(Builder::new_current_thread().enable_all())
        .and_then(|runtime| runtime.block_on(Box::pin(one_at_a_time)))
        .and_then(|()| asking::started(Builder::new_multi_thread().enable_all()))
        .and_then(|runtime| runtime.block_on(Box::pin(many_at_once(&grid, &model, &test, lines))));
    processes.stop();
    measured?;
    let synced = measure::durable_write(scratch.path(), 512, 200).map_err(disk)?;
    let beside = format!("{}; each sealed job waits for one", spread(synced));
    lines.push(Line::timed("one fsync of 512 bytes", synced.least, beside));
    Ok(())
}

async fn client(grid: &LocalGrid, model: &Model) -> Result<GridClient, Failure> {
    let trust = roots::read(&grid.roots())?;
    let loaded = Loaded::from_file(&grid.directory(), &trust.authority)
        .map_err(|error| Failure::new(error.code(), "the grid's directory is not trusted").why(error))?;
    let identity = SigningIdentity::generate(&mut crate::entropy());
    let client = GridClient::open(identity, loaded, ClientOptions::default()).await;
    let client = client.map_err(|error| asking::failed(&error))?;
    client.know(model.public()).await;
    Ok(client)
}

/// The first `count` of the test records, over and over.
fn inputs(test: &Records, model: &Model, count: usize) -> Result<Vec<Batch>, Failure> {
    let mut records = test.clone();
    records.rows = test.rows.iter().cycle().take(count).cloned().collect();
    Ok(asking::encode(&records, &model.public())?.0)
}

async fn many_at_once(
    grid: &LocalGrid,
    model: &Model,
    test: &Records,
    lines: &mut Vec<Line>,
) -> Result<(), Failure> {
    let client = Arc::new(client(grid, model).await?);
    let inputs = inputs(test, model, 1)?;
    let (took, each) = measure::many_at_once(&client, || job(model, &inputs), IN_FLIGHT, JOBS)
        .await
        .map_err(|error| asking::failed(&error))?;
    client.close().await;
    let rate = JOBS as f64 / took.as_secs_f64();
    let beside = format!("{rate:.0} jobs a second, {IN_FLIGHT} under way; {}", spread(each));
    lines.push(Line::timed("sealed job, many at once", each.least, beside));
    Ok(())
}

fn job(model: &Model, inputs: &[Batch]) -> Job {
    Job {
        model: model.commitment(),
        inputs: inputs.to_vec(),
        policy: Policy { verification: Verification::Signed, ..Policy::default() },
        protection: Protection::Sealed,
        verification: Verification::Signed,
        graph: None,
        log: false,
    }
}

/// One job at a time; the same work as a call that is encrypted on the way and nothing more; and in the clear.
async fn beside_plain(
    client: &GridClient,
    model: &Model,
    inputs: &[Batch],
    lines: &mut Vec<Line>,
) -> Result<(), Failure> {
    let records = inputs[0].records();
    let times = if records == 1 { 1000 } else { 400 };
    let broken =
        |error: &dyn std::fmt::Display| Failure::new("E-NET-17", "a measuring call failed").why(error);
    let prepared: Arc<dyn Prepared> = engines::executor()
        .prepare(Arc::clone(model.graph()))
        .map_err(|error| Failure::new(error.code(), error.to_string()))?
        .into();
    let outputs =
        prepared.run(inputs, &mut ()).map_err(|error| Failure::new(error.code(), error.to_string()))?;
    let sealing = measure::sealing(inputs, &outputs, times);
    let mut clear = Plain::start(Arc::clone(&prepared), &inputs[0]).map_err(|error| broken(&error))?;
    let clear = measure::repeat(times, || clear.ask().map(drop)).map_err(|error| broken(&error))?;
    let server = PlainProcess::start()?;
    let call = PlainCall::to(server.address.clone(), &inputs[0]).await.map_err(|error| broken(&error))?;
    let identity = SigningIdentity::generate(&mut crate::entropy());
    let signed = SignedCall::over(&call, client, identity, job(model, inputs));
    let signed = signed.await.map_err(|error| broken(&error))?;
    let [plain, signed, sealed] = measure::in_turns(
        times,
        [
            Box::new(|| {
                Box::pin(async {
                    let started = Instant::now();
                    call.ask().await.map_err(|error| broken(&error))?;
                    Ok(started.elapsed())
                })
            }),
            Box::new(|| Box::pin(async { signed.ask().await.map_err(|error| broken(&error)) })),
            Box::new(|| {
                Box::pin(async {
                    let ran = client.run(job(model, inputs), &mut |_| {}).await;
                    Ok(ran.map_err(|error| asking::failed(&error))?.result_after)
                })
            }),
        ],
    )
    .await?;
    call.close().await;
    let mut line = |what: &str, took: Spread, beside: &str| {
        let beside = format!("{}{beside}", spread(took));
        lines.push(Line::timed(format!("{what}, {records} records"), took.least, beside));
    };
    line("in the clear over TCP", clear, "");
    let [over_signed, over_plain] =
        [&signed, &plain].map(|other| format!("{:+.2} ms", 1e3 * measure::median_more(&sealed, other)));
    line("plain call", Spread::of(plain), "; encrypted on the way alone");
    line("sealing alone", sealing, "; both sides, on one thread");
    line(
        "signed, not sealed",
        Spread::of(signed),
        "; a job's checks, trace, receipt and sync without the grid",
    );
    let beside = format!("; {over_signed} above signed and not sealed, {over_plain} above plain");
    line("sealed job, one at a time", Spread::of(sealed), &beside);
    Ok(())
}

/// The process that answers plain calls: this program, told to.
struct PlainProcess {
    child: Child,
    address: (PublicIdentity, Vec<SocketAddr>),
}

impl PlainProcess {
    fn start() -> Result<Self, Failure> {
        let failed = |why: &dyn std::fmt::Display| {
            Failure::new("E-AVL-02", "the process that answers plain calls does not start").why(why)
        };
        let program = std::env::current_exe().map_err(|error| failed(&error))?;
        let mut child = std::process::Command::new(program)
            .args(["bench", "plain-server"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| failed(&error))?;
        let mut line = String::new();
        let stdout = child.stdout.take().expect("piped");
        let read = BufReader::new(stdout).read_line(&mut line);
        let address = read.ok().and_then(|_| address_of(&line));
        let address = address.ok_or_else(|| failed(&"it did not say where it is"))?;
        Ok(Self { child, address })
    }
}

impl Drop for PlainProcess {
    fn drop(&mut self) {
        // One that has ended already cannot be killed, and need not be.
        let _ended = self.child.kill().and_then(|()| self.child.wait());
    }
}

/// Reads what [`plain_server`] prints.
fn address_of(line: &str) -> Option<(PublicIdentity, Vec<SocketAddr>)> {
    let mut words = line.split_whitespace();
    let identity = hex::decode(words.next()?).ok()?.try_into().ok()?;
    Some((PublicIdentity(identity), words.map(str::parse).collect::<Result<_, _>>().ok()?))
}

/// Answers plain calls until standard input closes, which it does when the process that asked for this ends in any way.
pub fn plain_server() -> Result<Report, Failure> {
    let model = Shipped::named("breast-cancer-mlp").expect("it ships").import()?;
    let prepared = engines::executor()
        .prepare(Arc::clone(model.graph()))
        .map_err(|error| Failure::new(error.code(), error.to_string()))?;
    let scratch = tempfile::tempdir().map_err(|error| unwritable("the temporary folder".as_ref(), &error))?;
    // As nodes have it: all processors.
    asking::started(Builder::new_multi_thread().enable_all())?.block_on(async {
        let server = measure::PlainServer::start(prepared.into(), scratch.path())
            .await
            .map_err(|error| unwritable(scratch.path(), &error))?;
        let (identity, addresses) = server.address();
        let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        let mut stdout = std::io::stdout().lock();
        writeln!(stdout, "{identity} {}", addresses.join(" "))
            .and_then(|()| stdout.flush())
            .map_err(|error| Failure::new("E-AVL-02", "nobody reads this").why(error))?;
        let ended =
            tokio::task::spawn_blocking(|| std::io::copy(&mut std::io::stdin(), &mut std::io::sink()));
        tokio::select! {
            () = server.serve() => {}
            _ = ended => {}
        }
        Ok(Report::new("stopped", serde_json::json!({ "stopped": true })))
    })
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
        lines.push(Line::timed(format!("durable append, batch of {count}"), appended.least, beside));
    }
    Ok(())
}

fn spread(spread: Spread) -> String {
    format!("median {}, worst {}", duration(spread.median), duration(spread.worst))
}
