"""What the tree as a whole must not do, and what USAGE.md says of rights."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from aod.actions import ACTIONS, create
from tests.test_documents import rows

ROOT = Path(__file__).parent.parent
MODULES = sorted((ROOT / "aod").rglob("*.py"))
SHELLS = ("subprocess_shell", "subprocess.getoutput", "subprocess.getstatusoutput", "pty.spawn")
SHELLS_OF_OS = ("os.system", "os.popen", "os.spawnlp", "os.spawnvp", "os.execlp", "os.execvp")
"""Calls that start a shell or search the caller's PATH, by the end of their name."""


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
