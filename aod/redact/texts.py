"""Redacts one file's text, line by line, by what kind of a line it is."""

import re

from aod.redact.marks import unmarked
from aod.redact.naming import Naming
from aod.redact.rules import RULES
from aod.redact.secrets import Secrets
from aod.redact.structure import Structure
from aod.redact.vocabulary import Vocabulary
from aod.redact.words import PROGRAMS

TRUNCATED = "[aod: truncated at "
LEFT_OUT = "[text of another program left out]"

# str.splitlines would break at signs that names may hold.
_LINES = re.compile(r"[^\n]*\n|[^\n]+")
_STAMP = (
    r"(?:\d{4}-\d\d-\d\dT[\d:.,]{8,20}(?:Z|[+-]\d\d:?\d\d)"
    r"|(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) [ \d]\d \d\d:\d\d:\d\d)"
)
_TAG = (
    r"(?P<program>[^\s\[\]:](?:[^\n:\[]{0,62}[^\s\[:])?)"
    r"(?:\[(?P<part>[a-z]+)(?:\[(?P<domain>[^\]\n]{1,256})\])?\])?(?P<pid>\[\d+\])?: ?"
)
_LOG = re.compile(rf"(?P<stamp>{_STAMP} )(?P<host>\S+) {_TAG}")
_DMESG = re.compile(rf"(?P<stamp>(?P<facility>[a-z0-9]+) *:[a-z]+ *: \[?{_STAMP}\]? )")
_STAMPED = re.compile(_STAMP + " ")
_TAGGED = re.compile(_TAG)
# What a unit is called here is its description, anybody's words.
_JOB = re.compile(
    r"((?:Starting|Started|Stopping|Stopped|Reloading|Reloaded|Mounting|Mounted|Unmounting"
    r"|Unmounted|Listening on|Closed|Created slice|Removed slice|Finished|Reached target"
    r"|Stopped target|Activating|Deactivated|Condition check resulted in"
    r"|Failed to (?:start|mount|unmount|stop|listen on)|Dependency failed for"
    r"|Timed out (?:waiting for|starting|stopping)) )(.+?)(\.{0,3}\s*)$",
    re.S,
)
_SESSION = re.compile(r"((?:New|Removed) session \S+(?: of user )?)(\S*)(.*)", re.S)
_OPEN_FILES = re.compile(r"# <tree id>(?: <[^<>]+>)*")
_COLUMN = re.compile(r"<([^<>]+)>")
_UID = re.compile(r"[0-9]{1,10}")
"""32 bits; of a longer number int() takes its time, and refuses it from 4300 digits on."""


class Text:
    """The text of one file, in blocks of whole lines; a line may depend on those before it."""

    def __init__(self, naming: Naming, vocabulary: Vocabulary) -> None:
        self._naming = naming
        self._vocabulary = vocabulary
        self._structure = Structure(naming, RULES)
        self._secrets = Secrets()
        self._is_kept = True
        self._is_own = False
        self._columns: list[str] = []

    def redact(self, block: str) -> str:
        """Return a block without names and secrets."""
        clean = self._secrets.scrub(unmarked(block))
        return unmarked("".join(map(self._line, _LINES.findall(self._vocabulary.replace(clean)))))

    def _line(self, line: str) -> str:
        if line.startswith("# <") and _OPEN_FILES.match(line):
            self._columns = _COLUMN.findall(line)
            return line
        if self._columns:
            return self._open_file(line)
        if match := _LOG.match(line):
            host = self._structure.part(match["host"], self._naming.server)
            return f"{match['stamp']}{host} {self._message(match, line[match.end() :])}"
        if match := _DMESG.match(line):
            return match["stamp"] + self._kernel_line(match["facility"], line[match.end() :])
        if match := _STAMPED.match(line):
            self._is_kept = False
            return f"{match[0]}{LEFT_OUT}\n"
        if line.startswith(TRUNCATED):
            return line
        # What goes on in a line of its own belongs to the program before.
        return self._free(line) if self._is_kept else ""

    def _kernel_line(self, facility: str, text: str) -> str:
        """Return a line of the kernel's buffer, into which other programs write as well."""
        if facility == "kern":
            self._is_kept, self._is_own = True, False
            return self._free(text)
        if match := _TAGGED.match(text):
            return self._message(match, text[match.end() :])
        self._is_kept = False
        return LEFT_OUT + "\n"

    def _message(self, match: re.Match[str], text: str) -> str:
        program, pid = match["program"], match["pid"] or ""
        self._is_kept, self._is_own = bool(PROGRAMS.fullmatch(program)), program == "aod"
        if not self._is_kept:
            known = self._structure.part(program, self._naming.process)
            return f"{known}{pid}: {LEFT_OUT}\n"
        if program.startswith("systemd"):
            text = self._of_systemd(text)
        return f"{program}{self._part(match)}{pid}: {self._free(text)}"

    def _part(self, match: re.Match[str]) -> str:
        """Return which part of it a program says that it is, as `sssd[be[corp.example]]` does."""
        if not match["part"]:
            return ""
        if not match["domain"]:
            return f"[{match['part']}]"
        return f"[{match['part']}[{self._structure.part(match['domain'], self._naming.domain)}]]"

    def _of_systemd(self, text: str) -> str:
        if job := _JOB.match(text):
            unit, dash, _ = job[2].partition(" - ")
            if dash:
                return job[1] + self._structure.part(unit, self._naming.unit) + "\n"
            what = self._structure.part(job[2], lambda name: self._naming.issue("unit", name))
            return job[1] + what + job[3]
        if session := _SESSION.match(text):
            return session[1] + self._structure.user(session[2].rstrip(".")) + session[3]
        return text

    def _open_file(self, line: str) -> str:
        """Return a line of open_files: its ids, and what stands for the file.

        What is no such line goes on with a name that holds a line end.
        """
        before = self._columns.index("filename") if "filename" in self._columns else 0
        fields = line.rstrip("\n").split(" ", before)
        if not line.strip() or not before:
            return line if not line.strip() else self._free(line)
        if len(fields) <= before or not fields[0].startswith("0x"):
            return f"{self._structure.part(line.strip(), self._naming.file)}\n"
        after = len(self._columns) - before - 1
        name, *rest = fields[before].rsplit(" ", after) if after else [fields[before]]
        ids = [self._id(*pair) for pair in zip(self._columns, fields[:before], strict=False)]
        return " ".join([*ids, self._structure.part(name, self._naming.file), *rest]) + "\n"

    def _id(self, column: str, text: str) -> str:
        is_uid = column == "uid" and _UID.fullmatch(text)
        return str(self._naming.uid(int(text))) if is_uid else text

    def _free(self, text: str) -> str:
        """Return text without names; what aod itself has logged teaches none."""
        if not self._is_own:
            return self._structure.replace(text)
        with self._naming.doubtful():
            return self._structure.replace(text)
