"""Every row of the table through every regime's parts: new head, fine-tuning, cuts, saving, loading, export."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import msgspec
import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn

from tests.factories import class_folders
from tlstudio.core.augment import Augmentation
from tlstudio.core.backbones import BACKBONES, BackboneSpec, Preprocessing, backbone
from tlstudio.core.dataset import ImageRecord, scan
from tlstudio.core.events import ignore, never
from tlstudio.core.plan import Plan, make_stages
from tlstudio.engine.data import ImageStore, Normaliser
from tlstudio.engine.export import onnx_bytes
from tlstudio.engine.features import forward_pass
from tlstudio.engine.heads import fit_head
from tlstudio.engine.loop import GradientStage, Judgement
from tlstudio.engine.networks import (
    HeadShape,
    ModelCard,
    Network,
    build_network,
    head_shape,
    load_model,
    save_model,
    snapshot,
    torchvision_model,
)

SMALL_PX = 64
FIXED_INPUT = ("vit_b_16",)
BLOCK_NAMES = [(spec, number) for spec in BACKBONES for number in range(len(spec.blocks))]


def preprocessing(spec: BackboneSpec) -> Preprocessing:
    """The row's own, with small pictures where the architecture takes them."""
    wanted = spec.preprocessing()
    if spec.name in FIXED_INPUT:
        return wanted
    side = max(SMALL_PX, spec.min_input_px)
    return msgspec.structs.replace(wanted, resize_px=side, crop_px=side)


def card(spec: BackboneSpec, network: Network, cut_after: int | None = None) -> ModelCard:
    return ModelCard(
        spec.name,
        ("disc", "square"),
        preprocessing(spec),
        1.3,
        "0" * 64,
        cut_after,
        network.joined,
        head_shape(network.head),
    )


@lru_cache(maxsize=1)
def random_model(spec: BackboneSpec) -> nn.Module:
    """torchvision's network of a row; random weights of the largest take seconds, so tests of one row share it."""
    torch.manual_seed(0)
    return torchvision_model(spec)


def random_network(spec: BackboneSpec, cut_after: int | None = None) -> Network:
    return build_network(spec, random_model(spec), 2, cut_after, joined=cut_after is not None).eval()


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Sequence[ImageRecord]:
    """Four discs and four squares."""
    return scan([class_folders(tmp_path_factory.mktemp("pictures"), {"disc": 4, "square": 4})]).images


@pytest.mark.parametrize("spec", BACKBONES, ids=lambda spec: spec.name)
def test_head_then_two_steps_then_export(spec: BackboneSpec, pictures: Sequence[ImageRecord], tmp_path: Path) -> None:
    targets = np.array([0] * 4 + [1] * 4)
    wanted = preprocessing(spec)
    network = random_network(spec)
    store = ImageStore(pictures, wanted)
    normalise = Normaliser(wanted, torch.device("cpu"))
    features = forward_pass(network.features, store, range(8), normalise)
    head = fit_head(features, targets, [image.sha256 for image in pictures], 2, seed=0)
    network.head = head.module
    by_network = forward_pass(network, store, range(8), normalise)
    assert np.allclose(by_network, head.logits(features), atol=1e-4 * (1 + np.abs(by_network).max()))

    stage = msgspec.structs.replace(make_stages("fine-tune", 8, "cpu", 4, spec.optimiser, epochs=1)[1], dropout=0.0)
    plan = Plan(spec.name, "", "", "fine-tune", "linear", (stage,), Augmentation(), 4, 0, "cpu", 2)
    before = snapshot(network)
    judge = lambda: Judgement(1.0, 1.0, 0.5)  # noqa: E731
    GradientStage(network, stage, plan, store, normalise, range(8), targets, judge, ignore, never).run()
    store.close()
    after = network.state_dict()
    frozen = [name for name, value in after.items() if "running_" in name and not torch.equal(value, before[name])]
    assert frozen == []
    still = {
        name.split(".")[1]
        for name, _ in network.named_parameters()
        if name.startswith("blocks.") and torch.equal(after[name], before[name])
    }
    learning = {
        name.split(".")[1] for name, _ in network.named_parameters() if not torch.equal(after[name], before[name])
    }
    assert still <= learning, f"blocks {still - learning} did not learn"

    save_model(tmp_path / "model.safetensors", network, card(spec, network))
    loaded, loaded_card = load_model(tmp_path / "model.safetensors")
    views = np.random.default_rng(0).integers(0, 256, (3, wanted.crop_px, wanted.crop_px, 3), dtype=np.uint8)
    with torch.inference_mode():
        floats = normalise(torch.from_numpy(views).permute(0, 3, 1, 2))
        expected = (loaded(floats) / 1.3).softmax(1).numpy()
    session = onnxruntime.InferenceSession(onnx_bytes(loaded, loaded_card), providers=["CPUExecutionProvider"])
    (answers,) = session.run(None, {"images": views})
    assert np.abs(answers - expected).max() < 1e-4


@pytest.mark.parametrize(
    ("spec", "number"), BLOCK_NAMES, ids=[f"{spec.name}-{spec.blocks[number].name}" for spec, number in BLOCK_NAMES]
)
def test_a_cut_is_smaller_and_comes_back_as_it_was(spec: BackboneSpec, number: int, tmp_path: Path) -> None:
    network = random_network(spec, number)
    whole = sum(p.numel() for p in random_network(spec).blocks.parameters())
    kept = sum(p.numel() for p in network.blocks.parameters())
    assert kept < whole or number == len(spec.blocks) - 1
    assert network.inputs == sum(block.channels for block in spec.blocks[: number + 1])
    save_model(tmp_path / "cut.safetensors", network, card(spec, network, number))
    loaded, _ = load_model(tmp_path / "cut.safetensors")
    side = preprocessing(spec).crop_px
    images = torch.randn(2, 3, side, side)
    with torch.inference_mode():
        assert torch.equal(loaded(images), network(images))


@pytest.mark.parametrize(
    ("name", "number", "shape"),
    [
        ("mobilenet_v2", 1, HeadShape("linear")),
        ("resnet18", 1, HeadShape("mlp", 16)),
        ("swin_t", 0, HeadShape("kernel", 12)),
        ("vit_b_16", 0, HeadShape("conv", 8)),
        ("squeezenet1_1", 0, HeadShape("conv", 8, 2)),
    ],
    ids=lambda value: str(getattr(value, "kind", value)),
)
def test_a_cut_with_every_kind_of_head_exports(name: str, number: int, shape: HeadShape) -> None:
    """One row of every layout, with random heads."""
    spec = backbone(name)
    torch.manual_seed(0)
    joined = shape.kind != "conv"
    network = build_network(spec, torchvision_model(spec), 2, number, joined, shape).eval()
    for value in (*network.head.parameters(), *network.head.buffers()):
        torch.nn.init.uniform_(value.data, 0.01, 0.3)
    wanted = preprocessing(spec)
    views = np.random.default_rng(0).integers(0, 256, (3, wanted.crop_px, wanted.crop_px, 3), dtype=np.uint8)
    with torch.inference_mode():
        floats = Normaliser(wanted, torch.device("cpu"))(torch.from_numpy(views).permute(0, 3, 1, 2))
        expected = (network(floats) / 1.3).softmax(1).numpy()
    content = onnx_bytes(network, card(spec, network, number))
    (answers,) = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"]).run(None, {"images": views})
    assert np.abs(answers - expected).max() < 1e-4
