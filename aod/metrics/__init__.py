"""Numbers for Prometheus; prometheus-client is imported only when they are asked for."""

from aod.metrics.exposure import Exposure
from aod.metrics.reading import Reading

__all__ = ["Exposure", "Reading"]
