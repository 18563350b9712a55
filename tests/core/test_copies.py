"""Pictures that were changed on purpose are found again, and no others."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from tests.factories import SHAPES, draw
from tlstudio.core.copies import FINGERPRINT_PX, fingerprint, near_copies
from tlstudio.core.events import Event, Progress, Stopped, ignore
from tlstudio.core.images import read_image

COUNT = 24


def scene(seed: int) -> Image.Image:
    """A picture with shapes of all sizes, as photographs have them."""
    rng = np.random.default_rng((3, seed))
    size = (int(rng.integers(180, 260)), int(rng.integers(150, 230)))
    image = np.zeros((size[1], size[0], 3))
    for cells in (3, 6, 12, 24, 48):
        grain = Image.fromarray(rng.integers(0, 255, (cells, cells, 3), dtype=np.uint8))
        image += np.asarray(grain.resize(size, Image.Resampling.BICUBIC), float) / cells
    image = 255 * (image - image.min()) / (image.max() - image.min())
    return Image.fromarray(image.astype(np.uint8))


def saved(image: Image.Image, kind: str, **options: int) -> Image.Image:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return Image.open(file).convert("RGB")


def scaled(image: Image.Image, factor: float) -> Image.Image:
    return image.resize((round(image.width * factor), round(image.height * factor)), Image.Resampling.LANCZOS)


def cropped(image: Image.Image, left: float, top: float, right: float, bottom: float) -> Image.Image:
    width, height = image.size
    return image.crop((round(left * width), round(top * height), width - round(right * width),
                       height - round(bottom * height)))  # fmt: skip


CHANGES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "none": lambda image: image,
    "a third": lambda image: scaled(image, 0.3),
    "twice": lambda image: scaled(image, 2.0),
    "jpeg 30": lambda image: saved(image, "JPEG", quality=30),
    "jpeg 95": lambda image: saved(image, "JPEG", quality=95),
    "webp": lambda image: saved(image, "WEBP", quality=50),
    "cropped left": lambda image: cropped(image, 0.05, 0, 0, 0),
    "cropped bottom": lambda image: cropped(image, 0, 0, 0, 0.05),
    "cropped around": lambda image: cropped(image, 0.05, 0.05, 0.05, 0.05),
    "cropped unevenly": lambda image: cropped(image, 0.01, 0.04, 0.03, 0.02),
    "brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.15),
    "paler": lambda image: ImageEnhance.Color(image).enhance(0.5),
    "all of it": lambda image: saved(scaled(cropped(image, 0.05, 0.05, 0.05, 0.05), 0.5), "JPEG", quality=60),
}


@pytest.mark.parametrize("change", CHANGES)
def test_changed_copies_are_found_and_nothing_else(change: str) -> None:
    originals = [scene(seed) for seed in range(COUNT)]
    changed = [CHANGES[change](image) for image in originals]
    prints = np.stack([fingerprint(image) for image in (*originals, *changed)])
    assert prints.dtype == np.uint8 and prints.shape == (2 * COUNT, FINGERPRINT_PX, FINGERPRINT_PX)
    assert near_copies(prints) == [(number, number + COUNT) for number in range(COUNT)]


def test_the_order_does_not_matter() -> None:
    images = [scene(seed) for seed in range(6)]
    prints = np.stack([fingerprint(image) for image in (*images, *(cropped(i, 0.05, 0, 0.02, 0) for i in images))])
    order = np.random.default_rng(1).permutation(12)
    shuffled = {tuple(sorted((int(order[a]), int(order[b])))) for a, b in near_copies(prints[order])}
    assert shuffled == set(near_copies(prints))


def test_pictures_with_nothing_in_them_are_not_copies_of_each_other() -> None:
    rng = np.random.default_rng(0)
    x, y = np.meshgrid(*[np.linspace(-1, 1, 300)] * 2)
    lens = 200 - 10 * (x**2 + y**2) ** 2
    faint = 128 + 1.5 * np.sin(9 * x) * np.cos(7 * y)
    empty_slides = [np.repeat((lens + rng.normal(0, 1, lens.shape))[..., None], 3, 2) for _ in range(5)]
    faint_pattern = [np.repeat((faint + light)[..., None], 3, 2) for light in (-40, -20, 0, 20, 40)]
    noise = [rng.integers(118, 138, (300, 300, 3)) for _ in range(5)]
    slopes = [np.repeat((shade * (120 + 60 * x))[..., None], 3, 2) for shade in (0.7, 1.0, 1.2)]
    plain = [
        Image.new("RGB", (200, 200), (240, 240, 240)),
        Image.new("RGB", (100, 150), (12, 12, 12)),
        *(Image.fromarray(pixels.astype(np.uint8)) for pixels in (*empty_slides, *faint_pattern, *noise, *slopes)),
    ]
    assert near_copies(np.stack([fingerprint(image) for image in plain])) == []


def test_drawings_alike_in_style_are_told_apart() -> None:
    drawn = [draw(shape, seed) for shape in SHAPES for seed in range(60)]
    pairs = near_copies(np.stack([fingerprint(image) for image in drawn]))
    assert len(pairs) <= 0.001 * len(drawn) * (len(drawn) - 1) / 2
    assert all(some // 60 == other // 60 for some, other in pairs), "never of two shapes"


def test_few_pictures_and_many_that_are_alike() -> None:
    assert near_copies(np.zeros((0, FINGERPRINT_PX, FINGERPRINT_PX), np.uint8)) == []
    one = fingerprint(scene(0))
    assert near_copies(one[None]) == []
    film = near_copies(np.repeat(one[None], 200, 0))
    joined = {0}
    for _ in range(2):
        joined |= {member for pair in film if joined & set(pair) for member in pair}
    assert joined == set(range(200)), "all are joined, if only through each other"


def test_it_tells_how_far_it_is_and_stops() -> None:
    prints = np.stack([fingerprint(scene(seed)) for seed in range(5)])
    said: list[Event] = []
    near_copies(prints, said.append)
    assert isinstance(said[-1], Progress) and said[-1].done == said[-1].total == 5
    with pytest.raises(Stopped):
        near_copies(prints, ignore, lambda: True)


def test_photographs(shared) -> None:
    """Two photographs of the ants and bees are never one; of the tiles, those of one exposure number may be."""
    photographs = sorted((shared / "data" / "ants_bees").rglob("*.jpg"))[::4]
    originals = [read_image(path, FINGERPRINT_PX) for path in photographs]
    changed = [CHANGES["all of it"](read_image(path)) for path in photographs]
    pairs = near_copies(np.stack([fingerprint(image) for image in (*originals, *changed)]))
    wanted = {(number, number + len(originals)) for number in range(len(originals))}
    assert set(pairs) <= wanted and len(pairs) >= 0.95 * len(wanted)
