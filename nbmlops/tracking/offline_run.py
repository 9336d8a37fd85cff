"""Read the file of an offline W&B run: LevelDB's log format with a protobuf record in each entry."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["is_whole", "read_records"]

_HEADER_BYTES = 7
_BLOCK_BYTES = 32768
_LAST_KINDS = (1, 4)


def read_records(path: Path) -> Iterator[Any]:
    """Yield the W&B records of the ``run-ID.wandb`` file at `path`, as far as it is written."""
    from wandb.proto import wandb_internal_pb2

    # Its classes are made when it is loaded, so that no annotation knows them.
    kind: Any = vars(wandb_internal_pb2)["Record"]
    for entry in _entries(path.read_bytes()):
        record = kind()
        record.ParseFromString(entry)
        yield record


def is_whole(path: Path) -> bool:
    """Return whether the run's end is in the file."""
    return any(record.WhichOneof("record_type") == "exit" for record in read_records(path))


def _entries(data: bytes) -> Iterator[bytes]:
    entry = b""
    # The file begins with a header of its own, which has the length of a chunk's header.
    place = _HEADER_BYTES
    while place + _HEADER_BYTES <= len(data):
        if _BLOCK_BYTES - place % _BLOCK_BYTES < _HEADER_BYTES:
            place += _BLOCK_BYTES - place % _BLOCK_BYTES
            continue
        length, kind = struct.unpack_from("<HB", data, place + 4)
        chunk = data[place + _HEADER_BYTES : place + _HEADER_BYTES + length]
        if kind == 0 or len(chunk) < length:
            return
        entry += chunk
        place += _HEADER_BYTES + length
        if kind in _LAST_KINDS:
            yield entry
            entry = b""
