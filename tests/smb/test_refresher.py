import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

from aod.events import Events, Kind
from aod.smb.names import Names
from aod.smb.refresher import NameRefresher
from tests.events import make


class FakeNames:
    """Notes what it was asked to look up."""

    def __init__(self) -> None:
        self.asked: asyncio.Queue[Events] = asyncio.Queue()
        self.refreshed = False
        self._loop = asyncio.get_running_loop()

    def refresh(self) -> None:
        self.refreshed = True

    def look_up(self, events: Events) -> None:
        self._loop.call_soon_threadsafe(self.asked.put_nowait, events)


@asynccontextmanager
async def running(names: FakeNames, pause_s: float) -> AsyncIterator[NameRefresher]:
    refresher = NameRefresher(cast(Names, names), pause_s)
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        task = group.create_task(refresher.run())
        yield refresher
        task.cancel()


async def test_a_batch_is_looked_up_off_the_loop() -> None:
    names = FakeNames()

    async with running(names, 60) as refresher:
        refresher.feed(make(1, 2))
        asked = await names.asked.get()

    assert asked["time_ns"].tolist() == [1, 2]
    assert names.refreshed


async def test_of_batches_within_a_pause_the_newest_and_a_tree_connect_are_looked_up() -> None:
    names = FakeNames()
    connect = make(2)
    connect["kind"] = Kind.TREE_CONNECT

    async with running(names, 0.05) as refresher:
        refresher.feed(make(1))
        await names.asked.get()
        for batch in (connect, make(3), make(4)):
            refresher.feed(batch)
        asked = await names.asked.get()

    assert asked["time_ns"].tolist() == [2, 4]
    assert names.asked.empty()
