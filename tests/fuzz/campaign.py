"""Runs cases within a time limit, and keeps those in which something goes wrong."""

import logging
import random
import signal
import tempfile
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from aod.errors import AodError
from tests.fuzz.targets import Target

LIMIT_S = 2.0
"""Of processor time for one case; most take 0.02 s."""
WAITS = 20
"""Times as long as that is all of it, for what waits: a machine under load does as well."""


class HungError(BaseException):
    """A case took too long; no `except Exception` takes it for its own."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A case that ended in what it must not end in."""

    target: str
    seed: int
    number: int
    case: bytes
    told: str

    @property
    def command(self) -> str:
        """The command that runs just this case again."""
        again = f"--target {self.target} --seed {self.seed} --first {self.number} --cases 1"
        return f".venv/bin/python -m tests.fuzz {again}"


def case_of(target: Target, seed: int, number: int) -> bytes:
    """Return a case; the same numbers always give the same one."""
    return target.make(random.Random(f"{seed} {target.name} {number}"))


def run(
    target: Target,
    seed: int,
    numbers: Iterable[int],
    on_case: Callable[[], None] = lambda: None,
    limit_s: float = LIMIT_S,
) -> Iterator[Finding]:
    """Run cases in this thread, which has to be the main one; yield what goes wrong."""
    shm = Path("/dev/shm")
    with (
        _quiet(),
        tempfile.TemporaryDirectory(dir=shm if shm.is_dir() else None) as folder,
    ):
        for number in numbers:
            case = case_of(target, seed, number)
            if told := _outcome(target, case, Path(folder), limit_s):
                yield Finding(target.name, seed, number, case, told)
            on_case()


def _outcome(target: Target, case: bytes, folder: Path, limit_s: float) -> str:
    """Return the traceback of a case, or "" when it is dealt with as it should."""
    try:
        with _limit(limit_s):
            target.run(case, folder)
    except AodError:
        return ""
    except (Exception, HungError):
        return traceback.format_exc(limit=-12)
    return ""


@contextmanager
def _limit(limit_s: float) -> Iterator[None]:
    def hung(number: int, frame: FrameType | None) -> None:
        is_cpu = number == signal.SIGPROF
        told = f"{limit_s:g} s of processor time" if is_cpu else f"{WAITS * limit_s:g} s"
        raise HungError(f"after {told}")

    timers = {
        signal.SIGPROF: (signal.ITIMER_PROF, limit_s),
        signal.SIGALRM: (signal.ITIMER_REAL, WAITS * limit_s),
    }
    before = {number: signal.signal(number, hung) for number in timers}
    for timer, seconds in timers.values():
        signal.setitimer(timer, seconds)
    try:
        yield
    finally:
        for number, (timer, _) in timers.items():
            signal.setitimer(timer, 0)
            signal.signal(number, before[number])


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the log still: it tells of each damaged file, as it should."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)
