"""A torso as a list of parts in the order of painting, and its rendering."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from torch import Tensor

from mureg.geometry import Grid, RigidTransform
from mureg.simulate.anatomy import Breath, Points
from mureg.simulate.fields import SmoothField
from mureg.simulate.measured_motion import MEASURED_MM, BodyRegions, MeasuredMotion
from mureg.simulate.torso.abdomen import Abdomen
from mureg.simulate.torso.body import Body
from mureg.simulate.torso.canvas import NODE_MM, Lattice, Palette, Patch
from mureg.simulate.torso.chest import Chest
from mureg.simulate.torso.envelope import Envelope
from mureg.simulate.torso.heart import TorsoHeart
from mureg.simulate.torso.motion import BreathingMotion, Coordinates, TorsoMotion
from mureg.simulate.torso.parts import Part
from mureg.simulate.torso.skeleton import Skeleton

_TEXTURE_BOX_MM = (480.0, 340.0, 540.0)
"""Box of the random texture: about a chest; beyond it the texture goes on as at its edge."""
_BOX_MARGIN_MM, _BOX_TOLERANCE_MM = 1.0, 0.5
"""Around the box of the heart, for rounding; and to which boxes are placed, a tenth of a voxel of 6.8 mm. Chosen."""
_BULGE = 0.04
"""How far faces of a box may bulge in the patient, as a share of its half diagonal; chosen."""
_BOX_PLACES = np.array([place for place in np.ndindex(3, 3, 3) if place.count(1) in (0, 2)], dtype=np.float64) - 1.0
"""Corners and middles of the faces of a box."""


@dataclass(frozen=True)
class Texture:
    """A smooth relative variation of one channel, carried along with the tissue.

    Attributes:
        channel: which is multiplied.
        deviation: standard deviation.
        wavelength_mm: distance between independent values.
        seed: of the field.
    """

    channel: int
    deviation: float
    wavelength_mm: float
    seed: int


@dataclass(frozen=True, eq=False)
class _State:
    """A state of breathing and what is painted of it: each volume with its palette."""

    moving: BreathingMotion
    channels: Sequence[tuple[Tensor, Palette]]


@dataclass(frozen=True, eq=False)
class Scene:
    """Everything of one torso that can be painted."""

    body: Body
    motion: TorsoMotion

    @cached_property
    def heart(self) -> TorsoHeart:
        """The heart before the random deformation of the body."""
        return TorsoHeart(self.body)

    @cached_property
    def envelope(self) -> Envelope:
        """The large smooth surfaces."""
        return Envelope(self.body, self.heart)

    @cached_property
    def abdomen(self) -> Abdomen:
        """Organs below the diaphragm."""
        return Abdomen(self.body, self.envelope)

    @cached_property
    def parts(self) -> list[Part]:
        """Everything but the left ventricle, in the order of painting."""
        return [
            *self.abdomen.parts(),
            *Chest(self.body, self.heart, self.envelope).parts(),
            *Skeleton(self.body, self.envelope).parts(),
            Part(self.heart.box, self.heart.paint),
        ]

    @cached_property
    def measured(self) -> MeasuredMotion:
        """Displacement in a breath as it was measured, over the undeformed body."""
        b = self.body
        low, high = np.array([-b.cage_x, -b.cage_y, -400.0 * b.scale]), np.array([b.cage_x, b.cage_y, 225.0 * b.scale])
        around = np.array([30.0, 70.0, 0.0])  # mm: a deformed trunk with belly and breasts; chosen
        shape = [int(np.ceil(extent / MEASURED_MM)) for extent in high - low + 2 * around]
        cx, cy, cz = (float(v) for v in (low + high) / 2)
        grid = Grid.centred((shape[0], shape[1], shape[2]), (MEASURED_MM,) * 3, (cx, cy, cz))
        points = grid.points(np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1))
        x, y, z = torch.from_numpy(points).float().unbind(-1)
        cage = self.envelope.cage(x, y, z)
        lung = self.envelope.organs(cage, (x, y, z), (x, y, z))["lung"] > 0
        movable = (cage > 0) & (y < self.envelope.spine_y(z) - b.spine_radius[1])
        movable |= (cage > 0) & (x.abs() > b.spine_radius[0])
        heart = self.heart.distances(x, y, z).all > 0
        masks = [mask.numpy() for mask in (lung, movable, heart)]
        dome = (b.dome_left + b.dome_right) / 2
        return MeasuredMotion.of(BodyRegions(grid, masks[0], masks[1], masks[2], dome, wall_apart=True))

    def breathed_in(self, breath: Breath) -> BreathingMotion:
        """The motion of the undeformed body in a state of breathing."""
        return BreathingMotion(self.motion, breath, self.measured if breath.measured else None)

    def organ_fields(self, lattice: Lattice, breath: Breath) -> dict[str, Tensor]:
        """Distances to the surfaces of lungs and liver at the nodes."""
        moving, places = self.breathed_in(breath), self._undeformed(lattice)
        wall = moving.wall(*places)
        return self.envelope.organs(self.envelope.cage(*wall), wall, moving.viscera(*places))

    def skin(self, lattice: Lattice) -> Tensor:
        """Distance to the skin at the nodes, at end expiration."""
        return self.envelope.skin(*self._undeformed(lattice))[1]

    def _undeformed(self, lattice: Lattice) -> Coordinates:
        """Where the nodes lie in the undeformed body."""
        x, y, z = self.motion.undeformed(lattice.points.float()).unbind(-1)
        return x, y, z

    def render(
        self,
        grid: Grid,
        patient_from_grid: RigidTransform,
        breaths: Sequence[Breath],
        palettes: Sequence[Sequence[Palette]],
        segments: Sequence[float] | None = None,
        texture: Texture | None = None,
    ) -> list[list[Float[Tensor, "x y z"]]]:
        """Paint the same volumes in several states of breathing.

        Skin and skeleton are worked out once for all states in which they stand alike.

        Args:
            grid: where.
            patient_from_grid: maps a point of the grid's space to patient space.
            breaths: states of breathing.
            palettes: for each of them and each volume what each tissue is worth; the entry "" is what surrounds the
                body.
            segments: relative perfusion of the 17 segments of the left-ventricular wall; None for all alike.
            texture: of one of the volumes.

        Returns:
            For each state of breathing a volume for each palette.
        """
        lattice = Lattice(grid, patient_from_grid)
        places = self._undeformed(lattice)
        canvases = [[(torch.full(grid.shape, palette.get("", 0.0)), palette) for palette in own] for own in palettes]
        states = [_State(self.breathed_in(breath), own) for breath, own in zip(breaths, canvases, strict=True)]
        for depth in {state.moving.depth for state in states}:  # where the wall stands hangs on it alone
            alike = [state for state in states if state.moving.depth == depth]
            self._paint(lattice, places, alike, segments, texture)
        return [[volume for volume, _ in own] for own in canvases]

    def _paint(
        self,
        lattice: Lattice,
        places: Coordinates,
        states: Sequence[_State],
        segments: Sequence[float] | None,
        texture: Texture | None,
    ) -> None:
        """Paint states in which skin and skeleton stand alike; `places` are the undeformed nodes."""
        wall = states[0].moving.wall(*places)
        still_fields = dict(zip("xyz", wall, strict=True)) | self.envelope.still_fields(wall)
        moving = []
        for state in states:
            viscera = state.moving.viscera(*places)
            own = {} if state.moving.still else dict(zip(("vx", "vy", "vz"), viscera, strict=True))
            moving.append(own | self.envelope.moving_fields(still_fields["cage"], wall, viscera))
        ranges = [self._ranges(lattice, state.moving) for state in states]
        voxel_mm = lattice.voxel_mm
        for window in lattice.slabs(lattice.ranges_near(still_fields["skin"], 2.0 * NODE_MM + voxel_mm)):
            shared_fields = lattice.fields(still_fields, window)
            channels = [[(volume[window], palette) for volume, palette in state.channels] for state in states]
            apart = [
                Patch(lattice.fields(nodes, window, shared_fields), own, voxel_mm, window)
                for nodes, own in zip(moving, channels, strict=True)
            ]
            together = Patch(shared_fields, [channel for own in channels for channel in own], voxel_mm, window)
            self._background(together, apart)
            for k, part in enumerate(self.parts):
                if part.detail_mm == 0 or part.detail_mm > voxel_mm:
                    slabs = [together] if part.still else apart
                    for slab, boxes in zip(slabs, ranges, strict=False):
                        patch = slab.part(boxes[k])
                        if patch is not None:
                            part.paint(patch)
            for slab, boxes in zip(apart, ranges, strict=True):
                ventricle = slab.part(boxes[-1])
                if ventricle is not None:
                    self.heart.paint_ventricle(ventricle, segments)
                if texture is not None and texture.deviation > 0:
                    _add_texture(slab, texture)

    def _ranges(self, lattice: Lattice, moving: BreathingMotion) -> npt.NDArray[np.int64]:
        """Index ranges [part, axis, 2] of the boxes where they lie in the patient; that of the left ventricle last."""
        low, high, is_still = self._boxes
        middle, half = (low + high) / 2, (high - low) / 2
        around = middle[:, None] + half[:, None] * _BOX_PLACES
        inside = np.broadcast_to(~is_still[:, None], around.shape[:2])
        positions_mm = around if moving.still else moving.carried(around, inside, _BOX_TOLERANCE_MM)
        corners = self.motion.deformed(positions_mm, _BOX_TOLERANCE_MM)
        # surfaces of the box that bulge between its corners, and half a voxel of partial volume
        near = (_BULGE * np.linalg.norm(half, axis=1) + _BOX_TOLERANCE_MM + lattice.voxel_mm)[:, None]
        return lattice.index_ranges(corners.min(1) - near, corners.max(1) + near)

    @cached_property
    def _boxes(self) -> tuple[Points, Points, npt.NDArray[np.bool_]]:
        boxes = [part.box for part in self.parts] + [self.heart.ventricle_box]
        low, high = (np.array([box[k] for box in boxes], dtype=np.float64) for k in (0, 1))
        return low, high, np.array([part.still for part in self.parts] + [False])

    def _background(self, together: Patch, apart: Sequence[Patch]) -> None:
        """Skin, fat, breast, muscle, what fills the belly, lungs: of all states together, and of each apart."""
        still_fields = together.fields
        together.paint(still_fields["skin"], "fat")
        if "breast" in still_fields:
            for slab in apart:
                # strands of glandular tissue in fat; drawn by eye
                strands = (slab.fields["mix"] - 0.9 + 1.8 * self.body.gland) * 9.0
                gland = torch.minimum(still_fields["breast"] - 5.0, strands)
                slab.paint(torch.minimum(gland, still_fields["skin"] - 4.0), "breast")
        together.paint(still_fields["muscle"], "soft_tissue")
        together.paint(still_fields["cage"] - 3.0, "between")
        for slab in apart:
            lung = slab.cover(slab.fields["lung"])
            slab.lay(1.0 - lung, (lung, "lung"), factor=slab.fields["dense"])

    def heart_masks(
        self, grid: Grid, patient_from_grid: RigidTransform, breath: Breath
    ) -> tuple[Float[Tensor, "x y z"], Float[Tensor, "x y z"]]:
        """Share of each voxel inside the left-ventricular wall, and inside the whole heart."""
        lattice = Lattice(grid, patient_from_grid)
        moving = self.breathed_in(breath)
        places = moving.viscera(*self._undeformed(lattice))
        fields = dict(zip(("vx", "vy", "vz"), places, strict=True))
        wall, whole = torch.zeros(grid.shape), torch.zeros(grid.shape)
        farthest = lattice.farthest(places) + lattice.voxel_mm + _BOX_MARGIN_MM
        low, high = (np.asarray(corner)[None] for corner in self.heart.box)
        box = [(int(a), int(b)) for a, b in lattice.index_ranges(low - farthest, high + farthest)[0]]
        for window in lattice.slabs(box):
            patch = Patch(lattice.fields(fields, window), [], lattice.voxel_mm, window)
            distances = self.heart.distances(*patch.viscera)
            wall[window] = self.heart.lv_shares(patch, distances)[0]
            whole[window] = patch.cover(distances.all)
        return wall, whole


@lru_cache(maxsize=4)
def _texture_field(seed: int, wavelength_mm: float) -> SmoothField:
    """Normal deviates joined by straight lines; 1.6 makes up for what joining takes from their spread."""
    shape = tuple(int(np.ceil(extent / wavelength_mm)) + 1 for extent in _TEXTURE_BOX_MM)
    values = np.random.default_rng(seed).standard_normal((1, *shape)).astype(np.float32)
    grid = Grid.centred((shape[0], shape[1], shape[2]), (wavelength_mm,) * 3)
    return SmoothField(torch.from_numpy(1.6 * values), grid)


def _add_texture(slab: Patch, texture: Texture) -> None:
    """Multiply a channel by 1 + deviation * field, not below 0.2 (eight of the largest deviations, 0.10)."""
    field = _texture_field(texture.seed, texture.wavelength_mm)
    channel = slab.channels[texture.channel][0]
    # as `SmoothField.at`, without making the points first
    places = torch.empty(*channel.shape, 3)
    sizes, spacing, start = field.lattice.shape[1:], texture.wavelength_mm, field.grid.affine[:3, 3]
    for axis, values in enumerate(slab.viscera):
        scale = 2.0 / (spacing * sizes[axis])
        torch.add(values * scale, (1.0 - 2.0 * start[axis] / spacing) / sizes[axis] - 1.0, out=places[..., 2 - axis])
    values = torch.nn.functional.grid_sample(
        field.lattice[None], places[None], mode="bilinear", padding_mode="border", align_corners=False
    )[0, 0]
    channel.mul_(values.mul_(texture.deviation).add_(1.0).clamp_(min=0.2))
