//! What an operator may see: counts and durations under labels that are Rust enums or the program's own words.
//!
//! *Content-free by type*: a label's value comes from [`LogSafe`], a sealed trait of types that cannot carry a byte
//! of a request. There is no metric with a free text label, so none can leak one.

use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use sealgrid_net::observe::{Exchange, TurnedAway};
use sealgrid_net::{NetEvent, Observer};
use tokio::net::TcpListener;

use crate::fault::Fault;

/// Marks what may appear in logs and metrics: types whose every value was written by a programmer.
pub trait LogSafe: sealed::Sealed {
    /// The word to show.
    fn word(&self) -> &'static str;
}

mod sealed {
    pub trait Sealed {}
}

/// A word of the program's own: a method's name, an error's code. Only a `&'static str` makes one; text of a
/// request is never `'static` unless somebody leaks it on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Word(pub &'static str);

impl sealed::Sealed for Word {}
impl LogSafe for Word {
    fn word(&self) -> &'static str {
        self.0
    }
}

impl sealed::Sealed for Fault {}
impl LogSafe for Fault {
    fn word(&self) -> &'static str {
        match self {
            Self::Lie => "lie",
            Self::Slow => "slow",
            Self::Crash => "crash",
        }
    }
}

/// A label's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Safe<T: LogSafe>(T);

