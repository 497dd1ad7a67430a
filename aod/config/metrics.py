"""Whether the metrics can be served and written here, without a touch of any share."""

import importlib.util
from collections.abc import Iterator, Sequence

from aod.config.tree import Metrics
from aod.config.values import is_loopback
from aod.host.mounts import Mount
from aod.host.paths import share_problems

WHY = "aod touches no share"


def problems(metrics: Metrics, mounts: Sequence[Mount]) -> Iterator[tuple[str, str]]:
    """Yield why the metrics cannot be had, each with the key that asks for them."""
    asked = [key for key, value in metrics if value is not None]
    if asked and importlib.util.find_spec("prometheus_client") is None:
        yield (
            asked[0],
            "the Python package prometheus-client is not installed (pip install prometheus-client, "
            "the extra aod[metrics]; the deb and the rpm have it)",
        )
    if metrics.textfile:
        for problem in share_problems(metrics.textfile.parent, mounts, WHY):
            yield "textfile", problem


def warnings(metrics: Metrics) -> Iterator[tuple[str, str]]:
    """Yield what is allowed and yet hardly meant, each with its key; local disks are looked at."""
    if metrics.listen and not is_loopback(metrics.listen):
        yield (
            "listen",
            f"{metrics.listen} can be reached from other machines, without a password: "
            "the names of servers and shares are told to whoever asks",
        )
    if metrics.textfile and not metrics.textfile.parent.is_dir():
        yield (
            "textfile",
            f"there is no directory {metrics.textfile.parent}: nothing is written until there is",
        )
