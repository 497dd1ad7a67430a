"""The keys of the config: name, unit, bounds and default of each, and what they resolve to."""

from collections.abc import Hashable
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import (
    Field,
    SerializeAsAny,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    field_validator,
)

from aod import detectors, smb
from aod.actions import NAMES
from aod.config.values import (
    ERRORS,
    Actions,
    Address,
    Code,
    CommandLine,
    CommandName,
    Name,
    Processes,
    Shares,
    Textfile,
)
from aod.schema import Section, count, number, text_of, unique
from aod.smb import Command

NS_PER_MS = 1_000_000

Mode: TypeAlias = Literal["all", "trackonly", "excludeonly"]
Per: TypeAlias = Literal["host", "share"]


class TrackedCommand(Section):
    """A command that counts, and from when on."""

    command: CommandName = Field(
        description="SMB2 command that counts",
        json_schema_extra={"allowed": ", ".join(Command.__members__)},
    )
    threshold: float | None = number(
        None, 0, 86_400_000, "milliseconds", "latency from which it counts, none for the default"
    )


def acceptable(default: int) -> Any:
    """Describe how many violations are still fine."""
    return count(default, 0, 10_000, "violations within watch_interval_sec that raise nothing yet")


class AnomalySection(Section):
    """What all kinds of anomalies have in common."""

    type: str
    tool: str
    actions: Actions = Field(
        description="what is collected when it is raised; each also stands in watcher.actions",
        json_schema_extra={"allowed": f"a list of {', '.join(NAMES)}"},
    )
    cooldown_sec: float | None = number(
        None, 0, 86_400, "seconds", "quiet time after a bundle, none for incidents.cooldown_sec"
    )
    shares: Shares = Field(default=(), description="shares that count, none for all; ! excludes")
    processes: Processes = Field(
        default=(), description="processes that count, none for all; ! excludes"
    )
    per: Per = Field(default="host", description="one count for all, or one for each share")


class CountedAnomaly(AnomalySection):
    """Raised by more than so many operations, of those that count."""

    mode: Mode = Field(
        default="all", description="all, only what is tracked, or all but the excluded"
    )
    acceptable_count: int = acceptable(10)


class LatencyAnomaly(CountedAnomaly):
    """Operations that take too long."""

    type: Literal["Latency"] = Field(description="kind of anomaly")
    tool: Literal["smbslower"] = Field(default="smbslower", description="view of the tracer")
    # One compound (open, query, close) is three: less would raise at any slow open.
    acceptable_count: int = acceptable(3)
    default_threshold_ms: float = number(
        200, 0, 86_400_000, "milliseconds", "latency from which an operation counts"
    )
    emergency_threshold_ms: float = number(
        1000, 0, 86_400_000, "milliseconds", "latency over which one operation raises at once"
    )
    track_commands: tuple[TrackedCommand, ...] = Field(
        default=(), validate_default=True, description="commands with a threshold of their own"
    )
    exclude_commands: tuple[CommandName, ...] = Field(
        default=(), description="commands that never count"
    )

    @field_validator("track_commands")
    @classmethod
    def _check_tracked(
        cls, tracked: tuple[TrackedCommand, ...], info: ValidationInfo
    ) -> tuple[TrackedCommand, ...]:
        _check_tracked(tuple(entry.command for entry in tracked), info.data.get("mode"))
        return tracked

    @field_validator("exclude_commands")
    @classmethod
    def _check_excluded(
        cls, excluded: tuple[Command, ...], info: ValidationInfo
    ) -> tuple[Command, ...]:
        tracked = tuple(entry.command for entry in info.data.get("track_commands", ()))
        _check_excluded(excluded, tracked, info.data.get("mode"))
        return excluded

    @property
    def tracked_by_name(self) -> frozenset[Command]:
        """Commands that count because `track_commands` names them."""
        if self.mode == "excludeonly":
            return frozenset()
        return frozenset(entry.command for entry in self.track_commands)

    @property
    def emergency_threshold_ns(self) -> int:
        """Latency over which one counted operation raises alone."""
        return _ns(self.emergency_threshold_ms)

    def thresholds_ns(self) -> dict[Command, int | None]:
        """Return from which latency each command counts, None for never.

        The exemption of CHANGE_NOTIFY and blocking LOCK is the detector's, not in here.
        """
        default_ns = None if self.mode == "trackonly" else _ns(self.default_threshold_ms)
        thresholds: dict[Command, int | None] = dict.fromkeys(Command, default_ns)
        for entry in self.track_commands:
            own_ms = self.default_threshold_ms if entry.threshold is None else entry.threshold
            thresholds[entry.command] = None if self.mode == "excludeonly" else _ns(own_ms)
        return thresholds | dict.fromkeys(self.exclude_commands)


