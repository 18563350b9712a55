"""Pictures of known colours, in every format and mode, come out as those colours; everything else has a name."""

from __future__ import annotations

import io
import os
import struct
import threading
import zlib
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.factories import draw
from tests.hostile import png, tiff
from tlstudio.core import images
from tlstudio.core.images import (
    Reading,
    UnreadableImage,
    decode,
    network_view,
    read_bytes,
    read_image,
    resize_short_side,
)

RED, GREEN, BLUE, YELLOW = (220, 30, 30), (30, 200, 40), (30, 60, 210), (230, 210, 40)
LOSSLESS = ("PNG", "BMP", "DIB", "TIFF", "PPM", "TGA", "PCX")
LOSSY = ("JPEG", "MPO", "WEBP", "JPEG2000", "AVIF")


def quarters(side_px: int = 64) -> Image.Image:
    """Red, green / blue, yellow: no two of the eight orientations look alike."""
    pixels = np.empty((side_px, side_px, 3), np.uint8)
    half = side_px // 2
    pixels[:half, :half], pixels[:half, half:] = RED, GREEN
    pixels[half:, :half], pixels[half:, half:] = BLUE, YELLOW
    return Image.fromarray(pixels)


def saved(image: Image.Image, file_format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def corners(image: Image.Image) -> list[tuple[int, ...]]:
    """Return the colours in the middle of the four quarters: top left, top right, bottom left, bottom right."""
    pixels = np.asarray(image).astype(int)
    height, width = pixels.shape[:2]
    return [tuple(pixels[y * height // 4, x * width // 4]) for y, x in ((1, 1), (1, 3), (3, 1), (3, 3))]


def assert_colours(image: Image.Image, expected: list[tuple[int, int, int]], tolerance: int = 0) -> None:
    assert image.mode == "RGB"
    assert np.abs(np.array(corners(image)) - np.array(expected)).max() <= tolerance, corners(image)


@pytest.mark.parametrize("file_format", LOSSLESS)
def test_lossless_formats_keep_every_pixel(file_format):
    picture = quarters()
    assert np.array_equal(np.asarray(decode(saved(picture, file_format))), np.asarray(picture))


@pytest.mark.parametrize("file_format", LOSSY)
def test_lossy_formats_keep_the_colours(file_format):
    picture = decode(saved(quarters(), file_format, quality=95))
    assert picture.size == (64, 64)
    assert_colours(picture, [RED, GREEN, BLUE, YELLOW], tolerance=6)


def test_gif_and_icon_keep_the_colours():
    assert_colours(decode(saved(quarters(), "GIF")), [RED, GREEN, BLUE, YELLOW], tolerance=6)
    assert_colours(decode(saved(quarters(), "ICO", sizes=[(64, 64)])), [RED, GREEN, BLUE, YELLOW])


def test_every_promised_suffix_is_read(tmp_path):
    formats = {
        ".jpe": "JPEG",
        ".jfif": "JPEG",
        ".jpg": "JPEG",
        ".jpeg": "JPEG",
        ".tif": "TIFF",
        ".tiff": "TIFF",
        ".pgm": "PPM",
        ".pbm": "PPM",
        ".pnm": "PPM",
        ".apng": "PNG",
    } | dict.fromkeys(images.SUFFIXES_OF["JPEG2000"], "JPEG2000")
    for suffix in images.SUFFIXES - {".pam", ".pfm"}:  # Pillow writes neither; they are in the corpus of hostile files
        path = tmp_path / f"picture{suffix}"
        path.write_bytes(saved(quarters(), formats.get(suffix, suffix[1:].upper())))
        assert_colours(read_image(path), [RED, GREEN, BLUE, YELLOW], tolerance=12)


def test_the_content_counts_and_not_the_name():
    assert_colours(decode(saved(quarters(), "PNG"), ".jpg"), [RED, GREEN, BLUE, YELLOW])


# Where a viewer shows the stored corners for each EXIF orientation (Exif 2.3, tag 0x0112).
UPRIGHT = {
    1: [RED, GREEN, BLUE, YELLOW], 2: [GREEN, RED, YELLOW, BLUE], 3: [YELLOW, BLUE, GREEN, RED],
    4: [BLUE, YELLOW, RED, GREEN], 5: [RED, BLUE, GREEN, YELLOW], 6: [BLUE, RED, YELLOW, GREEN],
    7: [YELLOW, GREEN, BLUE, RED], 8: [GREEN, YELLOW, RED, BLUE],
}  # fmt: skip


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_stand_upright(file_format, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    wide = quarters().resize((96, 64), Image.Resampling.NEAREST)
    picture = decode(saved(wide, file_format, exif=exif, quality=95))
    assert picture.size == ((64, 96) if orientation >= 5 else (96, 64))
    assert_colours(picture, UPRIGHT[orientation], tolerance=8)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_a_damaged_exif_block_costs_nothing():
    content = saved(quarters(), "JPEG", exif=b"Exif\x00\x00II*\x00\xff\xff\xff\xff garbage", quality=95)
    assert_colours(decode(content), [RED, GREEN, BLUE, YELLOW], tolerance=6)


@pytest.mark.parametrize("file_format", ["PNG", "TIFF"])
def test_16_bit_grey_is_divided_by_257(file_format):
    grey = np.arange(256, dtype=np.uint16).reshape(16, 16)
    pixels = np.asarray(decode(saved(Image.fromarray(grey * 257), file_format)))
    assert np.array_equal(pixels, np.repeat(grey[..., None], 3, axis=2))


def test_16_bit_grey_keeps_one_range_for_dark_and_bright_pictures():
    dark = decode(saved(Image.fromarray(np.full((8, 8), 2570, np.uint16)), "PNG"))
    assert dark.getpixel((0, 0)) == (10, 10, 10)


def test_big_endian_16_bit_grey():
    stored = np.full((8, 8), 128 * 257, ">u2").tobytes()
    content = saved(Image.frombytes("I;16B", (8, 8), stored), "TIFF")
    assert decode(content).getpixel((3, 3)) == (128, 128, 128)


def test_16_bit_colour_png():
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    row = b"\x00" + np.array([65535, 32896, 0] * 4, ">u2").tobytes()
    header = struct.pack(">IIBBBBB", 4, 4, 16, 2, 0, 0, 0)
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(row * 4)) + chunk(b"IEND", b"")
    assert decode(b"\x89PNG\r\n\x1a\n" + chunks).getpixel((1, 1)) == (255, 128, 0)


def test_float_pictures_reach_from_0_to_1():
    values = np.array([[0.0, 0.5, 1.0], [-3.0, 7.0, np.nan]], np.float32)
    pixels = np.asarray(decode(saved(Image.fromarray(values), "TIFF")))
    assert pixels[..., 0].tolist() == [[0, 128, 255], [0, 255, 0]]


def test_cmyk_jpeg():
    # Cyan, magenta, yellow and black by the plain rule: 255 minus ink, darkened by black.
    picture = decode(saved(Image.new("CMYK", (32, 32), (0, 255, 255, 0)), "JPEG", quality=95))
    assert np.abs(np.asarray(picture).astype(int) - (255, 0, 0)).max() <= 6
    assert np.asarray(decode(saved(Image.new("CMYK", (32, 32), (0, 0, 0, 255)), "JPEG"))).max() <= 6


def test_grey_and_bilevel_pictures_get_three_equal_channels():
    assert decode(saved(Image.new("L", (8, 8), 77), "PNG")).getpixel((1, 1)) == (77, 77, 77)
    assert decode(saved(Image.new("1", (8, 8), 1), "PNG")).getpixel((1, 1)) == (255, 255, 255)


def test_palette_with_a_transparent_entry_shows_white():
    palette = Image.new("P", (16, 16), 0)
    palette.putpalette([*RED, *BLUE])
    palette.paste(1, (8, 0, 16, 16))
    picture = decode(saved(palette, "PNG", transparency=1))
    assert picture.getpixel((2, 2)) == RED
    assert picture.getpixel((12, 2)) == (255, 255, 255)


def test_transparent_grey_and_colour_are_laid_on_white():
    assert decode(saved(Image.new("LA", (8, 8), (0, 0)), "PNG")).getpixel((1, 1)) == (255, 255, 255)
    assert decode(saved(Image.new("LA", (8, 8), (100, 255)), "PNG")).getpixel((1, 1)) == (100, 100, 100)
    half = decode(saved(Image.new("RGBA", (8, 8), (200, 0, 0, 128)), "PNG")).getpixel((1, 1))
    assert np.abs(np.array(half) - (227, 127, 127)).max() <= 1  # 255 - (255 - colour) * 128 / 255
    keyed = Image.new("RGB", (8, 8), GREEN)
    assert decode(saved(keyed, "PNG", transparency=GREEN)).getpixel((1, 1)) == (255, 255, 255)


@pytest.mark.parametrize("kind", ["uint8", "uint16", "uint32"])
@pytest.mark.parametrize("planes", ["contig", "separate"])
def test_a_fourth_channel_counts_as_transparency_only_where_the_file_says_so(kind, planes):
    full = np.iinfo(kind).max
    red = np.broadcast_to(np.array([200, 0, 0, 51]), (8, 8, 4))
    on_white = 255 - (255 - red[0, 0, :3]) * 51 / 255
    for extra, colour, expected in (
        ("unspecified", red, (200, 0, 0)),  # infrared, say
        ("unassalpha", red, on_white),
        ("assocalpha", np.where([1, 1, 1, 0], red * 51 // 255, red), on_white),
    ):
        values = (colour * (full // 255)).astype(kind)
        stored = values if planes == "contig" else values.transpose(2, 0, 1)
        content = tiff(np.ascontiguousarray(stored), photometric="rgb", planarconfig=planes, extrasamples=[extra])
        assert np.abs(np.array(decode(content).getpixel((1, 1))) - expected).max() <= 2, extra


def test_transparent_grey_of_16_bits():
    values = np.zeros((8, 8, 2), np.uint16)
    values[:, :4, 1] = 65535
    content = tiff(values, photometric="minisblack", planarconfig="contig", extrasamples=["unassalpha"])
    pam = b"P7\nWIDTH 8\nHEIGHT 8\nDEPTH 2\nMAXVAL 65535\nTUPLTYPE GRAYSCALE_ALPHA\nENDHDR\n"
    for stored in (content, pam + values.astype(">u2").tobytes()):
        picture = decode(stored)
        assert (picture.getpixel((1, 1)), picture.getpixel((6, 1))) == ((0, 0, 0), (255, 255, 255))


def lab_to_srgb(lightness: float, a: float, b: float) -> np.ndarray:
    """CIE 15: Lab (D50) to XYZ, Bradford to D65, then IEC 61966-2-1."""
    fy = (lightness + 16) / 116
    f = np.array([fy + a / 500, fy, fy - b / 200])
    xyz = np.where(f > 6 / 29, f**3, 3 * (6 / 29) ** 2 * (f - 4 / 29)) * (0.9642, 1.0, 0.8249)
    linear = (
        np.array(
            [
                [3.1338561, -1.6168667, -0.4906146],
                [-0.9787684, 1.9161415, 0.0334540],
                [0.0719453, -0.2289914, 1.4052427],
            ]
        )
        @ xyz
    )
    linear = linear.clip(0, 1)
    return 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


@pytest.mark.parametrize("lab", [(255, 0, 0), (128, 40, 0), (150, -30, 40), (90, 10, -30)])
def test_lab_tiff(lab):
    lightness, a, b = lab
    picture = decode(saved(Image.new("LAB", (8, 8), (lightness, a + 128, b + 128)), "TIFF"))
    assert np.abs(np.array(picture.getpixel((1, 1))) - lab_to_srgb(lightness / 2.55, a, b)).max() <= 3


def test_the_first_page_counts():
    pages = [Image.new("RGB", (16, 16), colour) for colour in (RED, BLUE)]
    for file_format in ("GIF", "TIFF", "PNG", "WEBP"):
        content = saved(pages[0], file_format, save_all=True, append_images=pages[1:])
        assert np.abs(np.array(decode(content).getpixel((5, 5))) - RED).max() <= 8, file_format


def test_shrinking_keeps_twice_the_asked_side_and_never_enlarges():
    content = saved(draw("disc", 1, side_px=1024), "JPEG")
    assert decode(content, shrink_to_px=100).size == (256, 256)
    assert decode(content, shrink_to_px=600).size == (1024, 1024)


# --- files that are no pictures -------------------------------------------------------------------------------------


def refusal(content: bytes, suffix: str = "") -> UnreadableImage:
    with pytest.raises(UnreadableImage) as caught:
        decode(content, suffix)
    return caught.value


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "TIFF", "WEBP", "BMP", "GIF", "AVIF", "JPEG2000"])
def test_half_a_file_is_unreadable(file_format):
    content = saved(draw("disc", 2, side_px=200), file_format)
    assert refusal(content[: len(content) // 2], f".{file_format.lower()}").code in ("unreadable", "not-a-picture")


def test_every_truncation_of_a_jpeg_is_noticed():
    content = saved(draw("disc", 3), "JPEG")
    for length in range(0, len(content) - 2, 7):
        assert refusal(content[:length], ".jpg").code == "unreadable"


@pytest.mark.filterwarnings("ignore::UserWarning:PIL", "ignore::ResourceWarning")
def test_damaged_bytes_never_raise_anything_else():
    rng = np.random.default_rng(0)
    for file_format in (*LOSSLESS, *LOSSY, "GIF"):
        content = np.frombuffer(saved(draw("square", 4, side_px=32), file_format), np.uint8)
        for _ in range(25):
            broken = content.copy()
            broken[rng.integers(0, len(broken), 6)] = rng.integers(0, 256, 6)
            try:
                assert decode(broken.tobytes()).mode == "RGB"
            except UnreadableImage as refused:
                assert refused.code in ("not-a-picture", "too-large")


def test_text_is_not_a_picture():
    assert refusal(b"a list of things", ".txt").code == "not-a-picture"
    assert refusal(b"a list of things", ".png").code == "unreadable"


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"8BPS\0\1", "Photoshop"), (b"%PDF-1.7", "PDF"), (b"<svg width='9'/>", "SVG"), (b"%!PS-Adobe-3.0", "EPS"),
        (b"\0\0\0\x18ftypcrx ", "Camera raw"), (b"version 1\noid sha256:0", "Git"),
    ],
)  # fmt: skip
def test_kinds_that_need_converting_are_named(content, kind):
    for suffix in (".jpg", ".xyz", ""):
        refused = refusal(content, suffix)
        assert refused.code == "unsupported"
        assert kind in str(refused)


def test_camera_raw_in_the_guise_of_tiff_is_named():
    assert refusal(saved(quarters(), "TIFF"), ".NEF").code == "unsupported"
    content = saved(quarters(), "TIFF", tiffinfo={50706: b"\1\4\0\0"})  # DNGVersion
    assert refusal(content, ".tif").code == "unsupported"


def test_what_another_package_reads_is_named_without_it(monkeypatch):
    monkeypatch.setattr(images, "find_spec", lambda name: None)
    for content, package in ((b"\0\0\0\x18ftypheic", "pillow-heif"), (bytes(128) + b"DICM", "pydicom")):
        refused = refusal(content, ".jpg")
        assert refused.code == "unsupported"
        assert package in str(refused) and "JPEG" in str(refused)
    odd = tiff(np.zeros((8, 8, 5), np.uint8), photometric="minisblack", planarconfig="contig")
    assert "tifffile" in str(refusal(odd, ".tif"))


def test_heic(tmp_path):
    heif = pytest.importorskip("pillow_heif")
    buffer = io.BytesIO()
    heif.from_pillow(quarters(128)).save(buffer, quality=95)
    found = images.decode_noted(buffer.getvalue(), ".heic")
    assert found.format == "HEIC" and found.note == ""
    assert_colours(found.image, [RED, GREEN, BLUE, YELLOW], tolerance=12)
    assert refusal(buffer.getvalue()[:200], ".heic").code == "unreadable"


def dicom(values: np.ndarray, **facts: object) -> bytes:
    pydicom = pytest.importorskip("pydicom")
    meta = pydicom.dataset.FileMetaDataset()
    meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = pydicom.uid.SecondaryCaptureImageStorage
    meta.MediaStorageSOPInstanceUID = "1.2.3"
    file = pydicom.dataset.Dataset()
    file.file_meta = meta
    file.Rows, file.Columns = values.shape
    file.SamplesPerPixel, file.PhotometricInterpretation, file.PixelRepresentation = 1, "MONOCHROME2", 0
    file.BitsAllocated, file.BitsStored, file.HighBit = 16, 12, 11
    file.PixelData = values.astype("<u2").tobytes()
    for name, value in facts.items():
        setattr(file, name, value)
    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, file, enforce_file_format=True)
    return buffer.getvalue()


def test_dicom():
    values = np.array([[0, 4095], [1024, 2048]])
    found = images.decode_noted(dicom(values), ".dcm")
    assert np.asarray(found.image)[..., 0].tolist() == [[0, 255], [64, 128]]
    white_first = decode(dicom(values, PhotometricInterpretation="MONOCHROME1"))
    assert np.asarray(white_first)[..., 0].tolist() == [[255, 0], [191, 127]]
    # Hounsfield units: stored values minus 1024; a window from -1000 to 1000.
    scaled = dicom(values, RescaleSlope=1, RescaleIntercept=-1024)
    window = decode(scaled, reading=Reading(low=-1000, high=1000))
    assert np.asarray(window)[..., 0].tolist() == [[0, 255], [128, 255]]


# --- more than 8 bits -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [lambda v: saved(Image.fromarray(v), "PNG"), lambda v: tiff(v), lambda v: dicom(v)])
def test_one_range_for_every_picture(make):
    values = np.array([[90, 100], [600, 1100]], np.uint16)
    pixels = np.asarray(decode(make(values), reading=Reading(low=100, high=1100)))
    assert pixels[..., 0].tolist() == [[0, 0], [128, 255]]


def test_the_range_reaches_the_lower_bits_of_colours():
    values = np.zeros((4, 4, 3), np.uint16) + np.array([100, 150, 200], np.uint16)
    chosen = Reading(low=100, high=200)
    for content in (png(values, 2), tiff(values, photometric="rgb"), tiff(values, photometric="rgb", byteorder=">")):
        assert decode(content, reading=chosen).getpixel((1, 1)) == (0, 128, 255)


def test_the_range_leaves_8_bit_pictures_alone():
    assert_colours(decode(saved(quarters(), "PNG"), reading=Reading(low=0, high=10)), [RED, GREEN, BLUE, YELLOW])


def test_the_usual_range_of_a_deep_picture_is_measured():
    values = np.full((100, 100), 2000, np.uint16)
    values[0, 0], values[50:, :] = 65535, 3000
    found = images.decode_noted(saved(Image.fromarray(values), "PNG"))
    assert (found.low, found.high, found.channels) == (2000, 3000, 1)
    assert images.decode_noted(saved(quarters(), "PNG")).low is None


def test_channels_can_be_chosen():
    planes = np.stack([np.full((8, 8), value, np.uint8) for value in (10, 20, 30, 40, 50)], -1)
    content = tiff(planes, photometric="minisblack", planarconfig="contig")
    assert decode(content).getpixel((1, 1)) == (10, 20, 30)
    assert decode(content, reading=Reading(channels=(4, 0, 2))).getpixel((1, 1)) == (50, 10, 30)
    assert decode(content, reading=Reading(channels=(3,))).getpixel((1, 1)) == (40, 40, 40)
    with pytest.raises(UnreadableImage, match="5 channels"):
        decode(content, reading=Reading(channels=(7,)))
    assert images.decode_noted(content).channels == 5
    colours = tiff(planes.astype(np.uint16) * 257, photometric="rgb", extrasamples=["unspecified"] * 2)
    assert decode(colours).getpixel((1, 1)) == (10, 20, 30)
    assert decode(colours, reading=Reading(channels=(4, 0, 2))).getpixel((1, 1)) == (50, 10, 30)
    assert decode(saved(quarters(), "PNG"), reading=Reading(channels=(4,))).getpixel((1, 1)) == RED
    grey = tiff(planes[..., :2], photometric="minisblack", planarconfig="contig")
    assert decode(grey, reading=Reading(channels=(4,))).getpixel((1, 1)) == (10, 10, 10)


def test_large_pictures_are_shrunk_by_whole_numbers():
    noise = np.random.default_rng(0).integers(0, 256, (1200, 1500, 3), np.uint8)
    # 1,200 pixels hold 2 x 256 twice: every pixel is the mean of a square of four.
    means = noise.reshape(600, 2, 750, 2, 3).mean(axis=(1, 3))
    for content in (saved(Image.fromarray(noise), "PNG"), tiff(noise.astype(np.uint16) * 257, photometric="rgb")):
        small = np.asarray(decode(content, shrink_to_px=256))
        assert small.shape == (600, 750, 3)
        assert np.abs(small - means).max() <= 1
        assert np.array_equal(np.asarray(decode(content)), noise)


def test_large_files_are_read_piece_by_piece(tmp_path):
    for file_format in ("TIFF", "BMP", "PNG", "JPEG", "PPM"):
        path = tmp_path / "picture"
        path.write_bytes(saved(draw("disc", 1, side_px=700), file_format))
        with path.open("rb") as file:
            assert np.array_equal(decode(file, ".x", 64), decode(path.read_bytes(), ".x", 64)), file_format


def test_facts_beside_the_pixels():
    exif = Image.Exif()
    exif[0x010F], exif[0x0110], exif[0x0112] = "Acme", "Acme 7", 6
    exif.get_ifd(0x8769)[0x9003] = "2021:03:04 05:06:07"
    found = images.decode_noted(saved(quarters(64).resize((96, 64)), "JPEG", exif=exif), ".png")
    assert (found.width_px, found.height_px, found.format, found.channels) == (64, 96, "JPEG", 3)
    assert found.camera == "Acme 7" and found.note == "misnamed"
    assert found.taken_s == datetime(2021, 3, 4, 5, 6, 7, tzinfo=UTC).timestamp()


def test_a_copy_that_broke_off_into_zeros_is_noticed():
    content = saved(draw("disc", 3), "JPEG")
    assert refusal(content[: len(content) // 2] + bytes(len(content)), ".jpg").code == "unreadable"
    assert decode(content + bytes(4096)).mode == "RGB"  # some cameras fill their files up


def test_what_a_decoding_needs_is_asked_for_first():
    asked: list[int] = []

    def refuse(size_bytes: int) -> None:
        asked.append(size_bytes)
        raise images.NotNow

    for content in (saved(quarters(500), "PNG"), saved(quarters(500), "TIFF"), saved(quarters(500), "WEBP")):
        with pytest.raises(images.NotNow):
            images.decode_noted(content, admit=refuse)
    assert min(asked) >= 4 * 500 * 500


def test_postscript_is_never_interpreted():
    assert refusal(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n", ".eps").code == "unsupported"


def bomb_png(width: int, height: int) -> bytes:
    """A PNG whose header promises many pixels."""
    picture = saved(Image.new("L", (1, 1)), "PNG")
    header = b"IHDR" + struct.pack(">II", width, height) + picture[24:29]
    return picture[:12] + header + struct.pack(">I", zlib.crc32(header)) + picture[33:]


@pytest.mark.parametrize(("width", "height"), [(10_001, 10_000), (65_501, 1), (2**31 - 1, 2**31 - 1)])
def test_bombs_are_refused_before_decoding(width, height):
    assert refusal(bomb_png(width, height), ".png").code in ("too-large", "unreadable")


def test_a_bomb_inside_an_icon_is_refused():
    inner = bomb_png(60_000, 60_000)
    content = struct.pack("<HHH", 0, 1, 1) + struct.pack("<BBBBHHII", 0, 0, 0, 0, 1, 32, len(inner), 22) + inner
    assert refusal(content, ".ico").code in ("too-large", "not-a-picture", "unreadable")


def test_compressed_text_that_explodes_is_refused():
    picture = saved(Image.new("L", (4, 4)), "PNG")
    text = b"zTXtnote\x00\x00" + zlib.compress(b"A" * 80_000_000, 9)
    chunk = struct.pack(">I", len(text) - 4) + text + struct.pack(">I", zlib.crc32(text))
    assert refusal(picture[:33] + chunk + picture[33:], ".png").code == "unreadable"


def test_files_that_are_no_files(tmp_path):
    codes = {}
    (tmp_path / "empty.png").write_bytes(b"")
    for name in ("empty.png", "missing.png", "."):
        with pytest.raises(UnreadableImage) as caught:
            read_bytes(tmp_path / name)
        codes[name] = caught.value.code
    assert codes["empty.png"] == "empty-file"
    assert codes["missing.png"] == "no-access"
    assert codes["."] in ("not-a-file", "no-access")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_named_pipe_does_not_hang(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    refused: list[str] = []

    def read() -> None:
        try:
            read_bytes(tmp_path / "pipe.jpg")
        except UnreadableImage as error:
            refused.append(error.code)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    reader.join(timeout=10)
    assert refused == ["not-a-file"]


def test_huge_files_are_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(images, "MAX_FILE_BYTES", 1000)
    path: Path = tmp_path / "huge.bmp"
    path.write_bytes(b"B" * 1001)
    with pytest.raises(UnreadableImage) as caught:
        read_bytes(path)
    assert caught.value.code == "too-large"


# --- what the network sees --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "resized"), [((100, 50), (64, 32)), ((50, 101), (32, 64)), ((32, 77), (32, 77))])
def test_the_short_side_sets_the_scale(size, resized):
    assert resize_short_side(Image.new("RGB", size), 32, "bilinear").size == resized


def test_the_network_sees_the_middle():
    strip = Image.new("RGB", (300, 100), RED)
    strip.paste(BLUE, (100, 0, 200, 100))
    view = network_view(strip, 100, 100, "bilinear")
    assert view.shape == (100, 100, 3) and view.dtype == np.uint8
    assert (view == BLUE).all()
