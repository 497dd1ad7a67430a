"""Tests of aod.bundle.space."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from aod.bundle import EVENTS, Bundle, OutputDirectory, fit
from aod.bundle.manifest import Manifest
from aod.bundle.space import OWN_BYTES
from tests.disk import still_bytes

STAMP = 1763806988_123456789
MANIFEST = Manifest(1, "sealed")
MIB = 1 << 20


@pytest.fixture
def output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[OutputDirectory]:
    """An output directory whose disk has 100 MiB free, whatever is written."""
    with OutputDirectory.open(tmp_path / "aod") as opened:
        monkeypatch.setattr(opened, "free_bytes", lambda: 100 * MIB)
        yield opened


CAPS = {"dmesg": 10, "tcpdump": 40, "journalctl": 20, "stats": 10}


@pytest.mark.parametrize(
    ("free_bytes", "kept", "dropped"),
    [
        (180, ["dmesg", "tcpdump", "journalctl", "stats"], []),
        (179, ["dmesg", "journalctl", "stats"], ["tcpdump"]),
        (139, ["dmesg", "stats"], ["tcpdump", "journalctl"]),
        (119, ["dmesg"], ["tcpdump", "journalctl", "stats"]),
        (100, [], ["tcpdump", "journalctl", "stats", "dmesg"]),
        (0, [], ["tcpdump", "journalctl", "stats", "dmesg"]),
    ],
)
def test_the_largest_actions_go_first_when_the_disk_is_short(
    free_bytes: int, kept: list[str], dropped: list[str]
) -> None:
    assert fit(CAPS, free_bytes, reserved_bytes=30, min_free_bytes=70) == (kept, dropped)


def test_a_bundle_reserves_its_actions_its_own_files_and_the_sealed_file(
    output: OutputDirectory,
) -> None:
    with Bundle.create(output, STAMP) as bundle:
        room = output.reservations.reserve(bundle.name, {"dmesg": 16 * MIB}, 0, output)

        assert (room.actions, room.left_out) == (("dmesg",), ())
        assert still_bytes(output) == 2 * (16 * MIB + OWN_BYTES)


def test_what_is_written_is_no_longer_reserved(output: OutputDirectory) -> None:
    with Bundle.create(output, STAMP) as bundle:
        output.reservations.reserve(bundle.name, {"dmesg": 16 * MIB}, 0, output)
        before = still_bytes(output)
        bundle.write("dmesg.txt", bytes(5 * MIB))

        assert still_bytes(output) == before - 5 * MIB


def test_a_bundle_that_is_being_sealed_reserves_the_rest_of_its_sealed_file(
    output: OutputDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsync, seen = os.fsync, list[int]()

    def look(fd: int) -> None:
        fsync(fd)
        if (output.path / f"{bundle.name}.tar.zst.tmp").exists():
            seen.append(still_bytes(output))

    with Bundle.create(output, STAMP) as bundle:
        output.reservations.reserve(bundle.name, {"dmesg": 16 * MIB}, 0, output)
        bundle.write("dmesg.txt", os.urandom(MIB))
        output.reservations.settle(bundle.name, output.written_bytes(bundle.name))
        before = still_bytes(output)
        monkeypatch.setattr(os, "fsync", look)
        bundle.seal(MANIFEST)

    assert before == MIB
    assert seen == [0]
    assert still_bytes(output) == 0


@pytest.mark.parametrize("end", [Bundle.close, Bundle.discard])
def test_a_bundle_that_has_ended_reserves_nothing(output: OutputDirectory, end: object) -> None:
    assert callable(end)
    bundle = Bundle.create(output, STAMP)
    output.reservations.reserve(bundle.name, {"dmesg": 16 * MIB}, 0, output)

    end(bundle)

    assert still_bytes(output) == 0


def test_the_next_bundle_gets_what_open_ones_have_not_reserved(output: OutputDirectory) -> None:
    caps = {"dmesg": 10 * MIB, "stats": 10 * MIB}
    with Bundle.create(output, STAMP) as first, Bundle.create(output, STAMP) as second:
        granted = [
            output.reservations.reserve(bundle.name, caps, 34 * MIB, output)
            for bundle in (first, second)
        ]

    assert granted[0].actions == ("dmesg", "stats")
    assert granted[1].reserved_bytes == 2 * (20 * MIB + OWN_BYTES)
    assert granted[1].actions == ("dmesg",)
    assert granted[1].left_out == ("stats",)


def test_below_min_free_nothing_but_manifest_and_summary_is_kept(output: OutputDirectory) -> None:
    with Bundle.create(output, STAMP) as bundle:
        rooms = [
            output.reservations.reserve(bundle.name, {"dmesg": MIB}, min_free_bytes, output)
            for min_free_bytes in (100 * MIB, 100 * MIB + 1)
        ]

    assert [room.left_out for room in rooms] == [("dmesg",), ("dmesg", EVENTS)]
    assert [room.has_events for room in rooms] == [True, False]


def test_a_bundle_of_another_process_counts_with_its_present_size(output: OutputDirectory) -> None:
    with (
        OutputDirectory.open(output.path) as other,
        Bundle.create(other, STAMP) as foreign,
        Bundle.create(output, STAMP) as own,
    ):
        foreign.write("dmesg.txt", bytes(3 * MIB))
        room = output.reservations.reserve(own.name, {}, 0, output)

    assert room.reserved_bytes == 3 * MIB
    assert output.others_bytes() == 0
