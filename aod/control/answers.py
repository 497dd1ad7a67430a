"""What the service answers to each request, one schema for both sides of the socket.

An answer goes over it field by field. Fields may be added: a reader passes over those that it
does not know, and one that an older service does not send needs a default, or is refused.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Annotated, ClassVar, NamedTuple, TypeAlias, TypeVar

import numpy as np
from pydantic import Field, TypeAdapter, ValidationError

from aod.activity.activities import KnownTrees
from aod.activity.samples import Counter, Sample
from aod.bundle.manifest import Suppressed
from aod.control.protocol import VERSION, Answer, Done, another_version
from aod.errors import ServiceError
from aod.events import BUCKETS
from aod.tracer.ledger import Ledger
from aod.tracer.probe_states import Attached, ProbeState, RungInUse

A = TypeVar("A", bound=Answer)

Id: TypeAlias = Annotated[int, Field(ge=0, lt=1 << 64)]
Count: TypeAlias = Annotated[int, Field(ge=0, lt=1 << 63)]
Histogram: TypeAlias = Annotated[tuple[Count, ...], Field(min_length=BUCKETS, max_length=BUCKETS)]


@dataclass(frozen=True, slots=True)
class StatusAnswer:
    """What the service says of itself; `output` is the directory of its bundles."""

    REQUEST: ClassVar[str] = "status"

    pid: int
    output: str
    config_sha256: str
    status: str
    complaints: tuple[str, ...]


class CountedRow(NamedTuple):
    """One counter, as aod.activity.samples.Counter has it."""

    connection_id: Id
    tree_id: Id
    command: Id
    requests: Count
    errors: Count
    bytes: Count
    total_ns: Count
    longest_ns: Count
    latency: Histogram


class OpenRow(NamedTuple):
    """How many requests are open."""

    connection_id: Id
    tree_id: Id
    command: Id
    requests: Count


class TreeRow(NamedTuple):
    """What a tree is called, "" where that is not known."""

    connection_id: Id
    tree_id: Id
    server: str
    share: str


@dataclass(frozen=True, slots=True)
class SampleAnswer:
    """A sample of the counters, the names of its trees, and whether cifs is loaded."""

    REQUEST: ClassVar[str] = "sample"

    time_ns: Count
    load: Count
    counters: tuple[CountedRow, ...]
    in_flight: tuple[OpenRow, ...]
    trees: tuple[TreeRow, ...]
    attached: bool

    @classmethod
    def of(
        cls, sample: Sample, trees: Mapping[tuple[int, int], tuple[str, str]], attached: bool
    ) -> "SampleAnswer":
        """Return what is sent of a sample; `trees` is {(connection id, tree id): names}."""
        return cls(
            sample.time_ns,
            sample.load,
            tuple(_counted(*key, each) for key, each in sample.counters.items()),
            tuple(OpenRow(*key, count) for key, count in sample.in_flight.items()),
            tuple(TreeRow(*tree, *names) for tree, names in trees.items()),
            attached,
        )

    def sample(self) -> Sample:
        """Return the sample that was sent."""
        counters = {
            (row.connection_id, row.tree_id, row.command): Counter(
                row.requests,
                row.errors,
                row.bytes,
                row.total_ns,
                row.longest_ns,
                np.array(row.latency, np.int64),
            )
            for row in self.counters
        }
        in_flight = {
            (row.connection_id, row.tree_id, row.command): row.requests for row in self.in_flight
        }
        return Sample(self.time_ns, counters, in_flight, self.load)

    def names(self) -> KnownTrees:
        """Return the names that were sent."""
        return KnownTrees(
            {(row.connection_id, row.tree_id): (row.server, row.share) for row in self.trees}
        )


def _counted(connection_id: int, tree_id: int, command: int, counter: Counter) -> CountedRow:
    return CountedRow(
        connection_id,
        tree_id,
        command,
        counter.requests,
        counter.errors,
        counter.bytes,
        counter.total_ns,
        counter.longest_ns,
        tuple(counter.latency.tolist()),
    )


@dataclass(frozen=True, slots=True)
class SuppressedAnswer:
    """What was held back since the last bundle, as the next manifest will have it."""

    REQUEST: ClassVar[str] = "suppressed"

    suppressed: tuple[Suppressed, ...]


@dataclass(frozen=True, slots=True)
class TracerAnswer:
    """The ledger, what was lost by its kind, and what is attached: without cifs no rung."""

    REQUEST: ClassVar[str] = "tracer"

    ledger: Ledger
    lost: Mapping[str, Count]
    rung: RungInUse | None = None
    refusals: tuple[str, ...] = ()
    ring_bytes: Count = 0
    probes: tuple[ProbeState, ...] = ()

    @classmethod
    def of(
        cls, ledger: Ledger, lost: Mapping[str, int], attached: Attached | None
    ) -> "TracerAnswer":
        """Return what is sent; `attached` is None without cifs."""
        if not attached:
            return cls(ledger, lost)
        return cls(
            ledger, lost, attached.rung, attached.refusals, attached.ring_bytes, attached.probes
        )

    def attached(self) -> Attached | None:
        """Return what was attached, None without cifs."""
        if not self.rung:
            return None
        return Attached(self.rung, self.refusals, self.ring_bytes, self.probes)


@dataclass(frozen=True, slots=True)
class CollectAnswer:
    """Where the bundle is that was asked for."""

    REQUEST: ClassVar[str] = "collect"

    bundle: str


@cache
def _schema(wanted: type[A]) -> TypeAdapter[A]:
    return TypeAdapter(wanted)


def read(wanted: type[A], done: Done) -> A:
    """Return an answer that came over the socket.

    Raises ServiceError with what is wrong with it, or for a service of another version.
    """
    try:
        answer: A = _schema(wanted).validate_python(done.answer)
    except ValidationError as error:
        if done.version != VERSION:
            raise ServiceError(another_version(done.version)) from error
        wrong = error.errors(include_url=False)[0]
        where = ".".join(map(str, wrong["loc"]))
        raise ServiceError(
            f"the service's answer to {wanted.REQUEST!r} cannot be read: {where}: {wrong['msg']}"
        ) from error
    return answer
