"""A bundle as one file: tar in zstd, written as a stream and read with limits.

All of it is blocking: a coroutine calls it through asyncio.to_thread.
"""

import hashlib
import os
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import zstandard

from aod.bundle.manifest import DAMAGED, MANIFEST, Digest, Manifest, parse, parse_digests
from aod.errors import BundleError
from aod.host import files

SUMMARY = "summary.txt"
MAX_MEMBER_BYTES = 64 << 20
"""The largest member that is read into memory."""

_LEVEL = 3
# Damaged data surfaces as any of these from zstandard and tarfile.
_UNREADABLE = (tarfile.TarError, zstandard.ZstdError, EOFError, ValueError, OverflowError)


def digests(dir_fd: int) -> dict[str, Digest]:
    """Return the digest of every file of a bundle's directory but its manifest."""
    return {name: _digest(name, dir_fd) for name in files.regular_files(dir_fd) if name != MANIFEST}


def pack(target: BinaryIO, top: str, known: Mapping[str, Digest], dir_fd: int) -> None:
    """Write the manifest, the summary and then the other `known` files as tar in zstd.

    Each file is written with the size it had when its digest was taken: a child that was
    abandoned may still be appending to its output.
    """
    order = sorted(known, key=lambda name: (name != SUMMARY, name))
    compressor = zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True)
    with (
        compressor.stream_writer(target, closefd=False) as stream,
        tarfile.open(fileobj=stream, mode="w|", format=tarfile.PAX_FORMAT) as tar,
    ):
        _add(tar, top, MANIFEST, None, dir_fd)
        for name in order:
            _add(tar, top, name, known[name].bytes, dir_fd)


def read_manifest(path: Path) -> Manifest:
    """Return the manifest of a sealed file or of an open directory.

    Raises BundleError when there is none, or when it is damaged.
    """
    return parse(read_member(path, MANIFEST), path)


def read_member(path: Path, name: str) -> bytes:
    """Return one file of a sealed file or of an open directory.

    What the manifest has a digest of is compared with it. Raises BundleError when the name
    is not plain, is not there, is larger than MAX_MEMBER_BYTES, or does not match.
    """
    try:
        files.plain_name(name)
        return _from_directory(path, name) if path.is_dir() else _from_sealed(path, name)
    except FileNotFoundError as error:
        raise BundleError(f"cannot read {name} of {path}: no such file (see: aod list)") from error
    except OSError as error:
        raise BundleError(f"cannot read {name} of {path}: {error.strerror or error}") from error
    except _UNREADABLE as error:
        raise BundleError(f"cannot read {name} of {path}: {error}; {DAMAGED}") from error


def read_file(name: str, dir_fd: int) -> bytes:
    """Return a regular file of a directory, refused when over MAX_MEMBER_BYTES."""
    with os.fdopen(files.open_regular(name, dir_fd), "rb") as file:
        data = file.read(MAX_MEMBER_BYTES + 1)
    _check_size(name, len(data))
    return data


def _digest(name: str, dir_fd: int) -> Digest:
    with os.fdopen(files.open_regular(name, dir_fd), "rb") as file:
        digest = hashlib.file_digest(file, "sha256")
        return Digest(file.tell(), digest.hexdigest())


def _add(tar: tarfile.TarFile, top: str, name: str, size: int | None, dir_fd: int) -> None:
    with os.fdopen(files.open_regular(name, dir_fd), "rb") as file:
        status = os.fstat(file.fileno())
        member = tarfile.TarInfo(f"{top}/{name}")
        member.size = status.st_size if size is None else size
        member.mode = 0o600
        member.mtime = int(status.st_mtime)
        tar.addfile(member, file)


def _from_directory(path: Path, name: str) -> bytes:
    dir_fd = files.open_directory(path)
    try:
        return read_file(name, dir_fd)
    finally:
        os.close(dir_fd)


def _from_sealed(path: Path, name: str) -> bytes:
    known: Mapping[str, Digest] | None = None
    with _members(path) as members:
        for inner, tar, member in members:
            if inner in (name, MANIFEST):
                data = _read(tar, member)
            if inner == name:
                _check_digest(name, data, (known or {}).get(name))
                return data
            if inner == MANIFEST:
                known = parse_digests(data, path)
    if known is not None and name not in known:
        raise BundleError(f"{path} holds no {name} (see its {MANIFEST} for what it holds)")
    raise EOFError("its end is missing")


@contextmanager
def _members(path: Path) -> Iterator[Iterator[tuple[str, tarfile.TarFile, tarfile.TarInfo]]]:
    decompressor = zstandard.ZstdDecompressor()
    with (
        path.open("rb") as file,
        decompressor.stream_reader(file) as stream,
        tarfile.open(fileobj=stream, mode="r|") as tar,
    ):
        yield ((_inner_name(member), tar, member) for member in tar)


def _inner_name(member: tarfile.TarInfo) -> str:
    top, slash, name = member.name.partition("/")
    if not member.isreg() or not slash:
        raise ValueError(f"unexpected member {member.name!r}")
    files.plain_name(top)
    return files.plain_name(name)


def _read(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    _check_size(member.name, member.size)
    file = tar.extractfile(member)
    data = file.read() if file else b""
    if len(data) != member.size:
        raise EOFError("its end is missing")
    return data


def _check_size(name: str, size: int) -> None:
    if size > MAX_MEMBER_BYTES:
        raise BundleError(
            f"{name} has {size} bytes, more than the {MAX_MEMBER_BYTES} that are read "
            "(unpack the bundle with: tar --zstd -xf)"
        )


def _check_digest(name: str, data: bytes, expected: Digest | None) -> None:
    if expected and hashlib.sha256(data).hexdigest() != expected.sha256:
        raise ValueError(f"the SHA-256 of {name} is not that of the manifest")
