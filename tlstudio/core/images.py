"""From a picture file to upright RGB pixels, and to the square a network sees.

This file imports nothing of the studio: an export carries its text along, so that the sample script beside a model
reads pictures exactly as the app does. It needs Pillow and numpy; tifffile, pillow-heif and pydicom are imported for
the files that ask for them.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import re
import stat
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image, ImageCms, UnidentifiedImageError

SUFFIXES_OF = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"),
    "PNG": (".png", ".apng"),
    "BMP": (".bmp", ".dib"),
    "DIB": (".dib", ".bmp"),
    "GIF": (".gif",),
    "WEBP": (".webp",),
    "TIFF": (".tif", ".tiff"),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm", ".pam", ".pfm"),
    "JPEG2000": (".jp2", ".j2k", ".j2c", ".jpc", ".jpx", ".jpf"),
    "AVIF": (".avif",),
    "TGA": (".tga",),
    "PCX": (".pcx",),
    "ICO": (".ico",),
}
SUFFIXES = frozenset(suffix for suffixes in SUFFIXES_OF.values() for suffix in suffixes)
READERS = {"HEIC": "pillow_heif", "DICOM": "pydicom"}
"""Formats that another package reads, where it is installed."""
NEEDS_CONVERTING = {
    ".heic": "HEIC", ".heif": "HEIC", ".hif": "HEIC", ".dcm": "DICOM", ".dicom": "DICOM", ".psd": "Photoshop",
    ".svg": "SVG", ".pdf": "PDF", ".eps": "EPS", ".ps": "EPS", ".cr2": "Camera raw", ".cr3": "Camera raw",
    ".nef": "Camera raw", ".arw": "Camera raw", ".dng": "Camera raw", ".orf": "Camera raw", ".rw2": "Camera raw",
    ".raf": "Camera raw", ".pef": "Camera raw", ".srw": "Camera raw",
}  # fmt: skip
MAX_PIXELS = 100_000_000
# These decoders hold a picture three or four times over while they work.
MAX_PIXELS_OF = {"WEBP": 25_000_000, "AVIF": 50_000_000, "HEIC": 50_000_000}
MAX_SIDE_PX = 65_500
MAX_FILE_BYTES = 512 * 2**20
MAX_JPEG_SCANS = 100
MAX_PROGRESSIVE_PIXELS = 60_000_000
"""A progressive JPEG lies in memory as a whole, however small it is wanted."""
MAX_ARRAY_BYTES = 256 * 2**20
"""Pictures that come as an array of raw values, with all their channels, may take that much memory."""
USUAL_CHANNELS = 4
"""Pictures with more than that have channels to choose from."""

FRAMINGS = ("fill", "fit", "stretch")

_STRIP_PIXELS = 2**20
# Formats that Pillow reads from an open file piece by piece.
_PIECEWISE = ("TIFF", "BMP", "DIB", "PPM", "TGA")
# What decoding takes at most, in bytes a pixel.
_BYTES_A_PIXEL = {"WEBP": 16, "AVIF": 12, "HEIC": 12, "JPEG2000": 20}
_BYTES_OF_MODE = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2}
_BYTES_OF_DEEP_COLOUR = 8
_DEEP_MODES = ("I", "I;16", "I;16B", "I;16L", "I;16N", "F")
_TRANSPARENT_MODES = ("RGBA", "LA", "PA", "RGBa", "La")
_OTHER_HALF = {
    "RGB;16B": "RGB;16L", "RGB;16L": "RGB;16B", "RGB;16N": "RGB;16B",
    "RGBA;16B": "RGBA;16L", "RGBA;16L": "RGBA;16B", "RGBA;16N": "RGBA;16B",
}  # fmt: skip

# Compressed TIFF files come out of the library in this computer's order of bytes, but Pillow turns them once more.
_NATIVE_ORDER = {"I;16BS": "I;16NS", "I;32BS": "I;32NS", "F;32BF": "F;32NF"}

# The sizes of files' own pictures are checked below. Pillow's check, an error above twice its limit and a warning
# below, is for pictures inside pictures.
Image.MAX_IMAGE_PIXELS = MAX_PIXELS // 2
warnings.simplefilter("ignore", Image.DecompressionBombWarning)

Content = bytes | BinaryIO
"""A file's bytes, or for a large one the open file."""
Values = Callable[[int, int], np.ndarray]
"""Rows from, to (excluded) -> raw values (rows, width) or (rows, width, channels)."""


