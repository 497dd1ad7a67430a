"""The state file: what comes back after a restart, a reboot, a sleep, and damage."""

import asyncio
import json
import os
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from aod.incidents.cooldown import Cooldown, Cooldowns, SavedCooldowns, Suppressed
from aod.incidents.state import (
    DAMAGED,
    FILE,
    MAX_BYTES,
    Moment,
    State,
    StateDirectory,
    StateFile,
    parse,
)
from aod.runtime.counts import ServiceCounts
from tests.events import SECOND

THEN = Moment("boot-1", boottime_ns=1000 * SECOND, monotonic_ns=900 * SECOND)
COOLDOWNS = SavedCooldowns(
    {"latency": Cooldown(960 * SECOND, 60 * SECOND, repeated=True)},
    (900 * SECOND,),
    (Suppressed("latency", 3, 1, 2, 5),),
)
TALLY = ServiceCounts(Counter(latency=2), bundles=Counter(sealed=2), deleted=1, last_bundle="aod_1")


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[StateDirectory]:
    with StateDirectory(tmp_path / "state") as opened:
        yield opened


def test_what_was_saved_is_loaded(directory: StateDirectory) -> None:
    directory.save(COOLDOWNS, TALLY)

    loaded = directory.load()

    assert loaded.tally == TALLY
    assert loaded.cooldowns.suppressed == COOLDOWNS.suppressed
    left_ns = loaded.cooldowns.cooldowns["latency"].until_ns - loaded.moment.monotonic_ns
    expected_ns = 960 * SECOND - loaded.moment.monotonic_ns
    assert abs(left_ns - expected_ns) < 0.1 * SECOND


def test_without_a_file_nothing_is_known(directory: StateDirectory) -> None:
    assert directory.load().tally == ServiceCounts()


def test_time_goes_on_in_a_sleep() -> None:
    slept_ns = 3600 * SECOND
    now = Moment("boot-1", THEN.boottime_ns + slept_ns + SECOND, THEN.monotonic_ns + SECOND)

    kept = State(THEN, COOLDOWNS).at(now).cooldowns

    assert kept.cooldowns["latency"].until_ns == (960 - 3600) * SECOND
    assert kept.opened_ns == ((900 - 3600) * SECOND,)


def test_another_boot_keeps_what_does_not_depend_on_its_clock() -> None:
    kept = State(THEN, COOLDOWNS, TALLY).at(replace(THEN, boot_id="boot-2"))

    assert kept.cooldowns == SavedCooldowns(suppressed=COOLDOWNS.suppressed)
    assert kept.tally == TALLY


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b'{"moment": 5}',
        b"\xff\xfe",
        b" " * (MAX_BYTES + 1),
        b'{"format": 99, "moment": {"boot_id": "", "boottime_ns": 1, "monotonic_ns": 1}}',
    ],
)
def test_a_damaged_file_is_set_aside(
    directory: StateDirectory, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    (directory.path / FILE).write_bytes(content)

    loaded = directory.load()

    assert loaded.tally == ServiceCounts()
    assert (directory.path / DAMAGED).read_bytes() == content
    assert not (directory.path / FILE).exists()
    assert "state not readable, set aside" in caplog.text


def test_a_link_in_its_place_is_not_followed(directory: StateDirectory, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("other")
    (directory.path / FILE).symlink_to(secret)

    assert directory.load().tally == ServiceCounts()
    directory.save(COOLDOWNS, TALLY)

    assert secret.read_text() == "other"
    assert directory.load().tally == TALLY


def test_it_is_for_the_owner_alone(directory: StateDirectory) -> None:
    directory.save(COOLDOWNS, TALLY)

    assert directory.path.stat().st_mode & 0o777 == 0o700
    assert (directory.path / FILE).stat().st_mode & 0o777 == 0o600


def test_a_save_that_fails_leaves_what_was_there(
    directory: StateDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory.save(COOLDOWNS, TALLY)
    before = (directory.path / FILE).read_bytes()

    def refuse(*arguments: object, **keys: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(OSError, match="No space"):
        directory.save(COOLDOWNS, ServiceCounts())

    assert [(path.name, path.read_bytes()) for path in directory.path.iterdir()] == [(FILE, before)]


@pytest.mark.parametrize(("first_ns", "last_ns"), [(-1, 2), (0, 1 << 63)])
def test_a_time_that_is_none_is_damage(first_ns: int, last_ns: int) -> None:
    held = {
        "name": "a",
        "count": 1,
        "first_ns": first_ns,
        "last_ns": last_ns,
        "worst_latency_ns": 0,
    }
    moment = {"boot_id": "b", "boottime_ns": 1, "monotonic_ns": 1}

    with pytest.raises(ValueError, match="a was held back at a time that is none"):
        parse(json.dumps({"moment": moment, "cooldowns": {"suppressed": [held]}}).encode())


def test_a_problem_is_told_with_its_place() -> None:
    with pytest.raises(ValueError, match=r"moment\.boot_id: "):
        parse(b'{"moment": {"boot_id": 5, "boottime_ns": 1, "monotonic_ns": 1}}')


def test_a_tally_counts_on() -> None:
    service_counts = ServiceCounts(Counter(latency=1), last_bundle="")

    service_counts.add(TALLY)

    assert (service_counts.incidents, service_counts.bundles, service_counts.deleted) == (
        {"latency": 3},
        {"sealed": 2},
        1,
    )
    assert service_counts.last_bundle == "aod_1"


async def test_what_is_kept_was_copied_where_it_changes(
    directory: StateDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    cooldowns, copied_in = Cooldowns(0, 20), set[int]()
    copy = Cooldowns.saved

    def noted(these: Cooldowns) -> SavedCooldowns:
        copied_in.add(threading.get_ident())
        return copy(these)

    monkeypatch.setattr(Cooldowns, "saved", noted)

    await StateFile(directory, cooldowns, TALLY).keep()

    assert copied_in == {threading.get_ident()}
    assert (await asyncio.to_thread(directory.load)).tally == TALLY


def test_the_keys_of_the_file_are_those_of_0_1_0(tmp_path: Path) -> None:
    with StateDirectory(tmp_path) as directory:
        directory.save(SavedCooldowns(), ServiceCounts())

    kept = json.loads((tmp_path / FILE).read_text())

    assert set(kept) == {"moment", "cooldowns", "tally", "format"}
    assert set(kept["tally"]) == {
        *("incidents", "suppressed", "bundles", "restarts", "deleted", "last_bundle")
    }
