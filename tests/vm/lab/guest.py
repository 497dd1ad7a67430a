"""Build what the guest boots from: root image, module image and initramfs.

The root image holds packages only. Agent, init and smb.conf travel in the initramfs, so that a
change to them does not cost a new root image.
"""

import lzma
import shutil
from dataclasses import dataclass
from pathlib import Path

from tests.vm.lab import debian, host
from tests.vm.lab.cache import Cache, digest
from tests.vm.lab.errors import DownloadError
from tests.vm.lab.kernel import Kernel

INSIDE = Path(__file__).with_name("inside")

_SUITE = "bookworm"
_PACKAGES = (
    "bpftool",
    "cifs-utils",
    "e2fsprogs",
    "iproute2",
    "kmod",
    "libbpf1",
    "procps",
    "python3",
    "samba",
    "smbclient",
    "strace",
    "systemd",
    "tcpdump",
    "util-linux",
    "zstd",
)
_DPKG_OPTIONS = (
    "path-exclude=/usr/share/doc/*",
    "path-exclude=/usr/share/man/*",
    "path-exclude=/usr/share/locale/*",
)
_ROOT_SIZE = "3G"
_BOOT_MODULES = ("virtio_pci", "virtio_blk", "ext4")
_MMDEBSTRAP_TIMEOUT_S = 1200.0
_MKFS_TIMEOUT_S = 300.0


@dataclass(frozen=True, slots=True)
class Guest:
    """Name the files that a guest boots from; `key` changes with any of them."""

    kernel: Kernel
    root_image: Path
    module_image: Path
    initramfs: Path
    key: str


def build(cache: Cache, kernel: Kernel, suite: str) -> Guest:
    """Return the guest for a kernel of `suite`, built as far as it is not in the cache."""
    root = cache.entry("root", _root_key(), _build_root)
    modules_key = digest(kernel.place.name)
    modules = cache.entry(
        f"modules-{suite}", modules_key, lambda place: _build_modules(kernel, place)
    )
    initramfs_key = digest(modules_key, *_inside_contents())
    initramfs = cache.entry(
        f"initramfs-{suite}", initramfs_key, lambda place: _build_initramfs(kernel, place)
    )
    return Guest(
        kernel=kernel,
        root_image=root / "root.img",
        module_image=modules / "modules.img",
        initramfs=initramfs / "initramfs.cpio",
        key=digest(root.name, modules_key, initramfs_key),
    )


def make_ext4(content: Path, image: Path, size: str, *options: str) -> None:
    """Make a sparse ext4 image of `size` from a directory, without mounting anything."""
    # No periodic check, no reserved blocks; lazy initialisation would write at run time.
    argv = ["mkfs.ext4", "-q", "-m", "0", "-E", "lazy_itable_init=0", *options]
    host.run([*argv, "-d", content, image, size], timeout_s=_MKFS_TIMEOUT_S)


def _root_key() -> str:
    return digest(_SUITE, _ROOT_SIZE, *_PACKAGES, *_DPKG_OPTIONS)


def _build_root(place: Path) -> None:
    tree, network = place / "tree", place / "network.conf"
    network.write_text(debian.network_options())
    argv = [
        "mmdebstrap",
        "--quiet",
        "--mode=root",
        "--variant=apt",
        "--architectures=amd64",
        "--format=directory",
        f"--include={','.join(_PACKAGES)}",
        f"--aptopt={network}",
        '--aptopt=APT::Install-Recommends "false"',
        *(f"--dpkgopt={option}" for option in _DPKG_OPTIONS),
        _SUITE,
        str(tree),
        *debian.sources(_SUITE, debian.configured()),
    ]
    host.run(argv, timeout_s=_MMDEBSTRAP_TIMEOUT_S, failure=DownloadError)
    (tree / "usr/lib/modules").mkdir(exist_ok=True)
    make_ext4(tree, place / "root.img", _ROOT_SIZE)
    shutil.rmtree(tree)


def _build_modules(kernel: Kernel, place: Path) -> None:
    content = kernel.modules.parent
    size_bytes = sum(file.stat().st_blocks * 512 for file in content.rglob("*"))
    size_mb = size_bytes * 5 // 4 // 2**20 + 64
    make_ext4(content, place / "modules.img", f"{size_mb}M", "-O", "^has_journal")


def _inside_contents() -> list[bytes]:
    return [file.read_bytes() for file in sorted(INSIDE.iterdir()) if file.is_file()]


def _build_initramfs(kernel: Kernel, place: Path) -> None:
    tree = place / "tree"
    for folder in ("bin", "modules", "proc", "sys", "dev", "root"):
        (tree / folder).mkdir(parents=True)
    shutil.copy(str(host.which("busybox")), tree / "bin/busybox")
    for position, module in enumerate(kernel.with_dependencies(*_BOOT_MODULES)):
        name = module.name.removesuffix(".xz").removesuffix(".zst")
        (tree / "modules" / f"{position:02}-{name}").write_bytes(_decompressed(module))
    shutil.copytree(INSIDE, tree / "lab", ignore=shutil.ignore_patterns("__pycache__"))
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
