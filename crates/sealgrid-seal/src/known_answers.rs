//! Known answers of others (vectors/seal/SOURCE.md): RFC 9180, FIPS 203, the X-Wing draft, HPKE-PQ, Wycheproof.

use libcrux_ml_kem::mlkem768;
use serde_json::Value;

use crate::aead::{Aes256Gcm, TAG_LENGTH};
use crate::envelope::JobPublicKey;
use crate::frozen::{bytes, json};
use crate::hpke::{self, Schedule};
use crate::identity::{PublicIdentity, Signature};
use crate::secret::Secret;
use crate::{x25519, xwing};

fn array<const N: usize>(case: &Value, field: &str) -> [u8; N] {
    bytes(case, field).try_into().unwrap_or_else(|_| panic!("{field} of {case} has not {N} bytes"))
}

fn secret<const N: usize>(case: &Value, field: &str) -> Secret<N> {
    Secret::new(array(case, field))
}

fn is_valid(case: &Value) -> bool {
    case["valid"].as_bool().expect("a verdict")
}

fn check_schedule(case: &Value, suite: hpke::SuiteId) {
    let Schedule { key, base_nonce, exporter_secret } =
        hpke::schedule(suite, &secret(case, "shared_secret"), &bytes(case, "info"));
    assert_eq!(key, secret(case, "key"));
    assert_eq!(base_nonce, array(case, "base_nonce"));
    assert_eq!(exporter_secret, secret(case, "exporter_secret"));
    let exports = case["exports"].as_array().expect("a list");
    assert!(!exports.is_empty());
    for export in exports {
        let mut out = vec![0; usize::try_from(export["L"].as_u64().expect("a length")).expect("small")];
        hpke::export(suite, &exporter_secret, &bytes(export, "exporter_context"), &mut out);
        assert_eq!(out, bytes(export, "exported_value"));
    }
}

#[test]
fn the_key_schedule_is_that_of_rfc_9180() {
    let cases = json("rfc9180_a21.json");
    // KEM 0x0020 (DHKEM X25519), KDF 0x0001, AEAD 0x0003.
    check_schedule(&cases[0], *b"HPKE\x00\x20\x00\x01\x00\x03");
}

#[test]
fn x_wing_in_hpke_is_that_of_hpke_pq() {
    let cases = json("hpke_pq_x_wing.json");
    assert!(!cases.is_empty());
    for case in cases {
        let (private, public) = xwing::PrivateKey::expand(&secret(&case, "skRm"));
        assert_eq!(public[..], bytes(&case, "pkRm"));
        let (encapsulation, shared) =
            xwing::encapsulate(&public, &secret(&case, "ikmE")).expect("a good key");
        assert_eq!(encapsulation[..], bytes(&case, "enc"));
        assert_eq!(shared, secret(&case, "shared_secret"));
        assert_eq!(private.decapsulate(&encapsulation), Ok(shared));
        check_schedule(&case, array(&case, "suite_id"));
    }
}

#[test]
fn x_wing_is_that_of_its_draft() {
    let cases = json("x_wing_draft.json");
    assert_eq!(cases.len(), 3);
    for case in cases {
        let (private, public) = xwing::PrivateKey::expand(&secret(&case, "sk"));
        assert_eq!(public[..], bytes(&case, "pk"));
        let (encapsulation, shared) =
            xwing::encapsulate(&public, &secret(&case, "eseed")).expect("a good key");
        assert_eq!(encapsulation[..], bytes(&case, "ct"));
        assert_eq!(shared, secret(&case, "ss"));
        assert_eq!(private.decapsulate(&encapsulation), Ok(shared));
    }
}

#[test]
fn ml_kem_keys_are_those_of_fips_203() {
    let cases = json("fips203_ml_kem_768_keygen.json");
    assert!(cases.len() >= 20);
    for case in cases {
        let pair = mlkem768::generate_key_pair(array(&case, "seed"));
        assert_eq!(pair.pk()[..], bytes(&case, "ek"));
    }
}

