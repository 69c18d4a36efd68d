"""What holds for every test: shapes are checked, chance is fixed, one thread each."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "Agg")

from support import shapes

# before any of them is imported: a call whose arguments or result do not have the shapes of the signature fails
shapes.install(
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
    ]
)

import pytest  # noqa: E402
import SimpleITK as sitk  # noqa: E402
import torch  # noqa: E402
from hypothesis import HealthCheck, settings  # noqa: E402

from mureg.jobs.cores import set_thread_count  # noqa: E402
from support import forked, remembered, sample_run  # noqa: E402

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


@pytest.fixture(scope="session")
def registered_sample(tmp_path_factory) -> Path:
    """The results of `mureg register` of the sample study with `sample_run.QUICK`; not to be changed."""
    return sample_run.made_once(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="module")
def forked_processes() -> Iterator[None]:
    """Fresh processes begin within milliseconds."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        forked.patch(monkeypatch)
        yield


@pytest.fixture(scope="module")
def remembered_ventricles() -> Iterator[None]:
    """The surface of a ventricle is drawn once in each image."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        remembered.patch(monkeypatch)
        yield


LONGEST = [
    "test_archive", "test_walled", "test_command_line", "test_registrars", "test_virtual_patients",
    "test_train_command", "test_networks", "test_near_heart", "test_dicom_results", "test_pages_in_python",
    "test_evaluate", "test_confident_and_wrong", "test_heart_run", "test_fuzz", "test_batch", "test_cohort_run",
    "test_assessment", "test_disks", "test_torso", "test_public_names", "test_batch_command", "test_catalogue",
    "test_training_examples", "test_ct_anatomy", "test_pipeline_run", "test_polar", "test_dicom_out", "test_doctor",
]  # fmt: skip
"""Files of tests, those that take longest first."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest, so that two workers end together.

    Skip what needs the real studies where there are none.
    """
    rank = {name: k for k, name in enumerate(LONGEST)}
    items.sort(key=lambda item: rank.get(item.path.stem, len(rank)))
    if SHARED_DATA.is_dir():
        return
    for item in items:
        if item.get_closest_marker("shared_data"):
            item.add_marker(pytest.mark.skip(reason=f"no real studies at {SHARED_DATA}"))
