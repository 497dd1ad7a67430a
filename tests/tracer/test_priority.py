"""A map is read at real-time priority, and the thread comes back from it."""

import os
import subprocess
import sys

import pytest

READ_A_MAP = """
import os
from aod.tracer._libbpf import ffi, lib
lib.aod_map_lookup(-1, ffi.NULL, ffi.NULL)
print(os.sched_getscheduler(0) == os.SCHED_OTHER | os.SCHED_RESET_ON_FORK)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="root alone may raise its priority everywhere")
def test_a_thread_comes_back_from_real_time_without_cap_sys_nice() -> None:
    # To clear the flag takes CAP_SYS_NICE: the call that did would leave the thread at real time
    # under config/aod.service, which grants a limit only.
    told = subprocess.run(
        [sys.executable, "-c", READ_A_MAP], capture_output=True, text=True, check=True
    )

    assert told.stdout == "True\n"
