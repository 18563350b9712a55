"""The square a network sees is, to the last bit, what torchvision's own transforms make of a Pillow picture."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from torchvision.transforms import functional as reference
from torchvision.transforms.functional import InterpolationMode

from tlstudio.core.backbones import BACKBONES
from tlstudio.core.images import network_view

SIZES = ((640, 480), (480, 641), (300, 300), (97, 211), (1001, 333), (256, 300), (31, 29), (400, 17))
SETTINGS = sorted({(known.resize_px, known.crop_px, known.interpolation) for row in BACKBONES for known in row.weights})


@pytest.mark.parametrize(("resize_px", "crop_px", "interpolation"), SETTINGS)
def test_the_view_equals_torchvision_s(resize_px, crop_px, interpolation):
    rng = np.random.default_rng(resize_px)
    for width, height in SIZES:
        image = Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))
        resized = reference.resize(image, [resize_px], InterpolationMode(interpolation))
        expected = np.asarray(reference.center_crop(resized, [crop_px]))
        assert np.array_equal(network_view(image, resize_px, crop_px, interpolation), expected), (width, height)
