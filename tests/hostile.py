"""A corpus of files as hard disks have them: every format and mode with known colours, and every way to be broken."""

from __future__ import annotations

import io
import itertools
import os
import socket
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image

RED, GREEN, BLUE, YELLOW = (220, 30, 30), (30, 200, 40), (30, 60, 210), (230, 210, 40)
COLOURS = (RED, GREEN, BLUE, YELLOW)
GREYS = (0, 60, 150, 255)
GREY_COLOURS = tuple((grey, grey, grey) for grey in GREYS)
# Where a viewer shows the stored corners for each EXIF orientation (Exif 2.3, tag 0x0112).
UPRIGHT = {
    1: (RED, GREEN, BLUE, YELLOW), 2: (GREEN, RED, YELLOW, BLUE), 3: (YELLOW, BLUE, GREEN, RED),
    4: (BLUE, YELLOW, RED, GREEN), 5: (RED, BLUE, GREEN, YELLOW), 6: (BLUE, RED, YELLOW, GREEN),
    7: (YELLOW, GREEN, BLUE, RED), 8: (GREEN, YELLOW, RED, BLUE),
}  # fmt: skip
BROKEN = frozenset({"unreadable", "not-a-picture"})
COMMON = {
    "JPEG": ".jpg", "PNG": ".png", "GIF": ".gif", "WEBP": ".webp", "TIFF": ".tif", "BMP": ".bmp", "AVIF": ".avif",
    "JPEG2000": ".jp2",
}  # fmt: skip


@dataclass(frozen=True)
class Case:
    """One file: its name, its bytes and what must come of it.

    `codes` are the codes that it may have, "" for a file that is simply used. `colours` are those in the middle of the
    four quarters of a picture that must be readable (top left, top right, bottom left, bottom right).
    """

    name: str
    content: bytes
    codes: frozenset[str] = frozenset({""})
    colours: tuple[tuple[int, int, int], ...] | None = None
    tolerance: int = 0
    size: tuple[int, int] | None = None


def quarters(width_px: int = 64, height_px: int = 64) -> Image.Image:
    """Red, green / blue, yellow: no two of the eight orientations look alike."""
    return Image.fromarray(_four(np.array(COLOURS, np.uint8), width_px, height_px))


def saved(image: Image.Image, file_format: str, **options: object) -> bytes:
    """Return the bytes that Pillow writes."""
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def tiff(values: np.ndarray, **options: object) -> bytes:
    """Return the bytes that tifffile writes."""
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, values, **options)
    return buffer.getvalue()


