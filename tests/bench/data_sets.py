"""Sets of pictures of known kind, on which the regimes and the advice are measured.

Each is written as train/ and val/ with a folder a class. A seed draws which photographs fall where, or new drawings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageOps
from sklearn.datasets import load_digits

SHARED = Path(__file__).resolve().parents[3] / "shared"
PHOTO_PX = 256
DRAWN_PX = 160
TEN_CLASSES = ("bonsai", "chandelier", "grand_piano", "butterfly", "helicopter", "kangaroo", "starfish", "ewer",
               "laptop", "umbrella")  # fmt: skip
Labelled = tuple[str, str, Image.Image]
"""(part, class, picture)."""


def build(name: str, folder: Path, seed: int) -> Path:
    """Write the set into `folder` (skipped where it is there already) and return `folder`."""
    if not folder.exists():
        numbers: dict[tuple[str, str], int] = {}
        for part, class_name, image in DATA_SETS[name](seed):
            number = numbers[part, class_name] = numbers.get((part, class_name), 0) + 1
            file = folder / part / class_name / f"{number:04}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            image.save(file)
    return folder


def _photos(of: Path, rng: np.random.Generator) -> list[Path]:
    files = sorted(of.iterdir())
    return [files[i] for i in rng.permutation(len(files))]


def _opened(file: Path) -> Image.Image:
    image = Image.open(file).convert("RGB")
    image.thumbnail((2 * PHOTO_PX, PHOTO_PX), Image.Resampling.BICUBIC)
    return image


def ants_bees(seed: int) -> Iterator[Labelled]:
    """Two classes of photographs, in their own parts."""
    for part in ("train", "val"):
        for class_name in ("ants", "bees"):
            for file in sorted((SHARED / "data/ants_bees" / part / class_name).iterdir()):
                yield part, class_name, Image.open(file).convert("RGB")


def magnetic_tile(seed: int) -> Iterator[Labelled]:
    """Six classes of grey surfaces, strongly imbalanced; a fifth judges. Neighbouring shots may fall on both sides."""
    rng = np.random.default_rng(seed)
    for folder in sorted((SHARED / "data/magnetic_tile").iterdir()):
        files = _photos(folder, rng)
        for number, file in enumerate(files):
            yield ("val" if number < len(files) / 5 else "train"), folder.name, _opened(file)


def _caltech(classes: tuple[str, ...], train: int, val: int, seed: int) -> Iterator[Labelled]:
    rng = np.random.default_rng(seed)
    for class_name in classes:
        files = _photos(SHARED / "data/caltech101" / class_name, rng)
        for number, file in enumerate(files[: train + val]):
            yield ("train" if number < train else "val"), class_name, _opened(file)


def caltech(shots: int) -> Callable[[int], Iterator[Labelled]]:
    """Return a maker of all 101 classes with so many training photographs each and up to ten that judge."""

    def make(seed: int) -> Iterator[Labelled]:
        classes = tuple(sorted(path.name for path in (SHARED / "data/caltech101").iterdir()))
        # The rarest class has 31 photographs: one at least must be left to judge.
        return _caltech(classes, min(shots, 30), 10, seed)

    return make


def _ten(change: Callable[[Image.Image], Image.Image]) -> Callable[[int], Iterator[Labelled]]:
    def make(seed: int) -> Iterator[Labelled]:
        for part, class_name, image in _caltech(TEN_CLASSES, 30, 30, seed):
            yield part, class_name, change(image)

    return make


def _recoloured(image: Image.Image) -> Image.Image:
    """Turn every hue by a third: grass becomes blue, sky red."""
    hue, saturation, value = image.convert("HSV").split()
    return Image.merge("HSV", (hue.point(lambda h: (h + 85) % 256), saturation, value)).convert("RGB")


def _permuted(image: Image.Image) -> Image.Image:
    """Shuffle the pixels of a 32 x 32 copy, all pictures alike: convolution loses the neighbourhood it lives on."""
    small = np.asarray(image.resize((32, 32), Image.Resampling.BOX)).reshape(-1, 3)
    order = np.random.default_rng(0).permutation(len(small))
    return Image.fromarray(small[order].reshape(32, 32, 3)).resize((PHOTO_PX, PHOTO_PX), Image.Resampling.NEAREST)


def digits(seed: int) -> Iterator[Labelled]:
    """Handwritten digits of 8 x 8 grey values, scanned from forms: 40 a class teach, 40 judge."""
    rng = np.random.default_rng(seed)
    found = load_digits()
    for target in range(10):
        chosen = rng.permutation(np.flatnonzero(found.target == target))[:80]
        for number, position in enumerate(chosen):
            grey = Image.fromarray((255 - found.images[position] * (255 / 16)).astype(np.uint8))
            yield ("train" if number < 40 else "val"), str(target), grey.resize((64, 64), Image.Resampling.BICUBIC)


def gratings(seed: int) -> Iterator[Labelled]:
    """Faint stripes in noise: four directions by two spacings; 30 a class teach, 60 judge."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:DRAWN_PX, :DRAWN_PX]
    for direction in (0, 45, 90, 135):
        for spacing in (6.0, 7.5):
            for number in range(90):
                angle = np.deg2rad(direction + rng.normal(0, 10))
                wave = np.sin(2 * np.pi * (x * np.cos(angle) + y * np.sin(angle)) / spacing + rng.uniform(0, 6.28))
                grey = 128 + rng.uniform(8, 16) * wave + rng.normal(0, 45, wave.shape)
                image = Image.fromarray(np.clip(grey, 0, 255).astype(np.uint8)).convert("RGB")
                yield ("train" if number < 30 else "val"), f"{direction:03} by {spacing:.1f}", image


