"""Every picture decoded once, by processes of their own, so that no decoder can take the app down."""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress

import msgspec

from tlstudio.core.decode_process import ENDED, HEAVY_BYTES, DecodeProcess, end_spares, process_count
from tlstudio.core.decode_worker import Answer, Batch
from tlstudio.core.events import ShouldStop, Stopped, never
from tlstudio.core.listing import ListedFile
from tlstudio.core.picture_cache import Learned, PictureCache
from tlstudio.core.picture_facts import ScannedFile

BATCH_FILES = 32
BATCH_BYTES = 4 * 2**20
"""A batch ends with the file that passes this, so that large files are spread over the processes."""
SAVE_EVERY_S = 0.5
ANSWER_S = 0.2
_answers = msgspec.msgpack.Decoder(Answer)


def inspect_all(files: Sequence[ListedFile], should_stop: ShouldStop = never) -> Iterator[ScannedFile]:
    """Yield every file once with its facts or its code: those known from before first, in any order.

    What was found stays in the cache, also when the caller stops iterating or `should_stop` says so, which raises
    Stopped within half a second.
    """
    try:
        with PictureCache() as cache:
            known = cache.facts(files)
            for found in known.values():
                yield found
                if should_stop():
                    raise Stopped
            unknown = [file for file in files if file.path not in known]
            if unknown:
                yield from _decoded(unknown, cache, should_stop)
    finally:
        end_spares()  # what comes after a look takes long, and reads copies


def _decoded(files: Sequence[ListedFile], cache: PictureCache, should_stop: ShouldStop) -> Iterator[ScannedFile]:
    count = min(process_count(), len(files))
    work = _Work(files, count)
    workers = [_Worker(work) for _ in range(count)]
    unsaved: list[Learned] = []
    saved_s = time.monotonic()
    left = len(files)
    try:
        while left:
            if should_stop():
                raise Stopped
            with suppress(queue.Empty):
                learned = work.done.get(timeout=ANSWER_S)
                if isinstance(learned, BaseException):
                    raise learned
                left -= 1
                unsaved.append(learned)
                yield learned.scanned
            if time.monotonic() - saved_s > SAVE_EVERY_S:
                cache.put(unsaved)
                unsaved.clear()
                saved_s = time.monotonic()
    finally:
        work.close()
        for worker in workers:
            worker.end()
        while not work.done.empty():
            rest = work.done.get()
            if isinstance(rest, Learned):
                unsaved.append(rest)
        cache.put(unsaved)


class _Work:
    """What there is to do, dealt out to the processes: light files in batches, heavy ones as memory allows."""

    def __init__(self, files: Sequence[ListedFile], workers: int) -> None:
        self._workers = workers
        self.done: queue.SimpleQueue[Learned | BaseException] = queue.SimpleQueue()
        self._light = deque(files)
        self._heavy: deque[tuple[ListedFile, int]] = deque()
        self._left = len(files)
        self._heavy_bytes = 0
        self._closed = False
        self._changed = threading.Condition()

    def take(self) -> tuple[Batch, int] | None:
        """Return the next batch and the memory it was granted; waits for memory, None when nothing is left to do."""
        with self._changed:
            while self._left and not self._closed:
                if self._heavy and (not self._heavy_bytes or self._heavy_bytes + self._heavy[0][1] <= HEAVY_BYTES):
                    file, needed_bytes = self._heavy.popleft()
                    self._heavy_bytes += needed_bytes
                    return Batch((file,), heavy=True), needed_bytes
                if self._light:
                    return Batch(self._next_light()), 0
                self._changed.wait()
            return None

    def put_back(self, files: Sequence[ListedFile]) -> None:
        """Take back what a process that ended did not come to."""
        with self._changed:
            self._light.extendleft(reversed(files))
            self._changed.notify_all()

    def ask(self, file: ListedFile, needed_bytes: int) -> None:
        """Put a file down that needs permission for its memory."""
        with self._changed:
            self._heavy.append((file, needed_bytes))
            self._changed.notify_all()

    def finish(self, learned: Learned) -> None:
        """Hand over what was learned of a file."""
        with self._changed:
            self._left -= 1
            self._changed.notify_all()
        self.done.put(learned)

    def release(self, granted_bytes: int) -> None:
        """Give memory back."""
        with self._changed:
            self._heavy_bytes -= granted_bytes
            self._changed.notify_all()

    def close(self) -> None:
        """Let nobody wait any longer."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _next_light(self) -> tuple[ListedFile, ...]:
        batch: list[ListedFile] = []
        size_bytes = 0
        # Smaller towards the end, so that all processes end at about the same time.
        most = min(BATCH_FILES, 1 + len(self._light) // (4 * self._workers))
        while self._light and len(batch) < most and size_bytes < BATCH_BYTES:
            file = self._light.popleft()
            batch.append(file)
            size_bytes += file.size_bytes
        return tuple(batch)


class _Worker:
    """A decoding process and the thread that speaks with it."""

    def __init__(self, work: _Work) -> None:
        self._work = work
        self._process = DecodeProcess()
        self._thread = threading.Thread(target=self._run, name="decode", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """End the process at once and wait for the thread."""
        self._process.end()
        self._thread.join()
        self._process.let_go()

    def _run(self) -> None:
        try:
            while (taken := self._work.take()) is not None:
                batch, granted_bytes = taken
                try:
                    self._look_at(batch)
                finally:
                    self._work.release(granted_bytes)
        except BaseException as error:  # it belongs to whoever iterates
            self._work.done.put(error)

    def _look_at(self, batch: Batch) -> None:
        self._process.ask(batch)
        for number, file in enumerate(batch.files):
            message = self._process.answer()
            if message is None:
                if not self._process.ending:
                    self._work.put_back(batch.files[number + 1 :])
                    self._work.finish(self._ended_at(file))
                return
            answer = _answers.decode(message)
            if answer.learned is None:
                self._work.ask(file, answer.needed_bytes)
            else:
                self._work.finish(answer.learned)

    def _ended_at(self, file: ListedFile) -> Learned:
        """Return what there is to say of the file at which the process ended."""
        code = self._process.replace()
        return Learned(file, ScannedFile(file.path, file.place, None, code, ENDED[code]))
