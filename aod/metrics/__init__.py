"""Numbers for Prometheus; prometheus-client is imported only when they are asked for."""

from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from aod.config.outputdir import share_problems
from aod.config.tree import Metrics
from aod.config.values import as_address
from aod.metrics.operations import Operations
from aod.metrics.reading import Reading

__all__ = ["Component", "Operations", "Reading", "components"]

Component = Callable[[], Coroutine[Any, Any, None]]


def components(
    section: Metrics,
    read: Callable[[], Reading],
    operations: Operations,
    versions: Callable[[], Mapping[str, str]],
) -> dict[str, Component]:
    """Return what the config asks for, by name: each runs until cancelled. Reads files."""
    if not (section.listen or section.textfile):
        return {}
    from aod.metrics.collector import Exposition
    from aod.metrics.endpoint import Endpoint
    from aod.metrics.textfile import Textfile

    exposition = Exposition(read, operations, versions())
    found: dict[str, Component] = {}
    if section.listen:
        found["metrics"] = Endpoint(*as_address(section.listen), exposition.render).run
    if section.textfile:
        textfile = Textfile(section.textfile, lambda: exposition.render()[0], share_problems)
        found["metrics file"] = textfile.run
    return found
