"""The lab itself: what the tests of aod against a real cifs rely on."""

import shutil
import signal
import socket
import time
from pathlib import Path

import pytest

from tests import ROOT
from tests.vm.conftest import different
from tests.vm.lab import (
    SERVED,
    SHARE,
    CommandError,
    DeadlineError,
    GuestError,
    Lab,
    LabError,
    Machine,
    host,
)
from tests.vm.lab.cache import Cache
from tests.vm.lab.channel import Channel
from tests.vm.lab.debian import Source, file_in, sources
from tests.vm.lab.errors import DownloadError
from tests.vm.lab.kernel import newest


def test_what_is_written_through_the_mount_reaches_the_servers_disk(vm: Machine) -> None:
    vm.run(f"echo hello > {SHARE}/note")

    assert vm.read(SERVED / "note") == b"hello\n"


def test_kernel_offers_what_the_tracer_needs(vm: Machine) -> None:
    probes = vm.run("grep -F [cifs] /sys/kernel/tracing/available_filter_functions").stdout

    assert "compound_send_recv" in probes
    assert vm.read("/sys/kernel/btf/cifs")[:2] == b"\x9f\xeb"


def test_resumed_guest_has_the_time_of_this_machine(vm: Machine) -> None:
    before_s = time.time()

    guest_s = float(vm.run("date +%s.%N").stdout)

    assert before_s - 1 <= guest_s <= time.time() + 1


def test_delay_on_the_loopback_makes_a_stat_slow(vm: Machine) -> None:
    vm.write(SERVED / "file", b"")  # written through the mount it would be cached under a lease
    vm.delay(200)

    elapsed_s = float(vm.run(f"TIMEFORMAT=%R; time stat {SHARE}/file").stderr)

    vm.no_delay()
    assert elapsed_s >= 0.4


def test_request_hangs_while_smbd_is_stopped_and_ends_when_it_continues(vm: Machine) -> None:
    stopped = vm.stop_smbd()
    request = vm.start(f"stat {SHARE}")
    with pytest.raises(DeadlineError):
        request.wait(timeout_s=2)

    continued = vm.continue_smbd()

    assert request.wait(timeout_s=30) == 0
    assert stopped
    assert set(stopped) <= set(continued)


def test_file_that_alice_may_not_read_is_refused_by_the_server(vm: Machine) -> None:
    vm.run(f"install -m 0600 /dev/null {SERVED}/secret")

    refused = vm.run(f"cat {SHARE}/secret", check=False)

    assert "Permission denied" in refused.stderr


def test_share_can_be_unmounted_and_mounted_with_other_options(vm: Machine) -> None:
    vm.umount()

    vm.mount(options="vers=2.1,username=alice,password=pw")

    assert "vers=2.1" in vm.run("grep cifs /proc/mounts").stdout


def test_message_to_syslog_reaches_the_journal(vm: Machine) -> None:
    vm.run("logger --tag lab ping; journalctl --sync")

    assert "ping" in vm.run("journalctl --quiet --identifier lab").stdout


def test_each_guest_sees_the_payload_that_it_was_given(lab: Lab, tmp_path: Path) -> None:
    seen = []
    for content in ("first", "later"):
        (tmp_path / "version").write_text(content)
        with lab.machine(tmp_path) as vm:
            seen.append(vm.read("/opt/aod/version"))

    assert seen == [b"first", b"later"]


def test_guest_sees_nothing_of_what_an_earlier_guest_wrote(lab: Lab, payload: Path) -> None:
    with lab.machine(payload) as vm:
        vm.run(f"touch {SHARE}/left-over && sync")

    with lab.machine(payload) as vm:
        listing = vm.run(f"ls {SERVED} {SHARE}").stdout

    assert "left-over" not in listing


def test_failed_command_raises_with_its_stderr(vm: Machine) -> None:
    with pytest.raises(CommandError, match="No such file"):
        vm.run("ls /nowhere")


def test_command_that_outlives_its_deadline_is_killed(vm: Machine) -> None:
    with pytest.raises(DeadlineError):
        vm.run("exec -a overdue sleep 1000", timeout_s=1)

    assert vm.run("pgrep -f '^overdue'", check=False).stdout == ""


def test_signal_ends_a_background_job_and_its_output_stays(vm: Machine) -> None:
    job = vm.start("echo begun; exec sleep 1000")
    vm.run(f"until grep -q sleep /proc/{job.pid}/comm; do sleep 0.05; done")

    job.signal(signal.SIGTERM)

    assert job.wait() == -signal.SIGTERM
    assert job.output() == "begun\n"