class ErrorAnomaly(CountedAnomaly):
    """Operations that fail."""

    type: Literal["Error"] = Field(description="kind of anomaly")
    tool: Literal["smbiosnoop"] = Field(default="smbiosnoop", description="view of the tracer")
    track_codes: tuple[Code, ...] = Field(
        default=(), validate_default=True, description="errno and STATUS_ names that count"
    )
    exclude_codes: tuple[Code, ...] = Field(
        default=(), description="errno and STATUS_ names that never count"
    )

    @field_validator("track_codes")
    @classmethod
    def _check_tracked(cls, tracked: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        _check_tracked(tracked, info.data.get("mode"))
        return tracked

    @field_validator("exclude_codes")
    @classmethod
    def _check_excluded(cls, excluded: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        _check_excluded(excluded, info.data.get("track_codes", ()), info.data.get("mode"))
        return excluded

    @property
    def tracked_statuses(self) -> frozenset[int]:
        """NTSTATUS values that count by name."""
        return _statuses(self._tracked)

    @property
    def tracked_errors(self) -> frozenset[int]:
        """Positive errnos that count by name, whatever status or abort they come from."""
        return _errors(self._tracked)

    @property
    def excluded_statuses(self) -> frozenset[int]:
        """NTSTATUS values that never count."""
        return _statuses(self._excluded)

    @property
    def excluded_errors(self) -> frozenset[int]:
        """Positive errnos that never count."""
        return _errors(self._excluded)

    @property
    def _tracked(self) -> tuple[str, ...]:
        return () if self.mode == "excludeonly" else self.track_codes

    @property
    def _excluded(self) -> tuple[str, ...]:
        return self.exclude_codes + (self.track_codes if self.mode == "excludeonly" else ())


class InflightAnomaly(AnomalySection):
    """Requests that are not answered."""

    type: Literal["Inflight"] = Field(description="kind of anomaly")
    tool: Literal["smbslower"] = Field(default="smbslower", description="view of the tracer")
    threshold_ms: float = number(
        5000, 1, 86_400_000, "milliseconds", "age from which an open request counts as hanging"
    )

    @property
    def threshold_ns(self) -> int:
        """Age at which a request is told first; at each doubling it is told again."""
        return _ns(self.threshold_ms)


class ReconnectAnomaly(AnomalySection):
    """Connections that are lost and made anew."""

    type: Literal["Reconnect"] = Field(description="kind of anomaly")
    tool: Literal["smbiosnoop"] = Field(default="smbiosnoop", description="view of the tracer")
    # A connection in order is lost once in months: each loss is worth a bundle.
    acceptable_count: int = acceptable(0)


class CreditsAnomaly(AnomalySection):
    """Threads that wait for credits."""

    type: Literal["Credits"] = Field(description="kind of anomaly")
    tool: Literal["smbslower"] = Field(default="smbslower", description="view of the tracer")
    # One thread that copies at full speed waits 10 ms for each request: 100 times a second.
    acceptable_count: int = acceptable(100)


Anomaly: TypeAlias = (
    LatencyAnomaly | ErrorAnomaly | InflightAnomaly | ReconnectAnomaly | CreditsAnomaly
)


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
        told = [f"{'.'.join(map(str, error['loc']))}: {error['msg']}" for error in errors]
        raise ValueError("; ".join(told)) from failure


AnyAnomaly: TypeAlias = SerializeAsAny[
    Annotated[
        Annotated[Anomaly, Field(discriminator="type")],
        WrapValidator(_by_type),
    ]
]


class Guardian(Section):
    """What is watched."""

    anomalies: dict[Name, AnyAnomaly] = Field(
        min_length=1,
        description="what is watched for, by names of the user's choice",
        json_schema_extra={
            "allowed": "at least one name with a section of type Latency, Error, Inflight, "
            "Reconnect or Credits"
        },
    )


class Watcher(Section):
    """What may be collected, and within which limits."""

    actions: Actions = Field(
        description="every action that an anomaly may name",
        json_schema_extra={"allowed": f"a list of {', '.join(NAMES)}"},
    )
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


def _ns(milliseconds: float) -> int:
    return round(milliseconds * NS_PER_MS)


def _statuses(codes: tuple[str, ...]) -> frozenset[int]:
    return frozenset(smb.status_codes()[code] for code in codes if code not in ERRORS)


def _errors(codes: tuple[str, ...]) -> frozenset[int]:
    return frozenset(ERRORS[code] for code in codes if code in ERRORS)


def _check_tracked(tracked: tuple[Hashable, ...], mode: str | None) -> None:
    if mode == "trackonly" and not tracked:
        raise ValueError("is empty in mode trackonly: nothing is watched (allowed: at least one)")
    unique(tracked)


def _check_excluded(
    excluded: tuple[Hashable, ...], tracked: tuple[Hashable, ...], mode: str | None
) -> None:
    if excluded and mode == "trackonly":
        raise ValueError("has no meaning in mode trackonly (allowed: an empty list)")
    if excluded and tracked and mode == "excludeonly":
        raise ValueError("both lists are given in mode excludeonly (allowed: one of them)")
    if both := [item for item in excluded if item in tracked]:
        raise ValueError(f"{text_of(both)} is tracked as well (allowed: in one list only)")
    unique(excluded)
