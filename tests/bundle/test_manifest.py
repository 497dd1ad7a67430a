"""The schema of manifest.json, against a bundle that aod 0.1.0 has made, and against damage."""

import json
from dataclasses import replace
from typing import Any

import pytest

from aod.bundle import archive
from aod.bundle.manifest import (
    COLUMNS,
    WAITING,
    ActionResult,
    Anomaly,
    Manifest,
    Operation,
    Tracer,
    dump,
    parse,
    parse_digests,
    salvage,
)
from aod.errors import BundleError
from tests import ROOT

OLD = ROOT / "tests/data/bundles/aod_1796086479720202750.tar.zst"
HUNG = Operation(task_state="D (disk sleep)", wchan="", stack=("wait_for_response+0x9f/0x110",))


@pytest.fixture(scope="module")
def old() -> bytes:
    """The manifest of a bundle of 0.1.0."""
    return archive.read_member(OLD, "manifest.json")


def plain(manifest: Manifest) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(dump(manifest))
    return found


def test_a_manifest_of_0_1_0_is_written_again_as_it_was(old: bytes) -> None:
    assert plain(parse(old, OLD)) == json.loads(old)


def test_the_columns_are_those_of_0_1_0() -> None:
    header = archive.read_member(OLD, "events.csv").decode().splitlines()[0]

    assert header == ",".join(COLUMNS)


def test_what_nobody_looked_for_has_no_key() -> None:
    anomaly = Anomaly("inflight", "hangs", worst=Operation(), events=(Operation(), HUNG))

    written = plain(Manifest(1, "sealed", anomalies=(anomaly,)))

    (told,) = written["anomalies"]
    assert not {*told["worst"], *told["events"][0]} & {*WAITING}
    assert told["events"][1].keys() >= {*WAITING}
    assert "redacted" not in written
    assert plain(Manifest(1, "sealed", redacted=True))["redacted"] is True


def test_what_is_written_is_read_as_it_was() -> None:
    manifest = Manifest(
        format=1,
        state="sealed",
        anomalies=(Anomaly("x", "x", limit={"some_count": 3, "some_ms": 0.5}, events=(HUNG,)),),
        actions={"dmesg": ActionResult("ok", "dmesg", file="dmesg.txt", exit_code=-9)},
        tracer=Tracer(rung=None, ledger={"requests": 5}),
        config={"a": [1, None, "ü"]},
        redacted=True,
    )

    assert parse(dump(manifest), "a test") == manifest


def test_where_nobody_watched_the_tracer_is_an_empty_object() -> None:
    manifest = Manifest(1, "sealed")

    assert plain(manifest)["tracer"] == {}
    assert parse(dump(manifest), "a test").tracer is None


def test_half_a_character_of_a_command_line_can_be_written_and_read() -> None:
    manifest = Manifest(1, "sealed", anomalies=(Anomaly("manual", "manual", reason="\udcff"),))

    (anomaly,) = parse(dump(manifest), "a test").anomalies
    assert anomaly.reason == r"\udcff"


def test_half_a_character_as_0_1_0_wrote_it_is_read() -> None:
    reasons = ["\udcff", r"\ud800", "\U0001f600"]
    anomalies = [{"anomaly": "manual", "name": "manual", "reason": reason} for reason in reasons]
    data = json.dumps({"format": 1, "state": "sealed", "anomalies": anomalies}).encode()

    read = [anomaly.reason for anomaly in parse(data, "a test").anomalies]
    assert read == [r"\udcff", r"\ud800", "\U0001f600"]


@pytest.mark.parametrize("format_", ["1", True, None])
def test_without_a_format_number_it_is_no_bundle(format_: object) -> None:
    data = json.dumps({"format": format_, "state": "sealed"}).encode()

    with pytest.raises(BundleError, match=r"^b is no bundle of aod: its manifest\.json has no"):
        parse(data, "b")


def test_json_that_ends_early_is_called_damaged() -> None:
    with pytest.raises(BundleError, match="fetch it again"):
        parse(b'{"format": 1, "sta', "b")


def test_keys_of_a_later_version_are_left_out() -> None:
    data = b'{"format": 2, "state": "sealed", "verdict": "network", "host": {"name": "a", "x": 1}}'

    assert parse(data, "a test").host.name == "a"


@pytest.mark.parametrize(
    ("key", "value", "place"),
    [
        ("anomalies", 5, "anomalies: "),
        ("anomalies", [{"anomaly": "x"}], "anomalies.0.name: "),
        ("actions", {"dmesg": {"state": 1}}, "actions.dmesg.state: "),
        ("anomalies", [{"anomaly": "x", "name": "x", "count": -1}], "anomalies.0.count: "),
        ("host", [], "host: "),
    ],
)
def test_what_is_wrong_is_told_with_its_place(key: str, value: object, place: str) -> None:
    data = json.dumps({"format": 1, "state": "sealed", key: value}).encode()

    with pytest.raises(BundleError, match=r"cannot read manifest\.json of b: ") as raised:
        parse(data, "b")

    assert place in str(raised.value)


def test_the_digests_are_read_of_a_manifest_that_is_wrong_elsewhere() -> None:
    data = b'{"format": 3, "state": 5, "files": {"a.txt": {"bytes": 1, "sha256": "00"}}}'

    assert parse_digests(data, "b")["a.txt"].bytes == 1


@pytest.mark.parametrize("key", ["anomalies", "actions", "host", "lost", "state", "disk"])
def test_what_is_sound_is_salvaged(old: bytes, key: str) -> None:
    damaged = json.loads(old) | {key: "\udcff"} | ({"state": 7} if key == "state" else {})
    default = getattr(Manifest(1, "interrupted"), key)

    saved = salvage(json.dumps(damaged).encode())

    assert saved == replace(parse(old, OLD), **{key: default})


@pytest.mark.parametrize("data", [b"", b"[]", b"{", b"5", b'{"state": "sealed"}', b"[" * 100_000])
def test_what_is_no_manifest_at_all_is_not_salvaged(data: bytes) -> None:
    assert salvage(data) is None


def test_nesting_without_end_costs_no_more_than_its_key(old: bytes) -> None:
    deep = json.loads("[" * 400 + "]" * 400)

    saved = salvage(json.dumps(json.loads(old) | {"config": deep}).encode())

    assert saved
    assert saved.config is None
    assert len(saved.anomalies) == 1
