"""Tests of aod.detectors.anomaly."""

import pytest

from aod.detectors.anomaly import Anomaly, AnomalyType


@pytest.mark.parametrize(
    ("reasons", "expected"),
    [
        (["", ""], ""),
        (["", "later"], "later"),
        (["first", ""], "first"),
        (["first", "later", "first"], "first; later"),
        ([str(number) for number in range(9)], "0; 1; 2; 3; 4"),
    ],
)
def test_the_reasons_of_all_who_asked_are_kept_up_to_five(
    reasons: list[str], expected: str
) -> None:
    first, *others = [Anomaly(AnomalyType.MANUAL, "manual", 1, reason=each) for each in reasons]

    for later in others:
        first = first.merged(later)

    assert first.reason == expected
