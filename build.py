"""Compiles bpf/ with clang and makes the two cffi modules; run by setuptools.

`aod._event` holds the types of bpf/event.h alone and is plain Python; `aod.tracer._libbpf` is
the C extension that calls libbpf.
"""

import os
import re
import shutil
import subprocess
import sysconfig
from pathlib import Path

from cffi import FFI
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
BPF = ROOT / "bpf"
OBJECT = Path("aod") / "data" / "smb.bpf.o"
HEADERS = Path("/usr/include")

FIXED_WIDTH = """
typedef uint64_t __u64; typedef uint32_t __u32; typedef uint16_t __u16; typedef uint8_t __u8;
typedef int32_t __s32;
"""


def event_types() -> str:
    """Return bpf/event.h as cffi reads it: without preprocessor lines."""
    text = (BPF / "event.h").read_text()
    return FIXED_WIDTH + re.sub(r"^#.*$", "", text, flags=re.MULTILINE)


def missing_packages() -> list[str]:
    """Return the Debian packages that a build needs and this machine lacks."""
    found = {
        "clang": shutil.which("clang"),
        "llvm": shutil.which("llvm-strip"),
        "gcc": shutil.which("gcc"),
        "libc6-dev": (HEADERS / "stdio.h").exists(),
        "libbpf-dev": (HEADERS / "bpf" / "libbpf.h").exists(),
        "python3-dev": (Path(sysconfig.get_path("include")) / "Python.h").exists(),
    }
    return [package for package, there in found.items() if not there]


def compile_bpf(source: Path, target: Path, *defines: str) -> None:
    """Compile one BPF program to a CO-RE object without DWARF, with macros defined."""
    machine = {"x86_64": "x86", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)
    target.parent.mkdir(parents=True, exist_ok=True)
    flags = ["-g", "-O2", "-target", "bpf", "-mcpu=v3", "-Wall", "-Werror", "-Ibpf"]
    flags += [f"-D{define}" for define in (f"__TARGET_ARCH_{machine}", *defines)]
    # Debian keeps asm/types.h in a folder that clang does not search for this target.
    flags += [f"-idirafter/usr/include/{os.uname().machine}-linux-gnu"]
    # BTF names the source's path: not that of the machine that built it.
    flags += ["-fdebug-compilation-dir", "."]
    command = ["clang", *flags, "-c", os.path.relpath(source, ROOT), "-o", str(target.absolute())]
    subprocess.run(command, cwd=ROOT, check=True)
    subprocess.run(["llvm-strip", "-g", str(target)], check=True)


class build_with_bpf(build_py):
    """Puts the compiled BPF object among the package's data."""

    def run(self) -> None:
        """Compile, then build as usual; SystemExit names the packages that are missing."""
        if packages := missing_packages():
            raise SystemExit(f"cannot build aod: apt-get install {' '.join(packages)}")
        where = ROOT if self.editable_mode else Path(self.build_lib)
        compile_bpf(BPF / "smb.bpf.c", where / OBJECT)
        super().run()


TRACER_TYPES = """
struct bpf_object; struct bpf_program; struct bpf_map; struct bpf_link; struct ring_buffer;
struct aod_batch { struct aod_event *records; size_t capacity, length, malformed; };

const char *libbpf_version_string(void);
struct bpf_object *aod_open(const char *path, const char *btf_path);
int bpf_object__load(struct bpf_object *object);
void bpf_object__close(struct bpf_object *object);
struct bpf_map *bpf_object__find_map_by_name(const struct bpf_object *object, const char *name);
uint32_t bpf_map__max_entries(const struct bpf_map *map);
int bpf_map__set_max_entries(struct bpf_map *map, uint32_t max_entries);
int bpf_map__fd(const struct bpf_map *map);
struct bpf_program *bpf_object__find_program_by_name(
    const struct bpf_object *object, const char *name);
const char *bpf_program__section_name(const struct bpf_program *program);
int bpf_program__set_autoload(struct bpf_program *program, bool autoload);
int bpf_program__fd(const struct bpf_program *program);
struct bpf_link *bpf_program__attach(const struct bpf_program *program);
int bpf_link__destroy(struct bpf_link *link);
int bpf_map_get_next_key(int map_fd, const void *key, void *next_key);
int ring_buffer__epoll_fd(const struct ring_buffer *ring);
void ring_buffer__free(struct ring_buffer *ring);

const char *aod_messages(void);
void aod_forget_messages(void);
int aod_run(int program_fd, void *context, size_t size);
struct ring_buffer *aod_ring_open(int map_fd, struct aod_batch *batch);
int aod_ring_read(struct ring_buffer *ring, struct aod_batch *batch);
int aod_map_lookup(int map_fd, const void *key, void *value);
int aod_map_update(int map_fd, const void *key, const void *value);
int aod_map_delete(int map_fd, const void *key);
int64_t aod_skipped(int program_fd);
int aod_map_entries(int map_fd, void *keys, void *values, unsigned int capacity);
"""

event_ffi = FFI()
event_ffi.cdef(event_types())
event_ffi.set_source("aod._event", None)

tracer_ffi = FFI()
tracer_ffi.cdef(event_types() + TRACER_TYPES)
tracer_ffi.set_source(
    "aod.tracer._libbpf",
    "#include <linux/types.h>\n" + (ROOT / "aod" / "tracer" / "ring.c").read_text(),
    libraries=["bpf"],
    include_dirs=[str(BPF)],
    py_limited_api=True,
    define_macros=[("Py_LIMITED_API", "0x030b0000")],
)
