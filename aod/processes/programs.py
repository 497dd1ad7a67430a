"""Which file runs when a program is named, and how few of root's capabilities it gets."""

import contextlib
import functools
import os
import shutil
from collections.abc import Collection, Sequence
from pathlib import Path

from aod.host import capabilities, trust
from aod.host.capabilities import Capability

SEARCH_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
CONFINING = ("prlimit", "setpriv")
"""What every program is started through."""
NOT_FOUND = 127
"""The exit code of those two when there is nothing to start."""
LIMITS = ("--core=0:0", "--fsize=0:0", "--rtprio=0:0")
"""A child's memory is not written to the disk, and it writes no file: it has pipes."""

_WORDS = trust.Words(
    owned="others can write to {path} (chmod go-w it)",
    writable="others can write to {path} (chmod go-w it)",
)


class NotRun(Exception):  # noqa: N818 - no error: whoever asked for it goes without
    """A program is not run; the message is the reason."""


@functools.cache
def find(program: str) -> str:
    """Return the absolute path of a program; what was found first counts to the end.

    Blocking. Raises NotRun for one that is not installed, or that others could have put there.
    """
    path = shutil.which(program, path=SEARCH_PATH)
    if path is None:
        raise NotRun(f"{program} is not installed")
    real = Path(path).resolve()
    for place in (Path(path).parent, real.parent, real):
        if reason := trust.objection(place, place.stat(), _WORDS):
            raise NotRun(f"{program} is not run: {reason}")
    return path


def require_there(*names: str) -> None:
    """Look anew when one of the programs that were found has gone; raises NotRun. Blocking."""
    if all(Path(find(name)).exists() for name in names):
        return
    find.cache_clear()
    for name in names:
        find(name)


def find_early(program: object) -> None:
    """Find what somebody says they run: nothing that is put elsewhere later takes its place."""
    for name in (*CONFINING, program):
        if isinstance(name, str):
            with contextlib.suppress(NotRun):
                find(name)


def confined(
    program: str, arguments: Sequence[str], needed: Collection[Capability] = ()
) -> list[str]:
    """Return the command line that runs a program with no right but those that it needs.

    It dies with the thread that starts it. Blocking; raises NotRun.
    """
    return [
        find("prlimit"),
        *LIMITS,
        find("setpriv"),
        *("--pdeathsig", "KILL"),
        *_restrictions(capabilities.capability_sets(), needed),
        "--",
        find(program),
        *arguments,
    ]


def _restrictions(own: capabilities.CapabilitySets, needed: Collection[Capability]) -> list[str]:
    """Return the options that make setpriv take away all but `needed`."""
    if os.geteuid() != 0:
        # Its own file capabilities stay a program's; of ours it gets what is ambient.
        passed = [each for each in needed if own.ambient >> each & 1]
        return [f"--inh-caps={_only(passed)}"]
    nothing_gained = ["--no-new-privs", "--inh-caps=-all"]
    # Without this right, as in a container, it keeps what the container has.
    if not own.permitted & own.bounding & capabilities.mask([Capability.SETPCAP]):
        return nothing_gained
    return [*nothing_gained, f"--bounding-set={_only(needed)}"]


def _only(needed: Collection[Capability]) -> str:
    return ",".join(["-all", *(f"+{each.name.lower()}" for each in sorted(needed))])
