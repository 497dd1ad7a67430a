"""A made-up anomaly, from the kernel's side of the ring to what opens an incident."""

import asyncio
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aod import detectors, smb
from aod.clock import wall_offset_ns
from aod.config import Config
from aod.detectors.anomaly import Anomaly
from aod.detectors.detection import make_detectors
from aod.detectors.detector import Detector, Sampled, Ticking
from aod.detectors.section import AnomalySection
from aod.errors import HostError, TracerError
from aod.events import Count, Events, Kind, empty, join
from aod.incidents.evidence import Evidence
from aod.incidents.unwatched import Lost, NoTracer
from aod.smb import Command
from aod.smb.filter import NEVER, Filter, event_thresholds_ns
from aod.smb.names import Names
from aod.smb.probes import LADDER
from aod.tracer import needs
from aod.tracer.ladder import KERNEL_BTF
from aod.tracer.libbpf import libbpf_version
from aod.tracer.program import Tracer

COMM = b"aod-doctor"
REASON = "synthetic, made by aod doctor --fire; no operation was slow or failed"
WITHOUT_TYPES = LADDER[1]
GENERATOR = "generate"
RING_S = 10.0
FAILURE_NS = 1_000_000
DENIED = 0xC0000022


@dataclass(frozen=True, slots=True)
class Fired:
    """The anomaly, and what is known of it besides."""

    anomaly: Anomaly
    evidence: Evidence


@dataclass(frozen=True, slots=True)
class OneDetector:
    """The detection of the one detector that was fired at."""

    detector: Detector

    def thresholds_ns(self, anomaly: str, events: Events) -> NDArray[np.uint64]:
        """Return the latency from which each event counts, shape (n,)."""
        return event_thresholds_ns(self.detector.filter.thresholds_ns, events)


def require() -> None:
    """Raise HostError when this user or this kernel cannot fire; cifs is not needed."""
    if lacking := needs.missing_capabilities() or needs.missing_types():
        raise HostError(lacking)


async def fire(config: Config) -> Fired:
    """Send made-up operations through the ring to the first detector that objects to them.

    Attaches nothing. Raises HostError when the kernel does not take the programs, or
    no anomaly of the config is raised.
    """
    await asyncio.to_thread(smb.statuses)
    sections = config.guardian.anomalies
    made = make_detectors(sections, config.watch_interval_ns, Names())
    with await asyncio.to_thread(_load) as tracer:
        for detector in made:
            for sample in samples(detector, sections[detector.name]):
                events = await _through_ring(tracer, sample)
                if anomaly := _judge(detector, events):
                    lost = Lost({"events": tracer.counts()[Count.LOST]})
                    tracing, detection = NoTracer(libbpf_version()), OneDetector(detector)
                    return Fired(
                        replace(anomaly.stamped(wall_offset_ns()), reason=REASON),
                        Evidence(Names(), tracing, detection, lost),
                    )
    raise HostError(
        "no anomaly of the config was raised by the made-up operations: they are of a process "
        f"{COMM.decode()} (the config may watch others only: see the keys `processes`)"
    )


def samples(detector: Detector, section: AnomalySection) -> Iterator[Events]:
    """Yield made-up operations, shape (n,), one batch after the other that may raise an anomaly."""
    detector_class = detectors.load(section.type)
    if isinstance(detector_class, Sampled):
        yield detector_class.sample(section, _operation(latency_ns=FAILURE_NS))
        return
    count = 1 + getattr(section, "acceptable_count", 0)
    for operation in _passing(detector.filter):
        yield np.repeat(operation, count)


def _passing(wanted: Filter) -> Iterator[Events]:
    """Yield an operation, shape (1,), for each reason that a filter has to let one through."""
    thresholds_ns = wanted.thresholds_ns[0]
    if thresholds_ns.min() != NEVER:
        command = int(thresholds_ns.argmin())
        yield _operation(command=command, latency_ns=thresholds_ns[command])
    for status in (DENIED, *smb.statuses()):
        if commands := status and wanted.statuses.commands(status):
            command = next(each for each in Command if each in commands)
            yield _operation(command=command, status=status, latency_ns=FAILURE_NS)
            break
    for number in np.flatnonzero(wanted.errors).tolist()[:1]:
        yield _operation(kind=Kind.UNSENT, error=-number)
    for kind in sorted(wanted.kinds):
        yield _operation(kind=kind, latency_ns=FAILURE_NS)


def _operation(**fields: Any) -> Events:
    operation = empty(1)
    own = {"pid": os.getpid(), "tid": threading.get_native_id(), "uid": os.getuid(), "comm": COMM}
    times = {"kind": Kind.COMPLETED, "time_ns": time.monotonic_ns()}
    for name, value in {**own, **times, **fields}.items():
        operation[name] = value
    return operation


def _load() -> Tracer:
    """Load the object with its generator, as for a kernel without types of cifs."""
    load = partial(Tracer, btf=KERNEL_BTF, rung=WITHOUT_TYPES)
    try:
        return load(optional=(GENERATOR,))
    except TracerError as error:
        if error.is_permission:
            raise
        load().close()  # raises what is not for the generator's sake
        raise HostError(
            "this kernel does not take the program that makes up operations (needs Linux 5.17): "
            "cause a slow one in place of --fire, or use aod collect"
        ) from error


async def _through_ring(tracer: Tracer, operations: Events) -> Events:
    """Have the kernel send operations, like ones at once, and return what comes out."""
    came = [empty()]
    done = asyncio.Event()

    def keep(events: Events) -> None:
        came.append(events)
        if sum(batch.size for batch in came) >= operations.size:
            done.set()

    try:
        async with asyncio.timeout(RING_S), asyncio.TaskGroup() as group:
            watching = group.create_task(tracer.ring.watch(keep), name="ring")
            for operation, times in Counter(map(np.void.tobytes, operations)).items():
                context = times.to_bytes(8, sys.byteorder) + operation
                await asyncio.to_thread(tracer.run, GENERATOR, context)
            await done.wait()
            watching.cancel()
    except TimeoutError as error:
        raise HostError(f"of {operations.size} operations not all came out of the ring") from error
    return join(*came)


def _judge(detector: Detector, events: Events) -> Anomaly | None:
    anomaly = detector.feed(events)
    if not anomaly and isinstance(detector, Ticking):
        anomaly = detector.tick(events)
    return anomaly
