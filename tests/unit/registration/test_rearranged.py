"""Rearranged networks against the same files run as they are; the package onnx says whether a graph is one."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from mureg.registration.card import read_weights, shipped
from mureg.registration.onnx_networks import INPUTS, OUTPUT, OnnxNetworks, network_of, session_of
from mureg.registration.onnx_wire import Graph
from mureg.registration.rearranged import apart, with_plain_weights, with_shared_convolutions

SHAPE = (6, 5, 4)


class Builder:
    """A small graph with random weights, in half precision under other names as training writes them."""

    def __init__(self) -> None:
        self.rng = np.random.default_rng(0)
        self.nodes, self.tensors = [], []

    def weight(self, name: str, *shape: int) -> str:
        values = self.rng.normal(0.0, 0.3, shape).astype(np.float16)
        self.tensors.append(numpy_helper.from_array(values, f"half/{name}"))
        self.nodes.insert(0, helper.make_node("Cast", [f"half/{name}"], [name], to=TensorProto.FLOAT))
        return name

    def op(self, operator: str, inputs: list[str], output: str, **attributes: object) -> str:
        self.nodes.append(helper.make_node(operator, inputs, [output], **attributes))
        return output

    def convolved(
        self, image: str, name: str, filters: int, channels: int, *, width: int = 3, bias: bool = False
    ) -> str:
        inputs = [image, self.weight(f"{name}.w", filters, channels, width, width, width)]
        inputs += [self.weight(f"{name}.b", filters)] if bias else []
        pads = [width // 2] * 6
        return self.op("Relu", [self.op("Conv", inputs, f"{name}.c", pads=pads, kernel_shape=[width] * 3)], name)

    def dense_block(self, image: str, name: str, channels: int, *, bias: bool) -> str:
        """Three layers that each see all before them, and a convolution that joins all."""
        joined = image
        for layer in range(3):
            new = self.convolved(joined, f"{name}{layer}", 3, channels + 3 * layer, bias=bias)
            joined = self.op("Concat", [joined, new], f"{name}{layer}.joined", axis=1)
        return self.convolved(joined, f"{name}.end", channels, channels + 9, width=1)

    def content(self, last: str, size: int) -> bytes:
        flat = self.op("Flatten", [last], "flat")
        self.op("Gemm", [flat, self.weight("six", 6, size)], OUTPUT, transB=1)
        inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 1, *SHAPE]) for name in INPUTS]
        output = helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, [1, 6])
        graph = helper.make_graph(self.nodes, "network", inputs, [output], self.tensors)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        onnx.checker.check_model(model)
        return model.SerializeToString()


def dense(*, bias: bool = False, together: bool = False) -> bytes:
    """Dense blocks on both images apart, or on both together."""
    build = Builder()
    if together:
        both = build.op("Concat", list(INPUTS), "both", axis=1)
        end = build.dense_block(build.convolved(both, "stem", 4, 2), "block", 4, bias=bias)
    else:
        ends = [build.dense_block(build.convolved(i, f"stem.{i}", 4, 1), f"block.{i}", 4, bias=bias) for i in INPUTS]
        both = build.op("Concat", ends, "both", axis=1)
        end = build.dense_block(both, "deep", 8, bias=bias)
    return build.content(end, (4 if together else 8) * int(np.prod(SHAPE)))


def images(seed: int):
    rng = np.random.default_rng(seed)
    return rng.uniform(0.0, 2.0, SHAPE), rng.uniform(0.0, 0.15, SHAPE)


def as_it_is(content: bytes, pair) -> np.ndarray:
    feed = {name: image[None, None].astype(np.float32) for name, image in zip(INPUTS, pair, strict=True)}
    return session_of(content).run([OUTPUT], feed)[0][0]


def assert_alike(answer: np.ndarray, expected: np.ndarray) -> None:
    """Up to the rounding of sums in single precision, of the largest of the six."""
    np.testing.assert_allclose(answer, expected, rtol=0.0, atol=2e-6 * np.abs(expected).max())


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("together", [False, True])
def test_a_rearranged_network_answers_as_it_did(bias, together) -> None:
    content = dense(bias=bias, together=together)
    network = network_of(content)
    assert (network.of_spect is None) == together, "both images mixed at once leave nothing of the SPECT alone"
    for seed in (1, 2):
        assert_alike(network.answer(images(seed)), as_it_is(content, images(seed)))


def test_every_image_is_gathered_once_for_all_layers_that_follow() -> None:
    graph = with_shared_convolutions(with_plain_weights(Graph.of(dense())))
    assert graph is not None
    model = onnx.load_from_string(graph.content)
    onnx.checker.check_model(model, full_check=True)
    wide = [n for n in model.graph.node if n.op_type == "Conv" and onnx.helper.get_node_attr_value(n, "pads")[0] == 1]
    images_convolved = [node.input[0] for node in wide]
    assert len(images_convolved) == len(set(images_convolved))
    joined = {node.output[0] for node in model.graph.node if node.op_type == "Concat"}
    assert not joined.intersection(images_convolved)


def test_the_spect_is_worked_on_once_for_many_maps() -> None:
    network = network_of(dense())
    (spect, first), (other, second) = images(1), images(2)
    runs = []

    class Counted:
        def __getattr__(self, name: str) -> object:
            return getattr(network.of_spect, name)

        def run(self, *arguments: object) -> object:
            runs.append(1)
            return network.of_spect.run(*arguments)

    counted = type(network)(network.session, Counted())
    answers = [counted.answer(pair) for pair in ((spect, first), (spect, second), (other, second), (spect, first))]
    assert len(runs) == 2
    for answer, pair in zip(answers, ((spect, first), (spect, second), (other, second), (spect, first)), strict=True):
        assert_alike(answer, as_it_is(dense(), pair))


def test_what_is_not_understood_is_run_as_it_is() -> None:
    """A node with graphs of its own may use any tensor around it."""
    model = onnx.load_from_string(dense())
    tiny = helper.make_tensor_value_info("t", TensorProto.FLOAT, None)
    branch = helper.make_graph([helper.make_node("Identity", ["flat"], ["t"])], "branch", [], [tiny])
    constant = helper.make_node("Constant", [], ["yes"], value=numpy_helper.from_array(np.array(True)))
    node = helper.make_node("If", ["yes"], ["chosen"], then_branch=branch, else_branch=branch)
    last = model.graph.node[-1]
    last.input[0] = "chosen"
    nodes = [*list(model.graph.node)[:-1], constant, node, last]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    content = model.SerializeToString()
    network = network_of(content)
    assert network.of_spect is None
    np.testing.assert_allclose(network.answer(images(3)), as_it_is(content, images(3)), rtol=1e-6)


def test_a_graph_is_written_as_it_was_read() -> None:
    content = dense(bias=True)
    again = onnx.load_from_string(Graph.of(content).content)
    model = onnx.load_from_string(content)
    assert list(again.graph.node) == list(model.graph.node)
    assert list(again.graph.input) == list(model.graph.input)
    assert again.opset_import == model.opset_import
    by_name = {tensor.name: tensor for tensor in again.graph.initializer}
    for tensor in model.graph.initializer:
        assert np.array_equal(numpy_helper.to_array(by_name[tensor.name]), numpy_helper.to_array(tensor))


def test_nothing_is_set_apart_where_the_whole_network_sees_one_input() -> None:
    build = Builder()
    content = build.content(build.convolved("spect", "only", 2, 1), 2 * int(np.prod(SHAPE)))
    assert apart(Graph.of(content), "spect") is None
    assert with_shared_convolutions(with_plain_weights(Graph.of(content))) is None
    np.testing.assert_allclose(network_of(content).answer(images(4)), as_it_is(content, images(4)), rtol=1e-6)


def test_the_shipped_networks_answer_as_they_did() -> None:
    contents, card = read_weights(shipped("near-heart"))
    rng = np.random.default_rng(5)
    pair = rng.uniform(0.0, 2.0, card.grid.shape), rng.uniform(0.0, 0.15, card.grid.shape)
    networks = OnnxNetworks(tuple(map(network_of, contents)), card.grid.shape)
    assert all(network.of_spect is not None for network in networks.networks)
    expected = [as_it_is(content, pair) for content in contents]
    np.testing.assert_allclose(networks.predicted([pair])[0], expected, atol=1e-5)
