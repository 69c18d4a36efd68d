"""Measure mureg against its peers: what `make bench` runs. Options are those of compare.py; threads.py runs after it.

Makes .venv-peers on the first run, and again when peers.txt changes; the peers never enter the package's own
environment. Run it with the Python of the project's .venv.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import venv
from pathlib import Path

HERE = Path(__file__).resolve().parent
PEERS = HERE.parents[1] / ".venv-peers"
WANTED, INSTALLED = HERE / "peers.txt", PEERS / "installed.txt"


def install_peers() -> None:
    print(f"Installing the peers into {PEERS.name} (once, some minutes)", flush=True)
    shutil.rmtree(PEERS, ignore_errors=True)
    venv.create(PEERS, with_pip=True)
    pip = [PEERS / "bin/python", "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
    torch = next(line for line in WANTED.read_text(encoding="utf-8").splitlines() if line.startswith("torch=="))
    # torch first, as for the package itself: otherwise the others may pull in a larger build of it
    subprocess.run([*pip, torch], check=True)
    subprocess.run([*pip, "-r", WANTED], check=True)
    shutil.copyfile(WANTED, INSTALLED)


def main() -> None:
    if not INSTALLED.exists() or INSTALLED.read_bytes() != WANTED.read_bytes():
        install_peers()
    compared = subprocess.run([sys.executable, HERE / "compare.py", *sys.argv[1:]], check=False).returncode
    threads = subprocess.run([sys.executable, HERE / "threads.py"], check=False).returncode
    sys.exit(compared or threads)


if __name__ == "__main__":
    main()
