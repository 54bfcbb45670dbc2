"""What a Parquet file says of its writer, taken out: a released file tells nothing but its rows.

A file ends with its metadata in Thrift's compact protocol, their length in four bytes, and `PAR1`. Nothing points into
the metadata, so a text in them may become shorter. DuckDB names itself and its build in `created_by` (field 6 of
FileMetaData) and in the name of the schema's root; both become words without a writer. A file that is not as we expect
it is refused, not released.

Source: apache/parquet-format, parquet.thrift and the section "File format".
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from privacy.errors import OutputDiffers

_MAGIC: Final = b"PAR1"
_TAIL: Final = 8
_WRITER: Final = b"parquet"
_ROOT: Final = b"schema"
_TEXT_AFTER_ROW_GROUPS: Final = b"\x28"  # field 6 after field 4, a binary
_DUCKDB_ROOT: Final = b"duckdb_schema"


def forget_writer(path: Path, created_by: str) -> None:
    """Shorten the metadata of the file in place; `created_by` is what they say now. Raises OutputDiffers."""
    with path.open("r+b") as file:
        end = file.seek(-_TAIL, os.SEEK_END)
        tail = file.read(_TAIL)
        start = end - int.from_bytes(tail[:4], "little")
        if tail[4:] != _MAGIC or start < len(_MAGIC):
            raise OutputDiffers("The file that was written is no Parquet file")
        file.seek(start)
        metadata = _anonymous(file.read(end - start), created_by.encode())
        file.seek(start)
        file.write(metadata + len(metadata).to_bytes(4, "little") + _MAGIC)
        file.truncate()


def _anonymous(metadata: bytes, created_by: bytes) -> bytes:
    root, writer = _text(_DUCKDB_ROOT), _TEXT_AFTER_ROW_GROUPS + _text(created_by)
    if root not in metadata or writer not in metadata:
        raise OutputDiffers("The metadata of the Parquet file are not in the form that was expected")
    metadata = metadata.replace(root, _text(_ROOT), 1)  # the first: a column could be called the same
    before, _, after = metadata.rpartition(writer)  # the last: what stands before it are statistics of values
    return before + _TEXT_AFTER_ROW_GROUPS + _text(_WRITER) + after


def _text(text: bytes) -> bytes:
    """A binary of the compact protocol: its length as a varint, and itself."""
    length, size = b"", len(text)
    while size > 127:
        length += bytes((size & 127 | 128,))
        size >>= 7
    return length + bytes((size,)) + text
