"""The ring `events` as arrays, on the event loop."""

import asyncio
from collections.abc import Callable
from typing import Any, Self

import numpy as np

from aod.errors import TracerError
from aod.events import EVENT, Events
from aod.smb.filter import fill_errors
from aod.tracer._libbpf import ffi, lib

BATCH = 2048
"""Events read at most at a time: a reader that empties a busy ring may never return."""

BUSY = 64
HOLD_OFF_S = 0.002
"""After a wake-up that brought BUSY events the reader rests so long: at 1 M events/s this
costs 3.5 % of a core in place of 86 %."""


class Ring:
    """Reads the ring whose map is `map_fd`; a context manager."""

    def __init__(self, map_fd: int) -> None:
        self._records = np.zeros(BATCH, EVENT)
        self._batch = ffi.new("struct aod_batch *")
        self._batch.records = ffi.cast("struct aod_event *", ffi.from_buffer(self._records))
        self._batch.capacity = BATCH
        self._ring: Any = lib.aod_ring_open(map_fd, self._batch)
        if not self._ring:
            raise TracerError("cannot map the ring of events", ffi.errno)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        lib.ring_buffer__free(self._ring)

    def read(self) -> Events:
        """Return what is there, at most BATCH events, in an array of its own; never waits.

        `error` is filled in from the status. Raises TracerError.
        """
        result = lib.aod_ring_read(self._ring, self._batch)
        if result < 0:
            raise TracerError("cannot read the ring of events", -result)
        if self._batch.malformed:
            raise TracerError("the ring holds records of another size: aod was not built whole")
        events = self._records[: self._batch.length].copy()
        fill_errors(events)
        return events

    async def watch(self, on_events: Callable[[Events], None]) -> None:
        """Call `on_events` with each batch as it arrives, until cancelled.

        An exception of the read or of `on_events` ends the watch and is raised here.
        """
        loop = asyncio.get_running_loop()
        failed: asyncio.Future[None] = loop.create_future()
        fd = lib.ring_buffer__epoll_fd(self._ring)
        timer: asyncio.TimerHandle | None = None

        def ready() -> None:
            nonlocal timer
            try:
                events = self.read()
                if events.size:
                    on_events(events)
            except Exception as error:
                loop.remove_reader(fd)
                failed.set_exception(error)
                return
            if events.size >= BUSY:
                loop.remove_reader(fd)
                timer = loop.call_later(HOLD_OFF_S, loop.add_reader, fd, ready)

        loop.add_reader(fd, ready)
        try:
            await failed
        finally:
            loop.remove_reader(fd)
            if timer:
                timer.cancel()
