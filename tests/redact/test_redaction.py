"""Tests of aod.redact.redaction, scrubber and redactor: without `redact`, and the edges of both."""

import os
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import pytest
import zstandard
from pydantic import JsonValue

from aod.bundle import Bundle, OutputDirectory, read_manifest, read_member
from aod.bundle.manifest import ActionResult, Anomaly, Manifest, Operation, dump
from aod.redact import Redactor, Scrubber, for_leftover, textfiles
from aod.redact.secrets import REMOVED
from tests import events

STAMP = 1_763_806_988_123_456_789
MANIFEST = Manifest(1, "sealed")


@pytest.fixture
def redactor(tmp_path: Path) -> Redactor:
    return Redactor(tmp_path / "state", tmp_path / "root")


@pytest.fixture
def bundle(output: OutputDirectory) -> Iterator[Bundle]:
    with Bundle.create(output, STAMP) as created:
        yield created


def put(bundle: Bundle, name: str, data: bytes) -> None:
    with os.fdopen(bundle.create_file(name), "wb") as file:
        file.write(data)


def test_secrets_are_taken_out_without_redact_and_names_stay(bundle: Bundle) -> None:
    put(bundle, "dmesg.txt", b"//nas01/x username=bob,password=geheim\n")

    sealed = bundle.seal(bundle.clean(MANIFEST, Scrubber().bundle))

    assert read_member(sealed, "dmesg.txt") == b"//nas01/x username=bob,password=[removed]\n"


def test_a_file_without_secrets_is_moved_as_it_is(bundle: Bundle) -> None:
    put(bundle, "blob.bin", b"\0password=geheim\xff")
    put(bundle, "latin1.txt", b"M\xfcller \xe2\x80\xa8 no line end")
    inode = (bundle.path / "raw" / "latin1.txt").stat().st_ino

    done = bundle.clean(MANIFEST, Scrubber().bundle)

    assert (bundle.path / "latin1.txt").stat().st_ino == inode
    assert (bundle.path / "blob.bin").read_bytes() == b"\0password=geheim\xff"
    assert not (bundle.path / "raw").exists()
    assert not done.redacted


def test_what_is_compressed_is_no_text_even_without_a_nul(
    bundle: Bundle, redactor: Redactor
) -> None:
    data = zstandard.compress(bytes(range(32, 127)) * 3 + b"nas01" * 9).replace(b"\0", b"\1")
    put(bundle, "packed.bin", data * 20)
    put(bundle, "escapes.txt", b"\x1b[31mred\x1b[0m\x01 nas01\n")
    results = {name: ActionResult("ok", file=name) for name in ("packed.bin", "escapes.txt")}

    done = bundle.clean(replace(MANIFEST, actions=results), redactor.bundle)

    assert not (bundle.path / "packed.bin").exists()
    assert done.actions["packed.bin"].reason == "redact keeps text only"
    assert (bundle.path / "escapes.txt").read_bytes() == b"\x1b[31mred\x1b[0m\x01 nas01\n"


def test_what_is_raw_is_never_packed(bundle: Bundle) -> None:
    put(bundle, "dmesg.txt", b"password=geheim")

    assert read_manifest(bundle.seal(MANIFEST)).files == {}


def test_an_action_cannot_take_the_name_of_a_file_of_the_bundle(bundle: Bundle) -> None:
    for name in ("manifest.json", "summary.txt", "events.csv", "events.npy"):
        with pytest.raises(FileExistsError):
            bundle.create_file(name)


def test_secrets_in_what_programs_and_people_said_are_taken_out_of_the_manifest() -> None:
    manifest = replace(
        MANIFEST,
        anomalies=(Anomaly("latency", "latency", reason="password: abc"),),
        actions={"dmesg": ActionResult("failed", "dmesg", "token=abc", stderr="pass=abc,x\n")},
        config={"notify": {"command": ["/bin/send", "--password", "abc"]}, "min_free_mb": 5},
    )

    done = Scrubber().manifest(manifest)

    command: list[JsonValue] = ["/bin/send", "--password", REMOVED]
    assert b"abc" not in dump(done)
    assert done.config == {"notify": {"command": command}, "min_free_mb": 5}
    assert manifest.actions["dmesg"].reason == "token=abc"


