"""What the packages are made of is there, and made for what is told."""

import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests import ROOT

PACKAGE: dict[str, Any] = YAML(typ="safe").load(ROOT / "packaging" / "nfpm.yaml")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PINS = re.findall(
    r"^([a-z0-9-]+)==\S+.*?(?=^[a-z]|\Z)",
    (ROOT / "packaging" / "requirements.txt").read_text(),
    re.M | re.S,
)
SCRIPTS = [
    *PACKAGE["overrides"]["deb"]["scripts"].values(),
    *PACKAGE["overrides"]["rpm"]["scripts"].values(),
    *PACKAGE["rpm"]["scripts"].values(),
]


def pythons(name: str) -> list[str]:
    """Return the versions of Python that a script of packaging/ goes through."""
    found = re.search(r"^for \w+ in ([\d. ]+); do$", (ROOT / "packaging" / name).read_text(), re.M)
    assert found
    return found[1].split()


@pytest.mark.parametrize("kind", ["deb", "rpm"])
def test_the_config_of_a_user_is_kept(kind: str) -> None:
    contents = [each for each in PACKAGE["contents"] if each.get("packager", kind) == kind]

    kinds = {each["dst"]: each.get("type") for each in contents}

    assert kinds["/etc/aod/config.yaml"] == "config|noreplace"
    assert {"/usr/bin/aod", "/usr/lib/systemd/system/aod.service"} <= kinds.keys()
    assert "/usr/share/man/man8/aod.8.gz" in kinds
    assert len(kinds) == len(contents)


def test_every_file_of_the_checkout_that_is_packed_is_there() -> None:
    sources = [each["src"] for each in PACKAGE["contents"] if "src" in each]

    ours = [source for source in sources if not source.startswith("${AOD_STAGE}")]

    assert "config/aod.service" in ours
    assert [source for source in ours if not (ROOT / source).is_file()] == []


def test_the_documents_and_every_example_are_laid_out(tmp_path: Path) -> None:
    names = ("extension/aod_extension/crowd.py", "extension/pyproject.toml", "notify/upload.py")

    subprocess.run([ROOT / "packaging" / "documents", tmp_path], check=True)
    files = {str(path.relative_to(tmp_path)): path for path in tmp_path.rglob("*.*")}

    assert {"README.md", "USAGE.md", *(f"examples/{name}" for name in names)} <= files.keys()
    assert {path.suffix for path in files.values()} == {".md", ".py", ".toml"}
    assert files["examples/notify/upload.py"].stat().st_mode & 0o777 == 0o755
    assert all(path.read_bytes() == (ROOT / name).read_bytes() for name, path in files.items())


def test_the_documents_are_packed_for_all() -> None:
    (documents,) = [
        each for each in PACKAGE["contents"] if each.get("src") == "${AOD_STAGE}/documents"
    ]

    assert (documents["dst"], documents.get("packager")) == ("/usr/share/doc/aod", None)


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_maintainer_script_is_in_the_language_of_sh(script: str) -> None:
    subprocess.run(["sh", "-n", ROOT / script], check=True)


def test_every_library_that_aod_needs_is_packed() -> None:
    needed = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"].get("metrics", [])]

    names = {
        re.split(r"[<>=\[ ]", each)[0].lower().replace("_", "-").replace(".", "-")
        for each in needed
    }

    assert names - set(PINS) == set()


def test_every_library_has_one_version_and_its_hashes() -> None:
    text = (ROOT / "packaging" / "requirements.txt").read_text()

    entries = re.findall(r"^[a-z].*?(?=^[a-z]|\Z)", text, re.M | re.S)

    assert len(entries) > 15
    assert [entry for entry in entries if "==" not in entry or "--hash=sha256:" not in entry] == []


def test_readme_names_a_package_of_each_python() -> None:
    readme = (ROOT / "README.md").read_text()
    version = PROJECT["version"]

    told = set(re.findall(rf"`aod_{re.escape(version)}-1\+py(3\.\d+)_amd64\.deb`", readme))

    assert pythons("stage") == pythons("package")
    assert told == set(pythons("package"))
