"""Training by gradient descent: one stage, from the state the network is in to the best state seen."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence

import msgspec
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tlstudio.core.events import BatchEnded, Emit, EpochEnded, Notice, ShouldStop, Stopped
from tlstudio.core.plan import EVALUATIONS_PER_RUN, Plan, Stage
from tlstudio.engine.data import ImageStore, Normaliser, random_view
from tlstudio.engine.networks import Network, snapshot

BATCH_EVENT_INTERVAL_S = 0.05
MAX_GRADIENT_NORM = 1.0


class Judgement(msgspec.Struct, frozen=True):
    """How the network does now: `choice_loss` picks the best state, the val figures are only shown."""

    choice_loss: float
    val_loss: float
    val_accuracy: float


class Best(msgspec.Struct, frozen=True):
    """The best state of a stage: a copy of the weights, its epoch (0: the start) and its choice loss."""

    weights: dict[str, Tensor]
    epoch: int
    choice_loss: float


def parameter_groups(network: Network, stage: Stage) -> list[dict[str, object]]:
    """Return optimiser groups that hold every trainable parameter exactly once.

    The head learns at `head_lr`; rates fall geometrically from block to block to `head_lr / body_lr_span` at the
    first one. Biases and norms carry no penalty.
    """
    count = len(network.blocks)
    rated: list[tuple[nn.Module, float]] = [(network.head, stage.head_lr)]
    rated += [
        (block, stage.head_lr * stage.body_lr_span ** (-(count - number) / count))
        for number, block in enumerate(network.blocks)
    ]
    groups: list[dict[str, object]] = []
    for module, rate in rated:
        trainable = [p for p in module.parameters() if p.requires_grad]
        for decayed in (True, False):
            chosen = [p for p in trainable if (p.ndim > 1) == decayed]
            if chosen:
                decay = stage.weight_decay if decayed else 0.0
                groups.append({"params": chosen, "lr": rate, "peak_lr": rate, "weight_decay": decay})
    return groups


def schedule(progress: float, warmup: float) -> float:
    """Return the share of the peak rate at `progress` (0..1): a linear warm-up, then a cosine to zero."""
    if progress < warmup:
        return progress / warmup
    return 0.5 + 0.5 * math.cos(math.pi * (progress - warmup) / (1 - warmup))


def train_stage(
    network: Network,
    stage: Stage,
    plan: Plan,
    store: ImageStore,
    normalise: Normaliser,
    positions: Sequence[int],
    targets: np.ndarray,
    judge: Callable[[], Judgement],
    tell: Emit,
    should_stop: ShouldStop,
) -> Best:
    """Train on the pictures at `positions` and return the best state, which may be the one at the start.

    `targets` (all pictures,) are class numbers by position; `judge` may raise Stopped. The network ends in
    evaluation mode and in its last state, not its best.
    """
    network.set_trainable(stage.trainable_from)
    groups = parameter_groups(network, stage)
    optimiser: torch.optim.Optimizer
    if stage.optimiser == "sgd":
        optimiser = torch.optim.SGD(groups, lr=stage.head_lr, momentum=0.9, nesterov=True)
    else:
        optimiser = torch.optim.AdamW(groups, lr=stage.head_lr)
    batches = math.ceil(len(positions) / plan.batch_size)
    steps = batches * stage.epochs
    evaluate_every = math.ceil(stage.epochs / EVALUATIONS_PER_RUN)
    network.eval()
    try:
        best = Best(snapshot(network), 0, judge().choice_loss)
    except Stopped:
        return Best(snapshot(network), 0, math.inf)
    without_gain = 0
    started = time.monotonic()
    last_event = float("-inf")
    step = 0
    for epoch in range(1, stage.epochs + 1):
        torch.manual_seed(plan.seed * 1_000_003 + epoch)
        order = np.random.default_rng((plan.seed, epoch)).permutation(np.asarray(positions)).tolist()
        network.train()
        loss_sum = torch.zeros((), device=network.head.weight.device)
        correct = torch.zeros((), device=network.head.weight.device)
        seen, stopped = 0, False
        epoch_started = time.monotonic()
        view = random_view(store, plan.augmentation, plan.seed, epoch)
        for number, images in enumerate(store.batches(order, plan.batch_size, view), 1):
            share = schedule((step + 0.5) / steps, stage.warmup)
            for group in optimiser.param_groups:
                group["lr"] = group["peak_lr"] * share
            wanted = torch.from_numpy(targets[order[seen : seen + len(images)]]).to(loss_sum.device)
            logits = network(normalise(images))
            loss = F.cross_entropy(logits, wanted)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(network.parameters(), MAX_GRADIENT_NORM)
            optimiser.step()
            loss_sum += loss.detach() * len(images)
            correct += (logits.detach().argmax(1) == wanted).sum()
            seen += len(images)
            step += 1
            now = time.monotonic()
            if now - last_event >= BATCH_EVENT_INTERVAL_S:
                last_event = now
                value = float(loss.detach())
                if not math.isfinite(value):
                    break
                tell(
                    BatchEnded(
                        stage=stage.name,
                        epoch=epoch,
                        batch=number,
                        batches=batches,
                        loss=value,
                        images_per_second=seen / (now - epoch_started),
                        seconds_left=(now - started) / step * (steps - step),
                    )
                )
            if stopped := should_stop():
                break
        network.eval()
        if stopped:
            return best
        speed = seen / (time.monotonic() - epoch_started)
        train_loss = float(loss_sum) / seen
        if not math.isfinite(train_loss):
            tell(
                Notice(
                    code="diverged",
                    what="Training ran out of bounds and was ended.",
                    hint="The best state before it is kept. Fewer epochs or other pictures may help.",
                )
            )
            return best
        judgement = None
        if epoch % evaluate_every == 0 or epoch == stage.epochs:
            try:
                judgement = judge()
            except Stopped:
                return best
            if judgement.choice_loss < best.choice_loss:
                best = Best(snapshot(network), epoch, judgement.choice_loss)
                without_gain = 0
            else:
                without_gain += 1
        tell(
            EpochEnded(
                stage=stage.name,
                epoch=epoch,
                epochs=stage.epochs,
                train_loss=train_loss,
                train_accuracy=float(correct) / seen,
                val_loss=judgement.val_loss if judgement else None,
                val_accuracy=judgement.val_accuracy if judgement else None,
                head_lr=stage.head_lr * schedule(step / steps, stage.warmup),
                body_lr=stage.head_lr / stage.body_lr_span * schedule(step / steps, stage.warmup),
                images_per_second=speed,
                seconds_left=(time.monotonic() - started) / step * (steps - step),
                best=best.epoch == epoch,
            )
        )
        if without_gain >= stage.patience and step / steps > stage.warmup:
            break
    return best


def interpolate(start: dict[str, Tensor], end: dict[str, Tensor], share: float) -> dict[str, Tensor]:
    """Return the weights that lie `share` of the way from `start` to `end`; counters are the end's.

    Source: Wortsman et al. 2022, "Robust fine-tuning of zero-shot models", section 3.
    """
    return {
        name: torch.lerp(start[name], value, share) if value.is_floating_point() else value
        for name, value in end.items()
    }
