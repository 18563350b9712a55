"""Random changes that leave the class the same: made of training pictures only, never of those that judge."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
import numpy as np
from PIL import Image, ImageEnhance, ImageOps

from tlstudio.core.regimes import FITTED, Head, Regime

CROP_MIN_AREA = 0.6
WHOLE_MIN_AREA = 0.8
"""The same where the user wants all of a picture to be seen: its ends should rarely be cut off in learning either."""
WIDE_STEPS = 30
WIDELY_CHANGED: tuple[Regime, ...] = ("full", "scratch")
"""Regimes in which every layer learns so much that it needs stronger changes against learning by heart."""
ERASE_SHARE = 0.1
VIEWED_BELOW_IMAGES = 500
"""With fewer training pictures a new head may learn from changed views of them too ..."""
VIEWED_HEADS: tuple[Head, ...] = ("linear", "svm", "svm-rbf")
"""... if it is one of these."""


class Augmentation(msgspec.Struct, frozen=True):
    """Which changes the user allows, and how strong they are.

    `mirror`, `turned` (by quarters) and `recoloured` are the user's word that such a picture still shows the class.
    `wide` adds one change of any kind and strength a picture, and `erase_share` of the pictures lose a rectangle.
    """

    crop_min_area: float = CROP_MIN_AREA
    mirror: bool = True
    turned: bool = False
    recoloured: bool = True
    colour_jitter: float = 0.1
    wide: bool = False
    erase_share: float = 0.0


def augmentation_for(
    regime: Regime, mirror: bool, turned: bool, recoloured: bool, framing: str = "fill"
) -> Augmentation:
    """Return the changes a regime makes of training pictures, as far as the user allows them."""
    wide = regime in WIDELY_CHANGED
    return Augmentation(
        crop_min_area=CROP_MIN_AREA if framing == "fill" else WHOLE_MIN_AREA,
        mirror=mirror,
        turned=turned,
        recoloured=recoloured,
        wide=wide,
        erase_share=ERASE_SHARE if wide else 0.0,
    )


def learns_from_changes(regime: str, head: str, images: int) -> bool:
    """Tell whether training on `images` pictures shows the network, or the head alone, changed ones too."""
    return regime not in FITTED or (images < VIEWED_BELOW_IMAGES and head in VIEWED_HEADS)


def changes_in_words(regime: str, head: str, images: int, wanted: Augmentation) -> str:
    """Return what training on `images` pictures makes of them, in sentences."""
    if not learns_from_changes(regime, head, images):
        return "The old network stays as it is, and its new head learns from the pictures as they are."
    allowed = {"mirrored": wanted.mirror, "turned by quarters": wanted.turned, "slightly recoloured": wanted.recoloured}
    kinds = _listed(["cut a little", *(kind for kind, may in allowed.items() if may)], "and")
    if regime in FITTED:
        why = "Your pictures are few, so the new head also learns from changed ones if that proves better"
        return f"{why}: {kinds} at random."
    sentences = [f"While learning, pictures are {kinds} at random."]
    if wanted.wide:
        allowed = {"turned by any angle": wanted.turned, "strongly recoloured": wanted.recoloured}
        kinds = _listed(["sheared", "shifted", "sharpened", "blurred", *(k for k, may in allowed.items() if may)], "or")
        sentences.append(f"Each may also be {kinds}.")
    if wanted.erase_share:
        sentences.append(f"One in {round(1 / wanted.erase_share)} loses a rectangle.")
    return " ".join(sentences)


def _listed(words: Sequence[str], last: str) -> str:
    """Return "a, b and c", with `last` for the "and"."""
    return f" {last} ".join(filter(None, (", ".join(words[:-1]), words[-1])))


def random_square(
    image: Image.Image, side_px: int, resampling: Image.Resampling, wanted: Augmentation, rng: np.random.Generator
) -> np.ndarray:
    """Return a random crop of an RGB picture, changed as allowed: uint8 (side_px, side_px, 3)."""
    box = _random_box(image.width, image.height, wanted.crop_min_area, rng)
    cropped = image.resize((side_px, side_px), resampling, box=box)
    if wanted.wide:
        cropped = _widely_changed(cropped, wanted, rng)
    square = np.asarray(cropped)
    if wanted.mirror and rng.random() < 0.5:
        square = square[:, ::-1]
    if wanted.turned:
        square = np.rot90(square, int(rng.integers(4)))
    if wanted.recoloured and wanted.colour_jitter:
        square = _jitter(square, wanted.colour_jitter, rng)
    if rng.random() < wanted.erase_share:
        square = _erased(square, rng)
    return square


def _random_box(width: int, height: int, min_area: float, rng: np.random.Generator) -> tuple[int, int, int, int]:
    """Return (left, top, right, bottom) of a crop with min_area..1 of the area and an aspect of 3/4 to 4/3."""
    for _ in range(10):
        area = width * height * rng.uniform(min_area, 1.0)
        aspect = np.exp(rng.uniform(np.log(3 / 4), np.log(4 / 3)))
        crop_w, crop_h = round(np.sqrt(area * aspect)), round(np.sqrt(area / aspect))
        if 0 < crop_w <= width and 0 < crop_h <= height:
            left, top = int(rng.integers(width - crop_w + 1)), int(rng.integers(height - crop_h + 1))
            return left, top, left + crop_w, top + crop_h
    side = min(width, height)
    left, top = (width - side) // 2, (height - side) // 2
    return left, top, left + side, top + side


def _jitter(square: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Return the square with brightness and contrast changed by up to ±strength, through one look-up table."""
    brightness, contrast = rng.uniform(1 - strength, 1 + strength, 2)
    middle = float(square.mean())
    values = (np.arange(256) - middle) * contrast + middle * brightness
    table: np.ndarray = np.clip(values, 0, 255).astype(np.uint8)
    changed: np.ndarray = table[square]
    return changed


