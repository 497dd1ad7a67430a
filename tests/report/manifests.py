"""Makes manifests for the tests; `python -m tests.report.manifests` writes the golden summaries."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from aod.bundle.manifest import (
    ActionResult,
    Anomaly,
    Disk,
    Host,
    Manifest,
    Operation,
    Suppressed,
    Tracer,
    Versions,
)
from aod.clock import iso

DATA = Path(__file__).parent / "data"
RAISED = 1763806988_123456789
MS = 1_000_000
SECOND = 1_000_000_000


def event(index: int = 0, **fields: Any) -> Operation:
    """Return an operation of a manifest, `index` times 10 ms after the first."""
    made = Operation(
        time=iso(RAISED - SECOND + index * 10 * MS),
        time_ns=5_000 * SECOND + index * 10 * MS,
        kind="completed",
        command="SMB2_READ",
        latency_ns=312 * MS,
        queue_ns=2 * MS,
        server_ns=305 * MS,
        payload_ns=5 * MS,
        threshold_ns=200 * MS,
        status="STATUS_SUCCESS",
        status_code="0x00000000",
        server="nas01",
        channel="primary",
        share="media",
        connection_id="0x1",
        session_id="0x4000000000001",
        tree_id="0x5",
        message_id=1000 + index,
        file_id="0x1f",
        file=f"episode {index:02d}.mkv",
        pid=4711,
        tid=4712,
        uid=1000,
        comm="ffmpeg",
        request_bytes=117,
        response_bytes=1048656,
        credits_granted=16,
        in_flight=12,
    )
    return replace(made, **fields)


def denied(index: int = 0, **fields: Any) -> Operation:
    """Return an operation that the server refused."""
    refused: dict[str, Any] = {
        "command": "SMB2_CREATE",
        "latency_ns": 3 * MS,
        "queue_ns": 0,
        "server_ns": 3 * MS,
        "payload_ns": 0,
        "threshold_ns": None,
        "status": "STATUS_ACCESS_DENIED",
        "status_code": "0xC0000022",
        "error": "EACCES",
        "file_id": "",
        "file": "",
        "pid": 815,
        "comm": "rsync",
    }
    return event(index, **(refused | fields))


def anomaly(kind: str, events: Sequence[Operation], **fields: Any) -> Anomaly:
    """Return an anomaly with these operations as its evidence."""
    latencies_ns = sorted(operation.latency_ns for operation in events)
    made = Anomaly(
        anomaly=kind,
        name=kind,
        timestamp=RAISED,
        raised=iso(RAISED),
        tool={"latency": "smbslower", "error": "smbiosnoop"}.get(kind, ""),
        count=len(events),
        window_s=1.0,
        limit={"acceptable_count": 10},
        worst=max(events, key=lambda operation: operation.latency_ns, default=None),
        median_latency_ns=latencies_ns[len(latencies_ns) // 2] if latencies_ns else 0,
        first=events[0].time if events else iso(RAISED),
        last=events[-1].time if events else iso(RAISED),
        events=tuple(events),
    )
    return replace(made, **fields)


def action(file: str, **fields: Any) -> ActionResult:
    """Return the result of an action that went well."""
    name, _, _ = file.partition(".")
    made = ActionResult(
        state="ok",
        name=name,
        file=file,
        bytes=20_480,
        exit_code=0,
        started_wall_ns=RAISED,
        duration_s=0.213,
    )
    return replace(made, **fields)


ACTIONS = {
    "debugdata": action("debugdata.txt"),
    "mounts": action("mounts.txt", bytes=801, duration_s=0.001),
    "stats": action("stats.txt", bytes=3_011, duration_s=0.002),
    "dmesg": action("dmesg.txt"),
    "journalctl": action("journalctl.txt", bytes=16 << 20, truncated=True, duration_s=1.4),
    "tcpdump": action("tcpdump.pcap", bytes=1_234_567, duration_s=5.01),
    "smbinfo": ActionResult(state="skipped", name="smbinfo", reason="its connection reconnects"),
}


def manifest(anomalies: Sequence[Anomaly], **fields: Any) -> Manifest:
    """Return a sealed manifest with all actions."""
    made = Manifest(
        format=1,
        state="sealed",
        timestamp=RAISED,
        raised=iso(RAISED),
        sealed=iso(RAISED + 9 * SECOND),
        trigger=anomalies[0].name,
        anomalies=tuple(anomalies),
        actions=ACTIONS,
        lost={"events": 0, "anomalies": 0},
        disk=Disk(free_bytes=90 << 30, min_free_bytes=512 << 20),
        wall_minus_monotonic_ns=RAISED - 5_000 * SECOND,
        host=Host(
            name="plex1",
            kernel="6.12.48+deb13-amd64",
            os="Debian GNU/Linux 13 (trixie)",
            machine="x86_64",
            cpus=8,
        ),
        versions=Versions(aod="0.1.0", python="3.13.5", libbpf="1.5.0"),
        config={},
    )
    return replace(made, **fields)


def slow(count: int, **fields: Any) -> list[Operation]:
    """Return `count` operations of growing latency, all but 7 ms of it at the server."""
    return [
        event(i, latency_ns=(300 + 37 * i) * MS, server_ns=(293 + 37 * i) * MS, **fields)
        for i in range(count)
    ]


def latency() -> Manifest:
    """Return a server that became slow for two programs."""
    events = slow(22)
    events += [
        event(22 + i, command="SMB2_WRITE", comm="qbittorrent", pid=90210, flags=("pended",))
        for i in range(4)
    ]
    found = anomaly(
        "latency",
        events,
        count=2126,
        repeats=3,
        events_omitted=2100,
        limit={"acceptable_count": 10, "default_threshold_ms": 200},
    )
    suppressed = Suppressed(
        name="latency",
        count=31,
        first=iso(RAISED - 70 * SECOND),
        last=iso(RAISED - 20 * SECOND),
        worst_latency_ns=2_130 * MS,
    )
    return manifest([found], suppressed_since_last=(suppressed,))


def emergency() -> Manifest:
    """Return one operation that hung, joined by errors on two servers' shares."""
    hung = event(
        latency_ns=35_200 * MS,
        queue_ns=35_100 * MS,
        server_ns=100 * MS,
        payload_ns=0,
        flags=("encrypted",),
    )
    errors = [denied(i) for i in range(1, 12)]
    errors += [
        denied(
            12 + i,
            kind="aborted",
            command="SMB2_WRITE",
            error="EAGAIN",
            status="STATUS_SUCCESS",
            server="files.example",
            share="backup",
            file="\x1b[31mdb.dump",
        )
        for i in range(3)
    ]
    first = anomaly("latency", [hung], emergency=True, limit={"emergency_threshold_ms": 1000})
    lost = {"events": 12, "anomalies": 1}
    return manifest([first, anomaly("error", errors)], lost=lost)


