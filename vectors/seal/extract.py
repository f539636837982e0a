#!/usr/bin/env python3
"""Cut the known-answer files beside this script out of their sources (see SOURCE.md).

usage: extract.py WYCHEPROOF_DIR HPKE_PQ_JSON HPKE_DRAFT_MD XWING_JSON
"""
import json
import pathlib
import re
import sys

wycheproof, hpke_pq, hpke_draft, xwing = map(pathlib.Path, sys.argv[1:])
here = pathlib.Path(__file__).parent


def write(name, cases):
    lines = ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases)
    (here / name).write_text(f"[\n{lines}\n]\n")


def groups(name, **wanted):
    document = json.loads((wycheproof / f"{name}.json").read_text())
    for group in document["testGroups"]:
        if all(group.get(key) == value for key, value in wanted.items()):
            yield group


def cases(group, keys):
    for case in group["tests"]:
        yield {"id": case["tcId"], "valid": case["result"] == "valid", "result": case["result"],
               **{key: case[key] for key in keys if key in case}}


def some_of_each(all_cases, each):
    """At most `each` cases of every (verdict, set of flags)."""
    seen = {}
    for case, flags in all_cases:
        key = (case["result"], tuple(flags))
        seen[key] = seen.get(key, 0) + 1
        if seen[key] <= each:
            yield case


def with_flags(name, keys, **wanted):
    for group in groups(name, **wanted):
        for case, raw in zip(cases(group, keys), group["tests"]):
            yield case, raw.get("flags", [])


write("wycheproof_aes_256_gcm.json", [
    case for group in groups("aes_gcm_test", keySize=256, ivSize=96, tagSize=128)
    for case in cases(group, ["key", "iv", "aad", "msg", "ct", "tag"])])
write("wycheproof_x25519.json", [
    case for group in groups("x25519_test") for case in cases(group, ["public", "private", "shared"])])
write("wycheproof_ed25519.json", [
    {"public": group["publicKey"]["pk"], **case}
    for group in groups("ed25519_test") for case in cases(group, ["msg", "sig"])])
write("wycheproof_secp256k1.json", [
    {"public": group["publicKey"]["uncompressed"], **case}
    for group in groups("ecdsa_secp256k1_sha256_p1363_test") for case in cases(group, ["msg", "sig"])])
write("wycheproof_ml_kem_768.json", list(some_of_each(
    with_flags("mlkem_768_test", ["seed", "ek", "c", "K"]), 24)))
write("wycheproof_ml_kem_768_encaps.json", list(some_of_each(
    with_flags("mlkem_768_encaps_test", ["m", "ek", "c", "K"]), 24)))
write("fips203_ml_kem_768_keygen.json", list(some_of_each(
    with_flags("mlkem_768_keygen_seed_test", ["seed", "ek"]), 24)))

keys = ["info", "ikmE", "skRm", "pkRm", "enc", "shared_secret", "suite_id", "key", "base_nonce",
        "exporter_secret", "exports"]
write("hpke_pq_x_wing.json", [
    {key: case[key] for key in keys} for case in json.loads(hpke_pq.read_text())
    if case["kem_id"] == 0x647A and case["kdf_id"] == 1])
write("x_wing_draft.json", json.loads(xwing.read_text()))

# RFC 9180, appendix A.2.1: DHKEM(X25519), HKDF-SHA256, ChaCha20Poly1305, base mode. Its key schedule has the same
# lengths as ours.
text = hpke_draft.read_text()
section = text[text.index("## DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20Poly1305"):]
section = section[:section.index("PSK Setup Information")]
section = re.sub(r"\n(?=[0-9a-f]+\n)", "", section)
fields = dict(re.findall(r"^(info|shared_secret|secret|key|base_nonce|exporter_secret|key_schedule_context): *([0-9a-f]+)$",
                         section, re.M))
fields["exports"] = [
    {"exporter_context": context, "L": int(length), "exported_value": value}
    for context, length, value in re.findall(
        r"exporter_context: *([0-9a-f]*)\nL: (\d+)\nexported_value: *\n?([0-9a-f]+)", section)]
write("rfc9180_a21.json", [fields])
