"""Networks: torchvision's modules regrouped into blocks with a head of our own, and the file they are kept in."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import torch
import torchvision.models
from msgspec import Meta
from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors
from safetensors.torch import save as save_safetensors
from torch import Tensor, nn
from torch.nn import functional as F

from tlstudio.core.backbones import BackboneSpec, Preprocessing, backbone
from tlstudio.core.decoding import from_json
from tlstudio.core.durable import write_bytes
from tlstudio.core.errors import StudioError
from tlstudio.core.runfolder import NewerVersion, Versioned

CARD_VERSION = 1
HEAD_DROPOUT = 0.3


class HeadShape(msgspec.Struct, frozen=True):
    """What has to be known of a head to build it anew: its kind and sizes."""

    kind: Literal["linear", "kernel", "mlp", "conv"] = "linear"
    units: Annotated[int, Meta(ge=0)] = 0
    """Vectors of a kernel, hidden units of an MLP, channels of a small convolutional network."""
    shrink: Annotated[int, Meta(ge=1)] = 1
    """Side of the squares that a convolutional head's input is averaged over first."""


class ModelCard(msgspec.Struct, frozen=True):
    """Everything besides the tensors that a model needs to answer; kept in the header of its file."""

    backbone: str
    classes: Annotated[tuple[str, ...], Meta(min_length=1)]
    preprocessing: Preprocessing
    temperature: Annotated[float, Meta(ge=1e-3, le=1e3)]
    weights_sha256: str
    """Of the file the backbone started from."""
    cut_after: Annotated[int, Meta(ge=0)] | None = None
    """Number of the last block that was kept; None keeps all."""
    joined: bool = False
    """The head sees the pooled outputs of all blocks, not of the last one alone."""
    head: HeadShape = HeadShape()
    version: int = CARD_VERSION


class Tokens(nn.Module):
    """Pictures (batch, 3, height, width) to a vision transformer's tokens (batch, 1 + patches, channels)."""

    def __init__(self, vit: Any) -> None:
        super().__init__()
        self.conv_proj = vit.conv_proj
        self.class_token = vit.class_token
        self.pos_embedding = vit.encoder.pos_embedding

    def forward(self, images: Tensor) -> Tensor:
        patches = self.conv_proj(images).flatten(2).transpose(1, 2)
        # Not len(): an export would take the number of the example's pictures for a constant.
        tokens = torch.cat([self.class_token.expand(images.shape[0], -1, -1), patches], dim=1)
        positioned: Tensor = tokens + self.pos_embedding
        return positioned


class KernelHead(nn.Module):
    """Pooled features to weighted sums of their likeness, exp(-gamma * squared distance), to a few known ones."""

    mean: Tensor
    scale: Tensor
    vectors: Tensor
    gamma: Tensor

    def __init__(self, inputs: int, units: int, classes: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(inputs))
        self.register_buffer("scale", torch.ones(inputs))
        self.register_buffer("vectors", torch.zeros(units, inputs))
        self.register_buffer("gamma", torch.ones(()))
        self.weight = nn.Parameter(torch.zeros(classes, units))
        self.bias = nn.Parameter(torch.zeros(classes))

    def forward(self, features: Tensor) -> Tensor:
        standardised = (features - self.mean) / self.scale
        squares = standardised.square().sum(1, keepdim=True) + self.vectors.square().sum(1)
        squares = squares - 2 * standardised @ self.vectors.T
        return torch.exp(-self.gamma * squares.clamp(min=0)) @ self.weight.T + self.bias


class MlpHead(nn.Module):
    """Pooled features through one hidden layer."""

    mean: Tensor
    scale: Tensor

    def __init__(self, inputs: int, units: int, classes: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(inputs))
        self.register_buffer("scale", torch.ones(inputs))
        self.hidden = nn.Linear(inputs, units)
        self.dropout = nn.Dropout(HEAD_DROPOUT)
        self.answers = nn.Linear(units, classes)

    def forward(self, features: Tensor) -> Tensor:
        standardised = (features - self.mean) / self.scale
        logits: Tensor = self.answers(self.dropout(F.relu(self.hidden(standardised))))
        return logits


