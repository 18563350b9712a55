"""What a framing costs, against counting the pixels of framed pictures."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from tlstudio.core.framing import FramingCost, framing_costs, recommendation
from tlstudio.core.images import framed, network_view

RESIZE_PX, CROP_PX = 256, 224
SIZES = [(256, 256), (400, 300), (300, 400), (1024, 256), (640, 360)]


def costs(sizes: list[tuple[int, int]]) -> dict[str, FramingCost]:
    found = framing_costs([w for w, _ in sizes], [h for _, h in sizes], RESIZE_PX, CROP_PX)
    return {cost.framing: cost for cost in found}


@pytest.mark.parametrize("size", SIZES)
def test_fill_cuts_off_what_is_not_in_the_square(size):
    """Every pixel of a picture has its own place as a colour; the square's range of them is what was seen."""
    width, height = size
    across = np.tile(np.linspace(0, 65535, width), (height, 1))
    down = np.tile(np.linspace(0, 65535, height)[:, None], (1, width))
    seen = []
    for places in (across, down):
        image = Image.fromarray((places / 257).astype(np.uint8)).convert("RGB")
        square = network_view(image, RESIZE_PX, CROP_PX, "bilinear")[..., 0].astype(int)
        seen.append((square.max() - square.min() + 1) / 256)
    assert costs([size])["fill"].median == pytest.approx(1 - seen[0] * seen[1], abs=0.02)


@pytest.mark.parametrize("size", SIZES)
def test_fit_leaves_empty_what_is_ground(size):
    """A black picture with a white edge: the ground takes the edge's colour."""
    width, height = size
    edge = max(size) // 32
    pixels = np.full((height, width, 3), 255, np.uint8)
    pixels[edge:-edge, edge:-edge] = 0
    inner = (1 - 2 * edge / width) * (1 - 2 * edge / height)
    square = np.asarray(framed(Image.fromarray(pixels), RESIZE_PX, CROP_PX, "bilinear", "fit"))
    dark = (square.max(axis=2) < 128).mean()
    assert costs([size])["fit"].median == pytest.approx(1 - dark / inner, abs=0.02)


def test_the_figures_are_of_all_pictures():
    found = costs([(100, 100)] * 3 + [(300, 100)])
    assert found["stretch"].mean == pytest.approx(2 / 3 / 4)
    assert found["stretch"].median == 0 and found["stretch"].much == 0.25
    assert found["stretch"].worst == pytest.approx(2 / 3)
    assert "67%" in found["stretch"].sentence and "67%" in found["fit"].sentence
    assert "23%" in found["fill"].sentence, "of a square picture too the outer eighth goes"


def test_fit_is_advised_only_where_fill_cuts_much_off():
    assert recommendation(list(costs([(500, 450)] * 5 + [(900, 100)]).values())) == ("fill", "")
    framing, why = recommendation(list(costs([(900, 300)] * 5 + [(100, 100)]).values()))
    assert framing == "fit" and "74%" in why
