"""A process that decodes pictures, and another one in its place when a damaged file has ended it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import IO

from tlstudio.core.decode_worker import TOO_SLOW_EXIT, Batch, Wanted, received, send
from tlstudio.core.errors import StudioError

MAX_PROCESSES = 4
"""More would take more than 600 MB where pictures are huge."""
HEAVY_BYTES = 400 * 2**20
"""What all decoding that needs permission may take together; a single picture may take more, alone."""
ENDED = {
    "decoder-crashed": "The picture is damaged in a way that ended the program that reads it.",
    "too-slow": "The picture takes too long to read; it may be damaged.",
}
"""What there is to say of a picture at which the process ended, by its code."""
SPARES = 2
_spares: list[subprocess.Popen[bytes]] = []
_spares_lock = threading.Lock()


def warm_up() -> None:
    """Start processes ahead, for pictures that are read at once; they end with this process at the latest."""
    with _spares_lock:
        while len(_spares) < SPARES:
            _spares.append(_started())


def end_spares() -> None:
    """End the processes that were started ahead and are not in use."""
    with _spares_lock:
        for process in _spares:
            process.kill()
            _let_go(process)
        _spares.clear()


class DecodeProcess:
    """Speaks with one process, for one thread at a time; `end` may be called from any."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.ending = False
        with _spares_lock:
            self._process = _spares.pop() if _spares else _started()
        self._has_begun = False

    def ask(self, request: Batch | Wanted) -> None:
        """Send a request. Raises StudioError where the program cannot be started at all."""
        if not self._has_begun and not self._begins():
            self.replace()  # something may have ended it while it waited, such as a lack of memory
            if not self._begins() and not self.ending:
                raise StudioError("The program that reads pictures cannot be started.", "Install the app again.")
        self._has_begun = True
        with suppress(OSError):  # the process has ended: its missing answer tells
            send(_pipe(self._process.stdin), request)

    def _begins(self) -> bool:
        return received(_pipe(self._process.stdout)) is not None

    def answer(self) -> bytes | None:
        """Return the next answer, None if the process has ended."""
        return received(_pipe(self._process.stdout))

    def replace(self) -> str:
        """Start another process in the place of one that ended; return the code of why it did, a key of `ENDED`."""
        code = "too-slow" if self._process.wait() == TOO_SLOW_EXIT else "decoder-crashed"
        with self._lock:
            if not self.ending:
                _let_go(self._process)
                self._process, self._has_begun = _started(), False
        return code

    def end(self) -> None:
        """End the process at once: who waits for its answer gets None."""
        with self._lock:
            self.ending = True
            self._process.kill()

    def let_go(self) -> None:
        """Free what is left of the process after `end`, when nobody waits for its answer any more."""
        _let_go(self._process)


def process_count() -> int:
    """Return how many processes decode at a time on this computer."""
    return min(MAX_PROCESSES, os.cpu_count() or 2)


def _started() -> subprocess.Popen[bytes]:
    frozen = getattr(sys, "frozen", False)
    package_home = str(Path(__file__).resolve().parents[2])
    search = os.pathsep.join(filter(None, (package_home, os.environ.get("PYTHONPATH"))))
    return subprocess.Popen(
        (sys.executable, "--decode-worker") if frozen else (sys.executable, "-m", "tlstudio", "--decode-worker"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        # Decoders complain there of damaged files, which are counted and named anyway.
        stderr=subprocess.DEVNULL,
        env=os.environ | {"PYTHONPATH": search},
        # Ctrl-C in a terminal is for the caller, who then stops the pass.
        start_new_session=True,
        creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
    )


def _let_go(process: subprocess.Popen[bytes]) -> None:
    process.wait()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            with suppress(OSError):  # what was not sent yet need not be sent
                stream.close()


def _pipe(stream: IO[bytes] | None) -> IO[bytes]:
    assert stream is not None
    return stream
