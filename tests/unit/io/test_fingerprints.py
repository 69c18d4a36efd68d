"""A file that was replaced by another of the same name and size is told from the one that was read."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from mureg.io.fingerprints import WHOLE_BYTES, digest_of

SIZE = 40 * 2**20


def large(path: Path, header: int, changed_at: int | None = None, dicom: bool = True) -> str:
    """A file of 40 MB whose header has so many bytes, one of them changed."""
    content = bytearray(SIZE)
    content[128:132] = b"DICM" if dicom else b"none"
    content[header : header + 4] = b"\xe0\x7f\x10\x00"
    if changed_at is not None:
        content[changed_at] ^= 1
    path.write_bytes(content)
    return digest_of(path)


@pytest.mark.parametrize("at", [200, 65_535, 65_536, 1_234_567, 2_999_999])
def test_every_byte_of_a_header_counts(at, tmp_path) -> None:
    assert large(tmp_path / "a", 3_000_000) != large(tmp_path / "b", 3_000_000, at)


def test_a_header_that_ends_between_two_reads_is_found(tmp_path) -> None:
    for header in (65_533, 65_534, 65_535, 65_536):
        assert large(tmp_path / "a", header) != large(tmp_path / "b", header, header - 1)


def test_other_pixels_are_other_digests_and_the_same_bytes_the_same(tmp_path) -> None:
    def image(name: str, value: int) -> str:
        (tmp_path / name).write_bytes(bytes(1000) + bytes([value]) * SIZE)
        return digest_of(tmp_path / name)

    assert image("a", 1) != image("b", 2)
    assert image("a", 1) == image("c", 1)


@pytest.mark.parametrize("at", [0, 300_000, WHOLE_BYTES - 1])
def test_of_a_slice_every_byte_counts(at, tmp_path) -> None:
    content = bytearray(WHOLE_BYTES)
    (tmp_path / "a").write_bytes(content)
    content[at] = 1
    (tmp_path / "b").write_bytes(content)
    assert digest_of(tmp_path / "a") != digest_of(tmp_path / "b")


def test_gigabytes_take_no_longer_than_a_few_megabytes(tmp_path) -> None:
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(2**36)
    started = time.process_time()
    digest_of(tmp_path / "huge")
    assert time.process_time() - started < 1.0
