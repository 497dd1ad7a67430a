"""Components that fail, one at a time and too often."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

import pytest

from aod.errors import HostError
from aod.runtime import supervisor as module
from aod.runtime.supervisor import MAX_FAILURES, Component, Policy, Progress, Supervisor
from tests.conftest import Logged


class Flaky:
    """Fails so many times, then works until it is cancelled."""

    def __init__(self, failures: int, error: Exception | None = None) -> None:
        self.failures = failures
        self.starts = 0
        self.works = asyncio.Event()
        self._error = error or ZeroDivisionError("bug")

    async def __call__(self, progress: Progress) -> None:
        self.starts += 1
        if self.starts <= self.failures:
            raise self._error
        self.works.set()
        await asyncio.Event().wait()


@pytest.fixture
def stop() -> asyncio.Event:
    """Set when an essential component was given up."""
    return asyncio.Event()


@pytest.fixture
async def supervisor(
    monkeypatch: pytest.MonkeyPatch, stop: asyncio.Event
) -> AsyncIterator[Supervisor]:
    """One that makes no pauses; what still runs at the end is cancelled."""
    monkeypatch.setattr(module, "FIRST_PAUSE_S", 0.0)
    started: list[asyncio.Task[None]] = []

    class Watched(Supervisor):
        def start(self, component: Component) -> asyncio.Task[None]:
            started.append(super().start(component))
            return started[-1]

    async with asyncio.timeout(10), Watched(Counter(), stop) as watched:
        yield watched
        for task in started:
            task.cancel()


async def test_what_fails_is_started_again_and_counted(supervisor: Supervisor) -> None:
    flaky = Flaky(failures=MAX_FAILURES - 1)

    supervisor.start(Component("flaky", flaky))
    await flaky.works.wait()

    assert flaky.starts == MAX_FAILURES
    assert supervisor.restarts == {"flaky": MAX_FAILURES - 1}
    assert supervisor.failure is None


async def test_an_essential_one_that_fails_too_often_asks_for_the_end(
    supervisor: Supervisor, stop: asyncio.Event
) -> None:
    await supervisor.start(Component("flaky", Flaky(failures=MAX_FAILURES)))

    assert stop.is_set()
    assert isinstance(supervisor.failure, ZeroDivisionError)


async def test_an_optional_one_is_switched_off_and_the_others_go_on(
    supervisor: Supervisor, logged: Logged
) -> None:
    other = Flaky(failures=0)
    supervisor.start(Component("other", other))

    await supervisor.start(Component("metrics", Flaky(MAX_FAILURES), Policy.OPTIONAL))
    await other.works.wait()

    assert (supervisor.switched_off, supervisor.failure) == (("metrics",), None)
    assert logged.count("component switched off until the next start component=metrics") == 1


async def test_a_lasting_one_is_never_given_up(supervisor: Supervisor) -> None:
    flaky = Flaky(failures=3 * MAX_FAILURES)

    supervisor.start(Component("cleanup", flaky, Policy.LASTING))
    await flaky.works.wait()

    assert supervisor.restarts["cleanup"] == 3 * MAX_FAILURES


async def test_failures_of_long_ago_do_not_count(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WITHIN_S", 0.0)
    flaky = Flaky(failures=2 * MAX_FAILURES)

    supervisor.start(Component("flaky", flaky))
    await flaky.works.wait()

    assert supervisor.failure is None


async def test_what_no_other_start_can_mend_is_given_up_at_once(supervisor: Supervisor) -> None:
    flaky = Flaky(failures=1, error=HostError("no kprobes"))

    await supervisor.start(Component("tracer", flaky, is_hopeless=lambda error: True))

    assert flaky.starts == 1
    assert isinstance(supervisor.failure, HostError)


async def test_the_pauses_double_up_to_the_longest(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []

    class Hasty(Supervisor):
        async def _pause(self, pause_s: float) -> None:
            pauses.append(pause_s)

    monkeypatch.setattr(module, "LONGEST_PAUSE_S", 3.0)
    flaky = Flaky(failures=4)
    async with asyncio.timeout(10), Hasty(Counter(), asyncio.Event()) as hasty:
        task = hasty.start(Component("flaky", flaky))
        await flaky.works.wait()
        task.cancel()

    assert pauses == [1.0, 2.0, 3.0, 3.0]


async def test_at_the_end_nobody_waits_for_a_pause() -> None:
    flaky = Flaky(failures=1)
    async with asyncio.timeout(10), Supervisor(Counter(), asyncio.Event()) as watched:
        task = watched.start(Component("flaky", flaky))
        await asyncio.sleep(0)
        watched.stop()
        await flaky.works.wait()
        task.cancel()

    assert flaky.starts == 2


async def test_a_component_is_late_while_its_step_takes_too_long(supervisor: Supervisor) -> None:
    begun, go_on, rested = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def work(progress: Progress) -> None:
        with progress.busy():
            begun.set()
            await go_on.wait()
        rested.set()
        await asyncio.Event().wait()

    supervisor.start(Component("slow", work, progress=Progress(limit_s=0.0)))
    await begun.wait()
    assert supervisor.late == ("slow",)

    go_on.set()
    await rested.wait()
    assert len(supervisor.late) == 0


def test_a_pulse_in_time_is_not_late() -> None:
    progress = Progress(limit_s=60.0)

    with progress.busy():
        assert not progress.is_late()
