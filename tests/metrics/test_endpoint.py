import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from aod.errors import HostError
from aod.metrics import endpoint as endpoint_module
from aod.metrics.collector import Exposition
from aod.metrics.endpoint import MAX_CONVERSATIONS, Endpoint
from tests.conftest import Logged

Render = Callable[[str], tuple[bytes, str]]
GET = b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n"


def plain(accept: str) -> tuple[bytes, str]:
    return f"accept={accept}\n".encode(), "text/plain"


@asynccontextmanager
async def serving(
    logged: Logged, render: Render = plain, host: str = "127.0.0.1"
) -> AsyncIterator[Endpoint]:
    """An endpoint on a free port."""
    endpoint = Endpoint(host, 0, render)
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        task = group.create_task(endpoint.run())
        await logged.until("metrics served")
        yield endpoint
        task.cancel()


async def ask(endpoint: Endpoint, request: bytes, host: str = "127.0.0.1") -> str:
    """Return all that comes until the other side closes."""
    reader, writer = await asyncio.open_connection(host, endpoint.port)
    writer.write(request)
    answer = await reader.read()
    writer.close()
    return answer.decode()


async def test_the_metrics_are_served(
    logged: Logged, make_exposition: Callable[..., Exposition]
) -> None:
    async with serving(logged, make_exposition().render) as endpoint:
        answer = await ask(endpoint, GET)

    head, _, body = answer.partition("\r\n\r\n")
    assert head.startswith("HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4")
    assert f"Content-Length: {len(body.encode())}" in head
    assert "aod_smb_open_requests{" in body


async def test_the_accept_headers_are_handed_on(logged: Logged) -> None:
    request = b"GET /metrics?x=1 HTTP/1.0\r\nACCEPT: a/b;q=1\r\nx: y\r\naccept:c/d\r\n\r\n"

    async with serving(logged) as endpoint:
        answer = await ask(endpoint, request)

    assert answer.endswith("\r\n\r\naccept=a/b;q=1,c/d\n")


async def test_head_gets_no_body(logged: Logged) -> None:
    async with serving(logged) as endpoint:
        answer = await ask(endpoint, b"HEAD /metrics HTTP/1.1\r\n\r\n")

    assert answer.endswith("Content-Length: 8\r\nConnection: close\r\n\r\n")


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        (b"GET / HTTP/1.1", 404),
        (b"GET /metrics/../../etc/passwd HTTP/1.1", 404),
        (b"POST /metrics HTTP/1.1", 405),
        (b"GET /metrics", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00", 400),
        (b"GET /metrics HTTP/2", 400),
        (b"GET /metrics HTTP/1.1\r\nX: " + b"x" * 9000, 400),
    ],
)
async def test_what_is_not_asked_for_right_is_refused(
    logged: Logged, request_line: bytes, status: int
) -> None:
    async with serving(logged) as endpoint:
        answer = await ask(endpoint, request_line + b"\r\n\r\n")

    assert answer.startswith(f"HTTP/1.1 {status} ")


@pytest.mark.parametrize(
    ("error", "status"),
    [(HostError("closed"), 503), (KeyError("x"), 500)],
)
async def test_a_reading_that_fails_costs_this_answer_only(
    logged: Logged, error: Exception, status: int
) -> None:
    failures = [error]

    def render(accept: str) -> tuple[bytes, str]:
        if failures:
            raise failures.pop()
        return plain(accept)

    async with serving(logged, render) as endpoint:
        first, second = await ask(endpoint, GET), await ask(endpoint, GET)

    assert first.startswith(f"HTTP/1.1 {status} ")
    assert second.startswith("HTTP/1.1 200 ")


async def test_an_accept_header_without_sense_is_no_failure_of_ours(
    logged: Logged, make_exposition: Callable[..., Exposition]
) -> None:
    request = b"GET /metrics HTTP/1.1\r\nAccept: application/openmetrics-text;version=x.y\r\n\r\n"

    async with serving(logged, make_exposition().render) as endpoint:
        answer = await ask(endpoint, request)

    assert answer.startswith("HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4")


async def test_more_conversations_than_the_limit_are_closed_at_once(logged: Logged) -> None:
    async with serving(logged) as endpoint:
        idle = [
            await asyncio.open_connection("127.0.0.1", endpoint.port)
            for _ in range(MAX_CONVERSATIONS)
        ]
        await logged.until("metrics served")

        with pytest.raises(ConnectionError):
            await ask_until_refused(endpoint)

        assert logged.count("refused a connection") >= 1
        for _, writer in idle:
            writer.close()


async def ask_until_refused(endpoint: Endpoint) -> None:
    while True:
        if not await ask(endpoint, GET):
            raise ConnectionError("closed without an answer")


async def test_who_says_nothing_is_hung_up_on(
    logged: Logged, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoint_module, "DEADLINE_S", 0.05)

    async with serving(logged) as endpoint:
        await asyncio.gather(ask(endpoint, b"GET /metr"), return_exceptions=True)

    assert logged.count("a conversation ended early: TimeoutError") == 1


async def test_the_end_of_the_service_waits_for_no_client(logged: Logged) -> None:
    async with serving(logged) as endpoint:
        reader, writer = await asyncio.open_connection("127.0.0.1", endpoint.port)
        writer.write(b"GET /")

    (left,) = await asyncio.gather(reader.read(), return_exceptions=True)
    writer.close()
    assert left == b"" or isinstance(left, ConnectionError)


async def test_ipv6_is_served(logged: Logged) -> None:
    async with serving(logged, host="::1") as endpoint:
        assert (await ask(endpoint, GET, "::1")).startswith("HTTP/1.1 200 ")


async def test_a_port_in_use_is_an_error(logged: Logged) -> None:
    async with serving(logged) as endpoint:
        with pytest.raises(HostError, match="in use"):
            await Endpoint("127.0.0.1", endpoint.port, plain).run()


@pytest.fixture(autouse=True)
def all_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "aod")
