"""Rigid motions of many cases at once, differentiable: the same conventions as `RigidTransform`, about the origin.

In training every point is stated from the centre of the SPECT grid, the centre of the rigid parameters.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from mureg.registration.card import UNIT_MM


def matrices(six: Float[Tensor, "case 6"]) -> Float[Tensor, "case 4 4"]:
    """The motions of rigid parameters: translations in units of 6.8 mm, angles in degrees about x, then y, then z.

    Rotate (``R = Rz @ Ry @ Rx``), then translate, in mm; see `RigidTransform.from_six`.
    """
    translation_mm, angles = six[:, :3] * UNIT_MM, torch.deg2rad(six[:, 3:])
    (cx, cy, cz), (sx, sy, sz) = angles.cos().unbind(1), angles.sin().unbind(1)
    rows = (
        (cz * cy, cz * sy * sx - sz * cx, cz * sy * cx + sz * sx, translation_mm[:, 0]),
        (sz * cy, sz * sy * sx + cz * cx, sz * sy * cx - cz * sx, translation_mm[:, 1]),
        (-sy, cy * sx, cy * cx, translation_mm[:, 2]),
    )
    upper = torch.stack([torch.stack(row, dim=1) for row in rows], dim=1)
    last = upper.new_tensor((0.0, 0.0, 0.0, 1.0)).expand(len(six), 1, 4)
    return torch.cat((upper, last), dim=1)


def rigid_parameters(pose: Float[Tensor, "case 4 4"]) -> Float[Tensor, "case 6"]:
    """The inverse of `matrices`, for angles about y below 90 degrees."""
    translation = pose[:, :3, 3] / UNIT_MM
    about_x = torch.atan2(pose[:, 2, 1], pose[:, 2, 2])
    about_y = torch.asin((-pose[:, 2, 0]).clamp(-1.0, 1.0))
    about_z = torch.atan2(pose[:, 1, 0], pose[:, 0, 0])
    return torch.cat((translation, torch.rad2deg(torch.stack((about_x, about_y, about_z), dim=1))), dim=1)


def inverse(pose: Float[Tensor, "case 4 4"]) -> Float[Tensor, "case 4 4"]:
    """The motions back, also of a mirror image: the transposed upper 3x3 and no matrix inversion."""
    back = pose.transpose(1, 2).clone()
    back[:, :3, 3] = -(back[:, :3, :3] @ pose[:, :3, 3:])[..., 0]
    back[:, 3, :3] = 0.0
    return back


def apply(pose: Float[Tensor, "case 4 4"], points_mm: Float[Tensor, "case point 3"]) -> Float[Tensor, "case point 3"]:
    """Map the points of each case, in mm."""
    return points_mm @ pose[:, :3, :3].transpose(1, 2) + pose[:, None, :3, 3]


def displacement_mm(
    predicted: Float[Tensor, "case 4 4"], true: Float[Tensor, "case 4 4"], points_mm: Float[Tensor, "case point 3"]
) -> Float[Tensor, " case"]:
    """Mean distance between the places to which two motions send the same points: the target registration error."""
    apart: Tensor = torch.linalg.vector_norm(apply(predicted, points_mm) - apply(true, points_mm), dim=2)
    return apart.mean(1)
