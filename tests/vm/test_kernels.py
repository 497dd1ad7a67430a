"""`make kernels` without its kernels: what it reads, what it explains, when it fails."""

from collections import Counter
from dataclasses import replace

import pytest

from aod.smb import Command
from aod.tracer.ledger import Ledger
from tests.vm.kernels.examine import Examined, ledger_of, rung_of, window_of
from tests.vm.kernels.matrix import MATRIX
from tests.vm.kernels.report import MIN_KERNELS, problems, row_of
from tests.vm.kernels.rules import ENTERED, RULES, STATS, Window, differences
from tests.vm.kernels.snapshot import Snapshot
from tests.vm.kernels.sources import Trace, count_shares, parse_ipc_trees, parse_stats, parse_trace
from tests.vm.lab import LabError

TRACE = """\
# entries-in-buffer/entries-written: 4/{written}   #P:2
 mount-2 [001] ..... 18.7: smb3_cmd_enter: \tsid=0x0 tid=0x0 cmd=3 mid=3
 mount-2 [001] ..... 18.8: smb3_tcon: xid=11 sid=0x6 tid=0x0 unc_name=\\\\127.0.0.1\\IPC$ rc=0
 stat-9  [000] ..... 19.7: smb3_cmd_enter: \tsid=0x6 tid=0x6fc26d2a cmd=5 mid=20
 stat-9  [000] ..... 19.8: smb3_cmd_enter: \tsid=0x6 tid=0x6fc26d2a cmd=5 mid=21
"""

STATS_OF_TWO_SHARES = """\
Operations (MIDs): 0
1) \\\\127.0.0.1\\share
SMBs: 31
Creates: 9 total 1 failed
OplockBreaks: 2 sent 0 failed

2) \\\\127.0.0.1\\share
Creates: 4 total 0 failed
"""

DEBUG_DATA = """\
	Shares:
	0) IPC: \\\\127.0.0.1\\IPC$ Mounts: 1 DevInfo: 0x0 Attributes: 0x0
	PathComponentMax: 0 Status: 1 type: 0 Serial Number: 0x0
	Share Capabilities: None	Share Flags: 0x0
	tid: 0xf31f9901	Maximal Access: 0x1f00a9

	1) \\\\127.0.0.1\\share Mounts: 1 DevInfo: 0x20 Attributes: 0x1006f
	PathComponentMax: 255 Status: 1 type: DISK Serial Number: 0x3e553c3d
	Share Capabilities: None Aligned,	Share Flags: 0x0
	tid: 0x1b1955d4	Optimal sector size: 0x200	Maximal Access: 0x1f01ff
"""

BOOKS = Ledger(requests=10, completed=9, aborted=1, pdus=11, interim=2)

GOOD = Examined(
    suite="bookworm",
    kernel="6.1.0-56-amd64",
    rung=1,
    ledger=BOOKS,
    incidents={"latency": True, "error": True, "inflight": True},
    differences=(),
    told={"multichannel": {"channels": 4}},
)


def window(traced: dict[int, int], stats: dict[int, int], **evidence: object) -> Window:
    entered = Counter(traced)
    given = {"ipc": Counter[int](), "breaks": 0, "shares": 2, **evidence}
    return Window("calm", Counter(traced), {ENTERED: entered, STATS: Counter(stats)}, **given)  # type: ignore[arg-type] # the evidence of one test


@pytest.mark.parametrize(
    ("rule", "seen"),
    [
        ("no tree", window({Command.SMB2_ECHO: 3}, {})),
        ("IPC$", window({Command.SMB2_IOCTL: 3}, {11: 1}, ipc=Counter({11: 2}))),
        ("breaks as TREE_CONNECT", window({}, {Command.SMB2_TREE_CONNECT: 8}, breaks=4)),
        ("locks as OPLOCK_BREAK", window({10: 5}, {10: 5, Command.SMB2_OPLOCK_BREAK: 5})),
    ],
)
def test_what_a_rule_names_is_explained(rule: str, seen: Window) -> None:
    (found,) = differences(seen)

    assert found.is_explained
    assert found.rules == (rule,)


def test_every_rule_has_a_test() -> None:
    (mark,) = test_what_a_rule_names_is_explained.pytestmark  # type: ignore[attr-defined] # pytest's

    assert [rule for rule, _ in mark.args[1]] == [rule.name for rule in RULES]


