"""A config that others can change is not acted upon."""

import os
from pathlib import Path

import pytest

from aod.config import load, load_with_sources
from aod.errors import ConfigError

TEXT = """\
aod_output_dir: /tmp/aod-none
guardian: {anomalies: {latency: {type: Latency, actions: [stats]}}}
watcher: {actions: [stats]}
"""
OTHER = 1234

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "etc").mkdir(0o755)
    path = tmp_path / "etc/config.yaml"
    path.write_text(TEXT)
    return path


def refusal(file: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        load(file, {}, guarded=True)
    (problem,) = caught.value.problems
    return problem


def test_one_that_others_can_only_read_is_taken(file: Path) -> None:
    file.chmod(0o644)

    assert load(file, {}, guarded=True).guardian.anomalies.keys() == {"latency"}


@pytest.mark.parametrize("bits", [0o664, 0o646, 0o666])
def test_one_that_others_can_write_is_refused(file: Path, bits: int) -> None:
    file.chmod(bits)

    assert refusal(file) == f"{file} can be written by others (chmod go-w {file})"


@as_root
def test_one_of_another_user_is_refused(file: Path) -> None:
    os.chown(file, OTHER, 0)

    assert refusal(file).startswith(f"{file} belongs to uid {OTHER}")
    assert refusal(file).endswith(f"(chown root {file})")


@pytest.mark.parametrize("bits", [0o775, 0o777])
def test_one_that_others_can_replace_is_refused(file: Path, bits: int) -> None:
    file.parent.chmod(bits)

    assert refusal(file).endswith(f"(chmod go-w {file.parent})")


def test_in_a_sticky_directory_nobody_can_replace_it(file: Path) -> None:
    file.parent.chmod(0o1777)

    assert load(file, {}, guarded=True)


def test_of_a_link_the_target_counts(file: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.yaml"
    link.symlink_to(file)
    assert load(link, {}, guarded=True)

    file.chmod(0o666)

    assert refusal(link).endswith(f"(chmod go-w {file})")


def test_a_config_map_of_kubernetes_is_taken(tmp_path: Path) -> None:
    """Its directory has mode 0777, and the file's name leads there over two links."""
    tmp_path.chmod(0o777)
    (tmp_path / "..2026_11_27").mkdir(0o755)
    (tmp_path / "..2026_11_27/config.yaml").write_text(TEXT)
    (tmp_path / "..data").symlink_to("..2026_11_27")
    (tmp_path / "config.yaml").symlink_to("..data/config.yaml")

    assert load(tmp_path / "config.yaml", {}, guarded=True)


def test_who_only_looks_at_it_is_warned(file: Path) -> None:
    file.chmod(0o666)

    loaded = load_with_sources(file, {})

    assert f"{file} can be written by others (chmod go-w {file})" in loaded.warnings()


def test_it_is_one_of_all_the_problems_that_are_told(file: Path) -> None:
    file.write_text(TEXT + "unknown: 1\n")
    file.chmod(0o666)

    with pytest.raises(ConfigError) as caught:
        load(file, {}, guarded=True)

    assert len(caught.value.problems) == 2
