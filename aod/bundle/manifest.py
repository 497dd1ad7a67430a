"""manifest.json: its one schema, for everyone who writes or reads a bundle.

What is read is validated once, here; inside, a manifest is plain frozen data. Formats before
this one are read as well: each key that they lack has a default.
"""

import contextlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Annotated, TypeAlias, TypeVar, get_type_hints

from pydantic import (
    AfterValidator,
    AllowInfNan,
    Field,
    JsonValue,
    StringConstraints,
    TypeAdapter,
    ValidationError,
)

from aod.errors import BundleError

FORMAT = 1
MANIFEST = "manifest.json"
DAMAGED = "it is damaged or cut off: fetch it again and compare its size"

_HALVES = re.compile("[\ud800-\udfff]")
_ESCAPED_HALF = re.compile(rb"(?<!\\)(?:\\\\)*\\u[dD][89a-fA-F]")
_MEMBERS = ("constrained-int", "float")

T = TypeVar("T")

Count: TypeAlias = Annotated[int, Field(ge=0, lt=1 << 64)]
Nanoseconds: TypeAlias = Annotated[int, Field(ge=0, lt=1 << 64)]
Signed: TypeAlias = Annotated[int, Field(gt=-(1 << 64), lt=1 << 64)]
Number: TypeAlias = Signed | Annotated[float, AllowInfNan(False)]
Seconds: TypeAlias = Annotated[float, Field(ge=0), AllowInfNan(False)]
Id: TypeAlias = Annotated[str, StringConstraints(pattern=r"^(0x[0-9a-fA-F]{1,16})?$")]
"""An id of the kernel or of the protocol, in hex; "" where there is none."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One event in words; the fields down to `compound_index` are the columns of events.csv.

    Times are CLOCK_MONOTONIC nanoseconds but `time`, which is UTC in ISO 8601.
    `latency_ns = queue_ns + server_ns + payload_ns`. The last three are of the thread that waits
    for it, empty where nobody looked.
    """

    time: str = ""
    time_ns: Nanoseconds = 0
    kind: str = ""
    cause: str = ""
    command: str = ""
    latency_ns: Nanoseconds = 0
    queue_ns: Nanoseconds = 0
    server_ns: Nanoseconds = 0
    payload_ns: Nanoseconds = 0
    pended_ns: Nanoseconds = 0
    threshold_ns: Nanoseconds | None = None
    status: str = ""
    status_code: Id = ""
    error: str = ""
    server: str = ""
    channel: str = ""
    share: str = ""
    connection_id: Id = ""
    session_id: Id = ""
    tree_id: Id = ""
    message_id: Count = 0
    file_id: Id = ""
    file: str = ""
    unit: str = ""
    pid: Count = 0
    tid: Count = 0
    uid: Count = 0
    comm: str = ""
    flags: tuple[str, ...] = ()
    request_bytes: Count = 0
    response_bytes: Count = 0
    credits_granted: Count = 0
    in_flight: Count = 0
    compound_index: Count = 0
    task_state: str = ""
    wchan: str = ""
    stack: tuple[str, ...] = ()


WAITING = ("task_state", "wchan", "stack")
"""The keys of an operation that stand there only where somebody looked at its thread."""
COLUMNS = tuple(each.name for each in fields(Operation) if each.name not in WAITING)
"""The columns of events.csv."""


@dataclass(frozen=True, slots=True)
class Anomaly:
    """One anomaly of a manifest: what was found, and its evidence.

    `limit` has those keys of its section of the config that it was judged by. `window_s` is 0
    where nothing is counted within a time. `repeats` counts how often it was raised again while
    the bundle was collected; `events_omitted` the operations of which only the number was kept.
    """

    anomaly: str
    name: str
    timestamp: Nanoseconds = 0
    raised: str = ""
    emergency: bool = False
    tool: str = ""
    count: Count = 0
    repeats: Count = 0
    window_s: Seconds = 0.0
    limit: Mapping[str, Number] = field(default_factory=dict)
    reason: str = ""
    shares: tuple[str, ...] = ()
    worst: Operation | None = None
    median_latency_ns: Nanoseconds | None = None
    first: str = ""
    last: str = ""
    events: tuple[Operation, ...] = ()
    events_omitted: Signed = 0
    usual_latency_ns: Nanoseconds = 0


