"""`aod collect` as a process of its own, with the real actions of this machine."""

import os
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from aod.bundle import read_member
from tests import ROOT
from tests.conftest import names_in
from tests.plain import manifest_in

CONFIG = """\
aod_output_dir: {output}
min_free_mb: 0
guardian: {{anomalies: {{latency: {{type: Latency, actions: [{actions}]}}}}}}
watcher: {{actions: [{actions}], post_trigger_sec: {post_trigger_s}}}
"""


def argv(tmp_path: Path, actions: str, post_trigger_s: float, *more: str) -> list[str]:
    """Return the command line of a collect whose bundle comes to `out`."""
    config = tmp_path / "config.yaml"
    output = tmp_path / "out"
    config.write_text(CONFIG.format(output=output, actions=actions, post_trigger_s=post_trigger_s))
    return [sys.executable, "-m", "aod", "collect", "--config", str(config), *more]


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.fixture
def capturing(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A collect that captures packets for a minute, once its tcpdump says that it does."""
    if not shutil.which("tcpdump") or os.geteuid() != 0:
        pytest.skip("capturing takes tcpdump and root")
    process = subprocess.Popen(
        argv(tmp_path, "tcpdump, mounts", 60),
        cwd=ROOT,
        env=os.environ | {"AOD_LOG_LEVEL": "DEBUG"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    yield process
    process.kill()
    process.communicate(timeout=10)


def wait_for_capture(folder: Path) -> None:
    """Return when tcpdump has sent its first bytes: the file is made for them."""
    script = f"until [ -e {folder}/aod_*/raw/tcpdump.pcap ]; do sleep 0.05; done"
    subprocess.run(["sh", "-c", script], check=True, timeout=30)


def test_it_prints_the_bundle_with_the_reason_in_it(tmp_path: Path) -> None:
    command = argv(tmp_path, "dmesg, mounts", 0, "--reason", "the disk was slow")

    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)

    assert (done.returncode, done.stderr) == (0, "")
    path = Path(done.stdout.strip())
    manifest = manifest_in(path)
    assert (manifest["state"], manifest["trigger"]) == ("sealed", "manual")
    assert manifest["actions"].keys() == {"dmesg", "mounts"}
    assert b"the disk was slow" in read_member(path, "summary.txt")
    assert names_in(tmp_path / "out") == [path.name]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_told_to_end_it_keeps_what_it_has_and_leaves_no_child(
    tmp_path: Path, capturing: subprocess.Popen[str], number: signal.Signals
) -> None:
    wait_for_capture(tmp_path / "out")
    children = children_of(capturing.pid)

    capturing.send_signal(number)
    stdout, stderr = capturing.communicate(timeout=10)

    assert (capturing.returncode, "Traceback" in stderr) == (0, False)
    assert len(children) == 1
    assert not Path(f"/proc/{children[0]}").exists()
    path = Path(stdout.strip())
    assert names_in(tmp_path / "out") == [path.name]
    assert manifest_in(path)["actions"]["tcpdump"]["state"] == "cancelled"


def test_killed_it_leaves_no_child(tmp_path: Path, capturing: subprocess.Popen[str]) -> None:
    wait_for_capture(tmp_path / "out")
    (child,) = children_of(capturing.pid)
    pidfd = os.pidfd_open(child)

    capturing.kill()
    capturing.wait(timeout=10)

    with os.fdopen(pidfd) as gone:
        ready, _, _ = select.select([gone], [], [], 10)
        assert ready


def test_a_read_only_disk_is_told_before_anything_is_collected(tmp_path: Path) -> None:
    command = argv(tmp_path, "mounts", 0)
    hide = ("unshare", "--mount", "sh", "-c", 'mount -t tmpfs -o ro none "$0" && exec "$@"')
    output = tmp_path / "out"
    output.mkdir(mode=0o700)
    if subprocess.run([*hide, str(output), "true"], capture_output=True, timeout=60).returncode:
        pytest.skip("mounting is not allowed here")

    done = subprocess.run(
        [*hide, str(output), *command], cwd=ROOT, capture_output=True, text=True, timeout=60
    )

    assert done.returncode == 2
    assert "aod_output_dir" in done.stderr
    assert "Traceback" not in done.stderr
