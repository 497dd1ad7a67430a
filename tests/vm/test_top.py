"""`aod top` beside a workload whose size is known."""

import json

import pytest

from tests.vm.daemon import AOD, wait_for_probes
from tests.vm.lab import SERVED, SHARE, Machine

INTERVAL_S = 8


@pytest.mark.promise
def test_23_writes_are_23_writes_with_sane_latencies(vm: Machine) -> None:
    vm.run(f"touch {SERVED}/written && chown alice {SERVED}/written")
    top = vm.start(f"exec {AOD} top --json --interval {INTERVAL_S}")
    wait_for_probes(vm)
    # The first sample is taken as soon as the last probe is in.
    vm.run("sleep 2")
    vm.run(f"dd if=/dev/zero of={SHARE}/written bs=4096 count=23 oflag=direct status=none")
    assert top.wait() == 0

    told = json.loads(top.output())

    assert told["interval_s"] >= INTERVAL_S
    (writes,) = [each for each in told["activities"] if each["command"] == "SMB2_WRITE"]
    assert (writes["server"], writes["share"]) == ("127.0.0.1", "share")
    assert (writes["operations"], writes["errors"], writes["in_flight"]) == (23, 0, 0)
    assert writes["bytes_per_s"] == round(23 * 4096 / told["interval_s"])
    assert 0 < writes["p50_ms"] <= writes["p99_ms"] <= writes["max_ms"] < INTERVAL_S * 1000
    assert told["total"]["operations"] >= 25
