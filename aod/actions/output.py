"""Writes one action's file, up to a byte cap."""

import asyncio
import logging
import os
from typing import Protocol

import aiofiles
from aiofiles.threadpool.binary import AsyncBufferedIOBase

log = logging.getLogger(__name__)

CLOSE_TIMEOUT_S = 5.0


class Files(Protocol):
    """The directory in which the files of one incident are made."""

    def create_file(self, name: str) -> int:
        """Return a descriptor for a new file, opened O_CREAT|O_EXCL|O_NOFOLLOW with mode 0600.

        The caller closes it. May block; raises OSError.
        """


class Output:
    """One file of a bundle, created at the first byte, never larger than its cap and a marker.

    One that is not `is_text` gets no marker: whoever reads a capture would take it for damage.
    `bytes` is what was written, `truncated` says that there was more, `failure` is the reason
    why writing ended early (a full disk): writing never raises.
    """

    def __init__(self, files: Files, name: str, max_bytes: int, *, is_text: bool = True) -> None:
        self.name = name
        self.max_bytes = max_bytes
        self.bytes = 0
        self.truncated = False
        self.failure = ""
        self._files = files
        self._is_text = is_text
        # Buffered: its lock makes close() wait for a write that was cancelled half way.
        self._stream: AsyncBufferedIOBase | None = None
        self._descriptor = -1

    @property
    def file(self) -> str | None:
        """The file's name, or None when nothing was written."""
        return self.name if self._descriptor >= 0 else None

    @property
    def room(self) -> int:
        """Bytes that still fit under the cap; 0 when writing has failed."""
        return 0 if self.failure else max(0, self.max_bytes - self.bytes)

    @property
    def marker(self) -> bytes:
        """The line that stands where something is missing because of the cap."""
        return b"[aod: truncated at %d bytes]\n" % self.max_bytes

    async def write(self, data: bytes) -> bool:
        """Append what fits and return whether all of it did; the first overflow is marked."""
        if self.truncated or self.failure:
            return False
        fitting = data[: self.room]
        await self._append(fitting)
        if len(fitting) < len(data):
            self.truncated = True
            if self._is_text:
                await self._append(b"\n" + self.marker)
        return not (self.truncated or self.failure)

    async def write_text(self, text: str) -> bool:
        """Append text as UTF-8 with surrogates as the bytes they came from."""
        return await self.write(text.encode(errors="surrogateescape"))

    async def close(self) -> None:
        """Close the file; what the disk refuses now becomes the failure."""
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                if self._stream is not None:
                    await self._stream.close()
                elif self._descriptor >= 0:
                    await asyncio.to_thread(os.close, self._descriptor)
        except OSError as error:
            self._fail(error)

    def _create(self) -> None:
        # Kept at once: a cancellation may come before the thread's answer does.
        self._descriptor = self._files.create_file(self.name)

    async def _append(self, data: bytes) -> None:
        try:
            if self._stream is None:
                await asyncio.to_thread(self._create)
                self._stream = await aiofiles.open(self._descriptor, "wb")
            await self._stream.write(data)
            self.bytes += len(data)
        except OSError as error:
            self._fail(error)

    def _fail(self, error: OSError) -> None:
        reason = os.strerror(error.errno) if error.errno else "no answer from the disk"
        self.failure = f"cannot write {self.name}: {reason}"
        log.warning("action output failed file=%s reason=%s", self.name, reason)
