"""The image beside a real share, run by podman in a guest as USAGE.md says it is to be run."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.installed.container import Image
from tests.installed.share import get_slow
from tests.plain import manifest_in
from tests.vm.lab import SYSTEMD, Machine, prepare
from tests.vm.lab.cache import Cache

_USAGE = Path(__file__).parents[2] / "USAGE.md"
_DOCUMENTED = re.compile(r"```sh\n([^`]*^podman run [^`]*)```", re.M)
# Unpacking and hashing 470 MB, 25 times slower than a real machine does it.
_LOAD_TIMEOUT_S = 900
_START_TIMEOUT_S = 300


@pytest.fixture(scope="module")
def guest(
    cache: Cache, image: Image, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Machine]:
    """A guest whose podman runs aod, which has attached its probes."""
    folder = tmp_path_factory.mktemp("payload")
    image.save(folder / "image.tar")
    (documented,) = _DOCUMENTED.findall(_USAGE.read_text())
    with prepare(cache, system=SYSTEMD).machine(folder) as machine:
        machine.run("podman load --quiet --input /opt/payload/image.tar", _LOAD_TIMEOUT_S)
        machine.run(f"set -e\n{documented}", _START_TIMEOUT_S)
        wait_until(machine, "podman logs aod 2>&1 | grep -q ' attached '")
        yield machine


def test_a_slow_share_leaves_a_bundle_on_the_disk_of_the_machine(
    guest: Machine, tmp_path: Path
) -> None:
    get_slow(guest)
    wait_until(guest, "podman logs aod 2>&1 | grep -q 'bundle sealed'")

    (path,) = guest.run("ls -1 /var/log/aod/aod_*.tar.zst").stdout.split()
    guest.copy_out(path, tmp_path / "bundle.tar.zst")
    manifest = manifest_in(tmp_path / "bundle.tar.zst")
    assert (manifest["state"], manifest["trigger"]) == ("sealed", "latency")
    (slow,) = [anomaly for anomaly in manifest["anomalies"] if anomaly["name"] == "latency"]
    assert {event["comm"] for event in slow["events"]} == {"stat"}
    assert {event["share"] for event in slow["events"]} == {"share"}
    states = {name: action["state"] for name, action in manifest["actions"].items()}
    assert states.pop("syslogs") == "skipped"
    assert set(states.values()) == {"ok"}, manifest["actions"]


def test_it_stops_with_code_0_and_leaves_no_probe(guest: Machine) -> None:
    assert "kprobe" in guest.run("bpftool prog show").stdout

    guest.run("podman stop --time 120 aod", 180)

    told = guest.run("podman inspect --format '{{.State.Status}} {{.State.ExitCode}}' aod")
    assert told.stdout == "exited 0\n"
    assert "kprobe" not in guest.run("bpftool prog show").stdout


def wait_until(guest: Machine, condition: str) -> None:
    """Wait until a command ends well in the guest; CommandError with aod's log if never."""
    guest.run(
        f'timeout 240 bash -c "until {condition}; do sleep 0.5; done"'
        " || { podman logs aod >&2; exit 1; }",
        300,
    )
