import io

from rich.console import Console

from aod.activity.activities import Activities, Activity
from aod.report.activity import COLUMNS, as_table


def test_a_table_that_is_too_long_says_how_much_is_left_out() -> None:
    rows = [Activity("nas", f"s{n}", "SMB2_READ", 1, 0, 0, 1, 1, 1, 0) for n in range(9)]
    snapshot = Activities("2026-11-22T10:00:00", 1.0, rows, rows[0])
    console = Console(width=120, record=True, file=io.StringIO())

    console.print(as_table(snapshot, room=4))

    text = console.export_text()
    assert "//nas/s3" in text
    assert "//nas/s4" not in text
    assert "and 5 more" in text
    assert all(column.lstrip(">") in text for column in COLUMNS)


def test_a_share_with_markup_or_escapes_in_its_name_is_shown_as_text() -> None:
    hostile = Activity("nas", "[bold]\x1b[2J", "SMB2_READ", 1, 0, 0, 1, 1, 1, 0)
    console = Console(width=120, record=True, file=io.StringIO())

    console.print(as_table(Activities("2026-11-22T10:00:00", 1.0, [hostile], hostile), room=4))

    assert r"//nas/[bold]\x1b[2J" in console.export_text()
