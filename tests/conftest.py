"""What holds for every test: shapes are checked, chance is fixed, one thread each."""

from __future__ import annotations

import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "Agg")

from jaxtyping import install_import_hook

import support.shapes  # noqa: F401 (the hook below finds it by name)

# before any of them is imported: a call whose arguments or result do not have the shapes of the signature fails
install_import_hook(
    [
        "mureg.attenuation",
        "mureg.geometry",
        "mureg.heart",
        "mureg.spect",
        "mureg.study",
        "mureg.recon",
        "mureg.registration",
        "mureg.simulate",
        "mureg.assessment",
        "mureg.pipeline",
        "mureg.comparison",
        "mureg.training",
        "support.second_camera",
    ],
    "support.shapes.checked",
)

import pytest  # noqa: E402
import SimpleITK as sitk  # noqa: E402
import torch  # noqa: E402
from hypothesis import HealthCheck, settings  # noqa: E402

from mureg.jobs.cores import set_thread_count  # noqa: E402

torch.set_num_threads(1)
set_thread_count(1)
sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)

settings.register_profile(
    "mureg",
    deadline=None,
    derandomize=True,
    max_examples=50,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("mureg")

SHARED_DATA = Path(__file__).resolve().parents[1].parent / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real studies beside the checkout."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"no real studies at {SHARED_DATA}")
    return SHARED_DATA


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs the real studies where there are none."""
    if SHARED_DATA.is_dir():
        return
    for item in items:
        if item.get_closest_marker("shared_data"):
            item.add_marker(pytest.mark.skip(reason=f"no real studies at {SHARED_DATA}"))
