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
from mureg.pipeline import run
from mureg.registration import MutualInformation
from mureg.report import as_json, check_folder, describe, write_folder


@dataclass(frozen=True)
class Register:
    """Lay a CT or attenuation map onto a SPECT study and reconstruct the corrected heart. Research use only.

    Attributes:
        spect: DICOM file or folder with projections or a reconstructed volume, or a NIfTI volume.
        output: folder for the results.
        ct: DICOM series (file or folder) or NIfTI volume in HU.
        mu: ready attenuation map instead of a CT, DICOM or NIfTI.
        registrar: how the pose is found.
        reconstruction: stop after the registration, without the corrected reconstruction.
        spect_series: which SPECT series of the folder (UID, its end, number or description).
        ct_series: which CT or map series of the folder.
        settings: TOML file of settings, as written beside each result; options given here go first.
    """

    spect: Path
    output: Output
    ct: Path | None = None
    mu: Path | None = None
    registrar: RegistrarKind = MutualInformation.kind
    reconstruction: bool = True
    spect_series: str | None = None
    ct_series: str | None = None
    settings: Path | None = None
    results: Annotated[DicomOut, Flat] = field(default_factory=DicomOut)
    common: Annotated[Common, Flat] = field(default_factory=Common)
    algorithms: Annotated[Algorithms, Flat] = field(default_factory=Algorithms)


def main(arguments: Sequence[str]) -> int:
    """Parse, read, run, write, say."""
    options = parse("register", arguments, Register)
    if options.settings is not None:
        kind, algorithms = algorithms_from(options.settings)
        missing = tyro.MISSING_NONPROP
        default = Register(missing, missing, registrar=kind or options.registrar, algorithms=algorithms)
        options = parse("register", arguments, Register, default)
    if (options.ct is None) == (options.mu is None):
        raise UsageError(
            "both --ct and --mu" if options.ct else "neither --ct nor --mu", "one of them", "give the CT or a ready map"
        )
    device = options.common.prepare()
    overwrite = options.common.overwrite
    with progress(options.common.json) as report:
        report("reading")
        dicom = options.results.of(options.spect, options.ct, options.mu, options.spect_series, options.ct_series)
        check_folder(options.output, overwrite, dicom)
        study = read_study(
            options.spect, ct=options.ct, mu=options.mu, spect_series=options.spect_series, ct_series=options.ct_series
        )
        algorithms = options.algorithms
        outcome = run(
            study,
            algorithms.registrar(options.registrar),
            algorithms.osem,
            algorithms.physics,
            algorithms.attenuation,
            correct=options.reconstruction,
            device=device,
            progress=report,
        )
        report("writing")
        files = write_folder(outcome, options.output, dicom, overwrite=overwrite)
    written = {"files": [file.name for file in files]}
    emit(options.common, as_json(outcome) | written, [*describe(outcome), f"results in {options.output}"])
    return 0
