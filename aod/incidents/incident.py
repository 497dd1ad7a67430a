"""One incident: its anomalies, its actions, its bundle."""

import asyncio
import logging
import threading
from collections.abc import Coroutine, Sequence
from dataclasses import asdict, replace

from aod import actions, redact
from aod.actions.action import Action, ActionResult, Span
from aod.actions.runner import Runner
from aod.bundle import SUMMARY, Bundle, Grant, OutputDirectory, manifest
from aod.bundle.manifest import Manifest
from aod.config import Config
from aod.detectors.anomaly import Anomaly
from aod.events import join
from aod.incidents import notices
from aod.incidents.cooldown import Suppressed
from aod.incidents.evidence import DescribedAnomalies, Evidence, wall_offset_ns
from aod.incidents.notices import Notice, Outcome
from aod.report.summary import render

log = logging.getLogger(__name__)

MIB = 1 << 20
PENDING = "pending"
HURRY = 0.4
"""Part of the grace that running actions still get; their children then have 4 s to end."""


def make_span(config: Config, raised_wall_ns: int) -> Span:
    """Return the span for the actions of an incident, raised at a time of the wall clock."""
    watcher = config.watcher
    return Span(
        raised_wall_ns=raised_wall_ns,
        lookback_s=watcher.lookback_sec,
        post_trigger_s=watcher.post_trigger_sec,
        timeout_s=watcher.action_timeout_sec,
        max_bytes=int(watcher.action_max_mb * MIB),
        snaplen=config.tcpdump.snaplen,
    )


