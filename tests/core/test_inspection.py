"""One look at a file tells the truth, and leaves the very pixels that training would compute."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from tests.factories import draw
from tests.hostile import quarters, saved
from tlstudio.core.copies import fingerprint
from tlstudio.core.images import decode, framed
from tlstudio.core.inspection import THUMBNAIL_PX, Inspected, inspect
from tlstudio.core.listing import ListedFile


def look(path: Path, content: bytes | None = None) -> Inspected:
    if content is not None:
        path.write_bytes(content)
    facts = path.lstat()
    return inspect(ListedFile(str(path), f"class/{path.name}", facts.st_size, facts.st_mtime_ns))


def photograph(side_px: int = 600) -> Image.Image:
    return draw("disc", 5, side_px=side_px).resize((side_px, side_px * 3 // 4))


def test_the_facts(tmp_path):
    content = saved(quarters(300, 200), "PNG")
    found = look(tmp_path / "a.png", content)
    facts = found.scanned.facts
    assert facts is not None and found.scanned.place == "class/a.png"
    assert facts.sha256 == hashlib.sha256(content).hexdigest()
    assert (facts.width_px, facts.height_px, facts.size_bytes, facts.format) == (300, 200, len(content), "PNG")
    # ITU-R BT.601 luminance, a quarter of the picture each.
    luminance = np.mean([0.299 * r + 0.587 * g + 0.114 * b for r, g, b in
                         ((220, 30, 30), (30, 200, 40), (30, 60, 210), (230, 210, 40))])  # fmt: skip
    assert facts.brightness == pytest.approx(luminance / 255, abs=0.01)


def test_one_picture_in_other_files_has_the_same_pixels(tmp_path):
    for size in (200, 1500):
        image = photograph(size)
        exif = Image.Exif()
        exif[0x010F] = "Acme"
        contents = [saved(image, "PNG"), saved(image, "BMP"), saved(image, "TIFF"), saved(image, "PNG", exif=exif)]
        found = [look(tmp_path / "p", content).scanned.facts for content in contents]
        assert len({facts.pixels for facts in found}) == 1
        assert len({facts.sha256 for facts in found}) == 4
    turned = look(tmp_path / "p", saved(image.transpose(Image.Transpose.ROTATE_90), "PNG")).scanned.facts
    assert turned.pixels != found[0].pixels


@pytest.mark.parametrize("size", [600, 1500, 3000])
@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "TIFF"])
def test_the_copy_has_the_pixels_of_training(tmp_path, size, file_format):
    content = saved(photograph(size), file_format)
    found = look(tmp_path / "p", content)
    assert found.copy is not None and not found.is_whole
    expected = framed(decode(content, "", 256), 256, 224, "bilinear")
    assert np.array_equal(found.copy, expected)
    assert np.array_equal(found.fingerprint, fingerprint(expected.reduce(-(-max(expected.size) // THUMBNAIL_PX))))


def test_a_small_picture_is_kept_as_it_is(tmp_path):
    content = saved(photograph(300), "PNG")
    found = look(tmp_path / "p", content)
    assert found.is_whole and np.array_equal(found.copy, decode(content))


def test_a_deep_picture_has_no_copy_but_a_range(tmp_path):
    values = np.full((300, 300), 1000, np.uint16)
    values[:150] = 3000
    found = look(tmp_path / "p", saved(Image.fromarray(values), "PNG"))
    assert found.copy is None and found.thumbnail
    assert (found.scanned.facts.low, found.scanned.facts.high) == (1000, 3000)


def test_the_thumbnail_is_a_small_jpeg(tmp_path):
    for size in (100, 600, 2000):
        thumbnail = look(tmp_path / "p", saved(photograph(size), "JPEG")).thumbnail
        with Image.open(io.BytesIO(thumbnail)) as image:
            assert image.format == "JPEG"
            assert max(image.size) <= THUMBNAIL_PX
            assert image.width / image.height == pytest.approx(4 / 3, rel=0.03)


def test_sharpness_falls_with_blur_and_hardly_with_size(tmp_path):
    noise = np.random.default_rng(2).integers(0, 256, (96, 96, 3), np.uint8)
    image = Image.fromarray(noise).resize((1200, 1200), Image.Resampling.NEAREST)

    def sharpness(picture: Image.Image) -> float:
        return look(tmp_path / "p", saved(picture, "PNG")).scanned.facts.sharpness

    whole = sharpness(image)
    assert sharpness(image.filter(ImageFilter.GaussianBlur(12))) < 0.2 * whole
    assert sharpness(image.resize((600, 600), Image.Resampling.BOX)) == pytest.approx(whole, rel=0.3)
    assert sharpness(Image.new("RGB", (500, 2), "red")) == 0


def test_what_cannot_be_used_has_a_code(tmp_path):
    content = saved(photograph(900), "JPEG")
    assert look(tmp_path / "half.jpg", content[: len(content) // 2]).scanned.code == "unreadable"
    assert look(tmp_path / "text.txt", b"hello").scanned.code == "not-a-picture"
    gone = inspect(ListedFile(str(tmp_path / "gone.jpg"), "gone.jpg", 5, 5))
    assert gone.scanned.code == "no-access" and gone.scanned.facts is None
    assert gone.thumbnail == b"" and gone.copy is None


def test_every_cut_of_a_large_jpeg_is_noticed_although_it_is_decoded_small(tmp_path):
    content = saved(photograph(2400), "JPEG", quality=60)
    assert look(tmp_path / "p.jpg", content).copy is not None
    for length in range(1000, len(content) - 2, len(content) // 40):
        assert look(tmp_path / "p.jpg", content[:length]).scanned.code == "unreadable"


def test_a_file_too_large_to_be_held_is_read_in_pieces(tmp_path, monkeypatch):
    for file_format in ("TIFF", "BMP", "PNG", "JPEG"):
        path = tmp_path / f"p.{file_format.lower()}"
        held = look(path, saved(photograph(900), file_format))
        with monkeypatch.context() as patch:
            patch.setattr("tlstudio.core.inspection.HELD_BYTES", 1000)
            in_pieces = look(path)
        assert in_pieces.scanned == held.scanned
        assert np.array_equal(in_pieces.copy, held.copy)
