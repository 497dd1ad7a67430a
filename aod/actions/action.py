"""The seam between the runner and an action: what each is told and what it gives back."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Protocol

from aod.actions.output import Output
from aod.processes.stuck import Stuck

State = Literal["ok", "failed", "timeout", "skipped", "abandoned", "cancelled"]
"""How an action ended; `abandoned`: a child or thread is stuck in the kernel, left behind."""


STDERR_KEPT_BYTES = 4 << 10


class Skip(Exception):  # noqa: N818 - no error: what does not apply here is a line in the manifest
    """The action does not apply here; the message is the reason that the manifest gives."""


class Abandoned(Exception):  # noqa: N818 - what was done, told as it stands in the manifest
    """The action gave up a thread that is stuck in the kernel; the message says on what."""


def _never(server: str) -> str | None:
    return None


@contextmanager
def _unmarked(pid: int) -> Iterator[None]:
    yield


def _unrecorded(kind: str, **details: Any) -> None:
    pass


@dataclass(frozen=True, slots=True)
class Context:
    """What an action may know of the incident that it serves.

    `raised_wall_ns` is nanoseconds since the epoch. `hold_back` is given the server of
    //server/share and answers with a reason to leave it alone, or None. `own_child` is entered
    with the pid of every child and left when it is gone, so that the tracer flags its requests.
    `record` is the audit's: record("child", argv=, pid=, exit_code=, duration_s=). `stuck` is
    put in by the runner.
    """

    raised_wall_ns: int
    lookback_s: float = 300.0
    post_trigger_s: float = 5.0
    timeout_s: float = 10.0
    max_bytes: int = 16 << 20
    snaplen: int = 192
    hold_back: Callable[[str], str | None] = _never
    own_child: Callable[[int], AbstractContextManager[None]] = _unmarked
    record: Callable[..., None] = _unrecorded
    stuck: Stuck = field(default_factory=Stuck)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the collecting went; `stderr` is the last 4 KiB of it, `reason` a plain sentence."""

    state: State = "ok"
    reason: str = ""
    exit_code: int | None = None
    stderr: str = ""


GRAVITY: tuple[State, ...] = ("skipped", "ok", "cancelled", "failed", "timeout", "abandoned")


def combined(outcomes: Sequence[Outcome]) -> Outcome:
    """Return the gravest of several outcomes, with the reasons and the stderr of all."""
    gravest = max(outcomes, key=lambda outcome: GRAVITY.index(outcome.state))
    reasons = dict.fromkeys(outcome.reason for outcome in outcomes if outcome.reason)
    stderr = "".join(outcome.stderr for outcome in outcomes)[-STDERR_KEPT_BYTES:]
    return Outcome(gravest.state, "; ".join(reasons), gravest.exit_code, stderr)


class Action(Protocol):
    """One thing to collect into one file."""

    @property
    def name(self) -> str:
        """Name in the config, in the table, and of its module."""

    @property
    def file_name(self) -> str:
        """Name of its file in the bundle."""

    async def collect(self, context: Context, output: Output) -> Outcome:
        """Write what it finds to `output`.

        Raises Skip when it does not apply here, Abandoned, or OSError; all become its result.
        """


@dataclass(frozen=True, slots=True)
class ActionResult:
    """One action's part of the manifest.

    `file` is None when nothing was written; `bytes` is the file's size; `truncated` says that
    there was more than the cap; `exit_code` is minus the signal that ended a child.
    """

    name: str
    state: State
    reason: str = ""
    file: str | None = None
    bytes: int = 0
    truncated: bool = False
    exit_code: int | None = None
    stderr: str = ""
    started_wall_ns: int = 0
    duration_s: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        return asdict(self)
