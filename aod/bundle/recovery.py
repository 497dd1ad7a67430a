"""What an earlier run, or a disk without room, left unsealed is brought to an end.

All of it is blocking: a coroutine calls it through asyncio.to_thread.
"""

import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from aod.bundle.archive import SUMMARY
from aod.bundle.bundle import Bundle, Clean
from aod.bundle.output import SEALED, TEMPORARY, Entry, OutputDirectory, Record
from aod.errors import BundleError
from aod.runtime import journal

log = logging.getLogger(__name__)

Render = Callable[[Mapping[str, Any]], str]
"""Makes the text of the summary from a manifest."""
CleanOf = Callable[[Mapping[str, Any]], Clean]
"""Chooses how a bundle's files are cleaned, by its manifest."""


def _unrecorded(event: str, /, **facts: str | int) -> None:
    pass


def recover(
    output: OutputDirectory,
    render: Render | None = None,
    record: Record = _unrecorded,
    clean_of: CleanOf | None = None,
) -> list[str]:
    """Bring what is left of bundles to an end; return the names that were dealt with.

    Leave alone what is open, in this process or another. A sealed file wins over its
    directory; a directory with a manifest is sealed, as `interrupted` and with a new summary
    made by `render` unless all was collected; one without is removed. What actions wrote is
    kept as far as `clean_of` says how to clean it, else not at all. Every step can be
    repeated, so being killed in it is harmless. What fails is told once and left.
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
    output: OutputDirectory,
    entry: Entry,
    render: Render | None,
    record: Record,
    clean_of: CleanOf | None,
) -> None:
    with Bundle(output, entry.name) as bundle:
        is_sealed = bundle.has_sealed_file()
        manifest = None if is_sealed else _manifest(bundle)
        if manifest is None:
            output.remove(entry.name)
            record("delete", file=entry.name, bytes=entry.bytes, reason="leftover")
            log.info("leftover removed: name=%s sealed=%s", entry.name, is_sealed)
            return
        if output.free_bytes() < entry.bytes:
            raise OSError(f"no room for {entry.bytes} bytes to seal it")
        if manifest.get("state") != "sealed":
            manifest["state"] = "interrupted"
            if clean_of:
                manifest = bundle.clean(manifest, clean_of(manifest))
            if render:
                bundle.write(SUMMARY, _summary(manifest, render).encode(errors="backslashreplace"))
        bundle.seal(manifest)
    state, path = str(manifest["state"]), output.path / (entry.name + SEALED)
    told = journal.entry(journal.BUNDLE, {"AOD_OUTCOME": state, "AOD_BUNDLE": str(path)})
    log.info("leftover sealed as %s: name=%s", state, entry.name, extra=told)


def _summary(manifest: Mapping[str, Any], render: Render) -> str:
    try:
        return render(manifest)
    except BundleError as error:
        return f"There is no summary of this bundle: {error}.\n"


def _manifest(bundle: Bundle) -> dict[str, Any] | None:
    try:
        return bundle.read_manifest()
    except (FileNotFoundError, BundleError, ValueError):
        return None


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