def test_a_secret_at_the_border_of_blocks_is_found(bundle: Bundle) -> None:
    for filler in range(65_500, 65_560, 7):
        put(bundle, f"{filler}.txt", b"x" * filler + b"\nuser=bob,password=geheim\nend\n")

    bundle.clean(MANIFEST, Scrubber().bundle)

    for path in bundle.path.glob("*.txt"):
        data = path.read_bytes()
        assert b"geheim" not in data
        assert data.endswith(b"password=[removed]\nend\n")


@pytest.mark.parametrize("how", ["scrubber", "redactor"])
def test_a_line_without_an_end_is_bounded(bundle: Bundle, redactor: Redactor, how: str) -> None:
    long = b"x" * 3_000_000 + b" password=geheim /home/alice/y " + b"a.b=c/" * 300_000
    put(bundle, "long.txt", long)

    bundle.clean(MANIFEST, (Scrubber() if how == "scrubber" else redactor).bundle)

    assert b"geheim" not in (bundle.path / "long.txt").read_bytes()


def test_events_stay_as_they_are_without_redact() -> None:
    made = events.make(1, 2, comm=b"cat")

    assert Scrubber().events(made) is made


def test_threads_of_the_kernel_and_users_of_the_system_stay_in_events(redactor: Redactor) -> None:
    made = events.make(1, 2)
    made["comm"] = [b"kworker/u8:2", b"payrolld"]
    made["uid"] = [33, 1000]

    done = redactor.events(made)

    assert done["comm"].tolist() == [b"kworker/u8:2", b"process1"]
    assert done["uid"].tolist() == [33, 1_000_001]
    assert made["uid"].tolist() == [33, 1000]


def test_a_manifest_that_is_redacted_is_not_redacted_again(redactor: Redactor) -> None:
    anomaly = Anomaly("latency", "latency", events=(Operation(server="nas01"),))

    once = redactor.manifest(replace(MANIFEST, anomalies=(anomaly,)))

    assert once.anomalies[0].events[0].server.startswith("server")
    assert redactor.manifest(once) == once


@pytest.mark.parametrize(
    ("manifest", "redact", "expected"),
    [
        (MANIFEST, False, Scrubber),
        (MANIFEST, True, Redactor),
        (replace(MANIFEST, redacted=True), False, Redactor),
        (replace(MANIFEST, config={"redact": True}), False, Redactor),
        (replace(MANIFEST, config="damaged"), False, Scrubber),
    ],
)
def test_a_leftover_is_redacted_as_it_began_or_stricter(
    manifest: Manifest, redact: bool, expected: type
) -> None:
    assert type(for_leftover(manifest, redact=redact)) is expected


def test_a_state_directory_that_cannot_be_written_keeps_the_bundle_from_being_made(
    bundle: Bundle, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    put(bundle, "dmesg.txt", b"nas01")

    with pytest.raises(OSError, match="Not a directory"):
        bundle.clean(MANIFEST, Redactor(tmp_path / "file" / "state").bundle)

    assert not (bundle.path / "dmesg.txt").exists()


def test_a_name_with_a_blank_that_one_file_tells_is_whole_in_a_path_of_another(
    bundle: Bundle, redactor: Redactor
) -> None:
    put(bundle, "dmesg.txt", b"/mnt/Group Data/x7: Permission denied\n")
    put(bundle, "stats.txt", b"1) \\\\nas01\\Group Data\n")

    bundle.clean(MANIFEST, redactor.bundle)

    told = (bundle.path / "dmesg.txt").read_text()
    share = (bundle.path / "stats.txt").read_text().strip().rpartition("\\")[2]
    assert re.fullmatch(rf"/mnt/{share}/file\d+: Permission denied\n", told)


def test_each_file_is_judged_once_and_read_twice(
    bundle: Bundle, redactor: Redactor, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("blob.bin", "dmesg.txt", "stats.txt")
    for name in names:
        put(bundle, name, b"nas01\0" if name == "blob.bin" else b"nas01\n")
    judged, read = Mock(wraps=textfiles.is_text), Mock(wraps=textfiles.blocks)
    monkeypatch.setattr(textfiles, "is_text", judged)
    monkeypatch.setattr(textfiles, "blocks", read)

    bundle.clean(MANIFEST, redactor.bundle)

    assert (judged.call_count, read.call_count) == (3, 4)
