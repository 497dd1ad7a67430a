"""The record of what aod itself did: a JSON object a line in `audit.jsonl`."""

import asyncio
import json
import logging
import os
import threading
import time
from typing import Any

from aod.clock import iso

log = logging.getLogger(__name__)

FILE = "audit.jsonl"
OLDER = "audit.jsonl.1"
MAX_BYTES = 4 << 20
"""Size at which the file becomes the older one, and the older one goes."""
MAX_WAITING = 1000


class Audit:
    """Takes notes from any thread and writes them in order, off the loop.

    `dir_fd` is the output directory. When more than MAX_WAITING notes wait, new ones are
    dropped and counted in the next line that is written.
    """

    def __init__(self, dir_fd: int, enabled: bool) -> None:
        self._dir_fd = dir_fd
        self.is_enabled = enabled
        self._lock = threading.Lock()
        self._waiting: list[bytes] = []
        self._dropped = 0
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()

    def record(self, event: str, /, **facts: Any) -> None:
        """Note that something was done; never waits."""
        if not self.is_enabled:
            return
        line = {"time": iso(time.time_ns()), "event": event, **facts}
        with self._lock:
            if len(self._waiting) >= MAX_WAITING:
                self._dropped += 1
                return
            self._waiting.append(json.dumps(line, default=str).encode() + b"\n")
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
        """Write what waits; blocking. A disk that refuses is logged, and the notes are lost."""
        with self._lock:
            lines, self._waiting = self._waiting, []
            dropped, self._dropped = self._dropped, 0
        if dropped:
            lost = {"time": iso(time.time_ns()), "event": "dropped", "lines": dropped}
            lines.append(json.dumps(lost).encode() + b"\n")
        if not lines:
            return
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            with os.fdopen(os.open(FILE, flags, 0o600, dir_fd=self._dir_fd), "ab") as file:
                file.writelines(lines)
                is_full = file.tell() > MAX_BYTES
            if is_full:
                os.replace(FILE, OLDER, src_dir_fd=self._dir_fd, dst_dir_fd=self._dir_fd)
        except OSError as error:
            log.error("audit not written: lines=%d: %s", len(lines), error)
