"""The probes on this kernel, without cifs."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from aod.tracer.program import OBJECT, Tracer
from build import compile_bpf
from tests.bpf.fake import Fake

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip where the kernel would refuse everything."""
    if os.geteuid() != 0:
        for item in items:
            if HERE in item.path.parents:
                item.add_marker(pytest.mark.skip(reason="loading BPF needs root"))


@pytest.fixture
def tracer() -> Iterator[Tracer]:
    """The shipped object, loaded; its own BTF stands in for that of cifs."""
    with Tracer(btf=OBJECT, optional=("generate",)) as loaded:
        yield loaded


@pytest.fixture(scope="session")
def fake_object(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The probes' code with programs that feed it."""
    target = tmp_path_factory.mktemp("bpf") / "fake_cifs.bpf.o"
    compile_bpf(HERE / "fake_cifs.bpf.c", target)
    return target


@pytest.fixture
def fake(fake_object: Path) -> Iterator[Fake]:
    """A made-up connection whose every operation is sent to the ring."""
    with Tracer(fake_object, btf=fake_object) as loaded:
        yield Fake(loaded)
