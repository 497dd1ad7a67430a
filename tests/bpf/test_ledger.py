"""The ledger's rows in the kernel, one for each CPU."""

import os
from collections.abc import Iterator

import pytest

from aod.errors import TracerError
from aod.events import Count
from tests.bpf.fake import Fake, Request


@pytest.fixture
def cpus() -> Iterator[set[int]]:
    """The CPUs that this thread may run on, and may again afterwards."""
    allowed = os.sched_getaffinity(0)
    yield allowed
    os.sched_setaffinity(0, allowed)


def test_what_each_cpu_counts_is_added_up(fake: Fake, cpus: set[int]) -> None:
    for cpu in cpus:
        os.sched_setaffinity(0, {cpu})
        fake.send(Request(cpu))

    assert fake.tracer.counts()[Count.REQUESTS] == len(cpus)


def test_each_kind_of_count_has_a_place_of_its_own(fake: Fake) -> None:
    fake.send(Request(1))
    fake.receive(1)
    fake.receive(2**64 - 1)

    counted = {count: number for count, number in fake.tracer.counts().items() if number}
    assert counted == {
        Count.REQUESTS: 1,
        Count.COMPLETED: 1,
        Count.PDUS: 2,
        Count.BREAKS: 1,
        Count.EVENTS: 1,
    }


def test_a_closed_tracer_counts_no_more(fake: Fake) -> None:
    fake.tracer.close()

    with pytest.raises(TracerError, match="the tracer is closed"):
        fake.tracer.counts()
