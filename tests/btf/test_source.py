"""The types of a kernel are found in each place where people have them."""

import gzip
import lzma
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from tests.btf import types
from tests.btf.source import from_folder
from tests.vm.lab.errors import LabError

RELEASE = "5.14.0-570.el9.x86_64"
INT = {"kind": "INT", "name": "int", "size": 4, "encoding": "SIGNED"}
MODULE = [{"kind": "TYPEDEF", "name": ".BTF", "type_id": 1}]
"""Named for what is looked for in a module, the name of the section."""


def names(btf: bytes, folder: Path) -> list[str]:
    """Return the names of all types."""
    (folder / "whole.btf").write_bytes(btf)
    return [entry["name"] for entry in types.load(folder / "whole.btf")]


def bootable(vmlinux: bytes) -> bytes:
    """Return a bzImage with one sector of setup, and a kernel eight bytes after it."""
    header = bytearray(1024 + 8)
    header[0x1F1] = 1
    header[0x248:0x250] = (8).to_bytes(4, "little") + len(vmlinux).to_bytes(4, "little")
    return bytes(header) + vmlinux + b"signature"


def test_types_copied_from_a_running_machine_are_put_together(tmp_path: Path) -> None:
    place = tmp_path / RELEASE
    place.mkdir()
    types.write([INT], place / "vmlinux")
    types.write(MODULE, place / "cifs", base=place / "vmlinux")

    source = from_folder(place)

    assert (source.release, source.is_in_kernel) == (RELEASE, True)
    assert names(source.btf, tmp_path) == ["int", ".BTF"]


@pytest.mark.parametrize(
    "compress", [gzip.compress, lzma.compress, zstandard.ZstdCompressor().compress]
)
@pytest.mark.parametrize(("suffix", "pack"), [("", bytes), (".xz", lzma.compress)])
def test_an_unpacked_package_is_unpacked_further(
    tmp_path: Path,
    compress: Callable[[bytes], bytes],
    suffix: str,
    pack: Callable[[bytes], bytes],
) -> None:
    modules = tmp_path / "usr/lib/modules" / RELEASE
    cifs = modules / f"kernel/fs/smb/client/cifs.ko{suffix}"
    cifs.parent.mkdir(parents=True)
    types.write([INT], tmp_path / "vmlinux")
    types.write(MODULE, tmp_path / "cifs.btf", base=tmp_path / "vmlinux")
    (modules / "vmlinuz").write_bytes(bootable(compress((tmp_path / "vmlinux").read_bytes())))
    cifs.write_bytes(pack((tmp_path / "cifs.btf").read_bytes()))

    source = from_folder(tmp_path)

    assert source.release == RELEASE
    assert names(source.btf, tmp_path) == ["int", ".BTF"]


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="has no vmlinux and cifs, and no usr/lib/modules"):
        from_folder(tmp_path)
