"""A JSON document that carries its own signature: W3C Data Integrity, cryptosuite `eddsa-jcs-2022`.

For what leaves the service and must convince years later without it: consent receipts, certificates of erasure.

1. The proof options say how it was signed: type, cryptosuite, created, verificationMethod, proofPurpose.
2. hash = SHA-256(JCS(proof options)) | SHA-256(JCS(document without `proof`)), JCS being RFC 8785.
3. proofValue = "z" + base58btc(Ed25519(hash)), put among the options as the document's member `proof`.

verificationMethod is did:key:K#K with K = "z" + base58btc(0xed01 | public key), so that the document names its
key by itself. That says who claims to have signed; only a key known from elsewhere says who did.

What is verified is one document and one only: the proof has exactly these members, there is one proof, base58 and
instants have one form, and `parse` refuses text that two readers could read in two ways. So whatever is changed,
added or taken away anywhere in a signed document, the proof included, makes `verify` fail.

Sources: www.w3.org/TR/vc-di-eddsa 3.3, www.w3.org/TR/vc-data-integrity 2.1, RFC 8785, RFC 7493 (I-JSON).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, NoReturn, cast

import rfc8785

from keys.errors import KeysError
from keys.signing import Signer, VerifierKey
from keys.signing import verify as is_signed
from privacy.errors import Invalid, SignatureInvalid

Verifier = VerifierKey  # a public key under the name that it signs under

_TYPE: Final = {"type": "DataIntegrityProof", "cryptosuite": "eddsa-jcs-2022", "proofPurpose": "assertionMethod"}
_MEMBERS: Final = frozenset({*_TYPE, "created", "verificationMethod", "proofValue"})
_CONTEXT: Final = "@context"
_ED25519_PUBLIC: Final = b"\xed\x01"  # multicodec, as an unsigned varint
_PUBLIC_BYTES: Final = 32
_SIGNATURE_BYTES: Final = 64
# datetime.fromisoformat reads many forms of one instant; a signed document has this one.
_INSTANT: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class Verified:
    """A signature that holds: by the holder of `public` (32 bytes), who says that it was made at `created`."""

    public: bytes
    created: datetime


def verifier(vkey: str) -> Verifier:
    """The public key that a vkey names (c2sp.org/signed-note). Raises Invalid."""
    try:
        return Verifier.parse(vkey)
    except KeysError as error:
        raise Invalid(f"This is {error}", zh="这不是有效的验证公钥") from None


def sign(document: Mapping[str, object], signer: Signer, *, created: datetime) -> dict[str, object]:
    """A copy of `document` with the member `proof`. The same inputs give the same bytes; whole seconds, UTC.

    Raises Invalid when the document has a proof already, or holds what JSON cannot say exactly (RFC 8785 3.1):
    integers beyond 2**53, NaN, lone surrogates, anything that is no JSON value.
    """
    if "proof" in document:
        raise Invalid("The document carries a proof already", zh="文件已带有签名证明")
    options: dict[str, object] = dict(_TYPE)
    options["created"] = created.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    options["verificationMethod"] = verification_method(signer.public)
    if _is_names(document.get(_CONTEXT)):
        # 3.3.1 step 2. An inline context is not repeated: the reference implementation compares contexts by
        # identity, and would take two equal ones for different. Without it 3.3.2 step 4 has nothing to compare.
        options[_CONTEXT] = document[_CONTEXT]
    try:
        signature = signer.sign(_hash(options, document))
    except (ValueError, RecursionError):
        raise Invalid(
            "The document holds what JSON cannot say exactly, so it cannot be signed",
            zh="文件含有 JSON 无法确切表示的内容，不能签名",
        ) from None
    return {**document, "proof": options | {"proofValue": "z" + base58(signature)}}


def verify(document: Mapping[str, object], *, trusted: Collection[bytes] | None) -> Verified:
    """Who signed the document, and when. `trusted`: the public keys known from elsewhere, 32 bytes each.

    With None the key is the one that the document names: nothing was changed since it was signed, but by whom it
    was signed is not known. Raises SignatureInvalid, for what was read from a file as for any other mapping; read
    a file with `parse`, or what JSON readers lose silently, such as a member that is there twice, is lost here too.
    """
    proof = document.get("proof")
    if isinstance(proof, Sequence):
        raise SignatureInvalid("One proof is expected, not a list of proofs", zh="应当只有一个签名证明，而不是多个")
    if not isinstance(proof, Mapping):
        raise SignatureInvalid("The document carries no proof", zh="文件没有签名证明")
    options = {name: value for name, value in proof.items() if name != "proofValue"}
    plain = {name: value for name, value in document.items() if name != "proof"}
    _check(proof, plain)
    public = _key_of(proof["verificationMethod"])
    created = _instant_of(proof["created"])
    signature = _bytes_of(proof["proofValue"], _SIGNATURE_BYTES)
    try:
        hashed = _hash(options, plain)
    except (ValueError, RecursionError):
        raise SignatureInvalid(
            "The document holds what JSON cannot say exactly", zh="文件含有 JSON 无法确切表示的内容"
        ) from None
    if not is_signed(public, hashed, signature):
        raise SignatureInvalid("The document was changed after it was signed", zh="文件在签名后被更改")
    if trusted is not None and public not in trusted:
        raise SignatureInvalid(
            "The document was signed with another key than the one that was given", zh="文件不是用所给的密钥签名的"
        )
    return Verified(public, created)


def parse(text: bytes) -> dict[str, object]:
    """The document in a file, UTF-8. Raises SignatureInvalid for all that a signature could not cover.

    That is: members that are there twice, numbers not written as RFC 8785 writes them (1.0, 1E2, -0), numbers
    beyond I-JSON, NaN, and what is no JSON object.
    """
    try:
        found = json.loads(
            text.decode("utf-8"),
            object_pairs_hook=_members,
            parse_int=_integer,
            parse_float=_float,
            parse_constant=_constant,
        )
    except (ValueError, RecursionError):
        raise SignatureInvalid(
            "The file is not a JSON document that can be signed", zh="该文件不是可签名的 JSON 文件"
        ) from None
    if not isinstance(found, dict):
        raise SignatureInvalid("The file is not a JSON object", zh="该文件不是 JSON 对象")
    return found


def verification_method(public: bytes) -> str:
    """The did:key of an Ed25519 public key, as the proof names it (w3c-ccg.github.io/did-key-spec)."""
    name = "z" + base58(_ED25519_PUBLIC + public)
    return f"did:key:{name}#{name}"


def _hash(options: Mapping[str, object], document: Mapping[str, object]) -> bytes:
    return hashlib.sha256(_canonical(options)).digest() + hashlib.sha256(_canonical(document)).digest()


def _canonical(value: Mapping[str, object]) -> bytes:
    """RFC 8785. Raises ValueError, for what is no JSON value too."""
    # The library names the type of JSON values for itself alone; it checks every value that it meets.
    return rfc8785.dumps(cast("dict[str, str]", dict(value)))


def _check(proof: Mapping[str, object], document: Mapping[str, object]) -> None:
    """The proof says what `sign` says, and nothing else."""
    if proof.keys() - {_CONTEXT} != _MEMBERS or any(proof[name] != value for name, value in _TYPE.items()):
        raise SignatureInvalid(
            "The proof is not one of eddsa-jcs-2022 as it is used here", zh="签名证明不是此处使用的 eddsa-jcs-2022 形式"
        )
    if _CONTEXT in proof and (_CONTEXT not in document or proof[_CONTEXT] != document[_CONTEXT]):
        raise SignatureInvalid("The proof was made for another context", zh="签名证明属于另一个上下文")


def _is_names(context: object) -> bool:
    many = context if isinstance(context, list | tuple) else [context]
    return all(isinstance(one, str) for one in many)


def _key_of(method: object) -> bytes:
    """did:key:K#K -> the 32 bytes of the public key."""
    if not isinstance(method, str) or not method.startswith("did:key:"):
        raise SignatureInvalid("The proof names no did:key", zh="签名证明没有写明 did:key")
    name = method.removeprefix("did:key:").partition("#")[0]
    found = _bytes_of(name, len(_ED25519_PUBLIC) + _PUBLIC_BYTES)
    public = found[len(_ED25519_PUBLIC) :]
    if method != verification_method(public):
        raise SignatureInvalid("The proof does not name one Ed25519 key", zh="签名证明没有写明唯一的 Ed25519 公钥")
    return public


