"""Documents that carry their own signature: eddsa-jcs-2022 against the published vectors, and against any change."""

from __future__ import annotations

import copy
import hashlib
import json
import struct
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
import rfc8785
from hypothesis import given, settings
from hypothesis import strategies as st

from keys.secret import Secret
from keys.signing import Signer
from privacy import signed_documents
from privacy.errors import Invalid, SignatureInvalid
from privacy.signed_documents import Verified, base58, parse, sign, unbase58, verify

VECTORS = Path(__file__).parent / "vectors"
AT = datetime(2026, 3, 1, 8, 30, tzinfo=UTC)
# JSON as a test walks through it.
Json = Any


def vectors(name: str) -> Json:
    return json.loads((VECTORS / f"{name}.json").read_text(encoding="utf-8"))


SUITE = vectors("eddsa-jcs-2022")


def signer(seed: bytes = bytes(range(32))) -> Signer:
    return Signer("privacy.example/receipts", Secret(bytearray(seed)))


def signed() -> dict[str, Json]:
    document = {
        "@context": [{"dpv": "https://w3id.org/dpv#"}],
        "purpose": "营销",
        "granted": True,
        "nothing": None,
        "count": 3,
        "share": 0.25,
        "parts": ["a", {"b": ["c"]}],
        "empty": {},
    }
    return sign(document, signer(), created=AT)


def resigned(document: dict[str, Json], options: dict[str, Json]) -> dict[str, object]:
    """A signature that holds over whatever options, as nobody but the holder of the key could make it."""
    options = {name: value for name, value in options.items() if name != "proofValue"}
    hashed = b"".join(hashlib.sha256(rfc8785.dumps(part)).digest() for part in (options, document))
    return document | {"proof": options | {"proofValue": "z" + base58(signer().sign(hashed))}}


def fails(document: dict[str, object], *, trusted: list[bytes] | None = None) -> bool:
    try:
        verify(document, trusted=trusted)
    except SignatureInvalid:
        return True
    return False


# -- Published vectors ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("vector", SUITE["proofs"], ids=["recommendation", "candidate"])
def test_the_vectors_of_the_suite_verify_under_their_key(vector: Json) -> None:
    public = unbase58(SUITE["publicKeyMultibase"][1:])
    assert public is not None
    found = verify(SUITE["document"] | {"proof": vector["proof"]}, trusted=[public[2:]])
    assert found == Verified(public[2:], datetime(2023, 2, 24, 23, 36, 38, tzinfo=UTC))


def test_what_we_sign_is_what_the_recommendation_signs() -> None:
    secret = unbase58(SUITE["secretKeyMultibase"][1:])
    assert secret is not None
    made = sign(SUITE["document"], signer(secret[2:]), created=datetime(2023, 2, 24, 23, 36, 38, tzinfo=UTC))
    vector = SUITE["proofs"][0]
    assert made["proof"] == vector["proof"]
    options = {name: value for name, value in vector["proof"].items() if name != "proofValue"}
    hashes = (hashlib.sha256(rfc8785.dumps(part)).hexdigest() for part in (options, SUITE["document"]))
    assert "".join(hashes) == vector["combinedHash"]


@pytest.mark.parametrize("document", vectors("rfc8785")["documents"], ids=lambda each: str(each["name"]))
def test_documents_are_canonical_as_in_rfc_8785(document: Json) -> None:
    assert rfc8785.dumps(json.loads(document["input"])) == document["output"].encode()


def test_numbers_are_canonical_as_in_rfc_8785() -> None:
    for bits, text in vectors("rfc8785")["numbers"].items():
        assert rfc8785.dumps(struct.unpack(">d", bytes.fromhex(bits))[0]) == text.encode()


def test_base58_agrees_with_published_pairs() -> None:
    for data, text in vectors("base58")["pairs"]:
        assert base58(bytes.fromhex(data)) == text
        assert unbase58(text) == bytes.fromhex(data)


# -- base58 -----------------------------------------------------------------------------------------------------------


@given(st.binary(max_size=80))
def test_base58_of_any_bytes_reads_back(data: bytes) -> None:
    assert unbase58(base58(data)) == data


@given(st.text("123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz", max_size=60))
def test_no_two_texts_of_base58_are_the_same_bytes(text: str) -> None:
    data = unbase58(text)
    assert data is not None
    assert base58(data) == text


@pytest.mark.parametrize("text", ["0", "O", "I", "l", " ", "é", "２"], ids=ascii)
def test_a_letter_outside_the_alphabet_is_no_base58(text: str) -> None:
    assert unbase58(f"2g{text}") is None


# -- Signing ----------------------------------------------------------------------------------------------------------


def test_a_signed_document_says_who_signed_it_and_when() -> None:
    document = signed()
    assert verify(document, trusted=[signer().public]) == Verified(signer().public, AT)
    assert verify(document, trusted=None) == Verified(signer().public, AT)


def test_signing_leaves_the_document_as_it_was_and_gives_the_same_bytes_again() -> None:
    document: dict[str, object] = {"a": [1]}
    before = copy.deepcopy(document)
    assert sign(document, signer(), created=AT) == sign(document, signer(), created=AT)
    assert document == before


