"""A small motion of the map in the words of a reader: "3 mm head, 2 mm left, 1 degree front to left"."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.spatial.transform import Rotation

from mureg.errors import UsageError
from mureg.geometry import RigidTransform
from mureg.geometry.rigid import Triple, triple

_WORDS = {
    "left": (1, 0, 0), "right": (-1, 0, 0),
    "back": (0, 1, 0), "posterior": (0, 1, 0), "front": (0, -1, 0), "anterior": (0, -1, 0),
    "head": (0, 0, 1), "superior": (0, 0, 1), "feet": (0, 0, -1), "foot": (0, 0, -1), "inferior": (0, 0, -1),
}  # fmt: skip
"""Directions of the patient, LPS+."""
_NUMBER = r"(\d+(?:\.\d+)?|\.\d+)"
_TO = r"(?:(?:to|towards?) )?(?:the )?(?:patient's )?"
_SHIFT = re.compile(rf"{_NUMBER} ?mm {_TO}([a-z]+)")
_TURN = re.compile(rf"{_NUMBER} ?(?:degrees?|deg|°) (?:the )?([a-z]+) to (?:the )?([a-z]+)")
_EXPECTED = 'words such as "3 mm head, 2 mm left, 1 degree front to left"'
_PAIRS = (("left", "right"), ("back", "front"), ("head", "feet"))

Vector = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Nudge:
    """By how much the map is moved and turned about the heart, as the reader sees it move on the pictures.

    Attributes:
        shift_mm: of the map at the heart, to the patient's left, back and head.
        turn_deg: rotation vector about x, y, z of LPS+: its direction is the axis, its length the angle.
    """

    shift_mm: Triple = (0.0, 0.0, 0.0)
    turn_deg: Triple = (0.0, 0.0, 0.0)

    @classmethod
    def from_words(cls, words: str) -> Nudge:
        """Read the words of a reader.

        Shifts are "NUMBER mm DIRECTION"; turns are "NUMBER degrees DIRECTION to DIRECTION", which carries what lies in
        the first direction from the heart towards the second. Parts are separated by commas, and their order does not
        matter. Directions are left, right, front, back, head and feet of the patient.

        Raises:
            UsageError: anything else, or one axis twice.
        """
        shift, turn = np.zeros(3), np.zeros(3)
        for part in words.lower().replace(";", ",").split(","):
            text = " ".join(part.split())
            moved, turned = _SHIFT.fullmatch(text), _TURN.fullmatch(text)
            if moved is not None:
                _add(shift, float(moved[1]) * _direction(moved[2], words), words)
            elif turned is not None:
                axis = np.cross(_direction(turned[2], words), _direction(turned[3], words))
                if not axis.any():
                    raise _wrong(words, f"a turn from {turned[2]} to {turned[3]}")
                _add(turn, float(turned[1]) * axis, words)
            else:
                raise _wrong(words, f'"{text}"')
        return cls(triple(shift), triple(turn))

    def applied(self, ct_from_spect: RigidTransform, heart_mm: Triple) -> RigidTransform:
        """The pose after the nudge.

        ``ct_from_spect`` maps a SPECT point p to the place q in the CT where that anatomy lies. The motion M carries
        the anatomy seen at p to M p, so the new pose maps M p to q: ``ct_from_spect @ M.inverse()``.

        Args:
            ct_from_spect: the pose before.
            heart_mm: about which the map is turned, in SPECT space.
        """
        return ct_from_spect @ self.motion(heart_mm).inverse()

    def motion(self, heart_mm: Triple) -> RigidTransform:
        """The motion of the map's anatomy in SPECT space: the turn about the heart, then the shift."""
        centre = np.asarray(heart_mm, dtype=np.float64)
        matrix = np.eye(4)
        matrix[:3, :3] = Rotation.from_rotvec(np.asarray(self.turn_deg), degrees=True).as_matrix()
        matrix[:3, 3] = centre + self.shift_mm - matrix[:3, :3] @ centre
        return RigidTransform(matrix)

    @property
    def turns(self) -> bool:
        """Whether the map is turned, so that the place of the heart matters."""
        return any(self.turn_deg)


def _direction(word: str, words: str) -> Vector:
    if word not in _WORDS:
        raise _wrong(words, f'the direction "{word}"')
    return np.asarray(_WORDS[word], dtype=np.float64)


def _add(total: Vector, part: Vector, words: str) -> None:
    """Add a part along one axis; refuse an axis that is there already."""
    axis = int(np.abs(part).argmax())
    if total[axis]:
        raise _wrong(words, f"two parts along or about the axis {_PAIRS[axis][0]} - {_PAIRS[axis][1]}")
    total += part


def _wrong(words: str, what: str) -> UsageError:
    return UsageError(
        f'the nudge "{words}" has {what}',
        _EXPECTED,
        "use left, right, front, back, head and feet, with a decimal point and no sign",
    )
