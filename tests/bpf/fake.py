"""A made-up SMB connection in front of the real probes."""

from dataclasses import dataclass

import numpy as np

from aod.events import COMMANDS, ERRNOS, Events, Kind
from aod.smb import Command
from aod.smb.filter import Filter
from aod.tracer.program import Tracer

RELATED = 4
ASYNC = 2
ASYNC_ID = 0xA51C
LIFECYCLE = (
    "session_id",
    "connection_id",
    "message_id",
    "tree_id",
    "command",
    "status",
    "xid",
    "error",
)
"""The fields of struct fake_lifecycle."""


EVERYTHING = Filter(
    thresholds_ns=np.zeros((2, COMMANDS), np.uint64),
    kinds=frozenset(Kind),
    errors=np.ones(ERRNOS, np.bool),
)


@dataclass(frozen=True, slots=True)
class Request:
    """What is in the header of one request."""

    message_id: int
    command: int = Command.SMB2_CREATE
    flags: int = 0
    tree_id: int = 5
    session_id: int = 77
    file_id: int = 0
    payload_bytes: int = 0


class Fake:
    """Calls the probes' code as cifs.ko would."""

    def __init__(self, tracer: Tracer) -> None:
        self.tracer = tracer
        tracer.expect_payloads(True)
        tracer.set_filter(EVERYTHING)

    def send(
        self, *requests: Request, connection_id: int = 1, flags: int = 0, task_flags: int = 0
    ) -> None:
        """Send one compound, by a thread with some of the PF_ flags."""
        fields = [connection_id, len(requests), flags, task_flags]
        for request in requests:
            fields += [request.command, request.flags, request.message_id, request.tree_id]
            fields += [request.session_id, request.file_id, request.payload_bytes]
        fields += [0] * (4 + 4 * 7 - len(fields))
        self.tracer.run("fake_send", np.array(fields, np.uint64).tobytes())

    def receive(
        self,
        message_id: int,
        status: int = 0,
        connection_id: int = 1,
        flags: int = 0,
        credits_granted: int = 1,
        tree_id: int = 5,
        session_id: int = 77,
    ) -> None:
        """Receive one response, or one part of a compound; async, it has no tree id."""
        fields = [connection_id, status, message_id, flags, credits_granted]
        fields += [ASYNC_ID if flags & ASYNC else tree_id, session_id]
        self.tracer.run("fake_receive", np.array(fields, np.uint64).tobytes())

    def end(self, message_id: int, mid_state: int = 4, connection_id: int = 1) -> None:
        """Call the request's callback; 4 is a response received, 8 a request to be retried."""
        fields = [connection_id, message_id, mid_state]
        self.tracer.run("fake_end", np.array(fields, np.uint64).tobytes())

    def enter(self, name: str) -> None:
        """Enter `sync`, `async` or `wait_credits` as this thread."""
        prefix = "fake_" if name == "wait_credits" else "fake_enter_"
        self.tracer.run(prefix + name, bytes(8))

    def tell(self, what: str, **fields: int) -> None:
        """Call the tracepoint or probe `what` (fake_cifs.bpf.c) with some of LIFECYCLE."""
        values = np.zeros(len(LIFECYCLE), np.int64)
        for name, value in fields.items():
            values[LIFECYCLE.index(name)] = value
        self.tracer.run(f"fake_{what}", values.tobytes())

    def events(self) -> Events:
        """Return what came through the ring."""
        return self.tracer.ring.read()

    def open_message_ids(self) -> list[int]:
        """Return what the map of requests in flight holds."""
        return sorted(self.tracer.open_requests()[0]["message_id"].tolist())
