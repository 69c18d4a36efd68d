"""``mureg register``: the main job."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from mureg.cli.common import (
    Algorithms,
    Common,
    Flat,
    Output,
    RegistrarKind,
    algorithms_from,
    emit,
    parse,
    progress,
)
from mureg.cli.dicom import DicomOut
from mureg.errors import UsageError
from mureg.io import read_study
from mureg.pipeline import Outcome, Progress, run
from mureg.registration import MutualInformation
from mureg.report import as_json, check_folder, describe, write_folder


@dataclass(frozen=True)
class Manner:
    """How a study is registered and what is written: all that a batch decides once for all studies.

    Attributes:
        registrar: how the pose is found.
        reconstruction: stop after the registration, without the corrected reconstruction.
    """

    registrar: RegistrarKind = MutualInformation.kind
    reconstruction: bool = True
    results: Annotated[DicomOut, Flat] = field(default_factory=DicomOut)
    algorithms: Annotated[Algorithms, Flat] = field(default_factory=Algorithms)


@dataclass(frozen=True)
class Register:
    """Lay a CT or attenuation map onto a SPECT study and reconstruct the corrected heart. Research use only.

    Attributes:
        spect: DICOM file or folder with projections or a reconstructed volume, or a NIfTI volume.
        output: folder for the results.
        ct: DICOM series (file or folder) or NIfTI volume in HU.
        mu: ready attenuation map instead of a CT, DICOM or NIfTI.
        spect_series: which SPECT series of the folder (UID, its end, number or description).
        ct_series: which CT or map series of the folder.
        settings: TOML file of settings, as written beside each result; options given here go first.
    """

    spect: Path
    output: Output
    ct: Path | None = None
    mu: Path | None = None
    spect_series: str | None = None
    ct_series: str | None = None
    settings: Path | None = None
    common: Annotated[Common, Flat] = field(default_factory=Common)
    manner: Annotated[Manner, Flat] = field(default_factory=Manner)


def main(arguments: Sequence[str]) -> int:
    """Parse, read, run, write, say."""
    options = parse("register", arguments, Register)
    if options.settings is not None:
        missing = tyro.MISSING_NONPROP
        default = Register(missing, missing, manner=manner_from(options.settings, options.manner))
        options = parse("register", arguments, Register, default)
    if (options.ct is None) == (options.mu is None):
        raise UsageError(
            "both --ct and --mu" if options.ct else "neither --ct nor --mu", "one of them", "give the CT or a ready map"
        )
    device = options.common.prepare()
    with progress(options.common.json) as report:
        outcome, files = carried_out(options, device, report)
    written = {"files": [file.name for file in files]}
    emit(options.common, as_json(outcome) | written, [*describe(outcome), f"results in {options.output}"])
    return 0


def manner_from(settings: Path, given: Manner) -> Manner:
    """What a TOML file of settings says, as the default for options; what it does not say as `given`."""
    kind, algorithms = algorithms_from(settings)
    return Manner(kind or given.registrar, algorithms=algorithms)


def carried_out(options: Register, device: str, report: Progress) -> tuple[Outcome, list[Path]]:
    """Read one study, run, and write its results; return them and their files. A batch calls this for each study."""
    manner, overwrite = options.manner, options.common.overwrite
    report("reading")
    dicom = manner.results.of(options.spect, options.ct, options.mu, options.spect_series, options.ct_series)
    check_folder(options.output, overwrite, dicom)
    study = read_study(
        options.spect, ct=options.ct, mu=options.mu, spect_series=options.spect_series, ct_series=options.ct_series
    )
    algorithms = manner.algorithms
    outcome = run(
        study,
        algorithms.registrar(manner.registrar),
        algorithms.osem,
        algorithms.physics,
        algorithms.attenuation,
        correct=manner.reconstruction,
        device=device,
        progress=report,
    )
    report("writing")
    return outcome, write_folder(outcome, options.output, dicom, overwrite=overwrite)
