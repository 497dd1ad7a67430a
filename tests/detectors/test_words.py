"""A kind's words are its detector's, whoever the detector comes from."""

from collections.abc import Iterator
from importlib.metadata import EntryPoint, EntryPoints

import pytest

from aod import detectors
from aod.detectors import AnomalyType
from aod.detectors.words import PLAIN, Words, words_of

NOISY = Words(noun="noise", verb="heard")


class Noisy:
    words = NOISY


class Silent:
    pass


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Have packages installed that offer detectors, good ones and bad ones."""
    offered = {
        "Noisy": f"{__name__}:Noisy",
        "Silent": f"{__name__}:Silent",
        "Broken": "no_such_module:Broken",
        "LATENCY": f"{__name__}:Noisy",
        "Manual": f"{__name__}:Noisy",
    }
    points = [EntryPoint(name, value, "aod.detectors") for name, value in offered.items()]
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: EntryPoints(points))
    for cached in (words_of, detectors.third_party):
        cached.cache_clear()
    yield
    for cached in (words_of, detectors.third_party):
        cached.cache_clear()


def test_every_kind_of_aods_own_has_the_words_of_its_detector() -> None:
    for type_name in detectors.TABLE:
        assert words_of(type_name.lower()) is detectors.load(type_name).words


def test_another_packages_kind_is_its_type_in_lower_case() -> None:
    assert words_of("noisy") is NOISY
    assert words_of("Noisy") is PLAIN


@pytest.mark.parametrize("kind", ["silent", "unknown", ""])
def test_a_kind_that_nobody_has_words_for_has_plain_ones(kind: str) -> None:
    assert words_of(kind) is PLAIN


def test_a_package_that_cannot_be_imported_leaves_plain_words_and_a_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert words_of("broken") is PLAIN
    assert "cannot be loaded kind=broken: ModuleNotFoundError" in caplog.text


def test_no_package_takes_a_kind_of_aods_own() -> None:
    assert detectors.known_types() == (*detectors.TABLE, "Broken", "Noisy", "Silent")
    assert words_of(AnomalyType.LATENCY) is not NOISY
    assert words_of(AnomalyType.MANUAL) is not NOISY
