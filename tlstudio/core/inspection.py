"""One look at one file: everything the studio ever wants to know of it, from a single full decode."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image

from tlstudio.core.copies import fingerprint
from tlstudio.core.errors import shown
from tlstudio.core.images import Admit, Content, UnreadableImage, decode_noted, framed, opened_file
from tlstudio.core.listing import ListedFile
from tlstudio.core.picture_facts import PictureFacts, ScannedFile

COPY_PX = 256
"""The short side of the copies that a look at a file makes: what most networks ask for."""
COPY_CROP_PX = 224
COPY_FILTER = "bilinear"
THUMBNAIL_PX = 192
"""The longest that a long side is; a half of the copy for pictures of up to 3 : 2."""
HELD_BYTES = 64 * 2**20
"""Larger files are read piece by piece, where their format allows it."""


@dataclass(frozen=True)
class Inspected:
    """What a look at a file found; all but `scanned` are there for readable pictures only.

    `copy` is the picture as a network with the commonest preprocessing keeps it, or where it is smaller than that, the
    picture itself (`is_whole`). A picture of more than 8 bits has none: how it is read is decided for all together.
    """

    scanned: ScannedFile
    fingerprint: np.ndarray | None = None
    thumbnail: bytes = b""
    copy: Image.Image | None = None
    is_whole: bool = False


def inspect(
    file: ListedFile, admit: Admit = lambda size_bytes: None, when_read: Callable[[], object] = lambda: None
) -> Inspected:
    """Return what the file holds; one that cannot be used has a code.

    `when_read` is called before the bytes are looked at, `admit` before they are decoded; a `NotNow` of its is raised.
    """
    try:
        with opened_file(Path(file.path)) as handle:
            content = held(handle)
            when_read()
            return _inspected(file, content, admit)
    except UnreadableImage as error:
        return Inspected(ScannedFile(file.path, file.place, None, error.code, str(error)))


def _inspected(file: ListedFile, content: Content, admit: Admit) -> Inspected:
    decoded = decode_noted(content, Path(file.path).suffix, COPY_PX, admit=admit)
    image = decoded.image
    is_whole = min(image.size) < COPY_PX
    copy = image if is_whole else framed(image, COPY_PX, COPY_CROP_PX, COPY_FILTER)
    small = copy.reduce(-(-max(copy.size) // THUMBNAIL_PX))
    grey = np.asarray(copy.convert("L"))
    pixels = hashlib.sha256(f"{decoded.width_px} {decoded.height_px} ".encode() + copy.tobytes())
    facts = PictureFacts(
        sha256=sha256_of_content(content),
        pixels=pixels.hexdigest(),
        width_px=decoded.width_px,
        height_px=decoded.height_px,
        size_bytes=_size_bytes(content),
        format=decoded.format,
        brightness=float(grey.mean()) / 255,
        sharpness=_sharpness(grey),
        camera=shown(decoded.camera.encode("utf-8", "replace")),
        taken_s=decoded.taken_s,
        low=decoded.low,
        high=decoded.high,
        channels=decoded.channels,
        note=decoded.note,
    )
    return Inspected(
        ScannedFile(file.path, file.place, facts),
        fingerprint(small),
        _jpeg(small),
        None if decoded.low is not None else copy,
        is_whole,
    )


def held(file: BinaryIO) -> Content:
    """Return the bytes of an opened file, or the file itself where it is too large to be held."""
    size_bytes = file.seek(0, io.SEEK_END)
    file.seek(0)
    return file.read() if size_bytes <= HELD_BYTES else file


def sha256_of_content(content: Content) -> str:
    """Return the SHA-256 of a file's bytes as 64 hexadecimal digits."""
    if isinstance(content, bytes):
        return hashlib.sha256(content).hexdigest()
    digest = hashlib.sha256()
    content.seek(0)
    while piece := content.read(2**20):
        digest.update(piece)
    return digest.hexdigest()


def _size_bytes(content: Content) -> int:
    return len(content) if isinstance(content, bytes) else content.seek(0, io.SEEK_END)


def _sharpness(grey: np.ndarray) -> float:
    """Return the variance of the Laplacian of a grey picture (height, width) of 0 to 255."""
    if min(grey.shape) < 3:
        return 0.0
    values = grey.astype(np.int16)
    middle = values[1:-1, 1:-1]
    laplacian = values[:-2, 1:-1] + values[2:, 1:-1] + values[1:-1, :-2] + values[1:-1, 2:] - 4 * middle
    return float(laplacian.var(dtype=np.float32))


def _jpeg(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=80)
    return buffer.getvalue()
