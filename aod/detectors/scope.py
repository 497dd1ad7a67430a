"""What an anomaly is about: some shares, some processes, and one count for each share or for all.

A share is `//server/share`. Where only its server is known (a login, a reconnect), it counts
for all shares of that server. What is not known to be out of the scope is in it: to report too
much is better than to miss the trouble.
"""

import fnmatch
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import reduce
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from aod.detectors.anomaly import Anomaly
from aod.detectors.detector import Detector, Ticking
from aod.events import Events
from aod.smb.paths import share_path

MAX_SHARES = 256
"""Shares with a count of their own; the others have one together."""
OTHERS = "others"
NOBODY = (b"", b"cifsd")
"""No process: what cifs' own thread does, such as a reconnect, nobody has asked for."""
_IDS = ("connection_id", "session_id", "tree_id")


class Names(Protocol):
    """What ids are called, "" where that is not known; instant."""

    def server(self, connection_id: int, session_id: int, /) -> str:
        """Return the name of a server."""

    def share(self, session_id: int, tree_id: int, connection_id: int, /) -> str:
        """Return the name of a share, without its server."""


class Keys(Protocol):
    """The keys of an anomaly's section that make its scope."""

    @property
    def shares(self) -> tuple[str, ...]:
        """Globs of shares."""

    @property
    def processes(self) -> tuple[str, ...]:
        """Globs of process names."""

    @property
    def per(self) -> str:
        """`host` or `share`."""


class Patterns:
    """Globs for a name, of which a leading `!` excludes; without any to include, all are in."""

    def __init__(self, globs: Sequence[str]) -> None:
        self._included = _either([glob for glob in globs if glob[0] != "!"])
        self._excluded = _either([glob[1:] for glob in globs if glob[0] == "!"])

    def match(self, name: str) -> bool:
        """Return whether the name is included and not excluded."""
        is_included = not self._included or self._included.match(name)
        return bool(is_included and not (self._excluded and self._excluded.match(name)))


class SharePatterns:
    """Globs for shares, without regard to case and to which way the slashes lean."""

    def __init__(self, globs: Sequence[str]) -> None:
        globs = [glob.replace("\\", "/").casefold() for glob in globs]
        self._shares = Patterns(globs)
        self._excluded = Patterns([glob for glob in globs if glob[0] == "!"])
        self._servers = Patterns([_server_of(glob) for glob in globs if glob[0] != "!"])

    def match(self, path: str) -> bool:
        """Return whether `//server/share`, or some share of `//server`, or "" may be meant."""
        path = path.casefold()
        if path.count("/") > 2:
            return self._shares.match(path)
        # As a share without a name, a server is excluded by a glob for all its shares alone.
        is_meant = self._servers.match(path) and self._excluded.match(f"{path}/")
        return is_meant or not path


class Scope:
    """Knows which events count, by share and by process."""

    def __init__(self, shares: Sequence[str], processes: Sequence[str], names: Names) -> None:
        self._shares = SharePatterns(shares)
        self._processes = Patterns(processes)
        self._names = names

    def select(self, events: Events) -> Events:
        """Return those of (n,) events that are in the scope."""
        share_paths, where = self.share_paths(events)
        within = np.array([self._shares.match(path) for path in share_paths], np.bool)[where]
        comms, where = np.unique(events["comm"], return_inverse=True)
        within &= np.array([self._has_process(comm) for comm in comms], np.bool)[where]
        return events if within.all() else events[within]

    def share_paths(self, events: Events) -> tuple[list[str], NDArray[np.intp]]:
        """Return the different shares of (n,) events, and for each event the index of its own.

        A share is `//server/share`, or `//server`, or "".
        """
        ids = np.stack([events[name].astype(np.uint64) for name in _IDS], axis=1)
        different, where = np.unique(ids, axis=0, return_inverse=True)
        return [self._path(*each) for each in different.tolist()], where.reshape(-1)

    def _path(self, connection_id: int, session_id: int, tree_id: int) -> str:
        server = self._names.server(connection_id, session_id)
        share = self._names.share(session_id, tree_id, connection_id) if tree_id else ""
        return share_path(server, share) if server else ""

    def _has_process(self, comm: bytes) -> bool:
        return comm in NOBODY or self._processes.match(comm.decode(errors="replace"))


class Scoped:
    """A detector that is fed what is in its scope, with `per_share` a like one for each share.

    Of what several shares raise in one batch, one anomaly is made that names them all.
    """

    def __init__(self, make: Callable[[], Detector], scope: Scope, per_share: bool) -> None:
        rest = make()
        self.name, self.filter = rest.name, rest.filter
        self._make = make
        self._scope = scope
        self._per_share = per_share
        self._detectors = {OTHERS: rest}

    def feed(self, events: Events) -> Anomaly | None:
        """Judge what of a batch is in the scope."""
        parts = self._split(self._scope.select(events))
        return self._together(
            {share: self._detectors[share].feed(part) for share, part in parts.items()}
        )

    def _split(self, events: Events) -> dict[str, Events]:
        """Return the events of each share that has some."""
        if not self._per_share or not events.size:
            return {OTHERS: events}
        share_paths, where = self._scope.share_paths(events)
        shares = [self._with_detector(path) for path in share_paths]
        columns = {share: index for index, share in enumerate(dict.fromkeys(shares))}
        column = np.array([columns[share] for share in shares])[where]
        return {share: events[column == index] for share, index in columns.items()}

    def _with_detector(self, path: str) -> str:
        """Return the path if it has a detector of its own or gets one, else OTHERS."""
        if path and path not in self._detectors and len(self._detectors) <= MAX_SHARES:
            self._detectors[path] = self._make()
        return path if path in self._detectors else OTHERS

    def _together(self, found: Mapping[str, Anomaly | None]) -> Anomaly | None:
        raised = [
            replace(anomaly, shares=(share,) if self._per_share else ())
            for share, anomaly in found.items()
            if anomaly
        ]
        if not raised:
            return None
        first, *others = sorted(raised, key=lambda anomaly: anomaly.raised_ns)
        together = reduce(Anomaly.merged, others, first)
        order = np.argsort(together.events["time_ns"], kind="stable")
        return replace(together, events=together.events[order])


class TickingScoped(Scoped):
    """The same for a detector that also looks at what is open."""

    def tick(self, open_requests: Events) -> Anomaly | None:
        """Judge what is open now and in the scope."""
        parts = self._split(self._scope.select(open_requests))
        none = open_requests[:0]
        return self._together(
            {
                share: detector.tick(parts.get(share, none))
                for share, detector in self._detectors.items()
                if isinstance(detector, Ticking)
            }
        )


def within_scope(make: Callable[[], Detector], section: Keys, names: Names) -> Detector:
    """Return the detector that `make` makes, held to the scope of its section of the config."""
    per_share = section.per == "share"
    if not (section.shares or section.processes or per_share):
        return make()
    scope = Scope(section.shares, section.processes, names)
    kind = TickingScoped if isinstance(make(), Ticking) else Scoped
    return kind(make, scope, per_share)


def _server_of(glob: str) -> str:
    """Return the glob for `//server` of one for shares; a `*` may stand for both parts."""
    server = re.match(r"//[^/]*(?=/)", glob) or re.match(r"[^*]*[*]", glob)
    return server[0] if server else glob


def _either(globs: Sequence[str]) -> re.Pattern[str] | None:
    return re.compile("|".join(map(fnmatch.translate, globs))) if globs else None
