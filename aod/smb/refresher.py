"""Names are looked up beside the ring, while a file is still open and a process still runs."""

import asyncio

import numpy as np

from aod.events import Events, empty, join
from aod.smb.names import RENAMING, REST, Names

PAUSE_S = 1.0
"""Between two looks at the kernel's tables; longer where one look takes long."""


class NameRefresher:
    """Keeps names fresh by what passes in the ring: `feed` never waits, `run` does the work.

    Of batches that come while it rests only the newest is looked at, and any tree connect or
    reconnect before it.
    """

    def __init__(self, names: Names, pause_s: float = PAUSE_S) -> None:
        self._names = names
        self._pause_s = pause_s
        self._newest = empty()
        self._renaming = empty()
        self._seen = asyncio.Event()

    def feed(self, events: Events) -> None:
        """Take note of a batch."""
        self._newest = events
        renaming = events[np.isin(events["kind"], RENAMING)]
        self._renaming = renaming[-1:] if renaming.size else self._renaming
        self._seen.set()

    async def run(self) -> None:
        """Look names up until cancelled: what there is at the start, then at most once a pause."""
        loop = asyncio.get_running_loop()
        await asyncio.to_thread(self._names.refresh)
        while True:
            await self._seen.wait()
            self._seen.clear()
            events, self._renaming = join(self._renaming, self._newest), empty()
            started_s = loop.time()
            await asyncio.to_thread(self._names.look_up, events)
            await asyncio.sleep(max(self._pause_s, REST * (loop.time() - started_s)))
