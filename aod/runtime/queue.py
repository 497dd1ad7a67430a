"""A bounded queue between two stages that drops the oldest and counts it."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Queue(Generic[T]):
    """Carries items from a sender that never waits to one receiver.

    When `capacity` items wait, the oldest is dropped and counted in `dropped`. `close` lets
    the receiver finish what is there and ends its iteration. `on_drop` is called with each
    item that the receiver will not see.
    """

    def __init__(self, capacity: int, on_drop: Callable[[T], None] = lambda item: None) -> None:
        self._items: deque[T] = deque()
        self._capacity = capacity
        self._changed = asyncio.Event()
        self._closed = False
        self._on_drop = on_drop
        self.dropped = 0

    def send(self, item: T) -> None:
        """Hand an item over; what is sent after `close` is dropped and counted."""
        if self._closed:
            self._drop(item)
            return
        if len(self._items) == self._capacity:
            self._drop(self._items.popleft())
        self._items.append(item)
        self._changed.set()

    def close(self) -> None:
        """Say that nothing more will come."""
        self._closed = True
        self._changed.set()

    def clear(self) -> None:
        """Drop what waits, and count it."""
        while self._items:
            self._drop(self._items.popleft())

    def _drop(self, item: T) -> None:
        self.dropped += 1
        self._on_drop(item)

    @property
    def waiting(self) -> int:
        """How many items wait."""
        return len(self._items)

    async def __aiter__(self) -> AsyncIterator[T]:
        while True:
            while self._items:
                yield self._items.popleft()
            if self._closed:
                return
            self._changed.clear()
            await self._changed.wait()