class Incident:
    """Keeps the evidence of one anomaly, and of those that are raised meanwhile."""

    def __init__(
        self,
        first: Anomaly,
        config: Config,
        runner: Runner,
        evidence: Evidence,
        suppressed: Sequence[Suppressed],
    ) -> None:
        self.first = first
        self._config = config
        self._runner = runner
        self._evidence = evidence
        self._descriptions = DescribedAnomalies(evidence, config)
        self._cleaner = redact.make(redact=config.redact)
        self.suppressed = tuple(suppressed)
        self._anomalies = {first.name: first}
        self._keys = {first.key: first.name}
        self._repeats = {first.name: 0}
        self._results: dict[str, manifest.ActionResult] = {}
        self._opened: Bundle | None = None
        self._clean_manifest: Manifest | None = None
        """The clean manifest that was written last, None while a later one is made."""
        self._group: asyncio.TaskGroup | None = None
        self._running = 0
        self._grace_s: float | None = None
        self._hurried = asyncio.Event()
        self._limit = asyncio.timeout(None)
        # A manifest that is still written when its task was cut off must not meet the next one.
        self._writing = threading.Lock()

    @property
    def is_open(self) -> bool:
        """Whether its bundle was opened, and can be sealed."""
        return self._opened is not None

    @property
    def name(self) -> str:
        """The name of its bundle, "" before that is opened."""
        return self._opened.name if self._opened else ""

    @property
    def _bundle(self) -> Bundle:
        assert self._opened
        return self._opened

    @property
    def keys(self) -> dict[str, str]:
        """The name of each anomaly in it, by every key under which it was raised."""
        return dict(self._keys)

    @property
    def anomalies(self) -> tuple[Anomaly, ...]:
        """What it was opened for and what has joined, each with its repeats."""
        return tuple(self._anomalies.values())

    def join(self, anomaly: Anomaly) -> bool:
        """Take in an anomaly that is raised while this one is collected.

        Returns False when it is too late for another one's actions; a repeat is never late.
        """
        known = self._anomalies.get(anomaly.name)
        if not known and self._group and (not self._running or self._limit.expired()):
            return False
        # The count first: a thread that describes the anomalies may look at any moment.
        self._repeats[anomaly.name] = self._repeats[anomaly.name] + 1 if known else 0
        self._anomalies[anomaly.name] = known.merged(anomaly) if known else anomaly
        self._keys[anomaly.key] = anomaly.name
        if not known and self._group:
            self._start(self._add(anomaly), f"join {anomaly.name}")
        return True

    def hurry(self, grace_s: float) -> None:
        """End within `grace_s`: wait for nothing more, and cut off what takes too long.

        Does nothing the second time, or when all is collected.
        """
        if self._grace_s is None:
            self._grace_s = grace_s
            self._hurried.set()
            self._shorten()

    async def collect(self, output: OutputDirectory) -> None:
        """Open the bundle, keep the evidence, run the actions; OSError when it cannot open."""
        until_s = asyncio.get_running_loop().time() + self._config.watcher.post_trigger_sec
        await asyncio.to_thread(self._open, output)
        try:
            async with self._limit, asyncio.TaskGroup() as self._group:
                self._start(self._wait_until(until_s), "post trigger")
                self._start(self._act(self.first), f"actions of {self.first.name}")
                # Those that joined while it was opened may not stand in its manifest yet.
                for anomaly in self.anomalies[1:]:
                    self._start(self._add(anomaly), f"join {anomaly.name}")
                self._shorten()
        except TimeoutError:
            log.warning("collecting cut off, aod is stopping bundle=%s", self._bundle.name)
            self._note_cut_off()

    async def seal(self) -> str:
        """Write the last of the evidence and seal; return the file's name. Raises OSError."""
        return await asyncio.to_thread(self._seal)

    async def notice(self, outcome: Outcome, bundle: str, reason: str = "") -> Notice:
        """Return the notice of how it ended, in the words of its last manifest."""
        return await asyncio.to_thread(self._notice, outcome, bundle, reason)

    def _shorten(self) -> None:
        if self._grace_s is not None and self._running:
            self._limit.reschedule(asyncio.get_running_loop().time() + HURRY * self._grace_s)

    def _start(self, work: Coroutine[object, None, None], name: str) -> None:
        assert self._group is not None
        self._running += 1
        task = self._group.create_task(work, name=name)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running -= 1

    async def _wait_until(self, until_s: float) -> None:
        try:
            async with asyncio.timeout_at(until_s):
                await self._hurried.wait()
        except TimeoutError:
            return

    async def _add(self, anomaly: Anomaly) -> None:
        try:
            await asyncio.to_thread(self._write_manifest)
        except OSError as error:
            log.warning("manifest not renewed bundle=%s: %s", self._bundle.name, error)
        await self._act(anomaly)

    async def _act(self, anomaly: Anomaly) -> None:
        """Run those of the anomaly's actions that this incident has not run yet."""
        missing = [name for name in self._action_names(anomaly) if name not in self._results]
        chosen = [action for name in missing if (action := self._choose(name))]
        span = make_span(self._config, anomaly.timestamp)
        await self._runner.run(chosen, span, self._bundle, self._keep_result)

    def _choose(self, name: str) -> Action | None:
        """Return the action, or None with the reason as its result."""
        if name not in self._grant.actions:
            self._note(name, "skipped", "the disk has no room for it")
            return None
        try:
            action = actions.create(name)
        except Exception as error:  # an action is the boundary, and a third party's may not load
            log.exception("action cannot be loaded action=%s", name)
            self._note(name, "failed", f"{type(error).__name__}: {error}")
            return None
        if reason := self._cleaner.refuses(action):
            self._note(name, "skipped", reason)
            return None
        self._note(name, PENDING)
        return action

    def _note_cut_off(self) -> None:
        """Give a result to the actions whose tasks were cancelled before their first step."""
        for name in (name for anomaly in self.anomalies for name in self._action_names(anomaly)):
            result = self._results.get(name)
            if not result or result.state == PENDING:
                self._note(name, "cancelled", "aod ended before it was started")

    def _note(self, name: str, state: str, reason: str = "") -> None:
        self._results[name] = manifest.ActionResult(state, name, reason)

    def _keep_result(self, result: ActionResult) -> None:
        self._results[result.name] = manifest.ActionResult(**asdict(result))

    def _action_names(self, anomaly: Anomaly) -> Sequence[str]:
        section = self._config.guardian.anomalies.get(anomaly.name)
        return section.actions if section else self._config.watcher.actions

    def _open(self, output: OutputDirectory) -> None:
        output.follow()
        self._opened = bundle = Bundle.create(output, self.first.timestamp)
        try:
            self._grant = self._reserve(bundle, output)
            self._write_manifest()
        except BaseException:
            self._opened = None
            bundle.discard()
            raise

    def _reserve(self, bundle: Bundle, output: OutputDirectory) -> Grant:
        """Reserve room for all actions that may run: any anomaly may join."""
        cap_bytes = int(self._config.watcher.action_max_mb * MIB)
        caps = dict.fromkeys(self._config.watcher.actions, cap_bytes)
        min_free_bytes = int(self._config.min_free_mb * MIB)
        room = output.reservations.reserve(bundle.name, caps, min_free_bytes, output)
        if room.left_out:
            log.warning("disk is short of room, left out: %s", " ".join(room.left_out))
        return room

    def _write_manifest(self) -> None:
        with self._writing:
            self._clean_manifest = self._cleaner.manifest(self._manifest("collecting"))
            self._bundle.write_manifest(self._clean_manifest)

    def _manifest(self, state: str) -> Manifest:
        return replace(
            self._evidence.manifest(state, self._described()),
            timestamp=self._bundle.timestamp,
            suppressed_since_last=tuple(held_back.described() for held_back in self.suppressed),
            actions=dict(self._results),
            disk=self._grant.described(),
            wall_minus_monotonic_ns=wall_offset_ns(self.first),
            config=self._config.kept(),
        )

    def _described(self) -> list[manifest.Anomaly]:
        return [
            self._descriptions.describe(each, self._repeats[each.name]) for each in self.anomalies
        ]

    def _notice(self, outcome: Outcome, bundle: str, reason: str) -> Notice:
        with self._writing:
            clean = self._clean_manifest
            if not clean:  # there was never room for a manifest; it leaves the machine all the same
                clean = self._cleaner.manifest(
                    self._evidence.manifest("collecting", self._described())
                )
        return notices.ended(outcome, bundle, reason, clean.anomalies, clean.host.name)

    def _seal(self) -> str:
        with self._writing, self._bundle as bundle:
            whole, self._clean_manifest = self._manifest("sealed"), None
            self._clean_manifest = last = bundle.clean(whole, self._cleaner.bundle)
            if self._grant.has_events:
                operations = [each for anomaly in last.anomalies for each in anomaly.events]
                events = join(*(anomaly.events for anomaly in self.anomalies))
                bundle.write_events(self._cleaner.events(events), operations)
            bundle.write(SUMMARY, render(last).encode(errors="backslashreplace"))
            return bundle.seal(last).name