def _instant_of(created: object) -> datetime:
    if not isinstance(created, str) or not _INSTANT.fullmatch(created):
        raise SignatureInvalid("The proof does not say when it was made", zh="签名证明没有写明签名时间")
    try:
        return datetime.fromisoformat(created)
    except ValueError:
        raise SignatureInvalid("The proof does not say when it was made", zh="签名证明没有写明签名时间") from None


def _bytes_of(value: object, length: int) -> bytes:
    """Multibase base58btc of so many bytes, in the one form that they have."""
    # The longest form of n bytes has 138 digits for 100 bytes; decoding takes the square of the digits.
    if not isinstance(value, str) or not value.startswith("z") or len(value) > 2 * length:
        raise SignatureInvalid("A key or signature in the proof is malformed", zh="签名证明中的公钥或签名格式有误")
    found = unbase58(value[1:])
    if found is None or len(found) != length:
        raise SignatureInvalid("A key or signature in the proof is malformed", zh="签名证明中的公钥或签名格式有误")
    return found


# -- I-JSON (RFC 7493) ------------------------------------------------------------------------------------------------


def _members(pairs: Sequence[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a member is there twice")
    return found


def _integer(text: str) -> int:
    # Without this "-0" would read as 0, and another text would have the same signature.
    found = int(text)
    if rfc8785.dumps(found) != text.encode():
        raise ValueError("not the canonical form of a number")
    return found


def _float(text: str) -> float:
    found = float(text)
    if rfc8785.dumps(found) != text.encode():
        raise ValueError("not the canonical form of a number")
    return found


def _constant(text: str) -> NoReturn:
    raise ValueError("NaN and Infinity are no numbers of JSON")


# -- base58btc (draft-msporny-base58) ---------------------------------------------------------------------------------
# Twenty lines: the library that everybody uses has not had a release since 2021, and takes what is not canonical.

_ALPHABET: Final = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_VALUES: Final = {digit: value for value, digit in enumerate(_ALPHABET)}


def base58(data: bytes) -> str:
    """Bitcoin's alphabet; each leading zero byte is a leading "1"."""
    rest = data.lstrip(b"\0")
    number = int.from_bytes(rest, "big")
    digits: list[str] = []
    while number:
        number, value = divmod(number, len(_ALPHABET))
        digits.append(_ALPHABET[value])
    return "1" * (len(data) - len(rest)) + "".join(reversed(digits))


def unbase58(text: str) -> bytes | None:
    """The bytes, or None for a letter outside the alphabet. Each text has other bytes, so none has two forms."""
    rest = text.lstrip("1")
    number = 0
    for digit in rest:
        value = _VALUES.get(digit)
        if value is None:
            return None
        number = number * len(_ALPHABET) + value
    return b"\0" * (len(text) - len(rest)) + number.to_bytes((number.bit_length() + 7) // 8, "big")
