"""Tests of the actions: what each keeps, when it is skipped, and what it asks of its program."""

import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from aod.actions.action import Action, Context, Result, Skip
from aod.actions.debugdata import DebugData
from aod.actions.dmesg import Dmesg
from aod.actions.journalctl import Journalctl
from aod.actions.mounts import Mounts
from aod.actions.open_files import OpenFiles
from aod.actions.output import Output
from aod.actions.smbinfo import Smbinfo
from aod.actions.stats import Stats
from aod.actions.syslogs import Syslogs
from aod.actions.tcpdump import Tcpdump
from tests.children import Witness

from .conftest import FakeFiles, put, within

Keep = Callable[..., Awaitable[tuple[Result, list[str]]]]

ECHO = """#!{python} -IS
import sys
print(*sys.argv[1:])
sys.exit("bad" in sys.argv[-1])
"""


@pytest.fixture
def echo(root: Path) -> str:
    """A program that prints its arguments, and fails when the last one has `bad` in it."""
    program = put(root, "bin/echo-arguments", ECHO.format(python=sys.executable))
    program.chmod(0o700)
    return str(program)


@pytest.fixture
def keep(make_output: Callable[..., Output], context: Context, files: FakeFiles) -> Keep:
    """Run an action to its end and return its result and the lines of its file."""

    async def run(action: Action, **changed: object) -> tuple[Result, list[str]]:
        output = make_output(action.file_name)
        result = await action.collect(within(context, **changed), output)
        await output.close()
        return result, files.read(action.file_name).decode().splitlines()

    return run


def cifs_line(name: str) -> str:
    return rf"36 27 0:{name} / /mnt/{name}\040x rw - cifs //nas-{name}/data rw"


def put_mountinfo(root: Path, *lines: str) -> None:
    put(root, "proc/self/mountinfo", "\n".join(["27 1 254:0 / / rw - ext4 cifs rw", *lines]))


@pytest.mark.parametrize(
    ("action", "name"), [(DebugData, "DebugData"), (Stats, "Stats"), (OpenFiles, "open_files")]
)
async def test_a_file_of_cifs_is_kept(
    root: Path, action: Callable[[Path], Action], name: str, keep: Keep
) -> None:
    put(root, f"proc/fs/cifs/{name}", "content\n")

    result, lines = await keep(action(root))

    assert (result.state, lines) == ("ok", ["content"])


@pytest.mark.parametrize("action", [DebugData, Stats, OpenFiles])
async def test_without_cifs_its_files_are_skipped(
    root: Path, action: Callable[[Path], Action], keep: Keep
) -> None:
    with pytest.raises(Skip, match="cifs is not loaded"):
        await keep(action(root))


async def test_a_kernel_without_open_files_is_told_from_one_without_cifs(
    root: Path, keep: Keep
) -> None:
    put(root, "proc/fs/cifs/Stats", "")

    with pytest.raises(Skip, match="this kernel has no open_files"):
        await keep(OpenFiles(root))


async def test_only_the_lines_of_smb_mounts_are_kept(root: Path, keep: Keep) -> None:
    put(root, "proc/self/mounts", "//nas/a /mnt/a smb3 rw 0 0\ncifs /mnt/b ext4 rw 0 0\n")
    put_mountinfo(root, cifs_line("1"))

    _, lines = await keep(Mounts(root))

    assert lines == [
        "# /proc/self/mounts",
        "//nas/a /mnt/a smb3 rw 0 0",
        "# /proc/self/mountinfo",
        cifs_line("1"),
    ]


@pytest.mark.parametrize("action", [Mounts, Smbinfo])
async def test_without_a_share_mounted_there_is_nothing_to_keep(
    root: Path, action: Callable[..., Action], keep: Keep
) -> None:
    put(root, "proc/self/mounts", "")
    put_mountinfo(root)

    with pytest.raises(Skip, match="no SMB share is mounted"):
        await keep(action(root=root))


async def test_dmesg_is_asked_for_wall_time_facility_and_level(echo: str, keep: Keep) -> None:
    _, lines = await keep(Dmesg(echo))

    assert lines == ["--time-format iso --decode"]


async def test_the_journal_is_asked_from_the_lookback_on(root: Path, echo: str, keep: Keep) -> None:
    put(root, "var/log/journal/machine/system.journal", "")

    _, lines = await keep(Journalctl(echo, root), lookback_s=201.0)

    assert lines == ["--since @1763806000 -o short-iso-precise --no-pager --quiet"]


async def test_without_a_journal_it_is_skipped(root: Path, echo: str, keep: Keep) -> None:
    (root / "var/log/journal").mkdir(parents=True)

    with pytest.raises(Skip, match="no journal is kept here"):
        await keep(Journalctl(echo, root))


async def test_packets_of_the_smb_port_alone_are_captured(echo: str, keep: Keep) -> None:
    _, lines = await keep(Tcpdump(echo), snaplen=128, post_trigger_s=9.0)

    assert lines == ["-i any -nn -U -Z root -s 128 -w - tcp port 445"]