Admit = Callable[[int], object]
"""Is told how many bytes of memory the decoding takes before it begins; what it raises as a `NotNow` is passed on."""


class NotNow(Exception):
    """The picture may be read, but not at this moment."""


class UnreadableImage(Exception):
    """The file is not a picture that can be used. `code` is a word for programs, the text is for people."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Reading:
    """How a file becomes pixels and the pixels a square, as far as that is a choice.

    `low` and `high` are the values that become black and white in pictures of more than 8 bits a channel; None takes
    the range of the file's type. `channels` are the numbers of those to use, one (grey) or three, of a picture with
    more than four; one with fewer that has not all of them, or whose channels are colours, is read as ever. `framing`:
    "fill" cuts the long side off, "fit" shows all of the picture on a ground of its own border's colour, "stretch"
    changes its proportions.
    """

    low: float | None = None
    high: float | None = None
    channels: tuple[int, ...] = ()
    framing: str = "fill"


@dataclass(frozen=True)
class Decoded:
    """A picture and what its file tells beside the pixels. `width_px` and `height_px` are the whole upright picture's.

    `low` and `high`: between them lie nearly all values of a picture of more than 8 bits a channel. `taken_s` is the
    camera's clock in seconds since 1970 there. `note` is "first-frame" where there are more pictures in the file,
    "misnamed" where the file's ending promises another format, or "".
    """

    image: Image.Image
    format: str
    width_px: int
    height_px: int
    channels: int
    low: float | None = None
    high: float | None = None
    camera: str = ""
    taken_s: float | None = None
    note: str = ""


@dataclass
class _Source:
    """A picture ready to be turned into 8-bit RGB strip by strip."""

    size: tuple[int, int]
    strip: Callable[[int, int], Image.Image]
    channels: int
    values: Values | None = None
    plain: Image.Image | None = None
    """The whole picture, where it is 8-bit RGB already."""
    full_size: tuple[int, int] | None = None
    """Where the decoder made the picture smaller: its size in the file."""
    orientation: int = 1
    more: Callable[[], bool] = lambda: False
    """Return whether there are more pictures in the file."""
    camera: str = ""
    taken_s: float | None = None


def read_bytes(path: Path) -> bytes:
    """Return the content of a regular file.

    Raises UnreadableImage for pipes, devices, empty or huge files and for what the system refuses.
    """
    with opened_file(path) as file:
        return file.read()


@contextlib.contextmanager
def opened_file(path: Path) -> Iterator[BinaryIO]:
    """Open a regular file; raises UnreadableImage as `read_bytes` does, also for an OSError inside the block."""
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
            yield file
    except OSError as error:
        raise UnreadableImage("no-access", f"The file cannot be opened: {error.strerror or error}.") from error


def sniff(content: Content, suffix: str = "") -> str:
    """Return the format that the first bytes show: a key of `SUFFIXES_OF`, a kind that needs converting, or ""."""
    start = _piece(content, 0, 4096)
    kind = next((kind for kind, pattern in _SIGNATURES if re.match(pattern, start, re.DOTALL)), "")
    if not kind and (_end(content, 18) == b"TRUEVISION-XFILE.\0" or suffix.lower() in SUFFIXES_OF["TGA"]):
        kind = "TGA"
    if not kind and b"<svg" in start:
        kind = "SVG"
    # Many cameras' raw files are TIFF files too, in which only a small preview can be read.
    return "Camera raw" if kind == "TIFF" and NEEDS_CONVERTING.get(suffix.lower()) == "Camera raw" else kind


_SIGNATURES = (
    ("JPEG", rb"\xff\xd8\xff"),
    ("PNG", rb"\x89PNG\r\n\x1a\n"),
    ("GIF", rb"GIF8[79]a"),
    ("WEBP", rb"RIFF....WEBP"),
    ("Camera raw", rb"II\*\0....CR|IIRO|IIU\0|FUJIFILMCCD-RAW|....ftypcrx "),
    ("TIFF", rb"II\*\0|MM\0\*|II\+\0|MM\0\+"),
    ("AVIF", rb"....ftypavi[fs]"),
    ("HEIC", rb"....ftyp(hei[cxms]|hev[cx]|mif1|msf1)"),
    ("JPEG2000", rb"\0\0\0\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51"),
    ("PPM", rb"P[1-7]\s|P[Ff]\s"),
    ("BMP", rb"BM"),
    ("ICO", rb"\0\0\x01\0[^\0]"),
    ("DIB", rb"[\x0c\x28\x34\x38\x40\x6c\x7c]\0\0\0"),
    ("PCX", rb"\x0a[\0\x02\x03\x05]\x01"),
    ("DICOM", rb".{128}DICM"),
    ("Photoshop", rb"8BPS"),
    ("PDF", rb"%PDF"),
    ("EPS", rb"%!PS|\xc5\xd0\xd3\xc6"),
    ("Git LFS", rb"version .*\noid sha256:"),
)


def decode(
    content: Content, suffix: str = "", shrink_to_px: int | None = None, reading: Reading = Reading()
) -> Image.Image:
    """Return the picture in `content` alone; see `decode_noted`."""
    return decode_noted(content, suffix, shrink_to_px, reading).image


def decode_noted(
    content: Content,
    suffix: str = "",
    shrink_to_px: int | None = None,
    reading: Reading = Reading(),
    admit: Admit = lambda size_bytes: None,
) -> Decoded:
    """Return the picture in `content`, fully decoded, upright by its EXIF note, as 8-bit RGB.

    Of animations and multi-page files the first page counts; transparent pixels show white. Values of more than 8 bits
    are mapped by `reading`'s range; without one, by the full range of their type, floats from 0 to 1. With
    `shrink_to_px` a large picture comes at a whole fraction of its size whose short side is at least twice that number.
    Raises UnreadableImage.
    """
    kind = sniff(content, suffix)
    _refuse_foreign(kind, suffix)
    try:
        if not isinstance(content, bytes) and kind not in _PIECEWISE:
            content = _stream(content).read()
        source = _opened(content, kind, shrink_to_px, reading, admit)
        factor = max(1, min(source.size) // (2 * shrink_to_px)) if shrink_to_px else 1
        image = _upright(_assembled(source, factor), source.orientation)
        low, high = _usual_range(source)
    except (UnreadableImage, NotNow):
        raise
    except Image.DecompressionBombError as error:
        raise UnreadableImage("too-large", "The picture, or one inside the file, has too many pixels.") from error
    except MemoryError as error:
        raise UnreadableImage("too-large", "The picture does not fit into the memory of this computer.") from error
    except Exception as error:  # decoders raise whatever they like on damaged files
        raise _refusal(suffix) from error
    width, height = source.full_size or source.size
    if source.orientation >= 5:
        width, height = height, width
    note = _note(source, kind, suffix)
    return Decoded(image, kind, width, height, source.channels, low, high, source.camera, source.taken_s, note)


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


# --- what is refused --------------------------------------------------------------------------------------------------


def _refuse_foreign(kind: str, suffix: str) -> None:
    if kind == "":
        raise _refusal(suffix)
    if kind == "Git LFS":
        raise UnreadableImage(
            "unsupported", "Git left a note here in place of the picture: fetch it with “git lfs pull”."
        )
    if kind in READERS and find_spec(READERS[kind]) is None:
        package = READERS[kind].replace("_", "-")
        raise UnreadableImage(
            "unsupported", f"{kind} files need one more package: install {package}, or save it as JPEG or PNG."
        )
    if kind not in SUFFIXES_OF and kind not in READERS:
        raise UnreadableImage("unsupported", f"{kind} files cannot be read: save it as JPEG or PNG.")


def _refusal(suffix: str) -> UnreadableImage:
    kind = NEEDS_CONVERTING.get(suffix.lower(), "")
    if kind and (kind not in READERS or find_spec(READERS[kind]) is None):
        return UnreadableImage("unsupported", f"{kind} files cannot be read: save it as JPEG or PNG.")
    if kind or suffix.lower() in SUFFIXES:
        return UnreadableImage("unreadable", "The picture is damaged or incomplete.")
    return UnreadableImage("not-a-picture", "This is not a picture file.")


def _check_size(kind: str, width: int, height: int, array_bytes: int = 0) -> None:
    if width * height > MAX_PIXELS_OF.get(kind, MAX_PIXELS) or max(width, height) > MAX_SIDE_PX:
        raise UnreadableImage("too-large", f"The picture has {width} x {height} pixels.")
    if array_bytes > MAX_ARRAY_BYTES:
        raise UnreadableImage("too-large", f"The values of the picture fill {array_bytes // 2**20} MB.")


def _check_jpeg(content: bytes) -> None:
    """Refuse what libjpeg would read without complaint: scans without end, and a copy that broke off into zeros."""
    if content.count(b"\xff\xda") > MAX_JPEG_SCANS:
        raise UnreadableImage("too-large", f"The picture is stored in more than {MAX_JPEG_SCANS} layers.")
    if content.endswith(bytes(64)) and content.rfind(b"\xff\xd9") < content.rfind(b"\xff\xda"):
        raise UnreadableImage("unreadable", "The picture is damaged or incomplete.")


# --- opening ----------------------------------------------------------------------------------------------------------


def _stream(content: Content) -> BinaryIO:
    if isinstance(content, bytes):
        return io.BytesIO(content)
    content.seek(0)
    return content


def _piece(content: Content, start: int, length: int) -> bytes:
    if isinstance(content, bytes):
        return content[start : start + length]
    content.seek(start)
    return content.read(length)


def _end(content: Content, length: int) -> bytes:
    return _piece(content, max(0, _size_bytes(content) - length), length)


def _size_bytes(content: Content) -> int:
    return len(content) if isinstance(content, bytes) else content.seek(0, os.SEEK_END)


def _opened(content: Content, kind: str, shrink_to_px: int | None, reading: Reading, admit: Admit) -> _Source:
    if kind == "TIFF":
        return _opened_tiff(content, reading, admit)
    if kind == "DICOM":
        return _opened_dicom(content, reading, admit)
    if _piece(content, 0, 2) == b"P7":
        return _opened_pam(content, reading, admit)
    if kind == "HEIC":
        import_module("pillow_heif").register_heif_opener()
    if kind == "JPEG":
        assert isinstance(content, bytes)
        _check_jpeg(content)
    image = Image.open(_stream(content), formats=("HEIF" if kind == "HEIC" else kind,))
    full_size = image.size
    _check_size(kind, *full_size)
    halvings = 0
    if shrink_to_px and min(full_size) >= 4 * shrink_to_px:
        if kind == "JPEG":
            image.draft("RGB", (2 * shrink_to_px, 2 * shrink_to_px))
        if kind == "JPEG2000":
            halvings = min((min(full_size) // (2 * shrink_to_px)).bit_length() - 1, _jpeg2000_levels(content))
            # The plugin's attribute of that name halves the sides so many times while decoding.
            image.reduce = halvings  # type: ignore[method-assign, assignment]
    pixels = image.width * image.height >> 2 * halvings
    deep_colour = _has_deep_colour(image)
    a_pixel = _BYTES_OF_DEEP_COLOUR if deep_colour else _BYTES_A_PIXEL.get(kind, _BYTES_OF_MODE.get(image.mode, 4))
    if "progressive" in image.info:
        pixels, a_pixel = full_size[0] * full_size[1], 6
        if pixels > MAX_PROGRESSIVE_PIXELS:
            raise UnreadableImage("too-large", "The picture has too many pixels for a progressive JPEG.")
    admit(pixels * a_pixel + _size_bytes(content))
    image.load()
    return _from_pillow(content, image, full_size, kind, reading, deep_colour)


def _jpeg2000_levels(content: Content) -> int:
    """Return how many times the picture was halved when it was stored (COD marker, ISO 15444-1 A.6.1)."""
    start = _piece(content, 0, 2**16)
    return start[start.find(b"\xff\x52") + 9]


def _opened_tiff(content: Content, reading: Reading, admit: Admit) -> _Source:
    try:
        image = Image.open(_stream(content), formats=("TIFF",))
    except UnidentifiedImageError:
        return _opened_odd_tiff(content, reading, admit)
    _check_size("TIFF", *image.size)
    tags: Any = image.tag_v2  # type: ignore[attr-defined]
    if _DNG_VERSION in tags:
        raise UnreadableImage("unsupported", "Camera raw files cannot be read: save it as JPEG or PNG.")
    if _misread_by_pillow(tags, image.mode):
        return _opened_odd_tiff(content, reading, admit)
    deep_colour = _has_deep_colour(image)
    is_packed = tags.get(_COMPRESSION, 1) != 1
    if is_packed:
        image.tile = [_with_raw_mode(tile, _NATIVE_ORDER.get(_raw_mode(tile), _raw_mode(tile))) for tile in image.tile]
    a_pixel = _BYTES_OF_DEEP_COLOUR if deep_colour else _BYTES_OF_MODE.get(image.mode, 4)
    admit(image.width * image.height * a_pixel + is_packed * _size_bytes(content))
    image.load()
    return _from_pillow(content, image, image.size, "TIFF", reading, deep_colour, tags)


_BITS, _COMPRESSION, _PHOTOMETRIC, _DESCRIPTION, _SAMPLES, _PLANAR, _SAMPLE_FORMAT = 258, 259, 262, 270, 277, 284, 339
_DNG_VERSION = 50706
_WHITE_IS_ZERO = 0
_NO_ALPHA, _PREMULTIPLIED = 0, 1
"""Kinds of extra samples (TIFF 6.0, section 18); the third is transparency by which nothing is multiplied yet."""


def _misread_by_pillow(tags: Any, mode: str) -> bool:
    """Tell TIFF files that Pillow opens with other pixels than are in them: tried with pictures of known values."""
    bits, signed = max(tags.get(_BITS, (1,))), 2 in tags.get(_SAMPLE_FORMAT, ())
    samples = tags.get(_SAMPLES, 1)
    colour_and_more = mode in ("RGBA", "RGBX") and samples > 3
    separate = tags.get(_PLANAR, 1) == 2 and samples > 1 and (bits > 8 or colour_and_more)
    grey_with_more = mode in ("L", "I;16", "I;16B", "I", "F") and samples > 1
    description = str(tags.get(_DESCRIPTION, ""))
    channels_as_pages = bool(re.search(r"^channels=\d|<OME[ >]", description, re.MULTILINE))
    return separate or grey_with_more or (bits == 8 and signed) or channels_as_pages


def _from_pillow(
    content: Content,
    image: Image.Image,
    full_size: tuple[int, int],
    kind: str,
    reading: Reading,
    deep_colour: bool,
    tags: Any = None,
) -> _Source:
    """Return the source of a loaded image. `tags` are those of a TIFF file."""
    tags = tags or {}
    if image.mode in _DEEP_MODES:
        unsigned_32 = kind == "TIFF" and image.mode == "I" and tags.get(_SAMPLE_FORMAT, (1,))[0] == 1
        source = _from_values(
            image.size,
            partial(_rows, image, np.dtype(np.uint32) if unsigned_32 else None),
            _bounds(image.mode, kind, tags),
            reading,
            inverted=tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO,
            key=image.info.get("transparency"),
        )
    elif deep_colour:
        channels = len(image.getbands())
        source = _from_values(
            image.size,
            partial(_deep_rows, image, _other_half(content, kind)),
            (0, 65535),
            reading,
            channels=channels,
            colour=True,
            opaque_at=65535 if channels == 4 else None,
            key=image.info.get("transparency"),
        )
    else:
        source = _Source(image.size, partial(_flat_strip, image), len(image.getbands()))
        if image.mode == "RGB" and "transparency" not in image.info:
            source.plain = image
    source.full_size = full_size
    source.more = lambda: bool(getattr(image, "is_animated", False))
    with contextlib.suppress(Exception):  # a damaged EXIF block does not make the pixels unusable
        exif = image.getexif()
        source.orientation = exif.get(0x0112, 1)
        source.camera, source.taken_s = _camera_and_time(exif)
    return source


def _bounds(mode: str, kind: str, tags: Any) -> tuple[float, float]:
    """Return what is black and white in a picture of more than 8 bits when nobody chose: all that its type can hold."""
    if mode == "F":
        return 0, 1
    if kind != "TIFF":
        return 0, 65535
    bits, signed = tags.get(_BITS, (16,))[0], tags.get(_SAMPLE_FORMAT, (1,))[0] == 2
    return (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)


def _raw_mode(tile: Any) -> str:
    return tile.args if isinstance(tile.args, str) else tile.args[0]


def _with_raw_mode(tile: Any, raw_mode: str) -> Any:
    return tile._replace(args=raw_mode if isinstance(tile.args, str) else (raw_mode, *tile.args[1:]))


def _has_deep_colour(image: Image.Image) -> bool:
    """Return whether a picture that is not loaded yet has colours of 16 bits that `_other_half` can get hold of."""
    tiles = getattr(image, "tile", [])
    return (
        bool(tiles)
        and all(_raw_mode(tile) in _OTHER_HALF for tile in tiles)
        and (image.width * image.height <= MAX_PIXELS // 4)
    )


def _other_half(content: Content, kind: str) -> Image.Image:
    """Return the lower halves of a picture with 16 bits a channel, of which Pillow keeps the upper ones.

    Asked to take the bytes the other way round, it keeps the others.
    """
    other = Image.open(_stream(content), formats=(kind,))
    other.tile = [_with_raw_mode(tile, _OTHER_HALF[_raw_mode(tile)]) for tile in other.tile]
    other.load()
    return other


def _opened_odd_tiff(content: Content, reading: Reading, admit: Admit) -> _Source:
    """Open what Pillow does not read rightly: many channels, channels as pages or planes, 64 bits, signed bytes."""
    if find_spec("tifffile") is None:
        raise UnreadableImage(
            "unsupported", "This kind of TIFF needs one more package: install tifffile, or save it as PNG."
        )
    tifffile = import_module("tifffile")
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # it would tell of every damaged tag
    with tifffile.TiffFile(_stream(content)) as file:
        page, series = file.pages[0], file.series[0]
        _check_size("TIFF", page.imagewidth, page.imagelength, page.nbytes)
        if page.tags.get(_DNG_VERSION) is not None or page.photometric not in (0, 1, 2):
            raise UnreadableImage("unsupported", "This kind of TIFF cannot be read: save it as JPEG or PNG.")
        whole = "C" in series.axes and series.nbytes <= MAX_ARRAY_BYTES
        admit(2 * (series.nbytes if whole else page.nbytes))
        try:
            values, axes = (series.asarray(), series.axes) if whole else (page.asarray(), page.axes)
        except (KeyError, ValueError) as error:
            if "imagecodecs" not in str(error):
                raise
            raise UnreadableImage(
                "unsupported", "This TIFF is compressed in a way that cannot be read: save it without compression."
            ) from error
        several = len(file.pages) > (values.size // page.size if whole else 1)
        colour, inverted = page.photometric == 2, page.photometric == _WHITE_IS_ZERO
        alpha_kind = page.extrasamples[0] if len(page.extrasamples) == 1 else _NO_ALPHA
        orientation = page.tags.valueof(0x0112, default=1)
    for axis in reversed(range(len(axes))):
        if axes[axis] not in "YXSC":  # the first of several planes, times or rounds
            values, axes = values.take(0, axis), axes[:axis] + axes[axis + 1 :]
    if "S" in axes and "C" in axes:
        values, axes = values.take(0, axes.index("C")), axes.replace("C", "")
    values = values.transpose([axes.index(axis) for axis in ("Y", "X", *axes.replace("Y", "").replace("X", ""))])
    channels = values.shape[2] if values.ndim == 3 else 1
    whole_range = _type_range(values.dtype)
    source = _from_values(
        (values.shape[1], values.shape[0]),
        lambda top, bottom: values[top:bottom],
        whole_range,
        reading,
        channels=channels,
        colour=colour,
        opaque_at=whole_range[1] if alpha_kind and channels in (2, 4) else None,
        premultiplied=alpha_kind == _PREMULTIPLIED,
        inverted=inverted,
        deep=values.dtype.itemsize > 1,
    )
    source.orientation = orientation
    source.more = lambda: several
    return source


def _type_range(kind: np.dtype[Any]) -> tuple[float, float]:
    if kind.kind in "iu":
        return np.iinfo(kind).min, np.iinfo(kind).max
    return 0, 1


def _opened_dicom(content: Content, reading: Reading, admit: Admit) -> _Source:
    pydicom = import_module("pydicom")
    file = pydicom.dcmread(_stream(content))
    bits = int(file.BitsStored)
    values_bytes = file.Columns * file.Rows * file.SamplesPerPixel * 4
    _check_size("DICOM", int(file.Columns), int(file.Rows), values_bytes)
    admit(2 * values_bytes + _size_bytes(content))
    try:
        values = pydicom.pixels.pixel_array(file, index=0)
    except (NotImplementedError, RuntimeError) as error:
        raise UnreadableImage(
            "unsupported", "This DICOM file is compressed in a way that cannot be read: save it as PNG."
        ) from error
    photometric = str(file.PhotometricInterpretation)
    if photometric == "PALETTE COLOR":
        values, bits = pydicom.pixels.apply_color_lut(values, file), 16
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if file.PixelRepresentation else (0, 2**bits - 1)
    if values.ndim == 2 and "RescaleSlope" in file:
        values = pydicom.pixels.apply_modality_lut(values, file).astype(np.float32)
        slope, intercept = float(file.RescaleSlope), float(file.RescaleIntercept)
        low, high = sorted((low * slope + intercept, high * slope + intercept))
    source = _from_values(
        (values.shape[1], values.shape[0]),
        lambda top, bottom: values[top:bottom],
        (low, high),
        reading,
        channels=values.shape[2] if values.ndim == 3 else 1,
        colour=values.ndim == 3,
        inverted=photometric == "MONOCHROME1",
        deep=bits > 8,
    )
    source.camera = f"{file.get('Manufacturer', '')} {file.get('ManufacturerModelName', '')}".strip()
    source.more = lambda: int(file.get("NumberOfFrames") or 1) > 1
    return source


def _opened_pam(content: Content, reading: Reading, admit: Admit) -> _Source:
    """Open a portable arbitrary map, as netpbm's pam(5) describes it."""
    header, found, _ = _piece(content, 0, 4096).partition(b"\nENDHDR\n")
    facts = dict(line.split(None, 1) for line in header.splitlines()[1:] if line and not line.startswith(b"#"))
    width, height, depth, top_value = (int(facts[name]) for name in (b"WIDTH", b"HEIGHT", b"DEPTH", b"MAXVAL"))
    item = np.dtype(np.uint8 if top_value < 256 else ">u2")
    values_bytes = width * height * depth * item.itemsize
    _check_size("PPM", width, height, values_bytes)
    admit(values_bytes)
    stored = _piece(content, len(header) + len(found), values_bytes)
    values = np.frombuffer(stored, item).reshape(height, width, depth)
    return _from_values(
        (width, height),
        lambda top, bottom: values[top:bottom],
        (0, top_value),
        reading,
        channels=depth,
        colour=depth in (3, 4),
        opaque_at=top_value if depth in (2, 4) else None,
        deep=top_value > 255,
    )