def test_directory_is_copied_out_unchanged(vm: Machine, tmp_path: Path) -> None:
    content = bytes(range(256)) * (8 * 2**20 // 256)
    vm.run("mkdir /tmp/bundle")
    vm.write("/tmp/bundle/big", content)

    vm.copy_out("/tmp/bundle", tmp_path / "here")

    assert (tmp_path / "here" / "big").read_bytes() == content


def test_failed_read_names_the_file(vm: Machine) -> None:
    with pytest.raises(LabError, match="/nowhere"):
        vm.read("/nowhere")


def test_panic_raises_with_the_console(vm: Machine) -> None:
    with pytest.raises(GuestError, match="Kernel panic"):
        vm.run("echo c > /proc/sysrq-trigger")


def test_guest_that_does_not_answer_raises_at_the_deadline() -> None:
    ours, theirs = socket.socketpair()
    channel = Channel(ours, GuestError)

    with theirs, pytest.raises(GuestError, match="no answer to read"):
        channel.call("read", timeout_s=0.05, path="/etc/hostname")

    channel.close()


def test_guest_that_goes_away_ends_the_wait_at_once() -> None:
    ours, theirs = socket.socketpair()
    channel = Channel(ours, GuestError)
    theirs.close()

    with pytest.raises(GuestError):
        channel.call("read", timeout_s=3600, path="/etc/hostname")

    channel.close()


def test_build_that_fails_leaves_no_entry(tmp_path: Path) -> None:
    def fail(place: Path) -> None:
        (place / "half").touch()
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        Cache(tmp_path).entry("kind", "key", fail)

    assert Cache(tmp_path).newest("kind") is None


def test_rest_of_a_killed_build_is_removed(tmp_path: Path) -> None:
    rest = tmp_path / "kind" / "old.tmp"
    rest.mkdir(parents=True)

    Cache(tmp_path).entry("kind", "key", lambda _: None)

    assert not rest.exists()


def test_newest_entries_of_a_kind_stay(tmp_path: Path) -> None:
    cache = Cache(tmp_path)

    places = [cache.entry("kind", key, lambda _: None, keep=2) for key in ("a", "b", "c")]

    assert [place.exists() for place in places] == [False, True, True]


def test_payload_of_other_sources_is_seen(tmp_path: Path) -> None:
    for name in ("aod", "config"):
        shutil.copytree(ROOT / name, tmp_path / name)
    same = different(tmp_path)
    (tmp_path / "aod/clock.py").write_text("")
    (tmp_path / "config/config.yaml").unlink()

    changed = different(tmp_path)

    assert same == []
    assert changed == ["aod/clock.py", "config/config.yaml"]


def test_suite_of_another_release_comes_from_the_configured_mirror() -> None:
    configured = [
        Source("http://vendor.test/apt/", "bookworm"),
        Source("http://mirror.test/debian/", "bookworm"),
        Source("http://mirror.test/debian-security/", "bookworm-security"),
    ]

    lines = sources("trixie", configured)

    places = [line.partition("] ")[2] for line in lines]
    assert places == [
        "http://mirror.test/debian/ trixie main",
        "http://mirror.test/debian/ trixie-updates main",
        "http://mirror.test/debian-security/ trixie-security main",
    ]


def test_machine_without_a_debian_archive_is_told_so() -> None:
    with pytest.raises(DownloadError, match="no Debian archive"):
        sources("bookworm", [])


def test_newest_kernel_of_a_line_is_the_highest_number() -> None:
    packages = ["linux-image-6.18.9+deb13-amd64", "linux-image-6.18.15+deb13-amd64"]

    assert newest("6.18", [*packages, "linux-image-6.19.14+deb13-amd64"]) == packages[1]


def test_line_that_left_the_archive_is_told_so() -> None:
    with pytest.raises(DownloadError, match=r"no kernel 6\.18"):
        newest("6.18", ["linux-image-6.180.1+deb13-amd64"])


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A package with two files."""
    for name in ("DEBIAN/control", "usr/lib/a/cifs.ko", "usr/lib/b/cifs.ko"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    fields = "Package: p\nVersion: 1\nArchitecture: all\nMaintainer: m\nDescription: d\n"
    (tmp_path / "DEBIAN/control").write_text(fields)
    tmp_path.chmod(0o755)
    host.run(["dpkg-deb", "--build", tmp_path, tmp_path / "p.deb"], timeout_s=60)
    return tmp_path / "p.deb"


def test_one_file_of_a_package_is_found_by_its_path(package: Path) -> None:
    assert file_in(package, "*/b/cifs.ko") == b"usr/lib/b/cifs.ko"


def test_file_that_a_package_has_not_is_told(package: Path) -> None:
    with pytest.raises(DownloadError, match=r"p\.deb has no file \*\.xz"):
        file_in(package, "*.xz")
