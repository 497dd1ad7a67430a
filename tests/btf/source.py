"""Where the whole BTF of a kernel comes from: its packages, a debug package, a running machine."""

import lzma
import os
import tempfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import zstandard

from tests.btf import types
from tests.vm.lab import host, kernel
from tests.vm.lab.cache import Cache
from tests.vm.lab.debian import Archive
from tests.vm.lab.errors import LabError
from tests.vm.lab.kernel import Kernel

RUNNING = Path("/sys/kernel/btf")

# Where the bzImage's header says what it holds (Documentation/arch/x86/boot.rst).
_SETUP_SECTORS = 0x1F1
_PAYLOAD = 0x248
_DECOMPRESS: dict[bytes, Callable[[bytes], bytes]] = {
    b"\xfd7zXZ": lambda data: lzma.LZMADecompressor().decompress(data),
    b"\x28\xb5\x2f\xfd": lambda data: zstandard.ZstdDecompressor().decompressobj().decompress(data),
    b"\x1f\x8b": lambda data: zlib.decompressobj(wbits=31).decompress(data),
}


@dataclass(frozen=True, slots=True)
class Source:
    """Hold the whole BTF of one kernel."""

    release: str
    """What `uname -r` says under it."""
    btf: bytes
    is_in_kernel: bool
    """Whether that kernel has these types itself; else they came from debug information."""


def from_folder(place: Path) -> Source:
    """Read the BTF from a folder.

    It holds either `vmlinux` and `cifs`, as /sys/kernel/btf does, and is named for the release;
    or an unpacked kernel package. Raises LabError when it is neither.
    """
    if (place / "cifs").exists():
        release = os.uname().release if place == RUNNING else place.name
        return Source(release, types.joined(place / "vmlinux", place / "cifs"), True)
    if not (place / "usr/lib/modules").is_dir():
        raise LabError(f"{place} has no vmlinux and cifs, and no usr/lib/modules")
    unpacked = Kernel(place)
    with tempfile.TemporaryDirectory() as folder:
        module = _module(unpacked, Path(folder))
        if not _has_types(module):
            raise LabError(f"cifs of {unpacked.release} has no BTF: name the suite of its package")
        vmlinux = Path(folder, "vmlinux")
        vmlinux.write_bytes(_vmlinux(unpacked.image))
        return Source(unpacked.release, types.joined(vmlinux, module), True)


def from_suite(cache: Cache, suite: str) -> Source:
    """Read the BTF from the kernel of a Debian suite, or make it from its debug package."""
    fetched = kernel.fetch(cache, suite)
    with tempfile.TemporaryDirectory() as folder:
        if _has_types(_module(fetched, Path(folder))):
            return from_folder(fetched.place)
    version = fetched.place.name
    place = cache.entry(
        f"debug-{suite}",
        version,
        lambda place: _from_debug_package(cache, suite, fetched.release, version, place),
    )
    return Source(fetched.release, (place / "cifs.btf").read_bytes(), False)


def _module(unpacked: Kernel, folder: Path) -> Path:
    """Return cifs.ko, unpacked into a folder where it is compressed."""
    file = next(unpacked.modules.glob("kernel/fs/**/cifs.ko*"))
    if file.suffix != ".xz":
        return file
    plain = folder / file.stem
    plain.write_bytes(lzma.decompress(file.read_bytes()))
    return plain


def _has_types(module: Path) -> bool:
    return b"\0.BTF\0" in module.read_bytes()


def _vmlinux(image: Path) -> bytes:
    """Unpack the kernel out of its bootable file, as scripts/extract-vmlinux does."""
    data = image.read_bytes()
    start = (data[_SETUP_SECTORS] + 1) * 512 + int.from_bytes(data[_PAYLOAD:][:4], "little")
    payload = data[start:][: int.from_bytes(data[_PAYLOAD + 4 :][:4], "little")]
    for magic, decompress in _DECOMPRESS.items():
        if payload.startswith(magic):
            return decompress(payload)
    raise LabError(f"{image} is compressed in an unknown way: {payload[:6].hex()}")


def _from_debug_package(cache: Cache, suite: str, release: str, version: str, place: Path) -> None:
    """Make BTF of the DWARF of cifs.ko, which has every type that the module uses.

    Raises DownloadError when the archive no longer has this version, ToolError when pahole fails.
    """
    with tempfile.TemporaryDirectory(dir=cache.root) as folder:
        archive = Archive.open(Path(folder, "apt"), suite.partition("@")[0])
        module = Path(folder, "cifs.ko")
        # 800 MB to download, 5.6 GB when unpacked.
        archive.unpack_one(f"linux-image-{release}-dbg={version}", "*/fs/*/cifs.ko", module)
        host.run(["pahole", "--btf_encode_detached", place / "cifs.btf", module], timeout_s=300)
