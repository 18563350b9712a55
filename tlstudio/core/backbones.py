"""The table of backbones: one row an architecture, everything the studio has to know about it.

Block ends, channels and preprocessing are checked against torchvision by a test. Accuracies are top-1 on ImageNet
as published with torchvision's weights.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from tlstudio.core.errors import StudioError
from tlstudio.core.images import Reading

LICENCE = "BSD-3-Clause"
DOWNLOAD_HOST = "https://download.pytorch.org"
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
HALVES = (0.5, 0.5, 0.5)
Side = Annotated[int, Meta(ge=1, le=4096)]
"""Pixels: a file that claims more was made to fill the memory."""
Spread = Annotated[float, Meta(ge=1e-6)]


class BlockSpec(msgspec.Struct, frozen=True):
    """One unit of freezing and cutting: torchvision modules that run one after the other.

    "features.0:4" means children 0 to 3 of `features`. Two words are no modules of torchvision: "relu", and "tokens",
    which turns pictures into a vision transformer's token sequence.
    """

    name: str
    modules: tuple[str, ...]
    channels: int


class Preprocessing(msgspec.Struct, frozen=True):
    """How a picture becomes a tensor: read and framed as `reading` says, divided by 255, normalised.

    With the framing "fill" the short side becomes `resize_px` and the centre `crop_px` is taken.
    """

    resize_px: Side
    crop_px: Side
    interpolation: Literal["bilinear", "bicubic"]
    mean: tuple[float, float, float]
    std: tuple[Spread, Spread, Spread]
    reading: Reading = Reading()


class WeightsSpec(msgspec.Struct, frozen=True):
    """Weights known by name. The file name ends with the first digits of the file's SHA-256."""

    name: str
    file: str
    download_mb: float
    imagenet_top1: float | None
    """None where nobody measured it: the built-in weights have no ImageNet classes."""
    resize_px: int
    crop_px: int
    interpolation: Literal["bilinear", "bicubic"]
    licence: str = LICENCE
    built_in: bool = False
    """Shipped with the app, in resources/backbones; there is nothing to download."""

    @property
    def url(self) -> str:
        return f"{DOWNLOAD_HOST}/models/{self.file}"

    @property
    def sha256_start(self) -> str:
        return self.file.rpartition("-")[2].partition(".")[0]


class BackboneSpec(msgspec.Struct, frozen=True):
    """One architecture of torchvision, cut into blocks. `giga_ops` are multiply-adds a picture, in 10^9."""

    name: str
    title: str
    parameters: int
    giga_ops: float
    blocks: tuple[BlockSpec, ...]
    weights: tuple[WeightsSpec, ...]
    layout: Literal["nchw", "nhwc", "tokens"] = "nchw"
    optimiser: Literal["sgd", "adamw"] = "sgd"
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    unused: tuple[str, ...] = ()
    """Parts of torchvision's files that this studio leaves out (auxiliary heads)."""
    min_input_px: int = 1

    def preprocessing(self, weights_name: str = "", reading: Reading = Reading()) -> Preprocessing:
        """Return how pictures are prepared for the weights of that name (others: as for the first of the row)."""
        chosen = next((known for known in self.weights if known.name == weights_name), self.weights[0])
        return Preprocessing(chosen.resize_px, chosen.crop_px, chosen.interpolation, self.mean, self.std, reading)


