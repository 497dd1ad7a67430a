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
from pathlib import Path

from aod.errors import AodError, SurroundingsError

log = logging.getLogger(__name__)

INTERVAL_S = 15.0
MODE = 0o644
MOUNTINFO = Path("/proc/self/mountinfo")

_STEP = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC

Problems = Callable[[Path, str], list[str]]
"""Given a directory and the text of mountinfo: why it must not be touched."""


class Textfile:
    """Keeps the file fresh; `render` blocks and returns its text."""

    def __init__(self, path: Path, render: Callable[[], bytes], problems: Problems) -> None:
        self._path = path
        self._render = render
        self._problems = problems
        self._told = ""
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
        """Write the file; a disk that refuses is told once, and tried again."""
        try:
            text = self._render()
            with self._writing:
                if not self._is_over:
                    self._write(text)
        except (OSError, AodError) as error:
            if str(error) != self._told:
                log.warning("metrics not written, tried again file=%s: %s", self._path, error)
            self._told = str(error)
            return
        if self._told:
            log.info("metrics written again file=%s", self._path)
        self._told = ""

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
        if problems := self._problems(self._path.parent, MOUNTINFO.read_text()):
            raise SurroundingsError(problems[0])
        fd = os.open("/", _STEP)
        try:
            for part in self._path.parts[1:-1]:
                inner = self._step(part, fd)
                os.close(fd)
                fd = inner
            yield fd
        finally:
            os.close(fd)

    def _step(self, part: str, dir_fd: int) -> int:
        try:
            return os.open(part, _STEP, dir_fd=dir_fd)
        except NotADirectoryError as error:
            raise SurroundingsError(
                f"{part} is a link or no directory (name the directory itself)"
            ) from error
