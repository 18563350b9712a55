"""From a picture file to upright RGB pixels, and to the square a network sees.

This file uses Pillow and numpy only and imports nothing of the studio: an export carries its text along, so that
the sample script beside a model reads pictures exactly as the app does.
"""

from __future__ import annotations

import contextlib
import io
import os
import stat
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms, ImageOps

# "JPEG" includes MPO, which Pillow knows by no name of its own when opening.
FORMATS = ("JPEG", "PNG", "BMP", "DIB", "GIF", "WEBP", "TIFF", "PPM", "JPEG2000", "AVIF", "TGA", "PCX", "ICO")
SUFFIXES = frozenset({
    ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".bmp", ".dib", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm",
    ".pbm", ".pnm", ".jp2", ".j2k", ".avif", ".tga", ".pcx",
})  # fmt: skip
NEEDS_CONVERTING = {
    ".heic": "HEIC", ".heif": "HEIC", ".dcm": "DICOM", ".psd": "Photoshop", ".svg": "SVG", ".pdf": "PDF",
    ".cr2": "camera raw", ".nef": "camera raw", ".arw": "camera raw", ".dng": "camera raw", ".eps": "EPS",
}  # fmt: skip
MAX_PIXELS = 100_000_000
MAX_SIDE_PX = 65_500
MAX_FILE_BYTES = 512 * 2**20

FRAMINGS = ("fill", "fit", "stretch")

# The limits above are checked before decoding; Pillow's own check would warn below them and raise above.
Image.MAX_IMAGE_PIXELS = None


class UnreadableImage(Exception):
    """The file is not a picture that can be used. `code` is a word for programs, the text is for people."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Reading:
    """How a file becomes pixels and the pixels a square, as far as that is a choice.

    `low` and `high` are the values that become black and white in pictures of more than 8 bits a channel; None takes
    the range of the file's type. `channels` are the numbers of those to use of a picture with more than four, one
    (grey) or three. `framing`: "fill" cuts the long side off, "fit" shows all of the picture on a ground of its own
    border's colour, "stretch" changes its proportions.
    """

    low: float | None = None
    high: float | None = None
    channels: tuple[int, ...] = ()
    framing: str = "fill"


def read_bytes(path: Path) -> bytes:
    """Return the content of a regular file.

    Raises UnreadableImage for pipes, devices, empty or huge files and for what the system refuses.
    """
    try:
        # O_NONBLOCK: opening a named pipe must not wait for a writer that never comes.
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        with os.fdopen(handle, "rb") as file:
            facts = os.fstat(file.fileno())
            if not stat.S_ISREG(facts.st_mode):
                raise UnreadableImage("not-a-file", "This is not an ordinary file.")
            if facts.st_size == 0:
                raise UnreadableImage("empty-file", "The file is empty.")
            if facts.st_size > MAX_FILE_BYTES:
                raise UnreadableImage("too-large", f"The file is larger than {MAX_FILE_BYTES // 2**20} MB.")
            return file.read()
    except OSError as error:
        raise UnreadableImage("no-access", f"The file cannot be opened: {error.strerror or error}.") from error


def decode(
    content: bytes, suffix: str = "", shrink_to_px: int | None = None, reading: Reading = Reading()
) -> Image.Image:
    """Return the picture in `content`, fully decoded, upright by its EXIF note, as 8-bit RGB.

    Of animations and multi-page files the first page counts. 16-bit values are divided by 257, floats are taken as
    0 to 1, transparent pixels show white. With `shrink_to_px`, a large JPEG is decoded at a fraction of its size whose
    short side is at least twice that number. Raises UnreadableImage.
    """
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            if image.width * image.height > MAX_PIXELS or max(image.size) > MAX_SIDE_PX:
                raise UnreadableImage("too-large", f"The picture has {image.width} x {image.height} pixels.")
            if shrink_to_px and min(image.size) >= 4 * shrink_to_px:
                image.draft("RGB", (2 * shrink_to_px, 2 * shrink_to_px))
            image.load()
            return _to_rgb(_upright(image))
    except UnreadableImage:
        raise
    except Exception as error:  # decoders raise whatever they like on damaged files
        if suffix.lower() in NEEDS_CONVERTING:
            kind = NEEDS_CONVERTING[suffix.lower()]
            raise UnreadableImage("unsupported", f"{kind} files cannot be read yet: save it as JPEG or PNG.") from error
        if suffix.lower() in SUFFIXES:
            raise UnreadableImage("unreadable", "The picture is damaged or incomplete.") from error
        raise UnreadableImage("not-a-picture", "This is not a picture file.") from error


def read_image(path: Path, shrink_to_px: int | None = None, reading: Reading = Reading()) -> Image.Image:
    """Return the picture at `path` as upright RGB; see `read_bytes` and `decode`."""
    return decode(read_bytes(path), path.suffix, shrink_to_px, reading)


def resize_short_side(image: Image.Image, short_side_px: int, filter_name: str) -> Image.Image:
    """Return the picture with its short side at `short_side_px`, as torchvision's Resize does on Pillow images.

    `filter_name` is "bilinear" or "bicubic". The long side is rounded down.
    """
    width, height = image.size
    if min(width, height) == short_side_px:
        return image
    if width <= height:
        size = (short_side_px, max(1, int(short_side_px * height / width)))
    else:
        size = (max(1, int(short_side_px * width / height)), short_side_px)
    return image.resize(size, Image.Resampling[filter_name.upper()])


def crop_center(image: Image.Image, side_px: int) -> Image.Image:
    """Return the central square, as torchvision's CenterCrop cuts it; both sides must be at least `side_px`."""
    left = round((image.width - side_px) / 2.0)
    top = round((image.height - side_px) / 2.0)
    return image.crop((left, top, left + side_px, top + side_px))


