"""manifest.json and the rows of events.csv: what is kept of an incident, in words."""

import os
import platform
import socket
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aod import smb
from aod.clock import iso
from aod.detectors.anomaly import Anomaly, AnomalyType
from aod.events import Cause, Events, Flag, Kind, has_command, server_ns
from aod.smb.filter import NEVER
from aod.smb.names import Names

FORMAT = 1


def describe_events(
    events: Events, thresholds_ns: NDArray[np.uint64] | None, names: Names, wall_offset_ns: int
) -> list[dict[str, Any]]:
    """Return each event with its names; `thresholds_ns` has shape (n,) or is None."""
    server_times_ns = server_ns(events).tolist()
    thresholds = [NEVER] * events.size if thresholds_ns is None else thresholds_ns.tolist()
    rows = [
        _describe(event, server_time_ns, threshold_ns, names, wall_offset_ns)
        for event, server_time_ns, threshold_ns in zip(
            events, server_times_ns, thresholds, strict=True
        )
    ]
    for index in np.flatnonzero(~has_command(events)).tolist():
        rows[index] |= {"command": "", "threshold_ns": None}
    return rows


def describe_anomaly(
    anomaly: Anomaly, repeats: int, rows: list[dict[str, Any]], limits: Mapping[str, Any]
) -> dict[str, Any]:
    """Return an anomaly with its evidence; `rows` are its events, described."""
    rows = [row | _task(anomaly, event) for row, event in zip(rows, anomaly.events, strict=False)]
    worst = max(rows, key=lambda row: int(row["latency_ns"]), default=None)
    latencies_ns = anomaly.events["latency_ns"]
    return {
        "anomaly": str(anomaly.anomaly),
        "name": anomaly.name,
        "timestamp": anomaly.timestamp,
        "raised": iso(anomaly.timestamp),
        "emergency": anomaly.emergency,
        "tool": limits.get("tool", ""),
        "count": anomaly.count,
        "repeats": repeats,
        "window_s": anomaly.window_ns / 1e9,
        "limit": {key: value for key, value in limits.items() if key.endswith(("_ms", "count"))},
        "reason": anomaly.reason,
        "shares": list(anomaly.shares),
        "worst": worst,
        "median_latency_ns": int(np.median(latencies_ns)) if rows else 0,
        "first": _first(anomaly, rows),
        "last": rows[-1]["time"] if rows else iso(anomaly.timestamp),
        "events": rows,
        "events_omitted": anomaly.count - len(rows) if rows else 0,
    }


def describe_host() -> dict[str, Any]:
    """Return the machine's name, kernel and distribution."""
    return {
        "name": socket.gethostname(),
        "kernel": platform.release(),
        "os": _os_name(),
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
    }


def describe_versions(libbpf: str = "") -> dict[str, str]:
    """Return the versions of what made the bundle; `libbpf` is "" where no tracer ran."""
    return {"aod": version("aod"), "python": platform.python_version(), "libbpf": libbpf}


def _describe(
    event: np.void, server_time_ns: int, threshold_ns: int, names: Names, wall_offset_ns: int
) -> dict[str, Any]:
    connection_id, session_id = int(event["connection_id"]), int(event["session_id"])
    tree_id, file_id = int(event["tree_id"]), int(event["file_id"])
    status = int(event["status"])
    return {
        "time": iso(int(event["time_ns"]) + wall_offset_ns),
        "time_ns": int(event["time_ns"]),
        "kind": Kind(int(event["kind"])).name.lower(),
        "cause": Cause(int(event["cause"])).name.lower() if event["cause"] else "",
        "command": smb.command_name(int(event["command"])),
        "latency_ns": int(event["latency_ns"]),
        "queue_ns": int(event["queue_ns"]),
        "server_ns": server_time_ns,
        "payload_ns": int(event["payload_ns"]),
        "pended_ns": int(event["pended_ns"]),
        "threshold_ns": None if threshold_ns == NEVER else threshold_ns,
        "status": smb.status_name(status),
        "status_code": f"0x{status:08X}",
        "error": smb.error_name(int(event["error"])),
        "server": names.server(connection_id, session_id),
        "channel": names.channel(connection_id),
        "share": names.share(session_id, tree_id, connection_id),
        "connection_id": f"0x{connection_id:x}",
        "session_id": f"0x{session_id:x}",
        "tree_id": f"0x{tree_id:x}",
        "message_id": int(event["message_id"]),
        "file_id": f"0x{file_id:x}",
        "file": names.file(session_id, tree_id, file_id),
        "unit": names.unit(int(event["cgroup_id"])),
        "pid": int(event["pid"]),
        "tid": int(event["tid"]),
        "uid": int(event["uid"]),
        "comm": event["comm"].decode(errors="replace"),
        "flags": [str(flag.name).lower() for flag in Flag if int(event["flags"]) & flag],
        "request_bytes": int(event["request_bytes"]),
        "response_bytes": int(event["response_bytes"]),
        "credits_granted": int(event["credits_granted"]),
        "in_flight": int(event["in_flight"]),
        "compound_index": int(event["compound_index"]),
    }


def _task(anomaly: Anomaly, event: np.void) -> dict[str, Any]:
    """Return what the thread was doing that waits for this request, if somebody looked."""
    request = int(event["connection_id"]), int(event["message_id"]), int(event["tid"])
    task = anomaly.tasks.get(request)
    if not task:
        return {}
    return {"task_state": task.state, "wchan": task.wchan, "stack": list(task.stack)}


def _first(anomaly: Anomaly, rows: list[dict[str, Any]]) -> str:
    """Return the time of the first event; of requests that hang, when the oldest began."""
    if not rows or anomaly.anomaly is not AnomalyType.INFLIGHT:
        return str(rows[0]["time"]) if rows else iso(anomaly.timestamp)
    began_ns = int((anomaly.events["time_ns"] - anomaly.events["latency_ns"]).min())
    return iso(anomaly.timestamp - anomaly.raised_ns + began_ns)


def _os_name() -> str:
    """Return the distribution's name, such as "Debian GNU/Linux 12 (bookworm)"."""
    for path in (Path("/etc/os-release"), Path("/usr/lib/os-release")):
        try:
            text = path.read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        for line in text.splitlines():
            if line.startswith("PRETTY_NAME="):
                return line.partition("=")[2].strip().strip('"')
    return platform.system()
