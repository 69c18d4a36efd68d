"""Install mureg into an empty environment and list what each package takes there; fail above a limit.

Also tries that the clinic works there: ``mureg doctor``, ``inspect``, ``demo``, ``register``, ``batch`` and
``reconstruct`` on the sample study, in a home that is read-only where the system allows it.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import venv
from collections import defaultdict
from importlib.metadata import Distribution, distributions
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LARGEST_MB = 750
RESEARCH = ("torch", "safetensors", "onnx", "onnxscript")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--package", default=str(ROOT), help="what to install: a checkout or a wheel")
    parser.add_argument("--constraint", default=str(ROOT / "constraints" / "ci.txt"), help="pinned versions")
    parser.add_argument("--folder", type=Path, help="where the environment is made (default: removed at the end)")
    parser.add_argument("--run", action="store_true", help="run the clinical verbs there as well")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mureg-sizes-") as scratch:
        place = options.folder or Path(scratch) / "environment"
        python = installed(place, options.package, options.constraint)
        sizes = by_package(python)
        show(sizes)
        wrong = [name for name in RESEARCH if name in sizes]
        total_mb = sum(sizes.values()) / 1e6
        if wrong or total_mb > LARGEST_MB:
            print(f"not as it should be: {total_mb:.0f} MB of at most {LARGEST_MB}, of research {wrong or 'nothing'}")
            return 1
        return run_clinic(python, Path(scratch)) if options.run else 0


def installed(place: Path, package: str, constraint: str) -> Path:
    """Python of a new environment that holds mureg and what it needs."""
    venv.create(place, with_pip=True, clear=False)
    python = place / ("Scripts" if os.name == "nt" else "bin") / "python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", "--constraint", constraint, package], check=True)
    return python


def by_package(python: Path) -> dict[str, int]:
    """Bytes on the disk by package, without pip and setuptools; compiled Python included."""
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    place = Path(subprocess.run([python, "-c", code], check=True, capture_output=True, text=True).stdout.strip())
    subprocess.run([python, "-m", "compileall", "-q", place], check=False, capture_output=True)
    owner: dict[Path, str] = {}
    for distribution in distributions(path=[str(place)]):
        owner |= dict.fromkeys(files_of(distribution), distribution.name.lower())
    top = {path.relative_to(place).parts[0]: name for path, name in owner.items() if path.is_relative_to(place)}
    sizes: dict[str, int] = defaultdict(int)
    for path in place.rglob("*"):
        if path.is_file() and not path.is_symlink():
            name = owner.get(path) or top.get(path.relative_to(place).parts[0], "(other)")
            sizes[name] += path.stat().st_size
    return {name: size for name, size in sizes.items() if name not in ("pip", "setuptools")}


def files_of(distribution: Distribution) -> list[Path]:
    return [Path(str(distribution.locate_file(file))).resolve() for file in distribution.files or ()]


def show(sizes: dict[str, int]) -> None:
    print("| package | MB |\n|---|---|")
    small = 0
    for name, size in sorted(sizes.items(), key=lambda item: -item[1]):
        if size < 5e6 and name != "mureg":
            small += size
        else:
            print(f"| {name} | {size / 1e6:.0f} |")
    print(f"| all others | {small / 1e6:.0f} |\n| **together** | **{sum(sizes.values()) / 1e6:.0f}** |")


def run_clinic(python: Path, scratch: Path) -> int:
    """The verbs of the clinic, one after another on the sample study; the first exit code that is not 0."""
    code = "from mureg.sample import sample_folder; print(sample_folder())"
    told = subprocess.run([python, "-c", code], check=True, capture_output=True, text=True, cwd=scratch)
    sample, results = Path(told.stdout.strip()), scratch / "results"
    results.mkdir()
    study = ["--spect", str(sample / "spect.dcm"), "--ct", str(sample / "ct")]
    (scratch / "list.csv").write_text(f"name,spect,ct\none,{sample / 'spect.dcm'},{sample / 'ct'}\n", "utf-8")
    verbs = (
        ["doctor"],
        ["inspect", str(sample)],
        ["demo", "-o", str(results / "demo")],
        ["register", *study, "-o", str(results / "one")],
        ["batch", str(scratch / "list.csv"), "-o", str(results / "batch")],
        [
            "reconstruct",
            "--projections",
            str(sample / "spect.dcm"),
            "--ct",
            str(sample / "ct"),
            "-o",
            str(results / "ac.nii.gz"),
        ],
    )
    for verb in verbs:
        done = subprocess.run(
            [python, "-m", "mureg.cli", *verb], cwd=scratch, capture_output=True, text=True, check=False
        )
        print(f"mureg {verb[0]}: exit code {done.returncode}")
        if done.returncode:
            print(done.stdout, done.stderr, sep="\n")
            return done.returncode
    answer = json.loads((results / "one" / "registration.json").read_text("utf-8"))
    print(f"decision on the sample study: {answer['decision']}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
