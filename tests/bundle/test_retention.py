"""Tests of aod.bundle.retention."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aod.bundle import Bundle, OutputDirectory
from aod.bundle.output import Entry
from aod.bundle.retention import Limits, Removal, Retention, WallClock, newest_sealed, plan
from aod.host.files import names

NOW = 1763806988_123456789
DAY = 86_400 * 1_000_000_000
SECOND = 1_000_000_000
HOUR = 3600 * SECOND
UNLIMITED = Limits(max_age_ns=None, max_total_bytes=1 << 60)


def sealed(timestamp: int, size: int = 10) -> Entry:
    return Entry(f"aod_{timestamp:019d}.tar.zst", timestamp, True, size)


def directory(timestamp: int, size: int = 10) -> Entry:
    return Entry(f"aod_{timestamp:019d}", timestamp, False, size)


def test_only_what_is_older_than_the_limit_goes_for_its_age() -> None:
    limit = Limits(14 * DAY, 1 << 60)
    entries = [sealed(NOW - 14 * DAY - 1), sealed(NOW - 14 * DAY), sealed(NOW)]

    assert plan(entries, NOW, limit, ()) == [Removal(entries[0], "age")]


def test_a_time_stamp_in_the_future_is_not_old() -> None:
    entries = [sealed(NOW + 100 * DAY), sealed(NOW + 200 * DAY)]

    assert plan(entries, NOW, Limits(DAY, 1 << 60), ()) == []


def test_a_time_stamp_from_the_future_goes_before_what_was_made_since() -> None:
    ahead, old, new = sealed(NOW + 300 * DAY), sealed(NOW - 2), sealed(NOW)

    assert plan([old, new, ahead], NOW, Limits(None, 20), ()) == [Removal(ahead, "size")]
    assert newest_sealed([old, new, ahead], NOW) == new
    assert newest_sealed([ahead], NOW) == ahead


@pytest.mark.parametrize(("ahead_ns", "newest"), [(60 * SECOND, 1), (60 * SECOND + 1, 0)])
def test_a_small_step_back_does_not_make_a_bundle_the_oldest(ahead_ns: int, newest: int) -> None:
    entries = [sealed(NOW), sealed(NOW + ahead_ns)]

    assert newest_sealed(entries, NOW) == entries[newest]


def test_the_oldest_go_until_the_total_is_at_the_limit() -> None:
    entries = [sealed(NOW), sealed(NOW - 2), directory(NOW - 3), sealed(NOW - 1)]

    removals = plan(entries, NOW, Limits(None, 20), ())

    assert removals == [Removal(entries[2], "size"), Removal(entries[1], "size")]


def test_other_files_of_ours_count_in_the_total() -> None:
    entries = [sealed(NOW - 1), sealed(NOW)]

    assert plan(entries, NOW, Limits(None, 20), (), other_bytes=0) == []
    assert plan(entries, NOW, Limits(None, 20), (), other_bytes=1) == [Removal(entries[0], "size")]


ENTRIES = st.lists(
    st.builds(
        lambda is_sealed, offset, size: (sealed if is_sealed else directory)(NOW + offset, size),
        st.booleans(),
        st.integers(-30 * DAY, 2 * DAY),
        st.integers(0, 1000),
    ),
    max_size=12,
    unique_by=lambda entry: entry.name,
)


@given(ENTRIES, st.integers(0, 3000), st.integers(0, 500), st.data())
def test_a_plan_spares_open_and_newest_and_ends_under_the_limit_when_it_can(
    entries: list[Entry], max_bytes: int, other_bytes: int, data: st.DataObject
) -> None:
    directories = [entry.name for entry in entries if not entry.is_sealed]
    open_names = data.draw(st.sets(st.sampled_from(directories)) if directories else st.just(set()))
    limits = Limits(14 * DAY, max_bytes)

    removed = {r.entry.name for r in plan(entries, NOW, limits, open_names, other_bytes)}

    newest = newest_sealed(entries, NOW)
    spared = open_names | ({newest.name} if newest else set())
    kept = [entry for entry in entries if entry.name not in removed]
    total = sum(entry.bytes for entry in kept) + other_bytes
    assert not removed & spared
    assert total <= max_bytes or {entry.name for entry in kept} == spared
    assert all(NOW - e.timestamp <= 14 * DAY for e in kept if e.name not in spared)


@given(ENTRIES, st.integers(0, 12_000))
def test_by_size_nothing_goes_that_could_have_stayed(entries: list[Entry], max_bytes: int) -> None:
    removals = plan(entries, NOW, Limits(None, max_bytes), ())

    total = sum(entry.bytes for entry in entries)
    for removal in removals:
        assert total > max_bytes
        total -= removal.entry.bytes


@pytest.fixture
def output(tmp_path: Path) -> Iterator[OutputDirectory]:
    with OutputDirectory.open(tmp_path / "aod") as opened:
        yield opened


class Records:
    """Remembers what was deleted."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, dict[str, str | int]]] = []

    def __call__(self, event: str, /, **facts: str | int) -> None:
        self.seen.append((event, facts))


