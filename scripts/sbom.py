"""Write the bill of materials of a wheel: CycloneDX 1.5 in JSON.

    python scripts/sbom.py dist/mureg-0.1.0-py3-none-any.whl

The file lies beside the wheel. It lists the wheel with its hash, every package that an installation for the clinic
needs, at the version of this environment, and the weights and the sample study with licence and hash. It needs
`packaging` and an environment that holds the packages of the wheel. Nothing is fetched.
"""

from __future__ import annotations

import argparse
import email
import hashlib
import json
import os
import re
import sys
import uuid
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime
from email.message import Message
from importlib import metadata
from pathlib import Path, PurePosixPath
from typing import Any

Component = dict[str, Any]

SAMPLE_LICENCE = "CC-BY-3.0"
"""Of the sample study; src/mureg/data/sample/ATTRIBUTION.md states its source."""


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("wheel", type=Path)
    parser.add_argument("-o", "--output", type=Path, help="default: NAME-VERSION.cdx.json beside the wheel")
    options = parser.parse_args()
    bill = bill_of(options.wheel)
    own = bill["metadata"]["component"]
    output = options.output or options.wheel.with_name(f"{own['name']}-{own['version']}.cdx.json")
    output.write_text(json.dumps(bill, indent=2) + "\n", "utf-8")
    print(f"{output}: {len(bill['components'])} components")
    return 0


def bill_of(wheel: Path) -> dict[str, Any]:
    """The bill of materials of a wheel, as CycloneDX."""
    with zipfile.ZipFile(wheel) as archive:
        (place,) = [name for name in archive.namelist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", name)]
        about = email.message_from_bytes(archive.read(place))
        contents = [*weights(archive), *sample(archive)]
    packages = needed(about.get_all("Requires-Dist") or [])
    own = {
        **library(about),
        "type": "application",
        "hashes": [sha256(wheel.read_bytes())],
        "licenses": [{"expression": about["License-Expression"]}],
    }
    graph = {own["bom-ref"]: sorted(reference(name) for name in direct(about.get_all("Requires-Dist") or []))}
    for one in packages.values():
        graph[reference(one.metadata["Name"])] = sorted(reference(name) for name in direct(one.requires or []))
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, own['hashes'][0]['content'])}",
        "version": 1,
        "metadata": {"timestamp": moment(), "component": own},
        "components": [*(library(one.metadata) for one in packages.values()), *contents],
        "dependencies": [{"ref": name, "dependsOn": needs} for name, needs in sorted(graph.items())],
    }


def moment() -> str:
    """Time of the bill; that of SOURCE_DATE_EPOCH where it is set, so that a build can be repeated."""
    seconds = os.environ.get("SOURCE_DATE_EPOCH")
    time = datetime.now(UTC) if seconds is None else datetime.fromtimestamp(int(seconds), UTC)
    return time.isoformat(timespec="seconds")


def needed(requirements: list[str]) -> dict[str, metadata.Distribution]:
    """Every package that the requirements lead to, without extras, as installed here; a missing one is refused."""
    packages: dict[str, metadata.Distribution] = {}
    waiting = direct(requirements)
    while waiting:
        name = waiting.pop()
        if name in packages:
            continue
        try:
            packages[name] = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            sys.exit(f"sbom: {name} is not installed; run it where the wheel is installed with its packages.")
        waiting += direct(packages[name].requires or [])
    return dict(sorted(packages.items()))


def direct(requirements: list[str]) -> list[str]:
    """Names of the packages of requirements that hold in this environment without an extra."""
    from packaging.requirements import Requirement

    parsed = [Requirement(text) for text in requirements]
    return [normal(one.name) for one in parsed if one.marker is None or one.marker.evaluate({"extra": ""})]


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def reference(name: str) -> str:
    return f"pypi:{normal(name)}"


def library(about: Message | metadata.PackageMetadata) -> Component:
    """A package as a component, with its licence as it states it."""
    name, version = about["Name"], about["Version"]
    expression, free = about.get("License-Expression"), (about.get("License") or "").strip()
    licences: list[dict[str, Any]] = []
    if expression:
        licences = [{"expression": expression}]
    elif free and len(free) < 80:
        licences = [{"license": {"name": free}}]
    else:
        classes = [text for text in about.get_all("Classifier") or [] if text.startswith("License ::")]
        licences = [{"license": {"name": text.split(" :: ")[-1]}} for text in classes]
    one: Component = {
        "type": "library",
        "bom-ref": reference(name),
        "name": name,
        "version": version,
        "purl": f"pkg:pypi/{normal(name)}@{version}",
    }
    return {**one, "licenses": licences} if licences else one


def sha256(content: bytes) -> dict[str, str]:
    return {"alg": "SHA-256", "content": hashlib.sha256(content).hexdigest()}


def weights(archive: zipfile.ZipFile) -> Iterator[Component]:
    """Each file of weights, with the licence of its card."""
    names = [PurePosixPath(name) for name in archive.namelist() if name.endswith(".onnx")]
    for path in sorted(names):
        card = json.loads(archive.read(f"{path.parent}/{path.name.split('.')[0]}.json"))
        yield {
            "type": "machine-learning-model",
            "bom-ref": f"weights:{path.name}",
            "name": path.name,
            "version": card["version"],
            "hashes": [sha256(archive.read(str(path)))],
            "licenses": [{"license": {"id": card["licence"]}}],
        }


def sample(archive: zipfile.ZipFile) -> Iterator[Component]:
    """The sample study; its hash is that of the hashes of its files, by name."""
    names = sorted(name for name in archive.namelist() if "/data/sample/" in name and not name.endswith("/"))
    listing = "".join(f"{hashlib.sha256(archive.read(name)).hexdigest()}  {name}\n" for name in names)
    yield {
        "type": "data",
        "bom-ref": "data:sample",
        "name": "sample study",
        "description": f"{len(names)} files derived from LIDC-IDRI; ATTRIBUTION.md beside them",
        "hashes": [sha256(listing.encode())],
        "licenses": [{"license": {"id": SAMPLE_LICENCE}}],
    }


if __name__ == "__main__":
    sys.exit(main())
