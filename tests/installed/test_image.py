"""The image on this machine, whose kernel it watches: started, looked at and stopped by podman."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.installed.container import Container, Image
from tests.installed.unit import CIFS_IS_HERE

_PRIVILEGED = ("--privileged",)
_ORPHANS = 5


@pytest.fixture
def aod(image: Image) -> Iterator[Container]:
    """The service as process 1's child of a container, ready."""
    with image.run(options=_PRIVILEGED) as container:
        container.wait_for(" attached " if CIFS_IS_HERE else "waiting for it")
        yield container


def test_it_is_ready_without_systemd_whether_cifs_is_loaded_or_not(aod: Container) -> None:
    assert aod.state() == ("running", 0)
    assert aod.run("aod list").code == 0


def test_what_others_leave_behind_is_reaped(aod: Container) -> None:
    count = "cat /proc/[0-9]*/comm 2> /dev/null | grep -c orphan"
    leave = f"for i in $(seq {_ORPHANS}); do setsid --fork /tmp/orphan 2; done"
    left = aod.run(f"cp /usr/bin/sleep /tmp/orphan && {leave}; {count}")
    assert left.stdout == f"{_ORPHANS}\n"

    # A dead process that nobody reaps keeps its name for ever.
    aod.run(f"timeout 20 bash -c 'until [[ $({count}) == 0 ]]; do sleep 0.1; done'")

    assert aod.state() == ("running", 0)


def test_it_keeps_a_bundle_when_it_is_asked_to(aod: Container) -> None:
    aod.run("aod collect --reason 'as a test'", 60)

    assert "as a test" in aod.run("aod show latest").stdout


def test_podman_stop_ends_it_in_time_and_with_code_0(aod: Container) -> None:
    aod.stop()

    assert aod.state() == ("exited", 0)
    assert "stopped requests=" in aod.logs()


def test_a_wrong_config_ends_it_with_code_2_and_is_told(image: Image, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("watch_interval_sec: 0\n")
    mounted = f"--volume={tmp_path}/config.yaml:/etc/aod/config.yaml:ro"

    with image.run(options=(*_PRIVILEGED, mounted)) as ended:
        ended.wait()

        assert ended.state() == ("exited", 2)
        assert "watch_interval_sec" in ended.logs()