def framed(image: Image.Image, resize_px: int, crop_px: int, filter_name: str, framing: str = "fill") -> Image.Image:
    """Return the picture as it is kept for a network: with "fill" its short side at `resize_px`, else the square."""
    if framing == "fill":
        return resize_short_side(image, resize_px, filter_name)
    if framing == "stretch":
        return image.resize((crop_px, crop_px), Image.Resampling[filter_name.upper()])
    scale = crop_px / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    small = image.resize(size, Image.Resampling[filter_name.upper()])
    square = Image.new("RGB", (crop_px, crop_px), _border_colour(small))
    square.paste(small, ((crop_px - size[0]) // 2, (crop_px - size[1]) // 2))
    return square


def network_view(
    image: Image.Image, resize_px: int, crop_px: int, filter_name: str, framing: str = "fill"
) -> np.ndarray:
    """Return what a network sees of a picture: uint8 (crop, crop, 3)."""
    return np.asarray(crop_center(framed(image, resize_px, crop_px, filter_name, framing), crop_px))


def _border_colour(image: Image.Image) -> tuple[int, ...]:
    pixels = np.asarray(image)
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    return tuple(int(value) for value in np.median(border, axis=0))


def _upright(image: Image.Image) -> Image.Image:
    with contextlib.suppress(Exception):  # a damaged EXIF block does not make the pixels unusable
        return ImageOps.exif_transpose(image)
    return image


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        values = np.asarray(image).astype(np.float64)
        scale = 257.0 if image.mode != "I" or values.max(initial=0) <= 65535 else 16843009.0
        return Image.fromarray(np.clip(values / scale, 0, 255).astype(np.uint8)).convert("RGB")
    if image.mode == "F":
        values = np.nan_to_num(np.asarray(image), nan=0.0, posinf=1.0, neginf=0.0)
        return Image.fromarray((np.clip(values, 0, 1) * 255 + 0.5).astype(np.uint8)).convert("RGB")
    if image.mode == "LAB":
        converted = ImageCms.profileToProfile(
            image, ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"), outputMode="RGB"
        )
        assert converted is not None
        return converted
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        layered = image.convert("RGBA")
        white = Image.new("RGBA", layered.size, "white")
        return Image.alpha_composite(white, layered).convert("RGB")
    return image.convert("RGB")
