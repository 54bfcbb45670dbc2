"""Signatures and the names of their keys."""

from __future__ import annotations

import base64
import copy
import pickle

import pytest

from keys.errors import KeysError
from keys.secret import Secret
from keys.signing import Signer, VerifierKey, verify

# The example of c2sp.org/signed-note: a note, its signature line and the verifier key.
EXAMPLE_VKEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
EXAMPLE_NOTE = b"If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
EXAMPLE_SIGNATURE = "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM="


@pytest.fixture
def signer() -> Signer:
    return Signer("steward-example", Secret.random())


def test_the_published_signed_note_verifies() -> None:
    key = VerifierKey.parse(EXAMPLE_VKEY)
    signed = base64.b64decode(EXAMPLE_SIGNATURE)
    assert key.name == "PeterNeumann"
    assert key.vkey == EXAMPLE_VKEY
    assert signed[:4] == key.key_id
    assert key.verify(EXAMPLE_NOTE, signed[4:])
    assert not key.verify(EXAMPLE_NOTE + b"\n", signed[4:])


def test_a_signature_is_of_its_message_and_key(signer: Signer) -> None:
    signature = signer.sign(b"checkpoint")
    assert len(signature) == 64
    assert signer.sign(b"checkpoint") == signature
    assert verify(signer.public, b"checkpoint", signature)
    assert VerifierKey.parse(signer.vkey) == signer.verifier
    assert not verify(signer.public, b"checkpoinT", signature)
    assert not verify(Signer("other", Secret.random()).public, b"checkpoint", signature)
    for bit in range(512):
        changed = bytearray(signature)
        changed[bit // 8] ^= 1 << bit % 8
        assert not verify(signer.public, b"checkpoint", bytes(changed))


@pytest.mark.parametrize("length", [0, 1, 31, 33, 63, 65])
def test_a_malformed_key_or_signature_is_a_no(length: int, signer: Signer) -> None:
    assert not verify(signer.public, b"", bytes(length))
    if length != 32:
        assert not verify(bytes(length), b"", signer.sign(b""))


def test_a_renamed_key_signs_alike_under_another_id(signer: Signer) -> None:
    log = signer.renamed("audit.example/log")
    assert log.name == "audit.example/log"
    assert log.public == signer.public
    assert log.key_id != signer.key_id
    assert log.sign(b"x") == signer.sign(b"x")


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\nb", "a\u2003b", "a\x00b"])
def test_a_name_that_a_note_could_not_carry_is_refused(name: str, signer: Signer) -> None:
    with pytest.raises(KeysError):
        Signer(name, Secret.random())
    with pytest.raises(KeysError):
        signer.renamed(name)


@pytest.mark.parametrize(
    "vkey",
    [
        "",
        "PeterNeumann",
        "PeterNeumann+c74f20a3",
        "PeterNeumann+c74f20a4+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        "peterneumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        "PeterNeumann+c74f20a3+AhpC2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10T",
        "PeterNeumann+c74f20a3+ARpc!QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
    ],
    ids=["empty", "name", "no key", "key id", "other name", "algorithm", "short", "not base64"],
)
def test_a_verifier_key_that_does_not_fit_together_is_refused(vkey: str) -> None:
    with pytest.raises(KeysError):
        VerifierKey.parse(vkey)


def test_a_signer_wipes_its_seed_hides_its_key_and_does_not_travel() -> None:
    seed = Secret.random()
    buffer = seed.expose()
    shown = buffer.hex()
    signer = Signer("steward-example", seed)
    assert not any(buffer)
    assert shown not in repr(signer)
    assert repr(signer) == f"<Signer {signer.vkey}>"
    for forbidden in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError):
            forbidden(signer)
