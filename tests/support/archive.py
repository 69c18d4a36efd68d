"""A real archive: Orthanc on free ports of this machine alone, with storage that goes when it ends."""

from __future__ import annotations

import json
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from support.programs import program


@dataclass(frozen=True)
class Archive:
    """A running one.

    Attributes:
        http, dicom: ports on 127.0.0.1.
    """

    http: int
    dicom: int

    def get(self, path: str) -> bytes:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.http}{path}", timeout=60) as answer:
            return answer.read()

    def json(self, path: str):
        return json.loads(self.get(path))

    def store(self, *paths: Path) -> None:
        """Send files and folders by C-STORE with dcmtk."""
        subprocess.run(
            [program("storescu"), "+sd", "+r", "-aec", "ARCHIVE", "127.0.0.1", str(self.dicom), *map(str, paths)],
            check=True, capture_output=True, timeout=120,
        )  # fmt: skip

    def instance(self, sop_instance_uid: str) -> str:
        """The archive's own name of an object."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.http}/tools/lookup", sop_instance_uid.encode())
        with urllib.request.urlopen(request, timeout=60) as answer:
            (found,) = [one["ID"] for one in json.loads(answer.read()) if one["Type"] == "Instance"]
        return found


@contextmanager
def running_archive(folder: Path) -> Iterator[Archive]:
    """Start Orthanc, wait until it answers, and end it."""
    orthanc = program("Orthanc")
    archive = Archive(*_free_ports())
    settings = {
        "Name": "test", "StorageDirectory": str(folder), "IndexDirectory": str(folder), "Plugins": [],
        "HttpPort": archive.http, "HttpBindAddresses": ["127.0.0.1"], "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False, "DicomPort": archive.dicom, "DicomAet": "ARCHIVE",
    }  # fmt: skip
    (folder / "settings.json").write_text(json.dumps(settings))
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([orthanc, str(folder / "settings.json")], stdout=log, stderr=log)
        try:
            _wait(archive, process, folder / "log")
            yield archive
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait(archive: Archive, process: subprocess.Popen, log: Path) -> None:
    for _ in range(300):
        if process.poll() is not None:
            break
        try:
            archive.get("/system")
            with socket.create_connection(("127.0.0.1", archive.dicom), 1):
                return
        except OSError:
            time.sleep(0.1)
    raise AssertionError(f"the archive did not start: {log.read_text(errors='replace')[-800:]}")


def _free_ports() -> tuple[int, int]:
    with socket.socket() as one, socket.socket() as other:
        for each in (one, other):
            each.bind(("127.0.0.1", 0))
        return one.getsockname()[1], other.getsockname()[1]