def _widely_changed(image: Image.Image, wanted: Augmentation, rng: np.random.Generator) -> Image.Image:
    """Return the picture after one change of random kind and strength.

    Source: Müller and Hutter 2021, "TrivialAugment", with its wide ranges. Changes of colour are left out where the
    user said that colour matters, changes that turn the picture where direction does.
    """
    strength = rng.integers(WIDE_STEPS + 1) / WIDE_STEPS
    signed = float(strength if rng.random() < 0.5 else -strength)
    shapes: list[Callable[[], Image.Image]] = [
        lambda: image,
        lambda: _sheared(image, (1, 0.99 * signed, 0, 0, 1, 0)),
        lambda: _sheared(image, (1, 0, 0, 0.99 * signed, 1, 0)),
        lambda: _sheared(image, (1, 0, 32 * signed, 0, 1, 0)),
        lambda: _sheared(image, (1, 0, 0, 0, 1, 32 * signed)),
        lambda: ImageEnhance.Sharpness(image).enhance(1 + 0.99 * signed),
    ]
    turns: list[Callable[[], Image.Image]] = [lambda: image.rotate(135 * signed, Image.Resampling.BILINEAR)]
    colours: list[Callable[[], Image.Image]] = [
        lambda: ImageEnhance.Brightness(image).enhance(1 + 0.99 * signed),
        lambda: ImageEnhance.Color(image).enhance(1 + 0.99 * signed),
        lambda: ImageEnhance.Contrast(image).enhance(1 + 0.99 * signed),
        lambda: ImageOps.posterize(image, 8 - round(6 * float(strength))),
        lambda: ImageOps.solarize(image, round(256 * (1 - float(strength)))),
        lambda: ImageOps.autocontrast(image),
        lambda: ImageOps.equalize(image),
    ]
    kinds = shapes + (turns if wanted.turned else []) + (colours if wanted.recoloured else [])
    return kinds[rng.integers(len(kinds))]()


def _sheared(image: Image.Image, matrix: tuple[float, ...]) -> Image.Image:
    return image.transform(image.size, Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR)


def _erased(square: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the square with a rectangle of 2 to 33 % of it in its mean colour.

    Source: Zhong et al. 2020, "Random erasing data augmentation".
    """
    side = len(square)
    area, aspect = rng.uniform(0.02, 0.33), np.exp(rng.uniform(np.log(0.3), np.log(3.3)))
    height = max(1, min(side, round(side * np.sqrt(area * aspect))))
    width = max(1, min(side, round(side * np.sqrt(area / aspect))))
    top, left = rng.integers(side - height + 1), rng.integers(side - width + 1)
    changed = square.copy()
    changed[top : top + height, left : left + width] = square.mean((0, 1)).astype(np.uint8)
    return changed
