"""Tests of aod.actions.output."""

import os
import stat
from collections.abc import Callable

import pytest

from aod.actions.output import Output

from .conftest import FakeFiles

MakeOutput = Callable[..., Output]


async def test_a_file_is_created_by_its_first_byte_and_for_its_owner_alone(
    files: FakeFiles, make_output: MakeOutput
) -> None:
    output = make_output()
    before = output.file

    await output.write(b"a")
    await output.close()

    mode = (files.folder / "out.txt").stat().st_mode
    assert (before, output.file, stat.S_IMODE(mode)) == (None, "out.txt", 0o600)


async def test_content_at_the_cap_is_not_truncated(
    files: FakeFiles, make_output: MakeOutput
) -> None:
    output = make_output(max_bytes=4)

    taken = await output.write(b"1234")
    await output.close()

    assert (taken, output.truncated, output.bytes) == (True, False, 4)
    assert files.read("out.txt") == b"1234"


async def test_content_over_the_cap_is_cut_and_marked_once(
    files: FakeFiles, make_output: MakeOutput
) -> None:
    output = make_output(max_bytes=4)

    taken = [await output.write(data) for data in (b"123", b"456", b"789")]
    await output.close()

    content = files.read("out.txt")
    assert (taken, output.truncated) == ([True, False, False], True)
    assert content == b"1234\n[aod: truncated at 4 bytes]\n"
    assert output.bytes == len(content)


async def test_a_capture_over_the_cap_is_cut_without_a_marker(
    files: FakeFiles, make_output: MakeOutput
) -> None:
    output = make_output("tcpdump.pcap", max_bytes=4, is_text=False)

    await output.write(b"12345")
    await output.close()

    assert files.read("tcpdump.pcap") == b"1234"
    assert output.truncated


async def test_a_file_that_is_there_already_is_a_failure_and_stays(
    files: FakeFiles, make_output: MakeOutput
) -> None:
    (files.folder / "out.txt").write_bytes(b"first")
    output = make_output()

    taken = await output.write(b"second")

    assert (taken, output.failure) == (False, "cannot write out.txt: File exists")
    assert files.read("out.txt") == b"first"


@pytest.mark.parametrize("size", [10, 100_000])
async def test_a_full_disk_is_a_failure_at_the_latest_when_closed(size: int) -> None:
    class FullDisk:
        def create_file(self, name: str) -> int:
            return os.open("/dev/full", os.O_WRONLY)

    output = Output(FullDisk(), "out.txt", 1 << 20)

    await output.write(b"x" * size)
    await output.close()

    assert output.failure == "cannot write out.txt: No space left on device"
