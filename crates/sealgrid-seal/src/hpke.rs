//! The key schedule of HPKE (RFC 9180, section 5.1) in base mode with HKDF-SHA256 and AES-256-GCM. The KEM is the
//! caller's: the suite identifier says which, so the schedule is tested against the vectors of the RFC.

use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::aead::Nonce;
use crate::secret::Secret;

/// `"HPKE"`, then KEM, KDF and AEAD identifiers, two bytes each (RFC 9180, section 5.1).
pub(crate) type SuiteId = [u8; 10];

/// X-Wing (0x647a), HKDF-SHA256 (0x0001), AES-256-GCM (0x0002).
pub(crate) const X_WING_SUITE: SuiteId = *b"HPKE\x64\x7a\x00\x01\x00\x02";

/// What a key schedule yields: material for exactly one message, and the exporter's secret.
pub(crate) struct Schedule {
    pub(crate) key: Secret<32>,
    /// Nonce of the first message. This crate sends one per encapsulation, so no sequence number exists.
    pub(crate) base_nonce: Nonce,
    pub(crate) exporter_secret: Secret<32>,
}

/// `KeySchedule<mode_base>(shared_secret, info, "", "")`.
pub(crate) fn schedule(suite: SuiteId, shared_secret: &Secret<32>, info: &[u8]) -> Schedule {
    const MODE_BASE: u8 = 0;
    let psk_id_hash = labeled_extract(suite, &[], b"psk_id_hash", b"");
    let info_hash = labeled_extract(suite, &[], b"info_hash", info);
    let context = [&[MODE_BASE], &psk_id_hash.expose()[..], &info_hash.expose()[..]].concat();

    let secret = labeled_extract(suite, shared_secret.expose(), b"secret", b"");
    let mut base_nonce = [0; 12];
    labeled_expand(suite, &secret, b"base_nonce", &context, &mut base_nonce);
    Schedule {
        key: Secret::fill(|out| labeled_expand(suite, &secret, b"key", &context, out)),
        base_nonce,
        exporter_secret: Secret::fill(|out| labeled_expand(suite, &secret, b"exp", &context, out)),
    }
}

/// `Context.Export(context, L)` (RFC 9180, section 5.3), `L` being the length of `out`.
///
/// # Panics
/// If `out` is longer than HKDF can fill (8,160 bytes).
pub(crate) fn export(suite: SuiteId, exporter_secret: &Secret<32>, context: &[u8], out: &mut [u8]) {
    labeled_expand(suite, exporter_secret, b"sec", context, out);
}

/// `LabeledExtract` (RFC 9180, section 4).
fn labeled_extract(suite: SuiteId, salt: &[u8], label: &[u8], ikm: &[u8]) -> Secret<32> {
    let labeled = Zeroizing::new([b"HPKE-v1", &suite[..], label, ikm].concat());
    let (prk, _) = Hkdf::<Sha256>::extract(Some(salt), &labeled);
    Secret::fill(|out| out.copy_from_slice(&prk))
}

/// `LabeledExpand` (RFC 9180, section 4).
fn labeled_expand(suite: SuiteId, prk: &Secret<32>, label: &[u8], info: &[u8], out: &mut [u8]) {
    let length = u16::try_from(out.len()).expect("callers ask for at most 8,160 bytes").to_be_bytes();
    Hkdf::<Sha256>::from_prk(prk.expose())
        .expect("the key has the length of the hash")
        .expand_multi_info(&[&length, b"HPKE-v1", &suite, label, info], out)
        .expect("callers ask for at most 8,160 bytes");
}
