"""The asking side: whether a service runs, and what it answers; all of it is blocking."""

import contextlib
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from aod.control import protocol
from aod.errors import ServiceError
from aod.host.directories import runtime_directory

if TYPE_CHECKING:
    from aod.control.answers import StatusAnswer

A = TypeVar("A", bound=protocol.Answer)

PATIENCE_S = 15.0
"""Without a line from a service that reports every WORKING_S that it is at work."""
_TIMEVAL = struct.pack("@ll", int(PATIENCE_S), 0)
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Client:
    """Asks the service whose socket is in a directory; `status` is what it said of itself."""

    def __init__(self, directory: Path, status: "StatusAnswer") -> None:
        self._directory = directory
        self.status = status

    def ask(self, wanted: type[A], **options: str) -> A:
        """Return the answer that is wanted, however long the service works on it.

        Raises ServiceError when the service refuses, has gone, falls silent, or answers otherwise.
        """
        from aod.control import answers

        done = _ask(self._directory, wanted.REQUEST, options)
        if done is None:
            raise ServiceError("the service has ended")
        return answers.read(wanted, done)


def find(directory: Path | None = None) -> Client | None:
    """Return a client of the running service, None when none runs.

    Raises ServiceError when one runs, or may run, and cannot be asked.
    """
    runtime = directory or runtime_directory()
    done = _ask(runtime, "status", {})
    if done is None:
        return None
    # With pydantic, which takes a while to import: only where a service runs.
    from aod.control import answers

    return Client(runtime, answers.read(answers.StatusAnswer, done))


def _ask(directory: Path, request: str, options: protocol.Options) -> protocol.Done | None:
    """Return the answer, None when nobody listens."""
    try:
        with _connected(directory) as connection:
            return _talk(connection, protocol.request_line(request, options))
    except (FileNotFoundError, NotADirectoryError, ConnectionRefusedError):
        return None
    except (TimeoutError, BlockingIOError) as error:
        raise ServiceError(
            f"the running service does not answer within {PATIENCE_S:g} s (see its log)"
        ) from error
    except PermissionError as error:
        raise ServiceError(
            f"cannot ask the running service: permission denied in {directory} (run as root)"
        ) from error
    except OSError as error:
        raise ServiceError(
            f"cannot ask the running service in {directory}: {error.strerror}"
        ) from error


@contextmanager
def _connected(directory: Path) -> Iterator[socket.socket]:
    fd = os.open(directory, _DIRECTORY)
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            # With a timeout of Python's a full backlog would be an error at once.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _TIMEVAL)
            connection.connect(protocol.address(fd))
            connection.settimeout(PATIENCE_S)
            yield connection
    finally:
        os.close(fd)


def _talk(connection: socket.socket, line: bytes) -> protocol.Done:
    # A service that turns one away does not read; why, it has said already.
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        connection.sendall(line)
    with connection.makefile("rb") as lines, contextlib.suppress(ConnectionResetError):
        while answer := lines.readline(protocol.MAX_ANSWER_BYTES):
            if done := protocol.read_answer(answer):
                return done
    raise ServiceError("the service ended before it had answered")
