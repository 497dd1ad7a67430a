"""What the service is asked for from outside, by signals: to end, to reload, to collect."""

import asyncio
from dataclasses import dataclass, field


@dataclass(slots=True)
class Signals:
    """An event for each request; whoever serves `reload` or `collect` clears it."""

    stop: asyncio.Event = field(default_factory=asyncio.Event)
    reload: asyncio.Event = field(default_factory=asyncio.Event)
    collect: asyncio.Event = field(default_factory=asyncio.Event)
