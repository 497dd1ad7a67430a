"""The DaemonSet has what the image needs on a node, and a config that aod takes."""

from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from aod.config import Config, load
from aod.host.directories import RUNTIME, STATE
from tests.packaging.test_unit import values

FOLDER = Path(__file__).resolve().parents[2] / "packaging" / "kubernetes"
PARTS: dict[str, Any] = {
    part["kind"]: part for part in YAML(typ="safe").load_all(FOLDER / "aod.yaml")
}
POD = PARTS["DaemonSet"]["spec"]["template"]["spec"]
CONTAINER = POD["containers"][0]


def test_its_config_is_one_that_aod_takes(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(PARTS["ConfigMap"]["data"]["config.yaml"])

    config = load(file, {})

    assert set(config.guardian.anomalies) == {"latency", "error", "inflight", "reconnect"}


def test_every_place_that_aod_writes_to_is_the_nodes() -> None:
    written = {
        mount["mountPath"] for mount in CONTAINER["volumeMounts"] if not mount.get("readOnly")
    }

    assert written == {
        str(Config.model_fields["aod_output_dir"].default),
        str(STATE),
        str(RUNTIME),
    }


def test_every_volume_is_mounted_once() -> None:
    assert sorted(mount["name"] for mount in CONTAINER["volumeMounts"]) == sorted(
        volume["name"] for volume in POD["volumes"]
    )


def test_it_has_the_capabilities_of_the_unit() -> None:
    added = {f"CAP_{name}" for name in CONTAINER["securityContext"]["capabilities"]["add"]}

    # A container has no limit in its place (config/aod.service).
    assert added - {"CAP_SYS_NICE"} == set(values("CapabilityBoundingSet"))


def test_it_shares_what_only_the_node_has() -> None:
    assert POD["hostPID"]
    assert POD["hostNetwork"]


@pytest.mark.parametrize("name", ["aod.yaml", "README.md"])
def test_the_image_has_the_version_of_aod(name: str) -> None:
    from importlib.metadata import version

    assert f"aod:{version('aod')}" in (FOLDER / name).read_text()
