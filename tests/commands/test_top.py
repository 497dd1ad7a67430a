"""`aod top`: what it shows of made-up counters (real mounts: tests/vm)."""

import asyncio
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import cast

import numpy as np
import pytest

from aod.activity.activities import Activities, KnownTrees
from aod.activity.samples import Counter, Sample
from aod.commands import top as command
from aod.errors import ConfigError
from aod.events import BUCKETS
from aod.smb import names as names_module
from aod.smb.names import Names
from aod.tracer.program import Tracer
from tests.fakes import FakeTracer

SECOND = 1_000_000_000
READ, WRITE = 8, 9


class Samples:
    """Counts 20 slow reads and 100 fast writes a second of tree 5, two of them failed."""

    def __init__(self) -> None:
        self.taken = 0

    def __call__(self) -> command.NamedSample:
        reads, writes = np.zeros(BUCKETS, np.int64), np.zeros(BUCKETS, np.int64)
        reads[13], writes[9] = 20 * self.taken, 100 * self.taken
        counters = {
            (1, 5, READ): Counter(20 * self.taken, 0, 0, 0, 15_000_000, reads),
            (1, 5, WRITE): Counter(100 * self.taken, 2 * self.taken, 4096, 0, 900_000, writes),
        }
        self.taken += 1
        taken = Sample(self.taken * SECOND, counters, {(1, 5, READ): 3})
        return command.NamedSample(taken, KnownTrees({}))


class Kept:
    """Keeps what is shown."""

    def __init__(self, then: Callable[[], None] = lambda: None) -> None:
        self.snapshots: list[Activities] = []
        self._then = then

    def __call__(self, snapshot: Activities) -> None:
        self.snapshots.append(snapshot)
        self._then()


async def shown(
    show: command.Show, *, count: int | None = 1, sort: command.Sort = command.Sort.OPERATIONS
) -> None:
    stop = asyncio.Event()
    async with asyncio.timeout(20):
        view = command.View(0.01, count, sort, show)
        await command.show_samples(Samples(), view, stop)


async def test_json_tells_rates_of_each_command_and_of_all(
    capsys: pytest.CaptureFixture[str],
) -> None:
    await shown(command._print_json)

    told = json.loads(capsys.readouterr().out)
    writes, reads = told["activities"]
    assert told["interval_s"] == 1
    assert (writes["server"], writes["share"]) == ("connection 0x1", "tree 0x5")
    assert (writes["command"], writes["operations"], writes["errors_per_s"]) == (
        "SMB2_WRITE",
        100,
        2,
    )
    assert (reads["operations_per_s"], reads["in_flight"]) == (20, 3)
    assert 8 < reads["p50_ms"] < reads["p99_ms"] <= reads["max_ms"] == 15
    assert "share" not in told["total"]
    assert (told["total"]["operations_per_s"], told["total"]["in_flight"]) == (120, 3)


async def test_plain_text_is_a_table_with_the_total_last(
    capsys: pytest.CaptureFixture[str],
) -> None:
    await shown(command._print_text, count=2)

    first, second = capsys.readouterr().out.strip().split("\n\n")
    heading, *rows = second.splitlines()[1:]
    assert len(first.splitlines()) == 5
    assert heading.split()[:3] == ["SHARE", "COMMAND", "OPS/S"]
    assert rows[1].split()[-7:] == ["READ", "20.0", "12.29", "15.00", "15.00", "0.0", "3"]
    assert rows[-1].split()[:2] == ["total", "120.0"]


async def test_sorted_by_latency_the_slowest_stands_first() -> None:
    show = Kept()

    await shown(show, sort=command.Sort.P99)

    assert [each.command for each in show.snapshots[0].activities] == ["SMB2_READ", "SMB2_WRITE"]


async def test_it_ends_when_it_is_told_to() -> None:
    stop = asyncio.Event()
    show = Kept(then=stop.set)

    async with asyncio.timeout(20):
        view = command.View(0.01, None, command.Sort.OPERATIONS, show)
        await command.show_samples(Samples(), view, stop)

    assert len(show.snapshots) == 1


@pytest.mark.parametrize("interval", [0.0, -1.0, float("nan"), 3601.0])
def test_an_interval_that_is_none_is_refused(interval: float) -> None:
    with pytest.raises(ConfigError, match=r"--interval: .* \(allowed: 0.1 to 3600\)"):
        command.top(interval)


async def test_without_a_service_the_names_are_looked_up_with_each_sample(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    debug_data = tmp_path / "DebugData"
    monkeypatch.setattr(names_module, "Names", partial(Names, debug_data))
    take = command.TracerSamples(cast(Tracer, FakeTracer()))

    before = await asyncio.to_thread(take)
    debug_data.write_text("1) ConnectionId: 0x0 Hostname: nas01\n")
    after = await asyncio.to_thread(take)

    assert before.sample.counters.keys() == after.sample.counters.keys() == {(0, 0, READ)}
    assert after.names.server_and_share(0, 0) == ("nas01", "")
