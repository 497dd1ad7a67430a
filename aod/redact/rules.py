"""Where names stand: a pattern, and what is done with what it matches.

The rules that can begin with the same sign are a group.
"""

from aod.redact import replacements as by
from aod.redact.marks import BEGIN, END, MARK
from aod.redact.patterns import (
    BEFORE,
    DOTTED_WORD,
    DOTTED_WORDS,
    HEADS,
    KEY,
    PART,
    QUAD,
    QUOTED,
    UNIT,
    WINDOWS_PART,
    WORD,
    WORDS,
)
from aod.redact.structure import Rules, keep

# What can follow upon a sign, by the sign: few rules are tried at each place. Of those that
# match at one place the first one holds.
_OF_MARKS = (
    (rf"{MARK}(?![\w\\@.-]|{BEGIN})", keep),
    (UNIT, by.name(lambda naming: naming.unit)),
    (rf"{DOTTED_WORDS}@{WORDS}(?:\.{WORDS})*", by.user),
    (rf"(?P<domain>{DOTTED_WORDS})\\{{1,2}}{DOTTED_WORDS}", by.windows_user),
    (rf"{DOTTED_WORD}*\.(?:{MARK}|[A-Za-z][A-Za-z0-9-]*)(?![\w-])", by.dotted),
    (MARK, keep),
)
_OF_BACKSLASHES = (
    (rf"(?<![\w\\])\\{{2,4}}{WINDOWS_PART}+(?:\\{{1,2}}{WINDOWS_PART}+)*\\?", by.path),
    (
        rf"(?<![\w{END}\\])\\(?![0-7]{{3}}|x[0-9a-f]{{2}}|[nrtu\"'\\])"
        rf"{WINDOWS_PART}+(?:\\{WINDOWS_PART}+)*",
        by.path,
    ),
)
_OF_SLASHES = (
    (rf"(?<![\w/])//{PART}+(?::\d{{1,5}}\b)?(?:/+{PART}+)*/?", by.path),
    (rf"(?<![\w/.{END}\\])/{PART}+(?:/+{PART}+)*/?", by.path),
)
_OF_QUOTES = (
    (r"""(?P<quote>["'])(?P<path>(?:\\\\|/)[^"'\n]{1,4096})(?P=quote)""", by.quoted),
    (rf"""{BEFORE}["']{KEY}["']\s?:\s?)(?P<value>{QUOTED})""", by.valued),
)
_OF_LINES = (
    # DebugData and Stats: such a share may hold blanks.
    (
        BEFORE + r"[ \t]*\d+\) (?:IPC: )?)\\\\(?P<server>[^\s\\]+)\\"
        r"(?P<share>[^\\\n\t]+?)(?=[ \t]+(?:Mounts: \d|DISCONNECTED)|[ \t]*$)",
        by.listed,
    ),
)
_OF_NUMBERS = (
    (
        r"(?:[0-9A-Fa-f]{2}[:-]){5,19}[0-9A-Fa-f]{2}(?![\w:-])",
        by.name(lambda naming: naming.mac),
    ),
    (
        r"[0-9A-Fa-f]{8}(?:[-_][0-9A-Fa-f]{4}){3}[-_][0-9A-Fa-f]{12}(?![\w-])",
        by.name(lambda naming: naming.guid),
    ),
    (rf"(?<!\.){QUAD}(?!\w|\.\d)", by.name(lambda naming: naming.address)),
    (
        rf"(?<![:.])(?:[0-9A-Fa-f]{{0,4}}:){{2,7}}(?:{QUAD}|[0-9A-Fa-f]{{1,4}})?(?![\w:])",
        by.name(lambda naming: naming.address),
    ),
)
# A process's name may hold blanks: an oops, a hung task, the killer of processes.
_OF_HEADS = (
    (BEFORE + r"Comm: )(?P<name>[^\n]{1,64}?)(?= (?:Not t|T)ainted| Kdump)", by.process),
    (BEFORE + r"task )(?P<name>[^\n:]{1,64}?)(?=:\d+ blocked)", by.process),
    (BEFORE + r"process \d+ \()(?P<name>[^\n)]{1,64})(?=\))", by.process),
    (
        BEFORE + r"(?:for|of|by) (?:invalid )?(?:user|principal) )"
        rf"(?P<name>(?:{MARK}|[^\s(),;:{BEGIN}{END}])+)",
        by.user,
    ),
    (
        BEFORE + r"[Hh]ost ?name(?: set)? to <?|Hostname: |Workstation name: )"
        rf"(?P<name>{DOTTED_WORDS})",
        by.name(lambda naming: naming.server),
    ),
    (BEFORE + r"(?:connection|[Ss]?SSID|ssid) ')[^'\n]+", by.left_out),
    (
        BEFORE + r"(?:Product|Manufacturer|SerialNumber|SSID|Label|LABEL)[:=] ?)[^\n]+",
        by.left_out,
    ),
    (
        BEFORE + r"(?:[A-Za-z]{0,5}[UGug][Ii][Dd][=: ]|User:) ?)"
        r"(?P<number>0[xX][0-9a-fA-F]{1,16}|\d{1,10})\b",
        by.uid,
    ),
)
_OF_WORDS = (
    (rf"(?<![.-]){BEFORE}{KEY}=)(?P<value>{QUOTED}|[^\s,;\"')\]]+)", by.valued),
    (rf"(?<![.:\\@-])(?=[^\s.]{{0,256}}\.){UNIT}", by.name(lambda naming: naming.unit)),
    (
        rf"(?=[^\s@]{{0,256}}@)[\w.+$-]++(?>(?:{DOTTED_WORD}|[+$])*)(?>(?:/{DOTTED_WORDS})?)@{WORDS}(?:\.{WORDS})*",
        by.user,
    ),
    (
        rf"(?=[^\s\\]{{0,256}}\\)(?<![.\\])(?P<domain>[A-Za-z]{DOTTED_WORDS})\\{{1,2}}"
        rf"(?![0-7]{{3}}|x[0-9a-f]{{2}})(?:{DOTTED_WORD}|\$){{2,}}",
        by.windows_user,
    ),
    (
        rf"{BEFORE})(?=[^\s\[]{{0,256}}\[\d)(?P<name>(?>(?:{DOTTED_WORD}|\+)+))"
        r"(?=\[\d{3,7}\](?::| ))",  # fewer digits: an index of the kernel's
        by.perhaps_process,
    ),
    (
        rf"(?=[^\s.]{{0,256}}\.)(?<![.{END}-])(?:{WORD}|\.(?=[\w{BEGIN}]))*"
        rf"\.(?:{MARK}|[A-Za-z][A-Za-z0-9-]*)(?![\w=-])",
        by.dotted,
    ),
    # No rule begins within a word.
    (r"\w++", keep),
)
RULES = Rules(
    # Most of a log is plain words.
    ("", ((rf"(?>(?:(?!(?:{HEADS})\b)[A-Za-z]++[:,;.]?+ ++)+)", keep),)),
    (rf"(?={BEGIN})", _OF_MARKS),
    (r"(?=\\)", _OF_BACKSLASHES),
    (r"(?=/)", _OF_SLASHES),
    (r"""(?=["'])""", _OF_QUOTES),
    (r"(?m:^)(?=[ \t\d])", _OF_LINES),
    (r"(?=:)(?<!\w)", _OF_NUMBERS[-1:]),
    (r"(?<!\w)(?=[0-9A-Fa-f]+[:.-]|[0-9A-Fa-f]{8}_)", _OF_NUMBERS),
    (rf"(?<!\w)(?=(?:{HEADS})\b)", _OF_HEADS),
    (
        r"(?<!\w)(?=S-1-5-21)",
        ((r"S-1-5-21(?:-\d{1,10}){3,4}\b", by.name(lambda naming: naming.sid)),),
    ),
    (r"(?<!\w)(?=\w)", _OF_WORDS),
)
