"""bpf/event.h, the compiled object's BTF and the numpy dtype say the same."""

import itertools
import json
import re
import subprocess
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from aod import events
from aod._event import ffi
from aod.tracer.program import OBJECT
from build import BPF


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
        ("aod_ledger_row", events.LEDGER_ROW),
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


def named(prefix: str, members: Mapping[str, int]) -> dict[str, int]:
    return {prefix + name: int(member) for name, member in members.items()}


ENUMERATIONS = {
    "aod_limit": {
        "AOD_COMM_LEN": events.EVENT["comm"].itemsize,
        "AOD_COMMANDS": events.COMMANDS,
        "AOD_ERRNOS": events.ERRNOS,
        "AOD_BUCKETS": events.BUCKETS,
        "AOD_LEDGER_ROW": events.LEDGER_ROW["counts"].shape[0],
        "AOD_SLOTS": events.SLOTS,
    },
    "aod_kind": named("AOD_", events.Kind.__members__),
    "aod_cause": named("AOD_CAUSE_", events.Cause.__members__),
    "aod_flag": named("AOD_", events.Flag.__members__),
    "aod_count": named("AOD_COUNT_", events.Count.__members__) | {"AOD_COUNTS": len(events.Count)},
    "aod_setting": named("AOD_SETTING_", events.Setting.__members__)
    | {"AOD_SETTINGS": len(events.Setting)},
}


def test_every_constant_of_the_header_has_its_name() -> None:
    in_header = re.findall(r"^enum (\w+) \{", (BPF / "event.h").read_text(), re.MULTILINE)

    constants = {each: dict(ffi.typeof(f"enum {each}").relements) for each in in_header}

    assert constants == ENUMERATIONS


def test_an_event_is_at_most_160_bytes() -> None:
    assert events.EVENT.itemsize <= 160