def put(output: OutputDirectory, entry: Entry) -> Entry:
    path = output.path / entry.name
    if not entry.is_sealed:
        path.mkdir()
        path = path / "dmesg.txt"
    path.write_bytes(b"x" * entry.bytes)
    return entry


def test_a_sweep_deletes_files_and_directories_and_records_them(output: OutputDirectory) -> None:
    records = Records()
    old = [put(output, sealed(NOW - 3 * DAY, 7)), put(output, directory(NOW - 2 * DAY, 5))]
    put(output, sealed(NOW))

    Retention(output, Limits(DAY, 1 << 60), records).sweep(NOW, DAY)

    assert names(output.fd) == [sealed(NOW).name]
    assert records.seen == [
        ("delete", {"file": old[0].name, "bytes": 7, "reason": "age"}),
        ("delete", {"file": old[1].name, "bytes": 5, "reason": "age"}),
    ]


def test_audit_files_count_but_stay(output: OutputDirectory) -> None:
    for name in ("audit.jsonl", "audit.jsonl.1"):
        (output.path / name).write_bytes(b"x" * 50)
    put(output, sealed(NOW - 1))
    put(output, sealed(NOW))

    Retention(output, Limits(None, 110), Records()).sweep(NOW, DAY)

    assert sorted(names(output.fd)) == [sealed(NOW).name, "audit.jsonl", "audit.jsonl.1"]


def test_what_is_not_ours_is_neither_counted_nor_deleted(
    output: OutputDirectory, tmp_path: Path
) -> None:
    (output.path / "big.iso").write_bytes(b"x" * 10_000)
    (output.path / "aod_5.tar.zst").write_bytes(b"x")
    (output.path / directory(NOW - 9 * DAY).name).symlink_to(tmp_path)
    put(output, sealed(NOW - 1))
    put(output, sealed(NOW))
    before = sorted(names(output.fd))

    assert Retention(output, Limits(DAY, 20), Records()).sweep(NOW, DAY) == []
    assert sorted(names(output.fd)) == before


def test_an_open_bundle_stays_however_old(output: OutputDirectory) -> None:
    with Bundle.create(output, NOW - 9 * DAY) as bundle:
        bundle.write("dmesg.txt", b"x" * 100)

        assert Retention(output, Limits(DAY, 1), Records()).sweep(NOW, DAY) == []
        assert bundle.path.exists()


def test_a_bundle_that_another_process_collects_stays(output: OutputDirectory) -> None:
    with (
        OutputDirectory.open(output.path) as other,
        Bundle.create(other, NOW - 9 * DAY) as bundle,
    ):
        assert Retention(output, Limits(DAY, 1), Records()).sweep(NOW, DAY) == []
        assert bundle.path.exists()


def test_the_newest_stays_over_the_limit_with_one_warning(
    output: OutputDirectory, caplog: pytest.LogCaptureFixture
) -> None:
    put(output, sealed(NOW, 100))
    cleanup = Retention(output, Limits(None, 50), Records())

    cleanup.sweep(NOW, DAY)
    cleanup.sweep(NOW, DAY)

    assert caplog.text.count("stays over its limit") == 1
    assert names(output.fd) == [sealed(NOW).name]


def test_another_newest_over_the_limit_is_warned_of_again(
    output: OutputDirectory, caplog: pytest.LogCaptureFixture
) -> None:
    put(output, sealed(NOW, 100))
    cleanup = Retention(output, Limits(None, 50), Records())
    cleanup.sweep(NOW, DAY)
    put(output, sealed(NOW + 1, 100))

    cleanup.sweep(NOW, DAY)

    assert caplog.text.count("stays over its limit") == 2


