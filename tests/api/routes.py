"""Every route of the contract once, with a request that succeeds when its principal may send it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

import httpx

from tests.world import PERSON, World

OPEN: Final = frozenset({"/healthz", "/readyz"})


@dataclass(frozen=True)
class Ask:
    """One request. `roles` may send it; `status` is what they get."""

    method: str
    template: str
    path: str
    roles: frozenset[str]
    status: int = 200
    json: Any = None
    params: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)

    def send(self, http: httpx.Client, **headers: str) -> httpx.Response:
        return http.request(
            self.method,
            self.path,
            json=self.json,
            params=dict(self.params),
            headers={**self.headers, **headers},
        )


_SERVICE: Final = frozenset({"platform"})
_DESKS: Final = frozenset({"platform", "operator"})
_LOOK: Final = frozenset({"platform", "operator", "auditor"})
_ALL: Final = frozenset({"platform", "operator", "auditor", "admin"})


def asks(world: World) -> list[Ask]:
    """A request for each operation of the OpenAPI document, in an order in which all succeed."""
    subject: UUID = world.subject()
    world.consent(subject)
    stored, gone = world.store(subject), world.store(subject)
    of, one = f"/v1/subjects/{subject}", f"/v1/records/{stored.id}"
    new = {"type": "member", "purposes": ["membership"], "data": PERSON}
    purpose = {"purpose": "membership"}
    return [
        Ask("POST", "/v1/subjects", "/v1/subjects", _DESKS, 201, {"jurisdiction": "CN"}),
        Ask("GET", "/v1/subjects/{subject_id}", of, _DESKS),
        Ask(
            "GET",
            "/v1/subjects/{subject_id}/decision",
            f"{of}/decision",
            _SERVICE,
            params={**purpose, "type": "member"},
        ),
        Ask("POST", "/v1/subjects/{subject_id}/records", f"{of}/records", _SERVICE, 201, new),
        Ask("GET", "/v1/subjects/{subject_id}/records", f"{of}/records", _SERVICE, params=purpose),
        Ask(
            "POST",
            "/v1/subjects/search",
            "/v1/subjects/search",
            _SERVICE,
            json={**purpose, "type": "member", "field": "phone", "value": PERSON["phone"]},
        ),
        Ask("GET", "/v1/records/{record_id}", one, _SERVICE, params=purpose),
        Ask(
            "PATCH",
            "/v1/records/{record_id}",
            one,
            _SERVICE,
            json={"data": {"name": "李娜"}},
            headers={"If-Match": '"1"'},
        ),
        Ask("DELETE", "/v1/records/{record_id}", f"/v1/records/{gone.id}", _SERVICE, 204),
        Ask(
            "POST",
            "/v1/records/batch-write",
            "/v1/records/batch-write",
            _SERVICE,
            json={"items": [{**new, "subject_id": str(subject)}]},
        ),
        Ask(
            "POST",
            "/v1/records/batch-read",
            "/v1/records/batch-read",
            _SERVICE,
            json={**purpose, "items": [{"record_id": str(stored.id)}]},
        ),
        Ask(
            "POST",
            "/v1/subjects/{subject_id}/consents",
            f"{of}/consents",
            _DESKS,
            201,
            {"purpose": "marketing", "decision": "given"},
        ),
        Ask("GET", "/v1/subjects/{subject_id}/consents", f"{of}/consents", _LOOK),
        Ask(
            "POST",
            "/v1/subjects/{subject_id}/consents/{purpose}/withdraw",
            f"{of}/consents/marketing/withdraw",
            _DESKS,
        ),
        Ask("GET", "/v1/purposes", "/v1/purposes", _ALL),
        Ask("GET", "/v1/manifest", "/v1/manifest", _ALL),
        Ask("GET", "/v1/audit/events", "/v1/audit/events", frozenset({"auditor", "admin"})),
        Ask("GET", "/metrics", "/metrics", _ALL),
    ]
