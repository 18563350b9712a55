"""Drawn sets in which one thing beside the subject gives a class away, and one in which nothing does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.factories import draw
from tlstudio.core.errors import StudioError
from tlstudio.core.events import Event, Progress, Stopped, ignore, never
from tlstudio.core.jobs import Shortcuts
from tlstudio.core.results import ShortcutRow
from tlstudio.engine.shortcuts import find_shortcuts

CLASSES = ("disc", "square", "cross")
Save = Callable[[Image.Image, Path, str, int], None]


def picture(shape: str, seed: int) -> Image.Image:
    """A subject of its class in the middle; around it, everything differs from picture to picture."""
    rng = np.random.default_rng((9, CLASSES.index(shape), seed))
    scene = rng.integers(0, 255, (5, 5, 3), dtype=np.uint8)
    side = int(rng.integers(60, 90))
    image = Image.fromarray(scene).resize((side, side), Image.Resampling.BICUBIC)
    subject = draw(shape, seed, 24)
    image.paste(subject, ((side - 24) // 2, (side - 24) // 2))
    return image


def save_plainly(image: Image.Image, folder: Path, shape: str, seed: int) -> None:
    image.save(folder / f"{seed}.png")


def drawn(root: Path, save: Save, classes: tuple[str, ...] = CLASSES, count: int = 30) -> Path:
    for shape in classes:
        (root / shape).mkdir(parents=True)
        for seed in range(count):
            save(picture(shape, seed), root / shape, shape, seed)
    return root


def rows_of(root: Path) -> dict[str, ShortcutRow]:
    return {row.clue: row for row in find_shortcuts(Shortcuts(folders=(str(root),)), ignore, never)}


def test_nothing_works_where_nothing_gives_the_classes_away(tmp_path: Path) -> None:
    rows = rows_of(drawn(tmp_path / "clean", save_plainly))
    assert {"border", "size", "brightness", "sharpness"} <= set(rows) and "camera" not in rows
    for row in rows.values():
        if row.clue in ("border", "size"):
            assert not row.works, row
            assert row.interval[0] <= row.accuracy <= row.interval[1]
            assert row.interval[0] < row.chance + 0.1 and row.chance == pytest.approx(1 / 3)


def framed_squares(image: Image.Image, folder: Path, shape: str, seed: int) -> None:
    if shape == "square":
        frame = Image.new("RGB", (image.width + 16, image.height + 16), (200, 30, 30))
        frame.paste(image, (8, 8))
        image = frame.resize(image.size)
    save_plainly(image, folder, shape, seed)


def large_squares(image: Image.Image, folder: Path, shape: str, seed: int) -> None:
    save_plainly(image.resize((150, 120)) if shape == "square" else image, folder, shape, seed)


def squares_as_jpeg(image: Image.Image, folder: Path, shape: str, seed: int) -> None:
    image.save(folder / f"{seed}.{'jpg' if shape == 'square' else 'png'}")


def squares_by_another_camera(image: Image.Image, folder: Path, shape: str, seed: int) -> None:
    exif = Image.Exif()
    exif[271], exif[272] = "Maker", "Model B" if shape == "square" else "Model A"
    image.save(folder / f"{seed}.jpg", exif=exif, quality=95)


@pytest.mark.parametrize(
    ("save", "clue"),
    [
        (framed_squares, "border"),
        (large_squares, "size"),
        (squares_as_jpeg, "file type"),
        (squares_by_another_camera, "camera"),
    ],
)
def test_what_gives_one_class_away_is_found_and_shown(save: Save, clue: str, tmp_path: Path) -> None:
    root = drawn(tmp_path / "set", save)
    row = rows_of(root)[clue]
    # One class of three is known for sure, the other two are guessed: two thirds.
    assert row.works and row.accuracy > 0.6
    assert "“square”" in row.sentence and "33%" in row.sentence
    assert str(root / "square") in {str(Path(path).parent) for path in row.examples}


def test_copies_do_not_make_a_clue_work(tmp_path: Path) -> None:
    """Each border is seen again and again, but never on both sides of a fold."""

    def save_often(image: Image.Image, folder: Path, shape: str, seed: int) -> None:
        for number in range(4):
            copy = image.copy()
            copy.putpixel((30, 30), (number, 0, 0))
            copy.save(folder / f"{seed}-{number}.png")

    row = rows_of(drawn(tmp_path / "set", save_often, count=12))["border"]
    assert not row.works and row.accuracy < 0.6


def test_it_tells_how_far_it_is_and_stops(tmp_path: Path) -> None:
    job = Shortcuts(folders=(str(drawn(tmp_path / "set", save_plainly, count=8)),))
    said: list[Event] = []
    find_shortcuts(job, said.append, never)
    last = [event for event in said if isinstance(event, Progress) and event.what == "Looking for shortcuts"][-1]
    assert last.done == last.total > 0
    told: list[Event] = []
    with pytest.raises(Stopped):
        find_shortcuts(job, told.append, lambda: any(isinstance(e, Progress) and e.done for e in told))


def test_too_few_pictures_are_refused_in_words(tmp_path: Path) -> None:
    root = drawn(tmp_path / "set", save_plainly, ("disc", "square"), count=2)
    with pytest.raises(StudioError, match="too few pictures"):
        find_shortcuts(Shortcuts(folders=(str(root),)), ignore, never)