@dataclass(frozen=True, slots=True)
class Suppressed:
    """Anomalies of one name that opened no bundle since the last one."""

    name: str
    count: Count = 0
    first: str = ""
    last: str = ""
    worst_latency_ns: Nanoseconds = 0


@dataclass(frozen=True, slots=True)
class ActionResult:
    """What became of one action.

    `state` is pending while it is collected, later one of aod.actions.action.State. `file` is
    None when nothing was written; `truncated` says that there was more than the cap; `exit_code`
    is minus the signal that ended a child.
    """

    state: str
    name: str = ""
    reason: str = ""
    file: str | None = None
    bytes: Count = 0
    truncated: bool = False
    exit_code: Signed | None = None
    stderr: str = ""
    started_wall_ns: Nanoseconds = 0
    duration_s: Seconds = 0.0


@dataclass(frozen=True, slots=True)
class Tracer:
    """How requests were seen; `rung` is None where cifs was not loaded."""

    rung: int | None = None
    missing: Mapping[str, str] = field(default_factory=dict)
    refusals: tuple[str, ...] = ()
    ledger: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Disk:
    """What the disk had when the bundle was opened, and what was left out for want of room."""

    free_bytes: Signed = 0
    reserved_bytes: Signed = 0
    min_free_bytes: Signed = 0
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Host:
    """The machine."""

    name: str = ""
    kernel: str = ""
    os: str = ""
    machine: str = ""
    cpus: int | None = None


@dataclass(frozen=True, slots=True)
class Versions:
    """What made the bundle; `libbpf` is "" where no tracer ran."""

    aod: str = ""
    python: str = ""
    libbpf: str = ""


@dataclass(frozen=True, slots=True)
class Digest:
    """Size and SHA-256 (hex) of one file."""

    bytes: Count
    sha256: str


def _watched(tracer: Tracer | None) -> Tracer | None:
    """Return None for the empty object that stands for it in the file."""
    return None if tracer == Tracer() else tracer


@dataclass(frozen=True, slots=True)
class Manifest:
    """All of a bundle but its files' contents.

    `state` is collecting, sealed or interrupted. `wall_minus_monotonic_ns` turns the monotonic
    times of its events into nanoseconds since the epoch. `lost` counts by what was lost.
    `tracer` is None where nobody watched. `redacted` says that names were taken out.
    """

    format: int
    state: str
    timestamp: Nanoseconds = 0
    raised: str = ""
    sealed: str | None = None
    trigger: str = ""
    anomalies: tuple[Anomaly, ...] = ()
    suppressed_since_last: tuple[Suppressed, ...] = ()
    actions: Mapping[str, ActionResult] = field(default_factory=dict)
    lost: Mapping[str, Count] = field(default_factory=dict)
    tracer: Annotated[Tracer | None, AfterValidator(_watched)] = None
    disk: Disk = field(default_factory=Disk)
    wall_minus_monotonic_ns: Signed = 0
    host: Host = field(default_factory=Host)
    versions: Versions = field(default_factory=Versions)
    config: JsonValue = None
    files: Mapping[str, Digest] = field(default_factory=dict)
    redacted: bool = False


@dataclass(frozen=True, slots=True)
class _Contents:
    """As much of a manifest as it takes to check the bundle's other files."""

    format: int
    files: Mapping[str, Digest] = field(default_factory=dict)


_ADAPTER = TypeAdapter(Manifest)
_CONTENTS = TypeAdapter(_Contents)


