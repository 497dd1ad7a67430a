"""The asking side: whether a service runs, and what it answers; all of it is blocking."""

import contextlib
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from aod.control import protocol
from aod.errors import ServiceError
from aod.host.directories import runtime_directory

PATIENCE_S = 15.0
"""Without a line from a service that tells every WORKING_S that it is at work."""
_TIMEVAL = struct.pack("@ll", int(PATIENCE_S), 0)
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Client:
    """Asks the service whose socket is in a directory; `status` is what it said of itself."""

    def __init__(self, directory: Path, status: dict[str, Any]) -> None:
        self._directory = directory
        self.status = status

    def ask(self, request: str, **options: Any) -> dict[str, Any]:
        """Return the answer, however long the service works on it.

        Raises ServiceError when the service refuses, has gone, or falls silent.
        """
        answer = _ask(self._directory, request, options)
        if answer is None:
            raise ServiceError("the service has ended")
        return answer


def find(directory: Path | None = None) -> Client | None:
    """Return a client of the running service, None when none runs.

    Raises ServiceError when one runs, or may run, and cannot be asked.
    """
    place = directory or runtime_directory()
    status = _ask(place, "status", {})
    return None if status is None else Client(place, status)


def _ask(directory: Path, request: str, options: dict[str, Any]) -> dict[str, Any] | None:
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


def _talk(connection: socket.socket, line: bytes) -> dict[str, Any]:
    # A service that turns one away does not read; why, it has said already.
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        connection.sendall(line)
    with connection.makefile("rb") as lines, contextlib.suppress(ConnectionResetError):
        while told := lines.readline(protocol.MAX_ANSWER_BYTES):
            answer = protocol.read_answer(told)
            if answer is not None:
                return answer
    raise ServiceError("the service ended before it had answered")
