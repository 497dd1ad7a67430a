"""Imports point down only, as the layout says."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import ROOT
from tests.test_main import SHARED

MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted((ROOT / "aod").rglob("*.py"))
}

LAYERS = (
    ("aod.__main__",),
    ("aod.commands",),
    ("aod.service", "aod.doctor"),
    ("aod.incidents", "aod.metrics"),
    ("aod.config", "aod.redact", "aod.report", "aod.control"),
    ("aod.bundle",),
    ("aod.tracer", "aod.detectors"),
    ("aod.activity", "aod.actions"),
    ("aod.processes", "aod.runtime", "aod.smb"),
    ("aod.host",),
    ("aod.events", "aod.clock", "aod.text", "aod.schema"),
    ("aod.errors", "aod._event", "aod"),
)
"""From the top down: each imports what stands below it, and its own room."""


def component(module: str) -> str:
    """Return the entry of LAYERS that a module belongs to."""
    entries = [entry for layer in LAYERS for entry in layer]
    found = [entry for entry in entries if module == entry or module.startswith(f"{entry}.")]
    assert found
    return max(found, key=len)


def depth(module: str) -> int:
    return next(i for i, layer in enumerate(LAYERS) if component(module) in layer)


def imported(node: ast.stmt) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module:
        for alias in node.names:
            whole = f"{node.module}.{alias.name}"
            yield whole if whole in MODULES or alias.name == "_libbpf" else node.module


def statements(module: str, *, lazy: bool) -> Iterator[ast.stmt]:
    """Yield a module's statements: all, or those that run when it is imported."""
    pending: list[ast.AST] = [ast.parse(MODULES[module].read_text())]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING" and not lazy:
            continue
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not lazy:
            continue
        if isinstance(node, ast.stmt):
            yield node
        pending += ast.iter_child_nodes(node)


def uses(module: str, *, lazy: bool = True) -> set[str]:
    names = {name for node in statements(module, lazy=lazy) for name in imported(node)}
    return {name for name in names if name.split(".")[0] == "aod"} - {module}


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_down(module: str) -> None:
    own = component(module)

    upward = {
        used for used in uses(module) if component(used) != own and depth(used) <= depth(module)
    }

    assert upward == set()


def test_no_import_goes_round_in_a_circle() -> None:
    graph = {module: uses(module, lazy=False) & MODULES.keys() for module in MODULES}
    # A package's face imports its parts, and importing a part does not need the face's names.
    parts = {(face, part) for face in graph for part in graph if part.startswith(f"{face}.")}

    while leaves := {module for module, used in graph.items() if not used & graph.keys()}:
        graph = {module: used for module, used in graph.items() if module not in leaves}

    assert {(m, u) for m, used in graph.items() for u in used & graph.keys()} <= parts


def test_only_the_tracer_touches_libbpf() -> None:
    users = {module for module in MODULES if "aod.tracer._libbpf" in uses(module)}

    assert {component(user) for user in users} == {"aod.tracer"}


def test_only_the_events_are_made_from_the_header() -> None:
    assert {module for module in MODULES if "aod._event" in uses(module)} == {"aod.events"}


def test_nothing_reads_the_folder_beside_the_tree() -> None:
    folders = ("aod", "bpf", "config", "packaging", "tests")
    suffixes = {".py", ".c", ".h", ".yaml", ".sh", ""}
    files = [path for name in folders for path in (ROOT / name).rglob("*") if path.is_file()]
    texts = [path for path in files if path.suffix in suffixes and path != Path(__file__)]

    assert [p for p in texts if "../shared" in p.read_text(errors="replace")] == []


def test_no_command_imports_another() -> None:
    shared = {"aod.commands", *(f"aod.commands.{name}" for name in SHARED)}
    found = {
        (module, used)
        for module in MODULES
        for used in uses(module) - shared
        if module.startswith("aod.commands.") and used.startswith("aod.commands.")
    }

    assert found == set()
