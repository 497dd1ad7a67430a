"""The metrics over HTTP; just enough of it for a scrape, with a bound on everything.

The servers of the standard library and of prometheus-client start a thread for each connection.
"""

import asyncio
import logging
from collections.abc import Callable

from aod.errors import AodError, HostError

log = logging.getLogger(__name__)

MAX_CONVERSATIONS = 8
MAX_HEAD_BYTES = 8192
DEADLINE_S = 10.0
"""For a whole conversation: Prometheus itself gives up after 10 s unless configured otherwise."""
BACKLOG = 16
TEXT = "text/plain; charset=utf-8"
PHRASES = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    500: "Internal Server Error",
    503: "Service Unavailable",
}


class Endpoint:
    """Serves `GET /metrics`; `render` blocks and returns text and type for an Accept header."""

    def __init__(self, host: str, port: int, render: Callable[[str], tuple[bytes, str]]) -> None:
        self._host = host
        self._port = port
        self._render = render
        self._conversations: set[asyncio.Task[None]] = set()
        self.port = 0
        """The port that it listens on, 0 before it does."""

    async def run(self) -> None:
        """Serve until cancelled; raises HostError when the address cannot be had."""
        try:
            server = await asyncio.start_server(
                self._converse, self._host, self._port, limit=MAX_HEAD_BYTES, backlog=BACKLOG
            )
        except OSError as error:
            raise HostError(
                f"cannot serve metrics on {self._host} port {self._port}: {error.strerror} "
                "(stop what listens there, or change metrics.listen)"
            ) from error
        self.port = server.sockets[0].getsockname()[1]
        log.info("metrics served address=%s port=%d", self._host, self.port)
        try:
            await asyncio.Event().wait()
        finally:
            server.close()
            for task in self._conversations:
                task.cancel()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        if len(self._conversations) >= MAX_CONVERSATIONS:
            log.warning("metrics: refused a connection, %d are open", MAX_CONVERSATIONS)
            writer.transport.abort()
            return
        self._conversations.add(task)
        try:
            async with asyncio.timeout(DEADLINE_S):
                writer.write(await self.answer(reader))
                await writer.drain()
                writer.close()
                await writer.wait_closed()
        except (OSError, asyncio.IncompleteReadError) as error:  # TimeoutError is one
            log.debug("metrics: a conversation ended early: %r", error)
        finally:
            self._conversations.discard(task)
            writer.transport.abort()

    async def answer(self, reader: asyncio.StreamReader) -> bytes:
        """Read one request and return the answer; IncompleteReadError when it has no end."""
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.LimitOverrunError:
            return _answer(400, f"more than {MAX_HEAD_BYTES} bytes of headers\n")
        request, *lines = head.decode("latin-1").split("\r\n")
        words = request.split(" ")
        if len(words) != 3 or not words[2].startswith("HTTP/1."):
            return _answer(400, "this is no request of HTTP/1\n")
        method, target, _ = words
        if target.partition("?")[0] != "/metrics":
            return _answer(404, "the metrics are at /metrics\n")
        if method not in ("GET", "HEAD"):
            return _answer(405, "metrics can only be read\n", "Allow: GET, HEAD")
        answer = await self._metrics(_header("accept", lines))
        return answer if method == "GET" else answer.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"

    async def _metrics(self, accept: str) -> bytes:
        try:
            body, content_type = await asyncio.to_thread(self._render, accept)
        except AodError as error:
            return _answer(503, f"{error}\n")
        except Exception:  # the boundary: one reading that fails is no end of the service
            log.exception("the metrics cannot be read")
            return _answer(500, "the metrics cannot be read, see the log of aod\n")
        return _answer(200, body, content_type=content_type)


def _header(name: str, lines: list[str]) -> str:
    """Return the values of a header, joined by commas."""
    fields = (line.partition(":") for line in lines)
    return ",".join(value.strip() for key, _, value in fields if key.lower() == name)


def _answer(status: int, body: str | bytes, *headers: str, content_type: str = TEXT) -> bytes:
    data = body.encode() if isinstance(body, str) else body
    lines = (
        f"HTTP/1.1 {status} {PHRASES[status]}",
        f"Content-Type: {content_type}",
        f"Content-Length: {len(data)}",
        "Connection: close",
        *headers,
    )
    return "\r\n".join((*lines, "", "")).encode("latin-1") + data
