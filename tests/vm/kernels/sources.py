"""What cifs itself counts: /proc/fs/cifs/Stats, and the tracepoint smb3_cmd_enter."""

import re
from collections import Counter
from dataclasses import dataclass

from aod.smb import Command
from tests.vm.lab import Machine
from tests.vm.lab.errors import LabError

STATS = "/proc/fs/cifs/Stats"
DEBUG_DATA = "/proc/fs/cifs/DebugData"
INSTANCE = "/sys/kernel/tracing/instances/kernels"
BUFFER_KB = 8192
"""Of each processor: 80,000 requests."""

_ENTERED = re.compile(r"smb3_cmd_enter:\s+sid=0x\w+ tid=0x(\w+) cmd=(\d+) ")
_CONNECTED = re.compile(r"smb3_tcon: .* unc_name=(\S+) ")
_WRITTEN = re.compile(r"entries-in-buffer/entries-written: (\d+)/(\d+)")
_IPC_TREE = re.compile(r"IPC: .*\n(?:.*\n){1,4}?\ttid: 0x(\w+)")
_SHARE = re.compile(r"^\d+\) ", re.MULTILINE)
_STATS_LINE = re.compile(r"^(\w+): (\d+) (?:total|sent) ", re.MULTILINE)

_COMMANDS = {
    "TreeConnects": Command.SMB2_TREE_CONNECT,
    "TreeDisconnects": Command.SMB2_TREE_DISCONNECT,
    "Creates": Command.SMB2_CREATE,
    "Closes": Command.SMB2_CLOSE,
    "Flushes": Command.SMB2_FLUSH,
    "Reads": Command.SMB2_READ,
    "Writes": Command.SMB2_WRITE,
    "Locks": Command.SMB2_LOCK,
    "IOCTLs": Command.SMB2_IOCTL,
    "QueryDirectories": Command.SMB2_QUERY_DIRECTORY,
    "ChangeNotifies": Command.SMB2_CHANGE_NOTIFY,
    "QueryInfos": Command.SMB2_QUERY_INFO,
    "SetInfos": Command.SMB2_SET_INFO,
    "OplockBreaks": Command.SMB2_OPLOCK_BREAK,
}
_IPC = "IPC$"

Counts = Counter[tuple[int, int]]
"""Requests by tree id and command."""


@dataclass(frozen=True, slots=True)
class Trace:
    """What the tracepoints told since they were enabled."""

    entered: Counts
    ipc_connects: int


def start_tracing(vm: Machine) -> None:
    """Enable the tracepoints, in a buffer that they share with nobody."""
    vm.run(
        f"mkdir {INSTANCE} && cd {INSTANCE} && echo {BUFFER_KB} > buffer_size_kb"
        " && echo 1 > events/cifs/smb3_cmd_enter/enable && echo 1 > events/cifs/smb3_tcon/enable"
    )


def read_trace(vm: Machine) -> str:
    """Return what the buffer holds; it stays there."""
    return vm.read(f"{INSTANCE}/trace").decode()


def parse_trace(text: str) -> Trace:
    """Count what a trace tells; raises LabError when it is not whole."""
    written = _WRITTEN.search(text)
    if not written or written[1] != written[2]:
        raise LabError(f"the trace of cifs lost entries: {written and written[0]}")
    entered = Counter((int(tree, 16), int(command)) for tree, command in _ENTERED.findall(text))
    return Trace(entered, sum(name.endswith(_IPC) for name in _CONNECTED.findall(text)))


def parse_ipc_trees(text: str) -> frozenset[int]:
    """Return the tree ids of IPC$ that DebugData tells of."""
    return frozenset(int(tree, 16) for tree in _IPC_TREE.findall(text))


def parse_stats(text: str) -> Counter[int]:
    """Count the requests of all shares by command."""
    counts: Counter[int] = Counter()
    for name, count in _STATS_LINE.findall(text):
        if name in _COMMANDS:
            counts[_COMMANDS[name]] += int(count)
    return counts


def count_shares(text: str) -> int:
    """Return how many shares Stats tells of."""
    return len(_SHARE.findall(text))


def by_command(counts: Counts) -> Counter[int]:
    """Count requests by command, whatever their tree."""
    total: Counter[int] = Counter()
    for (_, command), count in counts.items():
        total[command] += count
    return total
