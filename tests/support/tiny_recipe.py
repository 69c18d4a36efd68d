"""A recipe in miniature for tiny cases: two networks, one of two stages, and two cases for calibration."""

from __future__ import annotations

from mureg.training.heart.recipe import Recipe, recipe_from

PLAIN = {"network": {"kind": "tiny"}, "grid": {"shape": [12, 12, 12], "spacing_mm": 20.0}, "batch": 4}
NORMED = {**PLAIN, "network": {"kind": "tiny", "norm": True}}
STAGE = {"crops": "near", "samples": 12, "learning_rate": 2e-3, "decay": 0.8, "seed": 3}
TABLE = {
    "training": "near-heart",
    "validation_every": 2,
    "crops": [
        {"name": "near", "populations": {"tiny": 2}, "first": 1, "per_case": 4},
        {"name": "far", "populations": {"tiny": 2}, "first": 1, "per_case": 3, "starts": {"kind": "around-truth"}},
    ],
    "networks": [
        {
            "name": "two-stages",
            "changes": NORMED,
            "stages": [{**STAGE, "crops": "far"}, {**STAGE, "seed": 4}],
        },
        {"name": "one-stage", "changes": PLAIN, "stages": [STAGE]},
    ],
    "calibration": {"groups": [{"population": "tiny", "first": 4, "n": 2}], "gains": [0.8, 0.7, 1, 1, 1, 1]},
}


def tiny_recipe(**changes) -> Recipe:
    """`TABLE` with changes; the network named tiny must stand in the catalogue."""
    return recipe_from({**TABLE, **changes})
