"""How many rows the ledger gets."""

import pytest

from aod.tracer.loading import rows_for


@pytest.mark.parametrize(
    ("possible", "rows"), [("0\n", 1), ("0-3\n", 4), ("0-1,4-5\n", 6), ("0,10\n", 11)]
)
def test_a_cpu_finds_the_row_of_its_number(possible: str, rows: int) -> None:
    assert rows_for(possible) == rows
