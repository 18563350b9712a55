"""Networks: torchvision's modules regrouped into blocks with a head of our own, and the file they are kept in."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec
import torch
import torchvision.models
from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors
from safetensors.torch import save as save_safetensors
from torch import Tensor, nn

from tlstudio.core.backbones import BackboneSpec, Preprocessing, backbone
from tlstudio.core.durable import write_bytes
from tlstudio.core.errors import StudioError


class ModelCard(msgspec.Struct, frozen=True):
    """Everything besides the tensors that a model needs to answer; kept in the header of its file."""

    backbone: str
    classes: tuple[str, ...]
    preprocessing: Preprocessing
    temperature: float
    weights_sha256: str
    """Of the file the backbone started from."""
    version: int = 1


class Tokens(nn.Module):
    """Pictures (batch, 3, height, width) to a vision transformer's tokens (batch, 1 + patches, channels)."""

    def __init__(self, vit: Any) -> None:
        super().__init__()
        self.conv_proj = vit.conv_proj
        self.class_token = vit.class_token
        self.pos_embedding = vit.encoder.pos_embedding

    def forward(self, images: Tensor) -> Tensor:
        patches = self.conv_proj(images).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.class_token.expand(len(images), -1, -1), patches], dim=1)
        positioned: Tensor = tokens + self.pos_embedding
        return positioned


class Network(nn.Module):
    """Blocks one after the other, global pooling, and a linear head.

    Pictures are normalised floats (batch, 3, height, width); answers are logits (batch, classes).
    """

    def __init__(
        self, blocks: Sequence[nn.Module], layout: Literal["nchw", "nhwc", "tokens"], channels: int, classes: int
    ) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.layout = layout
        self.head = nn.Linear(channels, classes)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.features(images))
        return logits

    def features(self, images: Tensor) -> Tensor:
        """Return the pooled output of the last block, (batch, channels)."""
        values = images
        for block in self.blocks:
            values = block(values)
        return self.pool(values)

    def block_features(self, images: Tensor) -> list[Tensor]:
        """Return the pooled output of every block, each (batch, channels of that block)."""
        pooled, values = [], images
        for block in self.blocks:
            values = block(values)
            pooled.append(self.pool(values))
        return pooled

    def pool(self, values: Tensor) -> Tensor:
        """Return the mean over space, or the class token of a transformer."""
        match self.layout:
            case "nchw":
                return values.mean((2, 3))
            case "nhwc":
                return values.mean((1, 2))
            case "tokens":
                return values[:, 0]

    def set_trainable(self, trainable_from: int) -> None:
        """Let blocks from that number on learn, and the head; freeze those below."""
        for number, block in enumerate(self.blocks):
            block.requires_grad_(number >= trainable_from)
        self.head.requires_grad_(True)

    def train(self, mode: bool = True) -> Network:
        """Switch dropout, never BatchNorm: its running statistics stay those of the old network.

        Source: engine measurements of train-mode statistics at small batch sizes swinging by tens of points.
        """
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
        return self


def torchvision_model(spec: BackboneSpec) -> nn.Module:
    """Return torchvision's own network of that row, with fresh weights and without auxiliary heads."""
    options: dict[str, Any] = {}
    if spec.unused:
        options = {"aux_logits": False, "init_weights": False}
    model: nn.Module = torchvision.models.get_model(spec.name, weights=None, **options)
    return model


def build_network(spec: BackboneSpec, model: nn.Module, classes: int, cut_after: int | None = None) -> Network:
    """Return a network of `model`'s modules, in the row's blocks up to `cut_after` (default: all of them).

    The modules are shared with `model`, not copied. The head is new.
    """
    last = len(spec.blocks) - 1 if cut_after is None else cut_after
    blocks = [
        nn.Sequential(*(module for path in block.modules for module in _modules(model, path)))
        for block in spec.blocks[: last + 1]
    ]
    return Network(blocks, spec.layout, spec.blocks[last].channels, classes)


def _modules(model: nn.Module, path: str) -> Iterator[nn.Module]:
    if path == "relu":
        yield nn.ReLU()
    elif path == "tokens":
        yield Tokens(model)
    elif ":" in path:
        parent, _, bounds = path.rpartition(".")
        first, last = (int(bound) for bound in bounds.split(":"))
        yield from list(model.get_submodule(parent).children())[first:last]
    else:
        yield model.get_submodule(path)


def snapshot(network: nn.Module) -> dict[str, Tensor]:
    """Return a copy of all weights and buffers that later training cannot change."""
    return copy.deepcopy({name: value.detach() for name, value in network.state_dict().items()})


def save_model(path: Path, network: Network, card: ModelCard) -> None:
    """Write the network and its card as one safetensors file."""
    tensors = {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}
    write_bytes(path, save_safetensors(tensors, {"tlstudio": msgspec.json.encode(card).decode()}))


def load_model(path: Path) -> tuple[Network, ModelCard]:
    """Return the network, on the CPU and in evaluation mode, and its card.

    Raises StudioError if the file is missing, damaged or not one of ours.
    """
    try:
        content = path.read_bytes()
        size = int.from_bytes(content[:8], "little")
        header = msgspec.json.decode(content[8 : 8 + size])
        card = msgspec.json.decode(header["__metadata__"]["tlstudio"], type=ModelCard)
        tensors = load_safetensors(content)
        spec = backbone(card.backbone)
        network = build_network(spec, torchvision_model(spec), len(card.classes))
        network.load_state_dict(tensors)
    except FileNotFoundError as error:
        raise StudioError(
            f"There is no trained model in {path.parent}.", "Train it to the end, or choose another run."
        ) from error
    except (OSError, SafetensorError, msgspec.DecodeError, KeyError, TypeError, RuntimeError) as error:
        raise StudioError(
            f"The model {path} is damaged or was not made by this app.", "Choose another run, or train again."
        ) from error
    return network.eval(), card
