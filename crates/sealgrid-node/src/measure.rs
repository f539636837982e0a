//! What a node costs, measured by the calls that clients make, each beside its lower bound: for `sealgrid bench` and the
//! benches. Nothing here runs in a node.

mod plain;
mod signed;

use std::io::{self, Write as _};
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sealgrid_graph::execute::Batch;
use sealgrid_protocol::job::client::{ClientEffect, ClientEvent, ClientMachine, Plan, PlanError};
use sealgrid_protocol::job::message::Message;
use sealgrid_protocol::machine::Machine as _;
use sealgrid_seal::aead::TAG_LENGTH;
use sealgrid_seal::digest::labels;
use sealgrid_seal::envelope::{self, JobKeyPair};
use sealgrid_seal::identity::SigningIdentity;
use sealgrid_seal::secret::SecretBytes;

use self::plain::bytes_of;
pub use self::plain::{Plain, PlainCall, PlainServer};
pub use self::signed::{SignedCall, SignedCallError};
use crate::client::{ClientError, GridClient, Job};
use crate::jobs::now;

/// How long many runs of one thing took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spread {
    /// The least.
    pub least: Duration,
    /// The middle.
    pub median: Duration,
    /// The most.
    pub worst: Duration,
}

impl Spread {
    /// Of at least one time.
    ///
    /// # Panics
    /// Without any.
    #[must_use]
    pub fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        Self { least: times[0], median: times[times.len() / 2], worst: times[times.len() - 1] }
    }
}

/// Processor time that this process has used, of all threads: what a shared machine does not stretch.
#[must_use]
pub fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

/// Times `call`, after one call that is not counted.
///
/// # Errors
/// Of the call.
pub fn repeat<E>(times: usize, mut call: impl FnMut() -> Result<(), E>) -> Result<Spread, E> {
    call()?;
    let timed = (0..times).map(|_| {
        let started = Instant::now();
        call().map(|()| started.elapsed())
    });
    Ok(Spread::of(timed.collect::<Result<_, E>>()?))
}

/// Something whose time is taken by itself: it waits, so it is boxed.
pub type Timed<'f, E> = Box<dyn Fn() -> Pin<Box<dyn Future<Output = Result<Duration, E>> + 'f>> + 'f>;