def test_the_time_of_a_signature_is_in_utc_to_the_second() -> None:
    beijing = AT.astimezone(timezone(timedelta(hours=8))) + timedelta(microseconds=999)
    assert sign({}, signer(), created=beijing) == sign({}, signer(), created=AT)


def test_an_inline_context_is_signed_but_not_repeated() -> None:
    document = signed()
    assert "@context" not in document["proof"]
    document["@context"][0]["dpv"] = "https://evil.example/dpv#"
    assert fails(document)


def test_a_document_with_a_proof_is_not_signed_again() -> None:
    with pytest.raises(Invalid):
        sign(signed(), signer(), created=AT)


@pytest.mark.parametrize(
    "value",
    [2**53, -(2**53), float("nan"), float("inf"), "\ud800", {"\udfff": 1}, b"bytes", AT, {1: 2}],
    ids=["integer", "negative", "nan", "infinity", "surrogate", "surrogate-key", "bytes", "datetime", "key"],
)
def test_what_json_cannot_say_exactly_is_not_signed(value: object) -> None:
    with pytest.raises(Invalid):
        sign({"value": value}, signer(), created=AT)


# -- Verifying --------------------------------------------------------------------------------------------------------


def test_another_key_than_the_trusted_one_is_refused() -> None:
    other = signer(bytes(range(1, 33)))
    assert fails(signed(), trusted=[other.public])
    assert fails(sign({"a": 1}, other, created=AT), trusted=[signer().public])


def test_the_key_of_another_with_the_same_signature_is_refused() -> None:
    document = signed()
    method = signed_documents.verification_method(signer(bytes(range(1, 33))).public)
    document["proof"]["verificationMethod"] = method
    assert fails(document)


@pytest.mark.parametrize("proof", [None, [], "z", 1, {}], ids=["null", "none", "text", "number", "empty"])
def test_a_document_without_one_whole_proof_is_refused(proof: object) -> None:
    assert fails({"a": 1, "proof": proof})
    assert fails({"a": 1})


def test_a_list_of_proofs_is_refused_although_each_of_them_holds() -> None:
    document = signed()
    assert fails(document | {"proof": [document["proof"]]})


@pytest.mark.parametrize("name", ["expires", "domain", "challenge", "nonce", "id", "previousProof", "x"])
def test_a_proof_with_a_member_that_we_do_not_know_is_refused_even_when_it_is_signed(name: str) -> None:
    proof = signed()["proof"]
    assert not fails(resigned({"a": 1}, proof))
    assert fails(resigned({"a": 1}, proof | {name: "2030-01-01T00:00:00Z"}))


@pytest.mark.parametrize(
    ("name", "value"),
    [("type", "Ed25519Signature2020"), ("cryptosuite", "eddsa-rdfc-2022"), ("proofPurpose", "authentication")],
)
def test_a_proof_of_another_kind_is_refused_even_when_it_is_signed(name: str, value: str) -> None:
    assert fails(resigned({"a": 1}, signed()["proof"] | {name: value}))


def test_a_proof_made_for_another_context_is_refused_even_when_it_is_signed() -> None:
    proof = signed()["proof"] | {"@context": "https://one.example/"}
    assert not fails(resigned({"@context": "https://one.example/", "a": 1}, proof))
    assert fails(resigned({"@context": "https://two.example/", "a": 1}, proof))
    assert fails(resigned({"a": 1}, proof))


@pytest.mark.parametrize(
    "created",
    ["2026-03-01T08:30:00+00:00", "2026-03-01T08:30:00.0Z", "2026-03-01 08:30:00Z", "2026-02-30T00:00:00Z", "", 0],
    ids=str,
)
def test_a_time_in_another_form_is_refused_even_when_it_is_signed(created: object) -> None:
    assert fails(resigned({"a": 1}, signed()["proof"] | {"created": created}))


@pytest.mark.parametrize("prefix", [b"\xec\x01", b"\xed\x00"], ids=["x25519", "none"])
def test_a_key_of_another_kind_is_refused_even_when_it_signed(prefix: bytes) -> None:
    name = "z" + base58(prefix + signer().public)
    assert fails(resigned({"a": 1}, signed()["proof"] | {"verificationMethod": f"did:key:{name}#{name}"}))


@pytest.mark.parametrize("fragment", ["", "#", "#key-1"], ids=["none", "empty", "other"])
def test_a_key_named_in_another_way_is_refused_even_when_it_signed(fragment: str) -> None:
    did = signed()["proof"]["verificationMethod"].partition("#")[0]
    assert fails(resigned({"a": 1}, signed()["proof"] | {"verificationMethod": did + fragment}))


def test_a_long_key_or_signature_is_refused_before_it_is_decoded() -> None:
    document = signed()
    document["proof"]["proofValue"] = "z" + "2" * 1_000_000
    assert fails(document)


def test_a_signature_with_zero_bytes_before_it_is_refused() -> None:
    document = signed()
    document["proof"]["proofValue"] = "z1" + document["proof"]["proofValue"][1:]
    assert fails(document)


# -- Any change -------------------------------------------------------------------------------------------------------


