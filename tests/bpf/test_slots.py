"""Open requests that want the same slot."""

import pytest

from aod.events import SLOTS, Count
from aod.smb import Command
from tests.bpf.fake import Fake, Request


def test_requests_that_share_a_slot_are_known_apart(fake: Fake) -> None:
    fake.send(Request(5, Command.SMB2_READ))
    fake.send(Request(5 + SLOTS, Command.SMB2_WRITE))

    assert fake.open_message_ids() == [5, 5 + SLOTS]
    fake.receive(5 + SLOTS)
    fake.receive(5)

    assert fake.events()["command"].tolist() == [Command.SMB2_WRITE, Command.SMB2_READ]
    assert fake.open_message_ids() == []


def test_a_slot_that_was_wanted_in_vain_is_free_again_afterwards(fake: Fake) -> None:
    for message_id in (5, 5 + SLOTS):
        fake.send(Request(message_id))
    for message_id in (5, 5 + SLOTS):
        fake.receive(message_id)

    fake.send(Request(5 + 2 * SLOTS))

    assert fake.tracer.counts()[Count.CROWDED] == 1


@pytest.mark.parametrize("message_id", [5, 5 + SLOTS])
def test_a_request_can_be_forgotten_wherever_it_is_kept(fake: Fake, message_id: int) -> None:
    fake.send(Request(5))
    fake.send(Request(5 + SLOTS))

    assert fake.tracer.forget(1, message_id)

    assert not fake.tracer.forget(1, message_id)
    assert fake.open_message_ids() == [5 + SLOTS if message_id == 5 else 5]
    fake.send(Request(message_id))
    assert fake.open_message_ids() == [5, 5 + SLOTS]
