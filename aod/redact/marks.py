"""Signs around a pseudonym, so that no later rule takes it for a name."""

import re

BEGIN, END = "\ue000", "\ue001"
MARK = f"{BEGIN}[^{END}]*{END}"
"""A pattern of a pseudonym between its signs."""
MARKS = re.compile(f"({MARK})")


def marked(pseudonym: str) -> str:
    """Return a pseudonym between the signs."""
    return f"{BEGIN}{pseudonym}{END}"


def unmarked(text: str) -> str:
    """Return a text without the signs."""
    return text.replace(BEGIN, "").replace(END, "")
