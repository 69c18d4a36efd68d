"""``mureg inspect``: what a file or folder holds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import tyro

from mureg import RESEARCH_USE_ONLY
from mureg.cli.common import Common, parse
from mureg.cli.help import Flat
from mureg.errors import UnreadableInputError
from mureg.files.output import claimed
from mureg.files.places import refuse_foreign_file, refuse_overlap
from mureg.geometry import Volume
from mureg.io import InspectedImage, inspect
from mureg.recon import Osem
from mureg.recon.images import reconstruct
from mureg.report.pictures.quality import thumbnail
from mureg.spect import Acquisition
from mureg.spect.physics import WITHOUT


@dataclass(frozen=True)
class Inspect:
    """List the series in a file or folder: geometry, orientation, units, assumptions. Research use only.

    Attributes:
        path: DICOM file or folder, or NIfTI file.
        output: PNG file for three planes of each series, numbered from the second on (default: no picture).

    Example:
        mureg inspect study/ -o planes.png
    """

    path: tyro.conf.Positional[Path]
    output: Annotated[Path | None, tyro.conf.arg(aliases=["-o"])] = None
    common: Annotated[Common, Flat] = field(default_factory=Common)


OPTIONS = Inspect


def main(arguments: Sequence[str]) -> int:
    """Parse, inspect, draw, report. Exit code 4 where no series can be used."""
    options = parse("inspect", arguments, Inspect)
    options.common.prepare()
    if options.output is not None:
        refuse_overlap(options.output, [options.path])
    inspection = inspect(options.path)
    usable = [image for image in inspection.found if image.loaded is not None]
    pictures = [] if options.output is None else _draw(usable, options.output, options)
    lines = [line for image in inspection.found for line in (*_lines(image), "")]
    lines += [f"three planes of the {f.kind} in {p}" for f, p in zip(usable, pictures, strict=False)]
    answer = inspection.as_dict() | {"pictures": [picture.name for picture in pictures], "use": RESEARCH_USE_ONLY}
    options.common.messages.emit(answer, [*lines, RESEARCH_USE_ONLY])
    return 0 if usable else UnreadableInputError.exit_code


def _draw(usable: Sequence[InspectedImage], output: Path, options: Inspect) -> list[Path]:
    """Draw the three planes of each; the files."""
    with claimed(output, [options.path]):
        pictures = [numbered(output, k) for k in range(len(usable))]
        for picture in pictures:
            refuse_overlap(picture, [options.path])
            refuse_foreign_file(picture, overwrite=options.common.overwrite)
        for image, picture in zip(usable, pictures, strict=True):
            title = f"{image.kind}: {image.name}" if image.name else image.kind
            thumbnail(_as_volume(image), picture.resolve(), title=title)
    return pictures


def numbered(path: Path, k: int) -> Path:
    """The k-th name of a row of files: plain for the first, then with -2, -3 and so on."""
    return path if k == 0 else path.with_name(f"{path.stem}-{k + 1}{path.suffix}")


def _as_volume(image: InspectedImage) -> Volume:
    """What can be drawn: the volume itself, or a quick uncorrected reconstruction of projections."""
    if isinstance(image.loaded, Acquisition):
        # a sixth of the usual iterations: enough to see what lies where
        quick = Osem(iterations=2, subsets=min(10, image.loaded.n_views))
        return reconstruct(image.loaded, None, quick, WITHOUT)
    assert image.loaded is not None
    return image.loaded


def _lines(image: InspectedImage) -> Iterator[str]:
    yield f"{image.kind}: {image.name or 'without description'} ({image.files} file{'s' * (image.files != 1)})"
    for name, value in image.facts.items():
        if value not in (None, ""):
            yield f"  {name.replace('_', ' '):18} {_words(value)}"
    for note in image.notes:
        yield f"  {'note':18} {note}"
    if image.refusal:
        yield f"  {'refused':18} {image.refusal}"


def _words(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_words(part)}" for name, part in value.items())
    if isinstance(value, list):
        between = "; " if any(isinstance(part, dict) for part in value) else " x " if _counts(value) else ", "
        return between.join(_words(part) for part in value)
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def _counts(values: list[Any]) -> bool:
    return len(values) in (2, 3) and all(isinstance(value, int) for value in values)
