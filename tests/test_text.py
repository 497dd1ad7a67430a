"""Tests of aod.text."""

import pytest

from aod import text


@pytest.mark.parametrize(
    ("time_ns", "told"),
    [
        (0, "0"),
        (850, "850 ns"),
        (3_000_000, "3.00 ms"),
        (312_400_000, "312 ms"),
        (999_600_000, "1.00 s"),
        (1_240_000_000, "1.24 s"),
        (9_996_000_000, "10.0 s"),
        (59_600_000_000, "1 min 00 s"),
        (125_000_000_000, "2 min 05 s"),
        (3_720_000_000_000, "1 h 02 min"),
    ],
)
def test_a_duration_has_three_digits_and_its_unit(time_ns: int, told: str) -> None:
    assert text.duration(time_ns) == told


@pytest.mark.parametrize(
    ("count_bytes", "told"),
    [(0, "0 B"), (999, "999 B"), (1000, "0.98 KiB"), (1536, "1.50 KiB"), (16 << 20, "16.0 MiB")],
)
def test_a_size_has_three_digits_and_its_unit(count_bytes: int, told: str) -> None:
    assert text.size(count_bytes) == told


def test_control_characters_and_lone_surrogates_are_escaped() -> None:
    told = text.printable("a\x1b[31m\n\udc80é")

    assert told == r"a\x1b[31m\n\udc80é"


def test_a_cut_text_keeps_its_width() -> None:
    assert text.tail("films/season 1/episode", 12) == "... /episode".replace(" ", "1")
    assert text.head("films/season 1/episode", 12) == "films/sea..."
    assert text.tail("short", 5) == "short"


def test_numbers_of_a_table_are_aligned_to_the_right() -> None:
    lines = text.table(["name", ">size"], [["a", "1 B"], ["longer", "10 B"]])

    assert lines == ["name    size", "a        1 B", "longer  10 B"]
