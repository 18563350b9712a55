"""What is known of a file after one look at it."""

from __future__ import annotations

import msgspec


class PictureFacts(msgspec.Struct, frozen=True, gc=False):
    """What one look at a readable file told. Equal `sha256`: the same bytes; equal `pixels`: the same upright picture.

    `brightness` is the mean luminance from 0 to 1; `sharpness` grows with the fine detail and compares pictures of one
    data set only. `low` and `high` are the values between which nearly all pixels of a picture of more than 8 bits a
    channel lie. `taken_s` is the camera's clock, in seconds since 1970 there.
    """

    sha256: str
    pixels: str
    width_px: int
    height_px: int
    size_bytes: int
    format: str
    brightness: float
    sharpness: float
    camera: str = ""
    taken_s: float | None = None
    low: float | None = None
    high: float | None = None
    channels: int = 3
    note: str = ""
    """The code of something to know about a file that is used all the same, a key of `dataset.NOTES`."""


class ScannedFile(msgspec.Struct, frozen=True, gc=False):
    """One file under the dropped folders. It has `facts`, or else a `code` and a `message` that say why not.

    `place` is the path below the dropped folder with / between its parts; where several folders were dropped, it
    begins with the folder's own name.
    """

    path: str
    place: str
    facts: PictureFacts | None = None
    code: str = ""
    message: str = ""