class ConvHead(nn.Module):
    """Maps (batch, channels, height, width), not pooled, through two small convolutions and a linear layer."""

    mean: Tensor
    scale: Tensor

    def __init__(self, inputs: int, units: int, classes: int, shrink: int) -> None:
        super().__init__()
        self.shrink = shrink
        self.register_buffer("mean", torch.zeros(inputs, 1, 1))
        self.register_buffer("scale", torch.ones(inputs, 1, 1))
        self.first = nn.Conv2d(inputs, units, 3, padding=1)
        self.second = nn.Conv2d(units, units, 3, padding=1)
        self.dropout = nn.Dropout(HEAD_DROPOUT)
        self.answers = nn.Linear(units, classes)

    def forward(self, maps: Tensor) -> Tensor:
        return self.after_shrinking(F.avg_pool2d(maps, self.shrink))

    def after_shrinking(self, maps: Tensor) -> Tensor:
        """Return logits (batch, classes) for maps that have been averaged already."""
        standardised = (maps - self.mean) / self.scale
        found = F.relu(self.second(F.relu(self.first(standardised))))
        logits: Tensor = self.answers(self.dropout(found.mean((2, 3))))
        return logits


def build_head(shape: HeadShape, inputs: int, classes: int) -> nn.Module:
    """Return an untrained head of that shape for `inputs` channels."""
    match shape.kind:
        case "linear":
            return nn.Linear(inputs, classes)
        case "kernel":
            return KernelHead(inputs, shape.units, classes)
        case "mlp":
            return MlpHead(inputs, shape.units, classes)
        case "conv":
            return ConvHead(inputs, shape.units, classes, shape.shrink)


def head_shape(head: nn.Module) -> HeadShape:
    """Return the shape with which `build_head` makes a head like this one."""
    match head:
        case KernelHead():
            return HeadShape("kernel", head.weight.shape[1])
        case MlpHead():
            return HeadShape("mlp", head.hidden.out_features)
        case ConvHead():
            return HeadShape("conv", head.first.out_channels, head.shrink)
        case _:
            return HeadShape()


class Network(nn.Module):
    """Blocks one after the other, global pooling, and a head.

    Pictures are normalised floats (batch, 3, height, width); answers are logits (batch, classes). With `joined` the
    head sees the pooled outputs of all blocks side by side, else that of the last.
    """

    def __init__(
        self,
        blocks: Sequence[nn.Module],
        layout: Literal["nchw", "nhwc", "tokens"],
        channels: Sequence[int],
        classes: int,
        joined: bool = False,
        head: HeadShape | None = None,
    ) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.layout = layout
        self.channels = tuple(channels)
        self.joined = joined
        self.dropout = nn.Dropout(0.0)
        self.head = build_head(head or HeadShape(), self.inputs, classes)
        self.trains_batchnorm = False

    @property
    def inputs(self) -> int:
        """The number of features the head sees."""
        return sum(self.channels) if self.joined else self.channels[-1]

    def forward(self, images: Tensor) -> Tensor:
        seen = self.maps(images) if isinstance(self.head, ConvHead) else self.dropout(self.features(images))
        logits: Tensor = self.head(seen)
        return logits

    def features(self, images: Tensor) -> Tensor:
        """Return what the head sees, (batch, inputs)."""
        if self.joined:
            return torch.cat(self.block_features(images), 1)
        return self.pool(self._last(images))

    def maps(self, images: Tensor) -> Tensor:
        """Return the output of the last block before pooling, (batch, channels, height, width)."""
        values = self._last(images)
        match self.layout:
            case "nchw":
                return values
            case "nhwc":
                return values.permute(0, 3, 1, 2)
            case "tokens":
                side = math.isqrt(values.shape[1] - 1)
                return torch.unflatten(values[:, 1:].transpose(1, 2), 2, (side, side))

    def _last(self, images: Tensor) -> Tensor:
        values = images
        for block in self.blocks:
            values = block(values)
        return values

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
        """Switch dropout; the running statistics of BatchNorm stay the old network's unless `trains_batchnorm`.

        Source: engine measurements of train-mode statistics at small batch sizes swinging by tens of points.
        Blocks that are frozen keep theirs in any case.
        """
        super().train(mode)
        for block in self.blocks:
            learns = self.trains_batchnorm and any(p.requires_grad for p in block.parameters())
            for module in block.modules():
                if isinstance(module, nn.BatchNorm2d) and not learns:
                    module.eval()
        return self


