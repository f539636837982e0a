//! A marked record goes through a real grid, and nothing of it is found anywhere but in its owner's process and in the
//! nodes that execute it: in no packet, no file, no log line, no error, no metric, no other node's memory.
//!
//! Every node is behind a forwarder that keeps each datagram it passes on. The same search is run over places that do
//! hold the marks, so that finding nothing means something.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use sealgrid_graph::execute::{Batch, Executor as _};
use sealgrid_graph::model::Model;
use sealgrid_graph::reference::Reference;
use sealgrid_node::config::{Anyone, Clients, NodeConfig};
use sealgrid_node::directory::Loaded;
use sealgrid_node::grid::{GridFiles, GridPlan};
use sealgrid_node::jobs::now;
use sealgrid_protocol::receipt::ReceiptFile;
use sealgrid_seal::identity::SigningIdentity;
use sealgrid_seal::keyfile::Cost;
use sealgrid_seal::secret::{Secret, SecretBytes};
use sealgrid_verify::TrustRoots;

use crate::common::*;

const PASSPHRASE: &str = "of a canary";
const NODES: usize = 5;
/// Records of the job: enough that their outputs side by side are a mark too.
const RECORDS: usize = 64;

/// Finds any of several byte strings in one pass.
struct Search {
    marks: Vec<(&'static str, Vec<u8>)>,
    by_start: HashMap<[u8; 4], Vec<usize>>,
    starts: Vec<bool>,
}

impl Search {
    fn new(marks: Vec<(&'static str, Vec<u8>)>) -> Self {
        let mut by_start: HashMap<[u8; 4], Vec<usize>> = HashMap::new();
        let mut starts = vec![false; 1 << 16];
        for (index, (name, mark)) in marks.iter().enumerate() {
            assert!(mark.len() >= 12, "{name} is long enough to be unique");
            let start = *mark.first_chunk().expect("long");
            by_start.entry(start).or_default().push(index);
            starts[usize::from(u16::from_le_bytes([start[0], start[1]]))] = true;
        }
        Self { marks, by_start, starts }
    }

    fn find(&self, haystack: &[u8]) -> Vec<&'static str> {
        let mut found = Vec::new();
        for at in 0..haystack.len().saturating_sub(3) {
            if !self.starts[usize::from(u16::from_le_bytes([haystack[at], haystack[at + 1]]))] {
                continue;
            }
            let start: &[u8; 4] = haystack[at..].first_chunk().expect("four are left");
            for &index in self.by_start.get(start).into_iter().flatten() {
                let (name, mark) = &self.marks[index];
                if haystack[at..].starts_with(mark) && !found.contains(name) {
                    found.push(*name);
                }
            }
        }
        found
    }

