"""The compiled object in the kernel."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from aod.tracer._libbpf import ffi, lib
from aod.tracer.libbpf import check, find_program


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
        check(lib.bpf_object__load(bpf_object), f"loading {path.name}")
        yield bpf_object
    finally:
        lib.bpf_object__close(bpf_object)
