"""Log lines with fields for journald by its own protocol, as text everywhere else.

The protocol is a datagram (systemd.io/JOURNAL_NATIVE_PROTOCOL). Of the wheels, systemd-python
has to be compiled, and cysystemd brings 6 MB of libraries and a call that may wait for journald.
"""

import copy
import logging
import os
import socket
import struct
from collections.abc import Mapping, Sequence
from typing import Any, TextIO, TypeAlias

from aod.text import printable

SOCKET = "/run/systemd/journal/socket"
INCIDENT = "27c5998adb2c4c259615b2834becbaf8"
"""MESSAGE_ID of an incident that was opened."""
BUNDLE = "d6a827a12b3a4495a14a4fc93c20f7a8"
"""MESSAGE_ID of how a bundle ended."""

MAX_VALUE_BYTES = 4 << 10
MAX_VALUES = 32
"""Values kept of one field: an entry then fits a socket's buffer (208 KiB) without a memfd."""

Value: TypeAlias = str | int | Sequence[str]
Fields: TypeAlias = Mapping[str, Value]
"""Names in capitals; several values make the field stand there several times, "" none."""

_PRIORITIES = {"DEBUG": 7, "INFO": 6, "WARNING": 4, "ERROR": 3, "CRITICAL": 2}


def entry(message_id: str, fields: Fields) -> dict[str, Any]:
    """Return the `extra` of a log call whose line goes to the journal with these fields."""
    return {"journal_fields": {"MESSAGE_ID": message_id, **fields}}


def is_connected(stream: TextIO, variable: str | None) -> bool:
    """Return whether what is written to `stream` goes to the journal.

    `variable` is JOURNAL_STREAM, `DEVICE:INODE` of systemd.exec(5): a service that redirects its
    stderr still has it.
    """
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return variable == f"{status.st_dev}:{status.st_ino}"


def log_to(stream: TextIO, level: str, variable: str | None) -> None:
    """Send the log from `level` on to `stream`, and lines with fields to its journal."""
    to_journal = is_connected(stream, variable)
    target: logging.Handler = Journal(stream) if to_journal else logging.StreamHandler(stream)
    target.setFormatter(_Prefixed() if to_journal else _OneLine(f"%(asctime)s {_FORMAT}"))
    logging.basicConfig(level=level, handlers=[target])


def encode(fields: Fields) -> bytes:
    """Return the datagram: a value with a newline goes by its length, so that it adds no field."""
    return b"".join(
        _field(name, value) for name, values in fields.items() for value in _values(values)
    )


class Journal(logging.StreamHandler[TextIO]):
    """Writes text to a stream that leads to the journal, and sends lines with fields there.

    A line that journald does not take at once is written as text and counted in `refused`.
    """

    def __init__(self, stream: TextIO, address: str = SOCKET) -> None:
        super().__init__(stream)
        self.refused = 0
        self._address = address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._socket.setblocking(False)

    def emit(self, record: logging.LogRecord) -> None:
        """Hand a line over, once: with its fields, or as text."""
        fields = getattr(record, "journal_fields", None)
        refusal = self._send(record, fields) if fields else ""
        if fields is None or refusal:
            super().emit(_with(record, refusal))

    def close(self) -> None:
        """Close the socket; the stream stays open."""
        self._socket.close()
        super().close()

    def _send(self, record: logging.LogRecord, fields: Fields) -> str:
        """Send a line with its fields; return why it was not taken, "" when it was."""
        message = printable(record.getMessage())
        if record.exc_info:
            message += "\n" + logging.Formatter().formatException(record.exc_info)
        general: Fields = {
            "MESSAGE": message,
            "PRIORITY": _PRIORITIES[record.levelname],
            "SYSLOG_IDENTIFIER": "aod",
        }
        try:
            self._socket.sendto(encode({**general, **fields}), self._address)
        except OSError as error:  # EAGAIN, EMSGSIZE, or no journald that listens
            self.refused += 1
            return f"journald did not take its fields: {error.strerror}, refused={self.refused}"
        return ""


def _with(record: logging.LogRecord, addition: str) -> logging.LogRecord:
    """Return the record with an addition in brackets; another one, as others may hold it."""
    if not addition:
        return record
    longer = copy.copy(record)
    longer.msg, longer.args = "%s (%s)", (record.getMessage(), addition)
    return longer


_FORMAT = "%(levelname)s %(name)s: %(message)s"


class _OneLine(logging.Formatter):
    """Keeps a message in one line, whatever names stand in it; a traceback has lines of its own."""

    def __init__(self, form: str = _FORMAT) -> None:
        super().__init__(form)

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        return printable(super().formatMessage(record))


class _Prefixed(_OneLine):
    """Gives each line its priority in the way of sd-daemon(3)."""

    def format(self, record: logging.LogRecord) -> str:
        prefix = f"<{_PRIORITIES[record.levelname]}>"
        return "\n".join(prefix + line for line in super().format(record).splitlines())


def _values(values: Value) -> list[str]:
    several = [values] if isinstance(values, str) else values
    texts = [str(several)] if isinstance(several, int) else [*several][:MAX_VALUES]
    return [text for text in texts if text]


def _field(name: str, value: str) -> bytes:
    data = value.encode(errors="backslashreplace")[:MAX_VALUE_BYTES]
    if b"\n" not in data:
        return b"%s=%s\n" % (name.encode(), data)
    return b"%s\n%s%s\n" % (name.encode(), struct.pack("<Q", len(data)), data)
