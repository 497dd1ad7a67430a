"""The violating operations as files: an array for programs, a table for people."""

import csv
import io
from collections.abc import Iterable

import numpy as np

from aod.bundle.manifest import COLUMNS, Operation, row
from aod.events import Events


def as_npy(events: Events) -> bytes:
    """Return events, dtype EVENT, as numpy.load reads them."""
    array = io.BytesIO()
    np.save(array, events, allow_pickle=False)
    return array.getvalue()


def as_csv(operations: Iterable[Operation]) -> bytes:
    """Return operations as a table of COLUMNS; what is not known is empty."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, COLUMNS)
    writer.writeheader()
    for each in operations:
        writer.writerow({**row(each), "flags": "|".join(each.flags)})
    return text.getvalue().encode(errors="backslashreplace")
