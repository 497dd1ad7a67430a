"""What an earlier run, or a disk without room, left unsealed is brought to an end.

All of it is blocking: a coroutine calls it through asyncio.to_thread.
"""

import contextlib
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from aod.bundle.archive import SUMMARY
from aod.bundle.bundle import Bundle, Clean
from aod.bundle.manifest import MANIFEST, Manifest, parse, salvage
from aod.bundle.output import SEALED, TEMPORARY, Entry, OutputDirectory, Record
from aod.errors import BundleError
from aod.runtime import journal

log = logging.getLogger(__name__)

Render = Callable[[Manifest], str]
"""Makes the text of the summary from a manifest."""
CleanOf = Callable[[Manifest], Clean]
"""Chooses how a bundle's files are cleaned, by its manifest."""

NO_SUMMARY = (
    "There is no summary of this bundle: its manifest is none that aod can tell in words. What is "
    f"sound of it stands in {MANIFEST}.\n"
)


@dataclass(frozen=True, slots=True)
class Leftover:
    """The manifest of a leftover, or what is sound of it where there is a `problem` with it."""

    manifest: Manifest
    problem: str = ""


def recover(
    output: OutputDirectory, render: Render, record: Record, clean_of: CleanOf
) -> list[str]:
    """Bring what is left of bundles to an end; return the names that were dealt with.

    Leave alone what is open, in this process or another. A sealed file wins over its
    directory; a directory with a manifest is sealed, as `interrupted` and with a new summary
    made by `render` unless all was collected; one without is removed. What actions wrote is
    cleaned as `clean_of` says. Of a damaged manifest what is sound is kept, and cleaned. Every
    step can be repeated, so being killed in it is harmless. What fails is logged once and left.
    """
    done = []
    for name in output.temporaries():
        with _survived(output, name):
            if not output.is_open(name.removesuffix(TEMPORARY)):
                output.remove(name)
                record("delete", file=name, reason="leftover")
                done.append(name)
    for entry in output.entries():
        # Read after the listing: a directory that is listed was made known as open before.
        if entry.is_sealed or output.is_open(entry.name):
            continue
        with _survived(output, entry.name):
            _recover(output, entry, render, record, clean_of)
            done.append(entry.name)
            output.troubled.discard(entry.name)
    return done


def _recover(
    output: OutputDirectory, entry: Entry, render: Render, record: Record, clean_of: CleanOf
) -> None:
    with Bundle(output, entry.name) as bundle:
        is_sealed = bundle.has_sealed_file()
        found = None if is_sealed else _read(bundle)
        if found is None:
            output.remove(entry.name)
            record("delete", file=entry.name, bytes=entry.bytes, reason="leftover")
            log.info("leftover removed: name=%s sealed=%s", entry.name, is_sealed)
            return
        if output.free_bytes() < entry.bytes:
            raise OSError(f"no room for {entry.bytes} bytes to seal it")
        manifest = found.manifest
        if manifest.state != "sealed":
            manifest = replace(manifest, state="interrupted")
            manifest = bundle.clean(manifest, clean_of(manifest))
            summary = NO_SUMMARY if found.problem else render(manifest)
            bundle.write(SUMMARY, summary.encode(errors="backslashreplace"))
        bundle.seal(manifest)
    if found.problem:
        log.warning("of a leftover only what is sound was kept: %s", found.problem)
    path = output.path / (entry.name + SEALED)
    fields = journal.entry(journal.BUNDLE, {"AOD_OUTCOME": manifest.state, "AOD_BUNDLE": str(path)})
    log.info("leftover sealed as %s: name=%s", manifest.state, entry.name, extra=fields)


def _read(bundle: Bundle) -> Leftover | None:
    """Return the manifest of a leftover, None where there is none; raises OSError."""
    try:
        data = bundle.read(MANIFEST)
    except (FileNotFoundError, BundleError, ValueError):
        return None
    try:
        return Leftover(parse(data, bundle.name))
    except BundleError as error:
        sound = salvage(data)
        return Leftover(sound, str(error)) if sound else None


@contextlib.contextmanager
def _survived(output: OutputDirectory, name: str) -> Iterator[None]:
    try:
        yield
    except (FileNotFoundError, BlockingIOError):
        log.debug("leftover was taken by another: name=%s", name)
    except OSError as error:
        level = logging.DEBUG if name in output.troubled else logging.WARNING
        output.troubled.add(name)
        log.log(level, "leftover stays, tried again at each clean-up: name=%s: %s", name, error)
    except Exception:  # the boundary of a leftover: the service starts in front of any
        if name not in output.troubled:
            log.exception("leftover stays, there is a bug in what seals it: name=%s", name)
        output.troubled.add(name)