def test_what_cannot_be_deleted_is_not_recorded_and_tried_again(
    output: OutputDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(output, sealed(NOW - 3 * DAY))
    put(output, sealed(NOW))
    records = Records()
    cleanup = Retention(output, Limits(DAY, 1 << 60), records)
    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", _refused)
        assert cleanup.sweep(NOW, DAY) == []
    assert records.seen == []

    assert [removal.reason for removal in cleanup.sweep(NOW, DAY)] == ["age"]


def _refused(*arguments: object, **options: object) -> None:
    raise PermissionError(1, "Operation not permitted")


@pytest.mark.parametrize(
    ("step_ns", "is_step"), [(0, False), (HOUR, False), (HOUR + 1, True), (-HOUR - 1, True)]
)
def test_wall_time_is_stepped_when_it_moves_over_an_hour_by_itself(
    step_ns: int, is_step: bool
) -> None:
    clock = WallClock()
    clock.stepped(NOW, 5)

    assert clock.stepped(NOW + DAY + step_ns, 5 + DAY) == is_step


def test_the_first_reading_is_no_step() -> None:
    assert not WallClock().stepped(NOW, 0)


def test_age_removal_pauses_for_one_run_after_a_step(output: OutputDirectory) -> None:
    put(output, sealed(NOW - 1))
    put(output, sealed(NOW))
    cleanup = Retention(output, Limits(DAY, 1 << 60), Records())
    later = NOW + 30 * DAY

    runs = [cleanup.sweep(NOW, DAY), cleanup.sweep(later, HOUR), cleanup.sweep(later, HOUR)]

    assert [len(run) for run in runs] == [0, 0, 1]


def test_size_removal_goes_on_after_a_step(output: OutputDirectory) -> None:
    put(output, sealed(NOW - 1))
    put(output, sealed(NOW))
    cleanup = Retention(output, UNLIMITED, Records())
    cleanup.sweep(NOW, DAY)
    cleanup.limits = Limits(None, 10)

    assert [removal.reason for removal in cleanup.sweep(NOW + DAY, DAY)] == ["size"]


@pytest.mark.parametrize("step_ns", [-365 * DAY, -HOUR, HOUR, 365 * DAY])
def test_a_clock_that_is_put_right_costs_no_bundle_of_this_run(
    output: OutputDirectory, step_ns: int
) -> None:
    cleanup = Retention(output, Limits(DAY, 1 << 60), Records())
    wrong = NOW - step_ns
    cleanup.sweep(wrong, DAY)
    for age_ns in (1, 2):
        put(output, sealed(wrong - age_ns))
    cleanup.sweep(wrong, DAY)

    gone = [cleanup.sweep(NOW, DAY + minutes * HOUR // 60) for minutes in range(1, 5)]

    assert gone == [[]] * 4
    assert len(names(output.fd)) == 2


def test_a_bundle_of_this_run_goes_once_it_is_old_by_both_clocks(output: OutputDirectory) -> None:
    cleanup = Retention(output, Limits(DAY, 1 << 60), Records())
    cleanup.sweep(NOW, DAY)
    first, second = put(output, sealed(NOW - 300 * DAY)), put(output, sealed(NOW))
    cleanup.sweep(NOW, DAY)

    days = [cleanup.sweep(NOW + days * DAY, DAY + days * DAY) for days in (1, 2)]

    assert days == [[], [Removal(first, "age")]]
    assert names(output.fd) == [second.name]


def test_a_clock_far_ahead_at_boot_costs_nothing(output: OutputDirectory) -> None:
    for age_ns in (1, 2, 3):
        put(output, sealed(NOW - age_ns))
    cleanup = Retention(output, Limits(DAY, 1 << 60), Records())

    boot = [cleanup.sweep(NOW + 365 * DAY, 30 * SECOND), cleanup.sweep(NOW, 90 * SECOND)]
    later = [cleanup.sweep(NOW, 2 * HOUR)]

    assert boot + later == [[]] * 3


def test_being_suspended_is_no_step(output: OutputDirectory) -> None:
    old = put(output, sealed(NOW - 1))
    put(output, sealed(NOW))
    cleanup = Retention(output, Limits(DAY, 1 << 60), Records())
    cleanup.sweep(NOW, DAY)

    assert cleanup.sweep(NOW + 3 * DAY, DAY + 3 * DAY) == [Removal(old, "age")]


@given(st.lists(st.tuples(st.sampled_from([0, HOUR, 365 * DAY]), st.booleans()), max_size=6))
def test_whatever_the_clock_does_the_latest_bundles_are_kept_within_the_limit(
    steps: list[tuple[int, bool]],
) -> None:
    """Each turn the clock may be set, a bundle of 10 is made, and at most 35 are kept."""
    now, kept = NOW, list[Entry]()
    with_stamps: set[int] = set()
    for size_ns, is_back in [*steps, (0, False), (0, False), (0, False)]:
        now += 1 + (-size_ns if is_back else size_ns)
        while now in with_stamps:
            now += 1
        with_stamps.add(now)
        kept.append(sealed(now))
        gone = [removal.entry for removal in plan(kept, now, Limits(None, 35), ())]
        assert kept[-1] not in gone
        kept = [entry for entry in kept if entry not in gone]
        assert sum(entry.bytes for entry in kept) <= 35

    assert [entry.timestamp for entry in kept[-3:]] == [now - 2, now - 1, now]
