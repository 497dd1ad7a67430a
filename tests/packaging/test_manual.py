"""The man page has every command and option, and is in order."""

import subprocess
import sys
from pathlib import Path

import pytest
import typer

from aod.__main__ import app
from tests.test_documents import commands

MAKE = Path(__file__).resolve().parents[2] / "packaging" / "manual.py"
DAY_S = 1_795_000_000
PAGE = subprocess.run(
    [sys.executable, MAKE, str(DAY_S)], capture_output=True, text=True, check=True
).stdout
COMMANDS = dict(commands(typer.main.get_command(app), "aod"))


@pytest.mark.parametrize("name", COMMANDS)
def test_it_has_every_option_of_a_command(name: str) -> None:
    part = PAGE.partition(f".Ss {name}")[2].partition(".Ss ")[0].replace("\\-", "-")

    options = [each for each in COMMANDS[name].params if each.param_type_name == "option"]

    assert [word for each in options for word in each.opts if f"Fl {word[1:]}" not in part] == []
    assert all(each.help.split(".")[0].split("\n")[0] in part for each in options)


def test_an_argument_that_may_be_left_out_is_told_as_such() -> None:
    assert ".Ss aod names [PSEUDONYMS ...]\n" in PAGE
    assert ".Ss aod show BUNDLE\n" in PAGE


@pytest.mark.parametrize("name", ["list", "show", "doctor", "run", "config show"])
def test_a_config_is_a_file_in_every_command(name: str) -> None:
    part = PAGE.partition(f".Ss aod {name}")[2].partition(".Ss ")[0]

    assert ".It Fl \\-config Ar FILE\n" in part


@pytest.mark.parametrize("signal", ["SIGTERM", "SIGINT", "SIGHUP", "SIGUSR1"])
def test_it_tells_every_signal(signal: str) -> None:
    assert f".Dv {signal}" in PAGE.partition(".Sh SIGNALS")[2].partition(".Sh ")[0]


def test_it_bears_the_day_of_the_build() -> None:
    assert ".Dd November 18, 2026\n" in PAGE


@pytest.mark.tool("mandoc")
def test_it_has_no_mistake(tool: str) -> None:
    found = subprocess.run(
        [tool, "-T", "lint", "-W", "warning"],
        input=PAGE,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (found.returncode, found.stdout, found.stderr) == (0, "", "")
