"""Capabilities are held back in every thread, raised in one; each test has its own process."""

import os
import subprocess
import sys

import pytest

from aod.host.capabilities import Capability, capability_sets, mask
from tests import ROOT

pytestmark = pytest.mark.skipif(
    not capability_sets().effective >> Capability.SETPCAP & 1, reason="takes root to give rights up"
)

BEGIN = """
import os, subprocess, threading
from aod.host.capabilities import Capability, lower, raised, capability_sets
from pathlib import Path

KEPT = (Capability.BPF, Capability.SYSLOG, Capability.SETPCAP)

def mine():
    return capability_sets(Path(f"/proc/self/task/{threading.get_native_id()}/status")).effective

def in_thread(function):
    found = []
    thread = threading.Thread(target=lambda: found.append(function()))
    thread.start()
    thread.join()
    return found[0]
"""


def run(code: str) -> list[str]:
    """Run code after BEGIN in another process and return the words it prints."""
    done = subprocess.run(
        [sys.executable, "-c", BEGIN + code],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done.stdout.split()


def test_what_is_not_kept_is_gone_and_the_rest_held_back() -> None:
    code = "lower(KEPT); own = capability_sets(); print(own.effective, own.permitted, own.bounding)"

    kept = mask([Capability.BPF, Capability.SYSLOG, Capability.SETPCAP])
    assert run(code) == ["0", str(kept), str(kept)]


def test_what_shall_be_effective_is() -> None:
    code = "lower(KEPT, [Capability.BPF, Capability.SYS_ADMIN]); print(capability_sets().effective)"

    assert run(code) == [str(mask([Capability.BPF]))]


def test_a_thread_that_is_started_later_has_no_more() -> None:
    assert run("lower(KEPT); print(in_thread(mine))") == ["0"]


def test_a_right_is_raised_in_one_thread_and_for_a_while() -> None:
    code = """
lower(KEPT)
def look():
    with raised(Capability.BPF):
        return mine(), capability_sets().effective
print(*in_thread(look), mine())
with raised(Capability.BPF):
    pass
print(mine())
"""

    assert run(code) == [str(mask([Capability.BPF])), "0", "0", "0"]


def test_a_right_that_was_given_up_is_not_raised() -> None:
    code = """
lower(KEPT)
with raised(Capability.SYS_ADMIN, Capability.BPF):
    print(mine())
"""

    assert run(code) == [str(mask([Capability.BPF]))]


def test_a_right_that_is_held_anyway_stays() -> None:
    code = """
before = mine()
with raised(Capability.BPF):
    print(mine() == before)
print(mine() == before)
"""

    assert run(code) == ["True", "True"]


def test_it_is_lowered_again_after_an_error() -> None:
    code = """
lower(KEPT)
try:
    with raised(Capability.BPF):
        raise ValueError
except ValueError:
    print(mine())
"""

    assert run(code) == ["0"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root's children gain what is not held")
def test_a_child_of_root_does_not_get_back_what_was_given_up() -> None:
    code = 'lower(KEPT); subprocess.run(["grep", "CapEff", "/proc/self/status"])'

    kept = mask([Capability.BPF, Capability.SYSLOG, Capability.SETPCAP])
    assert run(code) == ["CapEff:", f"{kept:016x}"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root's children gain what is not held")
@pytest.mark.parametrize("prefix", [(), ("setpriv", "--no-new-privs")])
def test_a_confined_child_has_its_rights_under_a_unit_that_forbids_new_ones(
    prefix: tuple[str, ...],
) -> None:
    code = """
from aod.processes.programs import confined
lower(KEPT)
subprocess.run(confined("grep", ["CapEff", "/proc/self/status"], [Capability.SYSLOG]))
"""
    argv = [*prefix, sys.executable, "-c", BEGIN + code]

    done = subprocess.run(argv, cwd=ROOT, check=True, capture_output=True, text=True, timeout=60)

    assert done.stdout.split() == ["CapEff:", f"{mask([Capability.SYSLOG]):016x}"]
