"""Waiting for cifs: on a real netlink socket, and with uevents of the test's making."""

import asyncio
import errno
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from aod.tracer import module
from aod.tracer.module import is_loaded, wait_until_loaded

LONG_S = 60.0


@pytest.fixture
def uevents(monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """The end from which the kernel would send."""
    kernel, ours = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    ours.setblocking(False)
    monkeypatch.setattr(module, "_uevents", lambda: ours)
    with kernel, ours:
        yield kernel


async def waits(present: Path, interval_s: float = LONG_S) -> None:
    async with asyncio.timeout(10):
        await wait_until_loaded(interval_s, present)


async def test_what_is_there_is_not_waited_for(tmp_path: Path) -> None:
    await waits(tmp_path)

    assert await asyncio.to_thread(is_loaded, tmp_path)


async def test_the_uevent_of_cifs_ends_the_wait(tmp_path: Path, uevents: socket.socket) -> None:
    present = tmp_path / "cifs"

    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(waits(present))
        uevents.send(b"add@/module/cifs\0ACTION=add\0")
        present.touch()

    assert waiting.done()


async def test_without_an_uevent_it_is_seen_within_the_interval(tmp_path: Path) -> None:
    present = tmp_path / "cifs"

    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(waits(present, 0.01))
        await asyncio.to_thread(present.touch)

    assert waiting.done()


@pytest.mark.parametrize("other", [b"add@/module/nfs\0", b"remove@/module/cifs\0"])
async def test_another_uevent_does_not_end_it(
    tmp_path: Path, uevents: socket.socket, other: bytes
) -> None:
    uevents.send(other)

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await wait_until_loaded(LONG_S, tmp_path / "cifs")


async def test_uevents_that_the_kernel_dropped_are_a_reason_to_look(
    tmp_path: Path, uevents: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    present = tmp_path / "cifs"

    async def overrun(*_: object) -> bytes:
        await asyncio.to_thread(present.touch)
        raise OSError(errno.ENOBUFS, "No buffer space available")

    monkeypatch.setattr(asyncio.get_running_loop(), "sock_recv", overrun)
    await waits(present)

    assert await asyncio.to_thread(is_loaded, present)
