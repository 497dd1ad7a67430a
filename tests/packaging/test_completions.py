"""The shells complete the command with the files that lie in the packages."""

import os
import pty
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest

MAKE = Path(__file__).resolve().parents[2] / "packaging" / "completions"
AOD = Path(sys.executable).with_name("aod")
LIMIT_S = 60.0


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the files, made as packaging/stage does."""
    folder = tmp_path_factory.mktemp("completions")
    subprocess.run([MAKE, AOD, folder], check=True)
    return folder


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Return an environment in which `aod` is the one under test, and nothing is configured."""
    return {"PATH": f"{AOD.parent}:{os.environ['PATH']}", "HOME": str(tmp_path), "TERM": "dumb"}


@pytest.mark.tool("bash")
def test_bash_completes_a_command(tool: str, files: Path, environment: dict[str, str]) -> None:
    script = (
        f"source {files}/aod.bash; COMP_WORDS=(aod conf) COMP_CWORD=1;"
        '$(complete -p aod | sed "s/.*-F \\([^ ]*\\).*/\\1/") aod; echo "${COMPREPLY[*]}"'
    )

    told = subprocess.run(
        [tool, "--norc", "-c", script],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )

    assert told.stdout == "config\n"


@pytest.mark.tool("fish")
def test_fish_completes_an_option(tool: str, files: Path, environment: dict[str, str]) -> None:
    script = f"source {files}/aod.fish; complete --do-complete 'aod trace --thr'"

    told = subprocess.run(
        [tool, "--no-config", "-c", script],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )

    assert told.stdout.split()[0] == "--threshold-ms"


@pytest.mark.tool("zsh")
def test_zsh_completes_at_the_first_time_that_it_is_asked(
    tool: str, files: Path, environment: dict[str, str]
) -> None:
    load = f"fpath=({files} $fpath); autoload -U compinit; compinit -u -D; PS1=; echo loa''ded\n"
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(tool, [tool, "-f", "-i"], environment)
    try:
        os.write(terminal, load.encode())
        read_until(terminal, b"loaded")
        os.write(terminal, b"aod doct\t")
        read_until(terminal, b"doctor")
    finally:
        os.close(terminal)
        os.waitpid(pid, 0)


def read_until(terminal: int, wanted: bytes) -> None:
    """Read what a terminal shows until `wanted` is there; fails when that does not come."""
    shown, until = b"", time.monotonic() + LIMIT_S
    while wanted not in shown:
        ready, _, _ = select.select([terminal], [], [], max(0.0, until - time.monotonic()))
        assert ready, shown
        shown += os.read(terminal, 4096)