@pytest.mark.parametrize("log", ["var/log/syslog", "var/log/messages"])
async def test_the_log_is_kept_from_the_lookback_on(root: Path, log: str, keep: Keep) -> None:
    put(root, log, "2025-11-22T10:00:00Z a old\n2025-11-22T10:09:00Z a new\n\tmore\n")

    result, lines = await keep(Syslogs(root))

    assert lines == ["2025-11-22T10:09:00Z a new", "\tmore"]
    assert (result.state, result.reason) == ("ok", "")


async def test_a_log_that_begins_within_the_span_says_so(root: Path, keep: Keep) -> None:
    put(root, "var/log/syslog", "2025-11-22T10:09:00Z a new\n")

    result, _ = await keep(Syslogs(root))

    assert result.reason == "the file begins within the span: older lines were rotated away"


async def test_a_log_over_the_cap_keeps_its_newest_lines(
    root: Path, context: Context, make_output: Callable[..., Output], files: FakeFiles
) -> None:
    line = b"2025-11-22T10:09:00Z a line\n"
    put(root, "var/log/syslog", line * 100)
    output = make_output("syslogs.txt", max_bytes=100)

    await Syslogs(root).collect(context, output)
    await output.close()

    assert files.read("syslogs.txt") == b"[aod: truncated at 100 bytes]\n" + line * 2
    assert output.truncated


async def test_a_journal_only_system_is_told_so(root: Path, keep: Keep) -> None:
    with pytest.raises(Skip, match="this system logs to the journal only"):
        await keep(Syslogs(root))


async def test_smbinfo_asks_twice_about_each_share_and_never_for_keys(
    root: Path, echo: str, keep: Keep
) -> None:
    put_mountinfo(root, cifs_line("1"), cifs_line("2"))

    result, lines = await keep(Smbinfo(echo, root))

    assert result.state == "ok"
    assert lines[:2] == ["# smbinfo fileallinfo /mnt/1 x (//nas-1/data)", "fileallinfo /mnt/1 x"]
    asked = [line.split()[0] for line in lines if not line.startswith("#")]
    assert asked == ["fileallinfo", "filefsfullsizeinfo"] * 2


async def test_smbinfo_asks_about_a_bind_mounts_share_once(
    root: Path, echo: str, keep: Keep
) -> None:
    put_mountinfo(root, cifs_line("1"), cifs_line("1").replace("/mnt/1", "/pod/1"))

    _, lines = await keep(Smbinfo(echo, root))

    assert [line for line in lines if "/pod" in line] == []


async def test_smbinfo_leaves_a_server_in_trouble_alone(
    root: Path, echo: str, keep: Keep, witness: Witness
) -> None:
    put_mountinfo(root, cifs_line("1"), cifs_line("2"))
    witness.troubles = {"nas-1": "the connection reconnects"}

    result, lines = await keep(Smbinfo(echo, root))

    assert (result.state, result.reason) == ("ok", "//nas-1/data: the connection reconnects")
    assert [line for line in lines if "nas-1" in line] == []


async def test_smbinfo_with_all_servers_in_trouble_is_skipped(
    root: Path, echo: str, keep: Keep, witness: Witness
) -> None:
    put_mountinfo(root, cifs_line("1"))
    witness.troubles = {"nas-1": "it reconnects"}

    with pytest.raises(Skip, match="//nas-1/data: it reconnects"):
        await keep(Smbinfo(echo, root))


async def test_smbinfo_says_how_many_shares_were_left_out(
    root: Path, echo: str, keep: Keep
) -> None:
    put_mountinfo(root, *[cifs_line(str(number)) for number in range(11)])

    result, lines = await keep(Smbinfo(echo, root))

    assert result.reason == "3 more shares were left out"
    assert len(lines) == 8 * 2 * 2


async def test_one_share_that_fails_does_not_take_the_others_turn(
    root: Path, echo: str, keep: Keep
) -> None:
    put_mountinfo(root, cifs_line("bad"), cifs_line("2"))

    result, lines = await keep(Smbinfo(echo, root))

    assert (result.state, result.exit_code) == ("failed", 1)
    assert lines[-1] == "filefsfullsizeinfo /mnt/2 x"


async def test_smbinfo_with_an_earlier_one_stuck_is_skipped(
    root: Path, echo: str, keep: Keep, context: Context
) -> None:
    put_mountinfo(root, cifs_line("1"))
    context.stuck.add(echo)

    with pytest.raises(Skip, match="is stuck in the kernel"):
        await keep(Smbinfo(echo, root))


@pytest.mark.parametrize("program", ["dmesg", "journalctl", "tcpdump", "smbinfo"])
async def test_a_program_that_is_not_installed_is_skipped(
    root: Path, program: str, keep: Keep
) -> None:
    put(root, "var/log/journal/machine/system.journal", "")
    put_mountinfo(root, cifs_line("1"))
    missing = f"no-{program}"
    actions: dict[str, Action] = {
        "dmesg": Dmesg(missing),
        "journalctl": Journalctl(missing, root),
        "tcpdump": Tcpdump(missing),
        "smbinfo": Smbinfo(missing, root),
    }

    with pytest.raises(Skip, match=f"no-{program} is not installed"):
        await keep(actions[program])
