"""Networks in onnxruntime: two images in, rigid parameters out; the same digits whatever the number of threads."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from mureg.errors import UnreadableInputError, UsageError
from mureg.geometry import Array
from mureg.jobs.threads import in_threads
from mureg.registration.card import SUFFIX, Card, read_weights
from mureg.registration.onnx_wire import Graph, float_tensor
from mureg.registration.rearranged import apart, with_plain_weights, with_shared_convolutions
from mureg.spect.kept import KeptByBytes

INPUTS, OUTPUT = ("spect", "mu"), "rigid_parameters"
"""Names of the inputs [1, 1, x, y, z] and of the output [1, 6] in the ONNX graph of every network."""

Images = tuple[Float[Array, "x y z"], Float[Array, "x y z"]]
"""SPECT divided by its mean, attenuation in 1/cm."""

NO_TELEMETRY = ("ORT_DISABLE_TELEMETRY", "ORT_TELEMETRY_DISABLED")
"""Environment variables that make all versions of onnxruntime keep no identifier and send nothing."""

Ends = tuple[dict[str, list[int]], dict[str, list[int]]]
"""Shapes of inputs and of outputs, by name."""

_BYTES_KEPT = 4 << 20
"""Memory of what each network keeps of SPECT images: that of hundreds for the shipped ones; a round value."""
_MOST_KEPT = 16
"""Sets of networks that a process keeps ready: more than one comparison uses, 10 MB each; a round value."""


@runtime_checkable
class Networks(Protocol):
    """One network or several that are averaged."""

    def predicted(self, images: Sequence[Images], first_alone: bool = False) -> Float[Array, "image network 6"]:
        """Rigid parameters for each pair of images by each network, or by the first one alone.

        Translations are in units of `UNIT_MM`, angles in degrees (`RigidTransform.from_six`); float64.
        """
        ...


@dataclass(frozen=True, eq=False)
class Network:
    """A network ready to run.

    Attributes:
        session: an `onnxruntime.InferenceSession` of what depends on the map.
        of_spect: the session of what is computed from the SPECT alone; None where there is nothing of that kind.
        kept: what `of_spect` gave for the last images; a registration asks for many poses of the map with one SPECT.
    """

    session: Any
    of_spect: Any = None
    kept: KeptByBytes[dict[str, Array]] = field(default_factory=lambda: KeptByBytes(_BYTES_KEPT, _size_of))

    @property
    def ends(self) -> Ends:
        """Shapes of the inputs and outputs by name."""
        features = () if self.of_spect is None else tuple(end.name for end in self.of_spect.get_outputs())
        inputs = [*(() if self.of_spect is None else self.of_spect.get_inputs()), *self.session.get_inputs()]
        return (
            {end.name: list(end.shape) for end in inputs if end.name not in features},
            {end.name: list(end.shape) for end in self.session.get_outputs()},
        )

    def answer(self, images: Images) -> Float[Array, " 6"]:
        """Rigid parameters for a pair of images; see `Networks.predicted`."""
        spect, mu = (np.ascontiguousarray(image[None, None], np.float32) for image in images)
        feed = {INPUTS[1]: mu}
        if self.of_spect is None:
            feed[INPUTS[0]] = spect
        else:
            feed |= self.kept.value(hashlib.blake2b(spect.data).digest(), lambda: self._features(spect))
        (six,) = self.session.run([OUTPUT], feed)
        return np.asarray(six[0], dtype=np.float64)

    def _features(self, spect: Array) -> dict[str, Array]:
        names = [end.name for end in self.of_spect.get_outputs()]
        return dict(zip(names, self.of_spect.run(names, {INPUTS[0]: spect}), strict=True))


def _size_of(features: dict[str, Array]) -> int:
    return sum(feature.nbytes for feature in features.values())


@dataclass(frozen=True, eq=False)
class OnnxNetworks:
    """A set of networks; see `Networks`.

    Each network works on one thread. Pairs of images and networks are divided among the threads instead, so that the
    digits do not depend on how many there are.

    Attributes:
        networks: one or several.
        shape: voxels of either input.
    """

    networks: tuple[Network, ...]
    shape: tuple[int, int, int]

    def predicted(self, images: Sequence[Images], first_alone: bool = False) -> Float[Array, "image network 6"]:
        """See `Networks.predicted`. Raises `UsageError` for images of another shape."""
        for pair in images:
            for name, image in zip(("SPECT", "attenuation map"), pair, strict=True):
                _require_shape(name, image.shape, self.shape)
        networks = self.networks[:1] if first_alone else self.networks
        work = [(network, pair) for pair in images for network in networks]
        answers = in_threads(lambda item: item[0].answer(item[1]), work)
        return np.stack(answers).reshape(len(images), len(networks), 6)


def load_network(weights: Path | str) -> tuple[OnnxNetworks, Card]:
    """Read networks that are ready for use.

    Raises:
        UnreadableInputError: weights or card missing, damaged, too large, not of each other, or no network that takes
            two images of the shape on the card; weights in the format of mureg 0.1.0.
    """
    weights = Path(weights)
    if weights.suffix == ".safetensors":
        raise UnreadableInputError(
            f"{weights.name}, weights in the format of mureg 0.1.0",
            f"weights as {SUFFIX}",
            f'convert them where mureg[train] is installed: python -m mureg.training.convert "{weights.name}"',
        )
    contents, card = read_weights(weights)
    networks = tuple(_network(content, weights.name) for content in contents)
    for network in networks:
        _require_ends(network, card.grid.shape, weights.name)
    return OnnxNetworks(networks, card.grid.shape), card


def kept_network(weights: Path) -> tuple[OnnxNetworks, Card]:
    """As `load_network`, kept in memory for the next study; read anew when the file has changed."""
    return _load_once(weights, _stamp(weights))


@lru_cache(maxsize=_MOST_KEPT)
def _load_once(weights: Path, _stamp_of_it: tuple[int, int]) -> tuple[OnnxNetworks, Card]:
    return load_network(weights)


def _stamp(weights: Path) -> tuple[int, int]:
    try:
        status = weights.stat()
    except OSError:  # reading it will say what is wrong
        return 0, 0
    return status.st_mtime_ns, status.st_size


def runtime() -> Any:
    """The module onnxruntime, imported where a network is used, without its telemetry.

    Its official builds keep an identifier of the device in the user's home and send events to their maker. The
    environment variable stops both if it is set before the first import in this process; on Windows the function does.
    """
    for name in NO_TELEMETRY:
        os.environ[name] = "1"
    import onnxruntime

    onnxruntime.disable_telemetry_events()
    return onnxruntime


def network_of(content: bytes) -> Network:
    """A network, rearranged where that saves time (`mureg.registration.rearranged`); raises what onnxruntime raises."""
    try:
        plain = with_plain_weights(Graph.of(content))
        shared = with_shared_convolutions(plain)
        return _in_sessions(shared or plain, is_shared=shared is not None)
    except (
        Exception
    ):  # what is damaged, or not understood: onnxruntime runs the network as it is, or says what is wrong
        return Network(session_of(content))


def _in_sessions(graph: Graph, *, is_shared: bool) -> Network:
    """The sessions of a graph, with what is computed from the SPECT alone in one of its own."""
    parts = apart(graph, INPUTS[0])
    if parts is None:
        return Network(session_of(graph.content, optimise=not is_shared))
    first, second, features = parts
    first = replace(first, outputs={name: float_tensor(name) for name in features})
    of_spect = session_of(first.content, optimise=not is_shared)
    inputs = {end.name: float_tensor(end.name, end.shape) for end in of_spect.get_outputs()}
    second = replace(second, inputs=second.inputs | inputs)
    return Network(session_of(second.content, optimise=not is_shared), of_spect)


def session_of(content: bytes, *, optimise: bool = True) -> Any:
    """An `onnxruntime.InferenceSession` on one thread of the processor; raises what onnxruntime raises.

    Without `optimise` it takes the graph as it is, which takes half of the time where there is nothing to gain.
    """
    onnxruntime = runtime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    options.use_deterministic_compute = True
    options.enable_mem_pattern = options.enable_cpu_mem_arena = False  # 30 MB for no time
    options.log_severity_level = 4  # what it has to say comes as an exception
    if not optimise:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def _network(content: bytes, name: str) -> Network:
    try:
        return network_of(content)
    except Exception as problem:  # onnxruntime has no class of its own for all its errors
        reason = " ".join(str(problem).split())[:200]
        raise UnreadableInputError(
            f"{name} is no network that onnxruntime can run ({reason})",
            f"a {SUFFIX} file that mureg train wrote",
            "copy the weights and their card again",
        ) from problem


def _require_ends(network: Network, shape: tuple[int, int, int], name: str) -> None:
    """Refuse a graph with other inputs than two images of a shape, or other outputs than six rigid parameters."""
    expected = {key: [1, 1, *shape] for key in INPUTS}, {OUTPUT: [1, 6]}
    own_ends = network.ends
    if own_ends != expected:
        raise UnreadableInputError(
            f"{name}, whose inputs and outputs are {_in_words(*own_ends)}",
            f"a network with {_in_words(*expected)}, as on its card",
            "use weights and card that mureg train wrote",
        )


def _in_words(*ends: dict[str, list[int]]) -> str:
    return " and ".join(", ".join(f"{name} {shape}" for name, shape in end.items()) or "none" for end in ends)


def _require_shape(name: str, shape: tuple[int, ...], expected: tuple[int, ...]) -> None:
    if tuple(shape) != tuple(expected):
        raise UsageError(
            f"a {name} of {' x '.join(map(str, shape))} voxels",
            f"{' x '.join(map(str, expected))}, for which the network was made",
            "resample it onto the network's grid",
        )
