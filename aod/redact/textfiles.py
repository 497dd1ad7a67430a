"""Files of a bundle as text: whether one is text, in blocks of whole lines, and written anew."""

import os
from collections.abc import Callable, Iterator
from typing import BinaryIO

from aod.host import files

BLOCK_BYTES = 64 << 10
LONGEST_LINE_BYTES = 1 << 20
_CONTROLS = bytes(set(range(32)) - set(b"\t\n\v\f\r\x1b"))


def opened(name: str, dir_fd: int) -> BinaryIO:
    """Open a regular file of a directory; raises ValueError for another."""
    return os.fdopen(files.open_regular(name, dir_fd), "rb")


def is_text(file: BinaryIO) -> bool:
    """Return whether a file has no NUL and hardly a sign that no text has."""
    file.seek(0)
    size = controls = 0
    for block in iter(lambda: file.read(BLOCK_BYTES), b""):
        if b"\0" in block:
            return False
        size += len(block)
        controls += len(block) - len(block.translate(None, _CONTROLS))
    return controls <= 4 + size // 1000


def blocks(file: BinaryIO) -> Iterator[str]:
    """Yield a file's text in blocks of whole lines, from its beginning.

    A line beyond LONGEST_LINE_BYTES is cut at a blank, if it has one.
    """
    file.seek(0)
    rest = b""
    while data := file.read(BLOCK_BYTES):
        rest += data
        end = rest.rfind(b"\n") + 1
        if not end and len(rest) > LONGEST_LINE_BYTES:
            end = rest.rfind(b" ") + 1 or len(rest)
        if end:
            yield rest[:end].decode(errors="surrogateescape")
            rest = rest[end:]
    if rest:
        yield rest.decode(errors="surrogateescape")


def differs(file: BinaryIO, change: Callable[[str], str]) -> bool:
    """Return whether a change makes another text of a file."""
    return any(change(block) != block for block in blocks(file))


def rewrite(file: BinaryIO, target: BinaryIO, change: Callable[[str], str]) -> int:
    """Write the changed text of a file, and return its size."""
    for block in blocks(file):
        target.write(change(block).encode(errors="surrogateescape"))
    return target.tell()
