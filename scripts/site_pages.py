"""Pages of the site that are made from the code when the site is built; a hook of MkDocs (`mkdocs.yml`).

| page | made from |
|---|---|
| reference/api.md | the public names of `mureg`; their docstrings are read by mkdocstrings |
| reference/command-line-options.md | the options of each verb, as `mureg VERB --help` shows them, and the exit codes |
| reference/settings.md | the classes of settings, as `mureg settings` prints them |
| reference/model-cards.md | the cards of the weights in the package |

A link of a page to a file outside `docs` becomes the path of that file, because the site is read without the repository.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
WEIGHTS = ROOT / "src" / "mureg" / "data" / "weights"

PYTHON = {
    "Read and write": (
        "read_study",
        "read_spect",
        "read_ct",
        "read_mu",
        "read_transform",
        "inspect",
        "write_nifti",
        "write_transform",
    ),
    "Examine": ("examine", "prepare", "register", "reconstruct", "reconstruct_at", "StudySettings"),
    "Answers": ("Assessment", "Registration", "Thresholds"),
    "Registrars": ("Combination", "NearHeart", "MutualInformation", "NetworkRegistrar", "PoseByHand"),
    "Reconstruction and camera": ("Osem", "Physics", "SystemModel", "Acquisition"),
    "Studies and images": ("Study", "PreparedStudy", "Ct", "Volume", "Grid", "Quantity", "RigidTransform"),
    "Errors": ("MuregError",),
}
"""Every public name, in the order of the page; a name that is missing here ends the build."""


def on_files(files: Any, config: Any) -> Any:
    """Add the pages that are made from the code."""
    from mkdocs.structure.files import File

    for name, text in pages().items():
        files.append(File.generated(config, name, content=text))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Name files outside `docs` by their path; README of the repository is the front page."""
    folder = (ROOT / "docs" / page.file.src_uri).parent

    def replaced(found: re.Match[str]) -> str:
        target = Path(os.path.normpath(folder / found[2].split("#")[0]))
        if not target.is_relative_to(ROOT) or target.is_relative_to(ROOT / "docs"):
            return found[0]
        return f"{found[1]} (`{target.relative_to(ROOT).as_posix()}` in the repository)"

    return re.sub(r"(?<!!)\[([^\]]*)\]\((?!https?:|#)([^)\s]+)\)", replaced, markdown)


def pages() -> dict[str, str]:
    """Text of each page, by its path in the site."""
    return {
        "reference/api.md": api(),
        "reference/command-line-options.md": command_line(),
        "reference/settings.md": settings(),
        "reference/model-cards.md": model_cards(),
    }


def api() -> str:
    import mureg

    listed = {name for names in PYTHON.values() for name in names}
    public = set(mureg._PUBLIC)
    if listed != public:
        raise ValueError(f"scripts/site_pages.py lists other names than mureg: {sorted(listed ^ public)}")
    lines = [
        "# Python\n",
        "For those who write scripts. [Use mureg from Python](../how-to/python.md) shows how these names go together.\n",
    ]
    for heading, names in PYTHON.items():
        lines.append(f"## {heading}\n")
        for name in names:
            value = getattr(mureg, name)
            lines.append(f"::: {value.__module__}.{value.__qualname__}\n    options:\n      heading_level: 3\n")
    return "\n".join(lines)


def command_line() -> str:
    from importlib import import_module

    from mureg.cli import VERBS, overview
    from mureg.cli.help import help_text

    os.environ["COLUMNS"] = "100"
    lines = [
        "# Command-line options and exit codes\n",
        "For those who look up an option. [The command line](../how-to/command-line.md) explains settings, messages and logs.\n",
        block(overview()),
        "## Exit codes\n",
        "| code | meaning |\n|---|---|",
        *(f"| {code} | {meaning} |" for code, meaning in exit_codes()),
        "",
    ]
    for verb in VERBS:
        options = import_module(f"mureg.cli.{verb}").OPTIONS
        lines += [f"## mureg {verb}\n", block(help_text(verb, options))]
    return "\n".join(lines)


def exit_codes() -> Iterator[tuple[int, str]]:
    """The codes of the error classes, with the first sentence of each, and those that no error has."""
    from mureg import errors

    yield 0, "done"
    yield 1, "a fault of the program; `MUREG_TRACEBACK=1` shows the traceback"
    codes: dict[int, list[str]] = {}
    for one in vars(errors).values():
        if isinstance(one, type) and issubclass(one, errors.MuregError) and vars(one).get("exit_code", 1) != 1:
            codes.setdefault(one.exit_code, []).append((one.__doc__ or "").split("\n")[0].rstrip("."))
    for code in sorted(codes):
        yield code, "; ".join(dict.fromkeys(codes[code]))
    yield errors.SOME_FAILED, "some studies of a batch failed"
    yield errors.STOPPED_BY_HAND, "stopped by Ctrl-C"


