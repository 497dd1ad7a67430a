"""What the documents say is what the code does."""

import ast
import configparser
import re
from collections.abc import Iterator
from typing import Any, get_args

import pytest
import typer
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from aod.__main__ import app
from aod.actions import NAMES
from aod.actions.action import State
from aod.bundle import COLUMNS
from aod.bundle.describe import describe_anomaly, describe_events
from aod.commands.options import DEFAULT_FILE
from aod.config import Config
from aod.errors import ConfigError
from aod.events import Flag
from aod.incidents import notices as notice
from tests import ROOT
from tests.conftest import make_anomaly
from tests.evidence import no_names

DOCUMENTS = ("README.md", "USAGE.md", "CONTRIBUTING.md", "CHANGELOG.md")
USAGE = (ROOT / "USAGE.md").read_text()
CODE = re.compile(r"```\w*\n(.*?)```|`([^`\n]+)`", re.DOTALL)
FACES = sorted((ROOT / "aod").glob("*/__init__.py"))
LINK = re.compile(r"\]\(([^)\s]+)\)")


def section(title: str) -> str:
    """Return the text of USAGE.md under a heading, up to the next one."""
    found = re.search(rf"^##+ {re.escape(title)}\n(.*?)(?=^##|\Z)", USAGE, re.M | re.S)
    assert found, f"USAGE.md has no section {title!r}"
    return found[1]


def rows(title: str) -> dict[str, list[str]]:
    """Return the cells of a section's tables by their first one, without backticks."""
    lines = [line for line in section(title).splitlines() if line.startswith("| `")]
    cells = [[cell.strip().strip("`") for cell in line.strip("|").split(" | ")] for line in lines]
    return {first.strip(): rest for first, *rest in cells}


def names(title: str) -> set[str]:
    """Return what stands in backticks in the first column of a section's tables."""
    first_cells = [line.split(" | ")[0] for line in section(title).splitlines()]
    return {
        name for cell in first_cells for name in re.findall(r"`([^`]+)`", cell) if "| `" in cell
    }


def models(annotation: Any) -> list[type[BaseModel]]:
    """Return the config sections within the type of a key."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in models(part)]


def sections(model: type[BaseModel], title: str) -> Iterator[tuple[str, type[BaseModel]]]:
    """Yield every section of the config and its heading in USAGE.md."""
    yield title, model
    for name, field in model.model_fields.items():
        for inner in models(field.annotation):
            kind = inner.model_fields.get("type")
            of_type = f"{name} of type {get_args(kind.annotation)[0]}" if kind else name
            yield from sections(inner, of_type)


def default(value: Any) -> str:
    """Return a default as USAGE.md writes it."""
    if value is PydanticUndefined:
        return "required"
    if value is None or value == ():
        return "empty" if value == () else "none"
    return str(value).lower() if isinstance(value, bool) else str(value)


def bounds(metadata: list[Any]) -> str:
    """Return `1 to 60` for a field with bounds, else nothing."""
    low = [limit.ge for limit in metadata if hasattr(limit, "ge")]
    high = [limit.le for limit in metadata if hasattr(limit, "le")]
    return f"{low[0]} to {high[0]}" if low and high else ""


CONFIG = dict(sections(Config, "The top level"))


def commands(group: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Yield every command of the command line by its full name."""
    for word, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, f"{name} {word}")
        else:
            yield f"{name} {word}", command


COMMANDS = dict(commands(typer.main.get_command(app), "aod"))


@pytest.mark.parametrize("title", CONFIG)
def test_every_key_stands_in_usage_with_its_default_and_bounds(title: str) -> None:
    fields = CONFIG[title].model_fields
    keys = {
        key: field
        for key, field in fields.items()
        if not (isinstance(field.annotation, type) and models(field.annotation))
    }

    told = rows(title)

    assert set(told) == set(keys)
    for key, field in keys.items():
        assert told[key][0] == default(field.default)
        assert bounds(field.metadata) in told[key][1]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_option_stands_in_usage(name: str) -> None:
    told = set(re.findall(r"--[a-z-]+", " ".join(names(name))))

    parameters = [each for each in COMMANDS[name].params if each.param_type_name == "option"]

    assert told == {word for each in parameters for word in (*each.opts, *each.secondary_opts)}


def test_usage_has_no_command_that_is_not_there() -> None:
    assert set(re.findall(r"^### (aod .*)$", USAGE, re.M)) == set(COMMANDS)


def test_every_action_stands_in_usage_in_the_order_of_the_table() -> None:
    assert list(rows("Actions")) == list(NAMES)


