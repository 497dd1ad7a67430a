"""The compiled object in the kernel."""

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from aod.tracer._libbpf import ffi, lib
from aod.tracer.libbpf import check, find_program

POSSIBLE_CPUS = Path("/sys/devices/system/cpu/possible")


@contextmanager
def loaded(path: Path, btf: Path | None, programs: Iterable[str]) -> Iterator[Any]:
    """Load the maps of an object and some of its programs: a `struct bpf_object *`.

    Its types are looked up in `btf`, else in the BTF of the kernel and its modules. Raises
    TracerError.
    """
    lib.aod_forget_messages()
    bpf_object = lib.aod_open(os.fsencode(path), os.fsencode(btf) if btf else ffi.NULL)
    if not bpf_object:
        check(-ffi.errno, f"opening {path}")
    try:
        for name in programs:
            program = find_program(bpf_object, name)
            check(lib.bpf_program__set_autoload(program, True), f"loading {name}")
        _make_rows(bpf_object)
        check(lib.bpf_object__load(bpf_object), f"loading {path.name}")
        yield bpf_object
    finally:
        lib.bpf_object__close(bpf_object)


def _make_rows(bpf_object: Any) -> None:
    """Give the ledger a row for each CPU that there may be."""
    ledger = lib.bpf_object__find_map_by_name(bpf_object, b"ledger")
    rows = rows_for(POSSIBLE_CPUS.read_text(encoding="ascii"))
    check(lib.bpf_map__set_max_entries(ledger, rows), "sizing the map ledger")


def rows_for(possible: str) -> int:
    """Return how many rows CPUs such as "0-3,8" need: one by its number each, gaps included."""
    return int(re.findall(r"\d+", possible)[-1]) + 1
