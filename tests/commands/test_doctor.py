"""`aod doctor` as a process of its own, on a machine without cifs (with it: tests/vm)."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from aod.bundle import read_member
from tests import ROOT
from tests.conftest import names_in
from tests.plain import manifest_in

NOBODY = "65534"
CONFIG = """\
aod_output_dir: {output}
min_free_mb: 0
guardian: {{anomalies: {{slow: {{type: Latency, actions: [dmesg, stats]}}}}}}
watcher: {{actions: [dmesg, stats], post_trigger_sec: 0}}
"""

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="takes root")
without_cifs = pytest.mark.skipif(Path("/proc/fs/cifs").exists(), reason="cifs is loaded here")


def doctor(*options: str, user: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
    command = [*user, sys.executable, "-m", "aod", "doctor", *options]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)


@pytest.fixture
def ordinary() -> Sequence[str]:
    """What makes a command that of an ordinary user, who can read this checkout."""
    if os.geteuid() != 0:
        return ()
    # setpriv keeps root's rights until the exec: Python may lie in root's home.
    user = ("setpriv", "--reuid", NOBODY, "--clear-groups")
    look = [*user, sys.executable, "-c", "import aod.tracer.program"]
    if subprocess.run(look, cwd=ROOT, capture_output=True, timeout=60).returncode:
        pytest.skip("no other user can read this checkout")
    return user


@as_root
@without_cifs
def test_here_it_says_that_cifs_stands_in_the_way() -> None:
    done = doctor()

    assert (done.returncode, done.stderr) == (1, "")
    problems = [line for line in done.stdout.splitlines() if line.startswith("problem")]
    assert any("cifs" in line and "is not loaded" in line for line in problems)
    assert not any("rights" in line for line in problems)
    assert done.stdout.splitlines()[-1].startswith("aod cannot watch SMB requests now: ")


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_an_ordinary_user_is_told_what_is_missing(
    ordinary: Sequence[str], options: tuple[str, ...]
) -> None:
    done = doctor(*options, user=ordinary)

    assert (done.returncode, done.stderr) == (1, "")
    assert "without CAP_SYS_ADMIN, CAP_PERFMON, CAP_BPF (run aod as root)" in done.stdout


@pytest.mark.parametrize("what", ["--ledger", "--fire"])
def test_an_ordinary_user_gets_a_sentence_in_place_of_a_trace(
    ordinary: Sequence[str], what: str
) -> None:
    done = doctor(what, user=ordinary)

    assert (done.returncode, done.stdout) == (1, "")
    assert "aod: cannot load BPF programs without CAP_SYS_ADMIN" in done.stderr
    assert "Traceback" not in done.stderr


def test_json_is_one_object_with_the_verdict() -> None:
    done = doctor("--json")

    told = json.loads(done.stdout)
    assert told["can_watch"] is (done.returncode == 0)
    assert {"rights", "kernel", "types", "lockdown", "kprobes", "cifs", "mount", "rung"} <= {
        found["subject"] for found in told["findings"]
    }


@without_cifs
def test_without_cifs_there_is_no_ledger() -> None:
    done = doctor("--ledger", "--seconds", "0", "--json")

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("aod: ")


@as_root
@pytest.mark.parametrize("options", [(), ("--json",)])
def test_fired_it_leaves_a_sealed_bundle_that_says_what_it_is(
    tmp_path: Path, options: tuple[str, ...]
) -> None:
    (tmp_path / "config.yaml").write_text(CONFIG.format(output=tmp_path / "out"))

    done = doctor("--fire", "--config", str(tmp_path / "config.yaml"), *options)

    assert (done.returncode, done.stderr) == (0, "")
    (name,) = names_in(tmp_path / "out")
    assert str(tmp_path / "out" / name) in done.stdout
    manifest = manifest_in(tmp_path / "out" / name)
    assert (manifest["state"], manifest["trigger"]) == ("sealed", "slow")
    assert manifest["anomalies"][0]["reason"].startswith("synthetic")
    assert manifest["anomalies"][0]["worst"]["comm"] == "aod-doctor"
    assert manifest["actions"].keys() == {"dmesg", "stats"}
    assert b"Note: synthetic" in read_member(tmp_path / "out" / name, "summary.txt")


@pytest.mark.parametrize("other", [("--ledger",), ("--hide", "types")])
def test_fire_goes_alone(other: tuple[str, ...]) -> None:
    done = doctor("--fire", *other)

    assert done.returncode == 2
    assert "--fire goes with neither --ledger nor --hide" in done.stderr
