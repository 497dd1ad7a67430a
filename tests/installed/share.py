"""What is done to the share in a guest, so that aod has something to see."""

from tests.vm.lab import SERVED, SHARE, Machine

_FILES = 30
_DELAY_MS = 150


def get_slow(guest: Machine) -> None:
    """Have some dozen operations take longer than the shipped config accepts."""
    # Made on the server's side: the client knows none of them.
    guest.run(f"cd {SERVED} && for i in $(seq {_FILES}); do echo $i > cold$i; done")
    guest.delay(_DELAY_MS)
    guest.run(f"for i in $(seq {_FILES}); do stat {SHARE}/cold$i > /dev/null; done", 180)
    guest.no_delay()
