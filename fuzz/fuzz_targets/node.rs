#![no_main]
#![expect(dead_code, reason = "the crates use more of these files than the target does")]

// By their paths: the crates around them bring a QUIC stack.
#[path = "../../crates/sealgrid-node/src/api.rs"]
mod api;
#[path = "../../crates/sealgrid-node/src/config.rs"]
mod config;
#[path = "../../crates/sealgrid-node/src/fault.rs"]
mod fault;
#[path = "../../crates/sealgrid-net/src/frame.rs"]
mod frame;
#[path = "../../crates/sealgrid-net/src/method.rs"]
mod method;

extern crate self as sealgrid_net;

pub use frame::Refusal;
pub use method::Method;

/// `sealgrid_net::KeyExchange`, which stands beside what it is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KeyExchange {
    #[default]
    HybridRequired,
    HybridPreferred,
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    api::fuzz_parse(bytes);
    config::fuzz_parse(bytes);
});
