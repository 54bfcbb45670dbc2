"""The OpenAPI document: what FastAPI reads from the handlers, and what all routes have in common."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from api.errors import MEDIA_TYPE
from api.routing import Endpoint
from api.shapes import Problem

DESCRIPTION: Final = """\
Steward owns an organisation's personal data: it encrypts each field under a key of the person, hands out
what a declared purpose and a lawful basis allow, and records every disclosure before it happens.

隐私与数据生命周期合规服务：每个字段以个人专属密钥加密，只按已声明的目的与合法性基础提供，每次披露先留痕后发生。

Every request needs `Authorization: Bearer <key>`. Errors are RFC 9457 problems with a stable `code`.
Changes take `Idempotency-Key`, updates `If-Match`. Lists page by `cursor`.
"""

# What any authenticated route may answer.
_COMMON: Final = (401, 429, 500, 503)
_EXAMPLES: Final[dict[int, tuple[str, str, list[str]]]] = {
    400: ("invalid", "The field phone must be a text of at most 64 characters", []),
    401: ("unauthenticated", "The API key is not known", []),
    403: ("no-lawful-basis", "Legitimate interest is no lawful basis where the subject is", ["PIPL-13"]),
    404: ("not-found", "There is no such record", []),
    409: ("conflict", "This conflicts with what is stored", []),
    410: ("erased", "The data of this subject has been erased", ["PIPL-47", "GDPR-17"]),
    412: ("version-mismatch", "The record is at version 4", []),
    413: ("too-large", "A request body has at most 8388608 bytes", []),
    422: ("idempotency-key-reused", "This Idempotency-Key was used for another request", []),
    428: ("precondition-required", "If-Match with the ETag of the version read is required", []),
    429: ("rate-limited", "The principal has used up its requests", []),
    500: ("internal", "Something failed on our side", []),
    503: ("audit-unavailable", "The audit log cannot be written, so nothing was disclosed", []),
}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The error answers of a route: these, and what every route may answer."""
    return {status: _answer(status) for status in sorted({*statuses, *_COMMON})}


def _answer(status: int) -> dict[str, Any]:
    code, detail, law = _EXAMPLES[status]
    example = {
        "type": f"urn:steward:problem:{code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "code": code,
        "detail": detail,
        "law": law,
        "request_id": "0192f3a4-7c1e-7b2a-9d55-0242ac120002",
    }
    return {
        "description": HTTPStatus(status).phrase,
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}, "example": example}},
    }


def describe(app: FastAPI) -> dict[str, Any]:
    """The document: written once, then kept."""
    if app.openapi_schema is None:
        document = get_openapi(
            title="Steward",
            version=app.version,
            description=DESCRIPTION,
            routes=app.routes,
            license_info=_LICENCE,
        )
        schemas = document["components"]["schemas"]
        schemas["Problem"] = Problem.model_json_schema()
        for unused in ("HTTPValidationError", "ValidationError"):
            schemas.pop(unused, None)
        document["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
        for path, methods in document["paths"].items():
            for operation in methods.values():
                _finish(path, operation)
        app.openapi_schema = document
    return app.openapi_schema


_OPEN: Final = frozenset(path.replace(":path}", "}") for path in Endpoint.open_paths)  # as the document writes them
_LICENCE: Final = {"name": "Apache-2.0", "identifier": "Apache-2.0"}
_IDEMPOTENT: Final = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "The same key again answers as the first time did, for 24 hours",
    "schema": {"type": "string", "minLength": 1, "maxLength": 240, "pattern": "^[!-~]+$"},
}
_IF_MATCH: Final = {
    "name": "If-Match",
    "in": "header",
    "required": False,
    "description": "The ETag of the version read",
    "schema": {"type": "string", "pattern": '^"[0-9]{1,9}"$'},
    "example": '"1"',
}


def _finish(path: str, operation: dict[str, Any]) -> None:
    responses = operation["responses"]
    unprocessable = responses.get("422", {}).get("content", {})
    if "application/json" in unprocessable:
        responses.pop("422")  # FastAPI's own; ours answer 400
    if path not in _OPEN:
        operation["security"] = [{"key": []}]
    parameters = operation.setdefault("parameters", [])
    if "422" in responses:
        parameters.append(_IDEMPOTENT)
    if "412" in responses:
        parameters.append(_IF_MATCH)
    if not parameters:
        del operation["parameters"]
