"""Which operations are slow or failed: for the kernel's probes and for the detectors alike."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from aod import smb
from aod.events import COMMANDS, ERRNOS, Events, Flag, Kind
from aod.smb import Command

NEVER = np.iinfo(np.uint64).max
ALL_COMMANDS = frozenset(range(COMMANDS))
NO_COMMANDS = frozenset[int]()


@dataclass(frozen=True)
class StatusVerdict:
    """Which statuses count, each for some commands.

    `failures`: whether a failure (severity warning or error) counts unless excepted;
    `exceptions` maps an NTSTATUS to the commands for which that is reversed.
    Success never counts.
    """

    failures: bool = False
    exceptions: Mapping[int, frozenset[int]] = field(default_factory=dict)

    def commands(self, status: int) -> frozenset[int]:
        """Return the commands for which the status counts."""
        counts = self.failures and status >= smb.LOWEST_ERROR
        return (ALL_COMMANDS if counts else NO_COMMANDS) ^ self.exceptions.get(status, NO_COMMANDS)

    def counts(
        self, statuses: NDArray[np.uint32], commands: NDArray[np.uint16]
    ) -> NDArray[np.bool]:
        """Return which of the (n,) operations count."""
        codes, where = np.unique(statuses, return_inverse=True)
        table = np.zeros((codes.size, COMMANDS), np.bool)
        for row, code in zip(table, codes.tolist(), strict=True):
            row[list(self.commands(code))] = code != 0
        result: NDArray[np.bool] = table[where, commands & (COMMANDS - 1)]
        return result

    def __or__(self, other: "StatusVerdict") -> "StatusVerdict":
        return status_verdict(
            self.failures or other.failures,
            {
                status: self.commands(status) | other.commands(status)
                for status in self.exceptions.keys() | other.exceptions.keys()
            },
        )


def quiet_commands(status: int) -> frozenset[int]:
    """Return the commands on which the status is no error."""
    if status not in smb.QUIET:
        return NO_COMMANDS
    command = smb.QUIET[status]
    return ALL_COMMANDS if command is None else frozenset({command})


def status_verdict(failures: bool, commands: Mapping[int, frozenset[int]]) -> StatusVerdict:
    """Make the verdict in which the named statuses count for just these commands."""
    default = StatusVerdict(failures)
    return StatusVerdict(
        failures,
        {
            status: wanted ^ default.commands(status)
            for status, wanted in commands.items()
            if wanted != default.commands(status)
        },
    )


@dataclass(frozen=True)
class Filter:
    """What the kernel shall send.

    `thresholds_ns` has shape (2, COMMANDS), dtype uint64: the latency from which a command
    is sent, and in row 1 the same for one that the server answered with STATUS_PENDING first.
    `kinds` are those that are not a request's end, such as RECONNECT. Of kind UNSENT only the
    errors are sent that `errors` marks: shape (ERRNOS,), dtype bool, by positive errno.
    `secondary`: whether a related request that failed as the one before it is sent too.
    """

    thresholds_ns: NDArray[np.uint64] = field(
        default_factory=lambda: np.full((2, COMMANDS), NEVER, np.uint64)
    )
    statuses: StatusVerdict = field(default_factory=StatusVerdict)
    kinds: frozenset[Kind] = frozenset()
    errors: NDArray[np.bool] = field(default_factory=lambda: np.zeros(ERRNOS, np.bool))
    secondary: bool = False

    def __or__(self, other: "Filter") -> "Filter":
        return Filter(
            np.minimum(self.thresholds_ns, other.thresholds_ns),
            self.statuses | other.statuses,
            self.kinds | other.kinds,
            self.errors | other.errors,
            self.secondary or other.secondary,
        )


def union(filters: Iterable[Filter]) -> Filter:
    """Return the filter that lets through what any of them does."""
    return reduce(Filter.__or__, filters, Filter())


def event_thresholds_ns(thresholds_ns: NDArray[np.uint64], events: Events) -> NDArray[np.uint64]:
    """Return the threshold that applies to each event, shape (n,)."""
    pended = (events["flags"] & Flag.PENDED) != 0
    result: NDArray[np.uint64] = thresholds_ns[
        pended.astype(np.intp), events["command"] & (COMMANDS - 1)
    ]
    return result


def is_patient(requests: NDArray[np.void]) -> NDArray[np.bool]:
    """Return which wait by nature: CHANGE_NOTIFY, and LOCK once pended.

    `requests` has shape (n,) and dtype EVENT or REQUEST.
    """
    commands, pended = requests["command"], (requests["flags"] & Flag.PENDED) != 0
    patient: NDArray[np.bool] = (commands == Command.SMB2_CHANGE_NOTIFY) | (
        (commands == Command.SMB2_LOCK) & pended
    )
    return patient


def fill_errors(events: Events) -> None:
    """Set `error` of completed events to the negative errno of their status, in place."""
    completed = (events["kind"] == Kind.COMPLETED) & (events["status"] != 0)
    codes, where = np.unique(events["status"][completed], return_inverse=True)
    errors = np.array([-smb.status_error(int(code)) for code in codes], dtype=np.int32)
    events["error"][completed] = errors[where] if codes.size else 0
