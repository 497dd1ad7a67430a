"""What goes over the socket: a request on one line, and lines of answer, each a JSON object.

    {"format": 1, "request": "sample", ...}
    {"format": 1, "state": "working"}                     while it takes longer than WORKING_S
    {"format": 1, "state": "done", "answer": {...}}       or "refused" with an "error"

A connection carries one request; every last line names the aod that has answered. What an answer
holds stands in aod/control/answers.py.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from importlib.metadata import version
from typing import ClassVar, Protocol, TypeAlias

from aod.errors import ServiceError

FORMAT = 1
SOCKET = "aod.sock"
MAX_REQUEST_BYTES = 64 << 10
MAX_ANSWER_BYTES = 16 << 20
"""4096 counters, the most that the kernel keeps, take 1 MB."""
VERSION = version("aod")
WORKING_S = 5.0
"""How often a client hears of a request that takes long."""

Options: TypeAlias = Mapping[str, object]
"""What a request says besides its name; whoever answers it checks it."""


class Answer(Protocol):
    """A dataclass with what one request, of the name REQUEST, is answered."""

    REQUEST: ClassVar[str]


@dataclass(frozen=True, slots=True)
class Done:
    """The last line of a request that was granted, from a service of this version."""

    version: str
    answer: Options


def address(directory_fd: int, name: str = SOCKET) -> str:
    """Return how to reach a socket in a directory: by its descriptor, so through no link.

    Nor does the length of the directory's path matter, where a socket's may have 107 bytes.
    """
    return f"/proc/self/fd/{directory_fd}/{name}"


def request_line(request: str, options: Options) -> bytes:
    """Return a request as it is sent."""
    return _line({**options, "format": FORMAT, "request": request})


def read_request(line: bytes) -> tuple[str, Options]:
    """Return a request's name and options; raises ServiceError for what is none."""
    message = _object(line)
    if message.pop("format", None) != FORMAT:
        raise ServiceError(f"the service is aod {VERSION}, which answers format {FORMAT}")
    name = message.pop("request", None)
    if not isinstance(name, str):
        raise ServiceError("a request has no name")
    return name, message


def working() -> bytes:
    """Return the line that says that the answer takes longer."""
    return _line({"format": FORMAT, "state": "working"})


def done(answer: Answer) -> bytes:
    """Return the last line of a request that was granted."""
    return _line(_last("done") | {"answer": answer})


def refused(error: str) -> bytes:
    """Return the last line of a request that was not."""
    return _line(_last("refused") | {"error": error})


def read_answer(line: bytes) -> Done | None:
    """Return what was answered, or None when the service is still working on it.

    Raises ServiceError with what a service says that refuses, and for one of another format.
    """
    message = _object(line)
    version = str(message.get("version", "of another version"))
    if message.get("format") != FORMAT:
        raise ServiceError(another_version(version))
    if message.get("state") == "working":
        return None
    answer = message.get("answer")
    if message.get("state") == "done" and isinstance(answer, dict):
        return Done(version, answer)
    raise ServiceError(f"the running service refuses: {message.get('error', 'no reason given')}")


def another_version(version: str) -> str:
    """Say that a service which answers otherwise was started before aod was replaced."""
    return (
        f"the running service is aod {version}, and this is aod {VERSION} "
        "(restart the service: systemctl restart aod)"
    )


def _last(state: str) -> dict[str, object]:
    return {"format": FORMAT, "state": state, "version": VERSION}


def _line(message: Mapping[str, object]) -> bytes:
    return json.dumps(message, default=_by_field).encode() + b"\n"


def _by_field(value: object) -> dict[str, object]:
    """Return a dataclass as json can write it; the values stay what they are."""
    if not is_dataclass(value):
        raise TypeError(f"no part of an answer: {value!r}")
    return {each.name: getattr(value, each.name) for each in fields(value)}


def _object(line: bytes) -> dict[str, object]:
    try:
        message = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ServiceError("not a line of JSON") from error
    if not isinstance(message, dict):
        raise ServiceError("not a JSON object")
    return message