def test_every_column_and_flag_of_an_event_stands_in_usage() -> None:
    assert names("Events") == {*COLUMNS, *(str(flag.name).lower() for flag in Flag)}


def test_every_state_of_an_action_stands_in_usage() -> None:
    assert [state for state in get_args(State) if f"`{state}`" not in section("The manifest")] == []


def test_every_field_of_a_journal_entry_stands_in_usage() -> None:
    anomaly = make_anomaly()
    operations = describe_events(anomaly.events, None, no_names(), 0)
    described = describe_anomaly(anomaly, 0, operations, {}, usual_latency_ns=0)
    opened, told = notice.opened(anomaly, []), notice.ended("sealed", "/b", "", [described], "")

    fields = {"MESSAGE_ID", "MESSAGE", "PRIORITY", "SYSLOG_IDENTIFIER", *opened, *told.fields()}

    assert names("The journal") == fields


def test_every_event_of_the_audit_log_stands_in_usage() -> None:
    code = "\n".join(path.read_text() for path in (ROOT / "aod").rglob("*.py"))

    recorded = set(re.findall(r"record\(\s*\"(\w+)\"", code))

    assert set(rows("The audit log")) == recorded | {"dropped"}


def test_the_messages_under_troubleshooting_are_those_of_the_code() -> None:
    code = "\n".join(path.read_text() for path in (ROOT / "aod").rglob("*.py"))

    told = names("It does not start") | names("In the log or in a bundle")

    assert len(told) > 20
    assert [message for message in told if message not in code] == []


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_link_leads_to_a_file_and_a_heading(name: str) -> None:
    links = [link for link in LINK.findall((ROOT / name).read_text()) if "://" not in link]

    broken = [link for link in links if not leads_somewhere(link, name)]

    assert broken == []


def leads_somewhere(link: str, document: str) -> bool:
    """Tell whether the file of a link is there, and the heading that it names."""
    file, _, heading = link.partition("#")
    path = ROOT / (file or document)
    if not heading:
        return path.exists()
    titles = re.findall(r"^#+ (.*)$", path.read_text(), re.M)
    return heading in {title.lower().replace(" ", "-") for title in titles}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_make_target_that_is_told_exists(name: str) -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M))
    code = ["".join(parts) for parts in CODE.findall((ROOT / name).read_text())]

    told = {word for text in code for word in re.findall(r"^make ([a-z]+)", text, re.M)}

    assert told - targets == set()


def test_every_path_that_contributing_names_is_there() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()

    paths = set(re.findall(r"`((?:aod|bpf|tests|config)/[\w./]+)`", text))

    assert {"aod/detectors/__init__.py", "aod/actions/__init__.py", "bpf/smb.bpf.c"} <= paths
    assert {path for path in paths if "NAME" not in path and not (ROOT / path).exists()} == set()


def test_the_unit_uses_the_paths_that_usage_tells() -> None:
    unit = configparser.ConfigParser(strict=False)
    unit.read_string((ROOT / "config" / "aod.service").read_text())
    service = unit["Service"]

    program, *arguments = service["ExecStart"].split()

    assert arguments == ["run", "--config", str(DEFAULT_FILE)]
    assert {program, str(DEFAULT_FILE)} <= names("Installing")
    assert f"/var/log/{service['LogsDirectory']}" in names("Installing")
    assert f"/var/log/{service['LogsDirectory']}" == default(
        Config.model_fields["aod_output_dir"].default
    )
    assert int(service["RestartPreventExitStatus"]) == ConfigError.exit_code
    assert f"sed 's#{program}#/opt/aod/bin/aod#' config/aod.service" in USAGE


def test_readme_is_short_around_its_summary() -> None:
    text = (ROOT / "README.md").read_text()

    before, _, after = text.partition("<!-- summary -->")

    assert "<!-- /summary -->" in after
    assert (
        len(before.splitlines()) + len(after.partition("<!-- /summary -->")[2].splitlines()) < 150
    )


def purposes() -> dict[str, str]:
    """Return what each room says of itself in the first line of its face."""
    faces = {face.parent.name: ast.get_docstring(ast.parse(face.read_text())) for face in FACES}
    return {room: (told or "").partition("\n")[0] for room, told in faces.items()}


def test_contributing_has_every_room_with_its_purpose() -> None:
    tree = (ROOT / "CONTRIBUTING.md").read_text().partition("## The tree\n")[2]
    listed = dict(re.findall(r"^\| `aod/(\w+)/` \| (.*) \|$", tree, re.M))

    assert listed == purposes()
