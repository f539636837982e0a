//! The frozen job: one quorum of three in which one lies and a reserve judges, and one job with a single signer, message
//! by message (vectors/job).

use std::path::PathBuf;

use sealgrid_protocol::claims::{EvidenceKind, SignedClaims};
use sealgrid_protocol::job::evidence::{check_claims, check_dispute};
use sealgrid_protocol::job::header::{JobHeader, RefereeRule};
use sealgrid_protocol::job::message::{Assign, Exchange, Message, MessageError, Refusal, Why};
use serde_json::{Value, json};

use crate::grid::{CLIENT, Grid, header, honest, job_key, liar, public};

/// The grid of the frozen quorum.
pub fn disputed() -> Grid {
    let header = JobHeader { referee: RefereeRule::Reserve, ..header(3, 4) };
    Grid::with(header, vec![honest(), liar(1), honest(), honest()]).run()
}

fn kind(message: &Message) -> &'static str {
    match message {
        Message::Assign(_) => "assign",
        Message::Commit(_) => "commit",
        Message::Answer(_) => "answer",
        Message::Open(_) => "open",
        Message::Reveal(_) => "reveal",
        Message::AskBranches(_) => "ask_branches",
        Message::Branches(_) => "branches",
        Message::AskOperands(_) => "ask_operands",
        Message::Operands(_) => "operands",
        Message::Refer(_) => "refer",
        Message::Finding(_) => "finding",
        Message::Endorse(_) => "endorse",
        Message::Receipt(_) => "receipt",
        Message::Close(_) => "close",
        Message::Refuse(_) => "refuse",
    }
}

fn messages(grid: &Grid) -> Vec<(String, Message)> {
    let name = |actor| if actor == CLIENT { "client".to_owned() } else { format!("node{actor}") };
    let said = grid.transcript.iter().enumerate();
    said.map(|(number, said)| {
        let name = format!("{}-{number:02}-{}-to-{}", kind(&said.message), name(said.from), name(said.to));
        (name, said.message.clone())
    })
    .collect()
}

/// Every message of both jobs, and a refusal, each with a name that begins with its kind.
pub fn transcript() -> Vec<(String, Message)> {
    let grid = disputed();
    let refusal = Refusal { job: grid.job(), exchange: Exchange::Assign, why: Why::Busy };
    let signed = Grid::new(1, vec![honest()]).run();
    let close = Message::Close(grid.job());
    let mut said = messages(&grid);
    said.extend(messages(&signed));
    said.extend([("refuse".to_owned(), Message::Refuse(refusal)), ("close".to_owned(), close)]);
    said
}

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../vectors/job").join(name)
}

/// Compares with the frozen file; with `SEALGRID_BLESS` in the environment, writes it instead.
fn frozen(name: &str, value: &Value) {
    let text = format!("{value:#}\n");
    if std::env::var_os("SEALGRID_BLESS").is_some() {
        std::fs::create_dir_all(path("")).expect("the folder can be made");
        std::fs::write(path(name), &text).expect("the folder exists");
    }
    let stored = std::fs::read_to_string(path(name)).expect("a frozen file");
    assert!(stored == text, "{name} is made otherwise than it was frozen");
}

fn read(name: &str) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path(name)).expect("a frozen file")).expect("JSON")
}

fn bytes(value: &Value) -> Vec<u8> {
    hex::decode(value.as_str().expect("hexadecimal")).expect("hexadecimal")
}

#[test]
fn messages_are_made_again_and_read_back() {
    let said: Vec<_> = transcript()
        .iter()
        .map(|(name, message)| json!({ "name": name, "bytes": hex::encode(message.encode()) }))
        .collect();
    frozen(
        "messages.json",
        &json!({ "version": 1, "job_key": hex::encode(job_key().expose()), "messages": said }),
    );
    for message in read("messages.json")["messages"].as_array().expect("a list") {
        let bytes = bytes(&message["bytes"]);
        assert_eq!(Message::decode(&bytes).expect("a message").encode(), bytes, "{}", message["name"]);
    }
}

#[test]
fn evidence_is_made_again_and_still_convinces() {
    let grid = disputed();
    let evidence = |kind| hex::encode(grid.evidence(kind));
    frozen(
        "evidence.json",
        &json!({
            "version": 1,
            "job": hex::encode(grid.job().0.0),
            "header": evidence(EvidenceKind::Header),
            "votes": evidence(EvidenceKind::Votes),
            "dispute": evidence(EvidenceKind::Dispute),
            "receipt": hex::encode(&grid.accepted().receipt),
        }),
    );
    let frozen = read("evidence.json");
    let header = JobHeader::from_bytes(&bytes(&frozen["header"])).expect("a header");
    assert_eq!(hex::encode(header.id().0.0), frozen["job"]);
    let claims = SignedClaims::from_bytes(bytes(&frozen["receipt"])).verify().expect("a receipt");
    let (votes, dispute) = (bytes(&frozen["votes"]), bytes(&frozen["dispute"]));
    for key in [None, Some(&job_key())] {
        let judged = check_claims(&header, &claims, &votes, &dispute, key).expect("it holds");
        assert_eq!(judged.survivors, [public(0), public(2)]);
    }
}