def png_chunk(kind: bytes, body: bytes) -> bytes:
    """Return one chunk of a PNG file."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(values: np.ndarray, colour_type: int, before_data: bytes = b"") -> bytes:
    """Return a PNG of 16 bits a channel, which Pillow does not write in colour."""
    height, width = values.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0))
    data = png_chunk(b"IDAT", zlib.compress(rows)) + png_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + header + before_data + data


def cases() -> Iterator[Case]:
    """Yield every file of the corpus that is plain bytes."""
    yield from _formats_and_modes()
    yield from _tiffs()
    yield from _orientations()
    yield from _several_pictures()
    yield from _truncated()
    yield from _lying_names()
    yield from _strange_names()
    yield from _foreign()
    yield from _bad_headers()
    yield from _bombs()


def write_corpus(folder: Path) -> dict[Path, Case]:
    """Write every file of the corpus, special ones included, and return what is expected of each."""
    written = {}
    for number, case in enumerate(cases()):
        path = folder / f"{number // 100}" / case.name
        path.parent.mkdir(parents=True, exist_ok=True)
        assert not path.exists(), case.name
        path.write_bytes(case.content)
        written[path] = case
    return written | _special_files(folder / "special")


def mutations(content: bytes, count: int, seed: int) -> Iterator[bytes]:
    """Yield damaged versions of a file: bytes changed, cut off, left out, doubled or zeroed."""
    rng = np.random.default_rng(seed)
    for number in range(count):
        data = bytearray(content)
        start = int(rng.integers(0, len(data)))
        length = int(rng.integers(1, 64))
        match number % 5:
            case 0 | 1:
                for place in rng.integers(0, len(data), int(rng.integers(1, 12))):
                    data[place] = int(rng.integers(0, 256))
            case 2:
                del data[start:]
            case 3:
                del data[start : start + length]
            case 4:
                data[start : start + length] = bytes(length) if number % 2 else data[start : start + length] * 2
        yield bytes(data)


def _four(values: np.ndarray, width: int = 64, height: int = 64) -> np.ndarray:
    """Return four values (4, ...) as the quarters of a picture."""
    places = (np.arange(height) >= height // 2)[:, None] * 2 + (np.arange(width) >= width // 2)[None, :]
    return values[places]


def _formats_and_modes() -> Iterator[Case]:
    sizes = ((64, 64), (97, 33), (4, 4), (300, 700))
    for (file_format, suffix), size in itertools.product(COMMON.items(), sizes):
        exact = file_format in ("PNG", "TIFF", "BMP")
        tolerance = 0 if exact else 90 if size == (4, 4) else 12
        content = saved(quarters(*size), file_format, quality=95)
        yield Case(f"{file_format}-{size[0]}{suffix}", content, colours=COLOURS, tolerance=tolerance, size=size)
    for file_format, suffix in (("PPM", ".ppm"), ("TGA", ".tga"), ("PCX", ".pcx"), ("DIB", ".dib")):
        yield Case(f"plain{suffix}", saved(quarters(), file_format), colours=COLOURS)
    yield Case("icon.ico", saved(quarters(), "ICO", sizes=[(64, 64)]), colours=COLOURS)
    yield Case(
        "progressive.jpg", saved(quarters(), "JPEG", progressive=True, quality=95), colours=COLOURS, tolerance=12
    )
    yield Case("subsampled.jpg", saved(quarters(), "JPEG", subsampling=2, quality=95), colours=COLOURS, tolerance=12)
    yield Case("lossless.webp", saved(quarters(), "WEBP", lossless=True), colours=COLOURS)
    yield Case("rle.tga", saved(quarters(), "TGA", compression="tga_rle"), colours=COLOURS)
    yield Case("interlaced.gif", saved(quarters(), "GIF", interlace=1), colours=COLOURS, tolerance=6)

    grey = Image.fromarray(_four(np.array(GREYS, np.uint8)))
    for file_format, suffix in (*COMMON.items(), ("PPM", ".pgm"), ("TGA", ".tga"), ("PCX", ".pcx")):
        tolerance = 0 if file_format in ("PNG", "TIFF", "BMP", "GIF", "PPM", "TGA", "PCX") else 6
        content = saved(grey, file_format, quality=95)
        yield Case(f"grey-{file_format}{suffix}", content, colours=GREY_COLOURS, tolerance=tolerance)
    black_white = Image.fromarray(_four(np.array((0, 255, 255, 0), np.uint8))).convert("1")
    two = tuple((v, v, v) for v in (0, 255, 255, 0))
    for file_format, suffix in (("PNG", ".png"), ("TIFF", ".tif"), ("BMP", ".bmp"), ("PPM", ".pbm"), ("PCX", ".pcx")):
        yield Case(f"bilevel-{file_format}{suffix}", saved(black_white, file_format), colours=two)
    palette = quarters().quantize(4, method=Image.Quantize.MEDIANCUT)
    for file_format, suffix in (("PNG", ".png"), ("TIFF", ".tif"), ("BMP", ".bmp"), ("GIF", ".gif"), ("PCX", ".pcx")):
        yield Case(f"palette-{file_format}{suffix}", saved(palette, file_format), colours=COLOURS, tolerance=3)

    see_through = np.dstack([np.asarray(quarters()), _four(np.array((255, 0, 255, 0), np.uint8))])
    on_white = (RED, (255, 255, 255), BLUE, (255, 255, 255))
    for file_format, suffix in (("PNG", ".png"), ("TIFF", ".tif"), ("WEBP", ".webp"), ("AVIF", ".avif"),
                                ("TGA", ".tga"), ("JPEG2000", ".jp2")):  # fmt: skip
        options = {"lossless": True} if file_format == "WEBP" else {"quality": 95} if file_format == "AVIF" else {}
        content = saved(Image.fromarray(see_through), file_format, **options)
        yield Case(f"alpha-{file_format}{suffix}", content, colours=on_white, tolerance=6)
    grey_alpha = Image.fromarray(_four(np.array(((0, 255), (60, 0), (150, 255), (9, 0)), np.uint8)))
    grey_on_white = ((0, 0, 0), (255, 255, 255), (150, 150, 150), (255, 255, 255))
    for file_format, suffix in (("PNG", ".png"), ("TIFF", ".tif")):
        yield Case(f"grey-alpha-{file_format}{suffix}", saved(grey_alpha, file_format), colours=grey_on_white)

    ink = np.stack([255 - np.asarray(quarters())[..., channel] for channel in range(3)], -1)
    ink = np.dstack([ink, np.zeros(ink.shape[:2], np.uint8)])
    cmyk = Image.fromarray(ink, "CMYK")
    yield Case("cmyk.jpg", saved(cmyk, "JPEG", quality=95), colours=COLOURS, tolerance=12)
    yield Case("cmyk.tif", saved(cmyk, "TIFF"), colours=COLOURS)
    yield Case("ycbcr.tif", saved(quarters().convert("YCbCr"), "TIFF"), colours=COLOURS, tolerance=3)
    yield Case("ycbcr.jp2", saved(quarters().convert("YCbCr"), "JPEG2000"), colours=COLOURS, tolerance=6)

    deep_grey = _four(np.array(GREYS, np.uint16) * 257)
    deep = Image.fromarray(deep_grey)
    for file_format, suffix in (("PNG", ".png"), ("TIFF", ".tif"), ("JPEG2000", ".jp2"), ("PPM", ".pgm")):
        options = {"irreversible": False} if file_format == "JPEG2000" else {}
        yield Case(f"16-bit-{file_format}{suffix}", saved(deep, file_format, **options), colours=GREY_COLOURS)
    colour = _four(np.array(COLOURS, np.uint16) * 257)
    opaque = _four(np.array((65535, 0, 65535, 0), np.uint16))
    yield Case("16-bit-colour.png", png(colour, 2), colours=COLOURS)
    yield Case("16-bit-alpha.png", png(np.dstack([colour, opaque]), 6), colours=on_white)
    yield Case("16-bit-grey-alpha.png", png(np.dstack([deep_grey, opaque]), 4),
               colours=((0,) * 3, (255,) * 3, (150,) * 3, (255,) * 3))  # fmt: skip
    key = png_chunk(b"tRNS", struct.pack(">H", 60 * 257))
    yield Case("16-bit-key.png", png(deep_grey, 0, key), colours=((0,) * 3, (255,) * 3, (150,) * 3, (255,) * 3))
    key = png_chunk(b"tRNS", struct.pack(">HHH", *(value * 257 for value in GREEN)))
    yield Case("16-bit-colour-key.png", png(colour, 2, key), colours=(*on_white[:3], YELLOW))
    pixels = np.asarray(quarters()).tobytes()
    pam = b"P7\nWIDTH 64\nHEIGHT 64\nDEPTH %d\nMAXVAL %d\nTUPLTYPE X\nENDHDR\n"
    yield Case("colour.pam", pam % (3, 255) + pixels, colours=COLOURS)
    yield Case("deep.pam", pam % (3, 65535) + colour.astype(">u2").tobytes(), colours=COLOURS)
    yield Case("alpha.pam", pam % (4, 255) + see_through.tobytes(), colours=on_white)
    yield Case("12-bit.pgm", b"P5 64 64 4095\n" + (deep_grey // 16).astype(">u2").tobytes(), colours=GREY_COLOURS)
    yield Case("16-bit.ppm", b"P6 64 64 65535\n" + colour.astype(">u2").tobytes(), colours=COLOURS)
    yield Case("ascii.pgm", b"P2 2 2 255\n0 60 150 255\n", colours=None)
    floats = _four(np.array(GREYS, np.float32) / 255)
    yield Case("float.pfm", b"Pf\n64 64\n-1.0\n" + floats[::-1].tobytes(), colours=GREY_COLOURS)


def _tiffs() -> Iterator[Case]:
    greys = np.array(GREYS, np.float64) / 255
    for kind, order in itertools.product(
        ("u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8"), ("<", ">")
    ):
        item = np.dtype(kind)
        if item.kind == "f":
            values = greys.astype(item)
        else:
            low, high = float(np.iinfo(item).min), float(np.iinfo(item).max)
            # The largest float below 2**64 is 2,048 less than what would overflow.
            values = np.minimum(low + greys * (high - low), np.nextafter(high, 0)).round().astype(item)
        name = f"{kind}-{'little' if order == '<' else 'big'}"
        four = _four(values)
        plain = {"byteorder": order, "photometric": "minisblack"}
        yield Case(f"{name}.tif", tiff(four, **plain), colours=GREY_COLOURS, tolerance=1)
        yield Case(f"{name}-zip.tif", tiff(four, compression="zlib", **plain), colours=GREY_COLOURS, tolerance=1)
        yield Case(f"{name}-tiled.tif", tiff(four, tile=(16, 16), **plain), colours=GREY_COLOURS, tolerance=1)
        yield Case(f"{name}-big.tif", tiff(four, bigtiff=True, **plain), colours=GREY_COLOURS, tolerance=1)
        if kind in ("u1", "u2", "f4"):
            turned = tuple((255 - v,) * 3 for v in GREYS)
            white = plain | {"photometric": "miniswhite"}
            yield Case(f"{name}-white-is-zero.tif", tiff(four, **white), colours=turned, tolerance=1)
        colour_values = _four(np.array(COLOURS, np.float64) / 255)
        if item.kind == "u" and item.itemsize <= 4:
            colours = (colour_values * np.iinfo(item).max).round().astype(item)
        elif item.kind == "f":
            colours = colour_values.astype(item)
        else:
            continue
        rgb = {"byteorder": order, "photometric": "rgb"}
        yield Case(f"{name}-rgb.tif", tiff(colours, **rgb), colours=COLOURS, tolerance=1)
        yield Case(f"{name}-rgb-zip.tif", tiff(colours, compression="zlib", **rgb), colours=COLOURS, tolerance=1)
        planes = np.ascontiguousarray(np.moveaxis(colours, -1, 0))
        separate = tiff(planes, planarconfig="separate", **rgb)
        yield Case(f"{name}-planes.tif", separate, colours=COLOURS, tolerance=1)
    colour16 = _four(np.array(COLOURS, np.uint16) * 257)
    for predictor in (True, False):
        packed = tiff(colour16, photometric="rgb", compression="zlib", predictor=predictor)
        yield Case(f"predictor-{predictor}.tif", packed, colours=COLOURS, tolerance=1)
    alpha = np.dstack([colour16, _four(np.array((65535, 0, 65535, 0), np.uint16))])
    on_white = (RED, (255, 255, 255), BLUE, (255, 255, 255))
    packed = tiff(alpha, photometric="rgb", extrasamples=["unassalpha"])
    yield Case("16-bit-alpha.tif", packed, colours=on_white, tolerance=1)
    for compression in ("tiff_lzw", "tiff_deflate", "tiff_adobe_deflate", "packbits", "lzma", "zstd"):
        content = saved(quarters(), "TIFF", compression=compression)
        yield Case(f"{compression}.tif", content, colours=COLOURS)
        grey16 = Image.fromarray(_four(np.array(GREYS, np.uint16) * 257))
        yield Case(f"{compression}-16.tif", saved(grey16, "TIFF", compression=compression), colours=GREY_COLOURS)
    yield Case("jpeg-inside.tif", saved(quarters(), "TIFF", compression="jpeg", quality=95),
               colours=COLOURS, tolerance=12)  # fmt: skip
    fax = Image.fromarray(_four(np.array((0, 255, 255, 0), np.uint8))).convert("1")
    for compression in ("group3", "group4"):
        two = tuple((v,) * 3 for v in (0, 255, 255, 0))
        yield Case(f"{compression}.tif", saved(fax, "TIFF", compression=compression), colours=two)
    strange = np.array([[np.nan, np.inf], [-np.inf, 0.5]], np.float32)
    yield Case("not-a-number.tif", tiff(_four(strange.ravel()), photometric="minisblack"),
               colours=((0,) * 3, (255,) * 3, (0,) * 3, (128,) * 3))  # fmt: skip
    yield Case("all-nan.tif", tiff(np.full((64, 64), np.nan, np.float32)), colours=((0,) * 3,) * 4)
    five = np.dstack([np.asarray(quarters()), np.asarray(quarters())[..., :2]])
    for planar in ("contig", "separate"):
        stored = five if planar == "contig" else np.ascontiguousarray(np.moveaxis(five, -1, 0))
        packed = tiff(stored, photometric="minisblack", planarconfig=planar)
        yield Case(f"five-channels-{planar}.tif", packed, colours=COLOURS)
    hyper = np.ascontiguousarray(np.moveaxis(colour16, -1, 0))
    yield Case(
        "channels-as-pages.tif", tiff(hyper, imagej=True, metadata={"axes": "CYX"}), colours=COLOURS, tolerance=1
    )
    yield Case("channels.ome.tif", tiff(hyper, ome=True, photometric="minisblack", metadata={"axes": "CYX"}),
               colours=COLOURS, tolerance=1)  # fmt: skip


def _orientations() -> Iterator[Case]:
    for (file_format, suffix), orientation in itertools.product(COMMON.items(), range(1, 9)):
        if file_format in ("GIF", "BMP", "JPEG2000"):
            continue
        exif = Image.Exif()
        exif[0x0112] = orientation
        content = saved(quarters(96, 64), file_format, exif=exif, quality=95)
        size = (64, 96) if orientation >= 5 else (96, 64)
        name = f"orientation-{file_format}-{orientation}{suffix}"
        yield Case(name, content, colours=UPRIGHT[orientation], tolerance=12, size=size)


def _several_pictures() -> Iterator[Case]:
    first, second = quarters(), Image.new("RGB", (64, 64), BLUE)
    for file_format, suffix in (("GIF", ".gif"), ("TIFF", ".tif"), ("PNG", ".png"), ("WEBP", ".webp"),
                                ("AVIF", ".avif"), ("MPO", ".jpg")):  # fmt: skip
        for count in (2, 5):
            options = {"quality": 95} if file_format in ("WEBP", "AVIF", "MPO") else {}
            content = saved(first, file_format, save_all=True, append_images=[second] * (count - 1), **options)
            name = f"{count}-pictures-{file_format}{suffix}"
            yield Case(name, content, frozenset({"first-frame"}), COLOURS, 12)
    deep = np.stack([_four(np.array(GREYS, np.uint16) * 257)] * 3)
    yield Case("pages-16.tif", tiff(deep, photometric="minisblack"), frozenset({"first-frame"}), GREY_COLOURS, 0)


def _truncated() -> Iterator[Case]:
    noise = np.random.default_rng(1).integers(0, 256, (120, 120, 3), np.uint8)
    for file_format, suffix in COMMON.items():
        content = saved(Image.fromarray(noise), file_format)
        for per_mille in (1, 20, 100, 300, 500, 700, 900, 980):
            cut = content[: max(3, len(content) * per_mille // 1000)]
            yield Case(f"cut-{file_format}-{per_mille}{suffix}", cut, BROKEN)
    half = saved(Image.fromarray(noise), "JPEG")
    yield Case("half-copied.jpg", half[: len(half) // 2] + bytes(len(half) - len(half) // 2), BROKEN)
    yield Case("only-zeros.jpg", bytes(5000), BROKEN)


def _lying_names() -> Iterator[Case]:
    for (file_format, suffix), other in itertools.product(COMMON.items(), (*COMMON.values(), ".txt", "")):
        content = saved(quarters(), file_format, quality=95)
        code = "" if other in (suffix, "") else "misnamed"
        yield Case(f"lying-{file_format}{other}", content, frozenset({code}), COLOURS, 12)


def _strange_names() -> Iterator[Case]:
    content = saved(quarters(), "PNG")
    names = (
        "<b>bold</b><img src=x>.png", "new\nline.png", "tab\there.png", "rtl\u202egnp.png",
        "emoji \U0001f41d\u200d.png",
        "combining e\u0301.png", "-rf.png", "$(reboot).png", "%s%n.png", "=1+1.png", "quote'\".png", "a" * 240 + ".png",
        " leading.png", "back\\slash.png", "CON.png", "dots...png", "UPPER.PNG", "no width \u200b.png",
    )  # fmt: skip
    for name in names:
        yield Case(name, content, colours=COLOURS)


def _foreign() -> Iterator[Case]:
    unsupported, other = frozenset({"unsupported"}), frozenset({"not-a-picture"})
    svg = b'<?xml version="1.0"?><svg xmlns="x" width="9" height="9"/>'
    lfs = b"version spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 12345\n"
    raw_tiff = saved(quarters(), "TIFF")
    for name, content in (
        ("drawing.svg", svg), ("drawing.png", svg), ("pointer.jpg", lfs), ("paper.pdf", b"%PDF-1.7\n"),
        ("paper.jpg", b"%PDF-1.7\n"), ("layers.psd", b"8BPS\0\1" + bytes(99)), ("layers.jpg", b"8BPS\0\1" + bytes(99)),
        ("figure.eps", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"), ("figure.png", b"%!PS-Adobe-3.0\n"),
        ("photo.nef", raw_tiff), ("photo.dng", raw_tiff), ("photo.arw", raw_tiff), ("photo.raf", b"FUJIFILMCCD-RAW "),
        ("photo.cr2", b"II*\0\x10\0\0\0CR\2\0" + bytes(99)), ("photo.cr3", b"\0\0\0\x18ftypcrx " + bytes(99)),
    ):  # fmt: skip
        yield Case(name, content, unsupported)
    for name, content in (
        ("notes.txt", b"a list of things"), ("table.csv", b"a,b\n1,2\n"), ("page.html", b"<html></html>"),
        ("archive.zip", b"PK\3\4" + bytes(99)), ("film.mp4", b"\0\0\0\x18ftypmp42" + bytes(99)),
        ("sound.wav", b"RIFF\x24\0\0\0WAVEfmt " + bytes(99)), ("program.exe", b"MZ" + bytes(99)), ("no-ending", b"x"),
    ):  # fmt: skip
        yield Case(name, content, other)
    for suffix in COMMON.values():
        yield Case(f"text{suffix}", b"this is not a picture at all, whatever its name says", BROKEN)
        yield Case(f"page{suffix}", b"<!DOCTYPE html><html><body>404</body></html>", BROKEN)
        yield Case(f"random{suffix}", np.random.default_rng(3).bytes(3000), BROKEN)
        yield Case(f"empty{suffix}", b"", frozenset({"empty-file"}))


def _bad_headers() -> Iterator[Case]:
    refused = BROKEN | {"too-large"}
    for (file_format, suffix), start in itertools.product(COMMON.items(), (2, 4, 8, 12, 16, 20, 24)):
        content = bytearray(saved(quarters(), file_format))
        for value, name in ((0xFF, "ones"), (0, "zeros")):
            broken = content.copy()
            broken[start : start + 8] = bytes([value]) * 8
            yield Case(
                f"{name}-{start}-{file_format}{suffix}", bytes(broken), refused | {"", "first-frame", "unsupported"}
            )
    for width, height in ((0, 10), (10, 0), (2**31 - 1, 2**31 - 1), (65_501, 1), (10_001, 10_000), (65_535, 65_535)):
        yield Case(f"size-{width}-{height}.png", png_promising(width, height), refused)
        yield Case(f"size-{width}-{height}.ppm", b"P6 %d %d 255\n" % (width, height) + bytes(999), refused)
        bmp = bytearray(saved(Image.new("RGB", (4, 4)), "BMP"))
        bmp[18:26] = struct.pack("<ii", min(width, 2**31 - 1), min(height, 2**31 - 1))
        yield Case(f"size-{width}-{height}.bmp", bytes(bmp), refused)
        tga = bytearray(saved(Image.new("RGB", (4, 4)), "TGA"))
        tga[12:16] = struct.pack("<HH", min(width, 65535), min(height, 65535))
        yield Case(f"size-{width}-{height}.tga", bytes(tga[:60]), refused)
    loop = b"II*\0\x08\0\0\0" + struct.pack("<H", 0) + struct.pack("<I", 8)
    yield Case("loop.tif", loop, refused)
    tags = b"".join(struct.pack("<HHII", 256 + n % 90, 4, 0x7FFFFFFF, 0x7FFFFFF0) for n in range(2000))
    yield Case("absurd.tif", b"II*\0\x08\0\0\0" + struct.pack("<H", 2000) + tags + bytes(4), refused)
    yield Case("absurd.ico", b"\0\0\1\0\xff\xff" + b"\xff" * 16 * 100, refused)
    yield Case(
        "absurd.gif", b"GIF89a\xff\xff\xff\xff\x80\0\0" + bytes(6) + b",\0\0\0\0\xff\xff\xff\xff\0\2\1\0\0;", refused
    )


def png_promising(width: int, height: int) -> bytes:
    """A PNG whose header promises many pixels."""
    picture = saved(Image.new("L", (1, 1)), "PNG")
    return picture[:8] + png_chunk(b"IHDR", struct.pack(">II", width, height) + picture[24:29]) + picture[33:]


def _bombs() -> Iterator[Case]:
    too_large = frozenset({"too-large"})
    full = zlib.compressobj(9)
    rows = b"".join(full.compress(bytes(1 + 3 * 9900)) for _ in range(9900)) + full.flush()
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", 9900, 9900, 8, 2, 0, 0, 0))
    body = header + png_chunk(b"IDAT", rows) + png_chunk(b"IEND", b"")
    yield Case("98-megapixels.png", b"\x89PNG\r\n\x1a\n" + body, colours=((0,) * 3,) * 4, size=(9900, 9900))
    rows = zlib.compress(bytes(1 + 8 * 5000) * 5000, 9)
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", 5000, 5000, 16, 6, 0, 0, 0))
    body = header + png_chunk(b"IDAT", rows) + png_chunk(b"IEND", b"")
    yield Case("25-megapixels-16-bit-alpha.png", b"\x89PNG\r\n\x1a\n" + body, colours=((255,) * 3,) * 4)
    text = png_chunk(b"zTXt", b"note\0\0" + zlib.compress(b"A" * 80_000_000, 9))
    small = saved(quarters(), "PNG")
    yield Case("text-bomb.png", small[:33] + text + small[33:], BROKEN)
    inner = png_promising(60_000, 60_000)
    icon = struct.pack("<HHH", 0, 1, 1) + struct.pack("<BBBBHHII", 0, 0, 0, 0, 1, 32, len(inner), 22) + inner
    yield Case("bomb.ico", icon, BROKEN | too_large)
    gif = saved(Image.new("P", (16_000, 6_000)), "GIF")
    yield Case("96-megapixels.gif", gif, colours=((0,) * 3,) * 4)
    yield Case("over.gif", b"GIF89a" + struct.pack("<HH", 65_535, 65_535) + gif[10:], too_large)
    scans = saved(quarters(), "JPEG", progressive=True)
    start = scans.rfind(b"\xff\xda")
    yield Case("scans.jpg", scans[:start] + scans[start:-2] * 200 + b"\xff\xd9", too_large)
    large = saved(Image.new("RGB", (5_500, 5_500), BLUE), "WEBP", quality=1, method=0)
    yield Case("30-megapixels.webp", large, too_large)
    yield Case("large.jpg", saved(quarters(4_000, 3_000), "JPEG", quality=95), colours=COLOURS, tolerance=12)
    yield Case(
        "large.jp2", saved(quarters(3_000, 2_000), "JPEG2000"), colours=COLOURS, tolerance=12, size=(3_000, 2_000)
    )
    yield Case("large.tif", saved(quarters(6_000, 5_000), "TIFF"), colours=COLOURS)


def _special_files(folder: Path) -> dict[Path, Case]:
    """Make what is no regular file, as far as this system knows it."""
    folder.mkdir(parents=True)
    made = {}

    def expect(name: str, *codes: str) -> Path:
        made[folder / name] = Case(name, b"", frozenset(codes))
        return folder / name

    if hasattr(os, "mkfifo"):
        os.mkfifo(expect("pipe.jpg", "not-a-file"))
        with socket.socket(socket.AF_UNIX) as listener:
            home = Path.cwd()
            os.chdir(folder)  # the path of a socket may only be short
            try:
                listener.bind(expect("socket.png", "not-a-file", "no-access").name)
            finally:
                os.chdir(home)
        for device in ("/dev/zero", "/dev/null", "/dev/full"):
            expect(f"{Path(device).name}.png", "not-a-file").symlink_to(device)
    expect("broken.jpg", "no-access").symlink_to("nowhere.jpg")
    expect("loop.jpg", "no-access").symlink_to("loop.jpg")
    (folder / "good.png").write_bytes(saved(quarters(), "PNG"))
    made[folder / "good.png"] = Case("good.png", b"", colours=COLOURS)
    expect("link.png", "").symlink_to("good.png")
    return made