def manual() -> Manifest:
    """Return a bundle that was asked for on the command line."""
    reason = "the backup hangs again, ticket 4711"
    return manifest([anomaly("manual", [], reason=reason, limit={}, window_s=0)])


def asked() -> Manifest:
    """Return a bundle that was asked of the running service while one request hung."""
    reading: dict[str, Any] = {"kind": "unanswered", "threshold_ns": None, "queue_ns": 0}
    hangs: dict[str, Any] = {"latency_ns": 7_400 * MS, "server_ns": 7_400 * MS, "payload_ns": 0}
    events = [
        event(status="", **reading),
        event(
            status="",
            comm="stat",
            pid=815,
            task_state="D (disk sleep)",
            stack=("wait_for_response+0x4b1/0xb20 [cifs]",),
            **reading | hangs,
        ),
    ]
    reason = "the backup hangs again, ticket 4711"
    found = anomaly("manual", events, reason=reason, limit={}, window_s=0)
    return manifest([found], tracer=Tracer(rung=1))


def inflight() -> Manifest:
    """Return a server that answers nothing: an open file's compound and a read-ahead."""
    open_file: dict[str, Any] = {"kind": "unanswered", "threshold_ns": None, "queue_ns": 0}
    age: dict[str, Any] = {"latency_ns": 12_400 * MS, "server_ns": 12_400 * MS, "payload_ns": 0}
    who: dict[str, Any] = {"comm": "stat", "pid": 815, "file_id": "0x0", "file": ""}
    commands = ("SMB2_CREATE", "SMB2_QUERY_INFO", "SMB2_CLOSE")
    events = [
        event(command=command, compound_index=index, **open_file, **age, **who)
        for index, command in enumerate(commands)
    ]
    events[0] = replace(
        events[0],
        task_state="D (disk sleep)",
        wchan="wait_for_response",
        stack=(
            "wait_for_response+0x4b1/0xb20 [cifs]",
            "cifs_send_recv+0x4b1/0xb20 [cifs]",
            *(f"vfs_{index}+0x1f/0x30" for index in range(12)),
        ),
    )
    waits = {"latency_ns": 7_100 * MS, "queue_ns": 100 * MS, "server_ns": 7_000 * MS}
    events.append(event(flags=("async",), file="", **open_file | age | waits))
    found = anomaly(
        "inflight",
        events,
        repeats=1,
        tool="smbslower",
        limit={"threshold_ms": 5000.0},
        window_s=0,
        first=iso(RAISED - 6 * SECOND),
    )
    return manifest([found])


