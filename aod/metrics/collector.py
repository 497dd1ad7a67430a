"""What aod knows as metrics of Prometheus, by a collector of prometheus-client."""

import re
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import TypeAlias

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from aod.activity.totals import OTHERS, Labels, Total, Totals
from aod.errors import HostError
from aod.events import BUCKETS
from aod.metrics.reading import Readings
from aod.runtime.counts import ServiceCounts
from aod.smb import Command
from aod.tracer.ledger import Ledger

SECOND_NS = 1_000_000_000
WAIT_S = 5.0
"""How long a reader waits for the one before it."""
LIMITS = [*(str(2 ** (bucket + 1) / 1e6) for bucket in range(BUCKETS - 1)), "+Inf"]
"""Upper bounds of the kernel's buckets in seconds; the last has none."""
LABELS = ("server", "share", "command")
CARRYING = {Command.SMB2_READ.name, Command.SMB2_WRITE.name, OTHERS[2]}
"""Commands whose payload is counted."""
OUTCOMES = ("sealed", "not opened", "not sealed")

_BUNDLE = re.compile(r"aod_(\d{19})")

Labelled: TypeAlias = "Iterable[tuple[tuple[str, ...], float]]"


class Exposition:
    """Everything as text, on demand; all of it blocks."""

    def __init__(
        self,
        readings: Readings,
        totals: Totals,
        versions: Mapping[str, str],
    ) -> None:
        self._readings = readings
        self._totals = totals
        self._versions = dict(versions)
        self._rendering = threading.Lock()
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._registry.register(self)

    def render(self, accept: str = "") -> tuple[bytes, str]:
        """Return the metrics and their content type, as an Accept header asks for it.

        One at a time: raises HostError when another one takes too long.
        """
        encode, content_type = _encoder(accept)
        if not self._rendering.acquire(timeout=WAIT_S):
            raise HostError("the metrics are still being read for somebody else")
        try:
            return encode(self._registry), content_type
        finally:
            self._rendering.release()

    def collect(self) -> Iterator[Metric]:
        """Yield every metric family; the registry calls it."""
        reading = self._readings.read()
        self._totals.add(reading.sample)
        totals = self._totals.by_labels()
        yield InfoMetricFamily(
            "aod_build", "Versions of aod, of Python and of libbpf.", self._versions
        )
        yield from _of_operations(totals)
        yield from _of_ledger(reading.ledger, reading.lost)
        yield from _of_service_counts(reading.service_counts, reading.anomalies)
        yield _gauge(
            "aod_tracer_rung",
            "Rung of the ladder that is in use, 1 is the best; 0 while cifs is not loaded.",
            reading.rung,
        )
        yield _gauge("aod_tracer_probes", "Probes that are attached.", reading.probes)


def _encoder(accept: str) -> tuple[Callable[[Collector], bytes], str]:
    try:
        return choose_encoder(accept)
    except (TypeError, ValueError):  # of a version that is no number
        return choose_encoder("")


def _of_operations(totals: Mapping[Labels, Total]) -> Iterator[Metric]:
    duration = HistogramMetricFamily(
        "aod_smb_operation_duration_seconds",
        "Time that completed SMB operations took, waiting to be sent included; "
        "_count is the number of operations.",
        labels=LABELS,
    )
    for labels, total in totals.items():
        reached = total.latency.cumsum().tolist()
        buckets = list(zip(LIMITS, map(float, reached), strict=True))
        duration.add_metric(labels, buckets, total.total_ns / SECOND_NS)
    yield duration
    yield _counter(
        "aod_smb_operation_errors",
        "Completed SMB operations that the server answered with an error or a warning.",
        LABELS,
        ((labels, total.errors) for labels, total in totals.items()),
    )
    yield _counter(
        "aod_smb_payload_bytes",
        "Bytes that completed READs and WRITEs carried.",
        LABELS,
        ((labels, total.bytes) for labels, total in totals.items() if labels[2] in CARRYING),
    )
    waiting = GaugeMetricFamily(
        "aod_smb_open_requests", "Requests that are sent and not answered.", labels=LABELS
    )
    for labels, total in totals.items():
        waiting.add_metric(labels, total.open)
    yield waiting


def _of_ledger(ledger: Ledger, lost: Mapping[str, int]) -> Iterator[Metric]:
    yield _counter(
        "aod_smb_requests",
        "SMB requests that were sent, aod's own children's included.",
        (),
        [((), ledger.requests)],
    )
    ends = ("completed", "aborted", "unanswered", "untracked")
    yield _counter(
        "aod_smb_requests_ended",
        "SMB requests by how they ended; untracked ones could not be followed.",
        ("outcome",),
        [((end,), getattr(ledger, end)) for end in ends],
    )
    kinds = ("completed", "interim", "breaks", "unmatched", "earlier")
    yield _counter(
        "aod_smb_responses",
        "SMB messages that came from servers, by what they were.",
        ("kind",),
        [((kind,), getattr(ledger, kind)) for kind in kinds],
    )
    yield _counter(
        "aod_smb_requests_crowded",
        "SMB requests that found their slot taken and were followed in a hash.",
        (),
        [((), ledger.crowded)],
    )
    dropped = {**lost, "latencies": ledger.uncounted, "probe runs": ledger.skipped}
    yield _counter(
        "aod_lost",
        "What was lost between the kernel and a bundle, by what it was.",
        ("what",),
        [((what,), count) for what, count in dropped.items()],
    )


def _of_service_counts(
    service_counts: ServiceCounts, anomalies: Collection[str]
) -> Iterator[Metric]:
    # From the first moment with 0, as increase() does not see a counter's first value.
    nothing = dict.fromkeys(anomalies, 0)
    for name, help_text, label, counts in (
        (
            "incidents",
            "Incidents that were opened.",
            "anomaly",
            nothing | dict(service_counts.incidents),
        ),
        (
            "suppressed",
            "Anomalies that were counted only, in a cooldown or over the limit per hour.",
            "anomaly",
            nothing | dict(service_counts.suppressed),
        ),
        (
            "bundles",
            "Bundles by how they ended.",
            "outcome",
            dict.fromkeys(OUTCOMES, 0) | dict(service_counts.bundles),
        ),
        (
            "component_restarts",
            "Parts of aod that failed and were started again.",
            "component",
            dict(service_counts.restarts),
        ),
    ):
        samples = (((value,), count) for value, count in counts.items())
        yield _counter(f"aod_{name}", help_text, (label,), samples)
    yield _counter(
        "aod_bundles_deleted",
        "Bundles that the clean-up deleted.",
        (),
        [((), service_counts.deleted)],
    )
    if match := _BUNDLE.match(service_counts.last_bundle):
        yield _gauge(
            "aod_last_bundle_timestamp_seconds",
            "When the anomaly of the last bundle was raised, in seconds since the epoch.",
            int(match[1]) / SECOND_NS,
        )


def _counter(name: str, help_text: str, labels: tuple[str, ...], values: Labelled) -> Metric:
    family = CounterMetricFamily(name, help_text, labels=labels)
    for label_values, value in values:
        family.add_metric(label_values, value)
    return family


def _gauge(name: str, help_text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, help_text, value=value)
