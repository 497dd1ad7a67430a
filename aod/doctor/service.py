"""The running service: what it has attached, whether its ledger is closed, what it has lost."""

from collections.abc import Iterator, Mapping

from aod.control import find
from aod.control.answers import StatusAnswer, TracerAnswer
from aod.doctor import probes
from aod.doctor.finding import Finding, Severity
from aod.errors import ServiceError
from aod.tracer.ledger import Ledger


def examine() -> Iterator[Finding] | None:
    """Return what the running service says of itself, None when none runs.

    Nothing is attached for it. A service that cannot be asked is a finding too.
    """
    try:
        service = find()
        return _findings(service.status, service.ask(TracerAnswer)) if service else None
    except ServiceError as error:
        return iter([Finding(Severity.WARNING, "service", str(error))])


def _findings(status: StatusAnswer, tracer: TracerAnswer) -> Iterator[Finding]:
    text = f"runs as process {status.pid}, bundles in {status.output}: {status.status}"
    yield Finding(Severity.WARNING if status.complaints else Severity.OK, "service", text)
    if attached := tracer.attached():
        yield from probes.findings(attached)
    yield _books(tracer.ledger)
    yield _losses(tracer.lost)


def _books(ledger: Ledger) -> Finding:
    """Judge the balance; what is under way while it is read is no imbalance to speak of."""
    text = f"{ledger.requests} requests, {ledger.completed} completed, {ledger.open} open"
    off = max(abs(ledger.request_imbalance), abs(ledger.pdu_imbalance))
    if not off:
        return Finding(Severity.OK, "ledger", f"closed: {text}")
    return Finding(
        Severity.NOTE, "ledger", f"{text}; {off} not accounted for, or under way just now"
    )


def _losses(lost: Mapping[str, int]) -> Finding:
    losses = ", ".join(f"{count} {what}" for what, count in lost.items() if count)
    if losses:
        return Finding(Severity.WARNING, "lost", f"{losses} since the service was started")
    return Finding(Severity.OK, "lost", "nothing since the service was started")
