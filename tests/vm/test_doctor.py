"""`aod doctor` where there is a share: what it attaches, what it counts, what it fires."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.vm.daemon import AOD, OUTPUT, SHIPPED, Left
from tests.vm.lab import SERVED, SHARE, Machine

ATTACHED = "until [ $(bpftool link show | grep -c perf) -ge 2 ]; do sleep 0.2; done"


def findings(vm: Machine, *options: str) -> list[dict[str, Any]]:
    """Return what it finds with the shipped config; its exit code must be 0."""
    named = f"AOD_OUTPUT_DIR={OUTPUT} {AOD} doctor --config {SHIPPED} --json"
    told = json.loads(vm.run(" ".join((named, *options)), 120).stdout)
    assert told["can_watch"] is True
    return list(told["findings"])


def of(found: list[dict[str, Any]], subject: str) -> list[str]:
    return [each["text"] for each in found if each["subject"] == subject]


@pytest.mark.promise
def test_on_a_mounted_share_every_probe_of_the_highest_rung_is_attached(vm: Machine) -> None:
    found = findings(vm)

    assert {each["state"] for each in found} == {"ok"}
    assert of(found, "rung") == ["1, the highest: kprobes, with the types of cifs"]
    assert len(of(found, "probe")) > 20
    assert of(found, "mount") == [f"{SHARE}: //127.0.0.1/share, SMB 3.1.1"]
    assert vm.run("bpftool -j prog show | grep -c smb_send_rqst", check=False).stdout == "0\n"


@pytest.mark.parametrize(
    ("hidden", "rung", "refused"),
    [("types", "2: ", ("not rung 1: ",)), ("smb_send_rqst", "5: ", ("not rung 1", "not rung 2"))],
)
def test_what_is_hidden_leads_to_a_lower_rung(
    vm: Machine, hidden: str, rung: str, refused: tuple[str, ...]
) -> None:
    found = findings(vm, "--hide", hidden)

    used, *reasons = of(found, "rung")
    assert used.startswith(rung)
    assert ("degraded" in used) is (rung == "5: ")
    assert [reason[: len(start)] for reason, start in zip(reasons, refused, strict=True)] == [
        *refused
    ]


@pytest.mark.promise
def test_the_ledger_of_23_writes_is_closed(vm: Machine) -> None:
    vm.run(f"chmod 777 {SERVED}")
    job = vm.start(f"exec {AOD} doctor --ledger --seconds 300 --json > /run/ledger")
    vm.run(f"timeout 60 bash -c '{ATTACHED}'", 90)
    vm.run(
        f"for i in $(seq 23); do "
        f"dd if=/dev/zero of={SHARE}/f bs=4k count=1 conv=fsync status=none || exit; done"
    )
    job.signal()

    assert job.wait() == 0
    ledger = json.loads(vm.read("/run/ledger"))
    assert ledger["completed"] >= 23
    assert (ledger["closed"], ledger["quiet"], ledger["rung"]) == (True, True, 1)
    assert (ledger["open"], ledger["unmatched"], ledger["lost"]) == (0, 0, 0)


def test_fired_the_shipped_config_leaves_a_bundle(vm: Machine, tmp_path: Path) -> None:
    told = vm.run(f"AOD_OUTPUT_DIR={OUTPUT} {AOD} doctor --fire --config {SHIPPED}", 120).stdout

    left = Left(vm, tmp_path)
    assert told.splitlines()[-1] == f"{OUTPUT}/{left.bundles[0].name}"
    manifest = left.manifest()
    assert manifest["state"] == "sealed"
    assert manifest["anomalies"][0]["worst"]["comm"] == "aod-doctor"
    assert manifest["actions"]["debugdata"]["state"] == "ok"
