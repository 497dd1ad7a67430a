"""Disks that are small, read-only or faulty, and what to expect of the bundles on them."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from aod.bundle import read_manifest, read_member


@contextmanager
def small_disk(path: Path, kib: int) -> Iterator[Path]:
    """Mount a filesystem of so many KiB; the test is skipped where that is not allowed."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small filesystem")
    path.mkdir()
    options = f"size={kib}k,mode=0700"
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(path)]
    if subprocess.run(command, check=False).returncode:
        pytest.skip("mount is not allowed here")
    try:
        yield path
    finally:
        subprocess.run(["umount", str(path)], check=True)


def remount(path: Path, option: str) -> None:
    """Make a mounted filesystem `ro` or `rw`."""
    subprocess.run(["mount", "-o", f"remount,{option}", str(path)], check=True)


def whole(path: Path) -> dict[str, Any]:
    """Return the manifest of a sealed bundle after every file in it was compared with it."""
    manifest = read_manifest(path)
    for name in manifest["files"]:
        read_member(path, name)
    return manifest
