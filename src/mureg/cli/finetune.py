"""``mureg finetune``: weights that are there, adapted to a department's own patients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any

from mureg.cli.common import Common, Flat, Output, parse
from mureg.cli.training import Sitting, fit
from mureg.errors import UsageError
from mureg.registration.network import load_network, refuse_around, shipped
from mureg.training.settings import FINETUNE, read_table, settings_from

WHOLE_FIELD = "densenet-small"


@dataclass(frozen=True)
class Finetune:
    """Go on training weights on other patients; the same command goes on where it was stopped. Research use only.

    Attributes:
        output: folder of the run.
        weights: a .safetensors file with its card beside it, as mureg train writes them; left out: those that come with
            the package, a small DenseNet trained on virtual patients of the level clinical.
        cohort: folder of a cohort, divided by patient.
        pairs: instead, a CSV file with the columns spect, ct or mu, transform (optional) and patient; a pair without
            transform counts as aligned.
        settings: TOML file of your own; network and grid come with the weights, whatever it says of them, and weights
            trained without the SPECT stay so.
        epochs: how often every case is seen; 0 for what the settings say.
    """

    output: Output
    weights: Path | None = None
    cohort: Path | None = None
    pairs: Path | None = None
    settings: str = FINETUNE
    epochs: int = 0
    sitting: Annotated[Sitting, Flat] = field(default_factory=Sitting)
    common: Annotated[Common, Flat] = field(default_factory=Common)


def main(arguments: Sequence[str]) -> int:
    """Parse, load, train, say."""
    options = parse("finetune", arguments, Finetune)
    cases = options.cohort or options.pairs
    if options.cohort is not None and options.pairs is not None:
        raise UsageError("both --cohort and --pairs", "one of them", "leave the other out")
    weights = options.weights or shipped(WHOLE_FIELD)
    module, card = load_network(weights)
    refuse_around(card, "field", weights.name)
    table = read_table(options.settings)
    changes: dict[str, Any] = {
        "network": card.network,
        "grid": asdict(card.grid),
        **({"input": {"blanked": True}} if card.blanked else {}),
        "begin_from": card.weights_sha256,
        "data": {**table.get("data", {}), **({"cases": str(cases)} if cases else {})},
    }
    if options.epochs:
        table.pop("samples", None)
        changes["epochs"] = options.epochs
    settings = settings_from(table, options.settings, changes)
    return fit(settings, options.output, options.sitting, options.common, [weights], module.state_dict())
