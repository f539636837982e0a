//! `sealgrid doctor`: what this machine can do, and what would go wrong here.

use std::net::UdpSocket;
use std::path::Path;

use sealgrid_seal::digest::labels;
use sealgrid_seal::envelope::{JobKeyPair, seal};
use sealgrid_seal::secret::Secret;

use crate::failure::Failure;
use crate::home::Home;
use crate::output::{Report, table};

/// How one check came out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// As it should be.
    Good,
    /// Works, with less than there could be.
    Note,
    /// Commands will fail.
    Bad,
}

struct Check {
    name: &'static str,
    state: State,
    found: String,
}

/// Runs every check; exit 5 when one is bad.
pub fn run(home: &Home) -> Result<Report, Failure> {
    let checks =
        [kernels(), cores(), memory(), writable(home.path()), loopback(), sealing(), clock(), hardware()];
    let mut out = table(["check", "", "found"]);
    for check in &checks {
        out.add_row([check.name, check.state.word(), check.found.as_str()]);
    }
    let bad = checks.iter().filter(|check| check.state == State::Bad).count();
    let text = format!("{out}\n{}", if bad == 0 { "ready" } else { "not ready: see the lines marked BAD" });
    let json = serde_json::json!({
        "ready": bad == 0,
        "checks": checks.iter().map(|check| serde_json::json!({
            "name": check.name, "state": check.state.word(), "found": check.found,
        })).collect::<Vec<_>>(),
    });
    Ok(Report::new(text, json).exit(if bad == 0 { 0 } else { 5 }))
}

impl State {
    const fn word(self) -> &'static str {
        match self {
            Self::Good => "ok",
            Self::Note => "note",
            Self::Bad => "BAD",
        }
    }
}

fn kernels() -> Check {
    let found = crate::engines::kernels();
    let state = if found == "Portable" { State::Note } else { State::Good };
    Check { name: "integer kernels", state, found }
}

fn cores() -> Check {
    let count = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    Check { name: "processors", state: State::Good, found: count.to_string() }
}

/// Available memory as the kernel tells it; a local grid of five nodes takes about half a gibibyte.
fn memory() -> Check {
    const NEEDED_KIB: u64 = 512 * 1024;
    let available = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
        line.trim().trim_end_matches(" kB").parse::<u64>().ok()
    });
    match available {
        None => Check { name: "memory", state: State::Note, found: "unknown on this system".to_owned() },
        Some(kib) => Check {
            name: "memory",
            state: if kib < NEEDED_KIB { State::Bad } else { State::Good },
            found: format!("{} MiB available", kib / 1024),
        },
    }
}

fn writable(dir: &Path) -> Check {
    let name = "home folder";
    let tried = std::fs::create_dir_all(dir).and_then(|()| {
        let path = dir.join(".doctor");
        std::fs::write(&path, b"")?;
        std::fs::remove_file(&path)
    });
    match tried {
        Ok(()) => Check { name, state: State::Good, found: dir.display().to_string() },
        Err(error) => Check { name, state: State::Bad, found: format!("{}: {error}", dir.display()) },
    }
}

fn loopback() -> Check {
    match UdpSocket::bind("127.0.0.1:0") {
        Ok(_) => {
            Check { name: "loopback UDP", state: State::Good, found: "a socket can be bound".to_owned() }
        }
        Err(error) => Check { name: "loopback UDP", state: State::Bad, found: error.to_string() },
    }
}

/// Seals and opens once, so that a processor on which the cryptography fails is found here.
fn sealing() -> Check {
    let name = "sealing";
    let mut rng = crate::entropy();
    let pair = JobKeyPair::from_seed(Secret::random(&mut rng));
    let opened = seal(&mut rng, pair.public(), labels::JOB_INPUT, b"", b"doctor")
        .and_then(|(sealed, _)| pair.open(labels::JOB_INPUT, b"", &sealed));
    match opened {
        Ok(_) => Check { name, state: State::Good, found: "X-Wing, AES-256-GCM".to_owned() },
        Err(error) => Check { name, state: State::Bad, found: error.to_string() },
    }
}

fn clock() -> Check {
    /// 2026-01-01, before which this program did not exist.
    const EARLIEST_MS: u64 = 1_767_225_600_000;
    let now = crate::now();
    let state = if now < EARLIEST_MS { State::Bad } else { State::Good };
    let found = if state == State::Good { "plausible" } else { "before 2026: set it" };
    Check { name: "clock", state, found: found.to_owned() }
}

fn hardware() -> Check {
    let devices =
        [("/dev/tdx_guest", "Intel TDX"), ("/dev/sev-guest", "AMD SEV-SNP"), ("/dev/tpm0", "TPM 2.0")];
    let found: Vec<&str> =
        devices.iter().filter(|(path, _)| Path::new(path).exists()).map(|(_, word)| *word).collect();
    match found.as_slice() {
        [] => Check {
            name: "enclave hardware",
            state: State::Note,
            found: "none: nodes here run as `software, NOT HARDWARE`".to_owned(),
        },
        found => Check {
            name: "enclave hardware",
            state: State::Note,
            found: format!("{} (not used yet)", found.join(", ")),
        },
    }
}
