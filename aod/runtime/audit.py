"""The record of what aod itself did: a JSON object a line in `audit.jsonl`."""

import asyncio
import contextlib
import json
import logging
import os
import stat
import threading
import time
from typing import Any

from aod.clock import iso

log = logging.getLogger(__name__)

FILE = "audit.jsonl"
OLDER = "audit.jsonl.1"
MAX_BYTES = 4 << 20
"""Size at which the file becomes the older one, and the older one goes; about 20,000 lines."""
MAX_WAITING = 1000
MAX_LINE_BYTES = 16 << 10
"""A longer line is written without its details."""

# A FIFO that nobody reads would block without O_NONBLOCK.
_FLAGS = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def part_of(max_total_bytes: int) -> int:
    """Return how large each of the two files may be: together at most a tenth of all."""
    return min(MAX_BYTES, max_total_bytes // 20)


class Audit:
    """Takes notes from any thread and writes them in order, off the loop.

    `dir_fd` is the output directory. When more than MAX_WAITING notes wait, new ones are
    dropped; what is lost is counted in the next line that is written. `is_enabled` and
    `max_bytes` may be set at any time.
    """

    def __init__(self, dir_fd: int, enabled: bool, max_bytes: int = MAX_BYTES) -> None:
        self.is_enabled = enabled
        self.max_bytes = max_bytes
        self._dir_fd = dir_fd
        self._lock = threading.Lock()
        self._waiting: list[bytes] = []
        self._lost = 0
        self._is_refused = False
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()

    def record(self, event: str, /, **facts: Any) -> None:
        """Note that something was done; never waits."""
        if not self.is_enabled:
            return
        line = _line(event, facts)
        with self._lock:
            if len(self._waiting) >= MAX_WAITING:
                self._lost += 1
                return
            self._waiting.append(line)
        self._loop.call_soon_threadsafe(self._changed.set)

    async def run(self) -> None:
        """Write what is noted until cancelled, and then the rest."""
        try:
            while True:
                await self._changed.wait()
                self._changed.clear()
                await asyncio.to_thread(self.flush)
        finally:
            await asyncio.to_thread(self.flush)

    def flush(self) -> None:
        """Write what waits; blocking. What the disk refuses is lost, logged once, and counted."""
        with self._lock:
            lines, self._waiting = self._waiting, []
            lost, self._lost = self._lost, 0
        if lost:
            lines.append(_line("dropped", {"lines": lost}))
        try:
            while lines:
                del lines[: self._write(lines)]
        except OSError as error:
            with self._lock:
                # The line that reported losses was one of them.
                self._lost += len(lines) + lost - bool(lost)
            level = logging.DEBUG if self._is_refused else logging.ERROR
            log.log(level, "audit not written: lines=%d: %s", len(lines), error)
            self._is_refused = True
        else:
            self._is_refused = False

    def _write(self, lines: list[bytes]) -> int:
        """Append as many lines as the file has room for; return how many, 0 after a rotation."""
        fd = os.open(FILE, _FLAGS, 0o600, dir_fd=self._dir_fd)
        try:
            size = _size_of_own(fd)
            # A line that was cut off by a crash ends here, and the next is whole.
            data = b"\n" if size and os.pread(fd, 1, size - 1) != b"\n" else b""
            count = 0
            for line in lines:
                if size + len(data) + len(line) > self.max_bytes and (size or data):
                    break
                data += line
                count += 1
            if count:
                _append(fd, data, size)
        finally:
            os.close(fd)
        if not count:
            self._rotate(size)
        return count

    def _rotate(self, size: int) -> None:
        os.replace(FILE, OLDER, src_dir_fd=self._dir_fd, dst_dir_fd=self._dir_fd)
        if size > self.max_bytes + MAX_LINE_BYTES:  # the limit was lowered
            os.unlink(OLDER, dir_fd=self._dir_fd)


def _line(event: str, facts: dict[str, Any]) -> bytes:
    note = {"time": iso(time.time_ns()), "event": event}
    line = json.dumps({**note, **facts}, default=str).encode() + b"\n"
    if len(line) > MAX_LINE_BYTES:
        line = json.dumps({**note, "left_out_bytes": len(line)}).encode() + b"\n"
    return line


def _size_of_own(fd: int) -> int:
    """Return the size of a file that is ours alone; raise PermissionError for any other."""
    status = os.fstat(fd)
    is_own = stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid()
    if not is_own or status.st_nlink != 1:
        raise PermissionError(f"{FILE} is no file of aod's own (move it away)")
    if status.st_mode & 0o077:
        os.fchmod(fd, 0o600)
    return status.st_size


def _append(fd: int, data: bytes, size: int) -> None:
    """Write all of `data` at the end, or, where the disk has no room for all, none of it."""
    try:
        written = 0
        while written < len(data):
            written += os.write(fd, data[written:])
    except OSError:
        with contextlib.suppress(OSError):
            os.ftruncate(fd, size)
        raise
