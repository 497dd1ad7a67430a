"""Types are written as they are read, and put together from a kernel and its module."""

from pathlib import Path

import pytest

from tests.btf import types
from tests.btf.__main__ import SHIPPED, TESTED
from tests.btf.types import Type

INT: Type = {"kind": "INT", "name": "int", "size": 4, "encoding": "SIGNED"}


@pytest.mark.parametrize("file", [*TESTED.glob("*.btf"), *SHIPPED.glob("*.btf")], ids=str)
def test_what_is_written_is_what_is_read(file: Path, tmp_path: Path) -> None:
    entries = types.load(file)

    types.write(entries, tmp_path / "copy.btf")

    assert types.load(tmp_path / "copy.btf") == entries


def test_a_module_goes_on_where_the_kernel_ends(tmp_path: Path) -> None:
    vmlinux, module, both = (tmp_path / name for name in ("vmlinux", "cifs", "both.btf"))
    types.write([INT], vmlinux)
    types.write([{"kind": "TYPEDEF", "name": "alias", "type_id": 1}], module, base=vmlinux)

    both.write_bytes(types.joined(vmlinux, module))

    assert [(entry["kind"], entry["name"]) for entry in types.load(both)] == [
        ("INT", "int"),
        ("TYPEDEF", "alias"),
    ]
    assert types.load(both)[1]["type_id"] == 1


def test_a_type_that_libbpf_refuses_is_told(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="libbpf refuses"):
        types.write([{**INT, "size": 3}], tmp_path / "broken.btf")