def test_a_request_that_aod_missed_is_unexplained() -> None:
    (found,) = differences(window({Command.SMB2_CREATE: 5}, {Command.SMB2_CREATE: 6}))

    assert not found.is_explained
    assert str(found) == "calm: SMB2_CREATE: aod 5, Stats 6 (UNEXPLAINED)"


def test_a_rule_explains_no_more_than_its_amount() -> None:
    counted = window({}, {Command.SMB2_TREE_CONNECT: 9}, breaks=4)

    (found,) = differences(counted)

    assert not found.is_explained


def test_a_request_that_only_the_tracepoint_saw_is_unexplained() -> None:
    seen = replace(
        window({}, {}), counted={ENTERED: Counter({Command.SMB2_ECHO: 1}), STATS: Counter()}
    )

    (found,) = differences(seen)

    assert not found.is_explained


def test_a_window_is_what_came_between_two_snapshots() -> None:
    before = Snapshot(
        traced=Counter({(7, 5): 3}),
        ledger={"breaks": 1},
        trace=Trace(Counter({(7, 5): 3}), ipc_connects=1),
        stats=Counter(),
        shares=1,
        ipc_trees=frozenset(),
    )
    after = Snapshot(
        traced=Counter({(7, 5): 5, (9, 11): 2, (0, 3): 1}),
        ledger={"breaks": 3},
        trace=Trace(Counter({(7, 5): 4}), ipc_connects=2),
        stats=Counter({5: 1}),
        shares=2,
        ipc_trees=frozenset({9}),
    )

    seen = window_of("calm", before, after)

    assert seen.traced == {5: 2, 11: 2, 3: 1}
    assert seen.counted == {ENTERED: {5: 1}, STATS: {5: 1}}
    assert seen.ipc == {11: 2, 3: 1}
    assert (seen.breaks, seen.shares) == (2, 2)


def test_the_trace_is_counted_by_tree_and_command() -> None:
    trace = parse_trace(TRACE.format(written=4))

    assert trace.entered == {(0, 3): 1, (0x6FC26D2A, 5): 2}
    assert trace.ipc_connects == 1


def test_a_trace_that_lost_entries_is_refused() -> None:
    with pytest.raises(LabError, match="4/5"):
        parse_trace(TRACE.format(written=5))


def test_the_stats_of_all_shares_are_added() -> None:
    assert parse_stats(STATS_OF_TWO_SHARES) == {5: 13, 18: 2}
    assert count_shares(STATS_OF_TWO_SHARES) == 2


def test_only_the_trees_of_ipc_are_named() -> None:
    assert parse_ipc_trees(DEBUG_DATA) == {0xF31F9901}


def test_the_books_and_the_rung_are_read_from_the_log() -> None:
    log = f"INFO aod.service: attached rung=2 probes=9\nINFO aod.service: stopped {BOOKS}\n"

    assert ledger_of(log) == BOOKS
    assert rung_of(log) == 2


def test_five_good_kernels_hold() -> None:
    assert list(problems([GOOD] * MIN_KERNELS)) == []


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (replace(GOOD, ledger=replace(BOOKS, requests=11)), "does not balance"),
        (replace(GOOD, ledger=replace(BOOKS, lost=1)), "1 events were lost"),
        (replace(GOOD, incidents={**GOOD.incidents, "error": False}), "no incident of error"),
        (replace(GOOD, differences=tuple(differences(window({5: 1}, {})))), "UNEXPLAINED"),
    ],
)
def test_one_bad_kernel_does_not_hold(bad: Examined, says: str) -> None:
    (problem,) = problems([*[GOOD] * MIN_KERNELS, bad])

    assert problem.startswith("6.1.0-56-amd64: ")
    assert says in problem


def test_four_kernels_are_too_few() -> None:
    (problem,) = problems([GOOD] * (MIN_KERNELS - 1))

    assert "only 4 kernels" in problem


def test_a_row_holds_the_books_and_the_incidents() -> None:
    row = row_of(GOOD)

    assert (row["kernel"], row["requests"], row["interim"], row["lost"]) == (GOOD.kernel, 10, 2, 0)
    assert row["ledger_closed"]
    assert all(row[f"{name}_incident"] for name in ("latency", "error", "inflight"))


def test_the_matrix_has_enough_kernels() -> None:
    assert len(MATRIX) >= MIN_KERNELS
