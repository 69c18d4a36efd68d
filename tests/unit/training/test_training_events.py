"""The event file, read by the words of the format's own definition."""

from __future__ import annotations

import struct

import pytest

from mureg.training.events import Point, crc32c, event_file

POINTS = [
    Point(1700000000.25, 1, {"train/loss": 12.5, "validation/heart_mm": 30.25}),
    Point(1700000001.5, 300, {"train/loss": 0.125}),
]


@pytest.mark.parametrize(
    ("content", "checksum"),
    [
        (b"\x00" * 32, 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (bytes(range(31, -1, -1)), 0x113FDB5C),
        (b"123456789", 0xE3069283),
    ],
)
def test_the_checksum_of_rfc_3720(content, checksum) -> None:
    assert crc32c(content) == checksum


def unmasked(stored: bytes) -> int:
    turned = (struct.unpack("<I", stored)[0] - 0xA282EAD8) & 0xFFFFFFFF
    return (turned >> 17 | turned << 15) & 0xFFFFFFFF


def records(content: bytes):
    """TFRecords, every checksum checked."""
    while content:
        length = struct.unpack("<Q", content[:8])[0]
        assert unmasked(content[8:12]) == crc32c(content[:8])
        record, content = content[12 : 12 + length], content[12 + length :]
        assert unmasked(content[:4]) == crc32c(record)
        content = content[4:]
        yield record


def varint(content: bytes) -> tuple[int, bytes]:
    value = shift = 0
    while True:
        byte, content = content[0], content[1:]
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, content


def message(content: bytes) -> dict[int, list]:
    """Fields of a protocol-buffer message by their numbers."""
    fields: dict[int, list] = {}
    while content:
        key, content = varint(content)
        number, wire = key >> 3, key & 7
        if wire == 0:
            value, content = varint(content)
        elif wire == 1:
            value, content = struct.unpack("<d", content[:8])[0], content[8:]
        elif wire == 5:
            value, content = struct.unpack("<f", content[:4])[0], content[4:]
        else:
            assert wire == 2
            length, content = varint(content)
            value, content = content[:length], content[length:]
        fields.setdefault(number, []).append(value)
    return fields


def test_what_was_written_is_read() -> None:
    first, *events = (message(record) for record in records(event_file(POINTS)))
    assert first[3] == [b"brain.Event:2"]
    for event, point in zip(events, POINTS, strict=True):
        assert event[1] == [point.clock]
        assert event[2] == [point.step]
        values = [message(value) for value in message(event[5][0])[1]]
        assert {value[1][0].decode(): value[2][0] for value in values} == point.values


def test_a_longer_log_begins_with_the_bytes_of_the_shorter_one() -> None:
    assert event_file(POINTS).startswith(event_file(POINTS[:1]))


def test_tensorboard_reads_it(tmp_path) -> None:
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_file_loader")
    (tmp_path / "events.out.tfevents.0.mureg").write_bytes(event_file(POINTS))
    loaded = list(reader.EventFileLoader(str(tmp_path / "events.out.tfevents.0.mureg")).Load())
    assert [event.step for event in loaded] == [0, 1, 300]
