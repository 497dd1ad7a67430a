"""What the parts of an operation are called."""

from aod import text
from aod.bundle.manifest import Operation
from aod.smb.paths import share_path

UNKNOWN_SHARE = "an unknown share"
NOT_SENT = "not sent yet"
WITHOUT_COMMAND = {
    "unsent": "no request",
    "waiting": NOT_SENT,
    "unanswered": NOT_SENT,  # the same, in bundles of before
    "reconnect": "reconnect",
    "credit_wait": "credits",
    "tree_connect": "tree connect",
}
"""What stands in the place of a command, by the kind of an event that has none."""


def share_name(operation: Operation) -> str:
    """Return `//server/share`, or the tree id where the name is not known, or the server."""
    place = share_path(operation.server, operation.share)
    if not operation.share and int(operation.tree_id or "0", 16):
        place = f"{place} tree {operation.tree_id}".strip()
    return text.printable(place) or UNKNOWN_SHARE


def command(operation: Operation) -> str:
    """Return `SMB2_READ` and so on, or a word for what has no command."""
    return operation.command or WITHOUT_COMMAND.get(operation.kind, "?")


def outcome(operation: Operation) -> str:
    """Return the status; for what got no response its cause or kind, and its errno."""
    if operation.kind == "completed":
        return operation.status or operation.error
    kind = "unanswered" if operation.kind == "waiting" else operation.kind
    cause = operation.cause or kind
    return f"{cause.replace('_', ' ')} {operation.error}".strip()


def process(operation: Operation) -> str:
    """Return the name and pid of the process that asked."""
    return f"{text.printable(operation.comm or '?')} (pid {operation.pid})"


def channel(operation: Operation) -> str:
    """Return which connection of its session it went over."""
    return text.printable(operation.channel or "unknown")


def file(operation: Operation) -> str:
    """Return the name of the file, or its id where the name is not known, or `-`."""
    if operation.file:
        return text.printable(operation.file)
    return f"id {operation.file_id}" if int(operation.file_id or "0", 16) else "-"
