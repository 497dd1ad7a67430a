"""Fetch a stock Debian kernel with its modules, without installing it.

A kernel is named by its suite, which means the suite's newest, or as `SUITE@LINE` when a suite has
several: `trixie-backports@6.18` is the newest 6.18 that is left there.
"""

import logging
import re
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.vm.lab import host
from tests.vm.lab.cache import Cache
from tests.vm.lab.debian import Archive
from tests.vm.lab.errors import DownloadError, LabError

log = logging.getLogger(__name__)

_META_PACKAGE = "linux-image-amd64"
# No hyphen within the version: that leaves out the flavours cloud and rt.
_FLAVOUR = "linux-image-[0-9][^-]*-amd64"
# From 6.19 on linux-image is a stub: vmlinuz is in linux-binary, and modules.builtin, which depmod
# reads, in linux-base.
_FILES_PACKAGE = re.compile(r"linux-(image|base|binary|modules)-\d.*-amd64")


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


def newest(line: str, packages: Iterable[str]) -> str:
    """Return the package of the newest kernel of a line such as 6.18.

    Raises DownloadError when there is none.
    """
    found = [package for package in packages if package.startswith(f"linux-image-{line}.")]
    if not found:
        raise DownloadError(f"the archive has no kernel {line} any more: name another line")
    return max(found, key=lambda name: [int(number) for number in re.findall(r"\d+", name)])


def _download(cache: Cache, kind: str, suite: str) -> Path:
    apt_place = cache.root / f"apt-{suite}"
    with cache.lock("download"):
        shutil.rmtree(apt_place, ignore_errors=True)
        try:
            log.info("asking the archive for the newest kernel suite=%s", suite)
            name, _, line = suite.partition("@")
            archive = Archive.open(apt_place, name)
            package = newest(line, archive.names(_FLAVOUR)) if line else _META_PACKAGE
            key = archive.version(package).replace("/", "_")
            return cache.entry(kind, key, lambda place: _unpack(archive, package, place))
        finally:
            shutil.rmtree(apt_place, ignore_errors=True)


def _unpack(archive: Archive, package: str, place: Path) -> None:
    packages = [p for p in archive.dependencies(package) if _FILES_PACKAGE.fullmatch(p)]
    for part in packages:
        archive.unpack(part, place)
    _link_modules(place)
    releases = [folder.name for folder in (place / "usr/lib/modules").glob("*")]
    if len(releases) != 1:
        raise LabError(f"{package} brought modules of {releases or 'no kernel'}: {packages}")
    host.run(["depmod", "-b", place, releases[0]], timeout_s=120)


def _link_modules(place: Path) -> None:
    # Older packages use /lib, newer ones /usr/lib: make both names lead to the same files.
    old, new = place / "lib", place / "usr" / "lib"
    if old.is_dir():
        new.mkdir(parents=True, exist_ok=True)
        (old / "modules").rename(new / "modules")
        shutil.rmtree(old)
    old.symlink_to("usr/lib")
