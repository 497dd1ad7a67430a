"""The config, as the service would take it, and the directory that it names."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from aod.config import is_there, load_with_sources
from aod.doctor import programs
from aod.doctor.finding import Finding, Severity
from aod.errors import ConfigError


def examine(file: Path, environ: Mapping[str, str], is_named: bool) -> Iterator[Finding]:
    """Yield what is wrong with a config file, which the user may have named, or that it is fine.

    Without a file in the usual place there is no service yet, but everything else works. With a
    config the programs that its actions lack are named too.
    """
    try:
        if not is_named and not is_there(file):
            text = f"there is no {file} (aod run needs one: copy the shipped config.yaml there)"
            yield Finding(Severity.WARNING, "config", text)
            yield from programs.examine()
            return
        loaded = load_with_sources(file, environ, guarded=True)
    except ConfigError as error:
        for problem in error.problems:
            yield Finding(Severity.PROBLEM, "config", problem)
        yield from programs.examine()
        return
    yield Finding(Severity.OK, "config", f"{file} is valid")
    for warning in loaded.warnings():
        yield Finding(Severity.WARNING, "config", warning)
    yield Finding(Severity.OK, "output", f"bundles can be kept in {loaded.config.aod_output_dir}")
    yield from programs.examine(loaded.config.watcher.actions)
