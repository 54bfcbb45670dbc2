"""What witnesses put under a checkpoint, the ML-DSA-44 signature that a log may add, and how a log asks for the first.

    type 0x01   Ed25519 on the text: the log's own signature, `keys.signing`                c2sp.org/signed-note
    type 0x04   u64 seconds | Ed25519 on "cosignature/v1\\ntime <seconds>\\n" and the text    c2sp.org/tlog-cosignature
    type 0x06   u64 seconds | ML-DSA-44 (FIPS 204, no context) on                           c2sp.org/tlog-cosignature
                "subtree/v1\\n\\0" | u8 length, name | u64 seconds | u8 length, origin | u64 0 | u64 size | root

C2SP gives no number to ML-DSA-44 over a note's text alone, so a log that adds one for the day when Ed25519 falls
signs what a witness would, in its own name, with seconds 0 if it claims no time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, NoReturn, SupportsIndex
from urllib.parse import urlsplit

import httpx
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey, MLDSA44PublicKey

from keys import signing
from keys.errors import KeysError
from keys.secret import Secret
from privacy import tlog

MLDSA44: Final = b"\x06"
SIZE_TYPE: Final = "text/x.tlog.size"  # of a witness's 409: where it stands

_MLDSA44_BYTES: Final = 1312
_ED25519_BYTES: Final = 32
_STAMP: Final = 8
_MOST_BYTES: Final = 1 << 18
_SECONDS: Final = 10.0


# --- keys ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Ed25519Cosigner:
    """The public half of a witness's key, type 0x04."""

    name: str
    public: bytes

    @property
    def key_id(self) -> bytes:
        return tlog.key_id(self.name, tlog.COSIGNATURE, self.public)

    @property
    def vkey(self) -> str:
        return tlog.vkey(self.name, tlog.COSIGNATURE, self.public)

    def verify(self, message: bytes, signature: bytes) -> bool:
        signed = tlog.cosignature_message(int.from_bytes(signature[:_STAMP], "big"), message.decode())
        return signing.verify(self.public, signed, signature[_STAMP:])


@dataclass(frozen=True, slots=True)
class Mldsa44Cosigner:
    """The public half of a log's or a witness's ML-DSA-44 key, type 0x06."""

    name: str
    public: bytes

    @property
    def key_id(self) -> bytes:
        return tlog.key_id(self.name, MLDSA44, self.public)

    @property
    def vkey(self) -> str:
        return tlog.vkey(self.name, MLDSA44, self.public)

    def verify(self, message: bytes, signature: bytes) -> bool:
        try:
            signed = _subtree_message(self.name, int.from_bytes(signature[:_STAMP], "big"), message.decode())
            MLDSA44PublicKey.from_public_bytes(self.public).verify(signature[_STAMP:], signed)
        except (InvalidSignature, ValueError, tlog.Malformed):
            return False
        return True


def verifier(vkey: str) -> tlog.Verifier:
    """The key of a vkey of type 0x01, 0x04 or 0x06. Raises tlog.Malformed for any other."""
    name, kind, public = tlog.parse_vkey(vkey)
    if kind == tlog.ED25519 and len(public) == _ED25519_BYTES:
        return signing.VerifierKey(name, public)
    if kind == tlog.COSIGNATURE and len(public) == _ED25519_BYTES:
        return Ed25519Cosigner(name, public)
    if kind == MLDSA44 and len(public) == _MLDSA44_BYTES:
        return Mldsa44Cosigner(name, public)
    raise tlog.Malformed("a verifier key of a kind that is not known here")


def cosign(signer: signing.Signer, text: str, seconds: int) -> tlog.Signature:
    """The signature of type 0x04 on a checkpoint's text. A witness signs only what extends what it signed before."""
    signed = signer.sign(tlog.cosignature_message(seconds, text))
    key = Ed25519Cosigner(signer.name, signer.public)
    return tlog.Signature(key.name, key.key_id, seconds.to_bytes(_STAMP, "big") + signed)


class Mldsa44Signer:
    """Signs checkpoints under one name, type 0x06: 2,432 bytes each. The private key lives only inside the library."""

    def __init__(self, name: str, seed: Secret) -> None:
        """Takes over the 32-byte `seed` and wipes it. Raises KeysError for a name that a note cannot carry."""
        if not tlog.is_key_name(name):
            raise KeysError("the name of a signing key is not empty and holds neither spaces nor a plus")
        with seed:
            self._private = MLDSA44PrivateKey.from_seed_bytes(seed.expose())
        self.verifier = Mldsa44Cosigner(name, self._private.public_key().public_bytes_raw())

    def cosign(self, text: str, seconds: int = 0) -> tlog.Signature:
        """The signature on a checkpoint's text; not the same bytes twice. Raises tlog.Malformed for another text."""
        key = self.verifier
        signed = self._private.sign(_subtree_message(key.name, seconds, text))
        return tlog.Signature(key.name, key.key_id, seconds.to_bytes(_STAMP, "big") + signed)

    def __repr__(self) -> str:
        return f"<Mldsa44Signer {self.verifier.name}>"

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        raise TypeError("a Mldsa44Signer cannot be pickled or copied")


