"""What an incident asks for: names, thresholds, the usual latency."""

from typing import Any

from aod.activity.usual import usual_latency_ns
from aod.bundle.describe import describe_events
from aod.detectors.anomaly import Anomaly
from aod.detectors.detection import Detection
from aod.events import Events
from aod.smb.filter import event_thresholds_ns
from aod.smb.names import Names
from aod.tracer.follower import Follower


class Evidence:
    """Answers from the stages; what it does blocks."""

    def __init__(self, names: Names, detection: Detection, tracer: Follower) -> None:
        self._names = names
        self._detection = detection
        self._tracer = tracer

    def describe(self, anomaly: Anomaly, wall_offset_ns: int) -> list[dict[str, Any]]:
        """Return the events of an anomaly in words."""
        self._names.look_up(anomaly.events)
        wanted = self._detection.filter_by_name().get(anomaly.name)
        thresholds = event_thresholds_ns(wanted.thresholds_ns, anomaly.events) if wanted else None
        return describe_events(anomaly.events, thresholds, self._names, wall_offset_ns)

    def usual_latency_ns(self, events: Events) -> int:
        """Return the median latency of operations like these before them, 0 if not known."""
        return usual_latency_ns(*self._tracer.counters(), events)
