"""The metrics beside a workload whose size is known, over two loads of cifs."""

from prometheus_client.parser import text_string_to_metric_families as parse

from aod.smb import Command
from tests.vm.daemon import Daemon, watching
from tests.vm.kernels.sources import STATS, parse_stats
from tests.vm.lab import SERVED, SHARE, Machine

PORT = 9455
FOLDER = "/run/node-exporter"
LATENCY = {"type": "Latency", "default_threshold_ms": 60_000, "emergency_threshold_ms": 60_000}
SCRAPE = (
    "import urllib.request as r; "
    f"print(r.urlopen('http://127.0.0.1:{PORT}/metrics', timeout=30).read().decode())"
)
COUNT = "aod_smb_operation_duration_seconds_count"
WRITES = {"server": "127.0.0.1", "share": "share", "command": "SMB2_WRITE"}
PAYLOAD = "aod_smb_payload_bytes_total"

Values = dict[tuple[str, frozenset[tuple[str, str]]], float]


def values(text: str) -> Values:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in parse(text)
        for sample in family.samples
    }


def scrape(vm: Machine) -> Values:
    return values(vm.run(f'python3 -c "{SCRAPE}"').stdout)


def write(vm: Machine, count: int) -> None:
    vm.run(f"dd if=/dev/zero of={SHARE}/written bs=4096 count={count} oflag=direct status=none")


def writes_of_cifs(vm: Machine) -> int:
    """Return how many writes cifs itself has counted since the share was mounted."""
    return parse_stats(vm.read(STATS).decode())[Command.SMB2_WRITE]


def test_writes_are_counted_over_two_loads_of_cifs_as_cifs_counts_them(vm: Machine) -> None:
    vm.run(f"touch {SERVED}/written && chown alice {SERVED}/written; mkdir {FOLDER}")
    before = writes_of_cifs(vm)
    metrics = {"listen": f"127.0.0.1:{PORT}", "textfile": f"{FOLDER}/aod.prom"}
    daemon = Daemon.start(vm, watching({"latency": LATENCY}, metrics=metrics))

    write(vm, 23)
    first, of_cifs = scrape(vm), writes_of_cifs(vm) - before
    write(vm, 4)  # nobody asks for these before cifs goes
    vm.umount()
    vm.run("sleep 2; rmmod cifs")
    daemon.wait_for("cifs was unloaded")
    without = scrape(vm)
    vm.run("modprobe cifs")
    attached_again = "[ $(grep -c attached /run/aod.log) = 2 ]"
    vm.run(f"timeout 60 sh -c 'until {attached_again}; do sleep 0.1; done'", 90)
    vm.mount()
    write(vm, 10)
    second = scrape(vm)
    written = vm.run(f"sleep 20; stat -c %a {FOLDER}/aod.prom; cat {FOLDER}/aod.prom").stdout

    place = frozenset(WRITES.items())
    nothing: frozenset[tuple[str, str]] = frozenset()
    assert first[COUNT, place] == of_cifs == 23
    assert first[PAYLOAD, place] == 23 * 4096
    assert without[COUNT, place] == 27
    assert (without["aod_tracer_rung", nothing], second["aod_tracer_rung", nothing]) == (0, 1)
    assert second[COUNT, place] == 37
    assert {name for name, _ in first} == {name for name, _ in second}
    assert 0 < second["aod_smb_operation_duration_seconds_sum", place] < 60
    mode, _, text = written.partition("\n")
    assert (mode, values(text)[COUNT, place]) == ("644", 37)
    assert daemon.stop() == 0
    assert vm.run(f"ls -A {FOLDER}").stdout == ""
