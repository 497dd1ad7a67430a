"""The ring, filled by a program of our own."""

import asyncio
import threading

import numpy as np
import pytest

from aod.events import Count, Events
from aod.tracer.program import Tracer
from aod.tracer.ring import BATCH
from tests.events import make

RING_BYTES = 4 << 20
RECORD_BYTES = 8 + 144


def generate(tracer: Tracer, count: int) -> None:
    template = make(1, latency_ns=7, status=0xC0000022)
    tracer.run("generate", count.to_bytes(8, "little") + template.tobytes())


def read_all(tracer: Tracer) -> list[Events]:
    batches = []
    while (batch := tracer.ring.read()).size:
        batches.append(batch)
    return batches


def test_what_goes_in_comes_out_in_order(tracer: Tracer) -> None:
    generate(tracer, 5000)

    events = np.concatenate(read_all(tracer))

    assert events["message_id"].tolist() == list(range(5000))
    assert set(events["latency_ns"].tolist()) == {7}


def test_a_batch_is_bounded_and_the_rest_stays(tracer: Tracer) -> None:
    generate(tracer, 2 * BATCH + 1)

    sizes = [batch.size for batch in read_all(tracer)]

    assert sizes == [BATCH, BATCH, 1]


def test_a_batch_is_not_changed_by_the_next(tracer: Tracer) -> None:
    generate(tracer, BATCH + 1)

    first = tracer.ring.read()
    tracer.ring.read()

    assert first["message_id"].tolist() == list(range(BATCH))


def test_a_full_ring_counts_every_loss(tracer: Tracer) -> None:
    generate(tracer, 50_000)

    read = sum(batch.size for batch in read_all(tracer))

    ledger = tracer.counts()
    assert ledger[Count.EVENTS] == 50_000
    assert read + ledger[Count.LOST] == 50_000
    assert read == RING_BYTES // RECORD_BYTES


async def test_the_loop_is_woken_by_an_event(tracer: Tracer) -> None:
    seen = asyncio.Event()
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        watch = tasks.create_task(tracer.ring.watch(lambda _: seen.set()), name="watch")
        await asyncio.to_thread(generate, tracer, 1)
        await seen.wait()
        watch.cancel()


async def test_nothing_is_missed_across_hold_offs(tracer: Tracer) -> None:
    total = 200_000
    seen: list[int] = []
    done = asyncio.Event()

    def keep(events: Events) -> None:
        seen.append(events.size)
        if sum(seen) + tracer.counts()[Count.LOST] >= total:
            done.set()

    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        watch = tasks.create_task(tracer.ring.watch(keep), name="watch")
        for _ in range(total // 10_000):
            await asyncio.to_thread(generate, tracer, 10_000)
        await done.wait()
        watch.cancel()

    assert sum(seen) + tracer.counts()[Count.LOST] == total


async def test_a_failing_receiver_ends_the_watch(tracer: Tracer) -> None:
    def fail(events: Events) -> None:
        raise RuntimeError("receiver")

    generate(tracer, 1)
    with pytest.raises(RuntimeError, match="receiver"):
        async with asyncio.timeout(5):
            await tracer.ring.watch(fail)


def test_the_generator_runs_while_the_ring_is_read(tracer: Tracer) -> None:
    thread = threading.Thread(target=generate, args=(tracer, 1_000_000))
    thread.start()
    read = 0
    while thread.is_alive():
        read += tracer.ring.read().size
    thread.join()

    read += sum(batch.size for batch in read_all(tracer))

    assert read + tracer.counts()[Count.LOST] == 1_000_000
