"""The seam between the runner and an action: what each is given and what it gives back."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, Protocol, TypeAlias

from aod.actions.output import Output
from aod.processes.children import Children
from aod.processes.command import STDERR_KEPT_BYTES
from aod.processes.stuck import Stuck

State: TypeAlias = Literal["ok", "failed", "timeout", "skipped", "abandoned", "cancelled"]
"""How an action ended; `abandoned`: a child or thread is stuck in the kernel, left behind."""


class Skip(Exception):  # noqa: N818 - no error: what does not apply here is a line in the manifest
    """The action does not apply here; the message is the reason that the manifest gives."""


class Abandoned(Exception):  # noqa: N818 - what was done, in the words of the manifest
    """The action gave up a thread that is stuck in the kernel; the message says on what."""


class Guard(Protocol):
    """Keeps actions away from a server that has trouble: whoever asked it would hang."""

    def objection(self, server: str) -> str | None:
        """Return why the server of //server/share is left alone, None when it may be asked.

        May block.
        """


@dataclass(frozen=True, slots=True)
class Span:
    """What time an incident is about, and how much of it an action may keep.

    `raised_wall_ns` is nanoseconds since the epoch; `snaplen` is bytes of each packet.
    """

    raised_wall_ns: int
    lookback_s: float
    post_trigger_s: float
    timeout_s: float
    max_bytes: int
    snaplen: int


@dataclass(frozen=True, slots=True)
class Context:
    """What an action may know of the incident that it serves, and of its surroundings."""

    span: Span
    children: Children
    guard: Guard

    @property
    def stuck(self) -> Stuck:
        """The children and threads that the kernel does not let go of."""
        return self.children.stuck


@dataclass(frozen=True, slots=True)
class Result:
    """How the collecting went; `stderr` is the last 4 KiB of it, `reason` a plain sentence."""

    state: State = "ok"
    reason: str = ""
    exit_code: int | None = None
    stderr: str = ""


GRAVITY: tuple[State, ...] = ("skipped", "ok", "cancelled", "failed", "timeout", "abandoned")


def combined(results: Sequence[Result]) -> Result:
    """Return the gravest of several results, with the reasons and the stderr of all."""
    gravest = max(results, key=lambda result: GRAVITY.index(result.state))
    reasons = dict.fromkeys(result.reason for result in results if result.reason)
    stderr = "".join(result.stderr for result in results)[-STDERR_KEPT_BYTES:]
    return Result(gravest.state, "; ".join(reasons), gravest.exit_code, stderr)


class Action(Protocol):
    """One thing to collect into one file.

    It may have more to say of itself: `program` is the name of what it runs, and `capabilities`
    what that needs of root's capabilities; `keeps_packets` that its file is a capture, not text.
    """

    @property
    def name(self) -> str:
        """Name in the config, in the table, and of its module."""

    @property
    def file_name(self) -> str:
        """Name of its file in the bundle."""

    async def collect(self, context: Context, output: Output) -> Result:
        """Write what it finds to `output`.

        Raises Skip when it does not apply here, Abandoned, or OSError; all become its result.
        """


def keeps_packets(action: Action) -> bool:
    """Return whether an action keeps packets: they hold names, and bear no line of ours."""
    return bool(getattr(action, "keeps_packets", False))


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
