"""Random changes of pictures: allowed ones happen, forbidden ones never do."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from tlstudio.core.augment import (
    VIEWED_BELOW_IMAGES,
    Augmentation,
    augmentation_for,
    changes_in_words,
    learns_from_changes,
    random_square,
)
from tlstudio.core.plan import make_stages
from tlstudio.core.regimes import FITTED, HEAD_NAMES, REGIME_NAMES, Regime

SIDE_PX = 32
DRAWS = 60
UNCUT = 1.0
"""A crop of the whole area: what is left are the other changes."""
QUIET = Augmentation(crop_min_area=UNCUT, mirror=False, turned=False, recoloured=False)


def corners(side_px: int = SIDE_PX) -> Image.Image:
    """Return a grey picture whose corners are red (top left), green (top right), blue and white (bottom)."""
    pixels = np.full((side_px, side_px, 3), 128, np.uint8)
    half = side_px // 2
    pixels[:half, :half] = (255, 0, 0)
    pixels[:half, half:] = (0, 255, 0)
    pixels[half:, :half] = (0, 0, 255)
    pixels[half:, half:] = (255, 255, 255)
    return Image.fromarray(pixels)


def draws(wanted: Augmentation, image: Image.Image | None = None, count: int = DRAWS) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [random_square(image or corners(), SIDE_PX, Image.Resampling.BILINEAR, wanted, rng) for _ in range(count)]


def seen(wanted: Augmentation) -> set[tuple[int, ...]]:
    """Return which corner colours were seen at the top left."""
    return {tuple(int(value) for value in square[2, 2]) for square in draws(wanted)}


RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def quiet(**allowed: bool) -> Augmentation:
    return Augmentation(**{"crop_min_area": UNCUT, "mirror": False, "recoloured": False, **allowed})


def test_what_is_not_allowed_never_happens():
    assert all(np.array_equal(square, np.asarray(corners())) for square in draws(QUIET))


def test_mirroring_swaps_the_sides_of_about_half():
    assert seen(quiet(mirror=True)) == {RED, GREEN}
    mirrored = sum(tuple(square[2, 2]) == GREEN for square in draws(quiet(mirror=True), count=400))
    # 400 coins: more than 5 standard deviations of 10 from 200 would be no chance.
    assert 150 < mirrored < 250


def test_turning_brings_every_corner_up():
    assert seen(quiet(turned=True)) == {RED, GREEN, BLUE, WHITE}


def test_recolouring_keeps_places_and_moves_values_a_little():
    squares = draws(quiet(recoloured=True))
    assert any(not np.array_equal(square, np.asarray(corners())) for square in squares)
    assert all(int(square[2, 2, 0]) > 200 and int(square[2, 2, 2]) < 60 for square in squares)


@pytest.mark.parametrize(("framing", "least_area"), [("fill", 0.6), ("fit", 0.8), ("stretch", 0.8)])
def test_a_crop_keeps_the_share_it_is_asked_for(framing, least_area):
    ramp = Image.fromarray(np.tile(np.linspace(0, 255, 256, dtype=np.uint8)[None, :, None], (256, 1, 3)))
    wanted = augmentation_for("fine-tune", mirror=False, turned=False, recoloured=False, framing=framing)
    spans = [(int(square.max()) - int(square.min())) / 255 for square in draws(wanted, ramp)]
    # A crop of that area with a side a third longer than the other is at least this wide.
    assert min(spans) >= np.sqrt(least_area * 3 / 4) - 0.05
    assert len({round(span, 2) for span in spans}) > 10


@pytest.mark.parametrize("erase_share", [0.0, 0.5, 1.0])
def test_a_rectangle_is_lost_as_often_as_asked(erase_share):
    image = Image.fromarray(np.random.default_rng(1).integers(0, 256, (SIDE_PX, SIDE_PX, 3), np.uint8))
    wanted = Augmentation(crop_min_area=UNCUT, mirror=False, recoloured=False, erase_share=erase_share)
    changed = [(square != np.asarray(image)).any(axis=2).mean() for square in draws(wanted, image, 200)]
    lost = sum(share > 0 for share in changed) / len(changed)
    assert abs(lost - erase_share) < 0.15
    assert max(changed) < 0.4


@pytest.mark.parametrize("recoloured", [False, True])
def test_wide_changes_leave_colours_alone_where_colour_matters(recoloured):
    red = Image.fromarray(np.full((SIDE_PX, SIDE_PX, 3), (200, 30, 30), np.uint8))
    wanted = Augmentation(crop_min_area=UNCUT, mirror=False, recoloured=recoloured, colour_jitter=0.0, wide=True)
    # Shifts bring in black; other colours than that and red are the doing of recolouring.
    brighter = [square for square in draws(wanted, red, 100) if (square.max(axis=(0, 1)) > (200, 30, 30)).any()]
    assert bool(brighter) == recoloured


def test_equal_seeds_make_equal_changes():
    wanted = Augmentation(turned=True, wide=True, erase_share=0.5)
    assert all(np.array_equal(a, b) for a, b in zip(draws(wanted), draws(wanted), strict=True))


@pytest.mark.parametrize("regime", REGIME_NAMES)
def test_only_where_every_layer_learns_anew_are_changes_wide(regime):
    wanted = augmentation_for(regime, mirror=False, turned=True, recoloured=False)
    assert (wanted.mirror, wanted.turned, wanted.recoloured) == (False, True, False)
    learns_evenly = any(stage.body_lr_span == 1.0 for stage in make_stages(regime, 100, "cpu", 32, "sgd"))
    assert wanted.wide == learns_evenly
    assert (wanted.erase_share > 0) == learns_evenly


def said(regime: Regime, head: str = "linear", images: int = 5000, **allowed: bool) -> str:
    wanted = augmentation_for(regime, **{"mirror": False, "turned": False, "recoloured": False, **allowed})
    return changes_in_words(regime, head, images, wanted)


def test_what_is_said_of_changes_names_the_allowed_ones_only():
    assert said("fine-tune") == "While learning, pictures are cut a little at random."
    assert said("fine-tune", mirror=True, turned=True, recoloured=True) == (
        "While learning, pictures are cut a little, mirrored, turned by quarters and slightly recoloured at random."
    )
    for regime in ("full", "scratch"):
        assert "turned" not in said(regime) and "recoloured" not in said(regime)
        assert "turned by any angle" in said(regime, turned=True)
        assert "or strongly recoloured" in said(regime, recoloured=True)


@pytest.mark.parametrize("regime", REGIME_NAMES)
def test_wide_changes_are_said_where_they_are_made(regime):
    wide = augmentation_for(regime, mirror=True, turned=True, recoloured=True).wide
    assert ("sheared" in said(regime)) == ("One in 10 loses a rectangle" in said(regime)) == wide


@pytest.mark.parametrize("regime", REGIME_NAMES)
@pytest.mark.parametrize("head", HEAD_NAMES)
@pytest.mark.parametrize("images", [VIEWED_BELOW_IMAGES - 1, VIEWED_BELOW_IMAGES])
def test_a_new_head_is_said_to_learn_from_changes_where_it_does(regime, head, images):
    views = make_stages(regime, images, "cpu", 32, "sgd")[0].views
    learns = regime not in FITTED or (views > 0 and head not in ("mlp", "conv"))
    assert learns_from_changes(regime, head, images) == learns
    assert ("as they are" in said(regime, head, images)) != learns
    assert ("if that proves better" in said(regime, head, images)) == (learns and regime in FITTED)
