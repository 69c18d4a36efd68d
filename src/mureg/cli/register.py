"""``mureg register``: register, assess and reconstruct one study."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

import tyro

from mureg import RESEARCH_USE_ONLY
from mureg.assessment.perfusion import HandAxis
from mureg.assessment.result import Assessment
from mureg.cli.algorithms import Algorithms, RegistrarName, Tuning, WeightsName
from mureg.cli.allowed import Allowed
from mureg.cli.common import Common, Output, parse
from mureg.cli.dicom import DicomOut
from mureg.cli.help import Flat
from mureg.cli.progress import progress
from mureg.cli.report import ReportOut, StudyPlace
from mureg.errors import RefusedError, UsageError
from mureg.files.output import claimed
from mureg.io import read_study, read_transform
from mureg.io.dicom.archives import kept_unpacked
from mureg.jobs.threads import beside
from mureg.notes import Note, Rank
from mureg.pipeline import Progress, StudySettings, examine
from mureg.registration import Combination, NearHeart, NetworkRegistrar, PoseByHand
from mureg.registration.nudge import Nudge
from mureg.registration.onnx_networks import kept_network
from mureg.registration.weights import is_name, weights_path
from mureg.results import as_json, check_folder, describe, load_what_writes, write_folder
from mureg.spect import Acquisition
from mureg.study import Study


@dataclass(frozen=True)
class Manner:
    """How a study is registered and what is written: all that a batch decides once for all studies.

    Attributes:
        registrar: registration method (default: combination, or that of --settings); also the name of one of another
            installed package, or package.module:Class.
        weights: networks of network, near-heart or combination: a name of mureg weights, or an .onnx file; alone it
            chooses network.
        no_reconstruction: skip the corrected image; write pose, decision and maps.
        allow_different_patients: accept headers that name different patients (phantoms); decision at best review.
    """

    registrar: RegistrarName = None
    weights: WeightsName = None
    no_reconstruction: bool = False
    allow_different_patients: bool = False
    allowed: Annotated[Allowed, Flat] = field(default_factory=Allowed)
    results: Annotated[DicomOut, Flat] = field(default_factory=DicomOut)
    document: Annotated[ReportOut, Flat] = field(default_factory=ReportOut)
    tuning: Annotated[Tuning, Flat] = field(default_factory=Tuning)

    def algorithms(self) -> Algorithms:
        """The settings of every algorithm; see `Tuning.algorithms`. Refuses weights that cannot be used."""
        algorithms = self.tuning.algorithms(self.registrar, weights=self.weights)
        self.weights_used(algorithms)
        return algorithms

    def weights_used(self, algorithms: Algorithms) -> tuple[Path | None, str]:
        """File and SHA-256 of the networks; None and "" for a registrar without any, and for those of the package."""
        registrar = algorithms.registrar
        registrar = registrar.near_heart if isinstance(registrar, Combination) else registrar
        if not isinstance(registrar, NearHeart | NetworkRegistrar):
            return None, ""
        weights = registrar.weights
        if is_name(weights):
            weights_path(weights)
            return None, ""
        path = weights_path(weights)
        return path, kept_network(path)[1].weights_sha256


@dataclass(frozen=True)
class Register:
    """Register a CT or attenuation map to a SPECT study and reconstruct the corrected image. Research use only.

    Attributes:
        spect: projections or volume: DICOM file, folder, DICOMDIR, ZIP, or NIfTI volume.
        output: new folder for the results.
        ct: CT in HU: DICOM series (file or folder) or NIfTI. Give --ct or --mu.
        mu: attenuation map (1/cm) instead of a CT: DICOM or NIfTI.
        spect_series: SPECT series in the folder: UID or its end, number, description.
        ct_series: CT or map series in the folder, named the same way.
        label: pseudonymous label in the report (default: made from the SPECT data).
        axis: left-ventricular long axis by hand: point near its middle (mm), direction from base to apex (LPS+).
        fast: quick mode: coarse registration, decision and maps; no corrected image or figures.
        pose: pose set by a reader, in place of a registration: registration.json, .tfm, DICOM Spatial Registration,
            elastix text or 4x4 matrix, from SPECT to CT; the decision is then by-hand.
        nudge: move the map from --pose, or from its scanner position, at the heart, in directions of the patient:
            "3 mm head, 2 mm left, 1 degree front to left".

    Example:
        mureg register --spect study/spect.dcm --ct study/ct -o results --dicom
    """

    spect: Path
    output: Output
    ct: Path | None = None
    mu: Path | None = None
    spect_series: str | None = None
    ct_series: str | None = None
    label: str = ""
    axis: Annotated[tuple[float, float, float, float, float, float] | None, tyro.conf.arg(metavar="X Y Z DX DY DZ")] = (
        None
    )
    fast: bool = False
    pose: Path | None = None
    nudge: str = ""
    common: Annotated[Common, Flat] = field(default_factory=Common)
    manner: Annotated[Manner, Flat] = field(default_factory=Manner)

    @property
    def by_hand(self) -> bool:
        """Whether a reader sets the pose."""
        return self.pose is not None or bool(self.nudge)


OPTIONS = Register


def main(arguments: Sequence[str]) -> int:
    """Parse, read, run, decide, write, report."""
    options = parse("register", arguments, Register)
    if (options.ct is None) == (options.mu is None):
        raise UsageError(
            "both --ct and --mu" if options.ct else "neither --ct nor --mu", "one of them", "give the CT or a ready map"
        )
    algorithms = options.manner.algorithms()
    if options.by_hand:
        _refuse_beside_a_pose(options)
    elif options.fast:
        algorithms = quick(options, algorithms)
    try:
        return _register(options, algorithms)
    except RefusedError as refusal:
        if options.common.messages.json:
            answer = {"decision": "refused", "reason": str(refusal), "use": RESEARCH_USE_ONLY}
            options.common.messages.emit(answer, [])
        raise


def _register(options: Register, algorithms: Algorithms) -> int:
    messages = options.common.messages
    options.common.prepare()
    with progress(messages) as report:
        assessment, files = register_study(options, algorithms, report)
    file_list = {"files": [file.name for file in files]}
    messages.emit(as_json(assessment) | file_list, [*describe(assessment), f"results in {options.output}"])
    return 0


def register_study(options: Register, algorithms: Algorithms, report: Progress) -> tuple[Assessment, list[Path]]:
    """Read one study, run, decide, and write; return the assessment and the files. A batch calls it for each study."""
    inputs = (options.spect, options.ct, options.mu, options.pose)
    weights, _ = options.manner.weights_used(algorithms)
    with claimed(options.output, (*inputs, weights)), kept_unpacked(*inputs):
        return _register_claimed(options, algorithms, report)


def _register_claimed(options: Register, algorithms: Algorithms, report: Progress) -> tuple[Assessment, list[Path]]:
    manner, overwrite = options.manner, options.common.overwrite
    check_folder(options.output, overwrite)
    report("reading")
    dicom = manner.results.of(options.spect, options.ct, options.mu, options.spect_series, options.ct_series)
    if dicom is not None:
        dicom.check()
    study = read_study(
        options.spect,
        ct=options.ct,
        mu=options.mu,
        spect_series=options.spect_series,
        ct_series=options.ct_series,
        **manner.allowed.as_arguments(),
    )
    registrar = algorithms.registrar
    if options.by_hand:
        study, registrar = _pose_by_hand(options, study)
    loaded = beside(lambda: load_what_writes(pictures=not options.fast))
    assessment = examine(
        study,
        StudySettings(
            registrar,
            algorithms.reconstructor,
            algorithms.physics,
            algorithms.attenuation,
            algorithms.decision,
        ),
        correct=not (manner.no_reconstruction or options.fast),
        axis=_axis_by_hand(options),
        seek_axis=not options.fast,
        allow_different_patients=manner.allow_different_patients,
        progress=report,
    )
    report("writing")
    loaded()
    place = StudyPlace(options.spect, options.ct, options.mu, options.spect_series, options.ct_series)
    made_at = None if dicom is None else dicom.made_at
    document = None if options.fast else manner.document.of(study, place, options.label, made_at)
    files = write_folder(assessment, options.output, dicom, document, pictures=not options.fast, overwrite=overwrite)
    return assessment, files


def quick(options: Register, algorithms: Algorithms) -> Algorithms:
    """The settings of quick mode. Raises `UsageError` for options that need more than it does."""
    manner = options.manner
    is_given_by_option = {
        f"--registrar {algorithms.registrar.kind}": not isinstance(algorithms.registrar, Combination | NearHeart),
        "--dicom or --moved-ct": manner.results.dicom or manner.results.moved_ct,
        "--pdf or --names": manner.document.pdf or manner.document.names,
        "--axis": options.axis is not None,
    }
    for what in (name for name, is_given in is_given_by_option.items() if is_given):
        raise UsageError(f"--fast with {what}", "quick mode alone", "leave one of the two out")
    assert isinstance(algorithms.registrar, Combination | NearHeart)
    return replace(algorithms, registrar=algorithms.registrar.quick_mode())


def _refuse_beside_a_pose(options: Register) -> None:
    """Refuse options that say how a pose is searched, and a nudge in other words, before anything is read."""
    manner, name = options.manner, "--nudge" if options.pose is None else "--pose"
    is_given_by_option = {
        "--fast": options.fast,
        "--registrar": manner.registrar is not None,
        "--set registrar": any(change.startswith("registrar.") for change in manner.tuning.changes),
    }
    for what in (option for option, is_given in is_given_by_option.items() if is_given):
        raise UsageError(f"{what} with {name}", "a pose that is given, or one that is searched", "leave one out")
    if options.nudge:
        Nudge.from_words(options.nudge)


def _pose_by_hand(options: Register, study: Study) -> tuple[Study, PoseByHand]:
    """The study with the file of the pose among its sources, and what gives the pose out."""
    heart_mm = None if options.axis is None else options.axis[:3]
    if options.pose is None:
        return study, PoseByHand(nudge=options.nudge, heart_mm=heart_mm)
    spect = study.spect.grid() if isinstance(study.spect, Acquisition) else study.spect.grid
    frames = spect.frame_of_reference, study.attenuation_volume.grid.frame_of_reference
    transform = read_transform(options.pose, frames)
    notes = (*study.notes, Note(transform.note, Rank.RECORD))
    read = replace(study, sources=(*study.sources, transform.source), notes=notes)
    return read, PoseByHand.at(transform.ct_from_spect, options.nudge, heart_mm)


def _axis_by_hand(options: Register) -> HandAxis | None:
    if options.axis is None:
        return None
    return options.axis[:3], options.axis[3:]
