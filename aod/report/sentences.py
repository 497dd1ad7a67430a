"""What is said in one sentence: of an anomaly, of the machine."""

from aod import text
from aod.bundle.manifest import Anomaly, Manifest
from aod.detectors.words import Words, words_of
from aod.report.operations import command, outcome, process
from aod.report.wording import moment, mostly, place


def sentence(anomaly: Anomaly) -> str:
    """Say of an anomaly what, where, who and since when."""
    words = words_of(anomaly.anomaly)
    if words.sort == "asked":
        reason = text.printable(anomaly.reason or "no reason given")
        return f"Collected by hand at {moment(anomaly.raised)} UTC: {reason}."
    return _open(anomaly, words) if words.sort == "hung" else _ended(anomaly, words)


def worst_ns(anomaly: Anomaly) -> int:
    """Return the latency of the worst operation, 0 where there is none."""
    return anomaly.worst.latency_ns if anomaly.worst else 0


def about(manifest: Manifest) -> str:
    """Say on what machine it was made, and by what."""
    host = manifest.host
    line = (
        f"Host {host.name or '?'}: Linux {host.kernel or '?'}, {host.os or '?'}, "
        f"{host.machine or '?'}, {text.plural(host.cpus or 0, 'CPU')}; "
        f"aod {manifest.versions.aod or '?'}. All times are UTC."
    )
    return text.printable(line)


def _ended(anomaly: Anomaly, words: Words) -> str:
    events, longest_ns = anomaly.events, worst_ns(anomaly)
    urgent = "Emergency: " if anomaly.emergency else ""
    what = mostly("", events, command if words.sort == "slow" else outcome)
    who = f", {mostly('by ', events, process)}" if words.has_process else ""
    is_timed = longest_ns and words.order == "worst"
    worst = f"; the worst took {text.duration(longest_ns)}" if is_timed else ""
    return (
        f"{urgent}{text.plural(anomaly.count, words.noun)} on {place(events)} "
        f"{_became(words, anomaly.count)}, {what}{who}, since {_since(anomaly)} UTC{worst}."
    )


def _became(words: Words, count: int) -> str:
    if words.is_active:
        return words.verb
    return f"{'was' if count == 1 else 'were'} {words.verb}"


def _open(anomaly: Anomaly, words: Words) -> str:
    events = anomaly.events
    have = "has" if anomaly.count == 1 else "have"
    waiting = sum(not event.command for event in events)
    how = f"{mostly('', events, command)}, " if waiting < len(events) else ""
    what = "sent" if waiting == len(events) else "sent or answered" if waiting else "answered"
    return (
        f"{text.plural(anomaly.count, words.noun)} on {place(events)} {have} not been "
        f"{what} for {text.duration(worst_ns(anomaly))}, {how}"
        f"{mostly('by ', events, process)}, since {_since(anomaly)} UTC."
    )


def _since(anomaly: Anomaly) -> str:
    return moment(anomaly.first or anomaly.raised)
