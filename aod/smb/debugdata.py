"""/proc/fs/cifs/DebugData: which connection, session and tree belongs to what.

The kernel writes it from memory: reading it asks nothing of a server.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

TCP_STATUS_GOOD = 1
"""CifsGood of enum statusEnum (fs/smb/client/cifsglob.h); 3 and 4 mean a reconnect."""
PRIMARY = 1
"""The number of a session's first channel; DebugData counts the extra ones from 2."""

# One token a match, so that a new field does no harm. A number has a bounded length: int()
# refuses 4300 decimal digits. Blanks are no line ends: `^\s*` would be quadratic.
_TOKEN = re.compile(
    r"(?:^[ \t]*\d+\) ConnectionId: 0x(?P<connection>[0-9a-f]{1,16})"
    r"(?: Hostname: (?P<server>\S*))?)"
    r"|(?:^[ \t]*\d+\) (?:Name|Address): (?P<address>\S+))"
    r"|(?:Channel: (?P<channel>\d{1,9}) ConnectionId: 0x(?P<extra>[0-9a-f]{1,16}))"
    r"|(?:TCP status: (?P<tcp>\d{1,9}))"
    r"|(?:SessionId: 0x(?P<session>[0-9a-f]{1,16}))"
    r"|(?:^[ \t]*\d+\) (?:IPC: )?(?P<share>\\\\.*?) Mounts: \d+)"
    r"|(?:^[ \t]*tid: 0x(?P<tree>[0-9a-f]{1,8})\b)"
    r"|(?:^[ \t]*(?P<mids>MIDs:))"
    r"|(?:Server ConnectionId: 0x(?P<waited>[0-9a-f]{1,16}))"
    r"|(?:^[ \t]*State: .* mid (?P<mid>\d{1,20})$)",
    re.MULTILINE,
)


@dataclass(frozen=True, slots=True)
class Connections:
    """What DebugData shows: ids of connections, sessions and trees and what they belong to."""

    servers: Mapping[int, str] = field(default_factory=dict)
    """{connection id: server}"""
    sessions: Mapping[int, str] = field(default_factory=dict)
    """{session id: server}, for kernels that do not show connection ids (before 5.11)."""
    channels: Mapping[int, int] = field(default_factory=dict)
    """{connection id: number of the channel}, PRIMARY for the first or only one."""
    primaries: Mapping[int, int] = field(default_factory=dict)
    """{connection id: that of its session's first channel}"""
    tcp_status: Mapping[int, int] = field(default_factory=dict)
    """{connection id: TCP_STATUS_GOOD or another}, of all under 0 without connection ids."""
    shares: Mapping[tuple[int, int, int], str] = field(default_factory=dict)
    """{(connection id of the first channel, session id, tree id): share}, and the same under
    connection id 0, "" where two servers have given out the same ids."""
    pending: frozenset[tuple[int, int]] = frozenset()
    """(connection id, message id) of each request that cifs itself still waits for."""


class _Reader:
    """Takes the tokens in their order; what a token means depends on those before it."""

    def __init__(self) -> None:
        self.servers: dict[int, str] = {}
        self.sessions: dict[int, str] = {}
        self.channels: dict[int, int] = {}
        self.primaries: dict[int, int] = {}
        self.tcp_status: dict[int, int] = {}
        self.shares: dict[tuple[int, int, int], str] = {}
        self.pending: set[tuple[int, int]] = set()
        self._server, self._share = "", ""
        self._primary, self._connection, self._session = 0, 0, 0

    def take(self, token: re.Match[str]) -> None:
        """Note what one token says."""
        if token["connection"]:
            self._server = token["server"] or ""
            self._primary = int(token["connection"], 16)
            self._add_connection(self._primary, PRIMARY)
        elif token["address"]:
            self._take_address(token["address"])
        elif token["extra"]:
            self._add_connection(int(token["extra"], 16), int(token["channel"]))
        elif token["tcp"]:
            self._take_status(int(token["tcp"]))
        elif token["session"]:
            self._session = int(token["session"], 16)
            self.sessions[self._session] = self._server
        elif token["share"]:
            self._take_share(token["share"])
        elif token["tree"]:
            self._add_share(int(token["tree"], 16))
        elif token["mids"]:
            # Before 6.2 the requests of the first channel follow, with no word on whose they are.
            self._connection = self._primary
        elif token["waited"]:
            self._connection = int(token["waited"], 16)
        elif token["mid"]:
            self.pending.add((self._connection, int(token["mid"])))

    def _add_connection(self, connection: int, channel: int) -> None:
        self._connection = connection
        self.servers[connection] = self._server
        self.channels[connection] = channel
        self.primaries[connection] = self._primary

    def _take_address(self, address: str) -> None:
        """Name a server by its session's address where the kernel shows no host name."""
        if not self._primary:
            self._server = address
        elif not self._server:
            self._server = self.servers[self._primary] = address

    def _take_status(self, status: int) -> None:
        """Note it; of servers without ids the one that is not in order counts."""
        if self._connection or self.tcp_status.get(0, TCP_STATUS_GOOD) == TCP_STATUS_GOOD:
            self.tcp_status[self._connection] = status

    def _take_share(self, path: str) -> None:
        r"""Take `\\server\share`, the only host name that a kernel without connection ids shows."""
        server, _, self._share = path.removeprefix("\\\\").rpartition("\\")
        if not self._primary:
            self.sessions[self._session] = server

    def _add_share(self, tree: int) -> None:
        self.shares[self._primary, self._session, tree] = self._share
        anywhere = 0, self._session, tree
        known = self.shares.get(anywhere, self._share) if self._primary else self._share
        self.shares[anywhere] = self._share if known == self._share else ""


def parse_debug_data(text: str) -> Connections:
    """Read DebugData of any kernel; what is damaged is left out, nothing is raised."""
    reader = _Reader()
    for token in _TOKEN.finditer(text):
        reader.take(token)
    return Connections(
        reader.servers,
        reader.sessions,
        reader.channels,
        reader.primaries,
        reader.tcp_status,
        reader.shares,
        frozenset(reader.pending),
    )
