"""The bundle: the evidence of one incident, and the directory that holds them all."""

from aod.bundle.archive import MANIFEST, SUMMARY, read_manifest, read_member
from aod.bundle.bundle import COLUMNS, Bundle, fit, recover
from aod.bundle.output import Entry, OutputDirectory

__all__ = [
    "COLUMNS",
    "MANIFEST",
    "SUMMARY",
    "Bundle",
    "Entry",
    "OutputDirectory",
    "fit",
    "read_manifest",
    "read_member",
    "recover",
]
