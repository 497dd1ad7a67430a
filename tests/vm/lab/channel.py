"""Speak with the agent inside the guest (inside/agent.py has the form of the messages)."""

import contextlib
import itertools
import json
import queue
import socket
import struct
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

from tests.vm.lab.errors import GuestError, LabError

_SEND_TIMEOUT_S = 60


@dataclass(frozen=True, slots=True)
class Answer:
    """Hold the agent's answer: its fields and its blobs."""

    fields: dict[str, Any]
    blobs: list[bytes]


class Channel:
    """Send requests and wait for their answers; any thread may, and several may wait at once."""

    def __init__(self, peer: socket.socket, failure: Callable[[str], GuestError]) -> None:
        # A hung guest stops reading: no send may wait for it for ever.
        peer.setsockopt(
            socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", _SEND_TIMEOUT_S, 0)
        )
        self._peer = peer
        self._failure = failure
        self._ids = itertools.count(1)
        self._lock = threading.Lock()
        self._waiting: dict[int, queue.SimpleQueue[Answer | None]] = {}
        self._closed = False
        self._reader = threading.Thread(target=self._read, name="lab-agent", daemon=True)
        self._reader.start()

    def call(
        self, op: str, *, timeout_s: float, blobs: Sequence[bytes] = (), **fields: Any
    ) -> Answer:
        """Run an op of the agent.

        Raises GuestError when the guest is gone or silent for `timeout_s`, LabError when the op
        failed.
        """
        inbox: queue.SimpleQueue[Answer | None] = queue.SimpleQueue()
        request_id = self._send(inbox, op, blobs, fields)
        try:
            answer = inbox.get(timeout=timeout_s)
        except queue.Empty:
            raise self._failure(f"no answer to {op} {fields} in {timeout_s:g} s") from None
        finally:
            self._waiting.pop(request_id, None)
        if answer is None:
            raise self._failure(f"the guest went away during {op} {fields}")
        if "error" in answer.fields:
            raise LabError(f"{op} {fields} failed in the guest: {answer.fields['error']}")
        return answer

    def close(self) -> None:
        """End the connection and its reader."""
        with self._lock:
            self._closed = True
        with contextlib.suppress(OSError):
            self._peer.shutdown(socket.SHUT_RDWR)
        self._reader.join(timeout=10)
        self._peer.close()

    def _send(
        self,
        inbox: "queue.SimpleQueue[Answer | None]",
        op: str,
        blobs: Sequence[bytes],
        fields: dict[str, Any],
    ) -> int:
        with self._lock:
            if self._closed:
                raise self._failure(f"the guest is gone, cannot {op} {fields}")
            request_id = next(self._ids)
            header = {**fields, "id": request_id, "op": op, "sizes": [len(b) for b in blobs]}
            self._waiting[request_id] = inbox
            try:
                self._peer.sendall(b"".join((json.dumps(header).encode(), b"\n", *blobs)))
            except OSError as error:
                raise self._failure(f"cannot send {op} {fields}: {error}") from error
            return request_id

    def _read(self) -> None:
        try:
            with self._peer.makefile("rb") as stream:
                while answer := _receive(stream):
                    inbox = self._waiting.get(answer.fields["id"])
                    if inbox is not None:
                        inbox.put(answer)
        except OSError:
            # A reset is the same as an end: QEMU is gone.
            pass
        with self._lock:
            self._closed = True
            for inbox in self._waiting.values():
                inbox.put(None)


def _receive(stream: BinaryIO) -> Answer | None:
    line = stream.readline()
    if not line.endswith(b"\n"):
        return None
    fields = json.loads(line)
    blobs = [stream.read(size) for size in fields["sizes"]]
    whole = [len(blob) for blob in blobs] == fields["sizes"]
    return Answer(fields, blobs) if whole else None
