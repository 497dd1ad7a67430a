"""The package on a Debian that has nothing but apt."""

from collections.abc import Iterator

import pytest

from tests.installed import deb
from tests.installed.container import Container, debian
from tests.vm.lab.cache import Cache

_RELEASES = {"bookworm": "3.11", "trixie": "3.13"}


@pytest.fixture(scope="module", params=_RELEASES)
def clean(request: pytest.FixtureRequest, cache: Cache) -> Iterator[Container]:
    """A clean Debian on which apt has installed the package with what it depends on."""
    package = deb.built(_RELEASES[request.param])
    with debian(cache, request.param).run("sleep", "infinity") as container:
        container.copy_in(package, "/root/aod.deb")
        container.run("apt-get update -qq", 180)
        container.run(
            "DEBIAN_FRONTEND=noninteractive"
            " apt-get install -y -qq --no-install-recommends /root/aod.deb",
            600,
        )
        yield container


def test_apt_installs_it_on_a_clean_debian_and_it_tells_its_version(clean: Container) -> None:
    told = clean.run("aod --version").stdout
    installed = clean.run("dpkg-query --show --showformat '${Status} ${Version}' aod").stdout

    assert installed.startswith("install ok installed ")
    assert told.split() == ["aod", installed.split()[-1].partition("-")[0]]


def test_the_shipped_config_is_good_there(clean: Container) -> None:
    checked = clean.run("aod config check", check=False)

    assert (checked.code, checked.stderr) == (0, "")


def test_a_wrong_config_is_told_there_with_its_line(clean: Container) -> None:
    clean.run(
        "sed 's/^watch_interval_sec: .*/watch_interval_sec: 0/' /etc/aod/config.yaml > /tmp/bad"
    )

    checked = clean.run("aod config check --config /tmp/bad", check=False)

    assert checked.code == 2
    assert "watch_interval_sec" in checked.stderr


def test_every_module_of_it_can_be_loaded_there(clean: Container) -> None:
    # The C extensions of numpy, pydantic and libbpf are those of this Python and this libc.
    command = "aod collect --help && aod doctor --help && aod top --help"
    loaded = clean.run(f"{command} > /dev/null && aod doctor", check=False)

    assert "Traceback" not in loaded.stderr
    assert "rights" in loaded.stdout


def test_the_service_is_enabled_at_the_next_start_of_the_machine(clean: Container) -> None:
    wanted = clean.run("readlink -f /etc/systemd/system/multi-user.target.wants/aod.service")

    assert wanted.stdout.strip() == "/usr/lib/systemd/system/aod.service"


def test_every_program_that_the_unit_calls_is_there(clean: Container) -> None:
    programs = clean.run(
        r"sed -nE 's/^Exec[A-Za-z]*=([^ ]+).*/\1/p' /usr/lib/systemd/system/aod.service"
    ).stdout.split()

    assert len(programs) == 2
    clean.run(" && ".join(f"test -x {program}" for program in programs))
