"""Has a kprobe program fire at a function of this process, as no cifs is here to call."""

import ctypes
import os
from pathlib import Path
from typing import Any

from cffi import FFI

from aod.tracer import _libbpf
from aod.tracer.libbpf import find_program
from aod.tracer.program import Tracer

ffi: Any = FFI()
ffi.cdef("""
struct bpf_program; struct bpf_link;
struct bpf_link *bpf_program__attach_uprobe(
    const struct bpf_program *program, bool retprobe, int pid, const char *path, size_t offset);
""")
lib: Any = ffi.dlopen("libbpf.so.1")


def attach_uprobe(tracer: Tracer, name: str, function: str) -> None:
    """Attach a program to a function of libc; the tracer takes it out as its own."""
    binary, offset = function_in_libc(function)
    program = _moved(find_program(tracer.object, name), "struct bpf_program *", _libbpf.ffi, ffi)
    link = lib.bpf_program__attach_uprobe(program, False, os.getpid(), os.fsencode(binary), offset)
    assert link
    tracer.links.keep(_moved(link, "struct bpf_link *", ffi, _libbpf.ffi))


def function_in_libc(name: str) -> tuple[Path, int]:
    """Return the file that holds a function, and the function's offset in it."""
    address = ctypes.cast(getattr(ctypes.CDLL(None), name), ctypes.c_void_p).value
    assert address is not None
    for line in Path("/proc/self/maps").read_text().splitlines():
        span, _, offset, *_, path = line.split(maxsplit=5)
        start, end = (int(part, 16) for part in span.split("-"))
        if start <= address < end:
            return Path(path.strip()), address - start + int(offset, 16)
    raise AssertionError(name)


def _moved(pointer: Any, ctype: str, source: Any, target: Any) -> Any:
    """Return a pointer of one cffi module as the other's."""
    return target.cast(ctype, int(source.cast("uintptr_t", pointer)))
