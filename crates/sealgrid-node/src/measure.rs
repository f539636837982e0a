//! What a node costs, measured by the calls that clients make, each beside its lower bound: for `sealgrid bench` and the
//! benches. Nothing here runs in a node.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sealgrid_graph::execute::{Batch, Prepared};
use sealgrid_graph::tensor::{Data, Shape};
use sealgrid_net::{
    AddressBook, Admission, Admit, BindError, CallError, Endpoint, EndpointConfig, Method, Refusal, Request,
    Service,
};
use sealgrid_protocol::job::client::{ClientEffect, ClientEvent, ClientMachine};
use sealgrid_protocol::machine::Machine as _;
use sealgrid_seal::aead::TAG_LENGTH;
use sealgrid_seal::digest::labels;
use sealgrid_seal::envelope::{self, JobKeyPair};
use sealgrid_seal::identity::{PublicIdentity, SigningIdentity};
use sealgrid_seal::secret::SecretBytes;

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

/// Processor time that this process has used, of all threads: what a shared machine does not stretch. Zero where the system
/// does not say (`/proc/self/stat`, in ticks of 10 ms: of use over seconds only).
#[must_use]
pub fn processor_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // Behind the name in parentheses: state is field 3, user and system time are fields 14 and 15 (proc_pid_stat(5)).
    let fields = stat.rsplit_once(") ").map_or("", |(_, fields)| fields).split(' ');
    let ticks: u64 = fields.skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    Duration::from_millis(10 * ticks)
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

/// Two things that wait, in turns, so that neither meets a better hour of the machine than the other; after one of each
/// that is not counted.
///
/// # Errors
/// Of either.
pub async fn in_turns<E>(
    times: usize,
    one: impl AsyncFn() -> Result<Duration, E>,
    other: impl AsyncFn() -> Result<Duration, E>,
) -> Result<[Spread; 2], E> {
    one().await?;
    other().await?;
    let mut timed = [Vec::new(), Vec::new()];
    for _ in 0..times {
        timed[0].push(one().await?);
        timed[1].push(other().await?);
    }
    Ok(timed.map(Spread::of))
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
    let plan = client.plan(job).await?;
    let mut machine = ClientMachine::begin(identity, rand::make_rng::<rand::rngs::StdRng>(), plan, now())?;
    let mut bytes = 0;
    while let Some(effect) = machine.poll() {
        match effect {
            ClientEffect::Store { ticket, .. } => machine.handle(now(), ClientEvent::Stored { ticket }),
            ClientEffect::Send { message, .. } => bytes += message.encode().len(),
            _ => {}
        }
    }
    Ok(bytes)
}

/// The same work without any of the grid: the input's bytes over a TCP connection, the model run on them, the output's
/// bytes back. Nothing is hidden, signed, committed to or stored.
pub struct Plain {
    stream: TcpStream,
    input: Vec<u8>,
}

impl Plain {
    /// A thread that serves `model` to one caller on loopback, for inputs like `input`: elements of one byte.
    ///
    /// # Errors
    /// Of the sockets.
    pub fn start(model: Arc<dyn Prepared>, input: &Batch) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address: SocketAddr = listener.local_addr()?;
        let (records, shape, input) = (input.records(), input.shape().clone(), bytes_of(input));
        let length = input.len();
        std::thread::Builder::new().name("plain".to_owned()).spawn(move || {
            let (mut stream, _) = listener.accept()?;
            stream.set_nodelay(true)?;
            let mut bytes = vec![0; length];
            loop {
                stream.read_exact(&mut bytes)?;
                let output = run_plain(model.as_ref(), records, &shape, &bytes);
                stream.write_all(&u32::try_from(output.len()).unwrap_or(0).to_le_bytes())?;
                stream.write_all(&output)?;
            }
            #[expect(unreachable_code, reason = "says what the question marks yield")]
            Ok::<(), io::Error>(())
        })?;
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, input })
    }

    /// Asks once.
    ///
    /// # Errors
    /// Of the socket.
    pub fn ask(&mut self) -> io::Result<()> {
        self.stream.write_all(&self.input)?;
        let mut length = [0; 4];
        self.stream.read_exact(&mut length)?;
        let mut output = vec![0; usize::try_from(u32::from_le_bytes(length)).unwrap_or(0)];
        self.stream.read_exact(&mut output)
    }
}

