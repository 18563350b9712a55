"""A small set of drawn leaves, so that the app can be tried without any pictures at hand."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from tlstudio.core.errors import StudioError

SIDE_PX = 160
PER_CLASS = 30
# Radius of the leaf's outline at an angle (radians, 0 at the tip), as a share of its length, by class.
OUTLINES = {
    "lobed": lambda a: 0.42 + 0.30 * math.cos(a) + 0.20 * abs(math.cos(2.5 * a)),
    "needle": lambda a: 0.10 / math.hypot(0.10 * math.cos(a), math.sin(a)),
    "round": lambda a: 0.72 + 0.10 * math.cos(a),
}


def draw_sample_pictures(folder: Path, seed: int = 0) -> None:
    """Draw 30 pictures of each of three leaf shapes into a new folder, one folder inside it a class.

    Raises StudioError if the folder exists and is not empty.
    """
    if folder.exists() and any(folder.iterdir()):
        raise StudioError(f"“{folder}” is not empty.", "Name a new folder for the sample pictures.")
    rng = np.random.default_rng(seed)
    for name in OUTLINES:
        where = folder / name
        where.mkdir(parents=True, exist_ok=True)
        for number in range(1, PER_CLASS + 1):
            _leaf(name, rng).save(where / f"{name}-{number:02}.jpg", quality=90)


def _leaf(name: str, rng: np.random.Generator) -> Image.Image:
    """Return one leaf on a blurred ground, in any position, size, light and shade of green to brown."""
    soil = rng.uniform(110, 215) * np.array([1.0, rng.uniform(0.88, 1.0), rng.uniform(0.72, 1.0)])
    ground = np.clip(soil + rng.normal(0, 14, (7, 7, 1)) + rng.normal(0, 5, (7, 7, 3)), 0, 255)
    image = Image.fromarray(ground.astype(np.uint8)).resize((SIDE_PX, SIDE_PX), Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(image)
    centre = SIDE_PX / 2 + rng.uniform(-16, 16, 2)
    length = SIDE_PX * rng.uniform(0.3, 0.48)
    turn = rng.uniform(0, 2 * math.pi)
    colour = np.array([rng.uniform(50, 160), rng.uniform(90, 170), rng.uniform(20, 70)])

    def point(angle: float, radius: float) -> tuple[float, float]:
        x, y = math.cos(angle + turn), math.sin(angle + turn)
        return float(centre[0] + length * radius * x), float(centre[1] + length * radius * y)

    angles = np.linspace(0, 2 * math.pi, 120, endpoint=False)
    outline = [point(a, OUTLINES[name](a) * rng.uniform(0.97, 1.03)) for a in angles]
    draw.polygon(outline, fill=_rgb(colour), outline=_rgb(colour * 0.7))
    draw.line([point(math.pi, 0.9), point(0, 0.9 * OUTLINES[name](0))], fill=_rgb(colour * 0.6), width=2)
    for angle in np.linspace(0.5, 2.4, 5):
        for side in (-1, 1):
            reach = 0.75 * OUTLINES[name](side * angle)
            draw.line([point(0, 0.0), point(side * angle, reach)], fill=_rgb(colour * 0.75), width=1)
    image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 1.1)))
    noise = rng.normal(0, 6, (SIDE_PX, SIDE_PX, 3))
    light = rng.uniform(0.75, 1.2)
    return Image.fromarray(np.clip(np.asarray(image) * light + noise, 0, 255).astype(np.uint8))


def _rgb(colour: np.ndarray) -> tuple[int, int, int]:
    red, green, blue = np.clip(colour, 0, 255).astype(int).tolist()
    return red, green, blue
