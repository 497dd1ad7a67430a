"""The keys of the config but those of each detector: name, unit, bounds and default."""

from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

from pydantic import (
    Field,
    SerializeAsAny,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    field_validator,
)

from aod import detectors
from aod.config.values import Address, CommandLine, Name, Textfile
from aod.detectors.section import Actions, AnomalySection
from aod.schema import Section, count, number

if TYPE_CHECKING:
    Anomaly: TypeAlias = AnomalySection
else:  # a union of what the table has, which mypy cannot know
    Anomaly = Annotated[
        reduce(or_, (detectors.load(each).Section for each in detectors.TABLE)),
        Field(discriminator="type"),
    ]


def _by_type(value: Any, check: ValidatorFunctionWrapHandler) -> Any:
    """Check the section of an anomaly whose type is that of an installed package by its own."""
    kind = value.get("type") if isinstance(value, dict) else None
    if not isinstance(kind, str) or kind in detectors.TABLE:
        return value if isinstance(value, AnomalySection) else check(value)
    try:
        detector = detectors.third_party(kind)
    except Exception as error:  # a third party's code: whatever it raises
        raise ValueError(f"type {kind} cannot be loaded: {error!r}") from error
    if detector is None:
        return check(value)
    try:
        return detector.Section.model_validate(value)
    except ValidationError as failure:
        errors = failure.errors(include_url=False, include_input=False)
        problems = [f"{'.'.join(map(str, error['loc']))}: {error['msg']}" for error in errors]
        raise ValueError("; ".join(problems)) from failure


AnyAnomaly: TypeAlias = SerializeAsAny[Annotated[Anomaly, WrapValidator(_by_type)]]


def _types() -> str:
    """Return `Latency, Error or Credits` for the types of the table."""
    *most, last = detectors.TABLE
    return f"{', '.join(most)} or {last}"


class Guardian(Section):
    """What is watched."""

    anomalies: dict[Name, AnyAnomaly] = Field(
        min_length=1,
        description="what is watched for, by names of the user's choice",
        json_schema_extra={"allowed": f"at least one name with a section of type {_types()}"},
    )


class Watcher(Section):
    """What may be collected, and within which limits."""

    actions: Actions = Field(description="every action that an anomaly may name")
    max_concurrent_tasks: int = count(4, 1, 32, "actions that run at the same time")
    action_timeout_sec: float = number(10, 0.1, 300, "seconds", "time that one action may take")
    action_max_mb: float = number(16, 0.1, 1024, "MiB", "output kept of one action")
    lookback_sec: float = number(
        300, 0, 86_400, "seconds", "how far before the anomaly the logs are kept"
    )
    post_trigger_sec: float = number(
        5, 0, 300, "seconds", "how long collecting goes on after the anomaly"
    )


class Incidents(Section):
    """How often a bundle is made."""

    cooldown_sec: float = number(60, 0, 86_400, "seconds", "quiet time after a bundle")
    max_cooldown_sec: float = number(
        3600, 0, 604_800, "seconds", "longest quiet time while the trouble lasts"
    )
    # The last two of an hour are kept for what is urgent: fewer than 3 would leave none for others.
    max_bundles_per_hour: int = count(20, 3, 1000, "bundles per hour, of all anomalies together")

    @field_validator("max_cooldown_sec")
    @classmethod
    def _check_order(cls, longest_s: float, info: ValidationInfo) -> float:
        shortest_s = info.data.get("cooldown_sec", 0)
        if longest_s < shortest_s:
            raise ValueError(
                f"{longest_s:g} is less than cooldown_sec (allowed: {shortest_s:g} up)"
            )
        return longest_s


class Tcpdump(Section):
    """The packet capture of the action tcpdump."""

    snaplen: int = count(192, 64, 65_535, "bytes kept of each packet")


class Cleanup(Section):
    """How long bundles are kept."""

    cleanup_interval_sec: float = number(60, 1, 86_400, "seconds", "time between two clean-ups")
    max_log_age_days: float = number(14, 0.001, 3650, "days", "age at which a bundle goes")
    max_total_log_size_mb: float = number(
        2048, 0.1, 16_777_216, "MiB", "total size over which the oldest bundles go"
    )


class Audit(Section):
    """The record of what aod itself did."""

    enabled: bool = Field(default=True, strict=True, description="whether the audit log is written")


class Notify(Section):
    """Who is told of each bundle."""

    command: CommandLine = Field(
        default=(),
        description="program with its arguments that is run for each bundle, empty for none",
        json_schema_extra={"allowed": "a list: the absolute path of a program, its arguments"},
    )


class Metrics(Section):
    """Numbers for Prometheus."""

    listen: Address | None = Field(
        default=None,
        description="address and port of the HTTP endpoint, none for off",
        json_schema_extra={"allowed": "an IP address and a port, such as 127.0.0.1:9455"},
    )
    textfile: Textfile | None = Field(
        default=None,
        description="file for the textfile collector of node_exporter, none for off",
        json_schema_extra={"allowed": "an absolute path whose name ends in .prom"},
    )
