"""A redacted bundle of a real mount: the names are in none of its files, and can be looked up."""

import json
from pathlib import Path

import pytest

from aod.bundle import MANIFEST, read_member
from tests.plain import manifest_in
from tests.vm.daemon import ALL_ACTIONS, AOD, Daemon, Left, watching
from tests.vm.lab import SERVED, SHARE, Machine

USER, FOLDER, FILE, PROCESS = "alice", "merger-plans", "board-minutes.docx", "ledgerd"
NAMES = (USER, FOLDER, "board-minutes", PROCESS, "guest")
"""The user of the mount, a folder, a file, a process, and the machine."""


@pytest.mark.promise
def test_no_name_of_a_real_mount_is_in_a_redacted_bundle(vm: Machine, tmp_path: Path) -> None:
    slow = {"type": "Latency", "default_threshold_ms": 200, "actions": ALL_ACTIONS}
    daemon = Daemon.start(vm, watching({"latency": slow}, redact=True))
    vm.run(f"mkdir {SERVED}/{FOLDER}; echo 1 > {SERVED}/{FOLDER}/{FILE}; chmod -R a+rX {SERVED}")
    vm.run(f"cp /bin/cat /run/{PROCESS}")
    vm.delay(150)
    vm.run(f"/run/{PROCESS} {SHARE}/{FOLDER}/{FILE} > /run/copy", 60)
    vm.no_delay()
    daemon.wait_for("bundle sealed", 120)
    assert daemon.stop() == 0

    left = Left(vm, tmp_path)
    (bundle,) = left.bundles
    manifest = manifest_in(bundle)
    found = {
        (name, member)
        for member in [MANIFEST, *manifest["files"]]
        for name in NAMES
        if name.encode() in read_member(bundle, member).lower()
    }
    assert found == set()
    assert manifest["redacted"] is True
    assert manifest["actions"]["tcpdump"]["reason"] == "redact keeps no packets"
    states = {name: each["state"] for name, each in manifest["actions"].items()}
    assert states.pop("syslogs") == states.pop("tcpdump") == "skipped"
    assert set(states.values()) == {"ok"}
    known = json.loads(vm.run(f"{AOD} names --json").stdout)
    worst = manifest["anomalies"][0]["worst"]
    assert known[worst["comm"]] == PROCESS
    assert known[worst["share"]] == "share"
