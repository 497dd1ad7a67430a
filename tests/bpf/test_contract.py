"""One object for every kernel: what it relies on is in each of those that we have types of."""

from collections.abc import Callable
from pathlib import Path

import pytest

from aod.errors import TracerError
from aod.tracer.program import Tracer
from tests.bpf.contract import CALLBACKS, MAY_BE_MISSING, View, problems
from tests.btf import types
from tests.btf.__main__ import SHIPPED, TESTED
from tests.btf.types import Type

FILES = sorted([*TESTED.glob("*.btf"), *SHIPPED.glob("*.btf")])

each_kernel = pytest.mark.parametrize("file", FILES, ids=[file.stem for file in FILES])


@pytest.fixture
def kernel() -> list[Type]:
    """The types of a kernel that has every field, to be changed."""
    loaded = (types.load(file) for file in TESTED.glob("*.btf"))
    return next(each for each in loaded if "server" in View(each).fields("mid_q_entry"))


def named(kernel: list[Type], kind: str, name: str) -> Type:
    """Return one of a kernel's types."""
    return next(entry for entry in kernel if (entry["kind"], entry["name"]) == (kind, name))


def prototype_of(kernel: list[Type], kind: str, name: str) -> Type:
    """Return the prototype of a function, or of a tracepoint's handler."""
    entry = named(kernel, kind, name)
    while entry["kind"] != "FUNC_PROTO":
        entry = kernel[entry["type_id"] - 1]
    return entry


def remove_field(kernel: list[Type], struct: str, field: str) -> None:
    members = named(kernel, "STRUCT", struct)["members"]
    members[:] = [member for member in members if member["name"] != field]


def widen_field(kernel: list[Type], struct: str, field: str) -> None:
    (member,) = (m for m in named(kernel, "STRUCT", struct)["members"] if m["name"] == field)
    member["type_id"] = named(kernel, "TYPEDEF", "__u64")["id"]


def rename(kernel: list[Type], kind: str, name: str) -> None:
    named(kernel, kind, name)["name"] = "other"


def add_parameter(kernel: list[Type], kind: str, name: str) -> None:
    more = {"name": "more", "type_id": named(kernel, "INT", "int")["id"]}
    prototype_of(kernel, kind, name)["params"].append(more)


def swap_parameters(kernel: list[Type], kind: str, name: str) -> None:
    prototype_of(kernel, kind, name)["params"].reverse()


@each_kernel
def test_a_kernel_has_what_the_object_relies_on(file: Path) -> None:
    assert problems(View(types.load(file))) == []


@each_kernel
def test_the_object_is_loaded_with_the_types_of_a_kernel(file: Path) -> None:
    with Tracer(btf=file) as tracer:
        assert tracer.open_requests()[0].size == 0


def test_a_field_that_a_kernel_may_lack_is_lacked_by_one_and_had_by_another() -> None:
    views = [View(types.load(file)) for file in FILES]

    for name in MAY_BE_MISSING:
        struct, _, field = name.partition(".")
        assert {field in view.fields(struct) for view in views} == {True, False}


@pytest.mark.parametrize(
    ("change", "what", "problem"),
    [
        (remove_field, ("TCP_Server_Info", "in_flight"), "TCP_Server_Info.in_flight is missing"),
        (remove_field, ("task_struct", "flags"), "task_struct.flags is missing"),
        (widen_field, ("mid_q_entry", "mid_state"), "mid_q_entry.mid_state has 8 bytes"),
        (rename, ("STRUCT", "smb_rqst"), "smb_rqst.rq_iov is missing"),
        (rename, ("FUNC", "__smb2_find_mid"), "__smb2_find_mid() is missing"),
        (rename, ("FUNC", "compound_send_recv"), "compound_send_recv() is missing"),
        (add_parameter, ("FUNC", "smb_send_rqst"), "smb_send_rqst("),
        (swap_parameters, ("FUNC", "__smb2_find_mid"), "__smb2_find_mid("),
        (add_parameter, ("FUNC", "smb2_readv_callback"), "smb2_readv_callback("),
        (rename, ("TYPEDEF", "btf_trace_smb3_tcon"), "smb3_tconNone"),
        (add_parameter, ("TYPEDEF", "btf_trace_smb3_exit_err"), "smb3_exit_err("),
        (swap_parameters, ("TYPEDEF", "btf_trace_smb3_cmd_err"), "smb3_cmd_err("),
    ],
)
def test_a_kernel_that_differs_is_told(
    kernel: list[Type], change: Callable[..., None], what: tuple[str, str], problem: str
) -> None:
    change(kernel, *what)

    assert [told for told in problems(View(kernel)) if told.startswith(problem)]


def test_callbacks_without_a_server_need_it_in_the_mid(kernel: list[Type]) -> None:
    remove_field(kernel, "mid_q_entry", "server")

    told = problems(View(kernel))

    assert [problem.partition("(")[0] for problem in told] == sorted(CALLBACKS)


def test_the_object_is_not_loaded_without_a_field_that_it_reads(
    kernel: list[Type], tmp_path: Path
) -> None:
    remove_field(kernel, "mid_q_entry", "mid_state")
    types.write(kernel, tmp_path / "broken.btf")

    with pytest.raises(TracerError, match="loading"):
        Tracer(btf=tmp_path / "broken.btf")
