"""Runs the installed aod in the guest, and looks at what it leaves."""

import json
import re
import shlex
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aod.bundle import read_member
from aod.tracer.ledger import Ledger
from tests.plain import manifest_in
from tests.vm.lab import Job, Machine

AOD = "/opt/aod/bin/aod"
SHIPPED = Path("/opt/aod/config/config.yaml")
OUTPUT = Path("/var/tmp/aod")
CONFIG = Path("/run/aod.yaml")

ALL_ACTIONS = [
    "debugdata",
    "stats",
    "open_files",
    "mounts",
    "tcpdump",
    "dmesg",
    "journalctl",
    "syslogs",
    "smbinfo",
]
QUICK_ACTIONS = ["debugdata", "stats"]

KPROBES = 9
STARTUP_S = 180
"""Under software emulation numpy and pydantic alone take 5 s to import, on a busy machine 60."""


def watching(anomalies: Mapping[str, Any], **keys: Any) -> dict[str, Any]:
    """Return a config that watches for `anomalies` with two quick actions."""
    return {
        "guardian": {
            "anomalies": {
                name: {"actions": QUICK_ACTIONS, **_counted(section), **section}
                for name, section in anomalies.items()
            }
        },
        "watcher": {"actions": ALL_ACTIONS, "post_trigger_sec": 2, **keys.pop("watcher", {})},
        "min_free_mb": 0,
        **keys,
    }


def _counted(section: Mapping[str, Any]) -> dict[str, int]:
    return {} if section["type"] == "Inflight" else {"acceptable_count": 0}


def wait_for_probes(vm: Machine) -> None:
    """Wait until the probes of a command that has just been started are attached."""
    attached = f"[ $(bpftool link show | grep -c perf_event) -ge {KPROBES} ]"
    vm.run(f"timeout 60 bash -c 'until {attached}; do sleep 0.2; done'", 90)


class Daemon:
    """One `aod run` in the guest; its log lies in /run/aod.log there."""

    def __init__(self, vm: Machine, job: Job) -> None:
        self._vm = vm
        self._job = job

    @classmethod
    def start(
        cls,
        vm: Machine,
        config: Mapping[str, Any] | None = None,
        *,
        wrapper: str = "",
        ready: str = "attached",
        **environment: str,
    ) -> "Daemon":
        """Start it with a config (default: the shipped one) and wait until it says `ready`."""
        path = SHIPPED
        if config is not None:
            vm.write(CONFIG, json.dumps(config).encode())
            path = CONFIG
        settings = {"AOD_OUTPUT_DIR": str(OUTPUT), **environment}
        named = " ".join(f"{name}={shlex.quote(value)}" for name, value in settings.items())
        job = vm.start(f"{named} exec {wrapper} {AOD} run --config {path} 2> /run/aod.log")
        daemon = cls(vm, job)
        daemon.wait_for(ready, STARTUP_S)
        return daemon

    @property
    def pid(self) -> int:
        """The process id, that of the wrapper if there is one."""
        return self._job.pid

    def wait_for(self, text: str, timeout_s: int = 60) -> None:
        """Wait until the log has `text`; CommandError when it does not come in time."""
        look = f"until grep -qF {shlex.quote(text)} /run/aod.log; do sleep 0.1; done"
        self._vm.run(
            f"timeout {timeout_s} bash -c {shlex.quote(look)} || "
            "{ cat /run/aod.log >&2; exit 1; }",
            timeout_s + 30,
        )

    def log(self) -> str:
        """Return what it logged."""
        return self._vm.read("/run/aod.log").decode()

    def signal(self, number: int) -> None:
        """Send it a signal."""
        self._job.signal(number)

    def stop(self, timeout_s: float = 40) -> int:
        """End it by SIGTERM and return its exit code; its books are closed then."""
        self._job.signal(signal.SIGTERM)
        code = self._job.wait(timeout_s)
        assert self.ledger().is_closed, self.log()
        return code

    def ledger(self) -> Ledger:
        """Return the books that it told at its end."""
        (told,) = re.findall(r"stopped (requests=.*)", self.log())
        pairs = (pair.split("=") for pair in told.split())
        return Ledger(**{name: int(value) for name, value in pairs})

    def wait(self, timeout_s: float = 40) -> int:
        """Wait for its end and return its exit code."""
        return self._job.wait(timeout_s)


class Left:
    """What aod left in its output directory, copied to this machine."""

    def __init__(self, vm: Machine, folder: Path) -> None:
        self.folder = folder / "aod"
        vm.copy_out(OUTPUT, self.folder)
        self.names = sorted(path.name for path in self.folder.iterdir())
        self.bundles = sorted(self.folder.glob("aod_*.tar.zst"))

    def manifest(self, index: int = 0) -> dict[str, Any]:
        """Return the manifest of a bundle, oldest first."""
        return manifest_in(self.bundles[index])

    def member(self, name: str, index: int = 0) -> bytes:
        """Return a file of a bundle."""
        return read_member(self.bundles[index], name)

    def audit(self) -> list[dict[str, Any]]:
        """Return the lines of the audit log."""
        return [json.loads(line) for line in (self.folder / "audit.jsonl").read_text().splitlines()]


def anomaly(manifest: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return one anomaly of a manifest by its name."""
    (found,) = [entry for entry in manifest["anomalies"] if entry["name"] == name]
    return dict(found)
