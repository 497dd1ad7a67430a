"""Why cifs's own counts differ from aod's: every known reason, by name.

What no rule explains is a request that one of the two did not see.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from aod.smb import Command

STATS = "Stats"
ENTERED = "smb3_cmd_enter"


@dataclass(frozen=True, slots=True)
class Window:
    """What was counted between two quiet moments, by command.

    `traced` is aod's count of requests sent, `ipc` the part of it on trees of IPC$, `breaks` how
    often a server broke a lease or an oplock, `shares` how many mounts of one there were.
    """

    name: str
    traced: Counter[int]
    counted: dict[str, Counter[int]]
    ipc: Counter[int]
    breaks: int
    shares: int


@dataclass(frozen=True, slots=True)
class Rule:
    """Says how much less than aod a source counts of a command: the least and the most.

    Negative where it counts more.
    """

    name: str
    source: str
    reason: str
    amount: Callable[[Window, int], tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Difference:
    """One command that a source counted otherwise than aod, and the rules that explain it."""

    window: str
    source: str
    command: int
    traced: int
    counted: int
    rules: tuple[str, ...]
    is_explained: bool

    def __str__(self) -> str:
        why = " + ".join(self.rules) or "no rule"
        return (
            f"{self.window}: {Command(self.command).name}: aod {self.traced},"
            f" {self.source} {self.counted} ({why if self.is_explained else 'UNEXPLAINED'})"
        )


WITHOUT_TREE = (
    Command.SMB2_NEGOTIATE,
    Command.SMB2_SESSION_SETUP,
    Command.SMB2_LOGOFF,
    Command.SMB2_CANCEL,
    Command.SMB2_ECHO,
)


def _without_tree(window: Window, command: int) -> tuple[int, int]:
    amount = window.traced[command] if command in WITHOUT_TREE else 0
    return amount, amount


def _on_ipc(window: Window, command: int) -> tuple[int, int]:
    return window.ipc[command], window.ipc[command]


def _breaks(window: Window, command: int) -> tuple[int, int]:
    if command != Command.SMB2_TREE_CONNECT:
        return 0, 0
    return -window.breaks * window.shares, 0


def _locks(window: Window, command: int) -> tuple[int, int]:
    if command != Command.SMB2_OPLOCK_BREAK:
        return 0, 0
    return -window.traced[Command.SMB2_LOCK], 0


RULES = (
    Rule(
        "no tree",
        STATS,
        "it counts for a share, and these requests belong to none (smb2_plain_req_init without"
        " a tcon)",
        _without_tree,
    ),
    Rule(
        "IPC$",
        STATS,
        "it lists shares, and IPC$, which each session has as well, is not among them",
        _on_ipc,
    ),
    Rule(
        "breaks as TREE_CONNECT",
        STATS,
        "smb2misc.c counts a break from the server in cifs_stats.num_oplock_brks, which shares"
        " its place in a union with smb2_com_sent[SMB2_TREE_CONNECT]; up to 5.10 in every share"
        " that it looks through for the lease",
        _breaks,
    ),
    Rule(
        "locks as OPLOCK_BREAK",
        STATS,
        "smb2_lockv counts in cifs_stats.num_locks, which shares its place in a union with"
        " smb2_com_sent[SMB2_OPLOCK_BREAK]",
        _locks,
    ),
)


def differences(window: Window) -> Iterator[Difference]:
    """Yield each command of each source whose count is not aod's."""
    for source, counted in window.counted.items():
        for command in sorted(window.traced | counted):
            missing = window.traced[command] - counted[command]
            if missing:
                yield _explain(window, source, command, missing)


def _explain(window: Window, source: str, command: int, missing: int) -> Difference:
    amounts = {rule.name: rule.amount(window, command) for rule in RULES if rule.source == source}
    least = sum(low for low, _ in amounts.values())
    most = sum(high for _, high in amounts.values())
    return Difference(
        window.name,
        source,
        command,
        window.traced[command],
        window.counted[source][command],
        tuple(name for name, amount in amounts.items() if amount != (0, 0)),
        least <= missing <= most,
    )
