"""The config: loading it from a file and the environment, all problems at once."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from pydantic import (
    Field,
    JsonValue,
    ModelWrapValidatorHandler,
    ValidationError,
    model_validator,
)
from pydantic_core import InitErrorDetails

from aod.actions import known_names
from aod.config import environment, metrics, outputdir, program, yamlsource
from aod.config.problems import Origins, explain, problem_line
from aod.config.tree import (
    Audit,
    Cleanup,
    Guardian,
    Incidents,
    Metrics,
    Notify,
    Tcpdump,
    Watcher,
)
from aod.config.values import Directory, as_directory
from aod.config.yamlsource import KeyPath, Values
from aod.detectors.section import is_action
from aod.errors import ConfigError
from aod.host import directories, mounts
from aod.host.mounts import Mount
from aod.host.paths import share_problems
from aod.schema import Section, forget_guesses, number

NS_PER_S = 1_000_000_000


class Config(Section):
    """The whole config, checked and immutable."""

    watch_interval_sec: float = number(
        1, 0.1, 60, "seconds", "window within which violations are counted"
    )
    aod_output_dir: Directory = Field(
        default=directories.OUTPUT,
        description="directory of the bundles (absolute path, not on an SMB share)",
    )
    min_free_mb: float = number(
        512, 0, 16_777_216, "MiB", "space that aod leaves free on the disk of the bundles"
    )
    shutdown_grace_sec: float = number(
        10, 0, 300, "seconds", "time to finish open bundles at the end of the service"
    )
    redact: bool = Field(
        default=False,
        strict=True,
        description="whether bundles hold pseudonyms in place of names, and no packets",
    )
    guardian: Guardian = Field(description="what is watched")
    watcher: Watcher = Field(description="what may be collected")
    incidents: Incidents = Field(default=Incidents(), description="how often a bundle is made")
    tcpdump: Tcpdump = Field(default=Tcpdump(), description="the packet capture")
    cleanup: Cleanup = Field(default=Cleanup(), description="how long bundles are kept")
    audit: Audit = Field(default=Audit(), description="the record of what aod itself did")
    notify: Notify = Field(default=Notify(), description="who is told of each bundle")
    metrics: Metrics = Field(default=Metrics(), description="numbers for Prometheus")

    @model_validator(mode="wrap")
    @classmethod
    def _check_actions(cls, values: object, build: ModelWrapValidatorHandler[Self]) -> Self:
        """Check actions against `watcher.actions` even where other values are wrong."""
        unlisted = [_detail(path, message) for path, message in _unlisted_actions(values)]
        try:
            config = build(values)
        except ValidationError as failure:
            raise _joined(failure, unlisted) from None
        if unlisted:
            raise ValidationError.from_exception_data(cls.__name__, unlisted)
        return config

    @property
    def watch_interval_ns(self) -> int:
        """Window within which violations are counted."""
        return round(self.watch_interval_sec * NS_PER_S)

    def cooldown_sec(self, name: str) -> float:
        """Return the cooldown of an anomaly: its own, or that of all incidents."""
        anomaly = self.guardian.anomalies.get(name)
        own_s = anomaly.cooldown_sec if anomaly else None
        return self.incidents.cooldown_sec if own_s is None else own_s

    def plain(self) -> Values:
        """Return the effective config as JSON values; whole numbers are ints."""
        return {key: _whole(value) for key, value in self.model_dump(mode="json").items()}

    def kept(self) -> Values:
        """Return what of it stands in a bundle: an argument of `notify.command` may be a secret."""
        program, *arguments = self.notify.command or ("",)
        if not arguments:
            return self.plain()
        shown = (program, f"{len(arguments)} arguments left out")
        notify = self.notify.model_copy(update={"command": shown})
        return self.model_copy(update={"notify": notify}).plain()

    def fingerprint(self) -> str:
        """Return the SHA-256, in hex, of the canonical JSON of the effective config."""
        canonical = json.dumps(self.plain(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Loaded:
    """A config and where its values came from."""

    config: Config
    origins: Origins

    def leaves(self) -> Iterator[tuple[KeyPath, JsonValue, str]]:
        """Yield path, value and source (`FILE:LINE`, a variable, `default`) of every key."""
        for path, value in _leaves(self.config.plain(), ()):
            yield path, value, self.origins.exact(path) or "default"

    def warnings(self) -> list[str]:
        """Return what is allowed and yet hardly meant, and what `aod run` would refuse."""
        exposed = self.origins.document.exposed
        return [*([exposed] if exposed else []), *self._small_total(), *self._exposed_metrics()]

    def _exposed_metrics(self) -> list[str]:
        found = metrics.warnings(self.config.metrics)
        return [problem_line(self.origins, ("metrics", key), message) for key, message in found]

    def _small_total(self) -> list[str]:
        config = self.config
        largest = max(len(anomaly.actions) for anomaly in config.guardian.anomalies.values())
        needed_mb = 2 * largest * config.watcher.action_max_mb
        if config.cleanup.max_total_log_size_mb >= needed_mb:
            return []
        path = ("cleanup", "max_total_log_size_mb")
        message = (
            f"is less than two bundles can take (2 x {largest} actions x watcher.action_max_mb "
            f"= {needed_mb:g} MiB): older bundles go as soon as a new one comes"
        )
        return [problem_line(self.origins, path, message)]


def load(
    path: Path, environ: Mapping[str, str], *, guarded: bool = False, writes: bool = True
) -> Config:
    """Load the config from a file and the `AOD_*` variables; create nothing.

    `guarded` is for who acts on it: a file that others can change is a problem. Who `writes`
    nothing into the output directory needs only one that lies on no share. Raises ConfigError
    with every problem of file, environment and output directory.
    """
    return load_with_sources(path, environ, guarded=guarded, writes=writes).config


def load_with_sources(
    path: Path,
    environ: Mapping[str, str],
    mounted: Sequence[Mount] | None = None,
    *,
    guarded: bool = False,
    writes: bool = True,
) -> Loaded:
    """Load like `load` and return where each value came from.

    `mounted` is what is mounted here, which is read when that is None.
    """
    known_names.cache_clear()
    forget_guesses()
    origins = Origins(str(path), yamlsource.read(path), environment.read(environ))
    problems = [origins.document.exposed] if guarded and origins.document.exposed else []
    problems += [f"{path}:{line}: {message}" for line, message in origins.document.problems]
    problems += origins.overrides.problems
    config: Config | None = None
    values = environment.merged(origins.document.values, origins.overrides.values)
    try:
        config = Config.model_validate(values)
    except ValidationError as failure:
        problems += explain(failure, Config, origins)
    find_problems = outputdir.problems if writes else share_problems
    problems += _output_dir_problems(config, origins, mounted, find_problems)
    if config and writes and not problems:
        problems += _metrics_problems(config, origins, mounted)
        problems += _notify_problems(config, origins, mounted)
    if config is None or problems:
        raise ConfigError(list(dict.fromkeys(problems)))
    return Loaded(config, origins)


def check_output_dir(config: Config, mounted: Sequence[Mount]) -> list[str]:
    """Return why bundles cannot be kept in `aod_output_dir`, without a touch of any share."""
    return outputdir.problems(config.aod_output_dir, mounted)


def _output_dir_problems(
    config: Config | None,
    origins: Origins,
    mounted: Sequence[Mount] | None,
    find_problems: Callable[[Path, Sequence[Mount]], list[str]],
) -> list[str]:
    """Look at the output directory even where the rest of the config is wrong."""
    path = ("aod_output_dir",)
    try:
        table = mounts.read() if mounted is None else mounted
        directory = config.aod_output_dir if config else _written_output_dir(origins)
        found = find_problems(directory, table) if directory else []
    except OSError as error:
        found = [f"cannot be checked: {error}"]
    return [problem_line(origins, path, message) for message in found]


def _notify_problems(
    config: Config, origins: Origins, mounted: Sequence[Mount] | None
) -> list[str]:
    if not config.notify.command:
        return []
    table = mounts.read() if mounted is None else mounted
    found = program.problems(Path(config.notify.command[0]), table)
    return [problem_line(origins, ("notify", "command"), message) for message in found]


def _metrics_problems(
    config: Config, origins: Origins, mounted: Sequence[Mount] | None
) -> list[str]:
    table = mounts.read() if mounted is None else mounted
    found = metrics.problems(config.metrics, table)
    return [problem_line(origins, ("metrics", key), message) for key, message in found]


def _written_output_dir(origins: Origins) -> Path | None:
    values = origins.document.values | origins.overrides.values
    default = Config.model_fields["aod_output_dir"].default
    try:
        return as_directory(values.get("aod_output_dir", default))
    except ValueError:
        return None


def _unlisted_actions(values: object) -> Iterator[tuple[KeyPath, str]]:
    """Yield each action of an anomaly that `watcher.actions` lacks, of values not yet checked."""
    listed = _section(_section(values).get("watcher")).get("actions")
    anomalies = _section(_section(_section(values).get("guardian")).get("anomalies"))
    for name, anomaly in anomalies.items():
        named = _section(anomaly).get("actions")
        if not isinstance(listed, list | tuple) or not isinstance(named, list | tuple):
            continue
        if missing := [action for action in named if action not in listed and is_action(action)]:
            message = (
                f"{', '.join(missing)} not in watcher.actions (add to that list, or drop here)"
            )
            yield ("guardian", "anomalies", str(name), "actions"), message


def _detail(path: KeyPath, message: str) -> InitErrorDetails:
    return InitErrorDetails(
        type="value_error", loc=path, input=None, ctx={"error": ValueError(message)}
    )


def _joined(failure: ValidationError, more: list[InitErrorDetails]) -> ValidationError:
    own = [
        InitErrorDetails(
            type=error["type"], loc=error["loc"], input=error["input"], ctx=error.get("ctx", {})
        )
        for error in failure.errors(include_url=False)
    ]
    return ValidationError.from_exception_data(failure.title, own + more)


def _section(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}


def _leaves(value: JsonValue, path: KeyPath) -> Iterator[tuple[KeyPath, JsonValue]]:
    """Yield the keys below a value; a list of plain values is one leaf."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _leaves(item, (*path, key))
    elif isinstance(value, list) and any(isinstance(item, dict) for item in value):
        for index, item in enumerate(value):
            yield from _leaves(item, (*path, index))
    else:
        yield path, value


def _whole(value: JsonValue) -> JsonValue:
    """Turn floats without a fraction into ints: 60 is shown as it was written, not as 60.0."""
    if isinstance(value, dict):
        return {key: _whole(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_whole(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
