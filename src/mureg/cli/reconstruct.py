"""``mureg reconstruct``: from projections to an image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated

from mureg import RESEARCH_USE_ONLY
from mureg.cli.common import Common, Flat, Output, emit, parse, progress
from mureg.errors import UnreadableInputError, UsageError
from mureg.geometry import RigidTransform, Volume
from mureg.io import read_ct, read_gates, read_mu, read_spect, read_transform, write_nifti
from mureg.io.atomic import refuse_existing
from mureg.pipeline import attenuation_maps, reconstruct, reconstruct_and_say, versions
from mureg.recon import Osem
from mureg.spect import Acquisition, Physics
from mureg.spect.attenuation import AttenuationMap
from mureg.spect.body import emission_outline
from mureg.spect.physics import WITHOUT
from mureg.study import Ct, Source


@dataclass(frozen=True)
class Reconstruct:
    """Reconstruct projections, with attenuation correction where a map is given. Research use only.

    Attributes:
        projections: DICOM file or folder with projections.
        output: NIfTI file for the image (.nii or .nii.gz).
        mu: attenuation map in SPECT space, DICOM or NIfTI.
        ct: CT instead of a map, DICOM or NIfTI in HU.
        transform: where the CT or map belongs, from SPECT to CT: registration.json, .tfm, DICOM Spatial Registration,
            elastix text or a plain 4x4 matrix; by headers when left out.
        series: which series of the folder holds the projections.
        gate: of a gated acquisition this gate alone, counted from 1; all of them summed when left out.
        ct_series: which CT or map series of its folder.
        osem: settings of the reconstruction.
        physics: which effects of the camera are modelled.
        attenuation: how the map is made.
    """

    projections: Path
    output: Output
    mu: Path | None = None
    ct: Path | None = None
    transform: Path | None = None
    series: str | None = None
    gate: int | None = None
    ct_series: str | None = None
    common: Annotated[Common, Flat] = field(default_factory=Common)
    osem: Osem = field(default_factory=Osem)
    physics: Physics = field(default_factory=Physics)
    attenuation: AttenuationMap = field(default_factory=AttenuationMap)


def main(arguments: Sequence[str]) -> int:
    """Parse, read, reconstruct, write, say."""
    options = parse("reconstruct", arguments, Reconstruct)
    if options.mu is not None and options.ct is not None:
        raise UsageError("both --ct and --mu", "one of them, or neither", "leave one out")
    if options.transform is not None and options.mu is None and options.ct is None:
        raise UsageError("--transform without a map", "--ct or --mu beside it", "give the map that the transform moves")
    if not options.output.name.endswith((".nii", ".nii.gz")):
        raise UsageError(f"output {options.output.name}", "a name that ends in .nii or .nii.gz", "change the name")
    if not options.common.overwrite:
        refuse_existing([options.output])
    device = options.common.prepare()
    with progress(options.common.json) as report:
        report("reading")
        acquisition, spect_source = _projections(options)
        acquisition = acquisition.to(device)
        mu, notes, sources = _attenuation(options, acquisition)
        report("reconstruction")
        image, said = reconstruct_and_say(acquisition, mu, options.osem, options.physics)
        report("writing")
        write_nifti(image, options.output)
    warnings = [*acquisition.notes, *notes, *said]
    answer = {
        "output": options.output.name,
        "attenuation_corrected": mu is not None,
        "counts": float(acquisition.photopeak_counts.sum()),
        "shape": list(image.grid.shape),
        "spacing_mm": list(image.grid.spacing_mm),
        "warnings": warnings,
        "provenance": {
            "versions": versions(),
            "settings": {
                "reconstructor": asdict(options.osem),
                "physics": asdict(options.physics),
                "attenuation": asdict(options.attenuation),
            },
            "sources": [vars(source) for source in (spect_source, *sources)],
        },
        "use": RESEARCH_USE_ONLY,
    }
    lines = [
        f"{'with' if mu is not None else 'without'} attenuation correction, {acquisition.n_views} views over "
        f"{acquisition.arc_deg:.0f} degrees, {answer['counts']:.0f} counts",
        *(f"warning    {warning}" for warning in warnings),
        RESEARCH_USE_ONLY,
        f"image in {options.output}",
    ]
    emit(options.common, answer, lines)
    return 0


def _projections(options: Reconstruct) -> tuple[Acquisition, Source]:
    """The projections, summed over gates or of one gate."""
    spect, source = read_spect(options.projections, options.series)
    if not isinstance(spect, Acquisition):
        raise UnreadableInputError(
            "a reconstructed volume", "projections (NM TOMO)", "give the acquisition, not its reconstruction"
        )
    if options.gate is None:
        return spect, source
    gates = read_gates(options.projections, options.series)
    if not 1 <= options.gate <= len(gates):
        raise UsageError(f"gate {options.gate} of {len(gates)}", f"1 to {len(gates)}", "choose another gate")
    return gates[options.gate - 1], source


def _attenuation(options: Reconstruct, acquisition: Acquisition) -> tuple[Volume | None, list[str], list[Source]]:
    """The attenuation map in SPECT space, what to say about it and where it came from."""
    notes: list[str] = []
    attenuation: Ct | Volume
    if options.ct is not None:
        attenuation, source = read_ct(options.ct, options.ct_series)
    elif options.mu is not None:
        attenuation, said, source = read_mu(options.mu, options.ct_series)
        notes += said
    else:
        return None, notes, []
    sources, ct_from_spect = [source], RigidTransform.identity()
    if options.transform is not None:
        transform = read_transform(options.transform)
        ct_from_spect, notes = transform.ct_from_spect, [*notes, transform.note]
        sources.append(transform.source)
    grid = acquisition.grid()
    maps, guesses = attenuation_maps(attenuation, grid, options.attenuation)
    outline = emission_outline(reconstruct(acquisition, None, options.osem, WITHOUT))
    wide = maps.attenuation_grid(grid, ct_from_spect)
    return maps.on_spect(wide, ct_from_spect, outline), [*notes, *guesses], sources