impl<T: LogSafe + std::fmt::Debug> EncodeLabelValue for Safe<T> {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), std::fmt::Error> {
        self.0.word().encode(encoder)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabels {
    method: Safe<Word>,
    outcome: Safe<Word>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct MethodLabels {
    method: Safe<Word>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    outcome: Safe<Word>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabels {
    kind: Safe<Fault>,
}

/// The metrics of one node. Clones share them.
#[derive(Clone)]
pub struct Metrics {
    registry: Arc<Registry>,
    connections: Gauge,
    turned_away: Family<OutcomeLabels, Counter>,
    served: Family<CallLabels, Counter>,
    served_seconds: Family<MethodLabels, Histogram>,
    called: Family<CallLabels, Counter>,
    request_bytes: Family<MethodLabels, Counter>,
    response_bytes: Family<MethodLabels, Counter>,
    jobs: Family<OutcomeLabels, Counter>,
    run_seconds: Histogram,
    kept_seconds: Histogram,
    /// Jobs accepted and not yet over.
    pub jobs_open: Gauge,
    /// Tasks waiting for a worker.
    pub tasks_waiting: Gauge<i64, AtomicI64>,
    /// 1 while the node finishes what it has and takes nothing new.
    pub draining: Gauge,
}

impl Metrics {
    /// Fresh metrics, all zero.
    #[must_use]
    pub fn new(fault: Option<Fault>) -> Self {
        let seconds = || Histogram::new(exponential_buckets(0.000_1, 4.0, 10));
        let mut metrics = Self {
            registry: Arc::default(),
            connections: Gauge::default(),
            turned_away: Family::default(),
            served: Family::default(),
            served_seconds: Family::new_with_constructor(seconds),
            called: Family::default(),
            request_bytes: Family::default(),
            response_bytes: Family::default(),
            jobs: Family::default(),
            run_seconds: seconds(),
            kept_seconds: seconds(),
            jobs_open: Gauge::default(),
            tasks_waiting: Gauge::default(),
            draining: Gauge::default(),
        };
        metrics.registry = Arc::new(metrics.register(fault));
        metrics
    }

    fn register(&self, fault: Option<Fault>) -> Registry {
        let mut registry = Registry::with_prefix("sealgrid");
        registry.register("connections", "Connections taken in", self.connections.clone());
        registry.register("turned_away", "Peers turned away, by code", self.turned_away.clone());
        registry.register("served", "Requests answered, by method and outcome", self.served.clone());
        registry.register("served_seconds", "Time to answer a request", self.served_seconds.clone());
        registry.register("called", "Requests made, by method and outcome", self.called.clone());
        registry.register("request_bytes", "Bytes of requests answered", self.request_bytes.clone());
        registry.register("response_bytes", "Bytes of answers given", self.response_bytes.clone());
        registry.register("jobs", "Jobs, by outcome", self.jobs.clone());
        registry.register("run_seconds", "Time of one run of a model", self.run_seconds.clone());
        let kept = "Time until what a job's answer waits for was durable: the disk's";
        registry.register("kept_seconds", kept, self.kept_seconds.clone());
        registry.register("jobs_open", "Jobs accepted and not yet over", self.jobs_open.clone());
        registry.register("tasks_waiting", "Tasks waiting for a worker", self.tasks_waiting.clone());
        registry.register("draining", "1 while the node takes nothing new", self.draining.clone());
        if let Some(kind) = fault {
            let faults = Family::<KindLabels, Gauge>::default();
            faults.get_or_create(&KindLabels { kind: Safe(kind) }).set(1);
            registry.register("fault", "This node misbehaves ON PURPOSE (configuration: fault)", faults);
        }
        registry
    }

    /// A job came to an end, or a request about it was refused under a code.
    pub fn job(&self, outcome: &'static str) {
        self.jobs.get_or_create(&OutcomeLabels { outcome: Safe(Word(outcome)) }).inc();
    }

    /// A model ran.
    pub fn ran(&self, duration: Duration) {
        self.run_seconds.observe(duration.as_secs_f64());
    }

    /// The disk kept what a job's answer waits for.
    pub fn kept(&self, duration: Duration) {
        self.kept_seconds.observe(duration.as_secs_f64());
    }

    /// OpenMetrics text.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry)
            .expect("writing to a String does not fail");
        text
    }

    /// Serves `GET /metrics` on `listener` until dropped.
    pub async fn serve(self, listener: TcpListener) {
        const TYPE: [(&str, &str); 1] =
            [("content-type", "application/openmetrics-text; version=1.0.0; charset=utf-8")];
        let page = axum::routing::get(move || std::future::ready((TYPE, self.text())));
        let router = axum::Router::new().route("/metrics", page);
        if let Err(error) = axum::serve(listener, router).await {
            tracing::warn!(kind = ?error.kind(), "the metrics endpoint ended");
        }
    }

    fn count(calls: &Family<CallLabels, Counter>, exchange: &Exchange) {
        let (method, outcome) = (Safe(Word(exchange.method)), Safe(Word(exchange.outcome)));
        calls.get_or_create(&CallLabels { method, outcome }).inc();
    }
}

impl Observer for Metrics {
    fn record(&self, event: NetEvent) {
        match event {
            NetEvent::Connected => drop(self.connections.inc()),
            NetEvent::Disconnected => drop(self.connections.dec()),
            NetEvent::TurnedAway(why) => self.turned_away(why),
            NetEvent::Called(exchange) => Self::count(&self.called, &exchange),
            NetEvent::Served(exchange) => {
                Self::count(&self.served, &exchange);
                let method = MethodLabels { method: Safe(Word(exchange.method)) };
                self.served_seconds.get_or_create(&method).observe(exchange.duration.as_secs_f64());
                self.request_bytes.get_or_create(&method).inc_by(exchange.request_bytes);
                self.response_bytes.get_or_create(&method).inc_by(exchange.response_bytes);
            }
        }
    }
}

impl Metrics {
    fn turned_away(&self, why: TurnedAway) {
        self.turned_away.get_or_create(&OutcomeLabels { outcome: Safe(Word(why.code())) }).inc();
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[test]
    fn a_fault_is_announced_and_an_honest_node_has_no_such_metric() {
        assert!(Metrics::new(Some(Fault::Lie)).text().contains("sealgrid_fault{kind=\"lie\"} 1"));
        assert!(!Metrics::new(None).text().contains("sealgrid_fault"));
    }

    #[tokio::test]
    async fn the_endpoint_shows_what_was_recorded() {
        let metrics = Metrics::new(None);
        metrics.record(NetEvent::TurnedAway(TurnedAway::Identity));
        metrics.record(NetEvent::Served(Exchange {
            method: "assign",
            outcome: "ok",
            request_bytes: 10,
            response_bytes: 20,
            duration: Duration::from_millis(1),
        }));
        metrics.job("answered");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let address = listener.local_addr().expect("bound");
        tokio::spawn(metrics.serve(listener));
        let mut stream = tokio::net::TcpStream::connect(address).await.expect("connects");
        stream
            .write_all(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
            .await
            .expect("written");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("text");
        for line in [
            "HTTP/1.1 200 OK",
            "sealgrid_turned_away_total{outcome=\"E-NET-03\"} 1",
            "sealgrid_served_total{method=\"assign\",outcome=\"ok\"} 1",
            "sealgrid_request_bytes_total{method=\"assign\"} 10",
            "sealgrid_jobs_total{outcome=\"answered\"} 1",
        ] {
            assert!(answer.contains(line), "{line} is missing in:\n{answer}");
        }
    }
}
