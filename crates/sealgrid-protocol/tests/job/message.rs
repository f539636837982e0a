//! What is said: each kind reads back, in one spelling, within its own limit.

use std::collections::BTreeSet;

use sealgrid_protocol::job::message::{Exchange, Message, VOTES_BYTES_MAX, Why};
use sealgrid_seal::canonical;

use crate::grid::Grid;
use crate::vectors::transcript;

fn code(bytes: &[u8]) -> &'static str {
    Message::decode(bytes).expect_err("no message").code()
}

#[test]
fn every_kind_reads_back_and_has_one_spelling() {
    let mut kinds = BTreeSet::new();
    for (name, message) in transcript() {
        let bytes = message.encode();
        assert_eq!(Message::decode(&bytes), Ok(message.clone()), "{name}");
        assert_eq!(message.job(), Message::decode(&bytes).expect("read").job());
        assert_eq!(code(&[&bytes[..], &[0]].concat()), "E-QRM-11", "{name}: a byte behind");
        assert_eq!(code(&bytes[..bytes.len() - 1]), "E-QRM-11", "{name}: cut");
        kinds.insert(name.split('-').next().unwrap_or_default().to_owned());
    }
    // The kinds of `Message`, as the files in vectors/job are named.
    let all = [
        "answer",
        "assign",
        "ask_branches",
        "ask_operands",
        "branches",
        "close",
        "commit",
        "endorse",
        "finding",
        "open",
        "operands",
        "receipt",
        "refer",
        "refuse",
        "reveal",
    ];
    assert_eq!(kinds, all.map(str::to_owned).into());
}

#[test]
fn another_version_is_refused_by_its_own_code() {
    let (_, message) = transcript().swap_remove(0);
    let mut bytes = message.encode();
    assert_eq!(bytes[..2], [0x82, 1], "a version, then the message");
    bytes[1] = 2;
    assert_eq!(code(&bytes), "E-QRM-12");
    assert_eq!(
        Message::decode(&bytes).expect_err("newer").to_string(),
        "message of version 2 where 1 is understood"
    );
}

#[test]
fn each_exchange_has_its_own_limit() {
    let endorse = transcript().into_iter().find_map(|(_, message)| match message {
        Message::Endorse(endorse) => Some(endorse),
        _ => None,
    });
    let mut endorse = endorse.expect("an endorsement");
    endorse.votes = vec![0; 3 * VOTES_BYTES_MAX];
    let bytes = Message::Endorse(endorse).encode();
    assert!(bytes.len() < Exchange::Assign.bytes_max(), "an assignment could be as long");
    assert_eq!(code(&bytes), "E-QRM-11");
    let longest = vec![0; Exchange::Assign.bytes_max() + 1];
    assert_eq!(code(&longest), "E-QRM-11");
}

#[test]
fn questions_are_answered_in_their_exchange() {
    let grid = Grid::new(3, vec![crate::grid::honest(), crate::grid::liar(1), crate::grid::honest()]).run();
    for place in 0..3 {
        let asked: Vec<_> = grid
            .transcript
            .iter()
            .filter(|said| said.to == place && !matches!(said.message, Message::Close(_)))
            .map(|said| (said.message.is_question(), said.message.exchange()))
            .collect();
        let answered: Vec<_> =
            grid.said_by(place).map(|said| (!said.is_question(), said.exchange())).collect();
        let known = |pair: &&(bool, Exchange)| asked.contains(pair);
        assert_eq!(answered.iter().filter(known).count(), answered.len(), "an answer to nothing");
        assert!(asked.iter().all(|(question, _)| *question), "a client only asks");
    }
}

#[test]
fn reasons_of_a_refusal_have_distinct_codes_and_read_back() {
    let codes: BTreeSet<_> = Why::ALL.into_iter().map(Why::code).collect();
    assert_eq!(codes.len(), Why::ALL.len());
    for why in Why::ALL {
        assert_eq!(canonical::decode(&canonical::encode(&why), 8), Ok(why));
    }
}
