"""What the guest of the kernel bench gets besides aod: bpftrace and the workload."""

import shutil
from pathlib import Path

from tests.vm.lab import host
from tests.vm.lab.cache import Cache
from tests.vm.lab.debian import Archive

HERE = Path(__file__).parent
PACKAGE = "bpftrace"
SUITE = "bookworm"  # that of the guest's root image
# The guest's own will do; another libc would not match its loader.
IN_GUEST = ("libc6", "gcc-12-base")


def assemble(cache: Cache, aod: Path, target: Path) -> Path:
    """Put the payload `aod`, bpftrace and the workload into the new directory `target`.

    Raises ToolError, DownloadError.
    """
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(aod, target, symlinks=True)
    shutil.copytree(_bpftrace(cache), target / PACKAGE, symlinks=True)
    bench = target / "bench"
    bench.mkdir()
    shutil.copy(HERE / "smb.bt", bench)
    flags = ["-O2", "-static", "-Wall", "-Werror"]
    host.run(["gcc", *flags, "-o", bench / "workload", HERE / "workload.c"], timeout_s=60)
    return target


def _bpftrace(cache: Cache) -> Path:
    return cache.newest(PACKAGE) or cache.entry(PACKAGE, SUITE, _unpack)


def _unpack(place: Path) -> None:
    apt = place / "apt"
    archive = Archive.open(apt, SUITE)
    for package in archive.dependencies(PACKAGE):
        if package not in IN_GUEST:
            archive.unpack(package, place)
    shutil.rmtree(apt)
    shutil.rmtree(place / "usr/share")
