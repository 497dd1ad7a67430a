"""The probes on this kernel, without cifs."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from aod.smb.probes import LADDER
from aod.tracer.program import Tracer
from build import compile_bpf
from tests.bpf.fake import Fake

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip where the kernel would refuse everything."""
    if os.geteuid() != 0:
        for item in items:
            if HERE in item.path.parents:
                item.add_marker(pytest.mark.skip(reason="loading BPF needs root"))


KERNELS = {
    "(mid)": ("CIFS", "CONN_ID", "OLD"),
    "(server, mid)": ("CIFS", "CONN_ID"),
    "no conn_id": ("CIFS", "OLD"),
    "no types": (),
}
"""Macros of types.c, by what makes the kernel a special one."""


@pytest.fixture(scope="session")
def kernel_types(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The BTF of a kernel with cifs; its parameter is one of KERNELS."""
    target = tmp_path_factory.mktemp("btf") / "types.o"
    compile_bpf(HERE / "types.c", target, *KERNELS[getattr(request, "param", "(mid)")])
    return target


@pytest.fixture
def tracer(kernel_types: Path) -> Iterator[Tracer]:
    """The shipped object, loaded."""
    with Tracer(btf=kernel_types, optional=("generate",)) as loaded:
        yield loaded


@pytest.fixture(scope="session")
def fake_object(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The probes' code with programs that feed it."""
    target = tmp_path_factory.mktemp("bpf") / "fake_cifs.bpf.o"
    compile_bpf(HERE / "fake_cifs.bpf.c", target)
    return target


@pytest.fixture
def fake(fake_object: Path, kernel_types: Path) -> Iterator[Fake]:
    """A made-up connection whose every operation is sent to the ring."""
    # The rung that loads without types of cifs: beside the programs of the fake, any will do.
    with Tracer(fake_object, btf=kernel_types, rung=LADDER[1]) as loaded:
        yield Fake(loaded)
