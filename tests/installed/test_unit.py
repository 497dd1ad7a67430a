"""The service under a real systemd, from the installation to the purge, in a container."""

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.installed import deb
from tests.installed.conftest import booted, install
from tests.installed.container import Container, Image
from tests.installed.unit import CIFS_IS_HERE, CONFIG, NAME, Unit

# What changes by itself on a running machine, or keeps the history of all packages.
_OTHERS = (
    *("/proc", "/sys", "/dev", "/run", "/tmp", "/root"),
    *(
        "/var/lib/dpkg",
        "/var/lib/apt",
        "/var/cache",
        "/var/log/dpkg.log",
        "/var/lib/systemd/timers",
    ),
)
_CONDITION = "watching SMB operations" if CIFS_IS_HERE else "waiting for cifs to be loaded"
# More than systemd's own limit, five within ten seconds.
_KILLS = 6


def files(machine: Container) -> set[str]:
    """Return every path on the machine but those of others."""
    pruned = " -o ".join(f"-path {place}" for place in _OTHERS)
    return set(machine.run(rf"find / -xdev \( {pruned} \) -prune -o -print").stdout.splitlines())


def config_in_force(unit: Unit) -> dict[str, Any]:
    """Return the config by which the service makes a bundle now."""
    unit.collect()
    bundle = unit.sealed("manual")["AOD_BUNDLE"]
    shown = unit.shell.run(f"aod show --json --dir /var/log/aod {bundle}")
    config: dict[str, Any] = json.loads(shown.stdout)["config"]
    return config


def test_an_installed_service_is_ready_and_says_so(unit: Unit) -> None:
    restarted = unit.systemctl("restart")

    assert restarted.code == 0
    assert (unit.show("ActiveState"), unit.show("SubState")) == ("active", "running")
    assert unit.show("Type") in ("notify", "notify-reload")
    assert unit.show("StatusText").startswith(_CONDITION)
    assert unit.show("NRestarts") == "0"


def test_it_stops_at_once_and_without_a_failure(unit: Unit) -> None:
    unit.shell.run(f"time -p systemctl stop {NAME}", 10)

    assert unit.show("ActiveState") == "inactive"
    assert (unit.show("Result"), unit.show("ExecMainStatus")) == ("success", "0")


def test_a_wrong_config_ends_it_and_it_is_not_started_over_and_over(unit: Unit) -> None:
    unit.shell.run(f"sed -i 's/^watch_interval_sec: .*/watch_interval_sec: 0/' {CONFIG}")

    restarted = unit.systemctl("restart", check=False)

    assert restarted.code != 0
    assert (unit.show("ActiveState"), unit.show("ExecMainStatus")) == ("failed", "2")
    assert "watch_interval_sec" in unit.journal()


def test_a_reload_takes_over_the_new_config_under_the_same_process(unit: Unit) -> None:
    before = unit.show("MainPID")
    unit.shell.run(f"sed -i 's/^watch_interval_sec: .*/watch_interval_sec: 7/' {CONFIG}")

    unit.systemctl("reload")
    unit.wait_for("config reloaded")

    assert config_in_force(unit)["watch_interval_sec"] == 7
    assert (unit.show("ActiveState"), unit.show("MainPID")) == ("active", before)
    assert "not reloaded" not in unit.show("StatusText")


def test_a_reload_of_a_wrong_config_changes_nothing_and_is_told_by_status(unit: Unit) -> None:
    before = unit.show("MainPID")
    unit.shell.run(f"sed -i 's/^watch_interval_sec: .*/watch_interval_sec: 0/' {CONFIG}")

    unit.systemctl("reload")
    unit.wait_for("the old one stays in force")
    unit.wait_until("StatusText", "*'not reloaded'*watch_interval_sec*")

    assert config_in_force(unit)["watch_interval_sec"] == 1
    assert (unit.show("ActiveState"), unit.show("MainPID")) == ("active", before)


def test_the_next_good_reload_takes_the_complaint_out_of_status(unit: Unit) -> None:
    unit.shell.run(f"cp {CONFIG} /root/good && echo nonsense >> {CONFIG}")
    unit.systemctl("reload")
    unit.wait_until("StatusText", "*'not reloaded'*")
    unit.shell.run(f"cp /root/good {CONFIG}")

    unit.systemctl("reload")
    unit.wait_for("config reloaded")
    unit.wait_until("StatusText", f"'{_CONDITION}'*")

    assert "not reloaded" not in unit.show("StatusText")


def test_a_process_that_stands_still_is_killed_and_started_again(unit: Unit) -> None:
    unit.drop_in("watchdog", "[Service]\nWatchdogSec=3\nRestartSec=100ms")
    unit.systemctl("restart")
    first = int(unit.show("MainPID"))
    unit.shell.run(f"kill -{int(signal.SIGSTOP)} {first}")

    unit.wait_until("NRestarts", "1", timeout_s=30)
    unit.wait_until("ActiveState", "active")

    assert int(unit.show("MainPID")) != first
    assert "Watchdog timeout" in unit.journal()


def test_a_process_that_runs_is_left_alone_by_the_watchdog(unit: Unit) -> None:
    unit.drop_in("watchdog", "[Service]\nWatchdogSec=1")
    unit.systemctl("restart")
    cursor = unit.cursor()

    # Three times as long as a process that told nothing would be left.
    unit.shell.run(f"timeout 3 tail --pid={unit.show('MainPID')} -f /dev/null", check=False)

    assert unit.show("NRestarts") == "0"
    assert unit.show("ActiveState") == "active"
    assert cursor == unit.cursor() or "Watchdog" not in unit.journal()