def focus(seed: int) -> Iterator[Labelled]:
    """Photographs of anything, four classes by how far they are out of focus; 60 a class teach, 60 judge."""
    rng = np.random.default_rng(seed)
    files = [file for name in TEN_CLASSES for file in _photos(SHARED / "data/caltech101" / name, rng)[:48]]
    blurs = (("sharp", 0.0), ("slightly soft", 0.6), ("soft", 0.9), ("blurred", 1.2))
    for number, position in enumerate(rng.permutation(len(files))):
        class_name, radius = blurs[number % 4]
        image = _opened(files[position]).filter(ImageFilter.GaussianBlur(radius))
        yield ("train" if number < 240 else "val"), class_name, image


def cells(seed: int) -> Iterator[Labelled]:
    """Stained cells as under a microscope, four kinds by the grain of their nucleus; 40 a class teach, 50 judge."""
    rng = np.random.default_rng(seed)
    for class_name, grain, spots in (("fine", 3, 0), ("medium", 4, 0), ("coarse", 5, 0), ("spotted", 4, 4)):
        for number in range(90):
            yield ("train" if number < 40 else "val"), class_name, _cell(rng, grain, spots)


def _cell(rng: np.random.Generator, grain: int, spots: int) -> Image.Image:
    side = DRAWN_PX
    ground = Image.new("RGB", (side, side), tuple(int(v) for v in rng.normal((232, 214, 226), 7)))
    pen = ImageDraw.Draw(ground)
    x, y = rng.uniform(0.4, 0.6, 2) * side
    outer = rng.uniform(0.30, 0.42) * side
    inner = outer * rng.uniform(0.5, 0.65)
    pen.ellipse(
        (x - outer, y - outer, x + outer, y + outer), fill=tuple(int(v) for v in rng.normal((206, 160, 200), 8))
    )
    small = rng.integers(0, 256, (max(2, side // grain),) * 2, dtype=np.uint8)
    noise = Image.fromarray(small).resize((side, side), Image.Resampling.BICUBIC)
    dark, light = (92, 50, 128), (150, 100, 176)
    nucleus = ImageOps.colorize(noise, dark, light)
    marks = ImageDraw.Draw(nucleus)
    for _ in range(spots):
        sx, sy = x + rng.uniform(-0.6, 0.6) * inner, y + rng.uniform(-0.6, 0.6) * inner
        marks.ellipse((sx - 3, sy - 3, sx + 3, sy + 3), fill=(60, 24, 96))
    mask = Image.new("L", (side, side))
    ImageDraw.Draw(mask).ellipse((x - inner, y - inner, x + inner, y + inner), fill=255)
    ground.paste(nucleus, mask=mask)
    blurred = np.asarray(ground.filter(ImageFilter.GaussianBlur(rng.uniform(0.6, 1.4))), np.float32)
    return Image.fromarray(np.clip(blurred + rng.normal(0, 12, blurred.shape), 0, 255).astype(np.uint8))


DATA_SETS: dict[str, Callable[[int], Iterator[Labelled]]] = {
    "ants_bees": ants_bees,
    "magnetic_tile": magnetic_tile,
    "caltech101, 5 shots": caltech(5),
    "caltech101, 15 shots": caltech(15),
    "caltech101, 30 shots": caltech(30),
    "negative": _ten(ImageOps.invert),
    "recoloured": _ten(_recoloured),
    "permuted": _ten(_permuted),
    "digits": digits,
    "gratings": gratings,
    "cells": cells,
    "focus": focus,
}
