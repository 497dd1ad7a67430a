import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path

import pytest
from setuptools import find_packages

import build
from tests import ROOT


def test_nothing_is_missing_where_aod_was_built() -> None:
    assert build.missing_packages() == []


def test_the_wheel_has_every_package() -> None:
    told = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    found = find_packages(str(ROOT), include=told["find"]["include"])

    folders = {path.parent.relative_to(ROOT) for path in (ROOT / "aod").rglob("__init__.py")}

    assert {name.replace(".", "/") for name in found} == {str(folder) for folder in folders}


def test_each_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(build, "HEADERS", tmp_path)
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(tmp_path))

    missing = build.missing_packages()

    assert missing == ["clang", "llvm", "gcc", "libc6-dev", "libbpf-dev", "python3-dev"]


def test_pip_says_in_a_sentence_what_is_missing(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pip", "wheel", "--no-build-isolation", "--no-deps"]
    command += ["--wheel-dir", str(tmp_path), str(ROOT)]

    ended = subprocess.run(
        command, env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=False
    )

    assert ended.returncode != 0
    assert "cannot build aod: apt-get install clang llvm gcc\n" in ended.stdout + ended.stderr
