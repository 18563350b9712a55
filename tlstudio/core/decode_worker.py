"""The process that decodes: batches of files in, what was learned of each out, until its input ends.

A decoder that crashes or hangs takes this process along and nothing else.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import struct
import sys
import warnings
from typing import IO, NoReturn

import msgspec

from tlstudio.core.images import NotNow
from tlstudio.core.inspection import HELD_BYTES, inspect
from tlstudio.core.listing import ListedFile
from tlstudio.core.picture_cache import Learned, Packs

LIGHT_BYTES = 24 * 2**20
"""Decoding that takes more memory needs permission."""
LIMIT_S = 2.0
LIMIT_S_A_MEGABYTE = 0.05
"""More time for more pixels: a picture of 100 megapixels takes about 400 MB."""
SLOW_SHARE_S_A_MEGABYTE = 0.2
"""More time for files that are read while they are decoded, which may lie on a slow share."""
TOO_SLOW_EXIT = -signal.SIGALRM if hasattr(signal, "SIGALRM") else 1
"""How a process ends in which a decoder did not come back, as subprocess tells it."""
FAILED_EXIT = 2
_LENGTH = struct.Struct("<I")


class Batch(msgspec.Struct, frozen=True):
    """Files to look at, in this order. `heavy` permits any amount of memory."""

    files: tuple[ListedFile, ...]
    heavy: bool = False


class Answer(msgspec.Struct, frozen=True):
    """What became of the next file of the batch: something learned, or the memory for which to ask permission."""

    learned: Learned | None = None
    needed_bytes: int = 0


class _TooHeavy(NotNow):
    def __init__(self, needed_bytes: int) -> None:
        self.needed_bytes = needed_bytes


def send(stream: IO[bytes], message: Batch | Answer) -> None:
    """Write a message and its length. Raises OSError when the other end is gone."""
    body = msgspec.msgpack.encode(message)
    stream.write(_LENGTH.pack(len(body)) + body)
    stream.flush()


def received(stream: IO[bytes]) -> bytes | None:
    """Return the next message, None at the end of the stream."""
    head = stream.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    (length,) = _LENGTH.unpack(head)
    body = stream.read(length)
    return body if len(body) == length else None


def main() -> NoReturn:
    """Serve batches from standard input, then end the process."""
    # Decoders print; what they say must not get between the answers.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    warnings.simplefilter("ignore")
    if hasattr(signal, "SIGALRM"):
        signal.signal(signal.SIGALRM, signal.SIG_DFL)  # it may be ignored by whoever started this process
    packs = Packs()
    try:
        send(answers, Answer())  # says that all is imported
        while (message := received(sys.stdin.buffer)) is not None:
            batch = msgspec.msgpack.decode(message, type=Batch)
            for file in batch.files:
                send(answers, _looked_at(file, batch.heavy, packs))
    except OSError:
        os._exit(0)  # nobody listens any more
    except BaseException:
        os._exit(FAILED_EXIT)
    os._exit(0)


def _looked_at(file: ListedFile, heavy: bool, packs: Packs) -> Answer:
    reading_s = file.size_bytes / 2**20 * SLOW_SHARE_S_A_MEGABYTE if file.size_bytes > HELD_BYTES else 0.0

    def admit(needed_bytes: int) -> None:
        if needed_bytes > LIGHT_BYTES and not heavy:
            raise _TooHeavy(needed_bytes)
        _end_after(LIMIT_S + reading_s + needed_bytes / 2**20 * LIMIT_S_A_MEGABYTE)

    try:
        # The clock starts when the file is read because a slow share is not the decoder's fault.
        found = inspect(file, admit, lambda: _end_after(LIMIT_S + reading_s))
    except _TooHeavy as error:
        return Answer(needed_bytes=error.needed_bytes)
    finally:
        _end_never()
    return Answer(packs.learn(file, found))


def _end_after(seconds: float) -> None:
    """End the process then, whatever it is doing: these clocks run outside Python and need no interpreter."""
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, seconds)
    else:  # Windows; it takes a thread each time
        faulthandler.dump_traceback_later(seconds, exit=True)


def _end_never() -> None:
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, 0)
    else:
        faulthandler.cancel_dump_traceback_later()
