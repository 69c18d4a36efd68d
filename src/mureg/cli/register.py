"""``mureg register``: the main job."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from mureg import RESEARCH_USE_ONLY
from mureg.assessment.perfusion import HandAxis
from mureg.assessment.result import Assessment
from mureg.cli.allowed import Allowed
from mureg.cli.common import (
    Algorithms,
    Common,
    Flat,
    Output,
    algorithms_from,
    emit,
    parse,
    progress,
)
from mureg.cli.dicom import DicomOut
from mureg.cli.report import ReportOut, StudyPlace
from mureg.errors import RefusedError, UsageError
from mureg.files.output import claimed
from mureg.io import read_study
from mureg.io.dicom.archives import kept_unpacked
from mureg.pipeline import Progress, StudySettings, examine
from mureg.registration import NearHeart
from mureg.results import as_json, check_folder, describe, write_folder


@dataclass(frozen=True)
class Manner:
    """How a study is registered and what is written: all that a batch decides once for all studies.

    Attributes:
        registrar: how the pose is found: near-heart, mutual-information, projection, the name of a registrar of another
            installed package, or package.module:Class.
        reconstruction: stop after the registration, without the corrected reconstruction.
        allow_different_patients: go on although the headers of SPECT and CT name different patients (phantom studies);
            the decision is then review at best.
    """

    registrar: str = NearHeart.kind
    reconstruction: bool = True
    allow_different_patients: bool = False
    allowed: Annotated[Allowed, Flat] = field(default_factory=Allowed)
    results: Annotated[DicomOut, Flat] = field(default_factory=DicomOut)
    document: Annotated[ReportOut, Flat] = field(default_factory=ReportOut)
    algorithms: Annotated[Algorithms, Flat] = field(default_factory=Algorithms)


@dataclass(frozen=True)
class Register:
    """Lay a CT or attenuation map onto a SPECT study and reconstruct the corrected heart. Research use only.

    Attributes:
        spect: DICOM file, folder, DICOMDIR or ZIP file with projections or a volume, or a NIfTI volume.
        output: folder for the results.
        ct: DICOM series (file or folder) or NIfTI volume in HU.
        mu: ready attenuation map instead of a CT, DICOM or NIfTI.
        spect_series: which SPECT series of the folder (UID, its end, number or description).
        ct_series: which CT or map series of the folder.
        label: pseudonymous study label shown on every page of the report; made from the SPECT data where left out.
        axis: left-ventricular long axis by hand: a point near its middle (mm), then the direction from base to apex,
            LPS+ in SPECT space (x to the patient's left, y to the back, z to the head).
        fast: the learned prior alone without its last steps: pose, decision and maps in a few seconds; no corrected
            image, polar maps or pictures.
        settings: TOML file of settings, as written beside each result; options given here go first.
    """

    spect: Path
    output: Output
    ct: Path | None = None
    mu: Path | None = None
    spect_series: str | None = None
    ct_series: str | None = None
    label: str = ""
    axis: tuple[float, float, float, float, float, float] | None = None
    fast: bool = False
    settings: Path | None = None
    common: Annotated[Common, Flat] = field(default_factory=Common)
    manner: Annotated[Manner, Flat] = field(default_factory=Manner)


def main(arguments: Sequence[str]) -> int:
    """Parse, read, run, decide, write, say."""
    options = _parsed(arguments)
    try:
        return _register(options)
    except RefusedError as refusal:
        if options.common.json:
            emit(options.common, {"decision": "refused", "reason": str(refusal), "use": RESEARCH_USE_ONLY}, [])
        raise


def _parsed(arguments: Sequence[str]) -> Register:
    options = parse("register", arguments, Register)
    if options.settings is not None:
        missing = tyro.MISSING_NONPROP
        default = Register(missing, missing, manner=manner_from(options.settings, options.manner))
        options = parse("register", arguments, Register, default)
    if (options.ct is None) == (options.mu is None):
        raise UsageError(
            "both --ct and --mu" if options.ct else "neither --ct nor --mu", "one of them", "give the CT or a ready map"
        )
    if options.fast:
        _refuse_slow(options)
    return options


def _register(options: Register) -> int:
    device = options.common.prepare()
    with progress(options.common.json) as report:
        assessment, files = carried_out(options, device, report)
    written = {"files": [file.name for file in files]}
    emit(options.common, as_json(assessment) | written, [*describe(assessment), f"results in {options.output}"])
    return 0


def manner_from(settings: Path, given: Manner) -> Manner:
    """What a TOML file of settings says, as the default for options, which are then parsed again.

    Of `given` only the registrar is taken: a flag that is a default already would be refused when it is parsed again.
    """
    kind, algorithms = algorithms_from(settings)
    return Manner(kind or given.registrar, algorithms=algorithms)


def carried_out(options: Register, device: str, report: Progress) -> tuple[Assessment, list[Path]]:
    """Read one study, run, decide, and write; return what was concluded and the files. A batch calls it for each."""
    inputs = (options.spect, options.ct, options.mu)
    with claimed(options.output, inputs), kept_unpacked(*inputs):
        return _carried_out(options, device, report)


def _carried_out(options: Register, device: str, report: Progress) -> tuple[Assessment, list[Path]]:
    manner, overwrite = options.manner, options.common.overwrite
    algorithms = manner.algorithms
    registrar = algorithms.near_heart.hurried() if options.fast else algorithms.registrar(manner.registrar)
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
    assessment = examine(
        study,
        StudySettings(registrar, algorithms.osem, algorithms.physics, algorithms.attenuation, algorithms.decision),
        correct=manner.reconstruction and not options.fast,
        axis=_by_hand(options),
        seek_axis=not options.fast,
        allow_different_patients=manner.allow_different_patients,
        device=device,
        progress=report,
    )
    report("writing")
    place = StudyPlace(options.spect, options.ct, options.mu, options.spect_series, options.ct_series)
    made_at = None if dicom is None else dicom.made_at
    document = None if options.fast else manner.document.of(study, place, options.label, made_at)
    files = write_folder(assessment, options.output, dicom, document, pictures=not options.fast, overwrite=overwrite)
    return assessment, files


def _refuse_slow(options: Register) -> None:
    manner = options.manner
    asked = {
        f"--registrar {manner.registrar}": manner.registrar != NearHeart.kind,
        "--dicom or --moved-ct": manner.results.dicom or manner.results.moved_ct,
        "--pdf or --names": manner.document.pdf or manner.document.names,
        "--axis": options.axis is not None,
    }
    for what in (name for name, given in asked.items() if given):
        raise UsageError(f"--fast with {what}", "the quick look alone", "leave one of the two out")


def _by_hand(options: Register) -> HandAxis | None:
    if options.axis is None:
        return None
    return options.axis[:3], options.axis[3:]
