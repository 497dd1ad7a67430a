"""Reduce the types of a kernel to what the BPF object relies on."""

import logging
import tempfile
from pathlib import Path

from aod.tracer.program import OBJECT
from tests.btf import types
from tests.btf.libbpf import sections
from tests.btf.types import Type
from tests.vm.lab import host

log = logging.getLogger(__name__)

_TRANSPARENT = ("TYPEDEF", "CONST", "VOLATILE", "RESTRICT", "TYPE_TAG")
_NAMED = ("STRUCT", "UNION", "FWD")


def reduced(whole: Path, bpf_object: Path = OBJECT) -> list[Type]:
    """Return the fields that the object reads, the functions and tracepoints that it attaches to.

    `whole` is a kernel's whole BTF. What it lacks is left out, and told in the log.
    """
    small = _Small(types.load(whole), _fields(whole, bpf_object))
    for function in functions(bpf_object):
        small.add_function(function)
    for tracepoint in tracepoints(bpf_object):
        small.add_tracepoint(tracepoint)
    return small.types


def functions(bpf_object: Path = OBJECT) -> list[str]:
    """Return the kernel functions that the object's kprobes and kretprobes attach to."""
    return _targets(bpf_object, "kprobe", "kretprobe")


def tracepoints(bpf_object: Path = OBJECT) -> list[str]:
    """Return the tracepoints that the object attaches to."""
    return _targets(bpf_object, "raw_tp", "raw_tracepoint")


def _targets(bpf_object: Path, *kinds: str) -> list[str]:
    pairs = (section.partition("/") for section in sections(bpf_object))
    return sorted({target for kind, _, target in pairs if kind in kinds})


def _fields(whole: Path, bpf_object: Path) -> list[Type]:
    """Resolve the object's CO-RE relocations, as libbpf does, and keep what they need."""
    with tempfile.TemporaryDirectory() as folder:
        fields = Path(folder, "fields.btf")
        host.run(["bpftool", "gen", "min_core_btf", whole, fields, bpf_object], timeout_s=60)
        return types.load(fields)


class _Small:
    """A list of types that grows by what is copied from a kernel's."""

    def __init__(self, whole: list[Type], fields: list[Type]) -> None:
        self.types = fields
        self._whole = {entry["id"]: entry for entry in whole}
        # Debian's 7.x has each type of cifs twice, with the same content: the first will do.
        self._by_name = {
            (entry["kind"], entry["name"]): entry for entry in reversed(whole) if "name" in entry
        }

    def add_function(self, name: str) -> None:
        if function := self._by_name.get(("FUNC", name)):
            prototype = self._copy(function["type_id"])
            self._add(kind="FUNC", name=name, type_id=prototype, linkage="static")
        else:
            log.warning("the kernel has no function name=%s", name)

    def add_tracepoint(self, name: str) -> None:
        if handler := self._by_name.get(("TYPEDEF", f"btf_trace_{name}")):
            pointer = self._whole[handler["type_id"]]
            prototype = self._copy(pointer["type_id"])
            copied = self._add(kind="PTR", name="(anon)", type_id=prototype)
            self._add(kind="TYPEDEF", name=handler["name"], type_id=copied)
        else:
            log.warning("the kernel has no tracepoint name=%s", name)

    def _copy(self, type_id: int) -> int:
        """Copy a type without its aliases and qualifiers; of a struct the name alone."""
        if type_id == 0:
            return 0
        entry = self._whole[type_id]
        kind = entry["kind"]
        if kind in _TRANSPARENT:
            return self._copy(entry["type_id"])
        if kind in _NAMED:
            return self._name_of(entry)
        if kind == "PTR":
            return self._add(kind="PTR", name="(anon)", type_id=self._pointed_to(entry["type_id"]))
        if kind == "FUNC_PROTO":
            returned, parameters = self._copy(entry["ret_type_id"]), self._parameters(entry)
            return self._add(kind=kind, name="(anon)", ret_type_id=returned, params=parameters)
        return self._add(**{key: value for key, value in entry.items() if key != "id"})

    def _parameters(self, prototype: Type) -> list[Type]:
        return [
            {"name": parameter["name"], "type_id": self._copy(parameter["type_id"])}
            for parameter in prototype["params"]
        ]

    def _pointed_to(self, type_id: int) -> int:
        while type_id and self._whole[type_id]["kind"] in _TRANSPARENT:
            type_id = self._whole[type_id]["type_id"]
        is_callback = type_id and self._whole[type_id]["kind"] == "FUNC_PROTO"
        return 0 if is_callback else self._copy(type_id)

    def _name_of(self, entry: Type) -> int:
        for known in self.types:
            if (known["kind"], known.get("name")) == (entry["kind"], entry["name"]):
                return int(known["id"])
        kind = entry.get("fwd_kind", entry["kind"].lower())
        return self._add(kind="FWD", name=entry["name"], fwd_kind=kind)

    def _add(self, **entry: object) -> int:
        for known in self.types:
            if {**entry, "id": known["id"]} == known:
                return int(known["id"])
        self.types.append({"id": len(self.types) + 1, **entry})
        return len(self.types)
