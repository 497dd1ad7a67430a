"""What systemd is sent, received on a real socket."""

from dataclasses import dataclass

import pytest

from aod.runtime.interval import Interval
from aod.runtime.watchdog import Watchdog, limit_s
from tests.conftest import Logged, Notes

WANTED = {"WATCHDOG_USEC": "30000000"}


@dataclass
class Components:
    late: tuple[str, ...] = ()


class Changing:
    """A status line that is another each time it is asked for."""

    def __init__(self, *lines: str) -> None:
        self._lines = iter(lines)

    def __str__(self) -> str:
        return next(self._lines)


def make(late: tuple[str, ...] = ()) -> Watchdog:
    return Watchdog("fine", Components(late), Interval(1.0), WANTED)


async def test_it_is_fed_three_times_in_its_time(systemd: Notes) -> None:
    watchdog = make()

    for now_s in range(31):
        watchdog.check(float(now_s), overdue_s=0.0)

    assert systemd() == ["STATUS=fine", *["WATCHDOG=1"] * 4]


async def test_it_is_not_fed_while_a_component_is_late(systemd: Notes, logged: Logged) -> None:
    make(late=("names", "cleanup")).check(0.0, overdue_s=0.0)

    assert systemd() == ["STATUS=fine"]
    assert logged.count("the watchdog is not fed: names, cleanup") == 1


async def test_it_is_not_fed_after_the_loop_was_held_up(systemd: Notes, logged: Logged) -> None:
    make().check(0.0, overdue_s=16.0)

    assert systemd() == ["STATUS=fine"]
    assert logged.count("the event loop was held up seconds=16.0") == 1


async def test_a_status_is_sent_when_it_changes(systemd: Notes) -> None:
    watchdog = Watchdog(Changing("one", "one", "two"), Components(), Interval(1.0), {})

    for _ in range(3):
        watchdog.check(0.0, overdue_s=0.0)

    assert systemd() == ["STATUS=one", "STATUS=two"]


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, None),
        (WANTED, 30.0),
        (WANTED | {"WATCHDOG_PID": "7"}, 30.0),
        (WANTED | {"WATCHDOG_PID": "8"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
    ],
)
def test_the_time_is_that_of_this_process(environ: dict[str, str], expected: float | None) -> None:
    assert limit_s(environ, pid=7) == expected
