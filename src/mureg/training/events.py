"""A log that TensorBoard reads, without TensorBoard.

The file is a row of TFRecords (length, masked CRC-32C of the length, content, masked CRC-32C of the content), each
content an Event message in protocol-buffer encoding: wall_time = 1 (double), step = 2 (varint), file_version = 3
(string), summary = 5 (message) of value = 1 (message) with tag = 1 (string) and simple_value = 2 (float); see
tensorflow/core/util/event.proto, framework/summary.proto and the TFRecord page of the TensorFlow guide.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

_CASTAGNOLI = 0x82F63B78  # reflected polynomial of CRC-32C, RFC 3720


@dataclass(frozen=True)
class Point:
    """Some named numbers at one step.

    Attributes:
        clock: seconds since 1970.
        step: of the horizontal axis.
        values: by tag; "group/name" puts it into a group.
    """

    clock: float
    step: int
    values: Mapping[str, float]


def event_file(points: Iterable[Point]) -> bytes:
    """The whole file; its name must contain ``tfevents``. The points of a longer log begin with the same bytes."""
    points = list(points)
    began = points[0].clock if points else 0.0
    version = struct.pack("<Bd", 0x09, began) + _field(3, b"brain.Event:2")
    return b"".join((_record(version), *(_record(_event(point)) for point in points)))


def crc32c(content: bytes) -> int:
    """The Castagnoli checksum."""
    crc = 0xFFFFFFFF
    for byte in content:
        crc = _TABLE[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


def _event(point: Point) -> bytes:
    values = b"".join(
        _field(1, _field(1, tag.encode()) + struct.pack("<Bf", 0x15, value)) for tag, value in point.values.items()
    )
    return struct.pack("<Bd", 0x09, point.clock) + b"\x10" + _varint(point.step) + _field(5, values)


def _field(number: int, content: bytes) -> bytes:
    """A field with a length: string or message."""
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    parts = bytearray()
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    parts.append(value)
    return bytes(parts)


def _record(content: bytes) -> bytes:
    length = struct.pack("<Q", len(content))
    return length + _masked(length) + content + _masked(content)


def _masked(content: bytes) -> bytes:
    crc = crc32c(content)
    rotated = (crc >> 15 | crc << 17) & 0xFFFFFFFF
    return struct.pack("<I", (rotated + 0xA282EAD8) & 0xFFFFFFFF)


def _shifted(value: int) -> int:
    for _ in range(8):
        value = value >> 1 ^ (_CASTAGNOLI if value & 1 else 0)
    return value


_TABLE = tuple(_shifted(byte) for byte in range(256))
