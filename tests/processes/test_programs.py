"""Which file is run for a program's name, and what a child may do, asked of real children."""

import os
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from aod.actions import ACTIONS, create
from aod.actions.tcpdump import Tcpdump
from aod.host.capabilities import Capability, CapabilitySets, capability_sets, mask
from aod.processes import programs
from aod.processes.programs import NotRun

OTHER = 1234
ALL = (1 << 41) - 1
NOTHING = CapabilitySets(0, 0, 0, 0, 0)

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="takes root to take rights away")
may_bound = pytest.mark.skipif(
    not capability_sets().effective >> Capability.SETPCAP & 1, reason="takes CAP_SETPCAP"
)


@pytest.fixture(autouse=True)
def nothing_found_yet() -> Iterator[None]:
    programs.find.cache_clear()
    yield
    programs.find.cache_clear()


@pytest.fixture
def program(tmp_path: Path) -> Path:
    (tmp_path / "bin").mkdir(0o755)
    path = tmp_path / "bin/smbinfo"
    path.write_text("#!/bin/sh\nexit 0\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def search(program: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which programs are looked for."""
    monkeypatch.setattr(programs, "SEARCH_PATH", str(program.parent))
    return program.parent


def refusal(program: Path | str) -> str:
    with pytest.raises(NotRun) as caught:
        programs.find(str(program))
    return str(caught.value)


def of_a_child(*needed: Capability, asks: Sequence[str] = ("/proc/self/status",)) -> dict[str, str]:
    """Return what the kernel says of a child that is confined, by the name that it gives it."""
    argv = programs.confined("cat", asks, needed)
    told = subprocess.run(argv, check=True, capture_output=True, text=True, timeout=60).stdout
    return {key: value for key, _, value in (line.partition(":\t") for line in told.splitlines())}


def test_what_was_found_first_is_run_to_the_end(search: Path, program: Path) -> None:
    first = programs.find("smbinfo")
    program.unlink()

    assert programs.find("smbinfo") == first == str(program)


def test_what_is_installed_later_is_found_then(search: Path, program: Path) -> None:
    program.rename(program.with_name("later"))
    assert refusal("smbinfo") == "smbinfo is not installed"

    program.with_name("later").rename(program)

    assert programs.find("smbinfo") == str(program)


def test_what_has_gone_since_is_looked_for_anew(search: Path, program: Path) -> None:
    programs.find("smbinfo")
    programs.require_there("smbinfo")
    program.unlink()

    with pytest.raises(NotRun, match="smbinfo is not installed"):
        programs.require_there("smbinfo")


def test_what_has_gone_and_come_back_elsewhere_is_found_there(
    program: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    later = tmp_path / "later"
    later.mkdir(0o755)
    monkeypatch.setattr(programs, "SEARCH_PATH", f"{program.parent}:{later}")
    programs.find("smbinfo")
    program.rename(later / "smbinfo")

    programs.require_there("smbinfo")

    assert programs.find("smbinfo") == str(later / "smbinfo")


@pytest.mark.parametrize("bits", [0o775, 0o757])
@pytest.mark.parametrize("place", [".", "smbinfo"])
def test_what_others_could_have_put_there_is_not_run(
    search: Path, program: Path, place: str, bits: int
) -> None:
    (search / place).chmod(bits)

    assert refusal("smbinfo") == (
        f"smbinfo is not run: others can write to {search / place} (chmod go-w it)"
    )


@as_root
def test_what_another_user_owns_is_not_run(program: Path) -> None:
    os.chown(program, OTHER, OTHER)

    assert f"others can write to {program}" in refusal(program)


def test_of_a_link_the_target_counts(program: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(program)
    assert programs.find(str(link)) == str(link)

    programs.find.cache_clear()
    program.chmod(0o777)

    assert f"others can write to {program}" in refusal(link)


@as_root
@may_bound
def test_a_child_keeps_no_right_that_it_does_not_need() -> None:
    status = of_a_child(Capability.SYSLOG)

    sets = {int(status[key], 16) for key in ("CapBnd", "CapPrm", "CapEff")}
    assert sets == {mask([Capability.SYSLOG])}
    assert int(status["CapInh"], 16) == int(status["CapAmb"], 16) == 0
    assert status["NoNewPrivs"] == "1"


@as_root
@may_bound
def test_a_child_that_needs_no_right_has_none() -> None:
    status = of_a_child()

    assert {status[key] for key in ("CapBnd", "CapPrm", "CapEff")} == {"0" * 16}


def test_a_child_leaves_no_core_and_writes_no_file() -> None:
    argv = programs.confined("cat", ("/proc/self/limits",))
    limits = subprocess.run(argv, check=True, capture_output=True, text=True, timeout=60).stdout

    for name in ("Max core file size", "Max file size", "Max realtime priority"):
        (line,) = [line for line in limits.splitlines() if line.startswith(name)]
        assert line.removeprefix(name).split()[:2] == ["0", "0"]


def test_a_child_that_is_not_roots_is_passed_only_what_is_ambient_and_needed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: OTHER)
    ambient = CapabilitySets(0, 0, 0, ALL, mask([Capability.NET_RAW, Capability.BPF]))

    passed = programs._restrictions(ambient, [Capability.NET_RAW, Capability.SYSLOG])

    assert passed == ["--inh-caps=-all,+net_raw"]


@as_root
def test_without_the_right_to_take_rights_away_a_child_still_gains_none() -> None:
    assert programs._restrictions(NOTHING, [Capability.SYSLOG]) == [
        "--no-new-privs",
        "--inh-caps=-all",
    ]


@pytest.mark.parametrize("name", ACTIONS)
def test_an_action_that_runs_a_program_says_what_it_needs(name: str) -> None:
    action = create(name)

    assert hasattr(action, "program") == hasattr(action, "capabilities")
    assert hasattr(action, "program") == (name in {"dmesg", "journalctl", "smbinfo", "tcpdump"})


@as_root
@may_bound
def test_tcpdump_starts_with_what_it_is_given() -> None:
    try:
        programs.find("tcpdump")
    except NotRun as reason:
        pytest.skip(str(reason))
    arguments = ("-i", "lo", "-c", "1", "-w", "-", "-Z", "root", "udp", "port", "9")
    argv = programs.confined("tcpdump", arguments, Tcpdump.capabilities)
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as child:
        assert child.stderr
        is_listening = any(b"listening on lo" in line for line in child.stderr)
        child.terminate()

    assert is_listening
