"""What of a CT or attenuation map is patient, and what is table."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.spatial import ConvexHull, QhullError

from mureg.errors import UnitsError, UnreadableInputError
from mureg.geometry import Array, Grid, Quantity, Volume
from mureg.geometry.blocks import block_means
from mureg.geometry.morphology import Mask, dilated, eroded, in_slices, within

TISSUE_ABOVE: dict[Quantity, float] = {Quantity.HU: -400.0, Quantity.MU_PER_CM: 0.06}
"""Between lung (about -750 HU, 0.04 1/cm) and soft tissue (about 0 HU, 0.15 1/cm); chosen."""
_EMPTY_BELOW: dict[Quantity, float] = {Quantity.HU: -900.0, Quantity.MU_PER_CM: 0.005}
"""Air with its noise. A value between this and tissue may be skin that fills its voxel in part; chosen."""
_AIR: dict[Quantity, float] = {Quantity.HU: -1000.0, Quantity.MU_PER_CM: 0.0}
"""Air, by the definition of HU; it does not attenuate."""
PIECE_OF_LUNG = 0.2
"""Of the largest piece of air in the body: a larger one is the second lung, a smaller one gas in the bowel; chosen."""

_WORK_MM = 3.9
"""Longest edge of the blocks that are searched: two CT pixels of up to 1.95 mm, the largest of the virtual patients."""
_THIN_MM = 14.0
"""Diameter of the disc of the opening: wider than the shell of a table, narrower than an arm; chosen."""
_LIMB_RADIUS_MM = 14.0
"""Radius of a disc that fits into an arm; chosen."""
_LIMB_ML = 40.0
"""Smallest volume of an arm that a scan shows in part; chosen."""
_EDGE_MM = 3.5
"""The outline runs along the edge of the field within this distance: two CT pixels of 1.75 mm."""
_CAVITY_BORDER = 0.7
"""Share of the border of a lung that is trunk, less than all where a hole reaches the table; chosen."""
_IN_SLICE = ndimage.generate_binary_structure(3, 1)  # the four neighbours that share an edge within a slice
_IN_SLICE[:, :, [0, 2]] = False


@dataclass(frozen=True)
class Truncation:
    """How far the edge of the CT's field cuts the body.

    Attributes:
        share: of the body's outline in the axial slices, 0 to 1, what runs along the edge of the field.
        slices: in how many slices more than 1 % of the outline does.
        of_slices: how many slices show a body.
    """

    share: float
    slices: int
    of_slices: int


def separate_table(volume: Volume, body: Mask | None = None) -> tuple[Volume, Volume]:
    """Split a CT (HU) or attenuation map (1/cm) into the patient and everything else.

    The rest is the table, and clothes and blankets, which hardly attenuate. Every voxel keeps its value in one of the
    two volumes and holds air in the other; both keep the grid and the mask of `volume`.

    Args:
        volume: with the patient lying on any side.
        body: the mask of `find_body`, where it is known already.
    """
    mask = find_body(volume) if body is None else body
    air = volume.values.dtype.type(_AIR[volume.quantity])
    inside, beyond = np.where(mask, volume.values, air), np.where(mask, air, volume.values)
    return volume.with_values(inside), volume.with_values(beyond)


def find_body(volume: Volume) -> Mask:
    """The patient with skin, lungs and arms, without table and blankets.

    Tissue is what exceeds -400 HU or 0.06 1/cm. An opening with a disc of 14 mm diameter in each axial slice takes
    away what is thinner: table shells, blankets, wires. The largest piece is the trunk; other pieces stay when they
    are as thick as a limb.
    Lungs and gas are filled slice by slice, and the fine surface is taken from the full resolution.

    Args:
        volume: HU or 1/cm, in patient order (`in_patient_order`), on any side.

    Raises:
        UnitsError: neither HU nor 1/cm.
        UnreadableInputError: nothing that could be a patient.
    """
    if volume.quantity not in TISSUE_ABOVE:
        raise UnitsError(f"a volume in {volume.quantity.unit}", "HU or 1/cm", "pass the CT or the attenuation map")
    tissue_above = TISSUE_ABOVE[volume.quantity]
    values = known_values(volume)
    factors, coarse = shrunk(values, volume.grid, _WORK_MM)
    spacing = np.asarray(volume.grid.spacing_mm) * factors
    tissue = coarse > tissue_above
    trunk = _trunk_and_limbs(opened(tissue, _THIN_MM / 2, spacing), spacing)
    # once more with the lungs as solid, for a chest wall thinner than the disc
    solid = tissue | _cavities(tissue, within(trunk, 1.0, np.ones(3)))
    trunk = _trunk_and_limbs(opened(solid, _THIN_MM / 2, spacing), spacing)
    inside = filled(within(trunk, 1.0, np.ones(3)) & solid)
    return _at_full_resolution(inside, factors, values, volume.quantity)


def _cavities(tissue: Mask, trunk: Mask) -> Mask:
    """Holes in the tissue of a slice whose border is trunk for the most part: lungs, not what a table encloses."""
    flat, around = (np.pad(mask, ((1, 1), (1, 1), (0, 0))) for mask in (tissue, trunk))
    holes, n = ndimage.label(~flat, _IN_SLICE)
    border, of_trunk = np.zeros(n + 1), np.zeros(n + 1)
    for axis, step in ((0, 1), (0, -1), (1, 1), (1, -1)):
        touching = np.roll(holes, step, axis)
        border += np.bincount(touching[flat], minlength=n + 1)
        of_trunk += np.bincount(touching[flat & around], minlength=n + 1)
    cavity = of_trunk > _CAVITY_BORDER * np.maximum(border, 1)
    cavity[holes[0, 0]] = cavity[0] = False  # around the patient, and tissue
    return np.asarray(cavity[holes][1:-1, 1:-1])


def _trunk_and_limbs(thick: Mask, spacing: npt.NDArray[np.float64]) -> Mask:
    pieces, n = ndimage.label(thick)
    if n == 0:
        raise UnreadableInputError(
            "nothing in the CT or map is as dense and as thick as a body",
            "soft tissue (above -400 HU, or 0.06 1/cm)",
            "check the units and that the right series was given",
        )
    sizes_ml = np.bincount(pieces.ravel(), minlength=n + 1) * spacing.prod() / 1000.0
    sizes_ml[0] = 0.0
    keep = np.zeros(n + 1, dtype=np.bool_)
    keep[sizes_ml.argmax()] = True
    for piece in np.flatnonzero((sizes_ml > _LIMB_ML) & ~keep):
        # in its slices, not in space: a limb that the scan only just reaches is a thin disc
        shape = np.pad(pieces == piece, ((1, 1), (1, 1), (0, 0)))
        keep[piece] = eroded(shape, _LIMB_RADIUS_MM, in_slices(spacing)).any()
    return np.asarray(keep[pieces])


def _at_full_resolution(inside: Mask, factors: tuple[int, int, int], values: Array, quantity: Quantity) -> Mask:
    """Sharpen the surface: beyond the eroded coarse mask, a voxel is body where it is tissue itself."""
    if factors == (1, 1, 1):
        tissue = inside
    else:
        core = repeated(~dilated(~inside), factors, values.shape)
        near = repeated(dilated(inside), factors, values.shape)
        tissue = core | (near & (values > TISSUE_ABOVE[quantity]))
    # the voxels that the skin only partly fills
    partly = (values > _EMPTY_BELOW[quantity]) & (values <= TISSUE_ABOVE[quantity])
    return np.asarray(tissue | (dilated(tissue) & partly))


def find_truncation(volume: Volume, body: Mask) -> Truncation:
    """Where the edge of the field cuts the body: the patient is wider than what the CT reconstructed.

    The edge is that of the known voxels, that of the lattice in x and y, and, where nothing is marked unknown and the
    body keeps to it, the circle that fits into the lattice.
    """
    nx, ny, nz = volume.grid.shape
    dx, dy, _ = volume.grid.spacing_mm
    reach = max(1, round(_EDGE_MM / max(dx, dy)))
    is_known = np.ones((nx + 2, ny + 2, nz), dtype=np.bool_)
    is_known[[0, -1]] = is_known[:, [0, -1]] = False
    if volume.outside is not None:
        is_known[1:-1, 1:-1] &= ~volume.outside
    x, y = (np.arange(nx) - (nx - 1) / 2) * dx, (np.arange(ny) - (ny - 1) / 2) * dy
    beyond = np.hypot(x[:, None], y[None, :]) > min(nx * dx, ny * dy) / 2
    # a thousandth of the voxels beyond the circle: bits of the table that count as body
    within_circle = body[ndimage.binary_erosion(beyond, iterations=reach, border_value=1)].mean() < 1e-3
    if volume.outside is None and within_circle:
        is_known[1:-1, 1:-1][beyond] = False
    field = is_known.sum((0, 1))
    full_slices = field > 0.9 * field.max()  # not where slices run out of the scan at a slant
    solid, near = np.pad(filled(body[:, :, full_slices]), ((1, 1), (1, 1), (0, 0))), ~is_known[:, :, full_slices]
    for _ in range(reach):
        near = dilated(near)
    edge = solid & dilated(~solid)
    at_edge, outline = (edge & near).sum((0, 1)), edge.sum((0, 1))
    # a hundredth: single voxels that touch the edge by chance do not count
    slices = int((at_edge > 0.01 * outline).sum())
    return Truncation(float(at_edge.sum() / max(outline.sum(), 1)), slices, int((outline > 0).sum()))


def emission_outline(spect: Volume) -> Volume:
    """A rough outline of the body from an uncorrected SPECT: where anything radiates.

    The smoothed image (15 mm) is cut at 4 % of its 98th percentile among the voxels above zero; each slice is the
    convex hull of its largest piece. Background in soft tissue is enough for it, but a centimetre or two of skin is
    uncertain.

    Args:
        spect: activity or counts, heart in the field.

    Returns:
        A label volume on the grid of `spect`: 1 inside, 0 outside.
    """
    spacing = np.asarray(spect.grid.spacing_mm)
    # 15 mm and 4 % are chosen: soft tissue holds 2 to 9 % of the activity of the myocardium
    # (`mureg.simulate.tracer`), and voxels below 1e-4 of the largest are empty; 2.355 is FWHM over sigma
    image = ndimage.gaussian_filter(np.maximum(spect.values.astype(np.float64), 0.0), 15.0 / 2.355 / spacing)
    inside = np.zeros(spect.grid.shape, dtype=np.bool_)
    if image.max() > 0.0:
        inside = image > 0.04 * np.percentile(image[image > 1e-4 * image.max()], 98)
        for k in range(inside.shape[2]):
            pieces, n = ndimage.label(inside[:, :, k])
            sizes = np.bincount(pieces.ravel(), minlength=n + 1)
            sizes[0] = 0
            largest = (pieces == sizes.argmax()) & inside[:, :, k]
            inside[:, :, k] = largest | convex_hull(largest, (spacing[0], spacing[1]))
    return Volume.from_numpy(inside.astype(np.float32), spect.grid, Quantity.LABEL)


def convex_hull(mask: Mask, spacing_mm: tuple[float, float], inset_mm: float = 0.0) -> Mask:
    """The pixels inside the convex hull of a flat mask, `inset_mm` or more from its edge; none for less than three."""
    hull = np.zeros(mask.shape, dtype=np.bool_)
    for box in ndimage.find_objects(mask.astype(np.int8)):  # one, or none
        edge = np.argwhere(mask[box] & ~ndimage.binary_erosion(mask[box])) + [s.start for s in box]
        try:
            a, b, c = ConvexHull(edge * spacing_mm).equations.T
        except (QhullError, ValueError):  # too few points, or all in one line
            continue
        x, y = (np.arange(s.start, s.stop) * mm for s, mm in zip(box, spacing_mm, strict=True))
        hull[box] = (a * x[:, None, None] + b * y[:, None] + c).max(-1) <= 1e-9 - inset_mm
    return hull


def in_patient_order(volume: Volume) -> Volume:
    """The same voxels indexed so that i, j, k run as nearly as they can along +x (left), +y (back), +z (head)."""
    cosines = volume.grid.affine[:3, :3] / np.asarray(volume.grid.spacing_mm)
    order = max(permutations(range(3)), key=lambda p: sum(abs(cosines[row, axis]) for row, axis in enumerate(p)))
    backwards = [row for row, axis in enumerate(order) if cosines[row, axis] < 0]
    if order == (0, 1, 2) and not backwards:
        return volume
    shape = [volume.grid.shape[axis] for axis in order]
    affine = volume.grid.affine.copy()
    affine[:3, :3] = affine[:3, order]
    for row in backwards:
        affine[:3, 3] += affine[:3, row] * (shape[row] - 1)
        affine[:3, row] *= -1.0
    grid = Grid((shape[0], shape[1], shape[2]), affine, volume.grid.frame_of_reference)
    values, mask = (
        None if array is None else np.ascontiguousarray(np.flip(array.transpose(order), tuple(backwards)))
        for array in (volume.values, volume.outside)
    )
    assert values is not None
    return Volume(values, grid, volume.quantity, mask)


def known_values(volume: Volume) -> Array:
    """The values as an array, with air where nothing is known."""
    values: Array = volume.values
    if volume.outside is None:
        return values
    return np.where(volume.outside, np.float32(_AIR[volume.quantity]), values)


def shrunk(values: Array, grid: Grid, spacing_mm: float) -> tuple[tuple[int, int, int], Array]:
    """Means over whole blocks of at most `spacing_mm`, and how many voxels a block has along each axis."""
    fx, fy, fz = (max(1, int(spacing_mm / s + 1e-6)) for s in grid.spacing_mm)
    return (fx, fy, fz), block_means(values, (fx, fy, fz))


def repeated(mask: Mask, factors: tuple[int, int, int], shape: tuple[int, ...]) -> Mask:
    """The opposite of `shrunk` for a mask: every block's value in each of its voxels."""
    for axis, factor in enumerate(factors):
        mask = mask if factor == 1 else np.repeat(mask, factor, axis=axis)
    return mask[: shape[0], : shape[1], : shape[2]]


def filled(mask: Mask) -> Mask:
    """With the holes of each slice: all that is not joined to the outside within it."""
    pieces, n = ndimage.label(np.pad(~mask, ((1, 1), (1, 1), (0, 0)), constant_values=True), _IN_SLICE)
    inside = np.ones(n + 1, dtype=np.bool_)
    inside[pieces[0, 0]] = False
    return np.asarray(inside[pieces[1:-1, 1:-1]])


def opened(mask: Mask, radius_mm: float, spacing_mm: npt.NDArray[np.float64]) -> Mask:
    """Take away, slice by slice, what a disc of a radius does not fit into."""
    spacing = in_slices(spacing_mm)
    padded = np.pad(mask, ((1, 1), (1, 1), (0, 0)), mode="edge")
    return np.asarray(within(eroded(padded, radius_mm, spacing), radius_mm, spacing)[1:-1, 1:-1] & mask)
