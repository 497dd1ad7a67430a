"""The systemd unit or the pod of a cgroup."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

_POD = re.compile(r"pod([0-9a-f]{8}[-_][0-9a-f_-]{27})")
_UNIT = re.compile(r"[^/]+\.(?:service|scope|slice)$")


def find_units(root: Path, cgroup_ids: frozenset[int]) -> dict[int, str]:
    """Return the units of the cgroups: the id of a cgroup is its folder's inode number."""
    found: dict[int, str] = {}
    for folder in _folders(root):
        try:
            inode = folder.stat().st_ino
        except OSError:  # a cgroup that has ended since its folder was listed
            continue
        if inode in cgroup_ids:
            found[inode] = unit_of("/" + "/".join(folder.relative_to(root).parts))
        if found.keys() >= cgroup_ids:
            break
    return found


def unit_of(path: str) -> str:
    """Return the pod or the innermost unit in a cgroup's path, else the path, "" for the root.

    `/system.slice/smb-backup.service` gives `smb-backup.service`; a path below
    `kubepods` gives `pod <uid>`.
    """
    if pod := _POD.search(path):
        return f"pod {pod[1].replace('_', '-')}"
    units = [part for part in path.split("/") if _UNIT.match(part)]
    return units[-1] if units else path.rstrip("/")


def _folders(root: Path) -> Iterator[Path]:
    for path, folders, _ in os.walk(root):
        folders.sort()
        yield Path(path)
