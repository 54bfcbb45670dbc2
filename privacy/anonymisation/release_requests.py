"""What is asked of a release: of which data, for whom, under which policy. Canonical, so that the same request is one.

For the public: full-domain recoding and at least 20 persons a class. Local recoding can be coded down by whoever knows
the algorithm (Cohen 2022), so it is for controlled recipients, named and bound by contract, with at least 5.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

import msgspec

from privacy.anonymisation.hierarchy_specs import Spec
from privacy.anonymisation.policies import Policy, Recoding
from privacy.errors import Invalid

MOST_UPLOADED: Final = 8 * 2**20  # bytes of a file in a request
LEAST_K: Final = {"public": 20, "controlled": 5}
_NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,62}")
_COLUMN: Final = re.compile(r"[^\x00-\x1f\x7f]{1,64}")
_RECIPIENT: Final = re.compile(r"[^\x00-\x1f\x7f]{1,200}")
_MOST_COLUMNS: Final = 64
_encode = msgspec.json.Encoder(order="deterministic").encode


class Kind(StrEnum):
    MICRODATA = "microdata"
    TABLE = "table"


class RecipientClass(StrEnum):
    """`CONTROLLED`: named, bound by contract, checked. `PUBLIC`: anybody, for ever."""

    PUBLIC = "public"
    CONTROLLED = "controlled"


class Role(StrEnum):
    """What a column is in a release, as the manifest's `analytics` says it."""

    QUASI = "quasi"
    SENSITIVE = "sensitive"
    KEEP = "keep"
    DROP = "drop"


@dataclass(frozen=True, slots=True)
class OfRecords:
    """Records of a type, as a purpose may have them for releases; those stored within the period."""

    purpose: str
    type: str
    fields: tuple[str, ...] | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class OfFile:
    """A CSV that came with the request; `name` is its lineage, `person` the column that says whose a row is.

    Without `person` every row is taken to be a person of its own, which whoever asks answers for.
    """

    name: str
    columns: Mapping[str, Role]
    person: str | None = None


@dataclass(frozen=True, slots=True)
class Tabulated:
    """A table of counts by columns, or of the sum of a numeric one."""

    by: tuple[str, ...]
    sum: str | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """`hierarchies` say otherwise than the manifest does, and all there is of a file. `fraction`: which share of the
    population was drawn into the data, if it was; `highest_risk` is then what a row's risk may be at most."""

    source: OfRecords | OfFile
    recipient: str
    recipient_class: RecipientClass
    policy: Policy
    kind: Kind = Kind.MICRODATA
    hierarchies: Mapping[str, Spec] = field(default_factory=dict)
    table: Tabulated | None = None
    fraction: float | None = None
    highest_risk: float | None = None

    @property
    def lineage(self) -> str:
        """Whose data it is: a record type, or the name of a file. Releases of one lineage are looked at together."""
        return self.source.type if isinstance(self.source, OfRecords) else f"file:{self.source.name}"

    def canonical(self) -> bytes:
        """The same for two requests exactly when they ask for the same, whoever it is for."""
        return _encode(_plain(asdict(replace(self, recipient=""))))


def checked(request: Request) -> Request:
    """The request, with what its recipients' class asks for filled in. Raises `Invalid`."""
    policy, is_public = request.policy, request.recipient_class is RecipientClass.PUBLIC
    least = LEAST_K[request.recipient_class]
    if policy.k < least:
        raise Invalid(
            f"A release for {request.recipient_class} recipients has at least {least} persons in every class",
            zh=f"面向{'公众' if is_public else '受控接收方'}的发布，每个等价类至少须有 {least} 人",
            field="k",
        )
    if is_public and policy.recoding not in (None, Recoding.FULL_DOMAIN):
        raise Invalid(
            "A release for the public is recoded over the full domain",
            zh="面向公众的发布须采用全域泛化",
            field="recoding",
        )
    if not _RECIPIENT.fullmatch(request.recipient):
        raise Invalid(
            "A recipient has a name of 1 to 200 characters", zh="接收方名称须为 1 至 200 个字符", field="recipient"
        )
    _check_bounds(request)
    if isinstance(request.source, OfFile):
        _check_file(request.source)
    if (request.kind is Kind.TABLE) != (request.table is not None):
        raise Invalid(
            "A table, and nothing else, says by which columns it counts", zh="仅统计表须说明分组列", field="table"
        )
    if is_public or request.kind is Kind.TABLE:
        policy = replace(policy, recoding=Recoding.FULL_DOMAIN)
    return replace(request, policy=policy)


def _check_bounds(request: Request) -> None:
    if request.fraction is not None and not 0 < request.fraction <= 1:
        raise Invalid("A sampling fraction lies between 0 and 1", zh="抽样比例须在 0 与 1 之间", field="fraction")
    if request.highest_risk is not None and not 0 < request.highest_risk <= 1:
        raise Invalid("A risk lies between 0 and 1", zh="风险须在 0 与 1 之间", field="highest_risk")


def _check_file(source: OfFile) -> None:
    if not _NAME.fullmatch(source.name):
        raise Invalid("A file's name has lower-case letters, digits, '_' and '-'", zh="文件名称格式无效", field="name")
    if not 1 <= len(source.columns) <= _MOST_COLUMNS or not all(map(_COLUMN.fullmatch, source.columns)):
        raise Invalid(
            f"A file has 1 to {_MOST_COLUMNS} columns with names", zh="文件的列数或者列名无效", field="columns"
        )
    if source.person is not None and source.columns.get(source.person, Role.DROP) is not Role.DROP:
        raise Invalid("The column of persons is never published", zh="标识个人的列不得公布", field="person")


def encoded(request: Request) -> bytes:
    """The request as it is kept, sealed."""
    return _encode(_plain(asdict(request) | {"of": type(request.source).__name__}))


def decoded(content: bytes) -> Request:
    """What `encoded` was given."""
    found: dict[str, Any] = msgspec.json.decode(content)
    given, is_of_records = found.pop("source"), found.pop("of") == OfRecords.__name__
    source = msgspec.convert(given, OfRecords) if is_of_records else msgspec.convert(given, OfFile)
    members: dict[str, Any] = {name: msgspec.convert(value, _MEMBERS[name]) for name, value in found.items()}
    return Request(source=source, **members)


_MEMBERS: Final[Mapping[str, Any]] = {
    "recipient": str,
    "recipient_class": RecipientClass,
    "policy": Policy,
    "kind": Kind,
    "hierarchies": dict[str, Spec],
    "table": Tabulated | None,
    "fraction": float | None,
    "highest_risk": float | None,
}
# What msgspec must know of the types is built here, by one thread: building it in two at once ends the process.
for _type in (OfRecords, OfFile, *_MEMBERS.values()):
    msgspec.json.Decoder(_type)


def _plain(value: Any) -> Any:
    """JSON values, floats that are whole as whole numbers: 5 and 5.0 are the same request."""
    match value:
        case dict():
            return {str(name): _plain(one) for name, one in value.items()}
        case list() | tuple():
            return [_plain(one) for one in value]
        case float() if value.is_integer():
            return int(value)
        case _:
            return value
