"""Certificates for a review page that other computers can reach, made by OpenSSL."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

OPENSSL = shutil.which("openssl")


def certificate(folder: Path, names: str = "DNS:localhost,IP:127.0.0.1", name: str = "page", days: int = 3) -> Path:
    path = folder / f"{name}.pem"
    subject = ["-subj", "/CN=test", "-addext", f"subjectAltName={names}"] if names else ["-subj", "/CN=test"]
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
    key = [*curve, "-nodes", "-keyout", str(folder / f"{name}.key")]
    command = [str(OPENSSL), "req", "-x509", *key, "-out", str(path), "-days", str(days), *subject]
    subprocess.run(command, check=True, capture_output=True)
    return path
