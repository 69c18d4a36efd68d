"""Energy windows and the nuclide they were set for."""

from __future__ import annotations

import re

from pydicom.dataset import Dataset

from mureg.errors import UnreadableInputError
from mureg.io.dicom.access import items, number, text
from mureg.spect.acquisition import EnergyWindow

# name, mass number, element names, emission lines in keV, strongest in use first (NNDC decay data, rounded)
_NUCLIDES: tuple[tuple[str, str, tuple[str, ...], tuple[float, ...]], ...] = (
    ("Tc-99m", "99m", ("technetium", "tc"), (140.5,)),
    ("Tl-201", "201", ("thallium", "tl"), (70.0, 167.4)),
    ("I-123", "123", ("iodine", "iodide", "i"), (159.0,)),
    ("I-131", "131", ("iodine", "iodide", "i"), (364.5,)),
    ("In-111", "111", ("indium", "in"), (171.3, 245.4)),
    ("Ga-67", "67", ("gallium", "ga"), (93.3, 184.6, 300.2)),
    ("Lu-177", "177", ("lutetium", "lu"), (208.4, 112.9)),
)
# hours (NNDC decay data; Tl-201 by ICRP 107)
_HALF_LIVES_H = {
    "Tc-99m": 6.0067,
    "Tl-201": 72.9,
    "I-123": 13.22,
    "I-131": 192.6,
    "In-111": 67.31,
    "Ga-67": 78.28,
    "Lu-177": 159.5,
}
_TECHNETIUM_CODES = ("C-163A8", "72454003")


def nuclide_and_lines(dataset: Dataset) -> tuple[str, tuple[float, ...], tuple[str, ...]]:
    """The nuclide's name, its lines in keV, and a note where it had to be assumed to be Tc-99m."""
    for item in items(dataset, "RadiopharmaceuticalInformationSequence"):
        for code in items(item, "RadionuclideCodeSequence"):
            meaning = text(code, "CodeMeaning").lower()
            words = set(re.findall(r"[a-z]+", re.sub(r"\d+m?", " ", meaning)))
            for name, mass, elements, lines in _NUCLIDES:
                if re.search(rf"(?<!\d){mass}(?!\d)", meaning) and words & set(elements):
                    return name, lines, ()
            if text(code, "CodeValue") in _TECHNETIUM_CODES:
                return _NUCLIDES[0][0], _NUCLIDES[0][3], ()
    name, _, _, lines = _NUCLIDES[0]
    return name, lines, ("the header names no known nuclide; Tc-99m (140.5 keV) assumed",)


def half_life_h(nuclide: str) -> float:
    """Half-life in hours of a nuclide named as by `nuclide_and_lines`."""
    return _HALF_LIVES_H[nuclide]


def energy_windows(
    dataset: Dataset, n_windows: int, line_kev: float
) -> tuple[tuple[EnergyWindow, ...], tuple[str, ...]]:
    """The windows in the order of their numbers, and a note where limits had to be guessed.

    Several ranges of one window are taken as one from the lowest to the highest limit. A single window without limits
    is taken as 20 % around the line.
    """
    windows: list[EnergyWindow] = []
    notes: list[str] = []
    listed = items(dataset, "EnergyWindowInformationSequence")
    if n_windows > max(1, len(listed)):
        raise UnreadableInputError(
            f"frames of {n_windows} energy windows but {len(listed)} described",
            "one description for each",
            "export the original object",
        )
    if len(listed) > n_windows:
        first = "the first" if n_windows == 1 else f"the first {n_windows}"
        notes.append(f"{len(listed)} energy windows are described and the frames are of {first} by EnergyWindowVector")
    for k in range(n_windows):
        item = listed[k] if k < len(listed) else Dataset()
        ranges = items(item, "EnergyWindowRangeSequence")
        lows = [v for v in (number(r, "EnergyWindowLowerLimit") for r in ranges) if v is not None]
        highs = [v for v in (number(r, "EnergyWindowUpperLimit") for r in ranges) if v is not None]
        name = text(item, "EnergyWindowName")
        if lows and highs:
            windows.append(EnergyWindow(min(lows), max(highs), name))
        elif n_windows == 1:
            windows.append(EnergyWindow(0.9 * line_kev, 1.1 * line_kev, name))
            notes.append(f"no energy window limits; 20 % around {line_kev:g} keV assumed")
        else:
            raise UnreadableInputError(
                f"energy window {k + 1} of {n_windows} has no limits", "limits in keV", "export the original object"
            )
        if len(ranges) > 1:
            notes.append(f"energy window {k + 1} has {len(ranges)} ranges, taken as one")
    return tuple(windows), tuple(notes)


def photopeak_of(windows: tuple[EnergyWindow, ...], nuclide: str, lines_kev: tuple[float, ...]) -> int:
    """The window that holds the first of the nuclide's lines that any holds; of several the best centred, narrowest."""

    def misfit(k: int, line_kev: float) -> tuple[int, float]:
        lower, upper = windows[k].lower_kev, windows[k].upper_kev
        return round(abs(0.5 * (lower + upper) - line_kev)), upper - lower

    for line_kev in lines_kev:
        holding = [k for k, window in enumerate(windows) if line_kev in window]
        if holding:
            return min((misfit(k, line_kev), k) for k in holding)[1]
    listed = ", ".join(f"{w.lower_kev:g} to {w.upper_kev:g} keV" for w in windows)
    raise UnreadableInputError(
        f"no energy window holds the {lines_kev[0]:g} keV line of {nuclide} (windows: {listed})",
        "a photopeak window",
        "export the emission study with its photopeak",
    )
