"""Calls of libbpf with exceptions in place of -errno."""

from typing import Any

from aod.errors import TracerError
from aod.tracer._libbpf import ffi, lib


def check(result: int, call: str) -> int:
    """Return the result of a libbpf call, or raise TracerError for its -errno."""
    if result < 0:
        message = ffi.string(lib.aod_messages()).decode(errors="replace").strip()
        detail = f" ({message.splitlines()[0]})" if message else ""
        raise TracerError(f"{call} failed{detail}", -result)
    return result


def find_program(bpf_object: Any, name: str) -> Any:
    """Return the program of a `struct bpf_object *`; raises TracerError."""
    program = lib.bpf_object__find_program_by_name(bpf_object, name.encode())
    if not program:
        raise TracerError(f"the BPF object has no program {name}")
    return program


def libbpf_version() -> str:
    """Return the version of the libbpf in use, such as "v1.1"."""
    return str(ffi.string(lib.libbpf_version_string()).decode())
