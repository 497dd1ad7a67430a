"""Bring a directory of this machine into a guest that was saved before it existed.

The guest has a disk of fixed size from the start; each resume puts another image in its place.
"""

import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from tests.vm.lab.cache import Cache, digest
from tests.vm.lab.errors import LabError
from tests.vm.lab.guest import make_ext4
from tests.vm.lab.system import System

# Whoever waits for the machine has its image already: it must outlive those before it.
_KEPT_IMAGES = 8


def image(cache: Cache, directory: Path, system: System) -> Path:
    """Return an ext4 image with the directory's content, from the cache when it is unchanged."""
    if not directory.is_dir():
        raise LabError(f"the payload {directory} is not a directory")
    key = digest(str(system.payload_mb), *_contents(directory))
    place = cache.entry(
        system.kind("payload"),
        key,
        lambda place: _build(directory, system, place),
        keep=_KEPT_IMAGES,
    )
    return place / "payload.img"


def blank(file: Path, system: System) -> Path:
    """Make the empty disk that stands in for a payload while the guest is saved."""
    with file.open("wb") as disk:
        disk.truncate(system.payload_mb * 2**20)
    return file


def _build(directory: Path, system: System, place: Path) -> None:
    options = ("-O", "^has_journal", "-E", "root_owner=0:0")
    make_ext4(directory, place / "payload.img", f"{system.payload_mb}M", *options)


def _contents(directory: Path) -> Iterator[bytes]:
    for folder, subfolders, files in os.walk(directory):
        subfolders.sort()
        for name in sorted((*subfolders, *files)):
            path = Path(folder) / name
            mode = path.lstat().st_mode
            yield f"{path.relative_to(directory)} {mode:o}".encode()
            if stat.S_ISLNK(mode):
                yield os.fsencode(path.readlink())
            elif stat.S_ISREG(mode):
                with path.open("rb") as file:
                    yield hashlib.file_digest(file, "sha256").digest()
