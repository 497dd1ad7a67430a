#!/usr/bin/env python3
"""What aod costs the programs that use a share: the same work with and without it, by turns.

    overhead.py /mnt/share                      # files in a new folder there, ten minutes or less
    overhead.py /mnt/share --work 'fio job.ini' # a workload of your own, by how long it takes
    overhead.py --from build/overhead.json      # the table and the plot again

Needs Python 3.11 alone, and matplotlib for the plot. One file, so that it can be copied to the
machine in question. Run it as root while aod is stopped.
"""

import argparse
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

KINDS = ("create", "write", "read", "stat", "remove")
FILE_BYTES = 16 << 10
PROC = Path("/proc")
READY = b"attached"
START_S = 120.0
STOP_S = 60.0
TICK_S = 1 / os.sysconf("SC_CLK_TCK")
WITHOUT, WITH = "without aod", "with aod"


class OverheadError(Exception):
    """The comparison cannot be made."""


@dataclass(slots=True)
class Turn:
    """One turn: what was done, and what aod used meanwhile, which is nothing without it."""

    side: str
    duration_s: float
    operations: int
    latencies_ms: dict[str, dict[str, float]] = field(default_factory=dict)
    """{kind: {"p50": ..., "p99": ...}}; empty for a workload of one's own."""
    aod_cpu_s: float = 0.0
    aod_memory_kb: int = 0

    @property
    def rate(self) -> float:
        """Operations per second."""
        return self.operations / self.duration_s


