"""Ed25519 signatures (RFC 8032), named as C2SP signed notes name their keys.

key id = SHA-256(name | 0x0A | 0x01 | public key)[:4]
vkey   = name + hex(key id) + base64(0x01 | public key), joined by "+"          c2sp.org/signed-note
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass
from typing import Final, NoReturn, SupportsIndex

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from keys.errors import KeysError
from keys.secret import Secret

_ED25519: Final = b"\x01"


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """The public half, with the name it signs under."""

    name: str
    public: bytes

    @property
    def key_id(self) -> bytes:
        """Four bytes that tell the keys of one name apart; not a proof of anything."""
        return hashlib.sha256(self.name.encode() + b"\n" + _ED25519 + self.public).digest()[:4]

    @property
    def vkey(self) -> str:
        return f"{self.name}+{self.key_id.hex()}+{base64.b64encode(_ED25519 + self.public).decode()}"

    @classmethod
    def parse(cls, vkey: str) -> VerifierKey:
        """Raises KeysError when `vkey` is malformed, of another algorithm, or its key id does not match."""
        try:
            name, key_id, encoded = vkey.split("+", 2)
            blob = base64.b64decode(encoded, validate=True)
        except (ValueError, binascii.Error):
            raise KeysError("not a verifier key: name+keyid+key is expected") from None
        key = cls(name, blob[1:])
        if not _is_name(name) or blob[:1] != _ED25519 or len(blob) != 33 or key.key_id.hex() != key_id:
            raise KeysError("not an Ed25519 verifier key, or its key id does not match")
        return key

    def verify(self, message: bytes, signature: bytes) -> bool:
        return verify(self.public, message, signature)


class Signer:
    """Signs under one name. The private key lives only inside the crypto library."""

    def __init__(self, name: str, seed: Secret) -> None:
        """Takes over the 32-byte `seed` and wipes it. Raises KeysError for a name with spaces or a plus."""
        if not _is_name(name):
            raise KeysError("the name of a signing key is not empty and holds neither spaces nor a plus")
        with seed:
            self._private = Ed25519PrivateKey.from_private_bytes(seed.expose())
        self.verifier = VerifierKey(name, self._private.public_key().public_bytes_raw())

    @property
    def name(self) -> str:
        return self.verifier.name

    @property
    def public(self) -> bytes:
        """The 32 raw bytes of the public key."""
        return self.verifier.public

    @property
    def key_id(self) -> bytes:
        return self.verifier.key_id

    @property
    def vkey(self) -> str:
        return self.verifier.vkey

    def sign(self, message: bytes) -> bytes:
        """64 bytes; deterministic."""
        return self._private.sign(message)

    def renamed(self, name: str) -> Signer:
        """The same key under another name, for a log whose origin is its name."""
        if not _is_name(name):
            raise KeysError("the name of a signing key is not empty and holds neither spaces nor a plus")
        other = Signer.__new__(Signer)
        other._private = self._private
        other.verifier = VerifierKey(name, self.public)
        return other

    def __repr__(self) -> str:
        return f"<Signer {self.vkey}>"

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        raise TypeError("a Signer cannot be pickled or copied")


def verify(public: bytes, message: bytes, signature: bytes) -> bool:
    """Whether `signature` is the holder's of `public` on `message`. A malformed key or signature is a no."""
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def _is_name(name: str) -> bool:
    return bool(name) and name.isprintable() and "+" not in name and not any(map(str.isspace, name))
