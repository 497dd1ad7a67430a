"""What the tree as a whole must not do, and what USAGE.md says of rights."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from aod.actions import ACTIONS, create
from aod.host.capabilities import Capability
from tests import ROOT
from tests.test_documents import rows, section

MODULES = sorted((ROOT / "aod").rglob("*.py"))
SHELLS = ("subprocess_shell", "subprocess.getoutput", "subprocess.getstatusoutput", "pty.spawn")
SHELLS_OF_OS = ("os.system", "os.popen", "os.spawnlp", "os.spawnvp", "os.execlp", "os.execvp")
"""Calls that start a shell or search the caller's PATH, by the end of their name."""


RELATIVE = {"open", "mkdir", "rename", "replace", "unlink", "rmdir"}
"""Calls of os that name a file within a directory that is open."""
NEVER = {"chmod", "chown", "link", "makedirs", "remove", "removedirs", "symlink", "truncate"}
"""Calls of os that would go by a path."""
METHODS = {
    "chmod",
    "hardlink_to",
    "mkdir",
    "rename",
    "rmdir",
    "symlink_to",
    "touch",
    "unlink",
    "write_bytes",
    "write_text",
}
"""Methods of a Path that would go by it."""
BY_PATH = {
    "aod/__main__.py": "/dev/null, for what is printed to a reader that went away",
    "aod/actions/file.py": "reads a file of /proc or /var/log, no link",
    "aod/config/yamlsource.py": "reads the config that is named, and looks who can write it",
    "aod/control/client.py": "the service's directory, to ask it",
    "aod/host/paths.py": "opens / and goes on from there",
}
"""Who may open by a path, and why."""


def calls(module: Path) -> Iterator[ast.Call]:
    nodes = ast.walk(ast.parse(module.read_text()))
    return (node for node in nodes if isinstance(node, ast.Call))


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_runs_a_shell(module: Path) -> None:
    told_to = [word.arg for call in calls(module) for word in call.keywords]

    called = [ast.unparse(call.func) for call in calls(module)]
    assert [name for name in called if name.endswith((*SHELLS, *SHELLS_OF_OS))] == []
    assert "shell" not in told_to
    assert not {"/bin/sh", "/bin/bash", "sh", "bash"} & {
        node.value
        for node in ast.walk(ast.parse(module.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_is_made_renamed_or_removed_is_named_within_an_open_directory(module: Path) -> None:
    name_of = str(module.relative_to(ROOT))

    found = [ast.unparse(call) for call in calls(module) if goes_by_a_path(call)]

    if name_of in BY_PATH:
        assert found
        assert {text.partition("(")[0] for text in found} == {"os.open"}
    else:
        assert found == []


def goes_by_a_path(call: ast.Call) -> bool:
    owner, _, name = ast.unparse(call.func).rpartition(".")
    if owner == "os":
        is_relative = any(word.arg in ("dir_fd", "src_dir_fd") for word in call.keywords)
        return name in NEVER or (name in RELATIVE and not is_relative)
    if owner == "shutil":
        return name != "which" and not any(word.arg == "dir_fd" for word in call.keywords)
    return (not owner and name == "open") or (name in METHODS and owner != "output")


def test_every_right_that_is_kept_is_told_with_its_reason() -> None:
    told = set(re.findall(r"`(CAP_\w+)`", section("Rights of the service")))

    assert told == {f"CAP_{each.name}" for each in Capability}


def test_the_unit_allows_what_the_service_keeps_and_no_more() -> None:
    lines = (ROOT / "config/aod.service").read_text().splitlines()
    bounding = [line for line in lines if line.startswith("CapabilityBoundingSet=")]
    allowed = {name for line in bounding for name in line.partition("=")[2].split()}

    # LimitRTPRIO= stands in for CAP_SYS_NICE.
    assert allowed == {f"CAP_{each.name}" for each in set(Capability) - {Capability.SYS_NICE}}
    assert "LimitRTPRIO=1" in lines
    assert "LimitMEMLOCK=infinity" in lines


def test_what_a_child_keeps_is_what_the_document_says() -> None:
    kept = {
        name: [f"CAP_{each.name}" for each in action.capabilities]
        for name in ACTIONS
        if hasattr(action := create(name), "capabilities")
    }

    told = {
        name: [] if cells[0] == "none" else cells[0].replace("`", "").split(", ")
        for name, cells in rows("Programs that are run").items()
    }

    assert told == kept
