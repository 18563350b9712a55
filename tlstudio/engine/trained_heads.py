"""Heads that gradient descent trains on what the frozen network says of every picture, kept in memory."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tlstudio.core.errors import StudioError
from tlstudio.core.events import Emit, ShouldStop
from tlstudio.core.progress import Pace
from tlstudio.core.split import hold_out
from tlstudio.engine.calibration import fit_temperature, negative_log_likelihood
from tlstudio.engine.heads import FLAT_COLUMN, FittedHead, Standardiser
from tlstudio.engine.networks import ConvHead, MlpHead

H = TypeVar("H", bound=nn.Module)
TINY = 1e-12
UNITS = 128
CONV_UNITS = 64
MAP_SIDE = 14
"""Maps are averaged down to this side, at most."""
MAPS_BUDGET_BYTES = 2 * 2**30
CHOICE_FRACTION = 0.2
BATCH_SIZE = 64
MAX_EPOCHS = 120
PATIENCE = 15
LEARNING_RATE = 1e-3
WEIGHT_DECAY = 1e-2


def fit_mlp(
    features: np.ndarray,
    targets: np.ndarray,
    groups: Sequence[str],
    classes: int,
    seed: int,
    emit: Emit,
    should_stop: ShouldStop,
    block_channels: Sequence[int] = (),
) -> FittedHead:
    """Return a head with one hidden layer on features (images, features); the last epochs' number is chosen inside."""
    standardise = Standardiser(features, block_channels)

    def make() -> MlpHead:
        head = MlpHead(features.shape[1], UNITS, classes)
        head.mean.copy_(torch.from_numpy(standardise.mean))
        head.scale.copy_(torch.from_numpy(standardise.scale))
        return head

    return _fit(make, _call, torch.from_numpy(features), targets, groups, seed, emit, should_stop)


def fit_conv(
    maps: np.ndarray,
    targets: np.ndarray,
    groups: Sequence[str],
    classes: int,
    seed: int,
    emit: Emit,
    should_stop: ShouldStop,
    shrink: int,
) -> FittedHead:
    """Return a small convolutional head on maps (images, channels, height, width) averaged by `shrink` already."""
    inputs = torch.from_numpy(maps)
    mean, std = inputs.mean((0, 2, 3)), inputs.std((0, 2, 3))

    def make() -> ConvHead:
        head = ConvHead(inputs.shape[1], CONV_UNITS, classes, shrink)
        head.mean.copy_(mean[:, None, None])
        head.scale.copy_((std + FLAT_COLUMN * std.mean() + TINY)[:, None, None])
        return head

    return _fit(make, ConvHead.after_shrinking, inputs, targets, groups, seed, emit, should_stop)


def shrink_for(side: int) -> int:
    """Return by what factor maps of that side are averaged before a convolutional head sees them."""
    return max(1, side // MAP_SIDE)


def require_room(images: int, channels: int, side: int) -> None:
    """Raise StudioError if the maps of so many pictures do not fit into memory."""
    needed = images * channels * (side // shrink_for(side)) ** 2 * 4
    if needed > MAPS_BUDGET_BYTES:
        raise StudioError(
            f"A convolutional head would need {needed / 2**30:.1f} GB of memory for {images:,} pictures.",
            "Choose a head of another kind, such as “mlp”, or cut the network at another block.",
        )


def _call(head: MlpHead, inputs: Tensor) -> Tensor:
    logits: Tensor = head(inputs)
    return logits


def _fit(
    make: Callable[[], H],
    answer: Callable[[H, Tensor], Tensor],
    inputs: Tensor,
    targets: np.ndarray,
    groups: Sequence[str],
    seed: int,
    emit: Emit,
    should_stop: ShouldStop,
) -> FittedHead:
    """Find the number of epochs on a held-out fifth, then train for so long on all; a stop ends either early."""
    stay, out = hold_out(targets.tolist(), groups, CHOICE_FRACTION, seed)
    best_epochs, best_loss = MAX_EPOCHS // 4, float("inf")
    best_logits = np.zeros((0, 0))
    pace = Pace(emit, "Training the new head", MAX_EPOCHS)
    if out:
        head = best_head = _begin(make, seed)
        epochs = _epochs(head, answer, inputs, targets, np.array(stay), seed)
        for epoch in range(1, MAX_EPOCHS + 1):
            next(epochs)
            with torch.inference_mode():
                logits = answer(head.eval(), inputs[out]).numpy()
            loss = negative_log_likelihood(logits, targets[out])
            pace.step(epoch)
            if loss < best_loss:
                best_epochs, best_loss, best_logits = epoch, loss, logits
                best_head = copy.deepcopy(head)
            elif epoch - best_epochs >= PATIENCE:
                break
            if should_stop():  # there is no time to learn from all pictures: this one knows four fifths of them
                temperature = fit_temperature(best_logits, targets[out])
                return FittedHead(best_head.eval(), LEARNING_RATE, temperature, best_loss)
    head = _begin(make, seed)
    epochs = _epochs(head, answer, inputs, targets, np.arange(len(targets)), seed)
    for _ in range(best_epochs):
        next(epochs)
        if should_stop():
            break
    temperature = fit_temperature(best_logits, targets[out]) if out else 1.0
    return FittedHead(head.eval(), LEARNING_RATE, temperature, best_loss)


def _begin(make: Callable[[], H], seed: int) -> H:
    torch.manual_seed(seed)
    with torch.no_grad():
        return make()


def _epochs(
    head: H,
    answer: Callable[[H, Tensor], Tensor],
    inputs: Tensor,
    targets: np.ndarray,
    positions: np.ndarray,
    seed: int,
) -> Iterator[None]:
    """Train for one more epoch each time the next one is asked for."""
    optimiser = torch.optim.AdamW(head.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    wanted = torch.from_numpy(targets)
    rng = np.random.default_rng(seed)
    while True:
        head.train()
        order = torch.from_numpy(rng.permutation(positions))
        for chosen in torch.split(order, BATCH_SIZE):
            loss = F.cross_entropy(answer(head, inputs[chosen]), wanted[chosen])
            optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
        yield