def _camera_and_time(exif: Image.Exif) -> tuple[str, float | None]:
    make, model = (str(exif.get(tag) or "").strip(" \0") for tag in (0x010F, 0x0110))
    camera = model if model.startswith(make) else f"{make} {model}"
    taken = exif.get_ifd(0x8769).get(0x9003) or exif.get(0x0132)
    with contextlib.suppress(ValueError, TypeError):
        return camera, datetime.strptime(str(taken).strip(" \0"), "%Y:%m:%d %H:%M:%S").replace(tzinfo=UTC).timestamp()
    return camera, None


# --- values to pixels -------------------------------------------------------------------------------------------------


def _rows(image: Image.Image, view: np.dtype[Any] | None, top: int, bottom: int) -> np.ndarray:
    values = np.asarray(image.crop((0, top, image.width, bottom)))
    return values if view is None else values.view(view)


def _deep_rows(upper: Image.Image, lower: Image.Image, top: int, bottom: int) -> np.ndarray:
    values = _rows(upper, None, top, bottom).astype(np.uint16)
    values <<= 8
    values |= _rows(lower, None, top, bottom)
    return values


def _from_values(
    size: tuple[int, int],
    values: Values,
    bounds: tuple[float, float],
    reading: Reading,
    *,
    channels: int = 1,
    colour: bool = False,
    opaque_at: float | None = None,
    premultiplied: bool = False,
    inverted: bool = False,
    key: object = None,
    deep: bool = True,
) -> _Source:
    """Return the source of raw values between `bounds`, which `reading` may choose otherwise if they are `deep`.

    `colour`: the first three channels are red, green and blue. `opaque_at` is what the last channel holds where the
    picture is opaque, if it is one of transparency; where the others are `premultiplied` with it, they are black where
    it is 0. Pixels of the value `key` are transparent.
    """
    low, high = bounds
    if deep:
        low = low if reading.low is None else reading.low
        high = high if reading.high is None else reading.high
    chosen = _chosen_channels(channels, colour, reading)
    shades_of = _shader(low, high, inverted)

    def picked(top: int, bottom: int) -> np.ndarray:
        raw = values(top, bottom)
        return raw[..., chosen] if raw.ndim == 3 else raw[..., None]

    def strip(top: int, bottom: int) -> Image.Image:
        raw = picked(top, bottom)
        shades = shades_of(raw)
        if shades.shape[2] == 1:
            shades = np.repeat(shades, 3, axis=2)
        if opaque_at is not None:
            opaque = (values(top, bottom)[..., -1:] / opaque_at).astype(np.float32)
            shown = shades + 255 * (1 - opaque) if premultiplied else 255 - (255 - shades) * opaque
            shades = (shown.clip(0, 255) + 0.5).astype(np.uint8)
        if isinstance(key, int | tuple):
            shades[(raw == np.asarray(key)).all(axis=2)] = 255
        return Image.fromarray(shades)

    return _Source(size, strip, channels, picked if deep else None)


