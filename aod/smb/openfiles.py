"""/proc/fs/cifs/open_files: which file id is which file.

The kernel writes it from memory: reading it asks nothing of a server. It shows the last
component of a path only.
"""

import re
from collections.abc import Iterator
from typing import TypeAlias

FileKey: TypeAlias = tuple[int, int, int]
"""(session id, tree id, persistent file id); session id 0 where the kernel does not show it."""

MAX_NAME = 1024
"""Characters; a name has at most 255 UTF-16 units."""

_NEEDED = {"tree id", "persistent fid"}
_COLUMN = re.compile(r"<([^<>]{1,40})>")


def parse_open_files(text: str) -> Iterator[tuple[FileKey, str]]:
    """Yield each open file and its name; what is damaged is left out, nothing is raised.

    The line that begins with `# <tree id>` says what follows: `<ses id>` came with 6.3 and its
    stable kernels (175b54abc443), `<lease>` stands in 6.18.15 and `<lease-key>` in 7.3, `<mid>`
    comes with CONFIG_CIFS_DEBUG2.
    """
    columns: list[str] = []
    for line in text.split("\n"):
        if columns and line:
            yield from _file(line, columns)
        elif line.startswith("#"):
            columns = _columns(line)


def _columns(heading: str) -> list[str]:
    """Return the columns of a heading, or nothing when the ids do not stand before the name."""
    columns = _COLUMN.findall(heading)
    has_name = "filename" in columns
    return columns if has_name and set(columns[: columns.index("filename")]) >= _NEEDED else []


def _file(line: str, columns: list[str]) -> Iterator[tuple[FileKey, str]]:
    """Yield the file of a line, if it is one: a name may hold blanks, and even line ends."""
    before = columns.index("filename")
    fields = line.split(" ", before)
    if len(fields) <= before:
        return
    after = len(columns) - before - 1
    name = fields[before].rsplit(" ", after)[0] if after else fields[before]
    ids = dict(zip(columns[:before], fields, strict=False))
    try:
        key = (
            int(ids.get("ses id", "0"), 16),
            int(ids["tree id"], 16),
            int(ids["persistent fid"], 16),
        )
    except ValueError:
        return
    yield key, name[:MAX_NAME]
