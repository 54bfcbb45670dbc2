"""Rate limits per principal: a token bucket in each process, told by RateLimit headers.

draft-ietf-httpapi-ratelimit-headers-10. With several worker processes each allows its share.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final
from uuid import UUID

from privacy.errors import RateLimited
from privacy.work import Actor

WINDOW_SECONDS: Final = 60


class OverLimit(RateLimited):
    """Over the limit; `headers` tell when there is room again."""

    headers: Sequence[tuple[bytes, bytes]] = ()


class Limiter:
    """`per_minute` requests a minute for each principal, of which a full minute's worth may come at once."""

    def __init__(self, per_minute: int) -> None:
        self._most = float(per_minute)
        self._rate = per_minute / WINDOW_SECONDS
        self._buckets: dict[UUID | None, tuple[float, float]] = {}
        self._policy = f'"default";q={per_minute};w={WINDOW_SECONDS}'.encode()

    def take(self, actor: Actor) -> list[tuple[bytes, bytes]]:
        """Count one request; the headers that tell what is left. Raises `RateLimited`."""
        now = time.monotonic()
        tokens, at = self._buckets.get(actor.principal_id, (self._most, now))
        tokens = min(self._most, tokens + (now - at) * self._rate)
        wait = 0 if tokens >= 1 else int((1 - tokens) / self._rate) + 1
        left = max(0, int(tokens) - 1)
        headers = [
            (b"ratelimit-policy", self._policy),
            (
                b"ratelimit",
                b'"default";r=%d;t=%d' % (left, wait or int((self._most - tokens) / self._rate) + 1),
            ),
        ]
        if wait:
            self._buckets[actor.principal_id] = (tokens, now)
            over = OverLimit("The principal has used up its requests", retry_after=wait)
            over.headers = headers
            raise over
        self._buckets[actor.principal_id] = (tokens - 1, now)
        return headers
