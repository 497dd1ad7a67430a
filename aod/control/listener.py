"""The socket in the runtime directory; all of it is blocking."""

import contextlib
import fcntl
import os
import socket
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from aod.control.protocol import SOCKET, address
from aod.errors import ServiceError
from aod.host import directories

LOCK = "aod.lock"
BACKLOG = 16
_TEMPORARY = f".{SOCKET}.tmp"
_LOCK = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC


class Listener:
    """Listens in a directory that nobody else may enter; a context manager.

    While one listens there, another cannot: the lock goes with its process, so that the
    socket of a dead one is replaced, and that of a living one never.
    """

    def __init__(self, listener: socket.socket, directory_fd: int, stack: ExitStack) -> None:
        self.socket = listener
        self._directory_fd = directory_fd
        self._stack = stack

    @classmethod
    def open(cls, directory: Path) -> Self:
        """Make the directory (0700) when missing, and listen there (0600).

        Raises ServiceError when another one listens, or the directory is not to be had.
        """
        with ExitStack() as stack:
            try:
                fd = directories.open_directory(directory, tighten=True)
                stack.callback(os.close, fd)
                lock = os.open(LOCK, _LOCK, 0o600, dir_fd=fd)
                stack.callback(os.close, lock)
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                listener = stack.enter_context(_listen(fd))
            except BlockingIOError as error:
                raise ServiceError(f"another aod listens in {directory} already") from error
            except OSError as error:
                raise ServiceError(f"cannot listen in {directory}: {error.strerror}") from error
            return cls(listener, fd, stack.pop_all())

    def close(self) -> None:
        """Take the socket away and end the claim."""
        with contextlib.suppress(OSError):  # the directory may be gone
            os.unlink(SOCKET, dir_fd=self._directory_fd)
        self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _listen(directory_fd: int) -> socket.socket:
    """Put the socket into its place only once it listens: who finds it is answered."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.setblocking(False)
        # bind gives the file the mode of the socket (unix_bind): it is 0600 from the start.
        os.fchmod(listener.fileno(), 0o600)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(_TEMPORARY, dir_fd=directory_fd)
        listener.bind(address(directory_fd, _TEMPORARY))
        listener.listen(BACKLOG)
        os.rename(_TEMPORARY, SOCKET, src_dir_fd=directory_fd, dst_dir_fd=directory_fd)
    except BaseException:
        listener.close()
        raise
    return listener
