from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aod.smb.debugdata import parse_debug_data
from aod.smb.openfiles import parse_open_files
from tests import DATA

TEXT = "# Version:1\n# Format:\n# <tree id> <persistent fid> <flags> <count> <pid> <uid> <filename>"
LEASES = TEXT.replace("tree id> ", "tree id> <ses id> ") + " <lease> <lease-key> <mid>\n"


@pytest.mark.parametrize("path", sorted((DATA / "open_files").iterdir()), ids=lambda p: p.stem)
def test_open_files_of_a_real_kernel_are_understood(path: Path) -> None:
    told = parse_debug_data((DATA / "debugdata" / path.name).read_text())

    files = dict(parse_open_files(path.read_text()))

    shares = {tree: name for (_, _, tree), name in told.shares.items()}
    named = {(shares[tree], name) for (_, tree, _), name in files.items()}
    assert named == {
        ("share", "été NONE -"),
        ("share", "two  spaces and RHW"),
        ("share", "plain"),
        ("share", "secret"),
        ("team files", "annual report.txt"),
    }


def test_a_kernel_before_6_3_does_not_tell_the_session() -> None:
    found = parse_open_files(f"{TEXT}\n0x2 0x94c08 0x8401 1 1554873 0 a b\n")

    assert dict(found) == {(0, 2, 0x94C08): "a b"}


def test_what_stands_behind_the_name_is_no_part_of_it() -> None:
    key = "9e107d9d-372b-4682-b1d8-0b4d5d1c2a3f"
    lines = f"0x5 0x7 0x1f 0x8000 1 42 0 a b RHW {key} 812\n0x5 0x7 0x20 0x8000 1 42 0 c NONE - 9\n"

    assert dict(parse_open_files(LEASES + lines)) == {(7, 5, 0x1F): "a b", (7, 5, 0x20): "c"}


def test_a_name_with_a_line_end_is_cut_there() -> None:
    found = parse_open_files(f"{TEXT}\n0x2 0x94c08 0x8401 1 1554873 0 two\nlines\n\n")

    assert [name for _, name in found] == ["two"]


def test_without_its_heading_nothing_is_guessed() -> None:
    assert list(parse_open_files("0x2 0x94c08 0x8401 1 1554873 0 name\n")) == []


def test_a_heading_with_the_ids_behind_the_name_is_none() -> None:
    heading = "# <tree id> <filename> <persistent fid>"

    assert list(parse_open_files(f"{heading}\n0x2 name 0x94c08\n")) == []


@given(st.text(max_size=300), st.integers(0, len(LEASES)), st.integers(0, len(LEASES)))
def test_damaged_text_raises_nothing(noise: str, start: int, end: int) -> None:
    line = "\n0x5 0x7 0x1f 0x8000 1 42 0 a b RHW - 812"

    for _, name in parse_open_files(LEASES[:start] + noise + LEASES[end:] + line):
        assert len(name) <= 1024
