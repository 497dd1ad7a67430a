"""Who is kept from changing what root relies on."""

import os
import stat
from pathlib import Path

import pytest

from aod.host.trust import Words, is_trusted, objection

OTHER = 1234
WORDS = Words(owned="{path} of {uid}, not {us}", writable="{path} by all")


def found(mode: int, uid: int) -> os.stat_result:
    return os.stat_result((mode, 1, 1, 1, uid, 0, 0, 0, 0, 0))


@pytest.fixture(autouse=True)
def us(monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(os, "geteuid", lambda: 7)
    return 7


@pytest.mark.parametrize(
    ("mode", "uid", "ours_alone", "may_be_sticky", "reason"),
    [
        (0o755, 0, False, False, ""),
        (0o755, 7, False, False, ""),
        (0o755, 7, True, False, ""),
        (0o755, 0, True, False, "/{x} of 0, not 7"),
        (0o755, OTHER, False, False, f"/{{x}} of {OTHER}, not 7"),
        (0o757, OTHER, False, False, f"/{{x}} of {OTHER}, not 7"),
        (0o775, 0, False, False, "/{x} by all"),
        (0o757, 7, True, False, "/{x} by all"),
        (0o777 | stat.S_ISVTX, 0, False, False, "/{x} by all"),
        (0o777 | stat.S_ISVTX, 0, False, True, ""),
        (0o777, 0, False, True, "/{x} by all"),
    ],
)
def test_who_else_could_change_it_is_told_in_the_words_of_the_caller(
    mode: int, uid: int, ours_alone: bool, may_be_sticky: bool, reason: str
) -> None:
    told = objection(
        Path("/{x}"),
        found(mode, uid),
        WORDS,
        ours_alone=ours_alone,
        may_be_sticky=may_be_sticky,
    )

    assert told == reason


def test_root_and_this_user_are_trusted() -> None:
    assert [uid for uid in (0, 7, OTHER) if is_trusted(uid)] == [0, 7]
