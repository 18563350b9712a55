"""The table of backbones, as far as it can be judged without torch; the engine's tests hold it against torchvision."""

from __future__ import annotations

import hashlib
import re

import pytest

from tlstudio.core.backbones import BACKBONES, HALVES, IMAGENET_MEAN, BackboneSpec, backbone
from tlstudio.core.errors import StudioError
from tlstudio.core.paths import resource_path

PROMISED = {
    "alexnet", "vgg16", "squeezenet1_0", "squeezenet1_1", "resnet18", "resnet34", "resnet50", "densenet121",
    "densenet161", "googlenet", "inception_v3", "mobilenet_v2", "mobilenet_v3_small", "mobilenet_v3_large",
    "efficientnet_b0", "efficientnet_v2_s", "regnet_y_800mf", "shufflenet_v2_x1_0", "convnext_tiny", "swin_t",
    "vit_b_16",
}  # fmt: skip

every_backbone = pytest.mark.parametrize("spec", BACKBONES, ids=lambda spec: spec.name)


def test_every_promised_backbone_is_there_once():
    names = [spec.name for spec in BACKBONES]
    assert set(names) >= PROMISED
    assert len(set(names)) == len(names)
    assert len({spec.title for spec in BACKBONES}) == len(BACKBONES)


def test_every_weights_file_is_there_once():
    files = [weights.file for spec in BACKBONES for weights in spec.weights]
    assert len(set(files)) == len(files)


@every_backbone
def test_weights(spec: BackboneSpec):
    assert spec.weights
    for weights in spec.weights:
        assert re.fullmatch("[0-9a-f]{8,10}", weights.sha256_start)
        assert weights.url.startswith("https://") and weights.url.endswith(f"/{weights.file}")
        assert weights.crop_px <= weights.resize_px
        assert weights.licence
        if weights.built_in:
            assert weights.download_mb == 0 and weights.imagenet_top1 is None
            continue
        assert weights.imagenet_top1 is not None and 50 < weights.imagenet_top1 < 90
        # Four bytes a parameter, and some bytes around them.
        assert weights.download_mb * 2**20 == pytest.approx(4 * spec.parameters, rel=0.05) or spec.unused


def test_what_is_built_in_is_shipped_unchanged_and_small():
    (shipped,) = [weights for spec in BACKBONES for weights in spec.weights if weights.built_in]
    content = resource_path(f"backbones/{shipped.file}").read_bytes()
    assert hashlib.sha256(content).hexdigest().startswith(shipped.sha256_start)
    assert len(content) <= 6 * 10**6


@every_backbone
def test_blocks(spec: BackboneSpec):
    assert len(spec.blocks) >= 3
    assert len({block.name for block in spec.blocks}) == len(spec.blocks)
    modules = [module for block in spec.blocks for module in block.modules if module != "relu"]
    assert len(set(modules)) == len(modules)
    assert all(block.modules and block.channels > 0 for block in spec.blocks)


@every_backbone
def test_slices_of_blocks_leave_no_gap(spec: BackboneSpec):
    """Slices "name:stop" of one module start at 0 and each begins where the one before ended."""
    reached: dict[str, int] = {}
    for module in (module for block in spec.blocks for module in block.modules):
        if sliced := re.fullmatch(r"(.*)\.(\d+):(\d+)", module):
            name, start, stop = sliced[1], int(sliced[2]), int(sliced[3])
            assert start == reached.get(name, 0) < stop
            reached[name] = stop


@every_backbone
def test_preprocessing(spec: BackboneSpec):
    prepared = spec.preprocessing(spec.weights[-1].name)
    assert (prepared.resize_px, prepared.crop_px) == (spec.weights[-1].resize_px, spec.weights[-1].crop_px)
    assert prepared.crop_px >= spec.min_input_px
    assert prepared.mean == (HALVES if spec.name in ("googlenet", "inception_v3") else IMAGENET_MEAN)
    assert spec.preprocessing() == spec.preprocessing(spec.weights[0])


def test_rows_are_found_by_name():
    assert backbone("resnet18").title == "ResNet-18"
    with pytest.raises(StudioError, match="no backbone “resnet19”") as caught:
        backbone("resnet19")
    assert "resnet18" in caught.value.hint
