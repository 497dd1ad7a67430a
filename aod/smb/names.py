"""What the ids of events are called, as far as the kernel shows it without asking a server.

An id that is not known is shown as an id.
"""

import logging
import threading
import time
from collections.abc import Collection, Mapping
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TypeAlias, TypeVar

import numpy as np

from aod.events import Events, Kind
from aod.host.cgroups import find_units
from aod.smb.debugdata import TCP_STATUS_GOOD, Connections, parse_debug_data
from aod.smb.openfiles import FileKey, parse_open_files
from aod.smb.paths import share_path

log = logging.getLogger(__name__)

DEBUG_DATA = Path("/proc/fs/cifs/DebugData")
CGROUPS = Path("/sys/fs/cgroup")
MAX_TEXT = 4 << 20
"""Characters read of one table: about 50,000 open files."""
RENAMING = (Kind.TREE_CONNECT, Kind.RECONNECT)
"""Events after which names may have changed."""
MAX_FILES = 4096
"""Files kept of one reading, besides those that are looked for."""
REMEMBERED = 8192
"""Of each kind of name, those gone since included; the oldest are forgotten."""
REST = 20
"""Times as long as a look-up took, what comes often rests after it: 5 % of a core at most."""

Tree: TypeAlias = tuple[int, int]
"""(connection id, tree id)"""

K = TypeVar("K")
V = TypeVar("V")


class Names:
    """Looks names up; `refresh` and `look_up` block and belong in a thread, the rest is instant.

    `open_files` lies beside `debug_data` unless named.
    """

    def __init__(
        self,
        debug_data: Path = DEBUG_DATA,
        cgroups: Path = CGROUPS,
        open_files: Path | None = None,
    ) -> None:
        self._debug_data = debug_data
        self._cgroups = cgroups
        self._open_files = open_files or debug_data.with_name("open_files")
        self._current = Connections()
        self._known = Connections()
        self._files: Mapping[FileKey, str] = {}
        self._units: Mapping[int, str] = {}
        self._reading = threading.Lock()
        self._rest_until_ns = 0

    def refresh(self) -> None:
        """Read anew which connection, session and tree belongs to what."""
        with self._reading:
            self._refresh()

    def look_up(self, events: Events, *, sparing: bool = False) -> None:
        """Read the kernel's tables anew if that could name an id, or if names have changed.

        With `sparing` it does nothing while it rests from the reading before. An id that was looked
        for in vain is not looked for again, except those of connections and trees.
        """
        if sparing and time.monotonic_ns() < self._rest_until_ns:
            return
        if not np.isin(events["kind"], RENAMING).any() and not self.has_unknown(events):
            return
        with self._reading:
            started_ns = time.monotonic_ns()
            self._refresh()
            self._find_files(_files_of(events))
            self._find_units(_cgroups_of(events))
            now_ns = time.monotonic_ns()
            self._rest_until_ns = now_ns + REST * (now_ns - started_ns)

    def has_unknown(self, events: Events) -> bool:
        """Return whether any of the events carries an id that a look-up could name."""
        return bool(
            self.has_unknown_tree(events)
            or _files_of(events) - self._files.keys()
            or _cgroups_of(events) - self._units.keys()
        )

    def has_unknown_tree(self, events: Events) -> bool:
        """Return whether any of the events has a connection or tree that a refresh could name."""
        known = self._known
        connections = set(np.unique(events["connection_id"]).tolist()) - {0}
        if known.sessions and not known.servers:  # a kernel that shows no connection ids
            connections = set()
        trees = set(zip(events["session_id"].tolist(), events["tree_id"].tolist(), strict=True))
        named_trees = {(0, *tree) for tree in trees if tree[1]}
        return bool(connections - known.servers.keys() or named_trees - known.shares.keys())

    def server(self, connection_id: int, session_id: int = 0) -> str:
        """Return the server's name, or "" when it is not known.

        The session names it on kernels without connection ids.
        """
        known = self._known
        return known.servers.get(connection_id, "") or known.sessions.get(session_id, "")

    def channel(self, connection_id: int) -> str:
        """Return which channel of its session a connection is: "primary", "2", ..., or ""."""
        number = self._known.channels.get(connection_id, 0)
        return {0: "", 1: "primary"}.get(number, str(number))

    def share(self, session_id: int, tree_id: int, connection_id: int = 0) -> str:
        """Return the share's name, or "" when it is not known.

        The connection decides where two servers have given out the same ids.
        """
        known = self._known
        of_primary = known.primaries.get(connection_id, 0), session_id, tree_id
        return known.shares.get(of_primary) or known.shares.get((0, session_id, tree_id), "")

    def shares(self, events: Events) -> list[str]:
        """Return each `//server/share` that events belong to, as far as they are known."""
        columns = (events[name].tolist() for name in ("connection_id", "session_id", "tree_id"))
        names = {
            (self.server(connection_id, session_id), self.share(session_id, tree_id, connection_id))
            for connection_id, session_id, tree_id in set(zip(*columns, strict=True))
        }
        return sorted(share_path(server, share) for server, share in names if share)

    def server_and_share(self, connection_id: int, tree_id: int) -> tuple[str, str]:
        """Return server and share of a tree whose session is not known, "" for what is not known.

        Two sessions of a connection may have the same tree id: then the share is not known.
        """
        for known in (self._current, self._known):
            primary = known.primaries.get(connection_id, 0)
            trees = {
                (known.servers.get(connection_id, "") or known.sessions.get(session, ""), share)
                for (connection, session, tree), share in known.shares.items()
                if (connection, tree) == (primary, tree_id)
            }
            if len(trees) == 1:
                return trees.pop()
        return self.server(connection_id), ""

    def of_trees(self, trees: Collection[Tree]) -> dict[Tree, tuple[str, str]]:
        """Return server and share of each tree; reads anew, and blocks, when one has no name."""
        found = {tree: self.server_and_share(*tree) for tree in trees}
        if all(server and (share or not tree[1]) for tree, (server, share) in found.items()):
            return found
        self.refresh()
        return {tree: self.server_and_share(*tree) for tree in trees}

    def file(self, session_id: int, tree_id: int, file_id: int) -> str:
        """Return the name, without its folder, under which a file id was last seen, or ""."""
        return self._files.get((session_id, tree_id, file_id), "")

    def unit(self, cgroup_id: int) -> str:
        """Return the systemd unit or pod of a cgroup, or "" when it is not known."""
        return self._units.get(cgroup_id, "")

    def is_given_up(self, connection_id: int, message_id: int) -> bool:
        """Return whether cifs no longer waited for a request at the last refresh.

        False for a connection that DebugData did not name: nothing is known of it.
        """
        known = self._current
        return connection_id in known.servers and (connection_id, message_id) not in known.pending

    def connections_of(self, server: str) -> frozenset[int]:
        """Return the connection ids of a server."""
        known = self._current.servers.items()
        return frozenset(connection for connection, name in known if name == server)

    def is_reconnecting(self, server: str) -> bool:
        """Return whether a connection of the server was not in order at the last refresh."""
        status = self._current.tcp_status
        return any(
            status.get(connection, TCP_STATUS_GOOD) != TCP_STATUS_GOOD
            for connection in self.connections_of(server) or {0}
        )

    def _refresh(self) -> None:
        text = _read(self._debug_data)
        if text is not None:
            self._current = parse_debug_data(text)
            self._known = _remembered(self._known, self._current)

    def _find_files(self, wanted: frozenset[FileKey]) -> None:
        """Read which files are open, when one is wanted that is not known."""
        if not wanted - self._files.keys():
            return
        # A kernel that does not show the session names a file under session 0.
        anyhow = wanted | {(0, tree, file) for _, tree, file in wanted}
        files = parse_open_files(_read(self._open_files) or "")
        found = dict(islice(files, MAX_FILES))
        found.update((key, name) for key, name in files if key in anyhow)
        for key in wanted - found.keys():
            found[key] = found.get((0, *key[1:]), "") or self._files.get(key, "")
        self._files = _newest(self._files, found)

    def _find_units(self, wanted: frozenset[int]) -> None:
        missing = wanted - self._units.keys()
        if missing:
            found = dict.fromkeys(missing, "") | find_units(self._cgroups, missing)
            self._units = _newest(self._units, found)


