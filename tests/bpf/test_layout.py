"""bpf/event.h, the compiled object's BTF and the numpy dtype say the same."""

import enum
import itertools
import json
import subprocess
from typing import Any

import numpy as np
import pytest

from aod import events
from aod._event import ffi
from aod.tracer.program import OBJECT


@pytest.fixture(scope="module")
def types() -> dict[str, dict[str, Any]]:
    """The named types in the object's BTF, as bpftool tells them."""
    dump = ["bpftool", "-j", "btf", "dump", "file", str(OBJECT)]
    output = subprocess.run(dump, check=True, capture_output=True).stdout
    return {entry["name"]: entry for entry in json.loads(output)["types"] if "name" in entry}


@pytest.mark.parametrize(
    ("struct", "dtype"),
    [
        ("aod_event", events.EVENT),
        ("aod_request", events.REQUEST),
        ("aod_request_key", events.REQUEST_KEY),
        ("aod_slot", events.SLOT),
        ("aod_wait", events.WAIT),
        ("aod_counter_key", events.COUNTER_KEY),
        ("aod_counter", events.COUNTER),
    ],
)
def test_every_offset_is_that_of_the_compiled_object(
    types: dict[str, dict[str, Any]], struct: str, dtype: np.dtype[np.void]
) -> None:
    members = {
        member["name"]: member["bits_offset"] // 8
        for member in types[struct]["members"]
        if member["name"] != "pad"
    }

    assert dtype.fields is not None
    assert {name: field[1] for name, field in dtype.fields.items()} == members
    assert dtype.itemsize == types[struct]["size"]


@pytest.mark.parametrize("struct", ["aod_event", "aod_request"])
def test_no_padding_is_left_unsaid(types: dict[str, dict[str, Any]], struct: str) -> None:
    offsets = sorted(member["bits_offset"] // 8 for member in types[struct]["members"])
    dtype = events.EVENT if struct == "aod_event" else events.REQUEST

    assert dtype.fields is not None
    ends = {field[1]: field[1] + field[0].itemsize for field in dtype.fields.values()}
    gaps = [
        start
        for start, after in itertools.pairwise(offsets)
        if start in ends and ends[start] != after
    ]
    assert gaps == []


@pytest.mark.parametrize(
    ("enumeration", "prefix", "members"),
    [
        ("aod_kind", "AOD_", events.Kind),
        ("aod_flag", "AOD_", events.Flag),
        ("aod_count", "AOD_COUNT_", events.Count),
    ],
)
def test_every_constant_of_the_header_has_its_name(
    enumeration: str, prefix: str, members: type[enum.IntEnum]
) -> None:
    values = dict(ffi.typeof(f"enum {enumeration}").relements)
    values.pop("AOD_COUNTS", None)

    assert {prefix + member.name: int(member) for member in members} == values


def test_an_event_is_at_most_160_bytes() -> None:
    assert events.EVENT.itemsize <= 160
