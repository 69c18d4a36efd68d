"""Colours of all pictures, and scales from a value to a colour."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

BACKGROUND, INK, FAINT = "#0d1117", "#e8eaed", "#8b949e"
BEFORE, AFTER, CAUTION = "#ff9f5a", "#6fdc8c", "#ffd166"
UNKNOWN = "#141c33"

_N = 256
"""Colours of a scale, as many as a byte distinguishes."""


class ColourScale:
    """From 0 to 1 through `_N` colours; values beyond the ends get the colour there."""

    def __init__(self, colours: npt.NDArray[np.uint8]) -> None:
        self._bytes = np.concatenate([colours, np.full((_N, 1), 255, dtype=np.uint8)], axis=1)
        self._shares = self._bytes / 255.0

    @classmethod
    def between(cls, colours: Sequence[str]) -> ColourScale:
        """Evenly spaced colours, red, green and blue as hexadecimal digits, with straight lines between them."""
        nodes = np.array([list(bytes.fromhex(colour)) for colour in colours], dtype=np.float64)
        steps = np.linspace(0.0, len(nodes) - 1.0, _N)
        parts = [np.interp(steps, np.arange(len(nodes)), nodes[:, channel]) for channel in range(3)]
        return cls(np.rint(np.stack(parts, axis=1)).astype(np.uint8))

    def __call__(self, values: Any, *, bytes: bool = False) -> Any:  # noqa: A002 (as scales of matplotlib are called)
        """Red, green, blue and opacity along a new last axis: shares of 1, or bytes."""
        numbers = np.clip(np.asarray(values, dtype=np.float64) * _N, 0, _N - 1).astype(np.intp)
        return (self._bytes if bytes else self._shares)[numbers]


GREY = ColourScale.between(["000000", "b8b8b8"])
"""Black to a light grey that leaves room for colour on top."""

_INFERNO = (
    "00000401000501010601010802010a02020c02020e03021004031204031405041706041907051b08051d09061f0a07220b07240c0826"
    "0d08290e092b10092d110a30120a32140b34150b37160b39180c3c190c3e1b0c411c0c431e0c451f0c48210c4a230c4c240c4f260c51"
    "280b53290b552b0b572d0b592f0a5b310a5c320a5e340a5f3609613809623909633b09643d09653e0966400a67420a68440a68450a69"
    "470b6a490b6a4a0c6b4c0c6b4d0d6c4f0d6c510e6c520e6d540f6d550f6d57106e59106e5a116e5c126e5d126e5f136e61136e62146e"
    "64156e65156e67166e69166e6a176e6c186e6d186e6f196e71196e721a6e741a6e751b6e771c6d781c6d7a1d6d7c1d6d7d1e6d7f1e6c"
    "801f6c82206c84206b85216b87216b88226a8a226a8c23698d23698f24699025689225689326679526679727669827669a28659b2964"
    "9d29649f2a63a02a63a22b62a32c61a52c60a62d60a82e5fa92e5eab2f5ead305dae305cb0315bb1325ab3325ab43359b63458b73557"
    "b93556ba3655bc3754bd3853bf3952c03a51c13a50c33b4fc43c4ec63d4dc73e4cc83f4bca404acb4149cc4248ce4347cf4446d04545"
    "d24644d34743d44842d54a41d74b3fd84c3ed94d3dda4e3cdb503bdd513ade5238df5337e05536e15635e25734e35933e45a31e55c30"
    "e65d2fe75e2ee8602de9612bea632aeb6429eb6628ec6726ed6925ee6a24ef6c23ef6e21f06f20f1711ff1731df2741cf3761bf37819"
    "f47918f57b17f57d15f67e14f68013f78212f78410f8850ff8870ef8890cf98b0bf98c0af98e09fa9008fa9207fa9407fb9606fb9706"
    "fb9906fb9b06fb9d07fc9f07fca108fca309fca50afca60cfca80dfcaa0ffcac11fcae12fcb014fcb216fcb418fbb61afbb81dfbba1f"
    "fbbc21fbbe23fac026fac228fac42afac62df9c72ff9c932f9cb35f8cd37f8cf3af7d13df7d340f6d543f6d746f5d949f5db4cf4dd4f"
    "f4df53f4e156f3e35af3e55df2e661f2e865f2ea69f1ec6df1ed71f1ef75f1f179f2f27df2f482f3f586f3f68af4f88ef5f992f6fa96"
    "f8fb9af9fc9dfafda1fcffa4"
)
HEAT = ColourScale(np.frombuffer(bytes.fromhex(_INFERNO), dtype=np.uint8).reshape(_N, 3))
"""Black, violet, red, orange, pale yellow in even steps of lightness: "inferno" by Nathaniel Smith and Stefan van der
Walt, in the public domain (CC0)."""

_PURPLE_TO_ORANGE = "2d004b 542788 8073ac b2abd2 d8daeb f7f7f7 fee0b6 fdb863 e08214 b35806 7f3b08"
COLD_HOT = ColourScale.between(_PURPLE_TO_ORANGE.split())
"""Violet, white, orange: "PuOr" of ColorBrewer by Cynthia Brewer, reversed."""


def in_bytes(colours: npt.NDArray[np.float64]) -> npt.NDArray[np.uint8]:
    """Colours from 0 to 1 as bytes."""
    return np.asarray(np.rint(255.0 * colours), dtype=np.uint8)