def use_files(folder: Path, duration_s: float, workers: int) -> Turn:
    """Let some threads use small files for a while, each at least one, and time each call."""
    taken: dict[str, list[int]] = {kind: [] for kind in KINDS}
    started_s = time.monotonic()
    threads = [
        threading.Thread(target=_worker, args=(folder / str(n), started_s + duration_s, taken))
        for n in range(workers)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took_s = time.monotonic() - started_s
    quantiles = {kind: _quantiles_ms(times) for kind, times in taken.items() if times}
    return Turn("", took_s, sum(map(len, taken.values())), quantiles)


def _worker(folder: Path, until_s: float, taken: Mapping[str, list[int]]) -> None:
    folder.mkdir()
    content, number = os.urandom(FILE_BYTES), 0

    def timed(kind: str, call: Callable[..., Any], *arguments: Any) -> Any:
        started_ns = time.perf_counter_ns()
        result = call(*arguments)
        taken[kind].append(time.perf_counter_ns() - started_ns)
        return result

    while number == 0 or time.monotonic() < until_s:  # a turn without a file has no rate
        path = folder / f"file{number}"
        fd = timed("create", os.open, path, os.O_CREAT | os.O_RDWR | os.O_EXCL)
        timed("write", _write, fd, content)
        timed("read", os.pread, fd, FILE_BYTES, 0)
        os.close(fd)
        timed("stat", os.stat, path)
        timed("remove", os.unlink, path)
        number += 1
    folder.rmdir()


def _write(fd: int, content: bytes) -> None:
    os.write(fd, content)
    os.fsync(fd)


def _quantiles_ms(times_ns: Sequence[int]) -> dict[str, float]:
    ordered = sorted(times_ns)
    places = {"p50": 0.5, "p99": 0.99}
    return {name: ordered[int(place * (len(ordered) - 1))] / 1e6 for name, place in places.items()}


def run_command(command: str, folder: Path) -> Turn:
    """Run a workload of the user's own in the folder; its end counts as one operation."""
    started_s = time.monotonic()
    code = subprocess.run(["/bin/sh", "-c", command], cwd=folder).returncode
    if code:
        raise OverheadError(f"the workload ended with exit code {code}: {command}")
    return Turn("", time.monotonic() - started_s, 1)


class Aod:
    """An `aod run` of our own, as long as the context lasts; nothing is kept of it."""

    def __init__(self, program: Sequence[str], config: Path | None) -> None:
        self._command = [*program, "run", *(["--config", str(config)] if config else [])]

    @contextmanager
    def running(self) -> Iterator[int]:
        """Start it, wait until its probes are attached, and end it; yield its process id."""
        with tempfile.TemporaryDirectory(prefix="aod-overhead-") as folder:
            log = Path(folder) / "log"
            own = {"AOD_OUTPUT_DIR": f"{folder}/out", "STATE_DIRECTORY": f"{folder}/state"}
            own["RUNTIME_DIRECTORY"] = f"{folder}/run"
            with log.open("wb") as output:
                process = subprocess.Popen(
                    self._command, stderr=output, env=os.environ | own, start_new_session=True
                )
            try:
                self._wait(process, log)
                yield process.pid
            finally:
                self._end(process)

    def _wait(self, process: subprocess.Popen[bytes], log: Path) -> None:
        until_s = time.monotonic() + START_S
        while READY not in log.read_bytes():
            if process.poll() is not None or time.monotonic() > until_s:
                told = log.read_text(errors="replace")[-2000:]
                raise OverheadError(
                    f"aod did not attach its probes: {' '.join(self._command)}\n{told}"
                )
            time.sleep(0.1)

    @staticmethod
    def _end(process: subprocess.Popen[bytes]) -> None:
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def cpu_s(pid: int) -> float:
    """Return the processor time of a process and of its children that have ended."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) * TICK_S


def memory_kb(pid: int) -> int:
    """Return the proportional set size (PSS) of a process."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))


def compare(
    work: Callable[[], Turn], aod: Aod, rounds: int, tell: Callable[[str], None]
) -> list[Turn]:
    """Take turns without and with aod, in the order A B B A, after one that does not count."""
    work()
    turns = []
    for number in range(rounds):
        for side in (WITHOUT, WITH) if number % 2 == 0 else (WITH, WITHOUT):
            turn = _with(work, aod) if side == WITH else work()
            turn.side = side
            turns.append(turn)
            tell(f"round {number + 1} of {rounds}, {side}: {turn.rate:.4g} operations a second")
    return turns


def _with(work: Callable[[], Turn], aod: Aod) -> Turn:
    with aod.running() as pid:
        before_s = cpu_s(pid)
        turn = work()
        turn.aod_cpu_s, turn.aod_memory_kb = cpu_s(pid) - before_s, memory_kb(pid)
    return turn


def ratios(turns: Sequence[Turn], figure: Callable[[Turn], float]) -> list[float]:
    """Return with to without for each round."""
    sides = [[figure(turn) for turn in turns if turn.side == side] for side in (WITH, WITHOUT)]
    return [with_ / without for with_, without in zip(*sides, strict=True)]


def table(turns: Sequence[Turn]) -> str:
    """Return what was found as text: the median of the rounds, and how far they spread."""
    rows: list[tuple[str, ...]] = [("", WITHOUT, WITH, "ratio", "spread")]
    rows.append(_row("operations/s", turns, lambda turn: turn.rate))
    for kind in turns[0].latencies_ms:
        rows += [_row(f"{kind} {name}, ms", turns, _latency(kind, name)) for name in ("p50", "p99")]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(f"{cell:>{width}}" for cell, width in zip(row, widths, strict=True))
        for row in rows
    ]
    of_aod = [turn for turn in turns if turn.side == WITH]
    share = statistics.median(turn.aod_cpu_s / turn.duration_s for turn in of_aod)
    memory_mb = max(turn.aod_memory_kb for turn in of_aod) / 1024
    used_s = sum(turn.aod_cpu_s for turn in of_aod)
    lines.append(
        f"aod itself: {used_s:.2f} s of CPU in all, {share:.2%} of a core, "
        f"{memory_mb:.0f} MiB (PSS)"
    )
    return "\n".join(lines)


def _latency(kind: str, quantile: str) -> Callable[[Turn], float]:
    return lambda turn: turn.latencies_ms[kind][quantile]


def _row(name: str, turns: Sequence[Turn], figure: Callable[[Turn], float]) -> tuple[str, ...]:
    medians = [
        statistics.median(figure(turn) for turn in turns if turn.side == side)
        for side in (WITHOUT, WITH)
    ]
    found = ratios(turns, figure)
    spread = f"{min(found):.3f} to {max(found):.3f}"
    return name, *(f"{median:.4g}" for median in medians), f"{statistics.median(found):.3f}", spread