def settings() -> str:
    from mureg.cli.algorithms import Tuning
    from mureg.cli.settings_text import commented_toml
    from mureg.registration.catalogue import REGISTRARS

    lines = [
        "# Settings\n",
        "For those who change an algorithm. Each entry has its meaning, unit, limits and default. `mureg settings --registrar NAME > settings.toml`",
        "prints the same; `--settings FILE` reads it; `--set registrar.passes=3` changes one.\n",
    ]
    for number, kind in enumerate(names_of(REGISTRARS)):
        algorithms = Tuning(None, (), None).algorithms(kind)
        text = commented_toml(algorithms, algorithms.tables())
        if number:  # the other tables are the same for every registrar
            text = only_table(text, "registrar")
        lines += [f"## --registrar {kind}\n", block(text, "toml")]
    return "\n".join(lines)


def names_of(registrars: Any) -> list[str]:
    """Names of the registrars, the default first."""
    return sorted(registrars, key=lambda name: (name != "combination", name))


def only_table(text: str, table: str) -> str:
    """Lines of one table and of its parts."""
    parts = re.split(r"(?m)^(?=(?:#[^\n]*\n)*\[)", text)
    return "".join(part for part in parts if re.search(rf"(?m)^\[{table}[\].]", part))


def model_cards() -> str:
    lines = [
        "# Model cards\n",
        "For those who ask what a network was made from and what it is for. `mureg weights` prints the same from an installation. *Research",
        "use only: not for diagnosis.*\n",
        "| | |\n|---|---|",
        "| intended use | research on the registration of a CT attenuation map to a cardiac perfusion SPECT, on adults, with a reader who",
        "checks each result |",
        "| not for | diagnosis, treatment, other organs, other tracers than those of perfusion, SPECT without the heart in the field |",
        "| data | simulated SPECT of virtual patients ([how they are drawn](../concepts/virtual-patients.md)); no SPECT of a patient |",
        "| limits | not evaluated on patients; larger motion than in training; a CT that cuts the body; a camera unlike its header",
        "([evidence](../evidence.md), [default registrar](../concepts/combination.md#where-it-may-fail)) |\n",
    ]
    text = "\n".join(lines).replace("who\nchecks", "who checks").replace("header\n(", "header (")
    return text + "\n" + "\n".join(card(path) for path in sorted(WEIGHTS.glob("*.json")))


def card(path: Path) -> str:
    """One card as a section."""
    values = json.loads(path.read_text("utf-8"))
    if "weights_sha256" not in values:
        return rule(path, values)
    files = sorted(WEIGHTS.glob(f"{path.stem}*.onnx"))
    networks = values["trained_on"].get("networks", [values["trained_on"]])
    motion, errors = values["motion"], values["validation"]
    rows = {
        "networks": f"{1 + len(values['others'])} of kind `{values['network']['kind']}`, {values['parameters']:,} parameters",
        "input": f"{' x '.join(map(str, values['grid']['shape']))} voxels of {values['grid']['spacing_mm']:g} mm, "
        + ("a crop around the heart" if values["around"] == "heart" else "the whole field"),
        "trained on": "; ".join(
            dict.fromkeys(f"{one['cases']:,} cases of {one['patients']} virtual patients" for one in networks)
        ),
        "motion in training": f"median {motion['shift_mm']:g} mm and {motion['angle_deg']:g} degrees, largest "
        f"{motion['largest_shift_mm']:g} mm and {motion['largest_angle_deg']:g} degrees",
        "validation": ", ".join(f"{name} {value:.3g}" for name, value in errors.items()),
        "calibrated for": ", ".join(sorted(values["calibrated_for"])) or "nothing: a move is always reviewed",
        "licence": values["licence"],
        "version": values["version"],
        "hash of the card's weights": f"`{values['weights_sha256']}`",
        "hash of the card": f"`{values['card_sha256']}`",
        **{f"`{one.name}`, SHA-256": f"`{sha256(one)}`" for one in files},
    }
    return section(path.stem, rows)


def rule(path: Path, values: dict[str, Any]) -> str:
    """The rule by which the default registrar weighs its parts."""
    trained, errors = values["trained_on"], values["validation"]
    rows = {
        "what": "not a network: the expected error of each part of the [default registrar](../concepts/combination.md), by signs of the study",
        "parts": ", ".join(f"`{name}`" for name in values["methods"]),
        "trained on": ", ".join(f"{value} {name}" for name, value in trained.items() if name != "command"),
        "made by": f"`{trained['command']}`",
        "validation": ", ".join(f"{name} {value:.3g}" for name, value in errors.items()),
        "licence": "Apache-2.0",
        f"`{path.name}`, SHA-256": f"`{sha256(path)}`",
    }
    return section(path.stem, rows)


def section(name: str, rows: dict[str, str]) -> str:
    table = "\n".join(f"| {key} | {value} |" for key, value in rows.items())
    return f"## {name}\n\n| | |\n|---|---|\n{table}\n"


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def block(text: str, language: str = "text") -> str:
    return f"```{language}\n{text.rstrip()}\n```\n"
