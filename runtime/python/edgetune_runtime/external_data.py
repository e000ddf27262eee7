"""Which other files an ONNX file takes its weights from, without the onnx package.

ONNX Runtime before 1.20 follows such a name wherever it leads, so that an altered file could read what lies outside
of its folder. Read here is no more of the format (onnx.proto, in protobuf's encoding) than leads to tensors.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path

# Message -> number of a field -> the message it holds. Everything else is passed over.
HELD = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node", 11: "attribute"},
    "training": {1: "graph", 2: "graph"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {13: "entry"},
}
KEY, VALUE = 1, 2  # of an entry of TensorProto.external_data
LOCATION = b"location"
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5  # protobuf's wire types


def external_names(file: Path) -> set[str]:
    """The names, relative to the file's folder as they should be, of the files that hold tensors of ``file``.

    Empty for what is no ONNX file, or cannot be read: whoever opens it will say so.
    """
    try:
        with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as content:
            if content.find(LOCATION) < 0:  # every entry spells it, and few files have any
                return set()
            return _names(bytes(content))
    except (OSError, ValueError):  # ValueError: it is empty
        return set()


def outside(file: Path) -> str | None:
    """The first of ``external_names`` that leads out of the file's folder, also over a link; None: none does."""
    folder = file.parent.resolve()
    for name in sorted(external_names(file)):
        try:
            if folder not in (file.parent / name).resolve().parents:
                return name
        except (OSError, ValueError, RuntimeError):  # a name that no file system takes, a loop of links
            return name
    return None


def _names(content: bytes) -> set[str]:
    found: set[str] = set()
    waiting = [("model", memoryview(content))]
    while waiting:
        message, data = waiting.pop()
        try:
            fields = list(_fields(data))
        except (IndexError, ValueError):  # no protobuf
            continue
        if message == "entry":
            entry = dict(fields)
            if bytes(entry.get(KEY, b"")) == LOCATION:
                found.add(bytes(entry.get(VALUE, b"")).decode(errors="surrogateescape"))
            continue
        waiting += [(HELD[message][number], part) for number, part in fields if number in HELD[message]]
    return found


def _fields(data: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Number and content of every field that has a length.

    Raises:
        IndexError, ValueError: it is cut off, or no protobuf.
    """
    place = 0
    while place < len(data):
        tag, place = _varint(data, place)
        kind = tag & 7
        if kind == VARINT:
            _, place = _varint(data, place)
        elif kind in (FIXED64, FIXED32):
            place += 8 if kind == FIXED64 else 4
        elif kind == BYTES:
            length, place = _varint(data, place)
            if place + length > len(data):
                raise ValueError("cut off")
            yield tag >> 3, data[place : place + length]
            place += length
        else:
            raise ValueError(f"wire type {kind}")


def _varint(data: memoryview, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
        shift += 7
        if shift > 63:
            raise ValueError("no number")
