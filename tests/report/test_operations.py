"""Tests of aod.report.operations."""

import pytest

from aod.report.operations import UNKNOWN_SHARE, command, file, outcome, process, share_name
from tests.report.manifests import event


@pytest.mark.parametrize(
    ("server", "share", "tree_id", "name"),
    [
        ("nas01", "media", "0x5", "//nas01/media"),
        ("", "media", "0x5", "//?/media"),
        ("nas01", "", "0x5", "//nas01 tree 0x5"),
        ("", "", "0x5", "tree 0x5"),
        ("nas01", "", "0x0", "//nas01"),
        ("", "", "", UNKNOWN_SHARE),
        ("nas01", "\x1b[2J", "0x5", r"//nas01/\x1b[2J"),
    ],
)
def test_a_share_is_named_as_far_as_it_is_known(
    server: str, share: str, tree_id: str, name: str
) -> None:
    assert share_name(event(server=server, share=share, tree_id=tree_id)) == name


@pytest.mark.parametrize("kind", ["waiting", "unanswered"])  # the second in older bundles
def test_a_thread_that_waits_to_send_is_shown_as_not_sent_and_unanswered(kind: str) -> None:
    waits = event(kind=kind, command="", status="")

    assert (command(waits), outcome(waits)) == ("not sent yet", "unanswered")


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({}, "STATUS_SUCCESS"),
        ({"status": "", "error": "EIO"}, "EIO"),
        ({"kind": "aborted", "error": "EAGAIN"}, "aborted EAGAIN"),
        ({"kind": "reconnect", "cause": "partial_send"}, "partial send"),
        ({"kind": "session_expired"}, "session expired"),
    ],
)
def test_the_outcome_is_the_status_or_why_there_is_none(fields: dict[str, str], told: str) -> None:
    assert outcome(event(0, **fields)) == told


@pytest.mark.parametrize(
    ("name", "file_id", "told"),
    [("a.txt", "0x1f", "a.txt"), ("", "0x1f", "id 0x1f"), ("", "0x0", "-"), ("", "", "-")],
)
def test_a_file_without_a_name_is_shown_by_its_id(name: str, file_id: str, told: str) -> None:
    assert file(event(file=name, file_id=file_id)) == told


def test_a_process_without_a_name_is_a_question_mark() -> None:
    assert process(event(comm="", pid=0)) == "? (pid 0)"
