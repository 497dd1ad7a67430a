"""The metrics as a file for the textfile collector of node_exporter.

The directory is node_exporter's, not ours: on Debian an unprivileged user owns its parent. So
no part of its path may be a link, the file is made anew under a hidden name and renamed, and a
link that stands in its place is replaced, not followed. It has mode 0644, as node_exporter runs
under a user of its own; the shares that it names stand in /proc/mounts for everyone as well.
"""

import asyncio
import contextlib
import logging
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

from aod.errors import AodError, HostError
from aod.host import mounts
from aod.host.paths import open_through, share_problems

log = logging.getLogger(__name__)

INTERVAL_S = 15.0
MODE = 0o644

_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class Textfile:
    """Keeps the file fresh; `render` blocks and returns its text."""

    def __init__(self, path: Path, render: Callable[[], bytes]) -> None:
        self._path = path
        self._render = render
        self._last_error = ""
        self._writing = threading.Lock()
        self._is_over = False

    async def run(self) -> None:
        """Write the file each interval until cancelled, and take it away then.

        What is left behind would be taken for the numbers of a service that still runs.
        """
        self._is_over = False
        try:
            while True:
                await asyncio.to_thread(self._renew)
                await asyncio.sleep(INTERVAL_S)
        finally:
            await asyncio.to_thread(self._remove)

    def _renew(self) -> None:
        """Write the file; a disk that refuses is logged once, and tried again."""
        try:
            text = self._render()
            with self._writing:
                if not self._is_over:
                    self._write(text)
        except (OSError, AodError) as error:
            if str(error) != self._last_error:
                log.warning("metrics not written, tried again file=%s: %s", self._path, error)
            self._last_error = str(error)
            return
        if self._last_error:
            log.info("metrics written again file=%s", self._path)
        self._last_error = ""

    def _write(self, text: bytes) -> None:
        temporary = f".{self._path.name}.tmp"
        with self._directory() as dir_fd:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary, dir_fd=dir_fd)
            fd = os.open(temporary, _CREATE, MODE, dir_fd=dir_fd)
            try:
                with os.fdopen(fd, "wb") as file:
                    os.fchmod(fd, MODE)
                    file.write(text)
                # No fsync: what a crash takes is written again at the next start.
                os.rename(temporary, self._path.name, src_dir_fd=dir_fd, dst_dir_fd=dir_fd)
            except BaseException:
                os.unlink(temporary, dir_fd=dir_fd)
                raise

    def _remove(self) -> None:
        # A thread that still writes when its task was cancelled would bring the file back.
        self._is_over = True
        with self._writing, contextlib.suppress(OSError, AodError), self._directory() as dir_fd:
            os.unlink(self._path.name, dir_fd=dir_fd)

    @contextlib.contextmanager
    def _directory(self) -> Iterator[int]:
        """Open the file's directory from the root down, without following a link."""
        if problems := share_problems(self._path.parent, mounts.read()):
            raise HostError(problems[0])
        with contextlib.ExitStack() as opened:
            yield open_through(self._path.parent, _refuse, opened)


def _refuse(name: str, fd: int) -> PurePosixPath | None:
    raise HostError(f"{name} is a link or no directory (name the directory itself)")
