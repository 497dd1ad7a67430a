"""What the sections of anomalies share: the keys that all have, and the kinds of their values."""

import errno
import re
from collections.abc import Hashable
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer

from aod import smb
from aod.actions import NAMES, known_names
from aod.schema import Section, count, number, one_of, shown, text_of, unique
from aod.smb import Command

NS_PER_MS = 1_000_000
SHARE = re.compile(r"(\\\\|//)([^/\\]+[/\\][^/\\]+|.*[*].*)|[*].*")
"""A share as a whole, or with a `*` that may stand for several parts."""
COMM_CHARS = 15
"""What the kernel keeps of a thread's name (TASK_COMM_LEN - 1)."""
ERRORS = {name: getattr(errno, name) for name in dir(errno) if name.startswith("E")}
"""Every errno name, second names such as EWOULDBLOCK included, with its positive number."""


def is_action(value: Any) -> bool:
    """Return whether an action of that name is built in or installed."""
    return isinstance(value, str) and (value in NAMES or value in known_names())


def _action(value: Any) -> str:
    if not is_action(value):
        raise ValueError(one_of(value, known_names()))
    return str(value)


def _share(value: Any) -> str:
    if not _is_pattern(value) or not SHARE.fullmatch(value.removeprefix("!")):
        raise ValueError(
            f"{shown(value)} is not allowed (allowed: //server/share, with * for any text, ? for "
            "a character and [ab] for one of some; a leading ! excludes)"
        )
    return str(value)


def _process(value: Any) -> str:
    if not _is_pattern(value):
        raise ValueError(
            f"{shown(value)} is not allowed (allowed: the name of a process, with *, ? and [ab] "
            "as in a shell; a leading ! excludes)"
        )
    name = value.removeprefix("!")
    if len(name) > COMM_CHARS and not set(name) & set("*?["):
        raise ValueError(
            f"{shown(value)} is never met: the kernel keeps {COMM_CHARS} characters of a name "
            f"(allowed: {name[:COMM_CHARS]!r})"
        )
    return str(value)


def _is_pattern(value: Any) -> bool:
    return isinstance(value, str) and value.isprintable() and value.removeprefix("!") != ""


def _command(value: Any) -> Command:
    if isinstance(value, Command):
        return value
    if not isinstance(value, str) or value not in Command.__members__:
        raise ValueError(one_of(value, Command.__members__))
    return Command[value]


def _code(value: Any) -> str:
    if not isinstance(value, str) or not (value in ERRORS or value in smb.status_codes()):
        kinds = "an errno name such as EACCES, or a status name such as STATUS_ACCESS_DENIED"
        raise ValueError(one_of(value, [*ERRORS, *smb.status_codes()], kinds))
    if value not in ERRORS and smb.status_codes()[value] < smb.LOWEST_ERROR:
        raise ValueError(f"{value} is no error: the server means success or a notice by it")
    return value


Action = Annotated[str, BeforeValidator(_action)]
Actions = Annotated[
    tuple[Action, ...],
    AfterValidator(unique),
    Field(json_schema_extra={"allowed": f"a list of {', '.join(NAMES)}"}),
]
Shares = Annotated[tuple[Annotated[str, BeforeValidator(_share)], ...], AfterValidator(unique)]
Processes = Annotated[tuple[Annotated[str, BeforeValidator(_process)], ...], AfterValidator(unique)]
CommandName = Annotated[
    Command, BeforeValidator(_command), PlainSerializer(lambda command: command.name)
]
Code = Annotated[str, BeforeValidator(_code)]
Mode: TypeAlias = Literal["all", "trackonly", "excludeonly"]
Per: TypeAlias = Literal["host", "share"]


def acceptable(default: int) -> Any:
    """Describe how many violations are still fine."""
    return count(default, 0, 10_000, "violations within watch_interval_sec that raise nothing yet")


class AnomalySection(Section):
    """The keys of every anomaly; a detector's own section adds to them.

    It says what `type` and `tool` may be, each a Literal of one word.
    """

    type: str
    tool: str
    actions: Actions = Field(
        description="what is collected when it is raised; each also stands in watcher.actions"
    )
    cooldown_sec: float | None = number(
        None, 0, 86_400, "seconds", "quiet time after a bundle, none for incidents.cooldown_sec"
    )
    shares: Shares = Field(default=(), description="shares that count, none for all; ! excludes")
    processes: Processes = Field(
        default=(), description="processes that count, none for all; ! excludes"
    )
    per: Per = Field(default="host", description="one count for all, or one for each share")


class CountedAnomaly(AnomalySection):
    """Raised by more than so many operations, of those that count."""

    mode: Mode = Field(
        default="all", description="all, only what is tracked, or all but the excluded"
    )
    acceptable_count: int = acceptable(10)


def check_tracked(tracked: tuple[Hashable, ...], mode: str | None) -> None:
    """Check a `track_*` list; `mode` is None where that is wrong itself. Raises ValueError."""
    if mode == "trackonly" and not tracked:
        raise ValueError("is empty in mode trackonly: nothing is watched (allowed: at least one)")
    unique(tracked)


def check_excluded(
    excluded: tuple[Hashable, ...], tracked: tuple[Hashable, ...], mode: str | None
) -> None:
    """Check an `exclude_*` list against its `track_*` list. Raises ValueError."""
    if excluded and mode == "trackonly":
        raise ValueError("has no meaning in mode trackonly (allowed: an empty list)")
    if excluded and tracked and mode == "excludeonly":
        raise ValueError("both lists are given in mode excludeonly (allowed: one of them)")
    if both := [item for item in excluded if item in tracked]:
        raise ValueError(f"{text_of(both)} is tracked as well (allowed: in one list only)")
    unique(excluded)


def nanoseconds(milliseconds: float) -> int:
    """Turn a key's milliseconds into nanoseconds."""
    return round(milliseconds * NS_PER_MS)