    fn nowhere_in(&self, place: &str, haystack: &[u8]) {
        assert_eq!(self.find(haystack), [""; 0], "found in {place}");
    }
}

/// Every datagram that went to or from one node.
struct Forwarder {
    kept: Arc<Mutex<Vec<u8>>>,
}

impl Forwarder {
    /// Listens on `outside` and forwards to `inside` and back, one socket a caller.
    fn start(outside: SocketAddr, inside: SocketAddr) -> Self {
        let kept = Arc::new(Mutex::new(Vec::new()));
        let front = Arc::new(UdpSocket::bind(outside).expect("free"));
        let (keep, callers) =
            (kept.clone(), Arc::new(Mutex::new(HashMap::<SocketAddr, Arc<UdpSocket>>::new())));
        std::thread::spawn(move || {
            let mut datagram = vec![0; 1 << 16];
            while let Ok((length, caller)) = front.recv_from(&mut datagram) {
                note(&keep, &datagram[..length]);
                let mut callers = callers.lock().unwrap_or_else(PoisonError::into_inner);
                let back = callers.entry(caller).or_insert_with(|| {
                    let back = Arc::new(UdpSocket::bind("127.0.0.1:0").expect("a port"));
                    let (front, answers, keep) = (front.clone(), back.clone(), keep.clone());
                    std::thread::spawn(move || {
                        let mut datagram = vec![0; 1 << 16];
                        while let Ok((length, _)) = answers.recv_from(&mut datagram) {
                            note(&keep, &datagram[..length]);
                            // loss is QUIC's to repair
                            let _lost = front.send_to(&datagram[..length], caller);
                        }
                    });
                    back
                });
                let _lost = back.send_to(&datagram[..length], inside);
            }
        });
        Self { kept }
    }
}

fn note(kept: &Mutex<Vec<u8>>, datagram: &[u8]) {
    kept.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(datagram);
}

/// A grid of node processes of the test's own, each behind its forwarder.
struct Watched {
    files: GridFiles,
    nodes: Vec<Child>,
    metrics: Vec<SocketAddr>,
    forwarders: Vec<Forwarder>,
}

impl Watched {
    fn start(home: &Home, model: &Path) -> Self {
        let authority = SigningIdentity::from_seed(&Secret::new([77; 32]));
        let plan = GridPlan {
            nodes: NODES,
            models: vec![model.to_owned()],
            cost: Cost::LEAST,
            ..GridPlan::default()
        };
        let passphrase = SecretBytes::new(PASSPHRASE.as_bytes().to_vec());
        let files = plan.lay_out(&home.path("grid"), &authority, &passphrase, now()).expect("laid out");
        let loaded = Loaded::from_file(&files.directory, &files.authority).expect("verifies");
        let roots = TrustRoots::danger_from_directory(&loaded.directory, 1).expect("roots");
        let folder = home.path("grid/roots");
        std::fs::create_dir(&folder).expect("made");
        let (authority, log) = roots.to_files();
        std::fs::write(folder.join(TrustRoots::AUTHORITY_FILE), authority).expect("written");
        std::fs::write(folder.join(TrustRoots::LOG_FILE), log).expect("written");

        let (mut nodes, mut metrics, mut forwarders) = (Vec::new(), Vec::new(), Vec::new());
        for (index, path) in files.configs.iter().enumerate() {
            // Written as it will be read: paths count from its folder again.
            let mut config = NodeConfig::parse(&std::fs::read(path).expect("there")).expect("valid");
            let outside = config.network.listen[0];
            let inside = free_port();
            config.network.listen = vec![inside];
            config.network.clients = Clients::Anyone(Anyone::Anyone);
            config.telemetry.metrics = Some(free_tcp_port());
            metrics.push(config.telemetry.metrics.expect("set"));
            std::fs::write(path, config.to_toml()).expect("written");
            forwarders.push(Forwarder::start(outside, inside));
            let log = std::fs::File::create(home.path(&format!("node-{index}.log"))).expect("made");
            let mut node = home
                .command(&["node", "--with-parent", "--config", text(path)])
                .env("SEALGRID_PASSPHRASE", PASSPHRASE)
                .env("SEALGRID_LOG", "trace")
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(log)
                .spawn()
                .expect("starts");
            let mut line = String::new();
            BufReader::new(node.stdout.take().expect("piped")).read_line(&mut line).expect("a line");
            assert!(line.starts_with("ready"), "{line}");
            nodes.push(node);
        }
        Self { files, nodes, metrics, forwarders }
    }

    /// Places of the nodes that executed the job of this receipt.
    fn executed(&self, receipt: &Path) -> Vec<usize> {
        let file = ReceiptFile::decode(&std::fs::read(receipt).expect("written")).expect("a receipt");
        let claims = file.claims().expect("signed");
        let ran = |node: &_| claims.committee.contains(node) || claims.reserves_used.contains(node);
        (0..NODES).filter(|place| ran(&self.files.nodes[*place])).collect()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        for node in &mut self.nodes {
            let _ended = node.kill();
            let _reaped = node.wait();
        }
    }
}

fn free_port() -> SocketAddr {
    UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port")
}

fn free_tcp_port() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port")
}

