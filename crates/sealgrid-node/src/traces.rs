//! Traces for the operator: what each step of a job took on this node, over OTLP/HTTP to a collector on this machine.
//!
//! What a trace must not be: a second copy of what the grid keeps secret. So
//! 1. *Attributes are a type.* [`Attribute`] holds words of the program and small numbers; there is no way to put a name,
//!    a digest, an address or a byte of content into a span. That is why spans are made here and not collected from
//!    `tracing`, whose spans of the network's crates carry identities and addresses.
//! 2. *A trace stays on its node.* Its number is random, is not derived from the job, and travels nowhere: spans of one
//!    job on two nodes, or of two jobs of one client, do not name each other.
//! 3. *The collector is on this machine*, as the metrics' reader is: what it does with a trace is the operator's to say.
//!
//! What remains is time: who sees the traces of several nodes can match jobs by their beginnings and ends. Off unless the
//! configuration names a collector.

use std::fmt;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use opentelemetry::trace::{Span as _, TraceContextExt as _, Tracer as _, TracerProvider as _};
use opentelemetry::{Context, KeyValue};
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{BatchConfigBuilder, BatchSpanProcessor, SdkTracer, SdkTracerProvider};
use sealgrid_protocol::names::Verification;

/// How long finished spans are gathered.
const GATHER: Duration = Duration::from_secs(1);
/// Spans that wait at most; more are dropped.
const WAITING_MAX: usize = 4096;
/// How long the collector may take.
const COLLECTOR_TIME: Duration = Duration::from_secs(2);
/// How long the last spans may take when the node stops.
const LAST_SPANS: Duration = Duration::from_secs(2);
/// Bytes of a collector's answer that are read.
const ANSWER_BYTES_MAX: u64 = 64 << 10;

/// A part of a job's way through a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A job, from its assignment to its client's last word or its deadline. The root of its trace.
    Request,
    /// An assignment, until it is answered.
    Assign,
    /// A run of the model, with opening, committing and sealing.
    Execute,
    /// A vote becomes durable.
    Commit,
    /// A vote is shown.
    Reveal,
    /// A question of a dispute is answered.
    Dispute,
    /// An operation is refereed. A trace of its own: the referee knows no more of the job.
    Referee,
    /// A receipt is signed, or becomes durable.
    Receipt,
    /// A batch of leaves becomes durable and is shown to the witnesses. A trace of its own: leaves name no job.
    LogAppend,
}

impl Step {
    const fn name(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Assign => "assign",
            Self::Execute => "execute",
            Self::Commit => "commit",
            Self::Reveal => "reveal",
            Self::Dispute => "dispute",
            Self::Referee => "referee",
            Self::Receipt => "receipt",
            Self::LogAppend => "log append",
        }
    }
}

/// Everything that a span may say beside its name and its times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attribute {
    /// How the job is verified.
    Verification(Verification),
    /// `ok`, or a code of the index of errors.
    Outcome(&'static str),
    /// Leaves in a batch.
    Leaves(usize),
    /// Witnesses whose lines the checkpoint has.
    Cosignatures(usize),
}

impl Attribute {
    fn pair(self) -> KeyValue {
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        match self {
            Self::Verification(verification) => KeyValue::new(
                "verification",
                match verification {
                    Verification::Signed => "signed",
                    Verification::Quorum { .. } => "quorum",
                    Verification::Proof => "proof",
                },
            ),
            Self::Outcome(code) => KeyValue::new("outcome", code),
            Self::Leaves(count) => KeyValue::new("leaves", number(count)),
            Self::Cosignatures(count) => KeyValue::new("cosignatures", number(count)),
        }
    }
}

/// Makes spans, or does nothing. Clones share it.
#[derive(Clone, Default)]
pub struct Traces(Option<Arc<On>>);

struct On {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
}

/// The trace of one job. Clones share its root.
#[derive(Clone)]
pub struct JobTrace {
    root: Option<Context>,
    verification: Verification,
}

