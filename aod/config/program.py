"""Whether root may run a program that the config names; a share is never touched to find out."""

import os
from collections.abc import Sequence
from pathlib import Path

from aod.host import trust
from aod.host.mounts import Mount
from aod.host.paths import share_problems

WHY = "aod touches no share"

_WORDS = trust.Words(
    owned="{path} belongs to uid {uid}, who could change it (chown root it)",
    writable="others can write to {path} (chmod go-w it)",
)


def problems(program: Path, mounts: Sequence[Mount]) -> list[str]:
    """Return why a program cannot be run, or should not be by root."""
    if found := share_problems(program, mounts, WHY):
        return found
    reason = objection(program)
    return [f"cannot run {program}: {reason}"] if reason else []


def objection(program: Path) -> str:
    """Return why a local program is not run, "" when it is fine; blocks."""
    try:
        real = program.resolve(strict=True)
        for place in (real, real.parent, program.parent):
            if reason := trust.objection(place, place.stat(), _WORDS):
                return reason
    except OSError as error:
        return f"{error.strerror} (give another one)"
    if not real.is_file() or not os.access(real, os.X_OK):
        return f"{real} is no program (chmod a+x it, or give another one)"
    return ""
