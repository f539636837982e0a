//! What is measured beside a job does the job's work: its answer passes a job's checks.

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::*;
use sealgrid_graph::execute::{Executor as _, Prepared};
use sealgrid_graph::fast::FastExecutor;
use sealgrid_node::measure::{self, Plain, PlainCall, PlainServer, SignedCall, SignedCallError};
use sealgrid_protocol::names::Verification;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signed_job_that_nothing_seals_is_answered_checked_and_kept() {
    let grid = Grid::start(1, &[]);
    let client = grid.client(1).await;
    let model: Arc<dyn Prepared> =
        FastExecutor::default().prepare(grid.model.graph().clone()).expect("prepares").into();
    let folder = tempfile::tempdir().expect("a folder");
    let server = PlainServer::start(Arc::clone(&model), folder.path()).await.expect("loopback");
    let address = server.address();
    tokio::spawn(server.serve());
    let inputs = records(5);
    let call = PlainCall::to(address, &inputs[0]).await.expect("loopback");
    let outputs = model.run(&inputs, &mut ()).expect("runs");
    let outputs: Vec<u8> =
        outputs.iter().flat_map(|batch| batch.data().view().le_bytes().into_owned()).collect();
    assert_eq!(call.ask().await.expect("answered"), outputs);
    assert_eq!(Plain::start(model, &inputs[0]).and_then(|mut plain| plain.ask()).expect("answered"), outputs);
    let job = || {
        let mut job = grid.job(Verification::Signed, 5);
        job.policy.witnesses_min = 0;
        job
    };
    let signed = SignedCall::over(&call, &client, person(2), job()).await.expect("planned");
    // Files of a fixed size are written before the answer: what was acknowledged is on the disk.
    let kept = || -> Vec<Vec<u8>> {
        let entries = std::fs::read_dir(folder.path()).expect("a folder");
        entries.map(|entry| std::fs::read(entry.expect("an entry").path()).expect("a file")).collect()
    };
    let before = kept();
    signed.ask().await.expect("every check holds");
    assert_ne!(kept(), before);
    signed.ask().await.expect("every check holds");
    let voted =
        SignedCall::over(&call, &client, person(2), grid.job(Verification::Quorum { members: 1 }, 5)).await;
    assert!(
        matches!(voted, Err(SignedCallError::Client(_) | SignedCallError::Answer)),
        "only `signed` has a draft"
    );
    call.close().await;
}

#[test]
fn what_is_more_is_taken_turn_by_turn() {
    let ms = |times: &[u64]| times.iter().map(|ms| Duration::from_millis(*ms)).collect::<Vec<_>>();
    // One slow turn, slow for both: the difference of the medians would be 8.
    let more = measure::median_more(&ms(&[3, 103, 10]), &ms(&[2, 101, 7]));
    assert!((more - 2e-3).abs() < 1e-9, "{more}");
}
