"""BTF as a list of types, each a dictionary as `bpftool -j btf dump` prints it.

A type's id is its place in the list, counted from 1; id 0 is void.
"""

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.btf.libbpf import created, ffi, lib, opened
from tests.vm.lab import host

Type = dict[str, Any]

_HEADER = struct.Struct("<HBBIIIII")  # struct btf_header, linux/btf.h
_MAGIC = 0xEB9F
_ENCODINGS = {"(none)": 0, "SIGNED": 1, "CHAR": 2, "BOOL": 4}
_FORWARDS = {"struct": 0, "union": 1}


def load(file: Path) -> list[Type]:
    """Read a file that holds all of its types, raw BTF or ELF."""
    dump = host.run(["bpftool", "-j", "btf", "dump", "file", file], timeout_s=60)
    return list(json.loads(dump)["types"])


def write(types: list[Type], file: Path, base: Path | None = None) -> None:
    """Write types as raw BTF, with ids that go on from those of `base`.

    Raises KeyError for a kind that no small BTF needs.
    """
    with created(base) as btf:
        for entry in types:
            if (added := _ADD[entry["kind"]](btf, entry)) < 0:
                raise OSError(-added, f"libbpf refuses {entry}")
        file.write_bytes(_raw(btf))


def joined(base: Path, split: Path) -> bytes:
    """Return the types of vmlinux and of one of its modules as one BTF, from raw BTF or ELF.

    A module's ids and string offsets go on where those of vmlinux end, so that the parts only
    have to be put together.
    """
    with opened(base) as vmlinux, opened(split, vmlinux) as module:
        parts = [_parts(_raw(vmlinux)), _parts(_raw(module))]
    types, strings = (b"".join(part) for part in zip(*parts, strict=True))
    size = _HEADER.size
    header = _HEADER.pack(_MAGIC, 1, 0, size, 0, len(types), len(types), len(strings))
    return header + types + strings


def _parts(raw: bytes) -> tuple[bytes, bytes]:
    *_, size, type_offset, type_bytes, string_offset, string_bytes = _HEADER.unpack_from(raw)
    type_start, string_start = size + type_offset, size + string_offset
    return (
        raw[type_start : type_start + type_bytes],
        raw[string_start : string_start + string_bytes],
    )


def _raw(btf: Any) -> bytes:
    size = ffi.new("uint32_t *")
    return bytes(ffi.buffer(lib.btf__raw_data(btf, size), size[0]))


def _name(entry: Type) -> Any:
    return ffi.NULL if entry["name"] == "(anon)" else entry["name"].encode()


def _add_int(btf: Any, entry: Type) -> int:
    encoding = _ENCODINGS[entry["encoding"]]
    return int(lib.btf__add_int(btf, _name(entry), entry["size"], encoding))


def _add_composite(btf: Any, entry: Type) -> int:
    add = lib.btf__add_struct if entry["kind"] == "STRUCT" else lib.btf__add_union
    added = int(add(btf, _name(entry), entry["size"]))
    for member in entry["members"]:
        where = member["bits_offset"], member.get("bitfield_size", 0)
        lib.btf__add_field(btf, _name(member), member["type_id"], *where)
    return added


def _add_prototype(btf: Any, entry: Type) -> int:
    added = int(lib.btf__add_func_proto(btf, entry["ret_type_id"]))
    for parameter in entry["params"]:
        lib.btf__add_func_param(btf, _name(parameter), parameter["type_id"])
    return added


_ADD: dict[str, Callable[[Any, Type], int]] = {
    "INT": _add_int,
    "STRUCT": _add_composite,
    "UNION": _add_composite,
    "FUNC_PROTO": _add_prototype,
    "PTR": lambda btf, entry: lib.btf__add_ptr(btf, entry["type_id"]),
    "CONST": lambda btf, entry: lib.btf__add_const(btf, entry["type_id"]),
    "VOLATILE": lambda btf, entry: lib.btf__add_volatile(btf, entry["type_id"]),
    "TYPEDEF": lambda btf, entry: lib.btf__add_typedef(btf, _name(entry), entry["type_id"]),
    "FWD": lambda btf, entry: lib.btf__add_fwd(btf, _name(entry), _FORWARDS[entry["fwd_kind"]]),
    # An enum without values has only its size.
    "ENUM": lambda btf, entry: lib.btf__add_enum(btf, _name(entry), entry["size"]),
    "FUNC": lambda btf, entry: lib.btf__add_func(btf, _name(entry), 0, entry["type_id"]),
}
