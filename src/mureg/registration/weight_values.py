"""The numbers in a file of weights: refused where no network can work with them.

An ONNX file is a message of protocol buffers (https://protobuf.dev/programming-guides/encoding). Only the tensors that
the graph stores are read here, without the package onnx, which the clinical path does not have. Field numbers are those
of onnx.proto.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from mureg.errors import UnreadableInputError

_GRAPH, _INITIALIZER = 7, 5  # fields of ModelProto and GraphProto
_DIMS, _TYPE, _FLOATS, _RAW, _DOUBLES = 1, 2, 4, 9, 10  # fields of TensorProto
_DTYPES = {1: "<f4", 10: "<f2", 11: "<f8"}
"""Floating-point types of tensors (TensorProto.DataType)."""
_FIXED_BYTES = {1: 8, 5: 4}
"""Sizes of the wire types of fixed width."""

Message = memoryview
Field = tuple[int, Any]


def refuse_unusable_values(content: bytes, name: str) -> None:
    """Refuse weights that are not finite, or whose matrices are all zero.

    A file that cannot be taken apart passes: the runtime, which reads all of it, says what is wrong with it.

    Raises:
        UnreadableInputError: such weights.
    """
    try:
        tensors = list(_tensors(content))
    except (ValueError, IndexError, TypeError, struct.error):
        return
    problem = ""
    matrices = [tensor for tensor in tensors if tensor.ndim >= 2]
    if not all(bool(np.isfinite(tensor).all()) for tensor in tensors):
        problem = "holds weights that are not finite numbers"
    elif matrices and not any(bool(matrix.any()) for matrix in matrices):
        problem = "holds weights that are all zero"
    if problem:
        raise UnreadableInputError(
            f"{name} {problem}", "the weights of a trained network", "copy the weights and their card again"
        )


def _tensors(content: bytes) -> Iterator[npt.NDArray[Any]]:
    """The floating-point tensors that a model stores."""
    for number, graph in _fields(memoryview(content)):
        if number == _GRAPH:
            for part, tensor in _fields(graph):
                if part == _INITIALIZER:
                    yield from _values(tensor)


def _values(tensor: Message) -> Iterator[npt.NDArray[Any]]:
    """The values of a TensorProto, if they are floating-point numbers that are stored here."""
    dims: list[int] = []
    kind, parts = 0, list[tuple[str, Message]]()
    for number, value in _fields(tensor):
        if number == _DIMS:
            dims += [value] if isinstance(value, int) else list(_varints(value))
        elif number == _TYPE:
            kind = value
        elif number == _RAW:
            parts.append(("", value))
        elif number in (_FLOATS, _DOUBLES):
            parts.append(("<f4" if number == _FLOATS else "<f8", value))
    if kind in _DTYPES and parts:
        arrays = [np.frombuffer(value, dtype or _DTYPES[kind]) for dtype, value in parts]
        yield np.concatenate(arrays).reshape(dims)


def _fields(message: Message) -> Iterator[Field]:
    """Number and value of each field: a whole number, or bytes."""
    place = 0
    while place < len(message):
        key, place = _varint(message, place)
        number, wire = key >> 3, key & 7
        if wire == 0:
            value, place = _varint(message, place)
            yield number, value
            continue
        size = _FIXED_BYTES.get(wire)
        if wire == 2:
            size, place = _varint(message, place)
        if size is None or place + size > len(message):
            raise ValueError(f"a field of wire type {wire} that is cut short or unknown")
        yield number, message[place : place + size]
        place += size


def _varints(message: Message) -> Iterator[int]:
    place = 0
    while place < len(message):
        value, place = _varint(message, place)
        yield value


def _varint(message: Message, place: int) -> tuple[int, int]:
    """A whole number of seven bits a byte, and the place after it."""
    value = shift = 0
    while True:
        byte = message[place]
        place += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, place
        shift += 7
