"""Fetch a stock Debian kernel with its modules, without installing it."""

import logging
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.vm.lab import host
from tests.vm.lab.cache import Cache
from tests.vm.lab.debian import Archive
from tests.vm.lab.errors import LabError

log = logging.getLogger(__name__)

_META_PACKAGE = "linux-image-amd64"
# From 6.19 on linux-image is a stub; the files are in linux-binary and linux-modules.
_FILES_PACKAGE = re.compile(r"linux-(image|binary|modules)-\d.*-amd64")


@dataclass(frozen=True, slots=True)
class Kernel:
    """Name the files of one unpacked kernel."""

    place: Path

    @property
    def release(self) -> str:
        """Return what `uname -r` says under it."""
        return next((self.place / "usr/lib/modules").iterdir()).name

    @property
    def image(self) -> Path:
        """Return the bootable file."""
        candidates = [
            self.place / "boot" / f"vmlinuz-{self.release}",
            self.modules / "vmlinuz",
        ]
        for file in candidates:
            if file.exists():
                return file
        raise LabError(f"no vmlinuz of {self.release} below {self.place}")

    @property
    def modules(self) -> Path:
        """Return the folder of its modules."""
        return self.place / "usr/lib/modules" / self.release

    def with_dependencies(self, *modules: str) -> list[Path]:
        """List the files of these modules and of what they need, in the order to insert."""
        files = dict.fromkeys(file for module in modules for file in self._chain(module))
        return list(files)

    def _chain(self, module: str) -> Iterator[Path]:
        query = ["modprobe", "-d", str(self.place), "-S", self.release, "--show-depends", module]
        for line in host.run(query, timeout_s=60).splitlines():
            verb, _, rest = line.partition(" ")
            if verb == "insmod":
                yield Path(rest.split()[0])


def fetch(cache: Cache, suite: str) -> Kernel:
    """Return the suite's kernel: the one in the cache, else the newest of the archive.

    Raises DownloadError when the archive cannot be reached or has no such kernel.
    """
    kind = f"kernel-{suite}"
    return Kernel(cache.newest(kind) or _download(cache, kind, suite))


def _download(cache: Cache, kind: str, suite: str) -> Path:
    apt_place = cache.root / f"apt-{suite}"
    with cache.lock("download"):
        shutil.rmtree(apt_place, ignore_errors=True)
        try:
            log.info("asking the archive for the newest kernel suite=%s", suite)
            archive = Archive.open(apt_place, suite)
            key = archive.version(_META_PACKAGE).replace("/", "_")
            return cache.entry(kind, key, lambda place: _unpack(archive, place))
        finally:
            shutil.rmtree(apt_place, ignore_errors=True)


def _unpack(archive: Archive, place: Path) -> None:
    packages = [p for p in archive.dependencies(_META_PACKAGE) if _FILES_PACKAGE.fullmatch(p)]
    for package in packages:
        archive.unpack(package, place)
    _link_modules(place)
    releases = [folder.name for folder in (place / "usr/lib/modules").glob("*")]
    if len(releases) != 1:
        raise LabError(f"{_META_PACKAGE} brought modules of {releases or 'no kernel'}: {packages}")
    host.run(["depmod", "-b", place, releases[0]], timeout_s=120)


def _link_modules(place: Path) -> None:
    # Older packages use /lib, newer ones /usr/lib: make both names lead to the same files.
    old, new = place / "lib", place / "usr" / "lib"
    if old.is_dir():
        new.mkdir(parents=True, exist_ok=True)
        (old / "modules").rename(new / "modules")
        shutil.rmtree(old)
    old.symlink_to("usr/lib")