def parse(data: bytes, source: object) -> Manifest:
    """Return the manifest of its JSON; BundleError names `source` and the place of what is wrong.

    Keys that this version does not know are left out.
    """
    return _parse(_ADAPTER, data, source)


def parse_digests(data: bytes, source: object) -> Mapping[str, Digest]:
    """Return only the `files` of a manifest; raises BundleError as `parse` does."""
    return _parse(_CONTENTS, data, source).files


def salvage(data: bytes) -> Manifest | None:
    """Return what is sound of a manifest that `parse` refuses, None when it is none at all.

    A key of the manifest is sound as a whole, or it is left out.
    """
    try:
        plain = json.loads(data)
    except (ValueError, RecursionError):
        return None
    types = get_type_hints(Manifest, include_extras=True)
    sound = {}
    for key in types.keys() & (plain if isinstance(plain, dict) else {}):
        with contextlib.suppress(ValidationError, RecursionError):
            sound[key] = TypeAdapter(types[key]).validate_json(_encoded(plain[key]), strict=True)
    return Manifest(**{"state": "interrupted"} | sound) if "format" in sound else None


def dump(manifest: Manifest) -> bytes:
    """Return a manifest as JSON, a key a line, without those keys that say nothing."""
    plain = _ADAPTER.dump_python(manifest, mode="json")
    plain["tracer"] = plain["tracer"] or {}
    if not manifest.redacted:
        del plain["redacted"]
    for anomaly in plain["anomalies"]:
        for operation in (anomaly["worst"], *anomaly["events"]):
            if operation and not any(operation[key] for key in WAITING):
                for key in WAITING:
                    del operation[key]
    return _encoded(plain)


def row(operation: Operation) -> dict[str, object]:
    """Return the COLUMNS of an operation, as JSON can hold them."""
    return {name: getattr(operation, name) for name in COLUMNS}


def _encoded(plain: object) -> bytes:
    r"""Return it as JSON.

    A byte that was no character, as an argument of a command line can hold it, is a half of a
    surrogate pair in Python and nothing in UTF-8: it is spelled `\udcff`, as in summary.txt.
    """
    text = json.dumps(plain, indent=1, ensure_ascii=False)
    return _HALVES.sub(lambda half: f"\\\\u{ord(half[0]):04x}", text).encode()


def _parse(adapter: TypeAdapter[T], data: bytes, source: object) -> T:
    try:
        return adapter.validate_json(data, strict=True)
    except (ValidationError, RecursionError) as error:
        # 0.1.0 wrote halves of surrogate pairs as escapes of JSON, which pydantic takes for none.
        if (whole := _whole(data)) is not None:
            return _parse(adapter, whole, source)
        raise BundleError(_refusal(error, source)) from error


def _whole(data: bytes) -> bytes | None:
    """Return JSON with its halves of surrogate pairs spelled out, None where it has none."""
    try:
        spelled = _encoded(json.loads(data)) if _ESCAPED_HALF.search(data) else None
    except (ValueError, RecursionError):
        return None
    return None if spelled is None or _ESCAPED_HALF.search(spelled) else spelled


def _refusal(error: Exception, source: object) -> str:
    problems = error.errors(include_input=False) if isinstance(error, ValidationError) else []
    if any(problem["loc"] == ("format",) for problem in problems):
        return f"{source} is no bundle of aod: its {MANIFEST} has no format number"
    hint = f"; {DAMAGED}" if not problems or problems[0]["type"] == "json_invalid" else ""
    return f"cannot read {MANIFEST} of {source}: {_problem(error)}{hint}"


def _problem(error: Exception) -> str:
    if not isinstance(error, ValidationError):
        return "nested too deeply"
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    # A number of either kind is a union for pydantic, which names the member that it tried.
    place = ".".join(str(part) for part in first["loc"] if part not in _MEMBERS) or "the file"
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    return f"{place}: {first['msg']}{more}"
