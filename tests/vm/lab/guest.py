"""Build what the guest boots from: a kernel with its modules and initramfs, and a root image.

The root image holds packages only. Agent, init and smb.conf travel in the initramfs, so that a
change to them does not cost a new root image.
"""

import lzma
import shutil
from dataclasses import dataclass
from pathlib import Path

from tests.vm.lab import debian, host
from tests.vm.lab.cache import Cache, digest
from tests.vm.lab.kernel import Kernel
from tests.vm.lab.system import System

_SUITE = "bookworm"
_DPKG_OPTIONS = (
    "path-exclude=/usr/share/doc/*",
    "path-exclude=/usr/share/man/*",
    "path-exclude=/usr/share/locale/*",
)
_BOOT_MODULES = ("virtio_pci", "virtio_blk", "ext4")
_MKFS_TIMEOUT_S = 300.0


@dataclass(frozen=True, slots=True)
class Boot:
    """Name the files that come with a kernel; `key` changes with any of them."""

    kernel: Kernel
    module_image: Path
    initramfs: Path
    key: str


@dataclass(frozen=True, slots=True)
class Guest:
    """Name the files that a guest boots from."""

    boot: Boot
    root_image: Path
    system: System

    @property
    def key(self) -> str:
        """Return what changes with any of the files."""
        return digest(self.root_image.parent.name, self.boot.key)


def build_boot(cache: Cache, kernel: Kernel, suite: str, system: System) -> Boot:
    """Return what a kernel of `suite` boots with, built as far as it is not in the cache."""
    modules_key = digest(kernel.place.name)
    modules = cache.entry(
        f"modules-{suite}", modules_key, lambda place: _build_modules(kernel, place)
    )
    initramfs_key = digest(modules_key, *_inside_contents(system))
    initramfs = cache.entry(
        f"{system.kind('initramfs')}-{suite}",
        initramfs_key,
        lambda place: _build_initramfs(kernel, system, place),
    )
    return Boot(
        kernel=kernel,
        module_image=modules / "modules.img",
        initramfs=initramfs / "initramfs.cpio",
        key=initramfs_key,
    )


def build_root(cache: Cache, system: System) -> Path:
    """Return the image of the system's packages, built when it is not in the cache."""
    key = digest(_SUITE, system.root_size, *system.packages, *_DPKG_OPTIONS)
    place = cache.entry(system.kind("root"), key, lambda place: _build_root(system, place))
    return place / "root.img"


def make_ext4(content: Path, image: Path, size: str, *options: str) -> None:
    """Make a sparse ext4 image of `size` from a directory, without mounting anything."""
    # No periodic check, no reserved blocks; lazy initialisation would write at run time.
    argv = ["mkfs.ext4", "-q", "-m", "0", "-E", "lazy_itable_init=0", *options]
    host.run([*argv, "-d", content, image, size], timeout_s=_MKFS_TIMEOUT_S)


def _build_root(system: System, place: Path) -> None:
    tree = place / "tree"
    debian.bootstrap(_SUITE, system.packages, tree, *_DPKG_OPTIONS)
    (tree / "usr/lib/modules").mkdir(exist_ok=True)
    make_ext4(tree, place / "root.img", system.root_size)
    shutil.rmtree(tree)


def _build_modules(kernel: Kernel, place: Path) -> None:
    content = kernel.modules.parent
    size_bytes = sum(file.stat().st_blocks * 512 for file in content.rglob("*"))
    size_mb = size_bytes * 5 // 4 // 2**20 + 64
    make_ext4(content, place / "modules.img", f"{size_mb}M", "-O", "^has_journal")


def _inside_contents(system: System) -> list[bytes]:
    files = [file for folder in system.inside for file in sorted(folder.iterdir())]
    return [file.read_bytes() for file in files if file.is_file()]


def _build_initramfs(kernel: Kernel, system: System, place: Path) -> None:
    tree = place / "tree"
    for name in ("bin", "modules", "proc", "sys", "dev", "root"):
        (tree / name).mkdir(parents=True)
    shutil.copy(str(host.which("busybox")), tree / "bin/busybox")
    for position, module in enumerate(kernel.with_dependencies(*_BOOT_MODULES)):
        plain = module.name.removesuffix(".xz").removesuffix(".zst")
        (tree / "modules" / f"{position:02}-{plain}").write_bytes(_decompressed(module))
    skipped = shutil.ignore_patterns("__pycache__")
    for folder in system.inside:
        shutil.copytree(folder, tree / "lab", ignore=skipped, dirs_exist_ok=True)
    for script in ("lab/init", "lab/serve", "lab/initramfs"):
        (tree / script).chmod(0o700)
    (tree / "lab/initramfs").rename(tree / "init")
    _pack(tree, place / "initramfs.cpio")
    shutil.rmtree(tree)


def _decompressed(module: Path) -> bytes:
    if module.suffix == ".xz":
        return lzma.decompress(module.read_bytes())
    if module.suffix == ".zst":
        plain = module.with_suffix("")
        host.run(["zstd", "-q", "-d", "-f", module, "-o", plain], timeout_s=60)
        data = plain.read_bytes()
        plain.unlink()
        return data
    return module.read_bytes()


def _pack(tree: Path, archive: Path) -> None:
    names = "".join(f"{file.relative_to(tree)}\n" for file in sorted(tree.rglob("*")))
    host.run(
        ["cpio", "--create", "--quiet", "--format=newc", f"--file={archive}"],
        cwd=tree,
        stdin=names.encode(),
        timeout_s=60,
    )
