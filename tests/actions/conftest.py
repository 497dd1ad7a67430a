"""What the tests of actions share: a folder for files, a context, and real processes."""

import os
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from aod.actions.action import Context
from aod.actions.output import Output
from aod.processes.children import Children
from tests.children import SPAN, Witness

# That of the virtual environment may be another user's, and is then not run.
PYTHON = str(Path(sys.executable).resolve())


class FakeFiles:
    """The files of one incident in a folder, made as a bundle makes them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def create_file(self, name: str) -> int:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        return os.open(self.folder / name, flags, 0o600)

    def read(self, name: str) -> bytes:
        return (self.folder / name).read_bytes()


@pytest.fixture
def files(tmp_path: Path) -> FakeFiles:
    folder = tmp_path / "bundle"
    folder.mkdir(mode=0o700)
    return FakeFiles(folder)


@pytest.fixture
def witness() -> Witness:
    return Witness()


@pytest.fixture
def children(witness: Witness) -> Children:
    return Children(witness, witness)


@pytest.fixture
def context(children: Children, witness: Witness) -> Context:
    return Context(SPAN, children, witness)


def within(context: Context, **changed: Any) -> Context:
    """Return a context with other numbers in its span."""
    return replace(context, span=replace(context.span, **changed))


@pytest.fixture
async def make_output(files: FakeFiles) -> AsyncIterator[Callable[..., Output]]:
    outputs: list[Output] = []

    def make(name: str = "out.txt", max_bytes: int = 1 << 20, *, is_text: bool = True) -> Output:
        outputs.append(Output(files, name, max_bytes, is_text=is_text))
        return outputs[-1]

    yield make
    for output in outputs:
        await output.close()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root folder with what a test puts under it."""
    folder = tmp_path / "root"
    folder.mkdir()
    return folder


def put(root: Path, path: str, content: str | bytes) -> Path:
    """Write a file below a fake root."""
    target = root / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content.encode() if isinstance(content, str) else content)
    return target
