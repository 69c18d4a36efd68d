"""Whether a place lies on a disk of this computer, as a database needs it, and how much room is there."""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path

from mureg.errors import UsageError

_MOUNTS = Path("/proc/self/mountinfo")
_NETWORK = re.compile(
    r"(nfs\d?|cifs|smb\d?|smbfs|ncpfs|afs|ceph|glusterfs|lustre|beegfs|gpfs|9p|coda|davfs\d?|ocfs2|gfs2|"
    r"fuse\.(sshfs|gvfsd-fuse|s3fs|rclone|glusterfs|cephfs|davfs2|smbnetfs|ceph))"
)
"""Kinds of file systems that other computers share, by their names in Linux."""
_REMOTE_DRIVE = 4
"""DRIVE_REMOTE of GetDriveTypeW in winbase.h."""


def require_local_disk(folder: Path) -> None:
    """Refuse a folder on a network disk: an SQLite file with a write-ahead log is not safe there.

    On Linux the kind of the file system decides, on Windows the path (UNC) and the kind of drive. Elsewhere the system
    is not asked.

    Raises:
        UsageError: what kind of disk it is.
    """
    kind = network_kind(folder)
    if kind:
        raise UsageError(
            f"the store {folder.name} lies on a network disk ({kind})",
            "a folder on a disk of this computer; the input may be on the network",
            "choose another folder with -o",
        )


def network_kind(folder: Path) -> str:
    """The kind of network disk that a folder, which need not be there yet, lies on; "" for a disk of this computer."""
    text = str(folder)
    if text.startswith(("\\\\", "//")) and (sys.platform == "win32" or text.startswith("\\\\")):
        return "UNC path"
    if sys.platform == "win32":
        return _windows_kind(folder)
    try:
        mounts = _MOUNTS.read_text("utf-8", "surrogateescape")
    except OSError:
        return ""
    kind = _mounted_as(os.path.realpath(folder), mounts)
    return kind if _NETWORK.fullmatch(kind) else ""


def free_bytes(folder: Path) -> int:
    """Room on the disk of a folder, which need not be there yet."""
    place = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    return shutil.disk_usage(place).free


def _mounted_as(path: str, mounts: str) -> str:
    """The kind of file system of the last mount that holds a path (proc(5), mountinfo)."""
    kind, longest = "", -1
    for line in mounts.splitlines():
        before, dash, after = line.partition(" - ")
        columns = before.split(" ")
        if not dash or len(columns) < 5:
            continue
        point = re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), columns[4])
        inside = path == point or path.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= longest:
            kind, longest = after.split(" ")[0], len(point)
    return kind


def _windows_kind(folder: Path) -> str:
    import ctypes

    drive = os.path.splitdrive(os.path.realpath(folder))[0]
    if drive.startswith("\\\\"):
        return "UNC path"
    kind = ctypes.windll.kernel32.GetDriveTypeW(drive + "\\")  # type: ignore[attr-defined,unused-ignore]
    return "network drive" if kind == _REMOTE_DRIVE else ""
