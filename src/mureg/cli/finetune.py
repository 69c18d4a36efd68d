"""``mureg finetune``: weights that are there, adapted to a department's own patients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any

from mureg.cli.algorithms import Changes
from mureg.cli.common import Common, Output, parse
from mureg.cli.help import Flat
from mureg.cli.training_options import Sitting
from mureg.errors import UsageError
from mureg.registration.card import refuse_around, shipped

WHOLE_FIELD = "densenet-small"
SHIPPED_SETTINGS = "finetune"


@dataclass(frozen=True)
class Finetune:
    """Continue training weights on other patients. The same command continues a stopped run. Research use only.

    Attributes:
        output: folder of the run.
        weights: .onnx file, or .safetensors of mureg 0.1.0, with its card beside it (default: the small DenseNet of the
            package).
        cohort: folder of a cohort, divided by patient.
        pairs: CSV list instead of a cohort (columns spect, ct or mu, optional transform, patient). A pair without a
            transform counts as aligned.
        settings: training settings: finetune, or a TOML file. Network and grid always come with the weights.
        changes: change one setting, such as optimiser.learning_rate=1e-5; repeatable.
        epochs: number of times that every case is seen; 0 for that of the settings.

    Example:
        mureg finetune --weights runs/first/best.onnx --pairs pairs.csv -o runs/clinical
    """

    output: Output
    weights: Path | None = None
    cohort: Path | None = None
    pairs: Path | None = None
    settings: str = SHIPPED_SETTINGS
    changes: Changes = ()
    epochs: int = 0
    sitting: Annotated[Sitting, Flat] = field(default_factory=Sitting)
    common: Annotated[Common, Flat] = field(default_factory=Common)


OPTIONS = Finetune


def main(arguments: Sequence[str]) -> int:
    """Parse the options, load the weights, train, and print the result; returns the exit code."""
    options = parse("finetune", arguments, Finetune)
    from mureg.cli.training import fit
    from mureg.training.settings import read_table, settings_from, table_with
    from mureg.training.weights import read_network

    cases = options.cohort or options.pairs
    if options.cohort is not None and options.pairs is not None:
        raise UsageError("both --cohort and --pairs", "one of them", "leave the other out")
    weights = options.weights or shipped(WHOLE_FIELD)
    module, card = read_network(weights)
    refuse_around(card, "field", weights.name)
    table = table_with(read_table(options.settings), options.changes)
    changes: dict[str, Any] = {
        "network": card.network,
        "grid": asdict(card.grid),
        **({"input": {"ablated": True}} if card.ablated else {}),
        "begin_from": card.weights_sha256,
        "data": {**table.get("data", {}), **({"cases": str(cases)} if cases else {})},
    }
    if options.epochs:
        table.pop("samples", None)
        changes["epochs"] = options.epochs
    settings = settings_from(table, options.settings, changes)
    return fit(settings, options.output, options.sitting, options.common, [weights], module.state_dict())