/// Bytes that are no message, votes or dispute, and the code with which each is refused.
fn wrong() -> Vec<(&'static str, &'static str, Vec<u8>, &'static str)> {
    let grid = disputed();
    let (votes, dispute) = (grid.evidence(EvidenceKind::Votes), grid.evidence(EvidenceKind::Dispute));
    let close = Message::Close(grid.job()).encode();
    let with = |bytes: &[u8], at: usize, byte: u8| {
        let mut bytes = bytes.to_vec();
        bytes[at] = byte;
        bytes
    };
    vec![
        ("message with a byte behind", "message", [&close[..], &[0]].concat(), "E-QRM-11"),
        ("message cut short", "message", close[..close.len() - 1].to_vec(), "E-QRM-11"),
        ("message of version 2", "message", with(&close, 1, 2), "E-QRM-12"),
        ("no message at all", "message", Vec::new(), "E-QRM-11"),
        ("votes of version 2", "votes", with(&votes, 1, 2), "E-QRM-13"),
        ("votes cut short", "votes", votes[..votes.len() - 1].to_vec(), "E-QRM-13"),
        ("a vote whose signature is altered", "votes", with(&votes, 105, votes[105] ^ 1), "E-QRM-14"),
        ("dispute of version 2", "dispute", with(&dispute, 1, 2), "E-QRM-13"),
        (
            "a dispute that ends in another's signature",
            "dispute",
            with(&dispute, dispute.len() - 1, dispute[dispute.len() - 1] ^ 1),
            "E-QRM-15",
        ),
    ]
}

fn refused(kind: &str, bytes: &[u8], grid: &Grid) -> &'static str {
    use sealgrid_protocol::job::evidence::{Dispute, EvidenceError, Votes};
    let votes = || Votes::from_bytes(&grid.evidence(EvidenceKind::Votes)).expect("genuine");
    let judged = match kind {
        "message" => {
            return Message::decode(bytes).map_err(|error: MessageError| error.code()).expect_err(kind);
        }
        "votes" => Votes::from_bytes(bytes).and_then(|votes| {
            let dispute = Dispute::from_bytes(&grid.evidence(EvidenceKind::Dispute)).expect("genuine");
            check_dispute(&grid.header, &votes, Some(&dispute), None)
        }),
        _ => Dispute::from_bytes(bytes)
            .and_then(|dispute| check_dispute(&grid.header, &votes(), Some(&dispute), None)),
    };
    judged.map_err(|error: EvidenceError| error.code()).expect_err("it is wrong")
}

#[test]
fn wrong_bytes_are_refused_with_their_codes() {
    let cases: Vec<_> = wrong()
        .into_iter()
        .map(|(what, kind, bytes, code)| json!({ "what": what, "kind": kind, "bytes": hex::encode(bytes), "code": code }))
        .collect();
    frozen("wrong.json", &Value::Array(cases));
    let grid = disputed();
    for case in read("wrong.json").as_array().expect("a list") {
        let kind = case["kind"].as_str().expect("a word");
        assert_eq!(refused(kind, &bytes(&case["bytes"]), &grid), case["code"], "{}", case["what"]);
    }
}

/// The seeds from which the fuzzer of messages starts, one of each kind, are messages of the frozen job.
#[test]
fn the_corpus_of_messages_is_replayed() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/job_message");
    let mut seeds: Vec<(String, Vec<u8>)> = Vec::new();
    for (_, message) in transcript() {
        let name = kind(&message).to_owned();
        if !seeds.iter().any(|(known, _)| *known == name) {
            seeds.push((name, message.encode()));
        }
    }
    let grid = disputed();
    seeds.push(("payload".into(), crate::grid::payload().encode().expose().to_vec()));
    assert!(grid.said_by(CLIENT).any(|said| matches!(said, Message::Assign(assign) if is_whole(assign))));
    for (name, seed) in seeds {
        let file = folder.join(name);
        if std::env::var_os("SEALGRID_BLESS").is_some() {
            std::fs::create_dir_all(&folder).expect("the folder can be made");
            std::fs::write(&file, &seed).expect("the folder exists");
        }
        assert!(
            std::fs::read(&file).expect("a committed seed") == seed,
            "{} is written otherwise",
            file.display()
        );
    }
    for entry in std::fs::read_dir(&folder).expect("a committed corpus") {
        sealgrid_protocol::job::fuzz::message(
            &std::fs::read(entry.expect("an entry").path()).expect("an input"),
        );
    }
}

fn is_whole(assign: &Assign) -> bool {
    assign.header.check().is_ok() && assign.draft.is_none()
}