/// Things that wait, in turns, so that none meets a better hour of the machine than the others; after one of each that is
/// not counted.
///
/// # Errors
/// Of any.
pub async fn in_turns<const N: usize, E>(
    times: usize,
    things: [Timed<'_, E>; N],
) -> Result<[Vec<Duration>; N], E> {
    let mut timed: [Vec<Duration>; N] = std::array::from_fn(|_| Vec::with_capacity(times));
    for turn in 0..=times {
        for (thing, timed) in things.iter().zip(&mut timed) {
            let took = thing().await?;
            if turn > 0 {
                timed.push(took);
            }
        }
    }
    Ok(timed)
}

/// The median of how much more `these` took than `those` of the same turn, in seconds: what a slow moment of the machine
/// adds to both of a turn is not in it.
///
/// # Panics
/// Without any turn.
#[must_use]
pub fn median_more(these: &[Duration], those: &[Duration]) -> f64 {
    let turns = these.iter().zip(those);
    let mut more: Vec<f64> = turns.map(|(this, that)| this.as_secs_f64() - that.as_secs_f64()).collect();
    more.sort_unstable_by(f64::total_cmp);
    more[more.len() / 2]
}

/// One job after another, from the request to the checked result.
///
/// # Errors
/// [`ClientError`].
pub async fn one_by_one(
    client: &GridClient,
    job: impl Fn() -> Job,
    times: usize,
) -> Result<Spread, ClientError> {
    client.run(job(), &mut |_| {}).await?;
    let mut timed = Vec::new();
    for _ in 0..times {
        timed.push(client.run(job(), &mut |_| {}).await?.result_after);
    }
    Ok(Spread::of(timed))
}

/// Jobs with `in_flight` of them under way at any time: how long all took, and each.
///
/// # Errors
/// [`ClientError`].
pub async fn many_at_once(
    client: &Arc<GridClient>,
    job: impl Fn() -> Job,
    in_flight: usize,
    jobs: usize,
) -> Result<(Duration, Spread), ClientError> {
    let start = |running: &mut tokio::task::JoinSet<_>| {
        let (client, job) = (client.clone(), job());
        running.spawn(async move {
            let started = Instant::now();
            client.run(job, &mut |_| {}).await.map(|_| started.elapsed())
        });
    };
    client.run(job(), &mut |_| {}).await?;
    let (mut running, mut timed) = (tokio::task::JoinSet::new(), Vec::new());
    let started = Instant::now();
    for _ in 0..in_flight.min(jobs) {
        start(&mut running);
    }
    let mut begun = in_flight.min(jobs);
    while let Some(ended) = running.join_next().await {
        if let Ok(ended) = ended {
            timed.push(ended?);
        }
        if begun < jobs {
            start(&mut running);
            begun += 1;
        }
    }
    Ok((started.elapsed(), Spread::of(timed)))
}

/// Bytes of a job's assignment on the wire, without QUIC's own.
///
/// # Errors
/// [`ClientError`].
pub async fn assignment_bytes(
    client: &GridClient,
    identity: SigningIdentity,
    job: Job,
) -> Result<usize, ClientError> {
    let sent = first_messages(identity, client.plan(job).await?)?;
    Ok(sent.iter().map(|message| message.encode().len()).sum())
}

/// What a client sends before it has heard anything.
fn first_messages(identity: SigningIdentity, plan: Plan) -> Result<Vec<Message>, PlanError> {
    let rng = rand::make_rng::<rand::rngs::StdRng>();
    let mut machine = ClientMachine::begin_unkept(identity, rng, plan, now())?;
    let mut sent = Vec::new();
    while let Some(effect) = machine.poll() {
        match effect {
            ClientEffect::Store { ticket, .. } => machine.handle(now(), ClientEvent::Stored { ticket }),
            ClientEffect::Send { message, .. } => sent.push(message),
            _ => {}
        }
    }
    Ok(sent)
}

/// What sealing alone takes, of both sides and on one thread: the input sealed to a node and opened there, the output
/// sealed and opened on its way back. It is what the protection `sealed` adds to `plain`; all else that a sealed job does
/// (commitments, trace, signatures, a durable receipt) is its verification's, whatever the protection.
///
/// # Panics
/// Never: what was sealed here opens here.
#[must_use]
pub fn sealing(inputs: &[Batch], outputs: &[Batch], times: usize) -> Spread {
    let pair = JobKeyPair::generate(&mut rand::rng());
    let length = |batches: &[Batch]| batches.iter().map(|batch| bytes_of(batch).len()).sum::<usize>();
    let (input, output) = (vec![7; length(inputs)], vec![7; length(outputs)]);
    let once = || {
        let mut held = Vec::with_capacity(input.len() + TAG_LENGTH);
        held.extend_from_slice(&input);
        let plain = SecretBytes::new(held);
        let sent = envelope::seal_owned(&mut rand::rng(), pair.public(), labels::JOB_PAYLOAD, &[], plain);
        let (sealed, sender) = sent.expect("a key of our own");
        let (_, receiver) = pair.open_owned(labels::JOB_PAYLOAD, &[], sealed).expect("sealed to it");
        let reply = receiver.reply_key(labels::JOB_REPLY).seal(&mut rand::rng(), &[], &output);
        let opened = sender.reply_key(labels::JOB_REPLY).open(&[], &reply);
        opened.map(drop)
    };
    repeat(times, once).expect("sealed for it")
}

/// What the disk under `folder` takes to make `bytes` more bytes of one file durable: the lower bound of anything durable.
///
/// # Errors
/// Of the disk.
pub fn durable_write(folder: &Path, bytes: usize, times: usize) -> io::Result<Spread> {
    let path = folder.join("durable-write");
    let mut file = std::fs::File::create(&path)?;
    let data = vec![7; bytes];
    let spread = repeat(times, || file.write_all(&data).and_then(|()| file.sync_data()))?;
    std::fs::remove_file(path)?;
    Ok(spread)
}
