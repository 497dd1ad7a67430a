"""The kernel's filter while it is replaced: what both want is sent at every step of it."""

from collections.abc import Callable
from itertools import count

import numpy as np
import pytest

from aod import smb
from aod.events import COMMANDS, Kind
from aod.smb import Command
from aod.smb.filter import ALL_COMMANDS, NEVER, NO_COMMANDS, Filter, StatusVerdict, status_verdict
from aod.tracer.maps import Map
from tests.bpf.fake import Fake, Request

ACCESS_DENIED = smb.status_codes()["STATUS_ACCESS_DENIED"]
NOT_FOUND = smb.status_codes()["STATUS_OBJECT_NAME_NOT_FOUND"]
DISK_FULL = smb.status_codes()["STATUS_DISK_FULL"]

ALL_BUT_QUIET = status_verdict(True, {NOT_FOUND: NO_COMMANDS})
ONLY_DENIED = status_verdict(False, {ACCESS_DENIED: ALL_COMMANDS})
ALL_BUT_FULL = status_verdict(True, {DISK_FULL: NO_COMMANDS, NOT_FOUND: ALL_COMMANDS})


def never() -> np.ndarray[tuple[int, ...], np.dtype[np.uint64]]:
    return np.full((2, COMMANDS), NEVER, np.uint64)


def fail_at_each_step(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """Have an operation refused after each write to a map; returns how many there were."""
    message_ids = count(1)
    write, refused = Map.write, 0

    def watched(self: Map, key: object, value: object) -> None:
        nonlocal refused
        write(self, key, value)
        message_id = next(message_ids)
        fake.send(Request(message_id, Command.SMB2_CREATE))
        fake.receive(message_id, ACCESS_DENIED)
        refused += 1

    monkeypatch.setattr(Map, "write", watched)
    return lambda: refused


@pytest.mark.parametrize("before", [ALL_BUT_QUIET, ONLY_DENIED, ALL_BUT_FULL])
@pytest.mark.parametrize("after", [ALL_BUT_QUIET, ONLY_DENIED, ALL_BUT_FULL])
def test_what_both_filters_want_is_never_missed(
    fake: Fake, monkeypatch: pytest.MonkeyPatch, before: StatusVerdict, after: StatusVerdict
) -> None:
    fake.tracer.set_filter(Filter(never(), before))
    refused = fail_at_each_step(fake, monkeypatch)

    fake.tracer.set_filter(Filter(never(), after, kinds=frozenset({Kind.RECONNECT})))

    events = fake.events()
    assert refused() > 2 * COMMANDS
    assert int((events["status"] == ACCESS_DENIED).sum()) == refused()


@pytest.mark.parametrize("after", [ALL_BUT_QUIET, ONLY_DENIED])
def test_after_it_only_the_new_filter_holds(fake: Fake, after: StatusVerdict) -> None:
    fake.tracer.set_filter(Filter(never(), ALL_BUT_FULL))
    fake.tracer.set_filter(Filter(never(), after))

    for message_id, status in enumerate([0, ACCESS_DENIED, NOT_FOUND, DISK_FULL], 1):
        fake.send(Request(message_id, Command.SMB2_CREATE))
        fake.receive(message_id, status)

    expected = [ACCESS_DENIED] if after is ONLY_DENIED else [ACCESS_DENIED, DISK_FULL]
    assert fake.events()["status"].tolist() == expected
