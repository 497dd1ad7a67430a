"""`make demo`: a real SMB share gets slow, aod catches it, and the bundle is on your disk."""

import logging
import os
import shutil
import sys
import time
from pathlib import Path

from aod.bundle import read_member
from tests.plain import manifest_in
from tests.vm.daemon import AOD, OUTPUT
from tests.vm.lab import SHARE, Job, Machine, prepare
from tests.vm.lab import host as lab_host
from tests.vm.lab.cache import Cache, default_root
from tests.vm.lab.errors import LabError

CHECKOUT = Path(__file__).parents[2]
TARGET = CHECKOUT / "build" / "demo"
HEALTHY_S = 10
DELAY_MS = 200
# Emulated processors are 10 to 25 times slower: a healthy operation takes up to 60 ms here.
OVERRIDES = {
    "AOD_OUTPUT_DIR": str(OUTPUT),
    "AOD_GUARDIAN__ANOMALIES__LATENCY__DEFAULT_THRESHOLD_MS": "300",
}
WORKERS = 4
TRAFFIC = f"""
    work() {{
        mkdir -p {SHARE}/worker$2; end=$((SECONDS + $1)); n=0
        while [ $SECONDS -lt $end ]; do
            n=$((n + 1)); echo $n > {SHARE}/worker$2/file$n
            cat {SHARE}/worker$2/file$n > /dev/null; ls {SHARE}/worker$2 > /dev/null
        done
        echo $n
    }}
    for worker in $(seq {WORKERS}); do work $1 $worker & done
    wait"""


class DemoError(Exception):
    """The demonstration did not go as it should."""


class Log:
    """Shows what aod logs, as it comes."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._shown = 0

    def show(self) -> str:
        """Print the new lines; return all that was logged."""
        text = self._job.errors()
        lines = [line for line in text.splitlines() if "OpenBLAS" not in line]
        for line in lines[self._shown :]:
            print(f"  aod | {line}")
        self._shown = len(lines)
        return text

    def show_until(self, word: str, timeout_s: float) -> None:
        """Print new lines until one has `word`; DemoError when none has in time."""
        until_s = time.monotonic() + timeout_s
        while word not in self.show():
            if time.monotonic() > until_s:
                raise DemoError(f"aod did not say {word!r} within {timeout_s:g} s")
            time.sleep(0.2)  # the guest's agent is asked, it cannot call


def main() -> int:
    """Run the demonstration; return its exit code."""
    logging.basicConfig(level=logging.INFO, format="lab: %(message)s", stream=sys.stdout)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr] # it is a text file
    if reason := lab_host.missing():
        print(f"demo: {reason}", file=sys.stderr)
        return 1
    try:
        lab = prepare(Cache(default_root()))
        with lab.machine(CHECKOUT / "build" / "payload") as vm:
            sealed = demonstrate(vm)
        show(sealed)
    except (DemoError, LabError) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    print(f"bundle: {sealed.relative_to(CHECKOUT)}")
    return 0


def demonstrate(vm: Machine) -> Path:
    """Have a share get slow under aod's eyes; return the bundle, copied to this machine."""
    kernel = vm.run("uname -r").stdout.strip()
    mount = vm.run(f"findmnt -no SOURCE,FSTYPE {SHARE}").stdout.split()
    print(f"guest: Linux {kernel}, {mount[0]} mounted on {SHARE} ({mount[1]})")
    settings = " ".join(f"{name}={value}" for name, value in OVERRIDES.items())
    command = f"{settings} aod run --config config/config.yaml"
    print(f"guest# {command}")
    job = vm.start("cd /opt/aod && exec env " + command.replace(" aod ", f" {AOD} "))
    log = Log(job)
    log.show_until("attached", 120)
    run_traffic(vm, log, "healthy", HEALTHY_S)
    if "incident" in log.show():
        raise DemoError("an incident was raised while the share was healthy")
    print(f"guest: no incident; now the network gets slow: netem delay {DELAY_MS}ms, each way")
    vm.delay(DELAY_MS)
    run_traffic(vm, log, "slow", HEALTHY_S)
    log.show_until("bundle sealed", 60)
    vm.no_delay()
    job.signal()
    if code := job.wait(60):
        raise DemoError(f"aod ended with exit code {code}")
    log.show()
    return fetch(vm)


def run_traffic(vm: Machine, log: Log, kind: str, duration_s: int) -> None:
    """Write, read and list files for a while, showing the log meanwhile."""
    print(f"guest: {kind} traffic for {duration_s} s ...")
    vm.write("/run/traffic", TRAFFIC.encode())
    job = vm.start(f"bash /run/traffic {duration_s}")
    until_s = time.monotonic() + duration_s
    while time.monotonic() < until_s:
        log.show()
        time.sleep(0.5)
    job.wait(60)
    files = sum(int(count) for count in job.output().split())
    print(f"guest: {WORKERS} programs wrote, read and listed {files} files")


def fetch(vm: Machine) -> Path:
    """Copy the output directory to TARGET and check that it holds one bundle and no more."""
    shutil.rmtree(TARGET, ignore_errors=True)
    TARGET.parent.mkdir(exist_ok=True)
    vm.copy_out(OUTPUT, TARGET)
    names = sorted(path.name for path in TARGET.iterdir())
    bundles = [name for name in names if name.endswith(".tar.zst")]
    if len(bundles) != 1 or set(names) - set(bundles) - {"audit.jsonl"}:
        raise DemoError(f"expected one bundle and the audit log, found {', '.join(names)}")
    if owner := os.environ.get("SUDO_UID"):
        for path in (TARGET, *TARGET.iterdir()):
            os.chown(path, int(owner), int(os.environ.get("SUDO_GID", "-1")))
    return TARGET / bundles[0]


def show(sealed: Path) -> None:
    """Print the summary; DemoError when the bundle does not tell of the slow share."""
    manifest = manifest_in(sealed)
    if "latency" not in {anomaly["name"] for anomaly in manifest["anomalies"]}:
        raise DemoError("the bundle does not name the anomaly latency")
    print("\n" + read_member(sealed, "summary.txt").decode())


if __name__ == "__main__":
    sys.exit(main())
