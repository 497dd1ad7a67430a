"""What the BPF object relies on in a kernel: fields, functions, tracepoints."""

import re
from collections.abc import Iterator
from pathlib import Path

from aod.tracer.program import OBJECT
from tests.btf import types
from tests.btf.reduce import functions, tracepoints
from tests.btf.types import Type

CIFS_H = Path(__file__).resolve().parents[2] / "bpf/cifs.h"
CO_RE_STRUCT = re.compile(r"^struct (\w+) \{[^}]*\} CO_RE;", re.MULTILINE)

Places = tuple[str, ...]
SERVER, MID = "struct TCP_Server_Info *", "struct mid_q_entry *"
UNREAD = ""

PARAMETERS: dict[str, Places | None] = {
    "compound_send_recv": None,
    "cifs_call_async": None,
    "smb2_wait_mtu_credits": (SERVER, UNREAD, UNREAD, UNREAD),
    "wait_for_free_credits": (SERVER, UNREAD, UNREAD, UNREAD, UNREAD),
    "smb_send_rqst": (SERVER, "s32", "struct smb_rqst *", "s32"),
    "__smb2_find_mid": (SERVER, "*", UNREAD),
}
"""What is read of each function's parameters, in their places; None: nothing is."""

CALLBACKS = (
    "cifs_compound_callback",
    "smb2_readv_callback",
    "smb2_writev_callback",
    "smb2_echo_callback",
)
"""They are given (mid) where a mid has a server, else (server, mid)."""

MAY_BE_MISSING = {
    "TCP_Server_Info.conn_id",  # 5.10
    "mid_q_entry.server",  # from 6.19 on
}
"""Fields without which the highest rung holds."""

COMMAND = ("u32", "u64", "u16", "u64")
CONNECTION = ("u64", "u64", "*")
CREDITS = (*CONNECTION, "s32", "s32", "s32")
ARGUMENTS: dict[str, Places] = {
    "smb3_reconnect": CONNECTION,
    "smb3_partial_send_reconnect": CONNECTION,
    "smb3_ses_expired": COMMAND,
    "smb3_credit_timeout": CREDITS,
    "smb3_insufficient_credits": CREDITS,
    "smb3_too_many_credits": CREDITS,
    "smb3_reconnect_detected": CREDITS,
    "smb3_reconnect_with_invalid_credits": CREDITS,
    "smb3_tcon": ("u32", "u32", "u64", "*", "s32"),
    "smb3_exit_err": ("u32", "*", "s32"),
    "smb3_cmd_enter": COMMAND,
    "smb3_cmd_done": COMMAND,
    "smb3_cmd_err": (*COMMAND, "u32", "s32"),
}
"""What each tracepoint tells."""

WITHOUT_CONN_ID: dict[str, Places | None] = {
    "smb3_reconnect": ("u64", "*"),
    "smb3_partial_send_reconnect": ("u64", "*"),
    "smb3_credit_timeout": ("u64", "*", "s32", "s32"),
    "smb3_insufficient_credits": None,
    "smb3_too_many_credits": None,
    "smb3_reconnect_detected": None,
    "smb3_reconnect_with_invalid_credits": ("u64", "*", "s32", "s32"),
}
"""What they tell, or that they are not there, where a connection has no conn_id (5.10)."""


class View:
    """Looks types up by name."""

    def __init__(self, entries: list[Type]) -> None:
        self._by_id = {entry["id"]: entry for entry in entries}
        self._by_name = {(entry["kind"], entry["name"]): entry for entry in entries}

    def fields(self, struct: str) -> dict[str, int]:
        """Return the size in bytes of each field of a struct; empty without that struct."""
        members = self._by_name.get(("STRUCT", struct), {}).get("members", [])
        return {member["name"]: self._size(member["type_id"]) for member in members}

    def parameters(self, function: str) -> Places | None:
        """Return what a function is called with, or None when there is none."""
        found = self._by_name.get(("FUNC", function))
        return self._places(found["type_id"]) if found else None

    def arguments(self, tracepoint: str) -> Places | None:
        """Return what a tracepoint tells, or None when there is none."""
        handler = self._by_name.get(("TYPEDEF", f"btf_trace_{tracepoint}"))
        if not handler:
            return None
        pointer = self._by_id[handler["type_id"]]
        return self._places(pointer["type_id"])[1:]  # after the data of who is attached

    def _places(self, prototype: int) -> Places:
        return tuple(self._kind(each["type_id"]) for each in self._by_id[prototype]["params"])

    def _kind(self, type_id: int) -> str:
        entry = self._resolved(type_id)
        if entry["kind"] == "PTR":
            target = self._by_id.get(entry["type_id"], {})
            is_struct = target.get("kind") in ("STRUCT", "FWD")
            return f"struct {target['name']} *" if is_struct else "*"
        signed = entry["encoding"] == "SIGNED"
        return f"{'s' if signed else 'u'}{entry['size'] * 8}"

    def _size(self, type_id: int) -> int:
        entry = self._resolved(type_id)
        return 8 if entry["kind"] == "PTR" else int(entry["size"])

    def _resolved(self, type_id: int) -> Type:
        entry = self._by_id[type_id]
        aliases = ("TYPEDEF", "CONST", "VOLATILE")
        return self._resolved(entry["type_id"]) if entry["kind"] in aliases else entry


def problems(kernel: View) -> list[str]:
    """Say how a kernel differs from what the object relies on; nothing when it does not."""
    return [
        *_field_problems(kernel, View(types.load(OBJECT))),
        *_function_problems(kernel),
        *_tracepoint_problems(kernel),
    ]


def _field_problems(kernel: View, ours: View) -> Iterator[str]:
    for struct in CO_RE_STRUCT.findall(CIFS_H.read_text()):
        name = struct.partition("___")[0]
        theirs = kernel.fields(name)
        for field, size in ours.fields(struct).items():
            if theirs.get(field, size) != size:
                yield f"{name}.{field} has {theirs[field]} bytes, read are {size}"
            if field not in theirs and f"{name}.{field}" not in MAY_BE_MISSING:
                yield f"{name}.{field} is missing"


def _function_problems(kernel: View) -> Iterator[str]:
    is_old = "server" in kernel.fields("mid_q_entry")
    wanted = {**PARAMETERS, **dict.fromkeys(CALLBACKS, (MID,) if is_old else (SERVER, MID))}
    for function in functions():
        found, places = kernel.parameters(function), wanted[function]
        if found is None:
            yield f"{function}() is missing"
        elif places is not None and not _fits(found, places):
            yield f"{function}{found} is called, {places} is read"


def _tracepoint_problems(kernel: View) -> Iterator[str]:
    has_conn_id = "conn_id" in kernel.fields("TCP_Server_Info")
    wanted = ARGUMENTS if has_conn_id else {**ARGUMENTS, **WITHOUT_CONN_ID}
    for tracepoint in tracepoints():
        found = kernel.arguments(tracepoint)
        if found != wanted[tracepoint]:
            yield f"{tracepoint}{found} is told, {wanted[tracepoint]} is read"


def _fits(found: Places, read: Places) -> bool:
    pairs = zip(found, read, strict=False)
    return len(found) == len(read) and all(place in (UNREAD, there) for there, place in pairs)
