"""Every row of the backbone table against torchvision's own network."""

from __future__ import annotations

import pytest
import torch
import torchvision.models
from torch import nn

from tlstudio.core.backbones import BACKBONES, BackboneSpec, Preprocessing, backbone
from tlstudio.core.errors import StudioError
from tlstudio.engine.networks import ModelCard, build_network, load_model, save_model, torchvision_model

ROWS = pytest.mark.parametrize("spec", BACKBONES, ids=lambda spec: spec.name)


def small_side(spec: BackboneSpec) -> int:
    """The smallest square the architecture takes, so that the whole table runs in seconds."""
    return {"swin_t": 64, "vit_b_16": 224}.get(spec.name, max(64, spec.min_input_px))


def reference_features(name: str, model: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """Pooled features before the classifier, computed by torchvision's own forward with the classifier removed."""
    captured: list[torch.Tensor] = []

    def keep(module: nn.Module, given: tuple[torch.Tensor, ...]) -> None:
        captured.append(given[0])

    before = {
        "alexnet": "avgpool", "vgg16": "avgpool", "squeezenet1_0": "classifier", "squeezenet1_1": "classifier",
        "shufflenet_v2_x1_0": "fc", "vit_b_16": "heads", "swin_t": "head",
    }.get(name)  # fmt: skip
    if before is None:
        before = "avgpool" if hasattr(model, "avgpool") else "classifier"
    model.get_submodule(before).register_forward_pre_hook(keep)
    model(images)
    values = captured[0]
    return values.mean((2, 3)) if values.ndim == 4 else values


@ROWS
def test_blocks_give_torchvisions_features_and_every_cut_works(spec: BackboneSpec) -> None:
    torch.manual_seed(0)
    model = torchvision_model(spec).eval()
    side = small_side(spec)
    images = torch.randn(2, 3, side, side)
    network = build_network(spec, model, 5).eval()
    with torch.inference_mode():
        ours = network.block_features(images)
        theirs = reference_features(spec.name, model, images)
        assert [rows.shape for rows in ours] == [(2, block.channels) for block in spec.blocks]
        assert torch.allclose(ours[-1], theirs, rtol=1e-4, atol=1e-5)
        for cut in range(len(spec.blocks)):
            smaller = build_network(spec, model, 5, cut_after=cut).eval()
            assert torch.equal(smaller.features(images), ours[cut])
            assert torch.allclose(smaller(images), smaller.head(ours[cut]))


@ROWS
def test_facts_are_torchvisions(spec: BackboneSpec) -> None:
    known = torchvision.models.get_model_weights(spec.name)
    for weights in spec.weights:
        if weights.built_in:
            continue
        theirs = known[weights.name]
        ours = spec.preprocessing(weights.name)
        transforms = theirs.transforms()
        assert theirs.url.endswith(f"/{weights.file}") and weights.url == theirs.url
        assert [ours.resize_px] == transforms.resize_size and [ours.crop_px] == transforms.crop_size
        assert ours.interpolation == transforms.interpolation.value
        assert weights.imagenet_top1 == theirs.meta["_metrics"]["ImageNet-1K"]["acc@1"]
        assert spec.parameters == theirs.meta["num_params"]
        if not spec.unused:  # those with auxiliary heads normalise a second time inside: see the next test
            assert list(ours.mean) == transforms.mean and list(ours.std) == transforms.std


@pytest.mark.parametrize("name", ["googlenet", "inception_v3"])
def test_the_second_normalisation_of_inception_networks_is_folded_in(name: str) -> None:
    pixels = torch.rand(1, 3, 96, 96)
    model = torchvision.models.get_model(name, weights=None, aux_logits=False, init_weights=False, transform_input=True)
    mean, std = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1), torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
    theirs = model._transform_input((pixels - mean) / std)
    ours = backbone(name).preprocessing()
    folded = (pixels - torch.tensor(ours.mean).view(3, 1, 1)) / torch.tensor(ours.std).view(3, 1, 1)
    assert torch.allclose(folded, theirs, atol=1e-5)


@ROWS
def test_frozen_blocks_do_not_change_while_the_rest_learns(spec: BackboneSpec) -> None:
    torch.manual_seed(0)
    network = build_network(spec, torchvision_model(spec), 3)
    last = len(spec.blocks) - 1
    network.set_trainable(last)
    network.train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    optimiser = torch.optim.SGD([p for p in network.parameters() if p.requires_grad], lr=0.1)
    side = small_side(spec)
    images = torch.randn(2, 3, side, side)
    for _ in range(2):
        optimiser.zero_grad()
        nn.functional.cross_entropy(network(images), torch.tensor([0, 1])).backward()
        optimiser.step()
    after = network.state_dict()
    for name, value in before.items():
        if not name.startswith((f"blocks.{last}.", "head.")):
            assert torch.equal(after[name], value), name
        elif name.endswith(("running_mean", "running_var", "num_batches_tracked")):
            assert torch.equal(after[name], value), f"{name}: running statistics stay those of the old network"
    assert not torch.equal(after["head.weight"], before["head.weight"])


def card(spec: BackboneSpec, classes: int) -> ModelCard:
    return ModelCard(spec.name, tuple(f"class {i}" for i in range(classes)), spec.preprocessing(), 1.5, "0" * 64)


def test_a_saved_model_answers_the_same(tmp_path) -> None:
    spec = backbone("resnet18")
    network = build_network(spec, torchvision_model(spec), 4).eval()
    save_model(tmp_path / "model.safetensors", network, card(spec, 4))
    again, facts = load_model(tmp_path / "model.safetensors")
    images = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        assert torch.equal(again(images), network(images))
    assert facts == card(spec, 4)
    assert isinstance(facts.preprocessing, Preprocessing)


def test_damage_is_said_in_plain_words(tmp_path) -> None:
    spec = backbone("squeezenet1_1")
    file = tmp_path / "model.safetensors"
    with pytest.raises(StudioError, match="no trained model"):
        load_model(file)
    save_model(file, build_network(spec, torchvision_model(spec), 2), card(spec, 2))
    content = file.read_bytes()
    for damaged in (
        b"",
        content[:100],
        content[: len(content) // 2],
        b"PK" + content[2:],
        content.replace(b"squeezenet1_1", b"squeezenet1_0"),
    ):
        file.write_bytes(damaged)
        with pytest.raises(StudioError, match="damaged"):
            load_model(file)
