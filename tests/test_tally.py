import json
from collections import Counter
from typing import Any

import pytest

from aod.tally import Tally


def test_a_tally_survives_json() -> None:
    tally = Tally(Counter(latency=3), bundles=Counter(sealed=2), deleted=1, last_bundle="aod_1")

    assert Tally.from_dict(json.loads(json.dumps(tally.as_dict()))) == tally


@pytest.mark.parametrize(
    "damage",
    [
        {"incidents": 5},
        {"incidents": {"latency": "three"}},
        {"deleted": "many"},
        {"last_bundle": 7},
    ],
)
def test_what_is_no_tally_is_refused(damage: dict[str, Any]) -> None:
    with pytest.raises(TypeError):
        Tally.from_dict(Tally().as_dict() | damage)