def _files_of(events: Events) -> frozenset[FileKey]:
    named = events[events["file_id"] != 0]
    ids = (named[name].tolist() for name in ("session_id", "tree_id", "file_id"))
    return frozenset(zip(*ids, strict=True))


def _cgroups_of(events: Events) -> frozenset[int]:
    return frozenset(np.unique(events["cgroup_id"]).tolist()) - {0}


def _remembered(old: Connections, new: Connections) -> Connections:
    """Return `new` with the names of what is gone: a reconnect brings new sessions and trees."""
    return replace(
        new,
        servers=_newest(old.servers, new.servers),
        sessions=_newest(old.sessions, new.sessions),
        channels=_newest(old.channels, new.channels),
        primaries=_newest(old.primaries, new.primaries),
        shares=_newest(old.shares, new.shares),
    )


def _newest(old: Mapping[K, V], new: Mapping[K, V]) -> dict[K, V]:
    """Return `new` with what of `old` fits in beside it; a fresh dict, for readers beside us."""
    kept = {key: value for key, value in old.items() if key not in new} | dict(new)
    return dict(islice(kept.items(), max(0, len(kept) - REMEMBERED), None))


def _read(path: Path) -> str | None:
    try:
        with path.open(encoding="utf-8", errors="replace", newline="\n") as file:
            return file.read(MAX_TEXT)
    except OSError as error:
        log.debug("no names of %s: %s", path.name, error)
        return None