/// Writable memory of a process, region by region.
fn memory(pid: u32, mut each: impl FnMut(&[u8])) -> usize {
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).expect("a child's map");
    let file = std::fs::File::open(format!("/proc/{pid}/mem")).expect("a child's memory");
    let mut read = 0;
    for line in maps.lines().filter(|line| line.split(' ').nth(1).is_some_and(|is| is.starts_with("rw"))) {
        let (start, end) = line.split(' ').next().and_then(|range| range.split_once('-')).expect("a range");
        let start = u64::from_str_radix(start, 16).expect("hex");
        let end = u64::from_str_radix(end, 16).expect("hex");
        let mut region = vec![0; usize::try_from(end - start).expect("fits")];
        // a region may have gone meanwhile
        if file.read_exact_at(&mut region, start).is_ok() {
            read += region.len();
            each(&region);
        }
    }
    read
}

fn files_under(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.flat_map(|path| if path.is_dir() { files_under(&path) } else { vec![path] }).collect()
}

fn scrape(address: SocketAddr) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).expect("listens");
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").expect("sent");
    let mut text = Vec::new();
    stream.read_to_end(&mut text).expect("answered");
    assert!(String::from_utf8_lossy(&text).contains("sealgrid_"));
    text
}

/// Records whose numbers occur nowhere else, by the names that the model takes.
fn records(model: &Model) -> Vec<Vec<f64>> {
    let ranges = std::fs::read_to_string(test_data("breast-cancer")).expect("shipped");
    let mut lines = csv::Reader::from_reader(ranges.as_bytes());
    let header = lines.headers().expect("a header").clone();
    let columns = &model.card().inputs[0].columns;
    let places: Vec<usize> = columns
        .iter()
        .map(|name| header.iter().position(|column| column == name).expect("a column"))
        .collect();
    let rows = lines.records().map(|row| row.expect("a row")).take(RECORDS);
    rows.enumerate()
        .map(|(at, row)| {
            let value = |place: &usize| row[*place].parse::<f64>().expect("a number");
            // Digits behind what was measured make every number one of its own.
            places.iter().map(|place| value(place) + 0.000_000_123_456_7 * (at + place + 1) as f64).collect()
        })
        .collect()
}

fn marks(
    model: &Model,
    rows: &[Vec<f64>],
    name: &'static str,
    id: &'static str,
) -> Vec<(&'static str, Vec<u8>)> {
    let inputs = vec![model.card().inputs[0].encode(rows).expect("encodes")];
    let outputs =
        Reference.prepare(model.graph().clone()).expect("prepares").run(&inputs, &mut ()).expect("runs");
    let bytes = |batch: &Batch| batch.data().view().le_bytes().into_owned();
    let row = &rows[7];
    let decimal = row[..3].iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    let digits = row[4].to_string();
    vec![
        ("the records as the model takes them", bytes(&inputs[0])[5 * 30..7 * 30].to_vec()),
        ("the outputs", bytes(&outputs[0])[..32].to_vec()),
        ("a line of the file", decimal.into_bytes()),
        ("one number in decimal", digits.into_bytes()),
        ("numbers as f64", row[..3].iter().flat_map(|value| value.to_le_bytes()).collect()),
        ("numbers as f32", row[..4].iter().flat_map(|value| (*value as f32).to_le_bytes()).collect()),
        (
            "numbers as i32",
            bytes(&inputs[0])[7 * 30..7 * 30 + 4]
                .iter()
                .flat_map(|value| i32::from(value.cast_signed()).to_le_bytes())
                .collect(),
        ),
        ("the file's name", name.as_bytes().to_vec()),
        ("a patient's name", id.as_bytes().to_vec()),
    ]
}

