"""The ways to register that are compared, and what each of them finds."""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import mureg
from mureg.catalogue import settings_of
from mureg.comparison.budget import Budget, budget_of
from mureg.comparison.peers import Ants, Elastix, Peer, process_of
from mureg.errors import MuregError, UsageError
from mureg.geometry import Grid, RigidTransform, Volume
from mureg.registration import Combination, GradientFields, MutualInformation, NearHeart, ProfileLikelihood, Registrar
from mureg.registration.card import SUFFIX, Card, read_weights
from mureg.registration.catalogue import REGISTRAR_CATALOGUE
from mureg.registration.near_heart import weights_file
from mureg.registration.network import NetworkRegistrar
from mureg.registration.onnx_networks import load_network
from mureg.study import PreparedStudy

UNREGISTERED, ORACLE = "unregistered", "oracle"
KNOWN = (UNREGISTERED, ORACLE)
ABLATED = " (SPECT ablated)"
TRAINED_ABLATED = " (trained with ablated SPECT)"
WITHOUT_SPECT = (ABLATED, TRAINED_ABLATED)
"""Ends of the names of rows of networks whose SPECT input was ablated."""

_WEIGHTS = (SUFFIX, ".safetensors")
"""Endings of weights; those of mureg 0.1.0 are refused with what to do."""


@dataclass(frozen=True)
class MethodPose:
    """What a method gave: a pose, or why there is none.

    Attributes:
        ct_from_spect: None where the method refused or crashed.
        seconds: of the processor, for the registration alone.
        version: of the program.
        status: "done", "refused" or "crashed".
        reason: why there is no pose.
    """

    ct_from_spect: RigidTransform | None
    seconds: float
    version: str
    status: str = "done"
    reason: str = ""


@dataclass(frozen=True)
class Method:
    """A way to register.

    Attributes:
        name: of its row.
        settings: as JSON, weights by their hash.
        registrar: None for unregistered and the oracle, which need none.
        parameters: of a network; None where nothing was learned.
        training_cases: names of the cases that a network was trained or chosen on, where its run folder says so.
        training: what its training cost, where that is known.
    """

    name: str
    settings: str = "{}"
    registrar: Registrar | Peer | None = None
    parameters: int | None = None
    training_cases: frozenset[str] = frozenset()
    training: Budget | None = None

    @property
    def classical(self) -> bool:
        """Whether it searches for the pose anew in each case: seconds a case, where a network takes a tenth of one."""
        own = Combination | GradientFields | MutualInformation | NearHeart | ProfileLikelihood
        return isinstance(self.registrar, own | Elastix | Ants)

    @classmethod
    def of(
        cls,
        name: str,
        registrar: Registrar | Peer,
        parameters: int | None = None,
        training_cases: frozenset[str] = frozenset(),
        training: Budget | None = None,
    ) -> Method:
        """A method by the object that is its settings."""
        settings = {key: _plain(value) for key, value in settings_of(registrar).items()}
        if isinstance(registrar, NearHeart):
            settings["weights"] = _weights_hash(registrar)
        if isinstance(registrar, Combination):
            settings["near_heart"] = {**settings["near_heart"], "weights": _weights_hash(registrar.near_heart)}
        return cls(name, json.dumps(settings, sort_keys=True), registrar, parameters, training_cases, training)


def register(method: Method, study: PreparedStudy, python: Path) -> MethodPose:
    """Find ``ct_from_spect`` with one method; errors are recorded, and implausible motions of every method are refused.

    Args:
        method: neither unregistered nor the oracle.
        study: uncorrected SPECT, maps, and the projections for those who use them.
        python: that has the outside programs.
    """
    if method.registrar is None:
        raise UsageError(
            f"the method {method.name}, which registers nothing",
            "a method with a registrar",
            "take its pose from the case",
        )
    if isinstance(method.registrar, Elastix | Ants):
        answer = _ask_peer(method.registrar, study.uncorrected, study.body, python)
    else:
        answer = _ask(method.registrar, study)
    return answer if answer.ct_from_spect is None else _plausible(answer, answer.ct_from_spect, study.uncorrected.grid)


def _weights_hash(registrar: NearHeart) -> str:
    return f"sha256:{read_weights(weights_file(registrar.weights))[1].weights_sha256}"


