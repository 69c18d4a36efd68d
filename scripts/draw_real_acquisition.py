"""Draw docs/how-to/figures/real-acquisition.png from the real acquisition, which is not part of the repository."""

from __future__ import annotations

import sys
from pathlib import Path

from mureg import Osem, Physics, read_spect, reconstruct
from mureg.report.pictures.quality import thumbnail
from mureg.spect.physics import WITHOUT

FIGURES = Path(__file__).parents[1] / "docs" / "how-to" / "figures"


def main(acquisition_file: str) -> None:
    """Three planes through the left ventricle, without and with resolution recovery."""
    FIGURES.mkdir(parents=True, exist_ok=True)
    acquisition, _ = read_spect(acquisition_file)
    plain = Osem(iterations=4, subsets=10, post_filter="gaussian", fwhm_mm=10.0)
    heart_mm = (66.0, -43.0, 5.0)
    thumbnail(
        reconstruct(acquisition, None, plain, WITHOUT),
        FIGURES / "real-acquisition.png",
        centre_mm=heart_mm,
        title="OSEM 4 x 10, Gaussian 10 mm, nothing corrected",
    )
    sharp = Osem(iterations=8, subsets=10, post_filter="gaussian", fwhm_mm=6.0)
    thumbnail(
        reconstruct(acquisition, None, sharp, Physics(scatter="none")),
        FIGURES / "real-acquisition-resolution.png",
        centre_mm=heart_mm,
        title="OSEM 8 x 10 with resolution recovery, Gaussian 6 mm",
    )


if __name__ == "__main__":
    main(sys.argv[1])
