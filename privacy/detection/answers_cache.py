"""What was found in texts lately, so that the same text is not analysed twice. It holds no text.

An answer stands under a keyed hash of the text. The key is random and lives in this process only, so that whoever
reads the cache cannot try texts against it without reading the key, which no other process ever sees.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Sequence
from hashlib import blake2b
from typing import Final

from privacy.detection.findings import Finding

MOST: Final = 100_000  # findings and texts together; about 20 MB
_KEY_BYTES: Final = 32
_DIGEST_BYTES: Final = 16

Answer = tuple[Finding, ...]


class AnswersCache:
    """The answers of the texts last asked for. `key` may be called by any thread, the rest by one at a time."""

    def __init__(self, *, rules: str, most: int = MOST) -> None:
        self._secret = secrets.token_bytes(_KEY_BYTES)
        self._rules = rules
        self._most = most
        self._held = 0
        self._answers: OrderedDict[bytes, Answer] = OrderedDict()

    def key(self, text: str, languages: Sequence[str]) -> bytes:
        """Keyed BLAKE2b (RFC 7693) of text, languages, and the mode and version of the rules."""
        digest = blake2b(f"{self._rules} {','.join(languages)}\0".encode(), key=self._secret, digest_size=_DIGEST_BYTES)
        digest.update(text.encode("utf-8", "surrogatepass"))
        return digest.digest()

    def get(self, key: bytes) -> Answer | None:
        found = self._answers.get(key)
        if found is not None:
            self._answers.move_to_end(key)
        return found

    def put(self, key: bytes, answer: Answer) -> None:
        """Keep the answer, and let go those that were not asked for the longest."""
        self._held += 1 + len(answer) - self._weight(self._answers.pop(key, None))
        self._answers[key] = answer
        while self._held > self._most:
            self._held -= self._weight(self._answers.popitem(last=False)[1])

    @staticmethod
    def _weight(answer: Answer | None) -> int:
        return 0 if answer is None else 1 + len(answer)
