"""Count requests with aod's own tracer inside the guest: a line of JSON at each SIGUSR1.

`sent` are rows [tree id, command, requests]: what has ended or is still open.
"""

import asyncio
import json
import signal
from collections import Counter
from dataclasses import asdict

import numpy as np
from numpy.typing import NDArray

from aod.events import COMMANDS, Events, Kind
from aod.smb.filter import Filter
from aod.tracer.ladder import climb
from aod.tracer.ledger import ledger_of
from aod.tracer.program import Tracer

ENDS = (Kind.COMPLETED, Kind.ABORTED)
EVERYTHING = Filter(thresholds_ns=np.zeros((2, COMMANDS), np.uint64))

Counts = Counter[tuple[int, int]]


async def main() -> None:
    """Count until SIGTERM."""
    loop, stop, ended = asyncio.get_running_loop(), asyncio.Event(), Counts()
    with climb(EVERYTHING) as tracer:
        loop.add_signal_handler(signal.SIGTERM, stop.set)
        loop.add_signal_handler(signal.SIGUSR1, tell, tracer, ended)
        watching = loop.create_task(
            tracer.ring.watch(lambda events: add(events, ended)), name="ring"
        )
        tell(tracer, ended)
        await stop.wait()
        watching.cancel()


def add(events: Events, ended: Counts) -> None:
    """Count the events that are a request's end."""
    ends = events[np.isin(events["kind"], ENDS)]
    ended.update(identities(ends))


def tell(tracer: Tracer, ended: Counts) -> None:
    """Print what was counted so far."""
    while (events := tracer.ring.read()).size:
        add(events, ended)
    keys, requests = tracer.open_requests()
    sent = ended + Counter(identities(requests))
    ledger = ledger_of(tracer.counts(), unanswered=0, still_open=keys.size)
    line = {
        "ledger": asdict(ledger),
        "sent": [[*identity, count] for identity, count in sent.items()],
    }
    print(json.dumps(line), flush=True)


def identities(records: NDArray[np.void]) -> list[tuple[int, int]]:
    """Return tree and command of each record."""
    return list(zip(records["tree_id"].tolist(), records["command"].tolist(), strict=True))


if __name__ == "__main__":
    asyncio.run(main())