def _chosen_channels(channels: int, colour: bool, reading: Reading) -> list[int]:
    wanted = reading.channels
    if channels > USUAL_CHANNELS and wanted and max(wanted) >= channels:
        raise UnreadableImage("no-channel", f"The picture has only {channels} channels.")
    has_choice = channels > USUAL_CHANNELS or not colour
    if wanted and has_choice and max(wanted) < channels:
        return list(wanted)
    return [0, 1, 2] if channels >= 3 else [0]


def _shader(low: float, high: float, inverted: bool) -> Callable[[np.ndarray], np.ndarray]:
    """Return what turns raw values into 8 bits: 0 up to `low`, 255 from `high` on; what is not a number is 0."""

    def shades(values: np.ndarray) -> np.ndarray:
        with np.errstate(all="ignore"):  # infinities and what is not a number may be in the file
            scaled = (values.astype(np.float64) - low) * 255 / max(high - low, 1e-30)
            shaded = (np.nan_to_num(scaled, nan=0.0, posinf=255.0, neginf=0.0).clip(0, 255) + 0.5).astype(np.uint8)
        return 255 - shaded if inverted else shaded

    table = np.empty(0, np.uint8)

    def looked_up(values: np.ndarray) -> np.ndarray:
        nonlocal table
        if values.dtype != np.uint16:
            return shades(values)
        if not table.size:
            table = shades(np.arange(65536))
        shaded: np.ndarray = table[values]
        return shaded

    return looked_up


