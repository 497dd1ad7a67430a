"""Commands beside a running `aod run`: they use its probes, and attach none."""

import json
import signal
from pathlib import Path

from tests.vm.daemon import AOD, OUTPUT, Daemon, Left, anomaly, watching
from tests.vm.lab import SHARE, Machine

CONFIG = watching({"slow": {"type": "Latency", "default_threshold_ms": 60_000}})
LINKS = "bpftool link show | grep -c ^[0-9]"
LOADED = "bpftool prog show | grep -c smb_send_rqst"
MOST_LINKS = (
    "most=0; while [ ! -e /run/enough ]; do n=$(bpftool link show | grep -c ^[0-9]); "
    "[ $n -gt $most ] && most=$n; sleep 0.2; done; echo $most > /run/most"
)


def test_no_command_attaches_a_second_set_of_probes(vm: Machine, tmp_path: Path) -> None:
    daemon = Daemon.start(vm, CONFIG)
    links = int(vm.run(LINKS).stdout)
    watch = vm.start(MOST_LINKS)

    work = f"while [ ! -e /run/enough ]; do stat {SHARE}/none$RANDOM; done > /dev/null 2>&1; true"
    load = vm.start(work)
    top = vm.run(f"{AOD} top --json --count 1 --interval 2", 120)
    doctor = vm.run(f"AOD_OUTPUT_DIR={OUTPUT} {AOD} doctor --config /run/aod.yaml --json", 120)
    collect = f"AOD_OUTPUT_DIR={OUTPUT} {AOD} collect --config /run/aod.yaml --reason 'slow here'"
    bundle = vm.run(collect, 120).stdout.strip()
    held_back = vm.run(f"{AOD} list --suppressed", 60).stdout
    vm.run("touch /run/enough")
    assert watch.wait() == load.wait() == 0
    daemon.signal(signal.SIGUSR1)
    vm.run(
        f"timeout 60 bash -c 'until [ $(ls {OUTPUT} | grep -c zst) = 2 ]; do sleep 0.2; done'", 90
    )

    assert links > 15
    assert int(vm.read("/run/most")) == int(vm.run(LINKS).stdout) == links
    assert vm.run(LOADED).stdout == "1\n"
    told = json.loads(top.stdout)
    assert {each["share"] for each in told["activities"]} >= {"share"}
    assert told["total"]["operations"] > 0
    found = json.loads(doctor.stdout)
    texts = [each["text"] for each in found["findings"] if each["subject"] in ("service", "rung")]
    assert found["can_watch"] is True
    assert f"runs as process {daemon.pid}, bundles in {OUTPUT}: watching" in texts[0]
    assert texts[1] == "1, the highest: kprobes, with the types of cifs"
    assert held_back == "nothing was held back since the last bundle\n"
    assert daemon.stop() == 0
    left = Left(vm, tmp_path)
    assert bundle == f"{OUTPUT}/{left.bundles[0].name}"
    reasons = [anomaly(left.manifest(index), "manual")["reason"] for index in (0, 1)]
    assert reasons == ["slow here", "SIGUSR1"]
    assert left.manifest()["tracer"]["rung"] == 1
    assert left.member("debugdata.txt", 1)