def test_however_often_it_is_killed_it_comes_back(unit: Unit) -> None:
    unit.drop_in("again", "[Service]\nRestartSec=100ms")
    for restarts in range(1, _KILLS + 1):
        unit.shell.run(f"systemctl kill --kill-whom=main --signal=SIGKILL {NAME}")
        unit.wait_until("NRestarts", str(restarts))
        unit.wait_until("ActiveState", "active")

    assert unit.show("SubState") == "running"


@pytest.mark.parametrize("made_anew", ["", " && install -d -m 700 /var/log/aod"])
def test_an_output_directory_that_is_removed_comes_back(unit: Unit, made_anew: str) -> None:
    unit.drop_in("again", "[Service]\nRestartSec=100ms")
    before = unit.show("MainPID")

    unit.shell.run(f"rm -r /var/log/aod{made_anew}")
    unit.collect()
    unit.wait_for("component given up, aod ends component=output directory")
    unit.wait_until("NRestarts", "1")
    unit.wait_until("ActiveState", "active")

    unit.collect()
    bundle = unit.sealed("manual")["AOD_BUNDLE"]
    assert unit.shell.run(f"aod show {bundle}").code == 0
    assert unit.show("MainPID") != before


def test_another_output_directory_is_refused_until_the_unit_may_write_there(unit: Unit) -> None:
    unit.shell.run(f"sed -i 's#^aod_output_dir: .*#aod_output_dir: /srv/aod#' {CONFIG}")
    refused = unit.systemctl("restart", check=False)
    told = unit.journal()

    unit.shell.run("install -d -m 700 /srv/aod")
    unit.drop_in("output", "[Service]\nReadWritePaths=/srv/aod")
    unit.systemctl("restart")
    unit.collect()

    assert refused.code != 0
    assert "install -d -m 700 /srv/aod; systemctl edit aod" in told
    assert unit.sealed("manual")["AOD_BUNDLE"].startswith("/srv/aod/")


def test_one_that_only_a_hand_can_bring_back_is_told_by_status(unit: Unit) -> None:
    unit.shell.run(f"sed -i 's#^aod_output_dir: .*#aod_output_dir: /srv/aod#' {CONFIG}")
    unit.shell.run("install -d -m 700 /srv/aod")
    unit.drop_in("output", "[Service]\nReadWritePaths=/srv/aod")
    unit.systemctl("restart")

    unit.shell.run("rm -r /srv/aod")
    unit.collect()
    unit.wait_until("StatusText", "*'it was removed or replaced'*")
    doctor = unit.shell.run("aod doctor", check=False).stdout
    unit.shell.run("install -d -m 700 /srv/aod")
    unit.systemctl("restart")
    unit.collect()
    unit.sealed("manual")

    (line,) = [line for line in doctor.splitlines() if "it was removed or replaced" in line]
    assert line.split()[:2] == ["warning", "service"]
    assert "it was removed" not in unit.show("StatusText")


@pytest.mark.parametrize("option", ["--force-confold", "--force-confdef"])
def test_an_upgrade_keeps_the_config_that_was_edited(
    unit: Unit, machine: Container, next_package: Path, option: str
) -> None:
    before = unit.show("MainPID")
    machine.run(f"sed -i 's/^watch_interval_sec: .*/watch_interval_sec: 7/' {CONFIG}")

    install(machine, next_package, option)
    unit.wait_until("ActiveState", "active")

    installed = machine.run("dpkg-query --show --showformat '${Version}' aod").stdout
    assert installed == deb.version(next_package)
    assert "watch_interval_sec: 7\n" in machine.run(f"cat {CONFIG}").stdout
    assert unit.show("MainPID") not in ("0", before)


def test_an_upgrade_brings_a_config_that_was_not_edited(
    unit: Unit, machine: Container, next_package: Path
) -> None:
    install(machine, next_package)

    assert "came with 99.0" in machine.run(f"cat {CONFIG}").stdout


def test_a_removed_package_keeps_config_and_bundles(unit: Unit, machine: Container) -> None:
    machine.run("touch /var/log/aod/kept")
    machine.run("dpkg --remove aod", 120)

    assert unit.show("ActiveState") == "inactive"
    machine.run(
        f"test -e {CONFIG} -a -e /var/log/aod/kept -a ! -e /usr/bin/aod -a ! -e /usr/lib/aod"
    )


def test_a_purge_leaves_nothing(bare: Image, package: Path, next_package: Path) -> None:
    with booted(bare) as machine:
        unit = Unit(machine)
        before = files(machine)
        install(machine, package)
        unit.wait_until("ActiveState", "active")
        machine.run(f"echo '# edited' >> {CONFIG} && touch /var/log/aod/kept && aod config show")
        install(machine, next_package, "--force-confold")
        unit.wait_until("ActiveState", "active")

        machine.run("dpkg --purge aod", 120)

        after = files(machine)
        assert (after - before, before - after) == (set(), set())
        assert unit.show("LoadState") == "not-found"
        machine.run("test ! -e /run/aod -a ! -e /run/systemd/system/aod.service")
