"""The part of libbpf that reads and writes types, called without a compiled module."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from cffi import FFI

ffi: Any = FFI()
ffi.cdef("""
struct btf; struct bpf_object; struct bpf_program;
struct btf *btf__parse_split(const char *path, struct btf *base);
struct btf *btf__new_empty_split(struct btf *base);
void btf__free(struct btf *btf);
const void *btf__raw_data(const struct btf *btf, uint32_t *size);
int btf__add_int(struct btf *btf, const char *name, size_t size, int encoding);
int btf__add_ptr(struct btf *btf, int type);
int btf__add_const(struct btf *btf, int type);
int btf__add_volatile(struct btf *btf, int type);
int btf__add_typedef(struct btf *btf, const char *name, int type);
int btf__add_fwd(struct btf *btf, const char *name, int kind);
int btf__add_enum(struct btf *btf, const char *name, uint32_t size);
int btf__add_struct(struct btf *btf, const char *name, uint32_t size);
int btf__add_union(struct btf *btf, const char *name, uint32_t size);
int btf__add_field(struct btf *btf, const char *name, int type, uint32_t offset, uint32_t bits);
int btf__add_func(struct btf *btf, const char *name, int linkage, int prototype);
int btf__add_func_proto(struct btf *btf, int returned);
int btf__add_func_param(struct btf *btf, const char *name, int type);

struct bpf_object *bpf_object__open(const char *path);
void bpf_object__close(struct bpf_object *object);
struct bpf_program *bpf_object__next_program(
    const struct bpf_object *object, struct bpf_program *previous);
const char *bpf_program__section_name(const struct bpf_program *program);
""")
lib: Any = ffi.dlopen("libbpf.so.1")


@contextmanager
def opened(file: Path, base: Any = ffi.NULL) -> Iterator[Any]:
    """Hold the types of a file, raw BTF or ELF; `base` has those that they go on from."""
    btf = lib.btf__parse_split(os.fsencode(file), base)
    if not btf:
        raise OSError(ffi.errno, f"libbpf finds no types in {file}")
    try:
        yield btf
    finally:
        lib.btf__free(btf)


@contextmanager
def created(base: Path | None = None) -> Iterator[Any]:
    """Hold no types yet; the first that is added follows the last of a file."""
    with opened(base) if base else nullcontext(ffi.NULL) as first:
        btf = lib.btf__new_empty_split(first)
        try:
            yield btf
        finally:
            lib.btf__free(btf)


def sections(file: Path) -> set[str]:
    """Return the sections of a BPF object's programs, such as "kprobe/smb_send_rqst"."""
    bpf_object = lib.bpf_object__open(os.fsencode(file))
    if not bpf_object:
        raise OSError(ffi.errno, f"libbpf cannot open {file}")
    names, program = set(), lib.bpf_object__next_program(bpf_object, ffi.NULL)
    while program:
        name = ffi.string(lib.bpf_program__section_name(program)).decode()
        names.add(name.removeprefix("?"))
        program = lib.bpf_object__next_program(bpf_object, program)
    lib.bpf_object__close(bpf_object)
    return names
