"""What is kept of no file, redacted or not: passwords, keys, tokens, tickets.

A value is replaced by REMOVED, what it was called stays. Each rule has words without which it
cannot match: most blocks of a log are passed by that alone.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

REMOVED = "[removed]"

_QUOTED = r""""(?:[^"\\\n]|\\.){1,4096}"|'[^'\n]{1,4096}'"""
_ASSIGN = r"""\\?["']?[ \t]{0,4}(?:=|:(?!chauthtok))[ \t]{0,4}"""
_NAMED = (
    r"(?:pass(?:word2?|wd|phrase)|(?<![a-z])pass(?==)|userpass|(?!(?-i:PWD)=/)(?<![a-z])pwd"
    r"|secret|(?:secret|api|access|account|storage|shared|private|session|encryption|signing|auth)"
    r"[ _-]?(?:access[ _-]?)?key|shared[ _-]?access[ _-]?signature|token|(?:nt|lm)[ _-]?hash)"
)
_KEY_BYTES = r"(?![0-9a-f]{8}-[0-9a-f]{4}-)(?:[0-9a-f]{2}[ :-]?){16,}"


@dataclass(frozen=True, slots=True)
class _Rule:
    """What stands before the value (group 1) stays; `words` are in lower case."""

    words: tuple[str, ...]
    pattern: re.Pattern[str]


def _rule(words: str, before: str, value: str) -> _Rule:
    return _Rule(tuple(words.split()), re.compile(f"({before})(?:{value})", re.I | re.M))


_RULES = (
    # Hex dumps of packets: cifs prints them with traceSMB, a login's blobs among them.
    _rule(": ", r"(?<![\w])[0-9a-f]{8}: ", r"(?:[0-9a-f]{2} ){8}.*|(?:[0-9a-f]{8}[ \t]+){3}.*"),
    # CONFIG_CIFS_DEBUG_DUMP_KEYS prints four of them into the kernel's log at each login
    # (generate_smb3signingkey in smb2transport.c); `smbinfo keys` and Samba look alike.
    _rule("key", r"key(?: value)?[ \t]{0,8}[:=]?[ \t]{0,8}(?:0x)?", _KEY_BYTES),
    _rule("authorization", rf"authorization{_ASSIGN}", r"""[^\n"']+"""),
    _rule("cookie", r"cookie:[ \t]*", r"""[^\n"']+"""),
    _rule("bearer negotiate ntlm", r"\b(?:bearer|negotiate|ntlm) +", r"[\w.~+/=-]{16,}"),
    _rule("pass pwd secret key token signature hash", _NAMED + _ASSIGN, rf"{_QUOTED}|[^\s,]+"),
    _rule(
        "--",
        r"--?(?:[a-z]+-)?(?:pass(?:word|wd|phrase)?|token|secret|(?:api|access|account)-key)[ =]+",
        rf"{_QUOTED}|[^\s]+",
    ),
    _rule("sshpass", r"\bsshpass +-p *", rf"{_QUOTED}|\S+"),
    _rule(
        " -u --user", r"""(?:\s|^)(?:-u|--user)[ =]*[^\s%:'"=/]{1,256}[%:](?!/)""", r"""[^\s'"]+"""
    ),
    _rule("://", r"://[^\s/:@]{1,256}:", r"[^\s/@]+(?=@)"),
    # A signal is shown as sig=11.
    _rule("sig", r"\bsig(?:nature)?=", r"[\w%+/=-]{20,}"),
    _rule("$", r"\$(?:1|2[aby]|5|6|7|y|gy)\$", r"[./\w$=,]{8,}"),
    _rule("eyj", r"\b", r"eyJ[\w-]{8,}\.[\w-]{4,}(?:\.[\w-]*)?"),
    _rule("ghp_ gho_ glpat- xox", r"\b(?:gh[pousr]_|glpat-|xox[abprs]-)", r"[\w-]{16,}"),
    _rule("0x", r"\b0x", r"[0-9a-f]{32,}"),
    _rule(":", r"\b", r"[0-9a-f]{32}:[0-9a-f]{32}\b"),
    _rule("tlrmtvnt", r"\b", r"TlRMTVNT[\w+/=]{16,}"),
)

