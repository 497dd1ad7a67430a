"""Tests of aod.redact.pseudonyms."""

import json
from pathlib import Path

import pytest

from aod.redact import pseudonyms
from aod.redact.pseudonyms import FILE, Pseudonyms, kind_of, read


def give(directory: Path, *names: str) -> list[str]:
    with Pseudonyms.open(directory) as known:
        given = [known.pseudonym("file", name) for name in names]
        known.save()
    return given


def test_a_name_keeps_its_pseudonym_over_a_restart(tmp_path: Path) -> None:
    first = give(tmp_path / "state", "a", "b")

    assert give(tmp_path / "state", "b", "c", "a") == [first[1], "file3", first[0]]


@pytest.mark.parametrize("other", ["NAS01", "nas01", "Nas01"])
def test_case_does_not_matter(other: str) -> None:
    names = Pseudonyms()

    assert names.pseudonym("server", "nas01") == names.pseudonym("share", other) == "server1"


def test_a_composed_and_a_decomposed_name_are_one() -> None:
    names = Pseudonyms()

    assert names.pseudonym("file", "\u00e9t\u00e9") == names.pseudonym("file", "e\u0301te\u0301")


def test_a_process_is_known_by_what_the_kernel_keeps_of_its_name() -> None:
    names = Pseudonyms()

    assert names.pseudonym("process", "payrollcalculat") == "process1"
    assert names.pseudonym("process", "payrollcalculator") == "process1"


def test_the_names_not_used_for_longest_are_forgotten_and_no_number_comes_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pseudonyms, "NAMES", 3)

    give(tmp_path, "a", "b", "c", "a", "d")

    assert read(tmp_path) == {"file3": "c", "file1": "a", "file4": "d"}
    assert give(tmp_path, "b", "d") == ["file5", "file4"]


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"{",
        b"[]",
        b"\xff\xfe",
        b'{"format": 2}',
        b'{"format": 1, "next": {"file": "x"}, "names": {}, "doubtful": []}',
        b'{"format": 1, "next": {}, "names": {"file1": 7}, "doubtful": []}',
        b'{"format": 1, "next": {}, "names": {"file1": "a"}}',
    ],
)
def test_a_damaged_map_is_set_aside(
    tmp_path: Path, damage: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    tmp_path.chmod(0o700)
    (tmp_path / FILE).write_bytes(damage)

    assert give(tmp_path, "b") == ["file1"]

    (aside,) = tmp_path.glob(f"{FILE}.damaged-*")
    assert aside.read_bytes() == damage
    assert "set aside" in caplog.text
    assert read(tmp_path) == {"file1": "b"}


def test_what_is_not_saved_is_not_on_the_disk(tmp_path: Path) -> None:
    with Pseudonyms.open(tmp_path / "state") as names:
        names.pseudonym("file", "a")

    assert not (tmp_path / "state" / FILE).exists()


def test_a_doubtful_name_is_no_telling_one_until_somebody_is_sure(tmp_path: Path) -> None:
    with Pseudonyms.open(tmp_path) as names:
        names.pseudonym("server", "done", doubtful=True)
        names.save()
        before = names.sure_names()
    with Pseudonyms.open(tmp_path) as names:
        again = names.sure_names()
        names.pseudonym("server", "done")

        assert (before, again) == ([], [])
        assert names.sure_names() == [("server1", "done")]
        assert names.fresh == ["server1"]


def test_a_name_that_is_no_unicode_is_kept(tmp_path: Path) -> None:
    give(tmp_path, "m\udcfcller")

    assert read(tmp_path) == {"file1": "m\udcfcller"}
    assert json.loads((tmp_path / FILE).read_bytes())["names"] == {"file1": "m\udcfcller"}


def test_the_map_is_for_its_owner_alone(tmp_path: Path) -> None:
    give(tmp_path / "state", "a")

    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "state").iterdir()}
    assert modes == {FILE: 0o600, "redaction.lock": 0o600}
    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700


def test_the_kind_stands_before_the_number() -> None:
    assert kind_of("server12") == "server"
