"""What is shown of the collecting: what each action has left, what had no room, what was lost."""

from collections import Counter

from aod import text
from aod.bundle.manifest import ActionResult, Disk, Manifest
from aod.detectors.words import words_of

_LOST = {
    "events": ("event", "events"),
    "batches": ("batch of events", "batches of events"),
    "anomalies": ("anomaly report", "anomaly reports"),
}
"""What can be lost, one of it and several, by its key in the manifest."""


def states(manifest: Manifest) -> str:
    """Return how many actions ended how: `6 ok, 1 skipped`."""
    counts = Counter(result.state for result in manifest.actions.values())
    return ", ".join(f"{count} {state}" for state, count in counts.most_common())


def note(result: ActionResult) -> str:
    """Return what there is to say of an action's result."""
    stderr, _, _ = result.stderr.strip().partition("\n")
    notes = [
        result.reason,
        "truncated at its size limit" if result.truncated else "",
        "had not finished" if result.state == "pending" else "",
        f"exit code {result.exit_code}" if result.exit_code else "",
        stderr,
    ]
    return text.printable("; ".join(filter(None, notes)))


def short_of_room(disk: Disk) -> str:
    """Say what was left out because the disk was short of room, and why that much."""
    if not disk.left_out:
        return ""
    return (
        f"The disk was short of room: {text.size(disk.free_bytes)} free, of which open "
        f"bundles had reserved {text.size(disk.reserved_bytes)} and "
        f"{text.size(disk.min_free_bytes)} stay free (min_free_mb). "
        f"Left out: {', '.join(map(text.printable, disk.left_out))}."
    )


def lost(manifest: Manifest) -> str:
    """Say what was lost, or why that is not known."""
    is_known = manifest.state == "sealed" or any(manifest.lost.values())
    if not is_known:
        return "Nothing that was known when the manifest was last written."
    by_hand = all(words_of(each.anomaly).sort == "asked" for each in manifest.anomalies)
    if by_hand and not manifest.tracer:
        return "No operations were watched: aod collect has no probes."
    if by_hand and manifest.tracer and manifest.tracer.rung is None:
        return "No operations were watched: cifs was not loaded."
    counts = {key: count for key in _LOST if (count := manifest.lost.get(key))}
    dropped = [f"{count} {_LOST[key][count > 1]}" for key, count in counts.items()]
    if not dropped:
        return "Nothing: every slow or failed operation that was seen is counted."
    return f"Dropped: {', '.join(dropped)}. All counts above are lower bounds."
