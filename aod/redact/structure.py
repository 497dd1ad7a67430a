r"""Finds names by where they stand: `\\server\share`, `/folder/file`, `user=`, `Comm:`.

One expression made of all rules goes once through the text; what it finds is replaced by the
rule's function. What the vocabulary has replaced before is marked, and part of a name here.
"""

import re
from collections.abc import Callable, Sequence
from typing import TypeAlias

from aod.redact.naming import UNIT_ENDINGS, Naming, plain
from aod.redact.vocabulary import BEGIN, END
from aod.redact.words import CONFIG_KEYS, EXTENSIONS, PROGRAMS, PUBLIC_SITES, SYSTEM_ROOTS

Name: TypeAlias = Callable[[str], str]
Replace: TypeAlias = Callable[["Structure", re.Match[str]], str]

_MARK = f"{BEGIN}[^{END}]*{END}"
_MARKS = re.compile(f"({_MARK})")
_NO_NAMES = frozenset({"(null)", "?", "-", "(none)", "none", "null", "unknown", "*"})
_SOURCES = frozenset({"c", "h", "s", "ko"})


class Structure:
    """Replaces what stands where names stand, and marks it."""

    def __init__(self, naming: Naming) -> None:
        self.naming = naming

    def replace(self, text: str) -> str:
        """Return the text with what was found replaced."""
        return _ALL.sub(self._found, text)

    def _found(self, match: re.Match[str]) -> str:
        assert match.lastgroup
        pattern, replace = _RULES[int(match.lastgroup[1:])]
        if replace is _keep:
            return match[0]
        inner = pattern.match(match.string, match.start())
        return replace(self, inner) if inner else match[0]

    def part(self, text: str, name: Name) -> str:
        """Return a name; where some of it was replaced before, the rest of it is one of its own."""
        return "".join(
            piece if not _has_word(piece) or piece[0] == BEGIN else _marked(name(plain(piece)))
            for piece in _MARKS.split(text)
        )

    def value(self, kind: str, text: str) -> str:
        """Return the value of a key, in the quotes that it has."""
        quote = text[0] if len(text) > 1 and text[0] in "\"'" and text[-1] == text[0] else ""
        inner = text[1:-1] if quote else text
        return f"{quote}{self._of_kind(kind, inner)}{quote}"

    def _of_kind(self, kind: str, text: str) -> str:
        if text in _NO_NAMES:
            return text
        if kind == "path" or text.startswith(("/", "\\")):
            return self.place(text)
        if kind == "user":
            return self.user(text)
        names: dict[str, Name] = {
            "server": self.naming.server,
            "process": self.naming.process,
            "domain": self.naming.domain,
            "share": self.naming.share,
        }
        return self.part(text, names[kind])

    def user(self, text: str) -> str:
        r"""Return `user`, `DOMAIN\user`, `user@domain` or a principal `service/host@REALM`."""
        domain, slashes, rest = re.fullmatch(r"(.*?)(\\*)([^\\]*)", text, re.S).groups()  # type: ignore[union-attr]  # always matches
        alone, at, realm = rest.partition("@")
        service, slash, host = alone.partition("/")
        known = service if slash else self.part(alone, self.naming.user)
        return "".join(
            (
                self.part(domain, self.naming.domain),
                slashes,
                known,
                slash,
                self.part(host, self.naming.server),
                at,
                self.part(realm, self.naming.domain),
            )
        )

    def place(self, text: str) -> str:
        """Return a path of this machine, of a share (with either slash), or one file's name."""
        if text.startswith(("\\\\", "//")):
            return self.unc(text)
        if text.startswith("/"):
            bare = text.replace(BEGIN, "").replace(END, "")
            return text if SYSTEM_ROOTS.match(bare) else self._parts(text, "/", [])
        if "\\" in text and not re.search(r"\\[0-7]{3}", text):
            return self._parts(text, "\\", [])
        return self._parts(text, "/", [])

    def unc(self, text: str) -> str:
        r"""Return `//server/share/path`, with either slash, single or doubled."""
        slash = text[0]
        rest = text.lstrip(slash)
        lead = slash * (len(text) - len(rest))
        return lead + self._parts(rest, slash, [self._host, self.naming.share])

    def _parts(self, text: str, separator: str, first: Sequence[Name]) -> str:
        """Return a path part by part; the `first` ones are no folders."""
        fields = re.split(f"({re.escape(separator)}+)", text)
        last = max((i for i in range(0, len(fields), 2) if fields[i]), default=0)

        def known(index: int, field: str) -> str:
            if index % 2:
                return field
            if index // 2 < len(first):
                return self.part(field, first[index // 2])
            return self.part(field, lambda name: self.naming.component(name, last=index == last))

        return "".join(known(index, field) for index, field in enumerate(fields))

    def _host(self, text: str) -> str:
        before, at, rest = text.rpartition("@")
        host, colon, port = rest.partition(":")
        user = self.naming.user(before) if before else ""
        return f"{user}{at}{self.naming.server(host)}{colon}{port}"


def _marked(text: str) -> str:
    return f"{BEGIN}{text}{END}"


def _has_word(text: str) -> bool:
    return any(map(str.isalnum, text))


def _keep(structure: Structure, match: re.Match[str]) -> str:
    return match[0]


def _place(structure: Structure, match: re.Match[str]) -> str:
    path = match[0].rstrip(".")
    if PUBLIC_SITES.match(path):
        return match[0]
    return structure.place(path) + match[0][len(path) :]


def _quoted(structure: Structure, match: re.Match[str]) -> str:
    return match["quote"] + structure.place(match["path"]) + match["quote"]


def _listed(structure: Structure, match: re.Match[str]) -> str:
    server = structure.part(match["server"], structure.naming.server)
    share = structure.part(match["share"], structure.naming.share)
    return f"{match['before']}\\\\{server}\\{share}"


def _uid(structure: Structure, match: re.Match[str]) -> str:
    text = match["number"]
    is_hex = text[:2].lower() == "0x"
    known = structure.naming.uid(int(text, 16 if is_hex else 10))
    return f"{match['before']}{known:#x}" if is_hex else f"{match['before']}{known}"


def _windows_user(structure: Structure, match: re.Match[str]) -> str:
    if match["domain"].isupper():
        return structure.user(match[0])
    with structure.naming.doubtful():
        return structure.user(match[0])


def _dotted(structure: Structure, match: re.Match[str]) -> str:
    """Take it for a file or for a host in its domain, by its ending; the kernel's sources stay."""
    text = match[0]
    if CONFIG_KEYS.fullmatch(text):
        return text
    ending = text.rpartition(".")[2].lower()
    if ending in _SOURCES or text.startswith(("org.freedesktop.", "fi.w1.", "cifs.")):
        return text
    is_file = ending in EXTENSIONS
    with structure.naming.doubtful():
        return structure.part(text, structure.naming.file if is_file else structure.naming.server)


def _process(structure: Structure, match: re.Match[str]) -> str:
    name = match["name"]
    known = name if PROGRAMS.fullmatch(name) else structure.part(name, structure.naming.process)
    return match["before"] + known


def _perhaps_process(structure: Structure, match: re.Match[str]) -> str:
    with structure.naming.doubtful():
        return _process(structure, match)


def _left_out(structure: Structure, match: re.Match[str]) -> str:
    return f"{match['before']}[left out]"


def _with(get: Callable[[Naming], Name]) -> Replace:
    """Return the function of a rule whose `name` is a name, or all that it matches."""

    def replace(structure: Structure, match: re.Match[str]) -> str:
        if not match.re.groupindex:
            return structure.part(match[0], get(structure.naming))
        return match["before"] + structure.part(match["name"], get(structure.naming))

    return replace


def _user(structure: Structure, match: re.Match[str]) -> str:
    if match.re.groupindex:
        return match["before"] + structure.user(match["name"])
    return structure.user(match[0])


def _valued(structure: Structure, match: re.Match[str]) -> str:
    """Return what a key names; of a key that names nothing the value is free text."""
    kind = _KINDS.get(match["key"].lower())
    value = match["value"]
    return match["before"] + (structure.value(kind, value) if kind else structure.replace(value))


# What a part of a path holds in free text, escapes of a mount table among it.
_SIGNS = rf"""\s{BEGIN}{END}\\/:*?"'<>|,;()\[\]{{}}=&"""
_WINDOWS_PART = rf"(?:{_MARK}|[^{_SIGNS}]++)"
_PART = rf"(?:{_MARK}|\\[0-7]{{3}}|[^{_SIGNS}]++)"
_WORD = rf"(?:{_MARK}|[\w-])"
_DOTTED_WORD = rf"(?:{_MARK}|[\w.-])"
# Atomic groups in place of possessive ones: before Python 3.11.5 a possessive quantifier of a
# group that can backtrack matches too little (gh-106052), and Debian 12 has 3.11.2.
_WORDS = rf"(?>{_WORD}+)"
_DOTTED_WORDS = rf"(?>{_DOTTED_WORD}+)"
_QUOTED = r""""[^"\n]{1,4096}"|'[^'\n]{1,4096}'"""
_BEFORE = r"(?P<before>"
_QUAD = r"(?:\d{1,3}\.){3}\d{1,3}"
_HEADS = (
    "for|of|by|task|process|Comm|User|[Hh]ost|[Hh]ostname|Workstation"
    "|connection|ssid|Product|Manufacturer|SerialNumber|SSID|Label|LABEL|[A-Za-z]{0,5}[UGug][Ii][Dd]"
)
"""Words with which a rule begins that has a blank in it."""
_ENDINGS = "|".join(UNIT_ENDINGS)
_UNIT = rf"(?>(?:{_MARK}|[\w:\\@-]++|\.(?!(?:{_ENDINGS})\b))+)\.(?:{_ENDINGS})\b"

_KINDS = {
    key: kind
    for kind, keys in {
        "user": "user username ruser logname acct principal login",
        "server": "host hostname server server_name servername rhost workstation nodename",
        "process": "comm proc process prog program task",
        "domain": "domain dom realm workgroup",
        "share": "share share_name sharename",
        "path": "unc path prefixpath file filename name dir exe cwd source devname full_path",
    }.items()
    for key in keys.split()
}
"""What the value of a key is, in `key=value` and in JSON."""

_KEY = r"(?P<key>[A-Za-z_]{2,16})"

# What can follow upon a sign, by the sign: few rules are tried at each place. Of those that
# match at one place the first one holds.
_OF_MARKS = (
    (rf"{_MARK}(?![\w\\@.-]|{BEGIN})", _keep),
    (_UNIT, _with(lambda naming: naming.unit)),
    (rf"{_DOTTED_WORDS}@{_WORDS}(?:\.{_WORDS})*", _user),
    (rf"(?P<domain>{_DOTTED_WORDS})\\{{1,2}}{_DOTTED_WORDS}", _windows_user),
    (rf"{_DOTTED_WORD}*\.(?:{_MARK}|[A-Za-z][A-Za-z0-9-]*)(?![\w-])", _dotted),
    (_MARK, _keep),
)
_OF_BACKSLASHES = (
    (rf"(?<![\w\\])\\{{2,4}}{_WINDOWS_PART}+(?:\\{{1,2}}{_WINDOWS_PART}+)*\\?", _place),
    (
        rf"(?<![\w{END}\\])\\(?![0-7]{{3}}|x[0-9a-f]{{2}}|[nrtu\"'\\])"
        rf"{_WINDOWS_PART}+(?:\\{_WINDOWS_PART}+)*",
        _place,
    ),
)
_OF_SLASHES = (
    (rf"(?<![\w/])//{_PART}+(?::\d{{1,5}}\b)?(?:/+{_PART}+)*/?", _place),
    (rf"(?<![\w/.{END}\\])/{_PART}+(?:/+{_PART}+)*/?", _place),
)
_OF_QUOTES = (
    (r"""(?P<quote>["'])(?P<path>(?:\\\\|/)[^"'\n]{1,4096})(?P=quote)""", _quoted),
    (rf"""{_BEFORE}["']{_KEY}["']\s?:\s?)(?P<value>{_QUOTED})""", _valued),
)
_OF_LINES = (
    # DebugData and Stats: such a share may hold blanks.
    (
        _BEFORE + r"[ \t]*\d+\) (?:IPC: )?)\\\\(?P<server>[^\s\\]+)\\"
        r"(?P<share>[^\\\n\t]+?)(?=[ \t]+(?:Mounts: \d|DISCONNECTED)|[ \t]*$)",
        _listed,
    ),
)
_OF_NUMBERS = (
    (r"(?:[0-9A-Fa-f]{2}[:-]){5,19}[0-9A-Fa-f]{2}(?![\w:-])", _with(lambda naming: naming.mac)),
    (
        r"[0-9A-Fa-f]{8}(?:[-_][0-9A-Fa-f]{4}){3}[-_][0-9A-Fa-f]{12}(?![\w-])",
        _with(lambda naming: naming.guid),
    ),
    (rf"(?<!\.){_QUAD}(?!\w|\.\d)", _with(lambda naming: naming.address)),
    (
        rf"(?<![:.])(?:[0-9A-Fa-f]{{0,4}}:){{2,7}}(?:{_QUAD}|[0-9A-Fa-f]{{1,4}})?(?![\w:])",
        _with(lambda naming: naming.address),
    ),
)
# A process's name may hold blanks: an oops, a hung task, the killer of processes.
_OF_HEADS = (
    (_BEFORE + r"Comm: )(?P<name>[^\n]{1,64}?)(?= (?:Not t|T)ainted| Kdump)", _process),
    (_BEFORE + r"task )(?P<name>[^\n:]{1,64}?)(?=:\d+ blocked)", _process),
    (_BEFORE + r"process \d+ \()(?P<name>[^\n)]{1,64})(?=\))", _process),
    (
        _BEFORE + r"(?:for|of|by) (?:invalid )?(?:user|principal) )"
        rf"(?P<name>(?:{_MARK}|[^\s(),;:{BEGIN}{END}])+)",
        _user,
    ),
    (
        _BEFORE + r"[Hh]ost ?name(?: set)? to <?|Hostname: |Workstation name: )"
        rf"(?P<name>{_DOTTED_WORDS})",
        _with(lambda naming: naming.server),
    ),
    (_BEFORE + r"(?:connection|[Ss]?SSID|ssid) ')[^'\n]+", _left_out),
    (
        _BEFORE + r"(?:Product|Manufacturer|SerialNumber|SSID|Label|LABEL)[:=] ?)[^\n]+",
        _left_out,
    ),
    (
        _BEFORE + r"(?:[A-Za-z]{0,5}[UGug][Ii][Dd][=: ]|User:) ?)"
        r"(?P<number>0[xX][0-9a-fA-F]{1,16}|\d{1,10})\b",
        _uid,
    ),
)
_OF_WORDS = (
    (rf"(?<![.-]){_BEFORE}{_KEY}=)(?P<value>{_QUOTED}|[^\s,;\"')\]]+)", _valued),
    (rf"(?<![.:\\@-])(?=[^\s.]{{0,256}}\.){_UNIT}", _with(lambda naming: naming.unit)),
    (
        rf"(?=[^\s@]{{0,256}}@)[\w.+$-]++(?>(?:{_DOTTED_WORD}|[+$])*)(?>(?:/{_DOTTED_WORDS})?)@{_WORDS}(?:\.{_WORDS})*",
        _user,
    ),
    (
        rf"(?=[^\s\\]{{0,256}}\\)(?<![.\\])(?P<domain>[A-Za-z]{_DOTTED_WORDS})\\{{1,2}}"
        rf"(?![0-7]{{3}}|x[0-9a-f]{{2}})(?:{_DOTTED_WORD}|\$){{2,}}",
        _windows_user,
    ),
    (
        rf"{_BEFORE})(?=[^\s\[]{{0,256}}\[\d)(?P<name>(?>(?:{_DOTTED_WORD}|\+)+))"
        r"(?=\[\d{3,7}\](?::| ))",  # fewer digits: an index of the kernel's
        _perhaps_process,
    ),
    (
        rf"(?=[^\s.]{{0,256}}\.)(?<![.{END}-])(?:{_WORD}|\.(?=[\w{BEGIN}]))*"
        rf"\.(?:{_MARK}|[A-Za-z][A-Za-z0-9-]*)(?![\w=-])",
        _dotted,
    ),
    # No rule begins within a word.
    (r"\w++", _keep),
)
_GROUPS: tuple[tuple[str, Sequence[tuple[str, Replace]]], ...] = (
    # Most of a log is plain words.
    ("", ((rf"(?>(?:(?!(?:{_HEADS})\b)[A-Za-z]++[:,;.]?+ ++)+)", _keep),)),
    (rf"(?={BEGIN})", _OF_MARKS),
    (r"(?=\\)", _OF_BACKSLASHES),
    (r"(?=/)", _OF_SLASHES),
    (r"""(?=["'])""", _OF_QUOTES),
    (r"(?m:^)(?=[ \t\d])", _OF_LINES),
    (r"(?=:)(?<!\w)", _OF_NUMBERS[-1:]),
    (r"(?<!\w)(?=[0-9A-Fa-f]+[:.-]|[0-9A-Fa-f]{8}_)", _OF_NUMBERS),
    (rf"(?<!\w)(?=(?:{_HEADS})\b)", _OF_HEADS),
    (
        r"(?<!\w)(?=S-1-5-21)",
        ((r"S-1-5-21(?:-\d{1,10}){3,4}\b", _with(lambda naming: naming.sid)),),
    ),
    (r"(?<!\w)(?=\w)", _OF_WORDS),
)
_RULES: list[tuple[re.Pattern[str], Replace]] = []


def _joined() -> str:
    """Return one pattern of all; its group rN is the rule N, the groups within have other names."""
    groups = []
    for gate, rules in _GROUPS:
        alternatives = []
        for pattern, replace in rules:
            index = len(_RULES)
            _RULES.append((re.compile(pattern, re.M), replace))
            own = re.sub(r"\(\?P(<|=)(\w+)", rf"(?P\1i{index}\2", pattern)
            alternatives.append(f"(?P<r{index}>{own})")
        groups.append(f"{gate}(?:{'|'.join(alternatives)})")
    return "|".join(groups)


_ALL = re.compile(_joined(), re.M)