def without_command(index: int, kind: str, **fields: Any) -> Operation:
    """Return an operation that tells of no SMB2 command."""
    nothing: dict[str, Any] = dict.fromkeys(("latency_ns", "queue_ns", "server_ns"), 0)
    ids = {"session_id": "0x0", "tree_id": "0x0", "file_id": "0x0", "file": "", "share": ""}
    plain = {"kind": kind, "command": "", "payload_ns": 0, "threshold_ns": None}
    return event(index, **(nothing | ids | plain | fields))


def reconnect() -> Manifest:
    """Return two channels that are lost, one of them again and again, and what fails by it."""
    lost = [without_command(i, "reconnect", cause="reconnect", comm="cifsd") for i in range(3)]
    lost.append(
        without_command(
            3, "reconnect", cause="partial_send", comm="cp", pid=815, connection_id="0x2"
        )
    )
    unsent: dict[str, Any] = {"error": "EHOSTDOWN", "server": "", "connection_id": "0x0"}
    failed = [without_command(i, "unsent", **unsent) for i in range(4, 16)]
    age: dict[str, Any] = {"latency_ns": 5_200 * MS, "server_ns": 5_198 * MS, "payload_ns": 0}
    given_up = event(16, kind="unanswered", error="EIO", threshold_ns=None, **age)
    found = anomaly("reconnect", lost, tool="smbiosnoop", limit={"acceptable_count": 0})
    return manifest([found, anomaly("error", [*failed, given_up])])


def starved() -> Manifest:
    """Return writers that wait for credits, some in vain, each share counted by itself."""
    waits = [
        without_command(
            i,
            "credit_wait",
            cause="credits_awaited",
            latency_ns=(20 + 9 * i) * MS,
            queue_ns=(20 + 9 * i) * MS,
            credits_granted=1,
            in_flight=16,
        )
        for i in range(14)
    ]
    waits.append(without_command(14, "credit_wait", cause="credits_timeout", comm="cp", pid=815))
    found = anomaly(
        "credits", waits, tool="smbslower", limit={"acceptable_count": 10}, shares=("//nas01",)
    )
    hung = [
        without_command(
            i,
            "waiting",
            latency_ns=6_000 * MS,
            queue_ns=6_000 * MS,
            server="",
            connection_id="0x0",
            tid=5000 + i,
        )
        for i in range(2)
    ]
    hangs = anomaly("inflight", hung, tool="smbslower", limit={"threshold_ms": 5000.0}, window_s=0)
    return manifest([found, hangs])


def interrupted() -> Manifest:
    """Return a bundle that was cut off while its actions failed."""
    actions = {
        "debugdata": action("debugdata.txt"),
        "dmesg": action(
            "dmesg.txt",
            state="failed",
            bytes=0,
            exit_code=1,
            stderr="dmesg: read kernel buffer failed: Operation not permitted\n",
        ),
        "journalctl": action("journalctl.txt", state="timeout", bytes=4096, reason="after 10 s"),
        "tcpdump": action("tcpdump.pcap", state="pending", bytes=0, duration_s=0.0),
        "smbinfo": ActionResult(
            state="abandoned", name="smbinfo", reason="stuck in the kernel", duration_s=0.213
        ),
    }
    found = anomaly("latency", slow(11, share="", server="", file=""))
    return manifest([found], state="interrupted", sealed=None, actions=actions)


GOLDEN = {
    "latency": latency,
    "emergency": emergency,
    "inflight": inflight,
    "reconnect": reconnect,
    "starved": starved,
    "manual": manual,
    "asked": asked,
    "interrupted": interrupted,
}


if __name__ == "__main__":
    from aod.report.summary import render

    for name, make in GOLDEN.items():
        (DATA / f"summary_{name}.txt").write_text(render(make()), encoding="utf-8")
