"""Print the man page: aod.8 with the commands and options of the program's own help put in."""

import datetime
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from aod.__main__ import app

PAGE = Path(__file__).with_name("aod.8")


def manual(epoch_s: int) -> str:
    """Return the page in mdoc(7), of the day of `epoch_s`."""
    day = datetime.datetime.fromtimestamp(epoch_s, datetime.UTC)
    commands = "\n".join(_group(typer.main.get_command(app), ""))
    text = PAGE.read_text().replace("$Mdocdate$", f"{day:%B} {day.day}, {day.year}")
    return text.replace("\nCOMMANDS\n", f"\n{commands}\n")


def _group(group: Any, name: str) -> Iterator[str]:
    for word, command in group.commands.items():
        full_name = f"{name} {word}".strip()
        if hasattr(command, "commands"):
            yield from _group(command, full_name)
        else:
            yield from _command(command, full_name)


def _command(command: Any, name: str) -> Iterator[str]:
    arguments = [each for each in command.params if each.param_type_name == "argument"]
    options = [each for each in command.params if each.param_type_name == "option"]
    yield f".Ss aod {name} " + " ".join(map(_argument, arguments))
    yield _prose(command.help)
    if not options:
        return
    yield ".Bl -tag -width Ds"
    for option in options:
        words = (*option.opts, *option.secondary_opts)
        value = "" if option.is_flag else f" Ar {option.metavar or 'VALUE'}"
        flags = " , ".join(f"Fl {_escaped(word.removeprefix('-'))}" for word in words)
        yield f".It {flags}{value}"
        yield _prose(option.help or "")
    yield ".El"


def _argument(argument: Any) -> str:
    words = argument.name.upper() + (" ..." if argument.nargs == -1 else "")
    return words if argument.required else f"[{words}]"


def _prose(text: str) -> str:
    """Return text with a sentence a line, as mdoc wants it, and none taken for a request."""
    sentences = re.split(r"(?<=[.!?]) ", _escaped(" ".join(text.split())))
    return "\n".join(re.sub(r"^(?=[.'])", r"\\&", sentence) for sentence in sentences)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\e").replace("-", "\\-")


if __name__ == "__main__":
    sys.stdout.write(manual(int(sys.argv[1])))