def _flat_strip(image: Image.Image, top: int, bottom: int) -> Image.Image:
    """Return rows of an 8-bit picture as RGB, on white where it is transparent."""
    part = image if (top, bottom) == (0, image.height) else image.crop((0, top, image.width, bottom))
    if part.mode == "LAB":
        converted = ImageCms.profileToProfile(
            part, ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"), outputMode="RGB"
        )
        assert converted is not None
        return converted
    if part.mode in _TRANSPARENT_MODES or "transparency" in part.info:
        layered = part.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layered.size, "white"), layered).convert("RGB")
    return part.convert("RGB")


def _assembled(source: _Source, factor: int) -> Image.Image:
    """Return the picture at a whole fraction of its size. Strip by strip, because large ones fill the memory."""
    if source.plain is not None:
        return source.plain if factor == 1 else source.plain.reduce(factor)
    width, height = source.size
    rows = max(1, _STRIP_PIXELS // (width * factor)) * factor
    if factor == 1 and rows >= height:
        return source.strip(0, height)
    image = Image.new("RGB", (-(-width // factor), -(-height // factor)))
    for top in range(0, height, rows):
        image.paste(source.strip(top, min(top + rows, height)).reduce(factor), (0, top // factor))
    return image


def _upright(image: Image.Image, orientation: int) -> Image.Image:
    turn = _TURNS.get(orientation)
    return image if turn is None else image.transpose(turn)


_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # fmt: skip


def _usual_range(source: _Source) -> tuple[float | None, float | None]:
    """Return the values that one in a thousand of a picture's values lie below and above, from a sample of them."""
    if source.values is None:
        return None, None
    width, height = source.size
    step_x, step_y = 1 + width // 2048, 1 + height // 512
    sample = np.concatenate([source.values(row, row + 1)[:, ::step_x].ravel() for row in range(0, height, step_y)])
    finite = sample[np.isfinite(sample)]
    if finite.size == 0:
        return None, None
    low, high = np.percentile(finite, (0.1, 99.9))
    return float(low), float(high)


def _note(source: _Source, kind: str, suffix: str) -> str:
    with contextlib.suppress(Exception):  # what follows the first picture may be damaged
        if source.more():
            return "first-frame"
    named = suffix.lower()
    promised = named in SUFFIXES or named[1:].isalpha()  # in "cell 1.5 um" the point begins no ending
    fits = named in SUFFIXES_OF.get(kind, ()) or NEEDS_CONVERTING.get(named) == kind
    return "misnamed" if promised and not fits else ""
