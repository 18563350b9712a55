"""The process that decodes, until its input ends: files in, what was learned of each out; or a picture in, its framed
pixels out.

A decoder that crashes or hangs takes this process along and nothing else.
"""

from __future__ import annotations

import errno
import faulthandler
import os
import signal
import struct
import sys
import warnings
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import IO, NoReturn

import msgspec

from tlstudio.core.images import Admit, NotNow, UnreadableImage, decode_noted, framed, opened_file
from tlstudio.core.inspection import HELD_BYTES, held, inspect, sha256_of_content
from tlstudio.core.listing import ListedFile
from tlstudio.core.picture_cache import CopyRecipe, Learned, Packs

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
FOLDER_GONE = "folder-gone"
"""The code of a picture that cannot be read because its whole folder is out of reach."""
_OUT_OF_REACH = frozenset({
    errno.EIO, errno.ENOTCONN, errno.ESTALE, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ENETDOWN, errno.ENETUNREACH,
    errno.ETIMEDOUT, errno.ENODEV, errno.ENXIO,
})  # fmt: skip
_LENGTH = struct.Struct("<I")


class Batch(msgspec.Struct, frozen=True, tag=True):
    """Files to look at, in this order. `heavy` permits any amount of memory."""

    files: tuple[ListedFile, ...]
    heavy: bool = False


class Answer(msgspec.Struct, frozen=True):
    """What became of the next file of the batch: something learned, or the memory for which to ask permission."""

    learned: Learned | None = None
    needed_bytes: int = 0


class Wanted(msgspec.Struct, frozen=True, tag=True):
    """A picture to be read and framed by a recipe; with `sha256` only if these are still the bytes of its file."""

    path: str
    recipe: CopyRecipe
    sha256: str = ""
    heavy: bool = False


class Framed(msgspec.Struct, frozen=True):
    """A framed picture as RGB bytes, a code and a message why there is none, or the memory to ask permission for."""

    size: tuple[int, int] = (0, 0)
    pixels: bytes = b""
    code: str = ""
    message: str = ""
    needed_bytes: int = 0


class _TooHeavy(NotNow):
    def __init__(self, needed_bytes: int) -> None:
        self.needed_bytes = needed_bytes


_requests = msgspec.msgpack.Decoder(Batch | Wanted)


def send(stream: IO[bytes], message: Batch | Wanted | Answer | Framed) -> None:
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
    """Serve requests from standard input, then end the process."""
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
            match _requests.decode(message):
                case Batch() as batch:
                    for file in batch.files:
                        send(answers, _looked_at(file, batch.heavy, packs))
                case Wanted() as wanted:
                    send(answers, _framed(wanted))
    except OSError:
        os._exit(0)  # nobody listens any more
    except BaseException:
        os._exit(FAILED_EXIT)
    os._exit(0)


def _looked_at(file: ListedFile, heavy: bool, packs: Packs) -> Answer:
    admit, when_read = _clocks(file.size_bytes, heavy)
    try:
        found = inspect(file, admit, when_read)
    except _TooHeavy as error:
        return Answer(needed_bytes=error.needed_bytes)
    finally:
        _end_never()
    return Answer(packs.learn(file, found))


def _framed(wanted: Wanted) -> Framed:
    path, recipe = Path(wanted.path), wanted.recipe
    try:
        with opened_file(path) as file:
            admit, when_read = _clocks(os.fstat(file.fileno()).st_size, wanted.heavy)
            content = held(file)
            when_read()
            if wanted.sha256 and sha256_of_content(content) != wanted.sha256:
                raise UnreadableImage("changed", "The file was changed after the app had looked at it.")
            decoded = decode_noted(content, path.suffix, recipe.resize_px, recipe.reading, admit).image
        image = framed(decoded, recipe.resize_px, recipe.crop_px, recipe.filter_name, recipe.reading.framing)
        return Framed(image.size, image.tobytes())
    except _TooHeavy as error:
        return Framed(needed_bytes=error.needed_bytes)
    except UnreadableImage as error:
        _end_never()
        is_gone = error.code == "no-access" and _is_out_of_reach(path)
        return Framed(code=FOLDER_GONE if is_gone else error.code, message=str(error))
    finally:
        _end_never()


def _is_out_of_reach(path: Path) -> bool:
    """Return whether a picture cannot be opened because its folder is gone, which is no fault of the picture.

    The folder of a share that was dropped may still be there with nothing in it, or be listed from memory: so another
    file in it is asked too.
    """
    try:
        with os.scandir(path.parent) as listing:
            found = list(islice(listing, 2))
    except OSError:
        return True
    others = [entry.path for entry in found if entry.name != path.name]
    try:
        if others:
            os.close(os.open(others[0], os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)))
    except OSError as error:
        return error.errno in _OUT_OF_REACH
    return not found


def _clocks(size_bytes: int, heavy: bool) -> tuple[Admit, Callable[[], None]]:
    """Return what to call before decoding and when a file has been read.

    The clock starts when the file is read because a slow share is not the decoder's fault.
    """
    reading_s = size_bytes / 2**20 * SLOW_SHARE_S_A_MEGABYTE if size_bytes > HELD_BYTES else 0.0

    def admit(needed_bytes: int) -> None:
        if needed_bytes > LIGHT_BYTES and not heavy:
            raise _TooHeavy(needed_bytes)
        _end_after(LIMIT_S + reading_s + needed_bytes / 2**20 * LIMIT_S_A_MEGABYTE)

    return admit, lambda: _end_after(LIMIT_S + reading_s)


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
