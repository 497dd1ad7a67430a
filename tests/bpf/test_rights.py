"""The service's rights on this kernel: held back, and enough for all that it does."""

import subprocess
import sys

import pytest

from aod.host.capabilities import Capability, capability_sets, mask
from tests import ROOT

BEGIN = """
import os, resource, threading
from pathlib import Path
from aod.host.capabilities import capability_sets
from aod.tracer.privileges import hold_back

def effective():
    tasks = Path("/proc/self/task").iterdir()
    return {capability_sets(path / "status").effective for path in tasks}

hold_back()
"""

CAP_SYS_RESOURCE = 24
HAS_NICE = not capability_sets().permitted >> CAP_SYS_RESOURCE & 1
"""Where a limit cannot be raised, as in many containers, a right stands in for it."""

pytestmark = pytest.mark.skipif(
    not capability_sets().effective >> Capability.BPF & 1, reason="takes root to load BPF programs"
)


def run(code: str, *prefix: str) -> list[str]:
    """Run code after BEGIN in another process and return the words it prints."""
    argv = [*prefix, sys.executable, "-c", BEGIN + code]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_nothing_is_in_force_and_no_more_is_kept_than_has_a_use() -> None:
    nice = mask([Capability.SYS_NICE])
    kept = mask(list(Capability)) & (~0 if HAS_NICE else ~nice)

    effective, permitted, bounding = run(
        "own = capability_sets(); print(own.effective, own.permitted, own.bounding)"
    )

    assert int(effective) == (nice if HAS_NICE else 0)
    assert int(permitted) == int(bounding) == kept


def test_calls_on_maps_may_still_be_undisturbed() -> None:
    code = """
os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
print(os.sched_getscheduler(0) == os.SCHED_OTHER)
"""

    assert run(code) == ["True"]


def test_where_the_limit_cannot_be_set_the_right_to_it_stays() -> None:
    without = ("prlimit", "--rtprio=0:0", "setpriv", "--bounding-set=-sys_resource")

    (own,) = run("print(capability_sets().effective)", *without)

    assert int(own) == mask([Capability.SYS_NICE])


@pytest.mark.parametrize("prefix", [(), ("setpriv", "--no-new-privs")])
def test_the_programs_are_loaded_and_the_maps_used(prefix: tuple[str, ...]) -> None:
    code = """
from aod.smb.filter import Filter
from aod.tracer.ladder import KERNEL_BTF
from aod.smb.probes import LADDER
from aod.tracer.program import Tracer

with Tracer(btf=KERNEL_BTF, rung=LADDER[1]) as tracer:
    tracer.set_filter(Filter())
    with tracer.own.own(os.getpid()):
        print(len(tracer.counters()), len(tracer.threads()), len(tracer.open_requests()))
    print(sum(tracer.counts().values()), tracer.skipped(), tracer.ring.read().size)
    print(effective() == {capability_sets().effective})
"""

    assert run(code, *prefix) == ["2", "2", "2", "0", "0", "0", "True"]


def test_a_kernel_that_wants_a_right_for_maps_is_given_it() -> None:
    code = """
from aod.tracer import privileges as service
service.maps_are_open = lambda: False
hold_back()
print(*effective())
"""

    (own,) = run(code)

    assert int(own) & ~mask([Capability.SYS_NICE]) == mask([Capability.BPF])