#[test]
fn a_marked_record_is_found_with_its_owner_and_its_executing_nodes_alone() {
    let home = Home::new();
    let model_file = home.import("breast-cancer-mlp", "breast-cancer");
    let model = Model::from_bytes(&std::fs::read(&model_file).expect("written")).expect("a model");
    let rows = records(&model);
    let (name, id) = ("marked-file-5b1d9c", "patient-marked-77aa41e0");
    let search = Search::new(marks(&model, &rows, name, id));

    // The owner's files, apart from everything that is searched.
    let own = tempfile::tempdir().expect("a folder");
    let input = own.path().join(format!("{name}.csv"));
    let columns = model.card().inputs[0].columns.join(",");
    let line = |(at, row): (usize, &Vec<f64>)| {
        let values: Vec<String> = row.iter().map(ToString::to_string).collect();
        format!("{id}-{at},{}\n", values.join(","))
    };
    let lines: String = rows.iter().enumerate().map(line).collect();
    std::fs::write(&input, format!("patient,{columns}\n{lines}")).expect("written");
    let out = own.path().join("results.csv");

    let grid = Watched::start(&home, &model_file);
    let mut said = String::new();
    let mut executed = Vec::new();
    for (at, verify) in ["signed", "quorum:3"].into_iter().enumerate() {
        let receipt = home.path(&format!("{at}.receipt"));
        let job = ["run", text(&model_file), "--grid", "grid", "--protect", "sealed", "--verify", verify];
        let files = [
            "--input",
            text(&input),
            "--id-col",
            "patient",
            "--out",
            text(&out),
            "--receipt",
            text(&receipt),
        ];
        let ran = home.run(&[&job[..], &files].concat());
        assert_eq!(ran.status, 0, "{}", ran.stderr);
        executed.extend(grid.executed(&receipt));
        // The owner's terminal says where the results are; nothing else of the file.
        said.push_str(&(ran.stdout + &ran.stderr).replace(text(own.path()), ""));
    }
    // Errors about such records, too.
    let spoilt = own.path().join("spoilt.csv");
    std::fs::write(
        &spoilt,
        format!(
            "patient,{columns}\n{}",
            lines.replacen(&rows[7][4].to_string(), &format!("{}x", rows[7][4]), 1)
        ),
    )
    .expect("written");
    for arguments in [
        vec!["run", text(&model_file), "--grid", "grid", "--input", text(&spoilt), "--id-col", "patient"],
        vec![
            "run",
            text(&model_file),
            "--grid",
            "grid",
            "--input",
            text(&input),
            "--id-col",
            "patient",
            "--verify",
            "quorum:9",
        ],
        vec!["run", text(&model_file), "--grid", "grid", "--input", text(&input), "--id-col", "nobody"],
    ] {
        let ran = home.run(&arguments);
        assert_ne!(ran.status, 0);
        said.push_str(
            &(ran.stdout + &ran.stderr).replace(text(own.path()), "").replace(&format!("{name}.csv"), ""),
        );
    }
    search.nowhere_in("what the program said", said.as_bytes());

    // The search finds what is there.
    let mut plain = Vec::new();
    for (_, mark) in &search.marks {
        plain.extend_from_slice(b"....");
        plain.extend_from_slice(mark);
    }
    let all: Vec<&str> = search.marks.iter().map(|(name, _)| *name).collect();
    assert_eq!(search.find(&plain), all);
    let mut here = Vec::new();
    memory(std::process::id(), |region| here.extend(search.find(region)));
    assert!(all.iter().all(|mark| here.contains(mark)), "in this process's own memory: {here:?}");

    let sealed = rows.len() * 30;
    for (place, forwarder) in grid.forwarders.iter().enumerate() {
        let packets = forwarder.kept.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if executed.contains(&place) {
            assert!(packets.len() > sealed, "the job went through the forwarder of node {place}");
        }
        search.nowhere_in(&format!("a packet of node {place}"), &packets);
    }
    for (place, metrics) in grid.metrics.iter().enumerate() {
        search.nowhere_in(&format!("the metrics of node {place}"), &scrape(*metrics));
    }
    let mut idle = 0;
    for (place, node) in grid.nodes.iter().enumerate().filter(|(place, _)| !executed.contains(place)) {
        let read =
            memory(node.id(), |region| search.nowhere_in(&format!("the memory of node {place}"), region));
        assert!(read > 1 << 20);
        idle += 1;
    }
    assert!(idle > 0, "five nodes, of which at most four executed");
    drop(grid);
    let files = files_under(home.folder.path());
    assert!(
        files.iter().any(|path| path.ends_with("state.redb"))
            && files.iter().any(|path| path.ends_with("node-0.log"))
    );
    for path in files {
        search.nowhere_in(&path.display().to_string(), &std::fs::read(&path).expect("readable"));
    }
    search.nowhere_in("names of files", format!("{:?}", files_under(home.folder.path())).as_bytes());
}
