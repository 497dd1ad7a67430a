"""The package on a Debian 12 with systemd and a real share, from the start to the journal."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.installed.container import Image
from tests.installed.share import get_slow
from tests.installed.unit import Shell, Unit
from tests.plain import manifest_in
from tests.vm.lab import SHARE, SYSTEMD, Machine, prepare
from tests.vm.lab.cache import Cache

_READY_S = 5.0
_IN_A_HOME = "/home/alice/share"
# dpkg compiles three thousand files, 25 times slower than a real machine does it.
_INSTALL_TIMEOUT_S = 900
_PACE = 25.0
_IMPORT = (
    'python3 -IS -c \'import sys; sys.path.insert(0, "/usr/lib/aod/python3.11");'
    " import numpy, pydantic'"
)


@pytest.fixture(scope="module")
def guest(
    cache: Cache, package: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Machine]:
    """A guest in which dpkg has installed the package while a share was mounted."""
    folder = tmp_path_factory.mktemp("payload")
    (folder / "aod.deb").write_bytes(package.read_bytes())
    with prepare(cache, system=SYSTEMD).machine(folder) as machine:
        machine.run("dpkg --install /opt/payload/aod.deb", _INSTALL_TIMEOUT_S)
        yield machine


@pytest.fixture
def unit(guest: Machine) -> Unit:
    """The service in the guest, ready."""
    unit = Unit(guest, _PACE)
    unit.systemctl("start")
    return unit


def test_once_installed_it_watches_the_share_that_is_mounted(unit: Unit) -> None:
    assert unit.show("ActiveState") == "active"
    assert unit.show("StatusText").startswith("watching SMB operations")


def test_a_slow_share_leaves_a_bundle_for_root_alone_and_an_entry_in_the_journal(
    unit: Unit, guest: Machine, tmp_path: Path
) -> None:
    get_slow(guest)

    entry = unit.sealed("latency")
    path = entry["AOD_BUNDLE"]
    assert re.fullmatch(r"/var/log/aod/aod_\d{19}\.tar\.zst", path)
    assert entry["AOD_SHARE"] == "//127.0.0.1/share"
    assert entry["_SYSTEMD_UNIT"] == "aod.service"
    modes = guest.run(f"stat --format='%a %U' /var/log/aod {path}").stdout.split("\n")
    assert modes == ["700 root", "600 root", ""]
    guest.copy_out(path, tmp_path / "bundle.tar.zst")
    manifest = manifest_in(tmp_path / "bundle.tar.zst")
    assert (manifest["state"], manifest["trigger"]) == ("sealed", "latency")
    assert Path(path).name in unit.show("StatusText")


def test_under_the_units_restrictions_every_action_still_finds_what_it_looks_for(
    unit: Unit, guest: Machine, tmp_path: Path
) -> None:
    unit.collect()

    guest.copy_out(unit.sealed("manual")["AOD_BUNDLE"], tmp_path / "bundle.tar.zst")
    actions = manifest_in(tmp_path / "bundle.tar.zst")["actions"]
    states = {name: action["state"] for name, action in actions.items()}
    assert states.pop("syslogs") == "skipped"
    assert states
    assert set(states.values()) == {"ok"}


def test_a_dead_server_does_not_hold_up_the_start(
    unit: Unit, guest: Machine, installed: Image
) -> None:
    """The guest is too slow for the limit itself, so its time is scaled to this machine's.

    Both import the same libraries, which is most of what a start does. Beside that no request may
    be sent while the server is silent: a start that waits for it has to send one.
    """
    with installed.run("sleep", "infinity") as here:
        slower = imports(guest) / imports(here)
    guest.mount(_IN_A_HOME)
    unit.systemctl("stop")
    alive_s = seconds(guest, "systemctl start aod")
    unit.systemctl("stop")
    guest.stop_smbd()
    try:
        before = requests_sent(guest)
        dead_s = seconds(guest, "systemctl start aod")
        after = requests_sent(guest)
    finally:
        guest.continue_smbd()
        guest.umount(_IN_A_HOME)

    assert after == before != []
    assert dead_s < 2 * alive_s
    assert dead_s / slower < _READY_S


def test_a_start_that_waits_for_the_server_is_noticed_by_its_requests(
    unit: Unit, guest: Machine
) -> None:
    # A path on a share that is to be writable has systemd look it up there.
    unit.drop_in("share", f"[Service]\nReadWritePaths=-{SHARE}/folder")
    unit.systemctl("stop")
    guest.stop_smbd()
    try:
        before = requests_sent(guest)
        guest.run("timeout 40 systemctl start aod", 60, check=False)
        after = requests_sent(guest)
    finally:
        guest.continue_smbd()
    unit.drop_out("share")
    unit.systemctl("stop")

    assert after != before


def test_the_guest_stops_it_and_no_probe_is_left(unit: Unit, guest: Machine) -> None:
    assert "kprobe" in guest.run("bpftool prog show").stdout

    unit.systemctl("stop")

    assert unit.show("Result") == "success"
    assert "kprobe" not in guest.run("bpftool prog show").stdout


def seconds(shell: Shell, command: str) -> float:
    """Return how long a command takes there, its files in memory already."""
    return float(shell.run(f"TIMEFORMAT=%R; time {command}", 300).stderr.split()[-1])


def imports(shell: Shell) -> float:
    """Return how long most of a start takes there: the import of the libraries, done before."""
    shell.run(_IMPORT, 300)
    return seconds(shell, _IMPORT)


def requests_sent(guest: Machine) -> list[str]:
    """Return what cifs has sent to each share so far, beside its echoes."""
    return re.findall(r"^SMBs: (\d+)", guest.read("/proc/fs/cifs/Stats").decode(), re.M)