def _ask(registrar: Any, study: PreparedStudy) -> MethodPose:
    version, start = f"mureg {mureg.__version__}", time.process_time()
    try:
        registration = registrar.register(study)
    except MuregError as problem:
        return MethodPose(None, time.process_time() - start, version, "refused", str(problem))
    except Exception as problem:  # whatever it is, it is counted
        return MethodPose(None, time.process_time() - start, version, "crashed", f"{type(problem).__name__}: {problem}")
    return MethodPose(registration.ct_from_spect, time.process_time() - start, version)


def _ask_peer(peer: Peer, spect: Volume, body: Volume, python: Path) -> MethodPose:
    programs = process_of(python)
    version = programs.versions[peer.kind]
    answer = programs.register(peer, spect, body)
    if "crashed" in answer:
        return MethodPose(None, answer["seconds"], version, "crashed", answer["crashed"])
    return MethodPose(RigidTransform(np.array(answer["matrix"])), answer["seconds"], version)


def _plausible(answer: MethodPose, pose: RigidTransform, grid: Grid) -> MethodPose:
    """Refuse implausible motions, with the same limits for every method."""
    limits, shift_mm = MutualInformation(), float(np.linalg.norm(pose.six(grid.centre_mm)[0]))
    if shift_mm <= limits.largest_shift_mm and pose.rotation_deg <= limits.largest_angle_deg:
        return answer
    reason = f"moves the map by {shift_mm:.0f} mm and {pose.rotation_deg:.0f} degrees"
    return MethodPose(None, answer.seconds, answer.version, "refused", reason)


def choose(names: list[str], registrars: dict[str, Registrar | Peer]) -> list[Method]:
    """The methods of a comparison, every network that was trained with the SPECT followed by itself with ablated SPECT.

    Args:
        names: ``unregistered``, ``oracle``, a key of `registrars`, the path of a network's weights (.onnx), or a
            registrar of another package with its own settings (see `registrar_named`).
        registrars: those without weights, by name.

    Raises:
        UsageError: an unknown name, a name twice, or no such file.
    """
    methods: list[Method] = []
    for name in names:
        if name in KNOWN:
            methods.append(Method(name))
        elif name in registrars:
            methods.append(Method.of(name, registrars[name]))
        elif name.endswith(_WEIGHTS):
            methods += _learned(Path(name))
        elif ":" in name or name in REGISTRAR_CATALOGUE.names():
            methods.append(Method.of(name, REGISTRAR_CATALOGUE.make({"kind": name})))
        else:
            known_names = ", ".join((*KNOWN, *registrars))
            raise UsageError(
                f"no registrar {name!r}", f"one of {known_names}, or a path to {SUFFIX}", "correct the name"
            )
    method_names = [method.name for method in methods]
    if twice := next((name for name in method_names if method_names.count(name) > 1), None):
        raise UsageError(f"two rows named {twice}", "a name for each", "give the folders of the weights other names")
    if not methods:
        raise UsageError("no registrar", "at least one", "name some with --registrars")
    return methods


def _learned(weights: Path) -> list[Method]:
    """A network and itself with ablated SPECT; named after its file, or the folder of best and last."""
    if not weights.is_file():
        raise UsageError(f"no weights at {weights}", "a file that mureg train wrote", "correct the path")
    name = weights.parent.resolve().name if weights.stem in ("best", "last") else weights.stem
    complete, parameters, card = load_learned(weights, ablated=False)
    facts = parameters, _training_cases(weights.with_name("data.json")), budget_of(weights, card)
    if card.ablated:
        return [Method.of(name + TRAINED_ABLATED, complete, *facts)]
    ablated, _, _ = load_learned(weights, ablated=True)
    return [Method.of(name, complete, *facts), Method.of(name + ABLATED, ablated, *facts)]


def load_learned(weights: Path, ablated: bool) -> tuple[Registrar, int, Card]:
    """The registrar that uses a network, how many parameters that has, and its card."""
    _, card = load_network(weights)
    return NetworkRegistrar(weights=weights, ablated=ablated), card.parameters, card


def _training_cases(data: Path) -> frozenset[str]:
    """Cases of training and validation that a run folder tells of; none where there is no such file."""
    try:
        record = json.loads(data.read_text("utf-8"))
        return frozenset(str(case) for part in ("train", "validation") for case in record[part]["cases"])
    except (OSError, ValueError, KeyError, TypeError):
        return frozenset()


def _plain(value: Any) -> Any:
    """A setting as JSON has it; a file by the hash of its bytes, so that it is the same wherever it lies."""
    if isinstance(value, Path):
        return f"sha256:{hashlib.sha256(value.read_bytes()).hexdigest()}"
    return list(value) if isinstance(value, tuple) else value