def torchvision_model(spec: BackboneSpec) -> nn.Module:
    """Return torchvision's own network of that row, with fresh weights and without auxiliary heads."""
    options: dict[str, Any] = {}
    if spec.unused:
        options = {"aux_logits": False, "init_weights": False}
    model: nn.Module = torchvision.models.get_model(spec.name, weights=None, **options)
    return model


def build_network(
    spec: BackboneSpec,
    model: nn.Module,
    classes: int,
    cut_after: int | None = None,
    joined: bool = False,
    head: HeadShape | None = None,
) -> Network:
    """Return a network of `model`'s modules, in the row's blocks up to `cut_after` (default: all of them).

    The modules are shared with `model`, not copied. The head is new.
    """
    last = len(spec.blocks) - 1 if cut_after is None else cut_after
    blocks = [
        nn.Sequential(*(module for path in block.modules for module in _modules(model, path)))
        for block in spec.blocks[: last + 1]
    ]
    channels = [block.channels for block in spec.blocks[: last + 1]]
    return Network(blocks, spec.layout, channels, classes, joined, head)


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


def save_model(
    path: Path, network: Network, card: ModelCard, write: Callable[[Path, bytes], None] = write_bytes
) -> None:
    """Write the network and its card as one safetensors file. Raises StudioError."""
    tensors = {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}
    write(path, save_safetensors(tensors, {"tlstudio": msgspec.json.encode(card).decode()}))


def load_model(path: Path, read: Callable[[Path], bytes] = Path.read_bytes) -> tuple[Network, ModelCard]:
    """Return the network, on the CPU and in evaluation mode, and its card. `read` may verify the file.

    Raises StudioError if the file is missing, damaged, of a newer version or not one of ours.
    """
    try:
        content = read(path)
        size = int.from_bytes(content[:8], "little")
        header = from_json(content[8 : 8 + size], dict[str, Any])
        described = header["__metadata__"]["tlstudio"]
        if from_json(described, Versioned).version > CARD_VERSION:
            raise NewerVersion(f"The model {path} was made by a newer version of this app.", "Update the app.")
        card = from_json(described, ModelCard)
        tensors = load_safetensors(content)
        spec = backbone(card.backbone)
        model = torchvision_model(spec)
        network = build_network(spec, model, 1, card.cut_after, card.joined)
        _require_sound(card, network.inputs, tensors)
        network.head = build_head(card.head, network.inputs, len(card.classes))
        network.load_state_dict(tensors)
    except FileNotFoundError as error:
        raise StudioError(
            f"There is no trained model in {path.parent}.", "Train it to the end, or choose another run."
        ) from error
    except (OSError, SafetensorError, msgspec.DecodeError, LookupError, TypeError, RuntimeError) as error:
        raise StudioError(
            f"The model {path} is damaged or was not made by this app.", "Choose another run, or train again."
        ) from error
    return network.eval(), card


def _require_sound(card: ModelCard, inputs: int, tensors: Mapping[str, Tensor]) -> None:
    """Raise LookupError where the file does not hold the head that its card claims, or numbers that are none.

    What the card claims may be of any size, so the head is built without memory first.
    """
    with torch.device("meta"):
        head = build_head(card.head, inputs, len(card.classes))
    if any(tensors[f"head.{name}"].shape != value.shape for name, value in head.state_dict().items()):
        raise LookupError("head")
    if not all(bool(torch.isfinite(value).all()) for value in tensors.values()):
        raise LookupError("finite numbers")