def plot(turns: Sequence[Turn], path: Path) -> None:
    """Draw the rounds and the latencies; raises ImportError without matplotlib."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    kinds = list(turns[0].latencies_ms)
    figure, axes = pyplot.subplots(
        1, 3 if kinds else 1, figsize=(13 if kinds else 5, 4), squeeze=False
    )
    for side, colour in ((WITHOUT, "tab:grey"), (WITH, "tab:orange")):
        of_side = [turn for turn in turns if turn.side == side]
        axes[0][0].plot(
            range(1, len(of_side) + 1), [t.rate for t in of_side], "o-", color=colour, label=side
        )
        for axis, quantile in zip(axes[0][1:], ("p50", "p99"), strict=False):
            offset = -0.2 if side == WITHOUT else 0.2
            medians = [
                statistics.median(t.latencies_ms[k][quantile] for t in of_side) for k in kinds
            ]
            axis.bar(
                [i + offset for i in range(len(kinds))], medians, 0.4, color=colour, label=side
            )
            axis.set(
                title=f"latency, {quantile}",
                ylabel="ms",
                yscale="log",
                xticks=range(len(kinds)),
                xticklabels=kinds,
            )
    rounds = range(1, len(turns) // 2 + 1)
    axes[0][0].set(title="throughput", xlabel="round", xticks=rounds)
    axes[0][0].set(ylabel="operations/s", ylim=(0, None))
    axes[0][0].legend()
    figure.tight_layout()
    figure.savefig(path)
    pyplot.close(figure)


def refuse_a_running_aod() -> None:
    """Raise OverheadError when aod runs already: nothing would be without it."""
    for path in PROC.glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
        except OSError:
            continue
        if b"run" in words and any(Path(os.fsdecode(w)).name == "aod" for w in words[:3]):
            raise OverheadError(f"aod runs already, as process {path.parent.name}: stop it first")


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare, print the table, and write JSON and plot; return the exit code."""
    options = _options(arguments)
    try:
        if options.load:
            turns = [Turn(**turn) for turn in json.loads(options.load.read_text())["turns"]]
        else:
            turns = _compare(options)
            options.out.parent.mkdir(parents=True, exist_ok=True)
            options.out.write_text(
                json.dumps({"turns": [asdict(turn) for turn in turns]}, indent=1)
            )
    except OverheadError as error:
        print(f"overhead: {error}", file=sys.stderr)
        return 1
    print(table(turns))
    drawn = options.plot or (options.load or options.out).with_suffix(".svg")
    try:
        plot(turns, drawn)
        print(f"plot: {drawn}")
    except ImportError:
        print("no plot: matplotlib is not installed (pip install matplotlib, then --from the JSON)")
    return 0


def _compare(options: argparse.Namespace) -> list[Turn]:
    if options.share is None:
        raise OverheadError("name a folder of a mounted share, or --from a file")
    refuse_a_running_aod()
    folder = Path(tempfile.mkdtemp(prefix="aod-overhead-", dir=options.share))
    try:
        if options.work:
            work: Callable[[], Turn] = lambda: run_command(options.work, folder)  # noqa: E731
        else:
            work = lambda: use_files(folder, options.seconds, options.workers)  # noqa: E731
        aod = Aod(options.aod.split(), options.config)
        return compare(work, aod, options.rounds, lambda line: print(line, flush=True))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("share", nargs="?", type=Path, help="a folder of a mounted share")
    parser.add_argument("--rounds", type=int, default=10, help="pairs of turns (default: 10)")
    parser.add_argument("--seconds", type=float, default=20, help="of each turn (default: 20)")
    parser.add_argument("--workers", type=int, default=4, help="threads (default: 4)")
    parser.add_argument("--work", help="a workload of your own, a command for the shell")
    parser.add_argument("--aod", default="aod", help="the program (default: aod)")
    parser.add_argument("--config", type=Path, help="its config (default: that of the service)")
    parser.add_argument("--out", type=Path, default=Path("build/overhead.json"), help="figures")
    parser.add_argument("--plot", type=Path, help="picture, .svg or .png (default: beside them)")
    parser.add_argument("--from", dest="load", type=Path, help="show the figures of a file")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
