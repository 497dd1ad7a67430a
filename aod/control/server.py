"""The service's side of the socket: who may ask, how much, and how long."""

import asyncio
import contextlib
import logging
import os
import socket
import struct
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from aod.control import protocol
from aod.control.listener import Listener
from aod.control.protocol import Answer, Options
from aod.errors import AodError, ServiceError

log = logging.getLogger(__name__)

MAX_CLIENTS = 8
REQUEST_S = 5.0
"""Within which a client must have sent its request."""
LAST_S = 1.0
"""For answers that are under way when the service ends: a bundle's name has just come."""
SLOW_S = 5.0
"""Within which a client must have taken a line of the answer."""
_UCRED = struct.Struct("=iII")

Respond: TypeAlias = Callable[[Options], Awaitable[Answer]]
"""Given the request's options; an AodError is sent to the client as the reason to refuse."""


@dataclass(frozen=True, slots=True)
class Route:
    """What answers a request, and how long it may take."""

    respond: Respond
    deadline_s: float = 10.0


class Control:
    """Answers what root, and this process's own user, ask over the socket in a directory.

    A client gets one answer. At most MAX_CLIENTS are served at a time, others are turned away;
    whatever a client sends, or does not, is its own trouble only.
    """

    def __init__(self, directory: Path, routes: Mapping[str, Route]) -> None:
        self._directory = directory
        self._routes = routes
        self._clients = 0
        self._answering: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Listen until cancelled; raises ServiceError when that is not possible."""
        loop = asyncio.get_running_loop()
        listener = await self._listen()
        log.debug("listening directory=%s", self._directory)
        try:
            async with asyncio.TaskGroup() as group:
                try:
                    while True:
                        connection, _ = await loop.sock_accept(listener.socket)
                        self._take(connection, group)
                except asyncio.CancelledError:
                    if self._answering:
                        await asyncio.wait(self._answering, timeout=LAST_S)
                    raise
        finally:
            await asyncio.to_thread(listener.close)

    async def _listen(self) -> Listener:
        """Open the listener; when that is cancelled, it is closed and not left to the thread."""
        opening = asyncio.get_running_loop().run_in_executor(None, Listener.open, self._directory)
        try:
            return await asyncio.shield(opening)
        except asyncio.CancelledError:
            with contextlib.suppress(ServiceError):
                await asyncio.to_thread((await opening).close)
            raise

    def _take(self, connection: socket.socket, group: asyncio.TaskGroup) -> None:
        if self._clients >= MAX_CLIENTS:
            _turn_away(connection)
            return
        self._clients += 1
        task = group.create_task(self._talk(connection, group), name="control client")
        task.add_done_callback(self._answering.discard)

    async def _talk(self, connection: socket.socket, group: asyncio.TaskGroup) -> None:
        try:
            uid = _user(connection)
            reader, writer = await asyncio.open_unix_connection(
                sock=connection, limit=protocol.MAX_REQUEST_BYTES
            )
            try:
                await self._answer(uid, reader, writer, group)
                writer.close()
                async with asyncio.timeout(SLOW_S):
                    await writer.wait_closed()
            finally:
                writer.transport.abort()
        except OSError as error:  # TimeoutError is one
            log.debug("a client was left or cut off: %r", error)
        finally:
            self._clients -= 1

    async def _answer(
        self,
        uid: int,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        group: asyncio.TaskGroup,
    ) -> None:
        try:
            line = await _request(reader)
            if not line:
                return
            _require_allowed(uid)
            name, options = protocol.read_request(line)
            route = self._route(name)
        except ServiceError as error:
            await _send(writer, protocol.refused(str(error)))
            return
        if talk := asyncio.current_task():
            self._answering.add(talk)
        work = group.create_task(_outcome(name, route, options), name=f"control {name}")
        try:
            while not (await asyncio.wait([work], timeout=protocol.WORKING_S))[0]:
                await _send(writer, protocol.working())
            await _send(writer, work.result())
        finally:
            work.cancel()

    def _route(self, name: str) -> Route:
        if name not in self._routes:
            raise ServiceError(f"no request {name[:40]!r} (there are {', '.join(self._routes)})")
        return self._routes[name]


async def _outcome(name: str, route: Route, options: Options) -> bytes:
    """Return the last line of the answer, whatever happens."""
    try:
        async with asyncio.timeout(route.deadline_s):
            answer = await route.respond(options)
            return await asyncio.to_thread(protocol.done, answer)
    except AodError as error:
        return protocol.refused(str(error))
    except TimeoutError:
        return protocol.refused(f"no answer within {route.deadline_s:g} s")
    except Exception as error:  # one request is the boundary
        log.exception("request failed name=%s", name)
        return protocol.refused(f"{type(error).__name__}: {error} (see the service's log)")


async def _request(reader: asyncio.StreamReader) -> bytes:
    """Return the request's line, empty when the client has left without one."""
    try:
        async with asyncio.timeout(REQUEST_S):
            line = await reader.readline()
    except ValueError as error:  # of StreamReader, over its limit
        raise ServiceError(f"a request has at most {protocol.MAX_REQUEST_BYTES} bytes") from error
    except TimeoutError as error:
        raise ServiceError(f"no request came within {REQUEST_S:g} s") from error
    if line and not line.endswith(b"\n"):
        raise ServiceError("a request ends with its line")
    return line


async def _send(writer: asyncio.StreamWriter, line: bytes) -> None:
    writer.write(line)
    async with asyncio.timeout(SLOW_S):
        await writer.drain()


def _user(connection: socket.socket) -> int:
    """Return who was at the other end when it was connected (SO_PEERCRED of unix(7))."""
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    _, uid, _ = _UCRED.unpack(credentials)
    return int(uid)


def _require_allowed(uid: int) -> None:
    if uid not in (0, os.geteuid()):
        log.warning("a client was turned away uid=%d", uid)
        raise ServiceError(f"user {uid} may not ask (run as root)")


def _turn_away(connection: socket.socket) -> None:
    """Say at once that too many ask; the line fits into the empty buffer of a new socket."""
    with connection, contextlib.suppress(OSError):
        connection.setblocking(False)
        connection.send(protocol.refused(f"{MAX_CLIENTS} others are asking (try again)"))
