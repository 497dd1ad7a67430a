"""Of what the rules are made: a part of a path, a word, a unit, each with pseudonyms in it."""

from aod.redact.marks import BEGIN, END, MARK
from aod.redact.naming import UNIT_ENDINGS

# What a part of a path holds in free text, escapes of a mount table among it.
SIGNS = rf"""\s{BEGIN}{END}\\/:*?"'<>|,;()\[\]{{}}=&"""
WINDOWS_PART = rf"(?:{MARK}|[^{SIGNS}]++)"
PART = rf"(?:{MARK}|\\[0-7]{{3}}|[^{SIGNS}]++)"
WORD = rf"(?:{MARK}|[\w-])"
DOTTED_WORD = rf"(?:{MARK}|[\w.-])"
# Atomic groups in place of possessive ones: before Python 3.11.5 a possessive quantifier of a
# group that can backtrack matches too little (gh-106052), and Debian 12 has 3.11.2.
WORDS = rf"(?>{WORD}+)"
DOTTED_WORDS = rf"(?>{DOTTED_WORD}+)"
QUOTED = r""""[^"\n]{1,4096}"|'[^'\n]{1,4096}'"""
BEFORE = r"(?P<before>"
QUAD = r"(?:\d{1,3}\.){3}\d{1,3}"
HEADS = (
    "for|of|by|task|process|Comm|User|[Hh]ost|[Hh]ostname|Workstation"
    "|connection|ssid|Product|Manufacturer|SerialNumber|SSID|Label|LABEL|[A-Za-z]{0,5}[UGug][Ii][Dd]"
)
"""Words with which a rule begins that has a blank in it."""
ENDINGS = "|".join(UNIT_ENDINGS)
UNIT = rf"(?>(?:{MARK}|[\w:\\@-]++|\.(?!(?:{ENDINGS})\b))+)\.(?:{ENDINGS})\b"

KEY = r"(?P<key>[A-Za-z_]{2,16})"
