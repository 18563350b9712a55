"""Draws tiny picture folders whose classes anyone can tell apart: shape and colour go together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

SHAPES = ("disc", "square", "cross")
COLOURS = {"disc": (200, 60, 40), "square": (40, 90, 200), "cross": (60, 160, 70)}


def draw(shape: str, seed: int, side_px: int = 48) -> Image.Image:
    """Return one picture of "disc", "square" or "cross"; equal seeds give equal pixels, others differ."""
    rng = np.random.default_rng((SHAPES.index(shape), seed))
    background = rng.integers(180, 250, (side_px, side_px, 3), dtype=np.uint8)
    image = Image.fromarray(background)
    pen = ImageDraw.Draw(image)
    colour = tuple(int(value) for value in np.clip(rng.normal(COLOURS[shape], 12), 0, 255))
    radius = rng.uniform(0.2, 0.32) * side_px
    x, y = rng.uniform(0.4, 0.6, 2) * side_px
    box = (x - radius, y - radius, x + radius, y + radius)
    match shape:
        case "disc":
            pen.ellipse(box, fill=colour)
        case "square":
            pen.rectangle(box, fill=colour)
        case _:
            pen.line(box, fill=colour, width=side_px // 8)
            pen.line((box[0], box[3], box[2], box[1]), fill=colour, width=side_px // 8)
    return image


def class_folders(
    root: Path, counts: Mapping[str, int] | Sequence[str] = SHAPES[:2], first_seed: int = 0, side_px: int = 48
) -> Path:
    """Draw a folder a class below `root` and return `root`. `counts`: pictures a class, or names for 6 of each."""
    sizes = counts if isinstance(counts, Mapping) else dict.fromkeys(counts, 6)
    for shape, count in sizes.items():
        folder = root / shape
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(count):
            draw(shape, first_seed + number, side_px).save(folder / f"{shape}_{number:03}.png")
    return root


def part_folders(root: Path, parts: Mapping[str, int], shapes: Sequence[str] = SHAPES[:2], side_px: int = 48) -> Path:
    """Draw `root`/part/class folders and return `root`. `parts`: folder name to pictures a class; none is a copy."""
    first_seed = 0
    for part, count in parts.items():
        class_folders(root / part, dict.fromkeys(shapes, count), first_seed, side_px)
        first_seed += count
    return root
