"""Pictures on their way to a network: the same pixels from a copy as from the file, and never those of another file."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.factories import draw
from tlstudio.core.augment import augmentation_for
from tlstudio.core.backbones import Preprocessing, backbone
from tlstudio.core.cache_folder import clear
from tlstudio.core.dataset import ImageRecord, scan
from tlstudio.core.errors import StudioError
from tlstudio.core.images import FRAMINGS, Reading, network_view, read_image
from tlstudio.engine.data import ImageStore, changed_view, random_view

LOW, HIGH = 500.0, 4095.0


def prepared(framing: str) -> Preprocessing:
    return backbone("mobilenet_v2").preprocessing("", Reading(LOW, HIGH, framing=framing))


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """Pictures of every kind of source: small, large JPEG, turned by EXIF, 12 bits in 16, a strip."""
    for name, seed in (("disc", 0), ("square", 1)):
        folder = tmp_path / "mixed" / name
        folder.mkdir(parents=True)
        draw(name, seed, 60).save(folder / "small.png")
        draw(name, seed, 1300).resize((1600, 1200)).save(folder / "large.jpg")
        draw(name, seed, 300).crop((0, 0, 300, 90)).save(folder / "strip.bmp")
        exif = Image.Exif()
        exif[0x0112] = 6
        draw(name, seed, 400).resize((500, 400)).save(folder / "turned.jpg", exif=exif)
        grey = np.asarray(draw(name, seed, 200).convert("L"), np.uint16) * 16
        Image.fromarray(grey[:150]).save(folder / "deep.tif")
    return tmp_path / "mixed"


def batches(images: tuple[ImageRecord, ...], wanted: Preprocessing, epoch: int | None = None) -> np.ndarray:
    """Return the squares of the centre, or of an epoch's random view."""
    with closing(ImageStore(images, wanted)) as store:
        changes = augmentation_for("fine-tune", True, True, True, wanted.reading.framing)
        view = None if epoch is None else random_view(store, changes, 0, epoch)
        return np.concatenate([batch.numpy() for batch in store.batches(range(len(images)), 4, view)])


@pytest.mark.parametrize("framing", FRAMINGS)
def test_a_copy_has_the_very_pixels_of_the_file(mixed: Path, framing: str) -> None:
    images, wanted = scan([mixed]).images, prepared(framing)
    assert len(images) == 10
    by_hand = np.stack([
        network_view(
            read_image(Path(image.path), wanted.resize_px, wanted.reading),
            wanted.resize_px, wanted.crop_px, wanted.interpolation, framing,
        )
        for image in images
    ]).transpose(0, 3, 1, 2)  # fmt: skip
    clear()
    decoded, changed = batches(images, wanted), batches(images, wanted, epoch=3)
    shutil.rmtree(mixed)
    assert np.array_equal(decoded, by_hand)
    assert np.array_equal(batches(images, wanted), by_hand)
    assert np.array_equal(batches(images, wanted, epoch=3), changed)
    assert not np.array_equal(changed, by_hand)


def test_the_copies_that_the_scan_left_are_those_pixels_too(mixed: Path) -> None:
    wanted = backbone("mobilenet_v2").preprocessing()
    images = [image for image in scan([mixed]).images if not image.path.endswith(".tif")]
    by_hand = [
        network_view(read_image(Path(image.path), wanted.resize_px), wanted.resize_px, wanted.crop_px, "bilinear")
        for image in images
    ]
    shutil.rmtree(mixed)
    assert np.array_equal(batches(tuple(images), wanted), np.stack(by_hand).transpose(0, 3, 1, 2))


def test_the_range_decides_what_is_black_and_white(mixed: Path) -> None:
    images = tuple(image for image in scan([mixed]).images if image.path.endswith("disc/deep.tif"))
    values = np.asarray(Image.open(images[0].path)).astype(float)
    seen = batches(images, prepared("stretch"))[0, 0].astype(float)
    expected = (np.clip((values - LOW) / (HIGH - LOW), 0, 1) * 255).mean()
    assert seen.mean() == pytest.approx(expected, abs=2)


def test_a_file_that_changed_is_not_taken_for_the_one_that_was_scanned(mixed: Path) -> None:
    wanted = prepared("fit")
    images = tuple(image for image in scan([mixed]).images if image.path.endswith("small.png"))
    before = batches(images, wanted)
    draw("cross", 5, 60).save(images[0].path)
    assert np.array_equal(batches(images, wanted), before), "the copy is of what was scanned"
    clear()
    with pytest.raises(StudioError, match=r"small\.png.*was changed"):
        batches(images, wanted)


@pytest.fixture
def ends(tmp_path: Path) -> Iterator[Image.Image]:
    """A long picture: its left end is red, its right end blue, what lies between grey."""
    image = Image.new("RGB", (600, 200), (120, 120, 120))
    image.paste((220, 30, 30), (0, 0, 120, 200))
    image.paste((30, 60, 210), (480, 0, 600, 200))
    yield image


def test_fit_shows_both_ends_in_nearly_every_changed_view(ends: Image.Image, tmp_path: Path) -> None:
    def both_ends_seen(framing: str) -> float:
        path = tmp_path / "ends" / "long" / "picture.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        ends.save(path)
        images, wanted = scan([path.parent.parent], min_classes=1).images, prepared(framing)
        mild = augmentation_for("fine-tune", True, False, False, framing)
        seen = 0
        with closing(ImageStore(images, wanted)) as store:
            for number in range(100):
                square = changed_view(store, mild, number)(store.image(0), 0).astype(int)
                red = (square[..., 0] - square[..., 2] > 100).any()
                blue = (square[..., 2] - square[..., 0] > 100).any()
                seen += red and blue
        return seen / 100

    assert both_ends_seen("fill") < 0.1
    assert both_ends_seen("fit") > 0.95
    assert both_ends_seen("stretch") > 0.95
