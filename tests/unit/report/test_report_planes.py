import numpy as np
import pytest

from mureg.geometry import Grid, Quantity, RigidTransform, Volume
from mureg.report.pictures.planes import CORONAL, SAGITTAL, TRANSAXIAL, VIEWS, PlaneView, plane

CENTRE = (12.0, -7.0, 130.0)
SIZE = (200.0, 200.0, 200.0)
SPOT = np.add(CENTRE, (31.0, -43.0, 57.0))  # left, front, head


def _grids() -> dict[str, Grid]:
    straight = Grid.centred((64, 60, 56), (4.0, 4.5, 5.0), CENTRE)
    flipped = straight.affine.copy()
    flipped[:3, 3] = straight.points((63, 59, 55))
    flipped[:3, :3] *= -1
    swapped = straight.affine[:, [2, 0, 1, 3]]
    turned = RigidTransform.from_six((3.0, -2.0, 4.0), (20.0, -15.0, 30.0), CENTRE).matrix @ straight.affine
    return {
        "straight": straight,
        "flipped": Grid(straight.shape, flipped),
        "swapped": Grid((56, 64, 60), swapped),
        "oblique": Grid(straight.shape, turned),
    }


GRIDS = _grids()


def _spot(grid: Grid) -> Volume:
    distance = np.linalg.norm(grid.points(np.indices(grid.shape).transpose(1, 2, 3, 0)) - SPOT, axis=-1)
    return Volume.from_numpy(np.exp(-((distance / 8.0) ** 2)), grid, Quantity.ACTIVITY)


@pytest.mark.parametrize("name", GRIDS)
@pytest.mark.parametrize(
    ("view", "right", "top"), [(TRANSAXIAL, True, True), (CORONAL, True, True), (SAGITTAL, False, True)]
)
def test_a_spot_at_the_left_front_and_head_lands_where_a_radiologist_expects_it(
    name: str, view: PlaneView, right: bool, top: bool
) -> None:
    through = list(CENTRE)
    through[view.through] = SPOT[view.through]
    image = plane(_spot(GRIDS[name]), view, (through[0], through[1], through[2]), SIZE).values
    row, column = np.unravel_index(image.argmax(), image.shape)
    assert image.max() > 0.5
    assert (column > image.shape[1] / 2) == right
    assert (row < image.shape[0] / 2) == top


@pytest.mark.parametrize("name", GRIDS)
@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.name)
def test_every_pixel_carries_its_patient_coordinates(name: str, view: PlaneView) -> None:
    grid = GRIDS[name]
    points = grid.points(np.indices(grid.shape).transpose(1, 2, 3, 0))
    for axis, along in ((view.across, "across_mm"), (view.upward, "upward_mm")):
        cut = plane(Volume.from_numpy(points[..., axis], grid, Quantity.HU), view, CENTRE, (90.0, 90.0, 90.0))
        expected = cut.across_mm[None, :] if along == "across_mm" else cut.upward_mm[:, None]
        np.testing.assert_allclose(cut.values, np.broadcast_to(expected, cut.values.shape), atol=1e-2)


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.name)
def test_letters_name_the_directions_in_which_coordinates_grow(view: PlaneView) -> None:
    cut = plane(_spot(GRIDS["straight"]), view, CENTRE, SIZE)
    toward = {0: "LR", 1: "PA", 2: "HF"}
    left, right, top, bottom = view.letters
    assert right + left == (toward[view.across] if cut.across_mm[-1] > cut.across_mm[0] else toward[view.across][::-1])
    assert top + bottom == (toward[view.upward] if cut.upward_mm[0] > cut.upward_mm[-1] else toward[view.upward][::-1])


def test_conventions_by_name() -> None:
    assert TRANSAXIAL.letters == ("R", "L", "A", "P")
    assert CORONAL.letters == ("R", "L", "H", "F")
    assert SAGITTAL.letters == ("A", "P", "H", "F")


def test_what_lies_outside_the_volume_is_marked_unknown() -> None:
    grid = Grid.centred((10, 10, 10), (4.0, 4.0, 4.0), CENTRE)
    cut = plane(Volume.from_numpy(np.ones((10, 10, 10)), grid, Quantity.MU_PER_CM), TRANSAXIAL, CENTRE, SIZE)
    assert cut.known.sum() * 4.0 == pytest.approx(40.0**2, rel=0.01)
    np.testing.assert_allclose(cut.values[cut.known], 1.0, rtol=1e-5)
    assert (cut.values[~cut.known] == 0).all()