impl Traces {
    /// Sends spans to the collector at `address`, to `/v1/traces` over plain HTTP; `None` makes none.
    #[must_use]
    pub fn to(address: Option<SocketAddr>) -> Self {
        Self(address.map(|address| {
            let exporter = SpanExporter::builder()
                .with_http()
                .with_http_client(Collector { address, answers: AtomicBool::new(true) })
                .with_endpoint(format!("http://{address}/v1/traces"))
                .with_timeout(COLLECTOR_TIME)
                .build()
                .expect("an address makes a URL");
            let config = BatchConfigBuilder::default()
                .with_scheduled_delay(GATHER)
                .with_max_queue_size(WAITING_MAX)
                .build();
            let provider = SdkTracerProvider::builder()
                .with_span_processor(BatchSpanProcessor::builder(exporter).with_batch_config(config).build())
                // Empty at first: the default one says what it finds in the environment.
                .with_resource(Resource::builder_empty().with_service_name("sealgrid-node").build())
                .build();
            let tracer = provider.tracer("sealgrid-node");
            Arc::new(On { provider, tracer })
        }))
    }

    /// Whether spans are made at all.
    #[must_use]
    pub fn are_on(&self) -> bool {
        self.0.is_some()
    }

    /// Begins the trace of a job.
    #[must_use]
    pub fn job(&self, verification: Verification) -> JobTrace {
        let root = self.0.as_ref().map(|on| {
            let builder = on.tracer.span_builder(Step::Request.name());
            let builder = builder.with_attributes([Attribute::Verification(verification).pair()]);
            Context::new().with_span(builder.start_with_context(&on.tracer, &Context::new()))
        });
        JobTrace { root, verification }
    }

    /// A step that began at `started` and ends now: of `job`, or alone in a trace.
    pub fn step<const N: usize>(
        &self,
        job: Option<&JobTrace>,
        step: Step,
        started: SystemTime,
        attributes: [Attribute; N],
    ) {
        let Some(on) = &self.0 else { return };
        let alone = Context::new();
        let parent = job.and_then(|job| job.root.as_ref()).unwrap_or(&alone);
        let builder = on.tracer.span_builder(step.name()).with_start_time(started);
        let builder = builder.with_attributes(attributes.map(Attribute::pair));
        builder.start_with_context(&on.tracer, parent).end();
    }

    /// Sends what is left. Blocks for a moment.
    pub fn close(&self) {
        if let Some(on) = &self.0
            && on.provider.shutdown_with_timeout(LAST_SPANS).is_err()
        {
            tracing::debug!("the last spans did not reach the collector");
        }
    }
}

impl JobTrace {
    /// Whether one node answers alone, with a receipt.
    #[must_use]
    pub fn is_alone(&self) -> bool {
        self.verification.is_alone()
    }

    /// Ends the root.
    pub fn end(&self) {
        if let Some(root) = &self.root {
            root.span().end();
        }
    }
}

/// A client of one address, for the exporter's own thread, which may wait.
struct Collector {
    address: SocketAddr,
    answers: AtomicBool,
}

impl fmt::Debug for Collector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Collector({})", self.address)
    }
}

#[async_trait]
impl HttpClient for Collector {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let answer = post(self.address, request.uri().path(), request.body());
        if self.answers.swap(answer.is_ok(), Ordering::Relaxed) && answer.is_err() {
            tracing::warn!(address = %self.address, "the collector of traces does not answer; spans are dropped");
        }
        Ok(Response::builder().status(answer?).body(Bytes::new())?)
    }
}

/// One request of HTTP/1.1 on a connection of its own (RFC 9112); the status of the answer.
fn post(address: SocketAddr, path: &str, body: &[u8]) -> io::Result<u16> {
    let mut stream = TcpStream::connect_timeout(&address, COLLECTOR_TIME)?;
    stream.set_read_timeout(Some(COLLECTOR_TIME))?;
    stream.set_write_timeout(Some(COLLECTOR_TIME))?;
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/x-protobuf\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(body)?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer)?;
    let status = answer.strip_prefix(b"HTTP/1.1 ").and_then(|rest| rest.get(..3));
    let status = status.and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
    status.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "not an answer of HTTP/1.1"))
}
