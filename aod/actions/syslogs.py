"""Keeps the tail of the system's log file over the span of the incident."""

from functools import partial
from io import FileIO
from pathlib import Path

from aod.actions.action import Context, Result, Skip
from aod.actions.file import Source
from aod.actions.output import Output
from aod.actions.tail import SpanStart, span_start

LOGS = ("var/log/syslog", "var/log/messages")


class Syslogs:
    """Copies /var/log/syslog or messages from `lookback_s` before the anomaly to its end."""

    name = "syslogs"
    file_name = "syslogs.txt"

    def __init__(self, root: Path = Path("/")) -> None:
        self._paths = [root / log for log in LOGS]

    async def collect(self, context: Context, output: Output) -> Result:
        """Copy the first log that is there; raises Skip on a journal-only system."""
        for path in self._paths:
            try:
                async with Source(path, context) as source:
                    return await self._copy_span(source, context, output)
            except FileNotFoundError:
                continue
        raise Skip("no /var/log/syslog or /var/log/messages: this system logs to the journal only")

    async def _copy_span(self, source: Source, context: Context, output: Output) -> Result:
        raised_s = context.span.raised_wall_ns / 1e9
        since_s = raised_s - context.span.lookback_s
        room = max(0, output.room - len(output.marker))
        find = partial(span_start, since_s=since_s, near_s=raised_s, max_bytes=room)
        start = await source.call(find)
        if start.truncated:  # the oldest lines are missing, so the mark comes first
            await output.write(output.marker)
        await source.call(FileIO.seek, start.offset)
        await source.copy(output)
        output.truncated |= start.truncated
        return Result(reason=_remark(start))


def _remark(start: SpanStart) -> str:
    if not start.stamped:
        return "no time stamps that are known: as much of the end as fits"
    if start.offset == 0:
        return "the file begins within the span: older lines were rotated away"
    return ""
