"""What ``case.toml`` says of a stored case: everything but the arrays."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mureg.errors import UnreadableInputError, UsageError
from mureg.geometry import Grid, Quantity, RigidTransform, Volume
from mureg.spect.acquisition import Acquisition, EnergyWindow
from mureg.study import Case, Ct, Source

FORMAT = 1
"""Of ``case.toml``; raised when an older mureg could not read a newer case."""
HEADER, ARRAYS = "case.toml", "arrays.safetensors"

Table = dict[str, Any]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_ACQUISITION_WORDS = ("collimator", "nuclide", "patient_position", "frame_of_reference", "manufacturer")


def header_of(case: Case, arrays_sha256: str) -> Table:
    """The tables of ``case.toml``, keys in a fixed order whatever the order of the mappings in `case`.

    Raises:
        UsageError: a name that cannot name a folder, or no pseudonym of the patient.
    """
    if not _NAME.fullmatch(case.name):
        raise UsageError(f"a case named {case.name!r}", "letters, digits, dots, dashes", "give it another name")
    if not case.study.patient:
        raise UsageError(f"{case.name} names no patient", "the pseudonym of its patient", "set study.patient")
    acquisition, ct = acquisition_and_ct(case)
    truth = case.truth
    volumes = {
        "ct": ct.volume,
        "uncorrected": case.uncorrected,
        "truth.mu": truth.mu,
        "truth.activity": truth.activity,
        "truth.lv_wall": truth.lv_wall,
    }
    return {
        "format": FORMAT,
        "name": case.name,
        "patient": case.study.patient,
        "arrays_sha256": arrays_sha256,
        "notes": list(case.study.notes),
        "read_from": [dict(vars(source)) for source in case.study.sources],
        "acquisition": _acquisition_table(acquisition),
        "scanner": _scanner_table(ct),
        "truth": {
            "ct_from_spect": truth.ct_from_spect.matrix.tolist(),
            "centre_mm": [float(mm) for mm in truth.centre_mm],
        },
        "volumes": {
            name: {"quantity": volume.quantity.name, **_grid_table(volume.grid)} for name, volume in volumes.items()
        },
        "facts": {name: _plain(case.facts[name]) for name in sorted(case.facts)},
        "sources": {name: _plain(case.sources[name]) for name in sorted(case.sources)},
    }


def acquisition_and_ct(case: Case) -> tuple[Acquisition, Ct]:
    """Both halves of the study as a case has them; `UsageError` for a study without projections or without a CT."""
    spect, attenuation = case.study.spect, case.study.attenuation
    if not isinstance(spect, Acquisition) or not isinstance(attenuation, Ct):
        raise UsageError(
            f"{case.name} holds a {type(spect).__name__} and a {type(attenuation).__name__}",
            "projections and a CT",
            "store cases as simulate_case gives them",
        )
    return spect, attenuation


def read_header(folder: Path) -> Table:
    """The tables of a stored case.

    Raises:
        UnreadableInputError: no case there, a damaged one, or one of a newer format.
    """
    return checked_header(_text(folder), folder)


def read_name_and_patient(folder: Path) -> tuple[str, str]:
    """Whose case it is, without reading on to the tables: a cohort is opened at the rate of many cases at once."""
    table = checked_header(_text(folder).partition("\n[")[0], folder)
    return str(table["name"]), str(table["patient"])


def checked_header(text: str, folder: Path) -> Table:
    """Parse ``case.toml`` or its first lines, and refuse another format."""
    try:
        table = tomllib.loads(text)
        version = int(table["format"])
        _ = table["name"], table["patient"]
    except (ValueError, KeyError, TypeError) as problem:
        raise damaged(folder, f"{HEADER}: {problem}") from problem
    if version > FORMAT:
        raise UnreadableInputError(
            f"{folder.name} is stored in format {version}", f"format {FORMAT} or older", "use a newer mureg to read it"
        )
    return table


def damaged(folder: Path, reason: str) -> UnreadableInputError:
    """What to say of a case that cannot be read."""
    return UnreadableInputError(
        f"{folder.name} is damaged ({' '.join(reason.split())})",
        f"{HEADER} and {ARRAYS} as mureg wrote them",
        "remove the folder and simulate the case again",
    )


def grid_from(table: Table) -> Grid:
    """Read a grid from its JSON table."""
    x, y, z = (int(n) for n in table["shape"])
    return Grid((x, y, z), np.array(table["affine"], dtype=np.float64), table["frame_of_reference"])


def quantity_from(table: Table) -> Quantity:
    """The unit of a volume from its table."""
    return Quantity[table["quantity"]]


def acquisition_from(table: Table, arrays: Mapping[str, Any], counts: Any) -> Acquisition:
    """An acquisition from its table, its per-view arrays and its counts."""
    row_mm, column_mm = table["pixel_mm"]
    x, y, z = table["centre_mm"]
    return Acquisition(
        counts,
        tuple(EnergyWindow(w["lower_kev"], w["upper_kev"], w["name"]) for w in table["windows"]),
        table["photopeak"],
        pixel_mm=(row_mm, column_mm),
        centre_mm=(x, y, z),
        seconds_per_view=table["seconds_per_view"],
        notes=tuple(table["notes"]),
        **{word: table[word] for word in _ACQUISITION_WORDS},
        **arrays,
    )


def ct_from(table: Table, volume: Volume) -> Ct:
    """A CT from the table of its scanner and its volume."""
    return Ct(volume, table["manufacturer"], table["model"], table.get("kvp"), tuple(table["notes"]))


def transform_from(table: Table) -> RigidTransform:
    """`ct_from_spect` from the table of the truth."""
    return RigidTransform(np.array(table["ct_from_spect"], dtype=np.float64))


def sources_from(tables: list[Table]) -> tuple[Source, ...]:
    """What the study was read from."""
    return tuple(Source(table["kind"], table["files"], table["sha256"]) for table in tables)


def _text(folder: Path) -> str:
    try:
        return (folder / HEADER).read_text("utf-8")
    except UnicodeDecodeError as problem:
        raise damaged(folder, f"{HEADER} is no text") from problem
    except OSError as problem:
        raise UnreadableInputError(
            f"no case in {folder.name}", f"a folder with {HEADER} and {ARRAYS}", "check the path"
        ) from problem


def _grid_table(grid: Grid) -> Table:
    return {"shape": list(grid.shape), "affine": grid.affine.tolist(), "frame_of_reference": grid.frame_of_reference}


def _acquisition_table(acquisition: Acquisition) -> Table:
    windows = [
        {"lower_kev": float(window.lower_kev), "upper_kev": float(window.upper_kev), "name": window.name}
        for window in acquisition.windows
    ]
    return {
        "photopeak": int(acquisition.photopeak),
        "pixel_mm": [float(mm) for mm in acquisition.pixel_mm],
        "centre_mm": [float(mm) for mm in acquisition.centre_mm],
        "seconds_per_view": float(acquisition.seconds_per_view),
        **{word: getattr(acquisition, word) for word in _ACQUISITION_WORDS},
        "notes": list(acquisition.notes),
        "windows": windows,
    }


def _scanner_table(ct: Ct) -> Table:
    entries = {"manufacturer": ct.manufacturer, "model": ct.model, "notes": list(ct.notes)}
    return entries if ct.kvp is None else {**entries, "kvp": float(ct.kvp)}


def _plain(value: Any) -> float | int | str | bool:
    """A number or word of Python's own, whatever library it came from."""
    plain = value.item() if isinstance(value, np.generic) else value
    if not isinstance(plain, float | int | str | bool):
        raise UsageError(f"a fact of type {type(value).__name__}", "a number, a word or a truth value", "convert it")
    return plain
