"""What aod doctor says of the service that runs beside it."""

import pytest

from aod.control.answers import StatusAnswer, TracerAnswer
from aod.doctor import service
from aod.doctor.finding import Severity
from aod.events import Count
from aod.tracer.ledger import ledger_of


class Asked:
    """Stands in for the socket's Client."""

    def __init__(self, *complaints: str) -> None:
        status = "; ".join(("watching SMB operations", *complaints))
        self.status = StatusAnswer(7, "/var/log/aod", "", status, complaints)

    def ask(self, wanted: type[TracerAnswer]) -> TracerAnswer:
        return TracerAnswer(ledger_of(dict.fromkeys(Count, 0), 0, 0), {"events": 0})


@pytest.mark.parametrize(
    ("complaints", "state"), [((), Severity.OK), (("switched off: audit",), Severity.WARNING)]
)
def test_a_service_that_complains_is_a_warning(
    monkeypatch: pytest.MonkeyPatch, complaints: tuple[str, ...], state: Severity
) -> None:
    monkeypatch.setattr(service, "find", lambda: Asked(*complaints))

    found = service.examine()

    assert found
    first = next(found)
    assert (first.subject, first.state) == ("service", state)
    assert first.text.endswith("; ".join(("watching SMB operations", *complaints)))
