"""What a field may hold: values of the declared types, as JSON has them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from typing import Final

from privacy.declaration import Declared
from privacy.errors import Invalid
from privacy.manifest import Field, RecordType, ValueType

Value = str | int | float | bool | list[str] | None

_MOST_NUMBER: Final = 2**53  # beyond, JSON readers lose digits (RFC 8259 section 6)
_LIST_ITEMS: Final = 256


def values_of(declared: Declared, record_type: RecordType, data: Mapping[str, object]) -> dict[str, Value]:
    """The values, each of its declared type. Raises `Undeclared`, `Invalid`; no message holds a value."""
    return {name: _typed(declared.field(record_type, name), value) for name, value in data.items()}


def _typed(field: Field, value: object) -> Value:
    match field.type, value:
        case (ValueType.TEXT, str()) if len(value) <= field.max_length:
            return value
        case (ValueType.BOOLEAN, bool()):
            return value
        case (ValueType.INTEGER, int()) if not isinstance(value, bool) and abs(value) <= _MOST_NUMBER:
            return value
        case (ValueType.NUMBER, int() | float()) if not isinstance(value, bool) and abs(value) <= _MOST_NUMBER:
            return value
        case (ValueType.DATE, str()) if _is_date(value):
            return value
        case (ValueType.DATETIME, str()) if _is_instant(value):
            return value
        case (ValueType.LIST, list()) if (
            len(value) <= _LIST_ITEMS
            and all(isinstance(item, str) for item in value)
            and sum(map(len, value)) <= field.max_length
        ):
            return value
    limit = f" of at most {field.max_length} characters" if field.type in (ValueType.TEXT, ValueType.LIST) else ""
    raise Invalid(f"The field {field.name} must be a {field.type.value}{limit}", field=field.name)


def _is_date(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return len(text) == 10


def _is_instant(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False
