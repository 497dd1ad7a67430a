"""Tests of aod.report.figures."""

import pytest

from aod.report.figures import SHOWN, chosen, figures
from tests.report.manifests import (
    MS,
    SECOND,
    anomaly,
    asked,
    denied,
    event,
    inflight,
    manual,
    slow,
    without_command,
)


def test_what_is_long_is_cut_by_who_lays_it_out_not_here() -> None:
    name, entry = "x" * 500 + ".mkv", "wait_for_response" * 30
    hung = event(kind="unanswered", file=name, stack=(entry,), task_state="D")

    shown = figures(anomaly("inflight", [hung]))

    assert shown
    assert shown.chosen
    assert shown.stack
    assert shown.chosen.operations[0].file == name
    assert shown.stack.entries == [entry]


def test_no_figure_is_empty() -> None:
    shown = [figures(each) for each in (*inflight().anomalies, *asked().anomalies)]
    shown += [figures(anomaly("latency", slow(count))) for count in (0, 1, 9)]

    assert all(name and value for each in shown if each for name, value in each.rows)
    assert [bool(each) for each in shown] == [True] * 5


def test_what_is_asked_for_while_nothing_is_open_has_no_figures() -> None:
    (nothing,) = manual().anomalies

    assert figures(nothing) is None


@pytest.mark.parametrize(
    ("kind", "first", "title"),
    [
        ("latency", 30, "The worst 10 of 30"),
        ("error", 0, "The first 10 of 30"),
        ("inflight", 30, "The oldest 10 of 30"),
        ("credits", 30, "The worst 10 of 30"),
        ("reconnect", 0, "The first 10 of 30"),
        ("no such kind", 30, "The worst 10 of 30"),
    ],
)
def test_the_words_of_a_kind_say_which_operations_are_shown(
    kind: str, first: int, title: str
) -> None:
    events = [event(index, latency_ns=(1 + index) * MS) for index in range(30)]

    shown = chosen(anomaly(kind, events))

    assert len(shown.operations) == SHOWN
    assert shown.operations[0] == events[first - 1 if first else 0]
    assert shown.title.startswith(title)


def test_the_first_of_each_outcome_is_shown_in_the_order_of_time() -> None:
    late = denied(60, status="STATUS_DISK_FULL")
    events = [late, *(denied(index) for index in range(50))]

    shown = chosen(anomaly("error", events))

    assert shown.operations == [*events[1:SHOWN], late]


@pytest.mark.parametrize(
    ("kind", "noun"), [("latency", "operation"), ("credits", "event"), ("reconnect", "event")]
)
def test_one_alone_is_called_what_it_is(kind: str, noun: str) -> None:
    shown = chosen(anomaly(kind, [event()]))

    assert shown.title.startswith(f"The {noun}, on ")
    assert shown.are_on_one_share


def test_the_title_names_a_share_only_where_it_is_that_of_all() -> None:
    shown = chosen(anomaly("latency", [event(), event(1, share="backup")]))

    assert shown.title == "The worst 2 of 2"
    assert not shown.are_on_one_share


def test_a_lost_connection_is_of_no_process() -> None:
    lost = [without_command(index, "reconnect", comm="cifsd") for index in range(2)]

    shown = figures(anomaly("reconnect", lost))

    assert shown
    assert "processes" not in dict(shown.rows)


def test_a_manifest_without_a_median_has_that_of_its_operations() -> None:
    events = [event(index, latency_ns=latency) for index, latency in enumerate([SECOND, 5, 7])]

    shown = figures(anomaly("latency", events, median_latency_ns=None))

    assert shown
    assert dict(shown.rows)["median"].startswith("7.00 ns, 0.0 x the threshold of 200 ms")
