//! `sealgrid-verify` as a WebAssembly module: for a page that verifies files where they are, and for any other host.
//!
//! # Tasks
//! - Build it: `cargo xtask wasm`, which also runs it and makes a page of it that needs no server.
//! - Use it from JavaScript: `www/verifier.mjs`, some fifty lines, is all that there is to it.
//! - Use it from another host, with what stands below.
//!
//! # How it works
//! The module imports nothing: no clock, no randomness, no network, and a host has to give it all that a verdict rests on. It is used once:
//!
//! 1. [`sealgrid_room`] makes room for a file, and the host writes the file there. What there is: the file to judge (0), the model that a proof is about
//!    (1), `authority.key` (2) and `log.policy` (3) of the trust roots that a receipt rests on.
//! 2. [`sealgrid_judge`] judges as of a time, in milliseconds since 1970, and returns what the program `sealgrid-verify` would exit with: 0 for what is
//!    accepted, 4 for what is rejected, 2 for what could not be judged.
//! 3. [`sealgrid_verdict`] and [`sealgrid_verdict_bytes`] say where the JSON lies that the program would print, without a file's name; for 2 it is
//!    `{"error": "…"}`.
//!
//! Nothing needs randomness: a verifier hides nothing, and all challenges come from transcripts ([`sealgrid_verify::proofs`]).
//!
//! # Limits
//! A file has [`FILE_BYTES_MAX`] bytes at most, a model [`MODEL_BYTES_MAX`]; beyond that there is no room (a null pointer). The module's memory is bounded
//! when it is linked. No panic is known that a file could cause, and a trap is how one would end here, as does running out of memory: **a trap is no
//! verdict**, least of all an acceptance, and the instance is used up. Integers overflow into a trap, too, because lengths have 32 bits here.

mod desk;

use std::sync::{Mutex, MutexGuard, PoisonError};

pub use desk::{FILE_BYTES_MAX, MODEL_BYTES_MAX};

use desk::Desk;

/// A module has one caller, and no thread.
static DESK: Mutex<Desk> = Mutex::new(Desk::new());

fn desk() -> MutexGuard<'static, Desk> {
    DESK.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Where `bytes` bytes of a file go, 0 to 3 as above: a file that was there before is forgotten. Null where there is no such file, it may not be as long, or
/// memory does not suffice.
#[expect(unsafe_code, reason = "gives the function its name for the host, which no other has")]
#[unsafe(no_mangle)]
pub extern "C" fn sealgrid_room(file: u32, bytes: u32) -> *mut u8 {
    // The host writes to the module's memory; nothing here reads through a pointer.
    desk().room(file, bytes).map_or(std::ptr::null_mut(), <[u8]>::as_mut_ptr)
}

/// Judges what was written, as of `at`, in milliseconds since 1970: 0 accepted, 4 rejected, 2 not judged. What was written is forgotten.
#[expect(unsafe_code, reason = "as above")]
#[unsafe(no_mangle)]
pub extern "C" fn sealgrid_judge(at: u64) -> u32 {
    desk().judge(at).into()
}

/// Where the verdict lies, as JSON; nowhere in particular before there is one.
#[expect(unsafe_code, reason = "as above")]
#[unsafe(no_mangle)]
pub extern "C" fn sealgrid_verdict() -> *const u8 {
    desk().verdict().as_ptr()
}

/// How many bytes the verdict has; 0 before there is one.
#[expect(unsafe_code, reason = "as above")]
#[unsafe(no_mangle)]
pub extern "C" fn sealgrid_verdict_bytes() -> u32 {
    u32::try_from(desk().verdict().len()).unwrap_or(0)
}
