"""Whether somebody else may change a file, or put another in its place."""

import os
import stat
from dataclasses import dataclass
from pathlib import PurePath

_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH


@dataclass(frozen=True, slots=True)
class Words:
    """How a caller says it, with what to do; {path}, {uid} (its owner) and {us} are filled in."""

    owned: str
    writable: str


def objection(
    path: PurePath,
    found: os.stat_result,
    words: Words,
    *,
    ours_alone: bool = False,
    may_be_sticky: bool = False,
) -> str:
    """Return why what is found at a path is not safe from others, or "".

    Its owner must be root or this user, `ours_alone`: this user. Of a directory that
    `may_be_sticky` all may write to it: what stands in it is its owner's to replace.
    """
    is_fine = found.st_uid == os.geteuid() if ours_alone else is_trusted(found.st_uid)
    if not is_fine:
        return words.owned.format(path=path, uid=found.st_uid, us=os.geteuid())
    is_sticky = may_be_sticky and found.st_mode & stat.S_ISVTX
    if found.st_mode & _BY_OTHERS and not is_sticky:
        return words.writable.format(path=path)
    return ""


def is_trusted(uid: int) -> bool:
    """Return whether a user is root or this one: either could change us as well."""
    return uid in (0, os.geteuid())
