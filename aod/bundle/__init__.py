"""The bundle: the evidence of one incident, and the directory that holds them all."""

from aod.bundle.archive import SUMMARY, read_manifest, read_member
from aod.bundle.bundle import Bundle, Clean
from aod.bundle.manifest import COLUMNS, MANIFEST
from aod.bundle.output import Entry, OutputDirectory
from aod.bundle.recovery import recover
from aod.bundle.space import EVENTS, Grant, fit

__all__ = [
    "COLUMNS",
    "EVENTS",
    "MANIFEST",
    "SUMMARY",
    "Bundle",
    "Clean",
    "Entry",
    "Grant",
    "OutputDirectory",
    "fit",
    "read_manifest",
    "read_member",
    "recover",
]
