"""Memory of a service over many incidents, in a process of its own."""

import json
import subprocess
import sys
from pathlib import Path

from tests import ROOT

FEW, MANY = 50, 500
SERVICE = """
import asyncio, sys, time
from pathlib import Path
from aod import smb
from aod.runtime import memory
from aod.bundle import OutputDirectory
from aod.commands.loop import watch_children_by_pidfd
from aod.config import Config
from aod.smb import module
from aod.smb.module import Module
from tests.fakes import FakeTracer, running, slow

module.current = lambda: Module(identity=1, users=None)

def pss_kib():
    text = Path("/proc/self/smaps_rollup").read_text()
    return next(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:"))

async def main(folder):
    config = Config(
        aod_output_dir=folder, min_free_mb=0,
        guardian={"anomalies": {"latency": {
            "type": "Latency", "acceptable_count": 0, "actions": ["mounts", "dmesg"]}}},
        watcher={"actions": ["mounts", "dmesg"], "post_trigger_sec": 0},
        incidents={"cooldown_sec": 0, "max_cooldown_sec": 0, "max_bundles_per_hour": 1000},
        cleanup={"max_total_log_size_mb": 1, "cleanup_interval_sec": 1},
    )
    smb.statuses()
    with OutputDirectory.open(Path(folder)) as output:
        async with running(config, output, FakeTracer(), seconds=240) as runs:
            for count in range(1, MANY + 1):
                runs.send(slow())
                while runs.service.service_counts.bundles["sealed"] < count:
                    await asyncio.sleep(0.005)
                if count in (FEW, MANY):
                    print(pss_kib(), flush=True)

memory.settle()
watch_children_by_pidfd()
asyncio.run(main(sys.argv[1]))
"""


def test_five_hundred_incidents_take_no_more_memory_than_fifty(tmp_path: Path) -> None:
    code = SERVICE.replace("FEW", str(FEW)).replace("MANY", str(MANY))

    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "out")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=280,
    )

    assert done.returncode == 0, done.stderr[-2000:]
    early_kib, late_kib = json.loads(f"[{','.join(done.stdout.split())}]")
    assert late_kib < 1.05 * early_kib
