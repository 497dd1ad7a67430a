"""Tests of the table of actions."""

import subprocess
import sys
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path

import pytest

from aod import actions
from aod.actions.action import keeps_packets
from aod.errors import ConfigError

MACHINERY = {
    "__init__",
    "action",
    "file",
    "output",
    "program",
    "runner",
    "tail",
}


def test_every_file_of_the_folder_is_in_the_table_or_machinery() -> None:
    stems = {path.stem for path in Path(actions.__file__).parent.glob("*.py")}

    assert stems == set(actions.NAMES) | MACHINERY


@pytest.mark.parametrize("name", actions.NAMES)
def test_an_action_is_called_as_its_module_and_its_line_in_the_table(name: str) -> None:
    action = actions.create(name)

    assert action.name == name
    assert type(action).__module__ == f"aod.actions.{name}"
    assert action.file_name == f"{name}.pcap" if name == "tcpdump" else f"{name}.txt"


def test_packets_are_kept_by_the_capture_alone() -> None:
    assert [name for name in actions.NAMES if keeps_packets(actions.create(name))] == ["tcpdump"]


def test_an_unknown_action_is_a_config_error_that_names_the_known() -> None:
    with pytest.raises(ConfigError, match=r"unknown action 'tcpdum': allowed are debugdata, .*"):
        actions.create("tcpdum")


def test_volatile_state_comes_first_and_what_touches_the_share_last() -> None:
    assert actions.NAMES[:3] == ("debugdata", "stats", "open_files")
    assert actions.NAMES[-1] == "smbinfo"


def test_an_installed_package_adds_an_action(monkeypatch: pytest.MonkeyPatch) -> None:
    point = EntryPoint("nfsstat", "aod.actions.stats:Stats", actions.ENTRY_POINT_GROUP)

    def installed(group: str, name: str = point.name) -> EntryPoints:
        return EntryPoints([point]).select(group=group, name=name)

    monkeypatch.setattr("importlib.metadata.entry_points", installed)
    actions.known_names.cache_clear()

    assert actions.known_names() == (*actions.NAMES, "nfsstat")
    assert actions.create("nfsstat").name == "stats"
    actions.known_names.cache_clear()


def test_the_table_costs_no_import_of_its_actions() -> None:
    code = "import sys, aod.actions; print(*sys.modules)"

    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    loaded = set(run.stdout.split())
    assert "aod.actions" in loaded
    assert not loaded & {"asyncio", "aiofiles", "importlib.metadata", "aod.actions.action"}
