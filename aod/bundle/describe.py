"""Events, anomalies and the machine in words, as they stand in manifest and events.csv."""

import os
import platform
import socket
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from aod import smb
from aod.bundle import manifest
from aod.bundle.manifest import Host, Operation, Versions
from aod.clock import iso
from aod.detectors.anomaly import Anomaly
from aod.detectors.words import words_of
from aod.events import Cause, Events, Flag, Kind, has_command, server_ns
from aod.smb.filter import NEVER


class Names(Protocol):
    """Knows what ids are called; "" where it does not."""

    def server(self, connection_id: int, session_id: int) -> str:
        """Return the name of a server."""

    def channel(self, connection_id: int) -> str:
        """Return which channel of its session a connection is."""

    def share(self, session_id: int, tree_id: int, connection_id: int) -> str:
        """Return the name of a share."""

    def file(self, session_id: int, tree_id: int, file_id: int) -> str:
        """Return the name of a file without its folder."""

    def unit(self, cgroup_id: int) -> str:
        """Return the systemd unit or pod of a cgroup."""


def describe_events(
    events: Events, thresholds_ns: NDArray[np.uint64] | None, names: Names, wall_offset_ns: int
) -> list[Operation]:
    """Return each event with its names; `thresholds_ns` has shape (n,) or is None."""
    commands = has_command(events)
    if thresholds_ns is None:
        thresholds_ns = np.full(events.size, NEVER, np.uint64)
    thresholds_ns = np.where(commands, thresholds_ns, np.uint64(NEVER))
    columns = (commands.tolist(), server_ns(events).tolist(), thresholds_ns.tolist())
    return [
        _describe(event, is_command, server_time_ns, threshold_ns, names, wall_offset_ns)
        for event, is_command, server_time_ns, threshold_ns in zip(events, *columns, strict=True)
    ]


def describe_anomaly(
    anomaly: Anomaly,
    repeats: int,
    operations: Sequence[Operation],
    limits: Mapping[str, object],
    usual_latency_ns: int,
) -> manifest.Anomaly:
    """Return an anomaly with its evidence: `operations` are its events, described.

    `limits` are the keys of its section of the config.
    """
    pairs = zip(operations, anomaly.events, strict=True)
    described = tuple(_with_task(operation, anomaly, event) for operation, event in pairs)
    raised = iso(anomaly.timestamp)
    return manifest.Anomaly(
        anomaly=str(anomaly.anomaly),
        name=anomaly.name,
        timestamp=anomaly.timestamp,
        raised=raised,
        emergency=anomaly.emergency,
        tool=str(limits.get("tool", "")),
        count=anomaly.count,
        repeats=repeats,
        window_s=anomaly.window_ns / 1e9,
        limit=_limit(limits),
        reason=anomaly.reason,
        shares=anomaly.shares,
        worst=max(described, key=lambda operation: operation.latency_ns, default=None),
        median_latency_ns=int(np.median(anomaly.events["latency_ns"])) if described else 0,
        first=_first(anomaly) if described else raised,
        last=described[-1].time if described else raised,
        events=described,
        events_omitted=anomaly.count - len(described) if described else 0,
        usual_latency_ns=usual_latency_ns,
    )


def describe_host() -> Host:
    """Return the machine's name, kernel and distribution."""
    return Host(
        name=socket.gethostname(),
        kernel=platform.release(),
        os=_os_name(),
        machine=platform.machine(),
        cpus=os.cpu_count(),
    )


def describe_versions(libbpf: str) -> Versions:
    """Return the versions of what made the bundle; `libbpf` is "" where no tracer ran."""
    return Versions(aod=version("aod"), python=platform.python_version(), libbpf=libbpf)


def _describe(
    event: np.void,
    is_command: bool,
    server_time_ns: int,
    threshold_ns: int,
    names: Names,
    wall_offset_ns: int,
) -> Operation:
    connection_id, session_id = int(event["connection_id"]), int(event["session_id"])
    tree_id, file_id = int(event["tree_id"]), int(event["file_id"])
    status = int(event["status"])
    return Operation(
        time=iso(int(event["time_ns"]) + wall_offset_ns),
        time_ns=int(event["time_ns"]),
        kind=Kind(int(event["kind"])).name.lower(),
        cause=Cause(int(event["cause"])).name.lower() if event["cause"] else "",
        command=smb.command_name(int(event["command"])) if is_command else "",
        latency_ns=int(event["latency_ns"]),
        queue_ns=int(event["queue_ns"]),
        server_ns=server_time_ns,
        payload_ns=int(event["payload_ns"]),
        pended_ns=int(event["pended_ns"]),
        threshold_ns=None if threshold_ns == NEVER else threshold_ns,
        status=smb.status_name(status),
        status_code=f"0x{status:08X}",
        error=smb.error_name(int(event["error"])),
        server=names.server(connection_id, session_id),
        channel=names.channel(connection_id),
        share=names.share(session_id, tree_id, connection_id),
        connection_id=f"0x{connection_id:x}",
        session_id=f"0x{session_id:x}",
        tree_id=f"0x{tree_id:x}",
        message_id=int(event["message_id"]),
        file_id=f"0x{file_id:x}",
        file=names.file(session_id, tree_id, file_id),
        unit=names.unit(int(event["cgroup_id"])),
        pid=int(event["pid"]),
        tid=int(event["tid"]),
        uid=int(event["uid"]),
        comm=event["comm"].decode(errors="replace"),
        flags=tuple(str(flag.name).lower() for flag in Flag if int(event["flags"]) & flag),
        request_bytes=int(event["request_bytes"]),
        response_bytes=int(event["response_bytes"]),
        credits_granted=int(event["credits_granted"]),
        in_flight=int(event["in_flight"]),
        compound_index=int(event["compound_index"]),
    )


def _with_task(operation: Operation, anomaly: Anomaly, event: np.void) -> Operation:
    """Add what the thread was doing that waits for this request, if somebody looked."""
    thread = anomaly.threads.get((int(event["connection_id"]), operation.message_id, operation.tid))
    if not thread:
        return operation
    return replace(operation, task_state=thread.state, wchan=thread.wchan, stack=thread.stack)


def _limit(limits: Mapping[str, object]) -> dict[str, int | float]:
    """Return those keys of a section that an anomaly is judged by."""
    return {
        key: value
        for key, value in limits.items()
        if key.endswith(("_ms", "count")) and isinstance(value, int | float)
    }


def _first(anomaly: Anomaly) -> str:
    """Return the time of the first event; of those that are still open, when the oldest began."""
    times_ns = anomaly.events["time_ns"]
    if words_of(anomaly.anomaly).is_open:
        first_ns = int((times_ns - anomaly.events["latency_ns"]).min())
    else:
        first_ns = int(times_ns[0])
    return iso(anomaly.timestamp - anomaly.raised_ns + first_ns)


def _os_name() -> str:
    """Return the distribution's name, such as "Debian GNU/Linux 12 (bookworm)"."""
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, UnicodeDecodeError):
        return platform.system()
