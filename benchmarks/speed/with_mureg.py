"""mureg's side of the comparison; runs in the project's own .venv."""

from __future__ import annotations

from importlib.metadata import version

from worker import Array, Case, serve

from mureg.geometry import Quantity, Volume
from mureg.jobs.cores import set_thread_count
from mureg.recon.osem import Osem
from mureg.spect import Acquisition, EnergyWindow, SystemModel
from mureg.spect.collimator import COLLIMATORS


def acquisition(case: Case) -> Acquisition:
    return Acquisition(
        counts=case.counts[None],
        windows=(EnergyWindow(126.5, 154.5),),
        photopeak=0,
        angles_deg=case.angles_deg,
        pixel_mm=(case.voxel_mm, case.voxel_mm),
        radii_mm=case.angles_deg * 0 + case.radius_mm,
    )


def system(case: Case, measured: Acquisition) -> SystemModel:
    grid = measured.grid()
    mu = Volume.from_numpy(case.mu, grid, Quantity.MU_PER_CM)
    return SystemModel(measured, grid, mu, COLLIMATORS["GE LEHR"] if case.blurred else None)


class Mureg:
    name = "mureg"
    versions = {name: version(name) for name in ("mureg", "numpy", "scipy")}  # noqa: RUF012

    def project(self, case: Case) -> Array:
        return system(case, acquisition(case)).project(case.activity)

    def load_counts(self, case: Case) -> Acquisition:
        return acquisition(case)

    def reconstruct(self, case: Case, counts: Acquisition) -> Volume:
        algorithm = Osem(iterations=case.iterations, subsets=case.subsets)
        return algorithm.reconstruct(counts, system(case, counts))

    def image(self, reconstruction: Volume) -> Array:
        return reconstruction.values


if __name__ == "__main__":
    set_thread_count(1)
    serve(Mureg())
