"""The comings and goings of cifs, told on a socket and by a sysfs of the test's making."""

import asyncio
import errno
import socket
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path

import pytest

from aod.runtime.interval import Interval
from aod.smb import module
from aod.smb.module import Module, changes, current

LONG_S = 60.0
LOADED = Module(identity=7, users=2)


@pytest.fixture
def uevents(monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """The end from which the kernel would send."""
    kernel, ours = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    ours.setblocking(False)
    monkeypatch.setattr(module, "_uevents", lambda: ours)
    with kernel, ours:
        yield kernel


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[Module | None]:
    """What each further reading finds; the last one stays."""
    found: list[Module | None] = []
    monkeypatch.setattr(module, "current", lambda: found.pop(0) if len(found) > 1 else found[0])
    return found


async def told(count: int, interval_s: float = LONG_S) -> list[Module | None]:
    """Return the first so many changes."""
    told: list[Module | None] = []
    async with asyncio.timeout(10), aclosing(changes(Interval(interval_s))) as modules:
        async for found in modules:
            told.append(found)
            if len(told) == count:
                break
    return told


def sysfs(folder: Path, state: str, users: str) -> Path:
    folder.mkdir()
    (folder / "initstate").write_text(f"{state}\n")
    (folder / "refcnt").write_text(f"{users}\n")
    return folder


def test_a_loaded_module_tells_its_users(tmp_path: Path) -> None:
    found = current(tmp_path, sysfs(tmp_path / "cifs", "live", "3"))

    assert found == Module((tmp_path / "cifs").stat().st_ino, 3)


@pytest.mark.parametrize("state", ["coming", "going"])
def test_a_module_on_its_way_is_not_there(tmp_path: Path, state: str) -> None:
    assert current(tmp_path, sysfs(tmp_path / "cifs", state, "0")) is None


def test_a_module_whose_start_has_not_run_is_not_there(tmp_path: Path) -> None:
    assert current(tmp_path / "none", sysfs(tmp_path / "cifs", "live", "0")) is None


def test_a_built_in_cifs_has_no_users_to_count(tmp_path: Path) -> None:
    assert current(tmp_path, tmp_path / "none") == Module(0, None)
    assert current(tmp_path / "none", tmp_path / "none") is None


async def test_the_uevent_of_cifs_is_a_reason_to_look(
    seen: list[Module | None], uevents: socket.socket
) -> None:
    seen += [None, LOADED]
    uevents.send(b"add@/module/nfs\0ACTION=add\0")
    uevents.send(b"add@/module/cifs\0ACTION=add\0")

    assert await told(2) == [None, LOADED]


async def test_after_its_uevent_the_start_of_the_module_is_awaited(
    seen: list[Module | None], uevents: socket.socket
) -> None:
    seen += [None, None, None, LOADED]
    uevents.send(b"add@/module/cifs\0ACTION=add\0")

    assert await told(2) == [None, LOADED]


async def test_the_removal_is_told_at_once(
    seen: list[Module | None], uevents: socket.socket
) -> None:
    seen += [LOADED, None]
    uevents.send(b"remove@/module/cifs\0ACTION=remove\0")

    assert await told(2) == [LOADED, None]


async def test_another_uevent_is_no_reason(
    seen: list[Module | None], uevents: socket.socket
) -> None:
    seen.append(None)
    uevents.send(b"add@/module/nfs\0")

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await told(2)


async def test_without_an_uevent_it_looks_each_interval(seen: list[Module | None]) -> None:
    seen += [None, None, LOADED]

    assert await told(3, interval_s=0.01) == [None, None, LOADED]


async def test_uevents_that_the_kernel_dropped_are_a_reason_to_look(
    seen: list[Module | None], uevents: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen += [None, LOADED]

    async def overrun(*_: object) -> bytes:
        raise OSError(errno.ENOBUFS, "No buffer space available")

    monkeypatch.setattr(asyncio.get_running_loop(), "sock_recv", overrun)

    assert await told(2) == [None, LOADED]


async def test_the_interval_may_change_meanwhile(seen: list[Module | None]) -> None:
    seen += [None, None, None, LOADED]
    interval = Interval(0.01)

    async with asyncio.timeout(10), aclosing(changes(interval)) as modules:
        found = [await anext(modules), await anext(modules)]
        interval.seconds = LONG_S
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(modules), 0.1)

    assert found == [None, None]