/// The same work as one call to another process: encrypted on the way and nothing else, which is what `plain` means. Of a
/// sealed job's time it is the part that the transport, the model and waking another process take.
pub struct PlainCall {
    caller: Endpoint,
    server: PublicIdentity,
    input: Vec<u8>,
}

/// The call's one method.
const PLAIN: Method = Method {
    id: 1,
    name: "plain",
    request_bytes_max: 64 << 20,
    response_bytes_max: 64 << 20,
    deadline: Duration::from_secs(60),
};

struct PlainService(Arc<dyn Prepared>);

impl Service for PlainService {
    fn methods(&self) -> &'static [Method] {
        &[PLAIN]
    }

    async fn call(&self, request: Request) -> Result<Vec<u8>, Refusal> {
        let shape = &self.0.graph().inputs()[0].shape;
        Ok(run_plain(self.0.as_ref(), request.body.len() / shape.count(), shape, &request.body))
    }
}

/// An endpoint that answers [`PlainCall`]s of anybody: for a process of its own, as a node is.
pub struct PlainServer {
    endpoint: Endpoint,
    service: Arc<PlainService>,
}

impl PlainServer {
    /// Listens on loopback for batches of `model`'s first input, elements of one byte.
    ///
    /// # Errors
    /// [`BindError`].
    pub async fn start(model: Arc<dyn Prepared>) -> Result<Self, BindError> {
        let config = EndpointConfig { admission: Admission::new(Admit::Anyone), ..EndpointConfig::default() };
        let endpoint = Box::pin(Endpoint::bind(&SigningIdentity::generate(&mut rand::rng()), config)).await?;
        Ok(Self { endpoint, service: Arc::new(PlainService(model)) })
    }

    /// Who it is, and where.
    #[must_use]
    pub fn address(&self) -> (PublicIdentity, Vec<SocketAddr>) {
        (self.endpoint.identity(), self.endpoint.addresses())
    }

    /// Answers for ever.
    pub async fn serve(self) {
        self.endpoint.serve(self.service).await;
    }
}

impl PlainCall {
    /// Calls with `input`, elements of one byte. Call within a tokio runtime.
    ///
    /// # Errors
    /// [`BindError`].
    pub async fn to(
        (server, addresses): (PublicIdentity, Vec<SocketAddr>),
        input: &Batch,
    ) -> Result<Self, BindError> {
        let peers = AddressBook::default();
        peers.set(server, addresses);
        let config = EndpointConfig { peers, ..EndpointConfig::default() };
        let identity = SigningIdentity::generate(&mut rand::rng());
        let caller = Box::pin(Endpoint::bind(&identity, config)).await?;
        Ok(Self { caller, server, input: bytes_of(input) })
    }

    /// Asks once.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn ask(&self) -> Result<(), CallError> {
        self.caller.call(&self.server, &PLAIN, self.input.clone()).await.map(drop)
    }

    /// Closes the connection.
    pub async fn close(&self) {
        self.caller.close().await;
    }
}

fn run_plain(model: &dyn Prepared, records: usize, shape: &Shape, bytes: &[u8]) -> Vec<u8> {
    let elements = bytes.iter().map(|byte| i8::from_le_bytes([*byte])).collect();
    let Ok(batch) = Batch::new(records, shape.clone(), Data::I8(elements)) else { return Vec::new() };
    let outputs = model.run(&[batch], &mut ()).unwrap_or_default();
    outputs.iter().flat_map(bytes_of).collect()
}

fn bytes_of(batch: &Batch) -> Vec<u8> {
    match batch.data() {
        Data::I8(elements) => elements.iter().flat_map(|element| element.to_le_bytes()).collect(),
        Data::I16(elements) => elements.iter().flat_map(|element| element.to_le_bytes()).collect(),
        Data::I32(elements) => elements.iter().flat_map(|element| element.to_le_bytes()).collect(),
    }
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
        let (_, receiver) = pair.open(labels::JOB_PAYLOAD, &[], &sealed).expect("sealed to it");
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