def _subtree_message(name: str, seconds: int, text: str) -> bytes:
    """The `cosigned_message` of a whole tree. It leaves extension lines unsigned, so a text with one is refused."""
    checkpoint = tlog.Checkpoint.parse(text)
    if checkpoint.text() != text:
        raise tlog.Malformed("ML-DSA-44 does not sign a checkpoint with extension lines")
    parts = [b"subtree/v1\n\x00"]
    for part in (name.encode(), checkpoint.origin.encode()):
        if len(part) > 255:
            raise tlog.Malformed("a name or an origin of more than 255 bytes")
        parts += [bytes([len(part)]), part]
    parts.insert(3, seconds.to_bytes(8, "big"))
    parts += [bytes(8), checkpoint.size.to_bytes(8, "big"), checkpoint.root]
    return b"".join(parts)


# --- asking a witness ----------------------------------------------------------------------------------------------


class WitnessUnavailable(Exception):
    """No answer, or one that is none. Ask again later: asking twice is harmless."""


class WitnessElsewhere(Exception):
    """The witness holds a tree of `size` entries of this log: prove from there."""

    def __init__(self, size: int) -> None:
        super().__init__(f"the witness stands at size {size}")
        self.size = size


class WitnessRefused(Exception):
    """The witness knows a tree that this one does not extend, or does not know the log: a person must look."""


def submit(url: str, note: str, old_size: int, proof: Sequence[bytes], *, client: httpx.Client | None = None) -> str:
    """Ask a witness (tlog-witness) for its cosignature; its signature lines, each with its newline, not yet verified.

    `proof` is the consistency proof from `old_size`, where the witness stood last (0 and empty: never). Network: call
    outside a transaction. Raises WitnessElsewhere, WitnessRefused, WitnessUnavailable.
    """
    body = tlog.witness_request(old_size, proof, note)
    try:
        if client is None:
            with httpx.Client(timeout=_SECONDS, follow_redirects=False) as own:
                answer = own.post(_address(url), content=body)
        else:
            answer = client.post(_address(url), content=body)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise WitnessUnavailable(type(error).__name__) from None
    text = answer.text
    if answer.status_code == httpx.codes.OK and len(text) <= _MOST_BYTES:
        return text
    if answer.status_code == httpx.codes.CONFLICT and answer.headers.get("content-type", "").startswith(SIZE_TYPE):
        try:
            stands = tlog.parse_decimal(text.removesuffix("\n"))
        except tlog.Malformed:
            raise WitnessUnavailable("a size that is none") from None
        if stands == old_size:  # it holds another tree of this very size
            raise WitnessRefused(f"another tree of size {stands} is witnessed")
        raise WitnessElsewhere(stands)
    if answer.status_code in {403, 404, 409, 422}:
        raise WitnessRefused(f"status {answer.status_code}")
    raise WitnessUnavailable(f"status {answer.status_code}")


def obtain(
    url: str,
    note: str,
    old_size: int,
    prove: Callable[[int], Sequence[bytes]],
    witness: tlog.Verifier,
    *,
    client: httpx.Client | None = None,
) -> str:
    """The note with the cosignature of `witness`, verified, added to the signatures it has.

    `prove(old)` gives the consistency proof from a size that the witness names, so that an answer lost on its way, or
    a note kept from an older backup, heals by itself. Raises WitnessRefused also when the witness stands beyond this
    checkpoint: then somebody else signed a longer log. Raises WitnessUnavailable.
    """
    parsed = tlog.parse_note(note)
    size = tlog.Checkpoint.parse(parsed.text).size
    try:
        lines = submit(url, note, old_size, prove(old_size), client=client)
    except WitnessElsewhere as elsewhere:
        if elsewhere.size > size:
            raise WitnessRefused(f"a tree of size {elsewhere.size} is witnessed, this one has {size}") from None
        try:
            lines = submit(url, note, elsewhere.size, prove(elsewhere.size), client=client)
        except WitnessElsewhere as moved:
            raise WitnessUnavailable(f"the witness moves: at size {moved.size} now") from None
    try:
        valid = tlog.open_note(f"{parsed.text}\n{lines}", [witness]).signatures
    except (tlog.Malformed, tlog.NotSigned) as error:
        raise WitnessUnavailable(f"an answer that is no cosignature of {witness.name}: {error}") from None
    return str(parsed.signed(*valid))


def _address(url: str) -> str:
    if urlsplit(url).scheme not in {"http", "https"}:
        raise WitnessUnavailable("the address of a witness begins with http:// or https://")
    return f"{url.rstrip('/')}/add-checkpoint"
