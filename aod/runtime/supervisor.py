"""Components run supervised: one that fails is started again, and no other is touched by it."""

import asyncio
import enum
import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from aod.errors import AodError

log = logging.getLogger(__name__)

FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 60.0
"""Before a component that failed is started again; doubled each time."""
MAX_FAILURES = 5
WITHIN_S = 300.0
"""So many failures within so long are one too many; after so long without one all is well."""


class Policy(enum.Enum):
    """What becomes of a component that fails MAX_FAILURES times WITHIN_S."""

    ESSENTIAL = "ends the service"
    OPTIONAL = "is switched off"
    LASTING = "is started again for ever"


class Progress:
    """Knows whether a component makes progress: it is busy since some time, or rests.

    `limit_s` is how long one step of it may take.
    """

    def __init__(self, limit_s: float) -> None:
        self.limit_s = limit_s
        self._busy_since_s: float | None = None

    def rest(self) -> None:
        """Note that there is nothing to do."""
        self._busy_since_s = None

    @contextmanager
    def busy(self) -> Iterator[None]:
        """Be busy while the context lasts."""
        self._busy_since_s = time.monotonic()
        try:
            yield
        finally:
            self.rest()

    def is_late(self) -> bool:
        """Return whether the present step takes longer than it may."""
        since_s = self._busy_since_s
        return since_s is not None and time.monotonic() - since_s > self.limit_s


Work: TypeAlias = Callable[[Progress], Coroutine[Any, Any, None]]
"""Is given the progress on which it reports that it is busy or rests."""

STEP_S = 30.0
"""What a step of a component may take unless it says otherwise."""


def _never(error: Exception) -> bool:
    return False


@dataclass(slots=True)
class Component:
    """A coroutine that the service lives by; `work` is called anew for each start."""

    name: str
    work: Work
    policy: Policy = Policy.ESSENTIAL
    progress: Progress = field(default_factory=lambda: Progress(STEP_S))
    is_hopeless: Callable[[Exception], bool] = _never
    """Recognizes a failure that no other start can mend."""
    is_off: bool = False
    failures_s: deque[float] = field(default_factory=lambda: deque(maxlen=MAX_FAILURES))
    """When it failed, CLOCK_MONOTONIC; the last MAX_FAILURES times."""


def without_steps(run: Callable[[], Coroutine[Any, Any, None]]) -> Work:
    """Return the work of a component that makes no steps which could take too long."""

    async def work(_: Progress) -> None:
        await run()

    return work


class Supervisor:
    """Runs components in a TaskGroup, which is entered with it; an async context manager.

    `restarts` counts by component. When an essential one is given up, `failure` has its last
    exception and `stop` is set; nothing else ends by that.
    """

    def __init__(self, restarts: Counter[str], stop: asyncio.Event) -> None:
        self.restarts = restarts
        self.failure: Exception | None = None
        self._stop = stop
        self._group = asyncio.TaskGroup()
        self._components: dict[str, Component] = {}
        self._stopping = asyncio.Event()

    async def __aenter__(self) -> "Supervisor":
        await self._group.__aenter__()
        return self

    async def __aexit__(self, *failure: Any) -> None:
        await self._group.__aexit__(*failure)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the components that run, or were given up."""
        return tuple(self._components)

    @property
    def switched_off(self) -> tuple[str, ...]:
        """The names of the optional components that were given up."""
        return tuple(name for name, component in self._components.items() if component.is_off)

    @property
    def late(self) -> tuple[str, ...]:
        """The names of the components that make no progress."""
        components = self._components.items()
        return tuple(name for name, component in components if component.progress.is_late())

    @property
    def exit_code(self) -> int:
        """What the process ends with: 1 when an essential component was given up."""
        return 1 if self.failure else 0

    def start(self, component: Component) -> asyncio.Task[None]:
        """Run a component until its work returns, it is cancelled, or it is given up."""
        self._components[component.name] = component
        task = self._group.create_task(self._keep(component), name=component.name)
        task.add_done_callback(lambda _: self._forget(component))
        return task

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Run what handles its own failures beside the components."""
        return self._group.create_task(work, name=name)

    def stop(self) -> None:
        """Make no more pauses: what fails from now on is started again at once."""
        self._stopping.set()

    async def _keep(self, component: Component) -> None:
        while True:
            try:
                await component.work(component.progress)
                return
            except Exception as error:  # the boundary of a component
                pause_s = self._fail(component, error)
            finally:
                component.progress.rest()
            if pause_s is None:
                return
            await self._pause(pause_s)
            self.restarts[component.name] += 1
            log.info("component started again component=%s", component.name)

    def _fail(self, component: Component, error: Exception) -> float | None:
        """Note a failure; return how long to pause, or None when that was one too many."""
        now_s = time.monotonic()
        recent = [then_s for then_s in component.failures_s if now_s - then_s < WITHIN_S]
        component.failures_s.append(now_s)
        pause_s = min(FIRST_PAUSE_S * 2.0 ** len(recent), LONGEST_PAUSE_S)
        is_known = isinstance(error, AodError)
        is_hopeless = component.is_hopeless(error)
        log.error(
            "component failed component=%s times=%d: %s",
            component.name,
            len(recent) + 1,
            error if is_known else repr(error),
            exc_info=None if is_known else error,
        )
        is_too_often = len(recent) + 1 >= MAX_FAILURES and component.policy is not Policy.LASTING
        if not is_hopeless and not is_too_often:
            return pause_s
        self._give_up(component, error)
        return None

    def _give_up(self, component: Component, error: Exception) -> None:
        if component.policy is Policy.OPTIONAL:
            component.is_off = True
            log.error("component switched off until the next start component=%s", component.name)
            return
        log.error("component given up, aod ends component=%s", component.name)
        self.failure = self.failure or error
        self._stop.set()

    async def _pause(self, pause_s: float) -> None:
        try:
            async with asyncio.timeout(pause_s):
                await self._stopping.wait()
        except TimeoutError:
            return

    def _forget(self, component: Component) -> None:
        """Keep only what STATUS shows; a name may have been given to a newer component."""
        if self._components.get(component.name) is component and not component.is_off:
            del self._components[component.name]