def places(value: Json, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Every member and element, containers included."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inside:
        yield (*path, key)
        yield from places(each, (*path, key))


def at(document: Json, path: tuple[str | int, ...]) -> Json:
    for key in path:
        document = document[key]
    return document


def edited(text: str, data: st.DataObject) -> str:
    """The text with one character replaced, added or taken away."""
    where = data.draw(st.integers(0, len(text)), label="where")
    letter = data.draw(st.characters(codec="utf-8") | st.sampled_from("123Zz#:-T"), label="letter")
    kind = data.draw(st.sampled_from(["replace", "insert", "delete"]), label="kind")
    if kind == "insert" or where == len(text):
        return text[:where] + letter + text[where:]
    return text[:where] + (letter if kind == "replace" else "") + text[where + 1 :]


def changed(value: Json, data: st.DataObject) -> Json:
    match value:
        case str():
            return edited(value, data)
        case bool():
            return not value
        case int() | float():
            return value + data.draw(st.sampled_from([1, -1, 0.5]))
        case None:
            return data.draw(st.sampled_from([False, 0, "", "null"]))
        case list():
            return [*value, None]
        case _:
            return value | {"added": None}


DOCUMENT = signed()
PLACES = sorted(places(DOCUMENT), key=repr)


@settings(max_examples=1500, deadline=None)
@given(st.sampled_from(PLACES), st.data())
def test_one_changed_value_anywhere_and_the_signature_does_not_hold(
    path: tuple[str | int, ...], data: st.DataObject
) -> None:
    document = copy.deepcopy(DOCUMENT)
    holder = at(document, path[:-1])
    holder[path[-1]] = changed(holder[path[-1]], data)
    assert document == DOCUMENT or fails(document)


@settings(max_examples=1500, deadline=None)
@given(st.sampled_from([path for path in PLACES if isinstance(path[-1], str)]), st.data())
def test_one_changed_key_anywhere_and_the_signature_does_not_hold(
    path: tuple[str | int, ...], data: st.DataObject
) -> None:
    document = copy.deepcopy(DOCUMENT)
    holder = at(document, path[:-1])
    holder[edited(str(path[-1]), data)] = holder.pop(path[-1])
    assert document == DOCUMENT or fails(document)


@pytest.mark.parametrize("path", PLACES, ids=lambda path: ".".join(map(str, path)))
def test_one_member_or_element_less_and_the_signature_does_not_hold(path: tuple[str | int, ...]) -> None:
    document = copy.deepcopy(DOCUMENT)
    del at(document, path[:-1])[path[-1]]
    assert fails(document)


def test_one_member_or_element_more_and_the_signature_does_not_hold() -> None:
    for path in [(), *PLACES]:
        document = copy.deepcopy(DOCUMENT)
        match at(document, path):
            case dict() as holder:
                holder["more"] = None
            case list() as holder:
                holder.append(None)
            case _:
                continue
        assert fails(document)


@settings(max_examples=1500, deadline=None)
@given(st.data())
def test_one_changed_character_of_the_file_and_it_says_the_same_or_does_not_hold(data: st.DataObject) -> None:
    """The same: only white space, or another way to write the same letter, which JSON has for every letter."""
    text = edited(json.dumps(DOCUMENT, ensure_ascii=False), data)
    try:
        document = parse(text.encode())
    except SignatureInvalid:
        return
    assert document == DOCUMENT or fails(document)


# -- Reading a file ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        '{"a": 1, "a": 1}',
        '{"a": {"b": 1, "b": 2}}',
        '{"a": 1, "\\u0061": 1}',
        '{"a": 1.0}',
        '{"a": 1E2}',
        '{"a": -0}',
        '{"a": -0.0}',
        '{"a": 0.10}',
        '{"a": 9007199254740992}',
        '{"a": 1e400}',
        '{"a": NaN}',
        '{"a": -Infinity}',
        '{"a": 01}',
        "[]",
        '"text"',
        "null",
        "",
        "{",
        "{} {}",
        '{"a": ' * 100_000 + "1" + "}" * 100_000,
        '{"a": ' + "9" * 10_000 + "}",
    ],
    ids=range(21),
)
def test_what_two_readers_could_read_in_two_ways_is_refused(text: str) -> None:
    with pytest.raises(SignatureInvalid):
        parse(text.encode())


@pytest.mark.parametrize("text", [b"\xff\xfe{\x00}\x00", b'{"a": "\xff"}', b"\xef\xbb\xbf{}"], ids=["16", "raw", "bom"])
def test_a_file_that_is_not_utf_8_is_refused(text: bytes) -> None:
    with pytest.raises(SignatureInvalid):
        parse(text)


def test_a_lone_surrogate_does_not_verify() -> None:
    assert fails(parse(json.dumps(DOCUMENT | {"a": "\ud800"}).encode()))


def test_what_was_written_by_any_writer_of_json_verifies() -> None:
    for text in (json.dumps(DOCUMENT), json.dumps(DOCUMENT, indent=4, ensure_ascii=False, sort_keys=True)):
        assert verify(parse(text.encode()), trusted=[signer().public]).created == AT
