"""Names for the ids that events carry: server, share, unit or pod.

The ids come from /proc/fs/cifs/DebugData, which the kernel writes from memory: reading it
asks nothing of a server. An id that is not known is shown as an id.
"""

import logging
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from aod.events import Events

log = logging.getLogger(__name__)

DEBUG_DATA = Path("/proc/fs/cifs/DebugData")
CGROUPS = Path("/sys/fs/cgroup")
MAX_TEXT = 4 << 20
TCP_STATUS_GOOD = 1
"""CifsGood of enum statusEnum (fs/smb/client/cifsglob.h); 3 and 4 mean a reconnect."""

# Formats of 5.15, 6.1, 6.8 and 7.3; one token a match, so that a new field does no harm.
_TOKEN = re.compile(
    r"(?:^\s*\d+\) ConnectionId: 0x(?P<connection>[0-9a-f]+) Hostname: (?P<server>\S*))"
    r"|(?:Channel: \d+ ConnectionId: 0x(?P<channel>[0-9a-f]+))"
    r"|(?:TCP status: (?P<tcp>\d+))"
    r"|(?:SessionId: 0x(?P<session>[0-9a-f]+))"
    r"|(?:^\s*\d+\) (?:IPC: )?(?P<share>\\\\.*?) Mounts: \d+)"
    r"|(?:^\s*tid: 0x(?P<tree>[0-9a-f]+))"
    r"|(?:Server ConnectionId: 0x(?P<waited>[0-9a-f]+))"
    r"|(?:^\s*State: .* mid (?P<mid>\d+)$)",
    re.MULTILINE,
)
_POD = re.compile(r"pod([0-9a-f]{8}[-_][0-9a-f_-]{27})")
_UNIT = re.compile(r"[^/]+\.(?:service|scope|slice)$")


@dataclass(frozen=True, slots=True)
class Connections:
    """What DebugData tells: ids of connections, sessions and trees and what they belong to."""

    servers: Mapping[int, str] = field(default_factory=dict)
    tcp_status: Mapping[int, int] = field(default_factory=dict)
    shares: Mapping[tuple[int, int], str] = field(default_factory=dict)
    """{(session id, tree id): share name}"""
    pending: frozenset[tuple[int, int]] = frozenset()
    """(connection id, message id) of each request that cifs itself still waits for."""


def parse_debug_data(text: str) -> Connections:
    """Read DebugData of any kernel; what is damaged is left out, nothing is raised."""
    servers: dict[int, str] = {}
    tcp_status: dict[int, int] = {}
    shares: dict[tuple[int, int], str] = {}
    pending: set[tuple[int, int]] = set()
    server, connection, session, share = "", 0, 0, ""
    for match in _TOKEN.finditer(text[:MAX_TEXT]):
        kind, value = str(match.lastgroup), match[str(match.lastgroup)]
        if kind == "server":
            connection, server = int(match["connection"], 16), value
            servers[connection] = server
        elif kind == "channel":
            connection = int(value, 16)
            servers[connection] = server
        elif kind == "tcp":
            tcp_status[connection] = int(value)
        elif kind == "session":
            session = int(value, 16)
        elif kind == "share":
            share = value.rpartition("\\")[2]
        elif kind == "tree":
            shares[session, int(value, 16)] = share
        elif kind == "waited":
            connection = int(value, 16)
        elif kind == "mid":
            pending.add((connection, int(value)))
    return Connections(servers, tcp_status, shares, frozenset(pending))


class Names:
    """Looks names up; `refresh` blocks and belongs in a thread, the rest is instant."""

    def __init__(self, debug_data: Path = DEBUG_DATA, cgroups: Path = CGROUPS) -> None:
        self._debug_data = debug_data
        self._cgroups = cgroups
        self._connections = Connections()
        self._units: dict[int, str] = {}

    def refresh(self, cgroup_ids: frozenset[int] = frozenset()) -> None:
        """Read the kernel's tables anew, and look for the cgroups that are named."""
        try:
            with self._debug_data.open(encoding="utf-8", errors="replace") as file:
                self._connections = parse_debug_data(file.read(MAX_TEXT))
        except OSError as error:
            log.debug("no names of connections: %s", error)
        missing = cgroup_ids - self._units.keys()
        if missing:
            self._units.update(dict.fromkeys(missing, ""))
            self._units.update(_find_units(self._cgroups, missing))

    def has_unknown(self, events: Events) -> bool:
        """Tell whether any of the events carries an id that a refresh could name."""
        connections = set(np.unique(events["connection_id"]).tolist()) - {0}
        trees = set(zip(events["session_id"].tolist(), events["tree_id"].tolist(), strict=True))
        named_trees = {tree for tree in trees if tree[1]}
        return bool(
            connections - self._connections.servers.keys()
            or named_trees - self._connections.shares.keys()
            or set(np.unique(events["cgroup_id"]).tolist()) - self._units.keys() - {0}
        )

    def server(self, connection_id: int) -> str:
        """Return the server's name, or "" when it is not known."""
        return self._connections.servers.get(connection_id, "")

    def share(self, session_id: int, tree_id: int) -> str:
        """Return the share's name, or "" when it is not known."""
        return self._connections.shares.get((session_id, tree_id), "")

    def unit(self, cgroup_id: int) -> str:
        """Return the systemd unit or pod of a cgroup, or "" when it is not known."""
        return self._units.get(cgroup_id, "")

    def is_given_up(self, connection_id: int, message_id: int) -> bool:
        """Tell whether cifs no longer waited for a request at the last refresh.

        False for a connection that DebugData did not name: nothing is known of it.
        """
        known = self._connections
        return connection_id in known.servers and (connection_id, message_id) not in known.pending

    def connections_of(self, server: str) -> frozenset[int]:
        """Return the connection ids of a server."""
        known = self._connections.servers.items()
        return frozenset(connection for connection, name in known if name == server)

    def is_reconnecting(self, server: str) -> bool:
        """Tell whether a connection of the server was not in order at the last refresh."""
        status = self._connections.tcp_status
        return any(
            status.get(connection, TCP_STATUS_GOOD) != TCP_STATUS_GOOD
            for connection in self.connections_of(server)
        )


def unit_of(path: str) -> str:
    """Return the pod or the innermost unit in a cgroup's path, else the path, "" for the root.

    `/system.slice/smb-backup.service` gives `smb-backup.service`; a path below
    `kubepods` gives `pod <uid>`.
    """
    if pod := _POD.search(path):
        return f"pod {pod[1].replace('_', '-')}"
    units = [part for part in path.split("/") if _UNIT.match(part)]
    return units[-1] if units else path.rstrip("/")


def _find_units(root: Path, cgroup_ids: frozenset[int]) -> dict[int, str]:
    """Return the units of the cgroups: the id of a cgroup is its folder's inode number."""
    found: dict[int, str] = {}
    for folder in _folders(root):
        try:
            inode = folder.stat().st_ino
        except OSError:  # a cgroup that has ended since its folder was listed
            continue
        if inode in cgroup_ids:
            found[inode] = unit_of("/" + "/".join(folder.relative_to(root).parts))
        if found.keys() >= cgroup_ids:
            break
    return found


def _folders(root: Path) -> Iterator[Path]:
    for path, folders, _ in os.walk(root):
        folders.sort()
        yield Path(path)
