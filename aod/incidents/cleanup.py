"""The clean-up: leftovers are sealed, what is over the limits is deleted, once an interval."""

import asyncio
import logging
import time

from aod import redact
from aod.bundle import Clean, OutputDirectory, recover
from aod.bundle.manifest import Manifest
from aod.bundle.retention import Limits, Retention
from aod.config import Config
from aod.report.summary import render
from aod.runtime.audit import Audit, part_of
from aod.runtime.counts import ServiceCounts
from aod.runtime.supervisor import Component, Policy, Progress

log = logging.getLogger(__name__)

LARGE_DIRECTORY_S = 300.0
"""What one clean-up may take."""
DAY_NS = 86_400 * 1_000_000_000
MIB = 1 << 20


class Leftovers:
    """Seals what an earlier run, or a disk without room, has left unsealed."""

    def __init__(self, config: Config, output: OutputDirectory, audit: Audit) -> None:
        self._redact = config.redact
        self._output = output
        self._audit = audit

    def change_config(self, config: Config) -> None:
        """Go by another config from now on."""
        self._redact = config.redact

    def recover(self) -> None:
        """Bring each to an end, redacted as it began or stricter; blocks."""
        recover(self._output, render, self._audit.record, self._redactor_of)

    def _redactor_of(self, manifest: Manifest) -> Clean:
        return redact.for_leftover(manifest, redact=self._redact).bundle


class CleanUp:
    """Keeps the output directory in order; a component."""

    def __init__(
        self,
        config: Config,
        output: OutputDirectory,
        leftovers: Leftovers,
        audit: Audit,
        service_counts: ServiceCounts,
    ) -> None:
        self._output = output
        self._leftovers = leftovers
        self._audit = audit
        self._service_counts = service_counts
        self._interval_s = config.cleanup.cleanup_interval_sec
        self._retention = Retention(output, limits(config), self._record)
        self.component = Component("cleanup", self.run, Policy.LASTING, Progress(LARGE_DIRECTORY_S))

    def change_config(self, config: Config) -> None:
        """Go by another config from the next run on."""
        self._interval_s = config.cleanup.cleanup_interval_sec
        self._retention.limits = limits(config)
        self._leftovers.change_config(config)

    async def run(self, progress: Progress) -> None:
        """Clean up each interval until cancelled; a disk that refuses is no failure."""
        while True:
            try:
                with progress.busy():
                    await asyncio.to_thread(self._clean_up)
            except OSError as error:
                log.error("cleanup failed, tried again later: %s", error)
            await asyncio.sleep(self._interval_s)

    def _clean_up(self) -> None:
        self._output.follow()
        self._leftovers.recover()
        self._retention.sweep(time.time_ns(), time.clock_gettime_ns(time.CLOCK_BOOTTIME))

    def _record(self, event: str, /, **facts: str | int) -> None:
        self._service_counts.deleted += 1
        self._audit.record(event, **facts)


def audit_bytes(config: Config) -> int:
    """Return how large each file of the audit log may be."""
    return part_of(int(config.cleanup.max_total_log_size_mb * MIB))


def limits(config: Config) -> Limits:
    """Return how much the config keeps."""
    return Limits(
        int(config.cleanup.max_log_age_days * DAY_NS),
        int(config.cleanup.max_total_log_size_mb * MIB),
    )
