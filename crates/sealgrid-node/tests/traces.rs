//! A real collector of OpenTelemetry traces beside a real grid: what arrives, and what never does.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::*;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use sealgrid_node::client::Progress;
use sealgrid_node::fault::Fault;
use sealgrid_protocol::names::Verification;

/// Bodies that were posted, as they came.
type Posted = Arc<Mutex<Vec<Vec<u8>>>>;

/// A server of one route of HTTP/1.1; ends with the test's process.
fn collector() -> (SocketAddr, Posted) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("binds");
    let address = listener.local_addr().expect("bound");
    let posted = Posted::default();
    let keep = posted.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = BufReader::new(stream.expect("a caller"));
            let (mut line, mut length, mut first) = (String::new(), 0, String::new());
            while stream.read_line(&mut line).expect("readable") > 0 && line != "\r\n" {
                if first.is_empty() {
                    first.clone_from(&line);
                }
                if let Some((_, value)) = line.split_once("content-length:") {
                    length = value.trim().parse().expect("a number");
                }
                line.clear();
            }
            assert_eq!(first, "POST /v1/traces HTTP/1.1\r\n");
            let mut body = vec![0; length];
            stream.read_exact(&mut body).expect("whole");
            keep.lock().expect("not poisoned").push(body);
            stream.get_mut().write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").expect("writable");
        }
    });
    (address, posted)
}

fn spans(posted: &Posted) -> Vec<Span> {
    let bodies = posted.lock().expect("not poisoned");
    let requests = bodies.iter().map(|body| ExportTraceServiceRequest::decode(&body[..]).expect("OTLP"));
    requests
        .flat_map(|request| request.resource_spans)
        .inspect(|of_resource| {
            let resource = of_resource.resource.as_ref().expect("it says which program");
            let keys: Vec<_> = resource.attributes.iter().map(|attribute| attribute.key.as_str()).collect();
            assert_eq!(keys, ["service.name"]);
        })
        .flat_map(|of_resource| of_resource.scope_spans)
        .flat_map(|of_scope| of_scope.spans)
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spans_of_a_job_arrive_and_say_nothing_of_whose_it_is_or_what_is_in_it() {
    let (address, posted) = collector();
    let grid = Grid::start_traced(5, &[(5, Fault::Lie)], address);
    let client = grid.client(1).await;
    let mut outcomes = Vec::new();
    let mut members = 0;
    let mut lied = false;
    // Until the liar sat in a committee, so that there was a dispute too.
    while !lied {
        let job = grid.job(Verification::Quorum { members: 3 }, 2);
        let mut count = |step| {
            if let Progress::Drawn { committee, .. } = step {
                members += committee.len();
            }
        };
        outcomes.push(client.run(job, &mut count).await.expect("accepted"));
        lied = outcomes.last().is_some_and(|outcome| !outcome.claims.faults.is_empty());
    }
    outcomes.push(client.run(grid.job(Verification::Signed, 2), &mut quiet()).await.expect("accepted"));
    members += 1;

    let is_root = |span: &&Span| span.name == "request";
    let names = |spans: &[Span]| spans.iter().map(|span| span.name.clone()).collect::<BTreeSet<_>>();
    let wanted =
        ["request", "assign", "execute", "commit", "reveal", "dispute", "referee", "receipt", "log append"];
    let wanted: BTreeSet<String> = wanted.map(str::to_owned).into();
    for _ in 0..600 {
        let spans = spans(&posted);
        if names(&spans) == wanted && spans.iter().filter(is_root).count() >= members {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let spans = spans(&posted);
    assert_eq!(names(&spans), wanted);

    // One trace a job and node: nothing names a job across nodes, or a client across jobs.
    let mut traces: BTreeMap<&[u8], Vec<&Span>> = BTreeMap::new();
    for span in &spans {
        traces.entry(&span.trace_id).or_default().push(span);
    }
    assert_eq!(spans.iter().filter(is_root).count(), members);
    for of_trace in traces.values() {
        let roots: Vec<_> = of_trace.iter().filter(|span| span.parent_span_id.is_empty()).collect();
        assert_eq!(roots.len(), 1);
        assert!(["request", "referee", "log append"].contains(&roots[0].name.as_str()), "{}", roots[0].name);
        let below = of_trace.iter().filter(|span| !span.parent_span_id.is_empty());
        assert!(below.into_iter().all(|span| span.parent_span_id == roots[0].span_id));
        assert!(of_trace.iter().all(|span| span.end_time_unix_nano >= span.start_time_unix_nano));
    }

    // An allow-list of keys, of words, and of numbers that are counts.
    for span in &spans {
        assert!(span.links.is_empty() && span.events.is_empty() && span.trace_state.is_empty());
        for attribute in &span.attributes {
            match (attribute.key.as_str(), attribute.value.as_ref().and_then(|value| value.value.as_ref())) {
                ("verification", Some(Value::StringValue(word))) => {
                    assert!(word == "signed" || word == "quorum");
                }
                ("outcome", Some(Value::StringValue(word))) => {
                    assert!(word == "ok" || word.starts_with("E-"));
                }
                ("leaves" | "cosignatures", Some(Value::IntValue(0..100))) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    // And the bytes themselves, in whatever place: no identity, no digest, no name, no address, no content.
    let mut secrets: Vec<(&str, Vec<u8>)> = vec![
        ("client", client.identity().0.to_vec()),
        ("model", grid.commitment().0.0.to_vec()),
        ("model's name", b"small".to_vec()),
        ("input", inputs_as_bytes()),
        ("operator", b"operator-".to_vec()),
        ("grid", b"local grid".to_vec()),
        ("log", b"sealgrid.local".to_vec()),
        ("address", b"127.0.0.1".to_vec()),
    ];
    secrets.extend(grid.nodes.iter().map(|node| ("node", node.identity.0.to_vec())));
    for outcome in &outcomes {
        let claims = &outcome.claims;
        secrets.extend([
            ("job", claims.job.0.0.to_vec()),
            ("nonce", claims.nonce.to_vec()),
            ("input's commitment", claims.input.0.to_vec()),
            ("output's commitment", claims.output.0.to_vec()),
            ("policy", claims.policy.0.to_vec()),
            ("directory", claims.directory.0.to_vec()),
        ]);
    }
    let bodies = posted.lock().expect("not poisoned").concat();
    for (what, bytes) in secrets {
        // Half of a digest, or a word, in raw bytes or as text.
        let part = &bytes[..bytes.len().min(16)];
        let text = hex::encode(part).into_bytes();
        for needle in [part, &text] {
            assert!(!bodies.windows(needle.len()).any(|window| window == needle), "{what} is in a trace");
        }
    }
}

fn inputs_as_bytes() -> Vec<u8> {
    match records(1)[0].data() {
        sealgrid_graph::tensor::Data::I8(elements) => {
            elements.iter().map(|element| element.to_le_bytes()[0]).collect()
        }
        _ => unreachable!("the small model takes bytes"),
    }
}
