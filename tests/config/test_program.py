"""Programs that the config names, as root may or may not run them."""

import os
from pathlib import Path

import pytest

from aod.config import load
from aod.config.program import problems
from aod.errors import ConfigError
from aod.host.mounts import parse
from tests import ROOT

SHIPPED = ROOT / "config/config.yaml"


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "bin/program"
    path.parent.mkdir(mode=0o755)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def test_a_program_that_only_its_owner_can_change_is_fine(program: Path) -> None:
    link = program.with_name("link")
    link.symlink_to(program)

    assert problems(program, ()) == []
    assert problems(link, ()) == []


@pytest.mark.parametrize("mode", [0o775, 0o757, 0o777])
@pytest.mark.parametrize("of", ["program", "directory"])
def test_one_that_others_can_change_is_refused(program: Path, mode: int, of: str) -> None:
    place = program if of == "program" else program.parent
    place.chmod(mode)

    (problem,) = problems(program, ())

    assert f"others can write to {place} (chmod go-w it)" in problem


def test_what_is_missing_or_no_program_is_refused(program: Path) -> None:
    (missing,) = problems(program.with_name("none"), ())
    (directory,) = problems(program.parent, ())
    program.chmod(0o644)
    (no_program,) = problems(program, ())

    assert "No such file or directory" in missing
    assert "is no program" in directory
    assert "is no program" in no_program


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_one_of_another_user_is_refused(program: Path) -> None:
    os.chown(program, 65534, 65534)

    assert "belongs to uid 65534" in problems(program, ())[0]


def test_one_on_a_share_is_refused_without_a_look_at_it() -> None:
    mounts = parse("36 25 0:31 / /mnt/share rw - cifs //nas/share rw\n")

    (problem,) = problems(Path("/mnt/share/program"), mounts)

    assert "lies on the cifs mount /mnt/share: aod touches no share" in problem


def shipped_with(tmp_path: Path, command: str) -> Path:
    path = tmp_path / "config.yaml"
    text = SHIPPED.read_text().replace("  command: []", f"  command: {command}")
    path.write_text(text.replace("/var/log/aod", str(tmp_path / "aod")))
    return path


@pytest.mark.parametrize("command", ["[]", "null", '["/bin/true"]', '["/bin/true", "-x", ""]'])
def test_a_list_of_texts_is_taken(tmp_path: Path, command: str) -> None:
    config = load(shipped_with(tmp_path, command), {})

    assert config.notify.command[:1] in ((), ("/bin/true",))


@pytest.mark.parametrize(
    "command",
    [
        "/bin/true",
        '["true"]',
        '["/bin/../bin/true"]',
        '["/bin/true", 1]',
        '["/bin/true", "a\\nb"]',
        '[""]',
        "{a: b}",
        f"[{', '.join(['/bin/true'] * 65)}]",
    ],
)
def test_what_is_no_program_with_texts_is_told_with_line_and_form(
    tmp_path: Path, command: str
) -> None:
    with pytest.raises(ConfigError) as failure:
        load(shipped_with(tmp_path, command), {})

    (problem,) = failure.value.problems
    assert "config.yaml:" in problem
    assert "notify.command" in problem
    assert "allowed: a list of the absolute path of a program" in problem


def test_a_program_that_is_not_there_is_a_problem_of_the_config(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"notify.command: cannot run /none/x: No such file"):
        load(shipped_with(tmp_path, '["/none/x"]'), {})
