"""SMB operations as numpy arrays; the dtype is made from bpf/event.h.

All times are CLOCK_MONOTONIC nanoseconds. A batch has shape (n,) and dtype `EVENT`.
"""

import enum
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from aod._event import ffi

Events: TypeAlias = NDArray[np.void]
"""Shape (n,), dtype EVENT."""


def _dtype(struct: str) -> np.dtype[np.void]:
    """Build the dtype of a C struct with its very offsets; `char x[n]` becomes `S<n>`."""
    fields = {name: field for name, field in ffi.typeof(struct).fields if name != "pad"}
    return np.dtype(
        {
            "names": list(fields),
            "formats": [_format(field.type) for field in fields.values()],
            "offsets": [field.offset for field in fields.values()],
            "itemsize": ffi.sizeof(struct),
        }
    )


def _format(ctype: Any) -> str | np.dtype[np.void]:
    if ctype.kind == "struct":
        return _dtype(ctype.cname)
    if ctype.kind == "array":
        is_text = ctype.item.cname == "char"
        return f"S{ctype.length}" if is_text else f"({ctype.length},){_format(ctype.item)}"
    sign = "u" if int(ffi.cast(ctype, -1)) > 0 else "i"
    return f"{sign}{ffi.sizeof(ctype)}"


def _value(enumeration: str, name: str) -> int:
    return int(ffi.typeof(f"enum {enumeration}").relements[name])


EVENT = _dtype("struct aod_event")
REQUEST = _dtype("struct aod_request")
REQUEST_KEY = _dtype("struct aod_request_key")
SLOT = _dtype("struct aod_slot")
WAIT = _dtype("struct aod_wait")
COUNTER_KEY = _dtype("struct aod_counter_key")
COUNTER = _dtype("struct aod_counter")
LEDGER_ROW = _dtype("struct aod_ledger_row")


class Kind(enum.IntEnum):
    """What an event reports."""

    COMPLETED = _value("aod_kind", "AOD_COMPLETED")
    ABORTED = _value("aod_kind", "AOD_ABORTED")
    UNSENT = _value("aod_kind", "AOD_UNSENT")
    RECONNECT = _value("aod_kind", "AOD_RECONNECT")
    SESSION_EXPIRED = _value("aod_kind", "AOD_SESSION_EXPIRED")
    CREDIT_WAIT = _value("aod_kind", "AOD_CREDIT_WAIT")
    WAITING = _value("aod_kind", "AOD_WAITING")
    UNANSWERED = _value("aod_kind", "AOD_UNANSWERED")
    TREE_CONNECT = _value("aod_kind", "AOD_TREE_CONNECT")


COMMAND_KINDS = (Kind.COMPLETED, Kind.ABORTED, Kind.UNANSWERED, Kind.SESSION_EXPIRED)
"""Kinds of events that are about an SMB2 command: a thread that waits to send has none yet."""


class Cause(enum.IntEnum):
    """Why a connection was given up, or credits were waited for; 0 for all other events."""

    RECONNECT = _value("aod_cause", "AOD_CAUSE_RECONNECT")
    PARTIAL_SEND = _value("aod_cause", "AOD_CAUSE_PARTIAL_SEND")
    CREDITS_AWAITED = _value("aod_cause", "AOD_CAUSE_CREDITS_AWAITED")
    CREDITS_TIMEOUT = _value("aod_cause", "AOD_CAUSE_CREDITS_TIMEOUT")
    CREDITS_INSUFFICIENT = _value("aod_cause", "AOD_CAUSE_CREDITS_INSUFFICIENT")
    CREDITS_OVERFLOW = _value("aod_cause", "AOD_CAUSE_CREDITS_OVERFLOW")
    CREDITS_OUTDATED = _value("aod_cause", "AOD_CAUSE_CREDITS_OUTDATED")
    CREDITS_INVALID = _value("aod_cause", "AOD_CAUSE_CREDITS_INVALID")


class Flag(enum.IntFlag):
    """What is special about a request."""

    PENDED = _value("aod_flag", "AOD_PENDED")
    RELATED = _value("aod_flag", "AOD_RELATED")
    ENCRYPTED = _value("aod_flag", "AOD_ENCRYPTED")
    WRITEBACK = _value("aod_flag", "AOD_WRITEBACK")
    SECONDARY = _value("aod_flag", "AOD_SECONDARY")
    SELF = _value("aod_flag", "AOD_SELF")
    ASYNC = _value("aod_flag", "AOD_ASYNC")


class Count(enum.IntEnum):
    """Index of a counter in the kernel's ledger."""

    REQUESTS = _value("aod_count", "AOD_COUNT_REQUESTS")
    COMPLETED = _value("aod_count", "AOD_COUNT_COMPLETED")
    ABORTED = _value("aod_count", "AOD_COUNT_ABORTED")
    UNTRACKED = _value("aod_count", "AOD_COUNT_UNTRACKED")
    PDUS = _value("aod_count", "AOD_COUNT_PDUS")
    INTERIM = _value("aod_count", "AOD_COUNT_INTERIM")
    BREAKS = _value("aod_count", "AOD_COUNT_BREAKS")
    UNMATCHED = _value("aod_count", "AOD_COUNT_UNMATCHED")
    EARLIER = _value("aod_count", "AOD_COUNT_EARLIER")
    EVENTS = _value("aod_count", "AOD_COUNT_EVENTS")
    LOST = _value("aod_count", "AOD_COUNT_LOST")
    UNCOUNTED = _value("aod_count", "AOD_COUNT_UNCOUNTED")
    CROWDED = _value("aod_count", "AOD_COUNT_CROWDED")


class Setting(enum.IntEnum):
    """Index in the kernel's map `settings`."""

    FAILURES = _value("aod_setting", "AOD_SETTING_FAILURES")
    KINDS = _value("aod_setting", "AOD_SETTING_KINDS")
    PAYLOADS = _value("aod_setting", "AOD_SETTING_PAYLOADS")
    SECONDARY = _value("aod_setting", "AOD_SETTING_SECONDARY")
    OWN = _value("aod_setting", "AOD_SETTING_OWN")


SLOTS = _value("aod_limit", "AOD_SLOTS")
"""Requests that are kept in slots; what finds its slot taken goes into a hash."""

BUCKETS = _value("aod_limit", "AOD_BUCKETS")
"""Buckets of a latency histogram: bucket b holds 2^b to 2^(b+1) microseconds."""

COMMANDS = _value("aod_limit", "AOD_COMMANDS")
"""Size of a table that is indexed by command."""

ERRNOS = _value("aod_limit", "AOD_ERRNOS")
"""Size of a table that is indexed by positive errno."""


def empty(length: int = 0) -> Events:
    """Return `length` events of zeros."""
    return np.zeros(length, dtype=EVENT)


def join(*batches: Events) -> Events:
    """Return the batches one after the other; numpy alone would close the gaps of the dtype."""
    return np.concatenate([empty(), *batches], dtype=EVENT)


def server_ns(events: Events) -> NDArray[np.uint64]:
    """Return the time on the wire and at the server: latency - queue - payload, shape (n,)."""
    result: NDArray[np.uint64] = events["latency_ns"] - events["queue_ns"] - events["payload_ns"]
    return result


def has_command(events: Events) -> NDArray[np.bool]:
    """Return which of the events have an SMB2 command, shape (n,)."""
    return np.isin(events["kind"], COMMAND_KINDS)