# fmt: off
BACKBONES: tuple[BackboneSpec, ...] = (
    BackboneSpec(
        "alexnet", "AlexNet", 61100840, 0.714,
        blocks=(BlockSpec("edges", ("features.0:3",), 64),
                BlockSpec("textures", ("features.3:6",), 192),
                BlockSpec("parts", ("features.6:13",), 256),),
        weights=(WeightsSpec("IMAGENET1K_V1", "alexnet-owt-7be5be79.pth", 233.1, 56.522, 256, 224, "bilinear"),),
        min_input_px=63,
    ),
    BackboneSpec(
        "vgg16", "VGG-16", 138357544, 15.470,
        blocks=(BlockSpec("edges", ("features.0:10",), 128),
                BlockSpec("textures", ("features.10:17",), 256),
                BlockSpec("parts", ("features.17:24",), 512),
                BlockSpec("objects", ("features.24:31",), 512),),
        weights=(WeightsSpec("IMAGENET1K_V1", "vgg16-397923af.pth", 527.8, 71.592, 256, 224, "bilinear"),),
        min_input_px=32,
    ),
    BackboneSpec(
        "squeezenet1_0", "SqueezeNet 1.0", 1248424, 0.819,
        blocks=(BlockSpec("edges", ("features.0:5",), 128),
                BlockSpec("textures", ("features.5:8",), 256),
                BlockSpec("parts", ("features.8:13",), 512),),
        weights=(WeightsSpec("IMAGENET1K_V1", "squeezenet1_0-b66bff10.pth", 4.8, 58.092, 256, 224, "bilinear"),),
        min_input_px=21,
    ),
    BackboneSpec(
        "squeezenet1_1", "SqueezeNet 1.1", 1235496, 0.349,
        blocks=(BlockSpec("edges", ("features.0:5",), 128),
                BlockSpec("textures", ("features.5:8",), 256),
                BlockSpec("parts", ("features.8:13",), 512),),
        weights=(WeightsSpec("IMAGENET1K_V1", "squeezenet1_1-b8a52dc0.pth", 4.7, 58.178, 256, 224, "bilinear"),),
        min_input_px=17,
    ),
    BackboneSpec(
        "resnet18", "ResNet-18", 11689512, 1.814,
        blocks=(BlockSpec("edges", ("conv1", "bn1", "relu", "maxpool", "layer1",), 64),
                BlockSpec("textures", ("layer2",), 128),
                BlockSpec("parts", ("layer3",), 256),
                BlockSpec("objects", ("layer4",), 512),),
        weights=(WeightsSpec("IMAGENET1K_V1", "resnet18-f37072fd.pth", 44.7, 69.758, 256, 224, "bilinear"),),
        min_input_px=1,
    ),
    BackboneSpec(
        "resnet34", "ResNet-34", 21797672, 3.664,
        blocks=(BlockSpec("edges", ("conv1", "bn1", "relu", "maxpool", "layer1",), 64),
                BlockSpec("textures", ("layer2",), 128),
                BlockSpec("parts", ("layer3",), 256),
                BlockSpec("objects", ("layer4",), 512),),
        weights=(WeightsSpec("IMAGENET1K_V1", "resnet34-b627a593.pth", 83.3, 73.314, 256, 224, "bilinear"),),
        min_input_px=1,
    ),
    BackboneSpec(
        "resnet50", "ResNet-50", 25557032, 4.089,
        blocks=(BlockSpec("edges", ("conv1", "bn1", "relu", "maxpool", "layer1",), 256),
                BlockSpec("textures", ("layer2",), 512),
                BlockSpec("parts", ("layer3",), 1024),
                BlockSpec("objects", ("layer4",), 2048),),
        weights=(WeightsSpec("IMAGENET1K_V1", "resnet50-0676ba61.pth", 97.8, 76.13, 256, 224, "bilinear"),
                WeightsSpec("IMAGENET1K_V2", "resnet50-11ad3fa6.pth", 97.8, 80.858, 232, 224, "bilinear"),),
        min_input_px=1,
    ),
    BackboneSpec(
        "densenet121", "DenseNet-121", 7978856, 2.834,
        blocks=(BlockSpec("edges", ("features.conv0", "features.norm0", "features.relu0", "features.pool0", "features.denseblock1",), 256),
                BlockSpec("textures", ("features.transition1", "features.denseblock2",), 512),
                BlockSpec("parts", ("features.transition2", "features.denseblock3",), 1024),
                BlockSpec("objects", ("features.transition3", "features.denseblock4", "features.norm5", "relu",), 1024),),
        weights=(WeightsSpec("IMAGENET1K_V1", "densenet121-a639ec97.pth", 30.8, 74.434, 256, 224, "bilinear"),),
        min_input_px=29,
    ),
    BackboneSpec(
        "densenet161", "DenseNet-161", 28681000, 7.728,
        blocks=(BlockSpec("edges", ("features.conv0", "features.norm0", "features.relu0", "features.pool0", "features.denseblock1",), 384),
                BlockSpec("textures", ("features.transition1", "features.denseblock2",), 768),
                BlockSpec("parts", ("features.transition2", "features.denseblock3",), 2112),
                BlockSpec("objects", ("features.transition3", "features.denseblock4", "features.norm5", "relu",), 2208),),
        weights=(WeightsSpec("IMAGENET1K_V1", "densenet161-8d451a50.pth", 110.4, 77.138, 256, 224, "bilinear"),),
        min_input_px=29,
    ),
    BackboneSpec(
        "googlenet", "GoogLeNet", 6624904, 1.498,
        blocks=(BlockSpec("edges", ("conv1", "maxpool1", "conv2", "conv3",), 192),
                BlockSpec("textures", ("maxpool2", "inception3a", "inception3b",), 480),
                BlockSpec("parts", ("maxpool3", "inception4a", "inception4b", "inception4c", "inception4d", "inception4e",), 832),
                BlockSpec("objects", ("maxpool4", "inception5a", "inception5b",), 1024),),
        weights=(WeightsSpec("IMAGENET1K_V1", "googlenet-1378be20.pth", 49.7, 69.778, 256, 224, "bilinear"),),
        mean=HALVES, std=HALVES, unused=("aux1", "aux2",), min_input_px=15,
    ),
    BackboneSpec(
        "inception_v3", "Inception v3", 27161264, 5.713,
        blocks=(BlockSpec("edges", ("Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3", "maxpool1", "Conv2d_3b_1x1", "Conv2d_4a_3x3", "maxpool2",), 192),
                BlockSpec("textures", ("Mixed_5b", "Mixed_5c", "Mixed_5d",), 288),
                BlockSpec("parts", ("Mixed_6a", "Mixed_6b", "Mixed_6c", "Mixed_6d", "Mixed_6e",), 768),
                BlockSpec("objects", ("Mixed_7a", "Mixed_7b", "Mixed_7c",), 2048),),
        weights=(WeightsSpec("IMAGENET1K_V1", "inception_v3_google-0cc3c7bd.pth", 103.9, 77.294, 342, 299, "bilinear"),),
        mean=HALVES, std=HALVES, unused=("AuxLogits",), min_input_px=75,
    ),
    BackboneSpec(
        "mobilenet_v2", "MobileNetV2", 3504872, 0.301,
        blocks=(BlockSpec("edges", ("features.0:4",), 24),
                BlockSpec("textures", ("features.4:7",), 32),
                BlockSpec("parts", ("features.7:14",), 96),
                BlockSpec("objects", ("features.14:19",), 1280),),
        weights=(WeightsSpec("IMAGENET1K_V1", "mobilenet_v2-b0353104.pth", 13.6, 71.878, 256, 224, "bilinear"),
                WeightsSpec("IMAGENET1K_V2", "mobilenet_v2-7ebf99e0.pth", 13.6, 72.154, 232, 224, "bilinear"),
                WeightsSpec("STUDIO_SMALL", "studio_small-e3dad139.safetensors", 0.0, None, 256, 224, "bilinear",
                            licence="Apache-2.0", built_in=True),),
        min_input_px=1,
    ),
    BackboneSpec(
        "mobilenet_v3_small", "MobileNetV3 small", 2542856, 0.057,
        blocks=(BlockSpec("edges", ("features.0:4",), 24),
                BlockSpec("textures", ("features.4:9",), 48),
                BlockSpec("parts", ("features.9:13",), 576),),
        weights=(WeightsSpec("IMAGENET1K_V1", "mobilenet_v3_small-047dcff4.pth", 9.8, 67.668, 256, 224, "bilinear"),),
        min_input_px=1,
    ),
    BackboneSpec(
        "mobilenet_v3_large", "MobileNetV3 large", 5483032, 0.217,
        blocks=(BlockSpec("edges", ("features.0:4",), 24),
                BlockSpec("textures", ("features.4:7",), 40),
                BlockSpec("parts", ("features.7:13",), 112),
                BlockSpec("objects", ("features.13:17",), 960),),
        weights=(WeightsSpec("IMAGENET1K_V1", "mobilenet_v3_large-8738ca79.pth", 21.1, 74.042, 256, 224, "bilinear"),
                WeightsSpec("IMAGENET1K_V2", "mobilenet_v3_large-5c1a4163.pth", 21.1, 75.274, 232, 224, "bilinear"),),
        min_input_px=1,
    ),
    BackboneSpec(
        "efficientnet_b0", "EfficientNet-B0", 5288548, 0.386,
        blocks=(BlockSpec("edges", ("features.0:3",), 24),
                BlockSpec("textures", ("features.3:4",), 40),
                BlockSpec("parts", ("features.4:6",), 112),
                BlockSpec("objects", ("features.6:9",), 1280),),
        weights=(WeightsSpec("IMAGENET1K_V1", "efficientnet_b0_rwightman-7f5810bc.pth", 20.5, 77.692, 256, 224, "bicubic"),),
        min_input_px=1,
    ),
    BackboneSpec(
        "efficientnet_v2_s", "EfficientNetV2-S", 21458488, 8.366,
        blocks=(BlockSpec("edges", ("features.0:3",), 48),
                BlockSpec("textures", ("features.3:4",), 64),
                BlockSpec("parts", ("features.4:6",), 160),
                BlockSpec("objects", ("features.6:8",), 1280),),
        weights=(WeightsSpec("IMAGENET1K_V1", "efficientnet_v2_s-dd5fe13b.pth", 82.7, 84.228, 384, 384, "bilinear"),),
        min_input_px=33,
    ),
    BackboneSpec(
        "regnet_y_800mf", "RegNetY 800MF", 6432512, 0.834,
        blocks=(BlockSpec("edges", ("stem", "trunk_output.block1",), 64),
                BlockSpec("textures", ("trunk_output.block2",), 144),
                BlockSpec("parts", ("trunk_output.block3",), 320),
                BlockSpec("objects", ("trunk_output.block4",), 784),),
        weights=(WeightsSpec("IMAGENET1K_V1", "regnet_y_800mf-1b27b58c.pth", 24.8, 76.42, 256, 224, "bilinear"),
                WeightsSpec("IMAGENET1K_V2", "regnet_y_800mf-58fc7688.pth", 24.8, 78.828, 232, 224, "bilinear"),),
        min_input_px=1,
    ),
    BackboneSpec(
        "shufflenet_v2_x1_0", "ShuffleNetV2", 2278604, 0.145,
        blocks=(BlockSpec("edges", ("conv1", "maxpool", "stage2",), 116),
                BlockSpec("textures", ("stage3",), 232),
                BlockSpec("parts", ("stage4",), 464),
                BlockSpec("objects", ("conv5",), 1024),),
        weights=(WeightsSpec("IMAGENET1K_V1", "shufflenetv2_x1-5666bf0f80.pth", 8.8, 69.362, 256, 224, "bilinear"),),
        min_input_px=1,
    ),
    BackboneSpec(
        "convnext_tiny", "ConvNeXt tiny", 28589128, 4.456,
        blocks=(BlockSpec("edges", ("features.0:2",), 96),
                BlockSpec("textures", ("features.2:4",), 192),
                BlockSpec("parts", ("features.4:6",), 384),
                BlockSpec("objects", ("features.6:8",), 768),),
        weights=(WeightsSpec("IMAGENET1K_V1", "convnext_tiny-983f1562.pth", 109.1, 82.52, 236, 224, "bilinear"),),
        optimiser="adamw", min_input_px=32,
    ),
    BackboneSpec(
        "swin_t", "Swin tiny", 28288354, 4.491,
        blocks=(BlockSpec("edges", ("features.0:2",), 96),
                BlockSpec("textures", ("features.2:4",), 192),
                BlockSpec("parts", ("features.4:6",), 384),
                BlockSpec("objects", ("features.6:8", "norm",), 768),),
        weights=(WeightsSpec("IMAGENET1K_V1", "swin_t-704ceda3.pth", 108.2, 81.474, 232, 224, "bicubic"),),
        layout="nhwc", optimiser="adamw", min_input_px=224,
    ),
    BackboneSpec(
        "vit_b_16", "ViT-B/16", 86567656, 17.564,
        blocks=(BlockSpec("edges", ("tokens", "encoder.layers.0:3",), 768),
                BlockSpec("textures", ("encoder.layers.3:6",), 768),
                BlockSpec("parts", ("encoder.layers.6:9",), 768),
                BlockSpec("objects", ("encoder.layers.9:12", "encoder.ln",), 768),),
        weights=(WeightsSpec("IMAGENET1K_V1", "vit_b_16-c867db91.pth", 330.3, 81.072, 256, 224, "bilinear"),),
        layout="tokens", optimiser="adamw", min_input_px=224,
    ),
)
# fmt: on

_BY_NAME = {spec.name: spec for spec in BACKBONES}


def backbone(name: str) -> BackboneSpec:
    """Return the row of that name. Raises StudioError if there is none."""
    try:
        return _BY_NAME[name]
    except KeyError:
        raise StudioError(f"There is no backbone “{name}”.", f"Choose one of: {', '.join(_BY_NAME)}.") from None
