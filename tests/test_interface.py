"""What users and their scripts rely on, held against what 0.1.0 had (tests/data/interface).

A change that is meant changes the file in the same commit, and has its line in CHANGELOG.md.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from typer.main import get_command

from aod.__main__ import app
from aod.bundle import read_member
from aod.metrics.collector import Exposition
from tests import DATA, ROOT
from tests.metrics.conftest import make_exposition

__all__ = ["make_exposition"]

INTERFACE = DATA / "interface"
(MADE_BY_010,) = (DATA / "bundles").glob("aod_1796086479720202750.tar.zst")


def told(name: str) -> Any:
    return json.loads((INTERFACE / name).read_text())


def commands(command: Any, path: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return every command with its help and its options, by its words."""
    options = {
        " ".join([*each.opts, *each.secondary_opts]): {
            "kind": each.param_type_name,
            "default": None if each.default is None else str(each.default),
            "help": getattr(each, "help", None),
        }
        for each in command.params
    }
    found = {" ".join(path): {"help": command.help, "options": options}}
    for name, inner in getattr(command, "commands", {}).items():
        found |= commands(inner, (*path, name))
    return found


def test_commands_options_and_their_help_are_those_of_before() -> None:
    before = told("commands.json")
    for command in before.values():
        for option in command["options"].values():
            option["default"] = None if option["default"] is None else str(option["default"])

    assert commands(get_command(app)) == before


def test_config_keys_and_defaults_are_those_of_before() -> None:
    command = [sys.executable, "-m", "aod", "config", "show", "--json"]
    file = str(INTERFACE / "every_type.yaml")
    environment = {name: each for name, each in os.environ.items() if not name.startswith("AOD_")}

    shown = subprocess.run(
        [*command, "--config", file],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )

    values = {key: each["value"] for key, each in json.loads(shown.stdout).items()}
    assert values == told("config.json")


def test_metrics_their_types_help_and_labels_are_those_of_before(
    make_exposition: Callable[..., Exposition],
) -> None:
    text = make_exposition().render()[0].decode()
    heads = re.findall(r"^# (HELP|TYPE) (aod_\w+) (.*)$", text, re.MULTILINE)
    samples = re.findall(r"^(aod_\w+)\{(.*)\}", text, re.MULTILINE)

    families: dict[str, dict[str, str]] = {}
    for what, name, rest in heads:
        families.setdefault(name, {})[what.lower()] = rest
    labels: dict[str, set[str]] = {}
    for name, named in samples:
        labels.setdefault(name, set()).update(re.findall(r'(\w+)="', named))

    before = told("metrics.json")
    assert families == before["families"]
    assert {name: sorted(each) for name, each in labels.items()} == before["labels"]


def test_files_of_a_bundle_that_010_made_can_all_be_read() -> None:
    manifest = json.loads(read_member(MADE_BY_010, "manifest.json"))

    sizes = {name: len(read_member(MADE_BY_010, name)) for name in manifest["files"]}

    assert sizes == {name: digest["bytes"] for name, digest in manifest["files"].items()}