#[test]
fn ml_kem_decapsulates_as_wycheproof_says() {
    let (mut valid, mut invalid) = (0, 0);
    for case in json("wycheproof_ml_kem_768.json") {
        let ciphertext = mlkem768::MlKem768Ciphertext::try_from(&bytes(&case, "c")[..]);
        let seed: Result<[u8; 64], _> = bytes(&case, "seed").try_into();
        let (Ok(ciphertext), Ok(seed)) = (ciphertext, seed) else {
            assert!(!is_valid(&case), "wrong lengths cannot be expressed: {}", case["id"]);
            invalid += 1;
            continue;
        };
        assert!(is_valid(&case), "case {}", case["id"]);
        let pair = mlkem768::generate_key_pair(seed);
        assert_eq!(pair.pk()[..], bytes(&case, "ek"));
        assert_eq!(mlkem768::decapsulate(pair.private_key(), &ciphertext)[..], bytes(&case, "K"));
        valid += 1;
    }
    assert!(valid >= 20 && invalid >= 1, "{valid} valid, {invalid} invalid");
}

#[test]
fn ml_kem_encapsulates_as_wycheproof_says() {
    let (mut valid, mut invalid) = (0, 0);
    for case in json("wycheproof_ml_kem_768_encaps.json") {
        // The key is read as the first part of an X-Wing key.
        let x_wing = [bytes(&case, "ek"), vec![9; 32]].concat();
        let key = JobPublicKey::from_bytes(&x_wing);
        assert_eq!(key.is_ok(), is_valid(&case), "case {}", case["id"]);
        if key.is_err() {
            invalid += 1;
            continue;
        }
        let key =
            mlkem768::MlKem768PublicKey::try_from(&bytes(&case, "ek")[..]).expect("the length was right");
        let (ciphertext, shared) = mlkem768::encapsulate(&key, array(&case, "m"));
        assert_eq!(ciphertext.as_slice()[..], bytes(&case, "c"));
        assert_eq!(shared[..], bytes(&case, "K"));
        valid += 1;
    }
    assert!(valid >= 1 && invalid >= 20, "{valid} valid, {invalid} invalid");
}

#[test]
fn aes_256_gcm_is_as_wycheproof_says() {
    let cases = json("wycheproof_aes_256_gcm.json");
    assert!(cases.len() >= 60);
    for case in cases {
        let key = Aes256Gcm::new(&secret(&case, "key"));
        let (nonce, aad, message) = (array(&case, "iv"), bytes(&case, "aad"), bytes(&case, "msg"));
        let sealed = [bytes(&case, "ct"), bytes(&case, "tag")].concat();
        let opened = key.open(nonce, &aad, &sealed);
        assert_eq!(opened.is_ok(), is_valid(&case), "case {}", case["id"]);
        if is_valid(&case) {
            let mut out = vec![0; message.len() + TAG_LENGTH];
            key.danger_seal(nonce, &aad, &message, &mut out);
            assert_eq!(out, sealed);
            assert_eq!(opened.expect("valid").expose(), message);
        }
    }
}

#[test]
fn x25519_is_as_wycheproof_says() {
    let cases = json("wycheproof_x25519.json");
    assert!(cases.len() >= 500);
    let mut refused = 0;
    for case in cases {
        let agreed = x25519::PrivateKey::new(&secret(&case, "private")).agree(&array(&case, "public"));
        let expected = secret::<32>(&case, "shared");
        if expected == Secret::new([0; 32]) {
            assert!(agreed.is_err(), "small order, case {}", case["id"]);
            refused += 1;
        } else {
            assert_eq!(agreed, Ok(expected), "case {}", case["id"]);
        }
    }
    assert!(refused >= 10, "{refused} points of small order");
}

#[test]
fn ed25519_is_as_wycheproof_says() {
    let cases = json("wycheproof_ed25519.json");
    assert!(cases.len() >= 150);
    for case in cases {
        let signature: Result<[u8; 64], _> = bytes(&case, "sig").try_into();
        let verified = signature.is_ok_and(|signature| {
            PublicIdentity(array(&case, "public"))
                .danger_verify_unlabelled(&bytes(&case, "msg"), &Signature(signature))
                .is_ok()
        });
        assert_eq!(verified, is_valid(&case), "case {}", case["id"]);
    }
}
