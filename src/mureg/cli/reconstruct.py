"""``mureg reconstruct``: from projections to an image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

from mureg import RESEARCH_USE_ONLY
from mureg.cli.algorithms import Tuning
from mureg.cli.common import Common, Output, parse
from mureg.cli.help import Flat
from mureg.cli.progress import progress
from mureg.errors import UnreadableInputError, UsageError
from mureg.files.output import claimed
from mureg.files.places import refuse_foreign_file
from mureg.geometry import RigidTransform
from mureg.io import read_gates, read_spect, read_study, read_transform, write_nifti
from mureg.notes import Note, Rank, by_rank
from mureg.pipeline import StudySettings, reconstruct_at, recorded_settings, versions
from mureg.recon.images import reconstruct_and_say
from mureg.report.wording import reconstruction_in_words
from mureg.spect import Acquisition
from mureg.study import Source, Study

_SECTIONS = ("reconstructor", "physics", "attenuation", "decision")
"""Tables of settings that a reconstruction uses."""


@dataclass(frozen=True)
class Reconstruct:
    """Reconstruct projections, attenuation-corrected where a CT or map is given. Research use only.

    Attributes:
        projections: DICOM file or folder with projections.
        output: new NIfTI file for the image (.nii or .nii.gz).
        mu: attenuation map (1/cm) in SPECT space: DICOM or NIfTI.
        ct: CT in HU instead of a map: DICOM or NIfTI.
        transform: pose of the CT or map, from SPECT to CT: registration.json, .tfm, DICOM Spatial Registration, elastix
            text or 4x4 matrix (default: the scanner position).
        series: series of projections in the folder: UID or its end, number, description.
        gate: reconstruct this gate of a gated acquisition, from 1 (default: the sum of all).
        ct_series: CT or map series in its folder, named the same way.
        allow_different_patients: accept headers that name different patients (phantoms).
        phantom: the CT shows a test object, not a chest: skip the check of its HU.

    Example:
        mureg reconstruct --projections spect.dcm --ct ct --transform results/ct_from_spect.tfm -o ac.nii.gz
    """

    projections: Path
    output: Output
    mu: Path | None = None
    ct: Path | None = None
    transform: Path | None = None
    series: str | None = None
    gate: int | None = None
    ct_series: str | None = None
    allow_different_patients: bool = False
    phantom: bool = False
    common: Annotated[Common, Flat] = field(default_factory=Common)
    tuning: Annotated[Tuning, Flat] = field(default_factory=Tuning)


OPTIONS = Reconstruct


def main(arguments: Sequence[str]) -> int:
    """Parse the options, reconstruct, write the image, and print the result; returns the exit code."""
    options = parse("reconstruct", arguments, Reconstruct)
    algorithms = options.tuning.algorithms(sections=_SECTIONS)
    messages = options.common.messages
    if options.mu is not None and options.ct is not None:
        raise UsageError("both --ct and --mu", "one of them, or neither", "leave one out")
    if options.transform is not None and options.mu is None and options.ct is None:
        raise UsageError("--transform without a map", "--ct or --mu beside it", "give the map that the transform moves")
    if not options.output.name.endswith((".nii", ".nii.gz")):
        raise UsageError(f"output {options.output.name}", "a name that ends in .nii or .nii.gz", "change the name")
    options.common.prepare()
    corrected = options.ct is not None or options.mu is not None
    inputs = (options.projections, options.mu, options.ct, options.transform)
    with claimed(options.output, inputs) as output, progress(messages) as report:
        refuse_foreign_file(output, overwrite=options.common.overwrite)
        report("reading")
        acquisition, study, sources = _inputs(options)
        report("reconstruction")
        if study is None:
            image, notes = reconstruct_and_say(acquisition, None, algorithms.reconstructor, algorithms.physics)
            warnings = by_rank((*acquisition.notes, *notes))
        else:
            ct_from_spect, transform_sources, transform_notes = _transform(options, study)
            sources = (*sources, *transform_sources)
            image, warnings = reconstruct_at(
                study,
                ct_from_spect,
                StudySettings(
                    reconstructor=algorithms.reconstructor,
                    physics=algorithms.physics,
                    attenuation=algorithms.attenuation,
                    limits=algorithms.decision,
                ),
                allow_different_patients=options.allow_different_patients,
            )
            warnings = by_rank((*warnings, *transform_notes))
        report("writing")
        write_nifti(image, output)
    recorded = recorded_settings(algorithms.reconstructor)
    answer = {
        "output": options.output.name,
        "attenuation_corrected": corrected,
        "counts": float(acquisition.photopeak_counts.sum()),
        "shape": list(image.grid.shape),
        "spacing_mm": list(image.grid.spacing_mm),
        "warnings": [{"rank": note.rank.words, "text": str(note)} for note in warnings],
        "provenance": {
            "versions": versions(),
            "settings": {name: algorithms.tables()[name] for name in _SECTIONS} | {"reconstructor": recorded},
            "sources": [vars(source) for source in sources],
        },
        "use": RESEARCH_USE_ONLY,
    }
    lines = [
        f"{'with' if corrected else 'without'} attenuation correction, {acquisition.n_views} views over "
        f"{acquisition.arc_deg:.0f} degrees, {answer['counts']:.0f} counts",
        f"reconstruction {reconstruction_in_words(recorded)}",
        *(f"warning    {note} [{note.rank.words}]" for note in warnings),
        RESEARCH_USE_ONLY,
        f"image in {options.output}",
    ]
    messages.emit(answer, lines)
    return 0


def _inputs(options: Reconstruct) -> tuple[Acquisition, Study | None, tuple[Source, ...]]:
    """The projections, summed over gates or of one gate; with a map also the study that both make."""
    study = None
    if options.ct is None and options.mu is None:
        spect, source = read_spect(options.projections, options.series)
        sources: tuple[Source, ...] = (source,)
    else:
        study = read_study(
            options.projections,
            ct=options.ct,
            mu=options.mu,
            spect_series=options.series,
            ct_series=options.ct_series,
            phantom=options.phantom,
            allow_corrected_spect=True,  # projections are never corrected
            allow_derived=True,  # a moved CT or a map of an earlier run is what one reconstructs with
        )
        spect, sources = study.spect, study.sources
    if not isinstance(spect, Acquisition):
        raise UnreadableInputError(
            "a reconstructed volume", "projections (NM TOMO)", "give the acquisition, not its reconstruction"
        )
    acquisition = spect if options.gate is None else _gate(options)
    return acquisition, None if study is None else replace(study, spect=acquisition), sources


def _gate(options: Reconstruct) -> Acquisition:
    """One gate of a gated acquisition."""
    gates = read_gates(options.projections, options.series)
    assert options.gate is not None
    if not 1 <= options.gate <= len(gates):
        raise UsageError(f"gate {options.gate} of {len(gates)}", f"1 to {len(gates)}", "choose another gate")
    return gates[options.gate - 1]


def _transform(options: Reconstruct, study: Study) -> tuple[RigidTransform, tuple[Source, ...], tuple[Note, ...]]:
    """Where the map belongs: the transform given, with a note on its form, else the scanner position."""
    if options.transform is None:
        return RigidTransform.identity(), (), ()
    assert isinstance(study.spect, Acquisition)
    frames = study.spect.frame_of_reference, study.attenuation_volume.grid.frame_of_reference
    transform = read_transform(options.transform, frames)
    return transform.ct_from_spect, (transform.source,), (Note(transform.note, Rank.RECORD),)
