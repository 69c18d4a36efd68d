"""The few parts of an ONNX file that are needed to rearrange its graph, read and written without the package onnx.

An ONNX file is a message of protocol buffers (https://protobuf.dev/programming-guides/encoding): a row of fields, each
with a number, a wire type and a value. What is not understood here is carried along as it stands. Field numbers are
those of onnx.proto, which never change.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

_DTYPES = {1: "<f4", 6: "<i4", 7: "<i8", 10: "<f2", 11: "<f8"}
"""Types of tensors that are read (TensorProto.DataType)."""
_NUMBERS = {np.dtype(name): number for number, name in _DTYPES.items()}
_VARINT, _TEXT = 0, 2
"""Wire types (Protocol Buffers encoding); numbers of a fixed width occur in attributes and values alone."""
_GRAPH_OF_MODEL, _FUNCTIONS_OF_MODEL = 7, 25
"""Field numbers of ModelProto (onnx.proto)."""
_NODE, _INITIALIZER, _INPUT, _OUTPUT, _SHAPES, _SPARSE = 1, 5, 11, 12, 13, 15
"""Field numbers of GraphProto (onnx.proto)."""
_WITH_SUBGRAPHS = ("If", "Loop", "Scan", "SequenceMap")

Field = tuple[int, int, Any]


class NotUnderstoodError(Exception):
    """The file holds something that cannot be carried along."""


def fields(message: bytes | memoryview) -> Iterator[Field]:
    """Number, wire type and value of each field."""
    place, end = 0, len(message)
    while place < end:
        key, place = _varint(message, place) if message[place] > 127 else (message[place], place + 1)
        number, wire = key >> 3, key & 7
        if wire == _TEXT:
            size, place = _varint(message, place) if message[place] > 127 else (message[place], place + 1)
            if place + size > end:
                raise NotUnderstoodError("a field that goes on beyond the end")
            yield number, wire, message[place : place + size]
            place += size
        elif wire == _VARINT:
            value, place = _varint(message, place)
            yield number, wire, value
        else:
            raise NotUnderstoodError(f"a field of wire type {wire}")


def as_field(number: int, value: int | bytes | memoryview | str) -> bytes:
    """A field that holds a whole number, or bytes."""
    if isinstance(value, int):
        return _as_varint(number << 3 | _VARINT) + _as_varint(value)
    content = value.encode() if isinstance(value, str) else bytes(value)
    return _head(number, len(content)) + content


@dataclass(frozen=True, eq=False)
class Node:
    """An operation of a graph (NodeProto).

    Attributes:
        operator: its name, such as Conv.
        inputs, outputs: names of tensors.
        attributes: AttributeProto messages as they stand.
    """

    operator: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: tuple[bytes, ...] = ()

    @classmethod
    def of(cls, message: memoryview) -> Node:
        """Read a node of the standard operators without subgraphs."""
        inputs, outputs, attributes, operator = list[str](), list[str](), list[bytes](), ""
        for number, _, value in fields(bytes(message)):
            if number == 1:
                inputs.append(value.decode())
            elif number == 2:
                outputs.append(value.decode())
            elif number == 5:
                attributes.append(value)
            elif number == 4:
                operator = value.decode()
            elif number == 7 and value:
                raise NotUnderstoodError("an operator that is not of ONNX")
        if operator in _WITH_SUBGRAPHS:
            raise NotUnderstoodError("a node with a graph of its own")
        return cls(operator, tuple(inputs), tuple(outputs), tuple(attributes))

    def number(self, name: str, otherwise: int) -> int:
        """The value of an attribute that is a whole number."""
        head = as_field(1, name)
        for attribute in self.attributes:
            if attribute.startswith(head):
                value = next((value for number, _, value in fields(attribute) if number == 3), 0)
                return int(value) - (1 << 64) if value >> 63 else int(value)
        return otherwise

    @property
    def message(self) -> bytes:
        """The node as it is written."""
        names = [as_field(1, name) for name in self.inputs] + [as_field(2, name) for name in self.outputs]
        return b"".join((*names, as_field(4, self.operator), *(as_field(5, each) for each in self.attributes)))


@dataclass(frozen=True, eq=False)
class Graph:
    """A model whose graph is taken apart.

    Attributes:
        nodes: in an order in which they can be computed.
        tensors: stored weights and constants by name; those of other types as they stand.
        inputs, outputs: ValueInfoProto messages by the names of the tensors.
        others_of_graph, others_of_model: fields that are carried along.
    """

    nodes: tuple[Node, ...]
    tensors: dict[str, npt.NDArray[Any] | bytes]
    inputs: dict[str, bytes]
    outputs: dict[str, bytes]
    others_of_graph: bytes
    others_of_model: bytes

    @classmethod
    def of(cls, content: bytes) -> Graph:
        """Read a model. Raises `NotUnderstoodError`, or whatever damaged bytes lead to."""
        others_of_model, graph = _apart(memoryview(content), {_GRAPH_OF_MODEL}, {_FUNCTIONS_OF_MODEL})
        (whole,) = graph[_GRAPH_OF_MODEL]
        others, parts = _apart(whole, {_NODE, _INITIALIZER, _INPUT, _OUTPUT, _SHAPES}, {_SPARSE})
        tensors = dict(map(_tensor, parts[_INITIALIZER]))
        inputs, outputs = ({_name(each): bytes(each) for each in parts[number]} for number in (_INPUT, _OUTPUT))
        return cls(tuple(map(Node.of, parts[_NODE])), tensors, inputs, outputs, others, others_of_model)

    @property
    def content(self) -> bytes:
        """The model as a file, with the tensors that its nodes use."""
        used = {name for node in self.nodes for name in node.inputs}
        chunks: list[bytes | memoryview] = [as_field(_NODE, node.message) for node in self.nodes]
        for name, value in self.tensors.items():
            if name in used:
                chunks += (as_field(_INITIALIZER, value),) if isinstance(value, bytes) else _tensor_chunks(name, value)
        chunks += (as_field(_INPUT, each) for each in self.inputs.values())
        chunks += (as_field(_OUTPUT, each) for each in self.outputs.values())
        chunks.append(self.others_of_graph)
        # the weights are megabytes: they are copied once
        return b"".join((self.others_of_model, _head(_GRAPH_OF_MODEL, sum(map(len, chunks))), *chunks))


def float_tensor(name: str, shape: Sequence[int] | None = None) -> bytes:
    """A ValueInfoProto: a tensor of single precision as an input or output of a graph."""
    kind = as_field(1, 1)
    if shape is not None:
        kind += as_field(2, b"".join(as_field(1, as_field(1, size)) for size in shape))
    return as_field(1, name) + as_field(2, as_field(1, kind))


def _apart(message: memoryview, wanted: set[int], refused: set[int]) -> tuple[bytes, dict[int, list[memoryview]]]:
    """The fields of some numbers, and all others as they stand."""
    others, parts = [], {number: list[memoryview]() for number in wanted}
    for number, _, value in fields(message):
        if number in refused:
            raise NotUnderstoodError(f"field {number}")
        if number in wanted:
            parts[number].append(value)
        else:
            others.append(as_field(number, value))
    return b"".join(others), parts


def _tensor(message: memoryview) -> tuple[str, npt.NDArray[Any] | bytes]:
    """Name and values of a TensorProto; the message itself where its values are not read here."""
    shape: list[int] = []
    name, kind, raw, is_read = "", 0, None, True
    for number, wire, value in fields(message):
        if number == 1 and wire == _VARINT:
            shape.append(value)
        elif number == 2:
            kind = value
        elif number == 8:
            name = str(value, "utf-8")
        elif number == 9:
            raw = value
        else:
            is_read = False
    if raw is None or kind not in _DTYPES or not is_read:
        return name, bytes(message)
    return name, np.frombuffer(raw, _DTYPES[kind]).reshape(shape)


def _tensor_chunks(name: str, values: npt.NDArray[Any]) -> tuple[bytes, memoryview]:
    """The field of a tensor in a graph: what comes before its values, and these."""
    raw = np.ascontiguousarray(values).reshape(-1).view(np.uint8).data
    shape = b"".join(as_field(1, size) for size in values.shape)
    head = shape + as_field(2, _NUMBERS[values.dtype]) + as_field(8, name) + _head(9, len(raw))
    return _head(_INITIALIZER, len(head) + len(raw)) + head, raw


def _head(number: int, size: int) -> bytes:
    """What comes before the bytes of a field."""
    if number < 16 and size < 128:  # nearly all of them
        return bytes((number << 3 | _TEXT, size))
    return _as_varint(number << 3 | _TEXT) + _as_varint(size)


def _name(message: memoryview) -> str:
    """Of a ValueInfoProto."""
    return next(str(value, "utf-8") for number, _, value in fields(message) if number == 1)


def _varint(message: bytes | memoryview, place: int) -> tuple[int, int]:
    """A whole number of seven bits a byte, and the place after it."""
    value = shift = 0
    while True:
        byte = message[place]
        place += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, place
        shift += 7


def _as_varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    parts = bytearray()
    while value > 127:
        parts.append(value & 127 | 128)
        value >>= 7
    parts.append(value)
    return bytes(parts)