_LINES = re.compile(r"[^\n]*\n|[^\n]+")
_PEM_BEGIN = re.compile(r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY-----")
_PEM_END = re.compile(r"-----END [A-Z0-9 ]{0,40}PRIVATE KEY-----")
PEM_LINES = 200
"""A private key of 16384 bits has 196; a beginning without an end hides no more than this."""

# Storage keys (88), tickets and SPNEGO blobs.
_BLOB = re.compile(r"(?<![\w+/-])[A-Za-z0-9+/]{44,}={0,2}")


class Secrets:
    """Takes secrets out of one file's text, which comes in blocks of whole lines."""

    def __init__(self) -> None:
        self._pem_lines = 0

    def scrub(self, text: str) -> str:
        """Return the text without its secrets."""
        if self._pem_lines or "PRIVATE KEY-----" in text:
            text = "".join(self._without_pem(_LINES.findall(text)))
        for rule in _RULES:
            text = _apply(rule, text)
        return _BLOB.sub(_blob, text)

    def _without_pem(self, lines: Iterable[str]) -> Iterator[str]:
        for line in lines:
            if not self._pem_lines and (begin := _PEM_BEGIN.search(line)):
                self._pem_lines = PEM_LINES
                yield line[: begin.start()]
            if not self._pem_lines:
                yield line
                continue
            self._pem_lines -= 1
            if end := _PEM_END.search(line):
                self._pem_lines = 0
                yield REMOVED + line[end.end() :]


def _apply(rule: _Rule, text: str) -> str:
    """Apply a rule to the lines that have one of its words."""
    low = text.lower()
    lines = {low.rfind("\n", 0, at) + 1 for word in rule.words for at in _beginnings(word, low)}
    if not lines or len(low) != len(text):
        return rule.pattern.sub(_named, text) if lines else text
    parts: list[str] = []
    done = 0
    for begin in sorted(lines):
        end = low.find("\n", begin) + 1 or len(low)
        parts += (text[done:begin], rule.pattern.sub(_named, text[begin:end]))
        done = end
    return "".join([*parts, text[done:]])


def _beginnings(word: str, low: str) -> Iterator[int]:
    """Yield where a word stands, once a line."""
    at = low.find(word)
    while at >= 0:
        yield at
        end = low.find("\n", at)
        at = low.find(word, end) if end >= 0 else -1


def scrub(text: str) -> str:
    """Return a text that is whole in itself without its secrets."""
    return Secrets().scrub(text)


def scrub_arguments(arguments: list[str]) -> list[str]:
    """Return a command's arguments; the one after an option such as --token is a secret."""
    cleaned: list[str] = []
    for before, argument in zip(["", *arguments], arguments, strict=False):
        name, equals, _ = argument.partition("=")
        if equals and REMOVED in scrub(f"{name}=x"):
            cleaned.append(f"{name}={REMOVED}")
            continue
        whole = scrub(f"{before} {argument}")
        kept = whole.startswith(f"{before} ")
        cleaned.append(whole.removeprefix(f"{before} ") if kept else scrub(argument))
    return cleaned


def _named(match: re.Match[str]) -> str:
    value = match[0][len(match[1]) :]
    # Quotes stay: what reads JSON shall still be able to.
    quote = value[:1] if value[:1] in "\"'" and value[-1:] == value[:1] else ""
    return f"{match[1]}{quote}{REMOVED}{quote}"


def _blob(match: re.Match[str]) -> str:
    """Take base64 out; a long path or hex number, such as a container's id, is none."""
    blob = match[0]
    mixed = sum(map(str.isdigit, blob)) >= 3 and blob.upper() != blob != blob.lower()
    return REMOVED if mixed and blob.count("/") * 10 <= len(blob) else blob
