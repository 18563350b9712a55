"""Pictures read one by one in processes of their own, so that no decoder can end or hang the program that asks."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
from PIL import Image

from tlstudio.core.decode_process import ENDED, HEAVY_BYTES, DecodeProcess, end_spares, process_count
from tlstudio.core.decode_worker import Framed, Wanted
from tlstudio.core.events import Stopped
from tlstudio.core.images import UnreadableImage
from tlstudio.core.picture_cache import CopyRecipe

_answers = msgspec.msgpack.Decoder(Framed)


class PictureReader:
    """Usable from any number of threads. Processes are started when needed, and kept until `rest` or `close`."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._idle: list[DecodeProcess] = []
        self._busy: list[DecodeProcess] = []
        self._heavy_bytes = 0
        self._closed = False

    def framed(self, path: str, recipe: CopyRecipe, sha256: str = "") -> Image.Image:
        """Return the picture as `recipe` frames it, as RGB; with `sha256` only if these are still its file's bytes.

        Raises UnreadableImage, with the code "folder-gone" where its whole folder is out of reach, and Stopped when
        the reader is closed meanwhile.
        """
        wanted = Wanted(path, recipe, sha256)
        found = self._asked(wanted)
        if found.needed_bytes:
            with self._memory(found.needed_bytes):
                found = self._asked(msgspec.structs.replace(wanted, heavy=True))
        if found.code:
            raise UnreadableImage(found.code, found.message)
        return Image.frombytes("RGB", found.size, found.pixels)

    def rest(self) -> None:
        """End the processes that have nothing to do."""
        end_spares()
        with self._changed:
            idle, self._idle = self._idle, []
        for process in idle:
            process.end()
            process.let_go()

    def close(self) -> None:
        """End all processes, also those at work."""
        with self._changed:
            self._closed = True
            for process in self._busy:
                process.end()
            self._changed.notify_all()
            self._changed.wait_for(lambda: not self._busy)
        self.rest()

    def _asked(self, wanted: Wanted) -> Framed:
        with self._process() as process:
            process.ask(wanted)
            message = process.answer()
            if message is not None:
                return _answers.decode(message)
            if process.ending:
                raise Stopped
            code = process.replace()
            return Framed(code=code, message=ENDED[code])

    @contextmanager
    def _process(self) -> Iterator[DecodeProcess]:
        with self._changed:
            self._changed.wait_for(lambda: self._closed or len(self._busy) < process_count())
            if self._closed:
                raise Stopped
            process = self._idle.pop() if self._idle else DecodeProcess()
            self._busy.append(process)
        try:
            yield process
        finally:
            with self._changed:
                self._busy.remove(process)
                self._idle.append(process)
                self._changed.notify_all()

    @contextmanager
    def _memory(self, needed_bytes: int) -> Iterator[None]:
        """Hold so much of the memory that decoding may take; wait for it, unless nobody else has any."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._closed or not self._heavy_bytes or self._heavy_bytes + needed_bytes <= HEAVY_BYTES
            )
            self._heavy_bytes += needed_bytes
        try:
            yield
        finally:
            with self._changed:
                self._heavy_bytes -= needed_bytes
                self._changed.notify_all()
