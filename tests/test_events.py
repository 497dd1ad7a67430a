"""The dtype of events (its offsets are compared with the kernel's in tests/bpf)."""

import errno

import numpy as np

from aod.events import EVENT, Count, Flag, Kind, empty, server_ns
from aod.smb.filter import fill_errors
from tests.events import make


def test_an_event_takes_at_most_160_bytes() -> None:
    assert EVENT.itemsize <= 160
    assert EVENT["comm"] == np.dtype("S16")


def test_kinds_flags_and_counts_have_values_of_their_own() -> None:
    for members in (Kind, Count):
        assert sorted(members) == list(range(min(members), min(members) + len(members)))
    assert [flag.bit_count() for flag in Flag] == [1] * len(Flag)


def test_errors_are_filled_in_for_what_was_answered() -> None:
    events = make(1, 2, 3, error=7)
    events["status"] = [0xC0000022, 0, 0xC0000022]
    events["kind"][2] = Kind.ABORTED

    fill_errors(events)

    assert events["error"].tolist() == [-errno.EACCES, 7, 7]


def test_filling_in_nothing_is_harmless() -> None:
    events = empty()

    fill_errors(events)

    assert events.size == 0


def test_the_servers_time_is_what_is_left_of_the_latency() -> None:
    events = make(1, latency_ns=100, queue_ns=30, payload_ns=5)

    assert server_ns(events).tolist() == [65]
