"""Disks that are small, read-only or faulty, and what to expect of the bundles on them."""

import errno
import io
import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiofiles.threadpool
import pytest

from aod import redact
from aod.bundle import Clean, OutputDirectory, read_manifest, read_member
from aod.bundle.manifest import Manifest


@contextmanager
def small_disk(path: Path, kib: int) -> Iterator[Path]:
    """Mount a filesystem of so many KiB; the test is skipped where that is not allowed."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small filesystem")
    path.mkdir()
    options = f"size={kib}k,mode=0700"
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(path)]
    if subprocess.run(command, check=False).returncode:
        pytest.skip("mount is not allowed here")
    try:
        yield path
    finally:
        subprocess.run(["umount", str(path)], check=True)


@contextmanager
def held_shut(path: Path) -> Iterator[Callable[[str], None]]:
    """Mount a directory onto itself, as systemd does; give what makes this mount `ro` or `rw`.

    Its filesystem stays as it is. The test is skipped where that is not allowed.
    """
    command = ["mount", "--bind", str(path), str(path)]
    if os.geteuid() != 0 or subprocess.run(command, check=False).returncode:
        pytest.skip("only root can mount a directory")
    try:
        yield lambda option: remount(path, f"bind,{option}")
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True)


def remount(path: Path, option: str) -> None:
    """Make a mounted filesystem `ro` or `rw`."""
    subprocess.run(["mount", "-o", f"remount,{option}", str(path)], check=True)


def clean_of(manifest: Manifest) -> Clean:
    """Return how a leftover's files are cleaned, as the service does it."""
    return redact.for_leftover(manifest, redact=False).bundle


def unrecorded(event: str, /, **facts: str | int) -> None:
    """Stand in for the audit log, where a test does not look at it."""


def whole(path: Path) -> Manifest:
    """Return the manifest of a sealed bundle after every file in it was compared with it."""
    manifest = read_manifest(path)
    for name in manifest.files:
        read_member(path, name)
    return manifest


class Faults:
    """Refuses the n-th change of a disk with an errno, and all later ones when it lasts.

    What is refused: to make a directory, to make, write, sync, rename or remove a file. A full
    disk, or one over its quota, lets files be removed. `changes` counts what was asked for.
    """

    def __init__(self, number: int, first: int, *, lasting: bool) -> None:
        self.changes = 0
        self.struck: list[str] = []
        self._number = number
        self._first = first
        self._lasting = lasting
        self._lock = threading.Lock()

    def check(self, change: str) -> None:
        """Count a change, and refuse it when its turn has come."""
        if change in ("unlink", "rmdir") and self._number in (errno.ENOSPC, errno.EDQUOT):
            return
        with self._lock:
            self.changes += 1
            if self.changes < self._first or (self.struck and not self._lasting):
                return
            self.struck.append(change)
        raise OSError(self._number, os.strerror(self._number))

    @contextmanager
    def on(self) -> Iterator[None]:
        """Let the disk of this process be like that."""
        with pytest.MonkeyPatch.context() as patch:
            for name in ("mkdir", "rename", "fsync", "fchmod", "unlink", "rmdir"):
                patch.setattr(os, name, self._checked(name))
            opened, fdopen = os.open, os.fdopen

            def checked_open(path: Any, flags: int, *arguments: Any, **options: Any) -> int:
                if flags & os.O_CREAT:
                    self.check("create")
                return opened(path, flags, *arguments, **options)

            def checked_fdopen(fd: int, mode: str = "r", *arguments: Any, **options: Any) -> Any:
                if "b" in mode and "r" not in mode:
                    return io.BufferedWriter(self._raw(fd))
                return fdopen(fd, mode, *arguments, **options)

            patch.setattr(os, "open", checked_open)
            patch.setattr(os, "fdopen", checked_fdopen)
            patch.setattr(
                aiofiles.threadpool, "sync_open", lambda fd, **_: io.BufferedWriter(self._raw(fd))
            )
            yield

    def _checked(self, name: str) -> Callable[..., Any]:
        function = getattr(os, name)

        def checked(*arguments: Any, **options: Any) -> Any:
            self.check(name)
            return function(*arguments, **options)

        return checked

    def _raw(self, fd: int) -> io.FileIO:
        check = self.check

        class Raw(io.FileIO):
            def write(self, data: Any) -> int:
                check("write")
                return super().write(data)

        return Raw(fd, "w")


def still_bytes(output: OutputDirectory) -> int:
    """Return what open bundles may still write, as the next one finds it."""
    next_one = output.reservations.reserve("next", {}, 0, output)
    output.reservations.release("next")
    return next_one.reserved_bytes
