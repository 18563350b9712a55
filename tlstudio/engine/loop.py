"""Training by gradient descent: one stage, from the state the network is in to the best state seen."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager

import msgspec
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tlstudio.core.events import BatchEnded, Emit, EpochEnded, Notice, ShouldStop, Stopped
from tlstudio.core.plan import EVALUATIONS_PER_RUN, Execution, Plan, Stage
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


class _Descent:
    """The optimiser of one stage and its single step."""

    def __init__(self, network: Network, stage: Stage, execution: Execution, normalise: Normaliser, steps: int) -> None:
        self.network, self.stage, self.execution, self.normalise = network, stage, execution, normalise
        self.steps, self.done = steps, 0
        self.device = next(network.parameters()).device
        groups = parameter_groups(network, stage)
        self.optimiser: torch.optim.Optimizer
        if stage.optimiser == "sgd":
            self.optimiser = torch.optim.SGD(groups, lr=stage.head_lr, momentum=0.9, nesterov=True)
        else:
            self.optimiser = torch.optim.AdamW(groups, lr=stage.head_lr)
        self.average = snapshot(network) if stage.average_decay else None

    def step(self, images: Tensor, targets: np.ndarray, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Learn from uint8 pictures (batch, 3, height, width); return the summed loss and the correct answers."""
        share = schedule((self.done + 0.5) / self.steps, self.stage.warmup)
        for group in self.optimiser.param_groups:
            group["lr"] = group["peak_lr"] * share
        wanted = torch.from_numpy(targets).to(self.device)
        inputs = self.normalise(images)
        order, kept = torch.arange(len(wanted), device=self.device), 1.0
        if self.stage.mixup:
            order = torch.from_numpy(rng.permutation(len(wanted))).to(self.device)
            kept = float(rng.beta(self.stage.mixup, self.stage.mixup))
            inputs = torch.lerp(inputs[order], inputs, kept)
        self.optimiser.zero_grad(set_to_none=True)
        loss_sum = torch.zeros((), device=self.device)
        correct = torch.zeros((), device=self.device)
        size = self.execution.micro_batch or len(wanted)
        if self.stage.train_batchnorm:  # the statistics are those of the whole batch
            size = len(wanted)
        parts = (torch.split(whole, size) for whole in (inputs, wanted, wanted[order]))
        for part, own, other in zip(*parts, strict=True):
            with autocast(self.execution, self.device):
                logits = self.network(part).float()
            smoothing = self.stage.label_smoothing
            loss = kept * F.cross_entropy(logits, own, reduction="sum", label_smoothing=smoothing)
            if kept < 1:
                loss = loss + (1 - kept) * F.cross_entropy(logits, other, reduction="sum", label_smoothing=smoothing)
            (loss / len(wanted)).backward()  # type: ignore[no-untyped-call]
            loss_sum += loss.detach()
            correct += (logits.detach().argmax(1) == own).sum()
        nn.utils.clip_grad_norm_(self.network.parameters(), MAX_GRADIENT_NORM)
        self.optimiser.step()
        self.done += 1
        if self.average is not None:
            # Early on a long memory would mostly remember the start.
            decay = min(self.stage.average_decay, self.done / (self.done + 9))
            self.average = interpolate(self.average, snapshot(self.network), 1 - decay)
        return loss_sum, correct

    @contextmanager
    def judged_state(self) -> Iterator[None]:
        """Put the averaged weights into the network, if there are any, for as long as it is judged and copied."""
        self.network.eval()
        if self.average is None:
            yield
            return
        own = snapshot(self.network)
        self.network.load_state_dict(self.average)
        try:
            yield
        finally:
            self.network.load_state_dict(own)


def autocast(execution: Execution, device: torch.device) -> AbstractContextManager[object]:
    """Return the context in which a network trains in the plan's precision."""
    return torch.autocast(device.type, torch.bfloat16, enabled=execution.precision == "bfloat16")


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
    network.trains_batchnorm = stage.train_batchnorm
    network.dropout.p = stage.dropout
    batches = math.ceil(len(positions) / plan.batch_size)
    descent = _Descent(network, stage, plan.execution, normalise, batches * stage.epochs)
    evaluate_every = math.ceil(stage.epochs / EVALUATIONS_PER_RUN)
    network.eval()
    try:
        best = Best(snapshot(network), 0, judge().choice_loss)
    except Stopped:
        return Best(snapshot(network), 0, math.inf)
    without_gain = 0
    started = time.monotonic()
    last_event = float("-inf")
    for epoch in range(1, stage.epochs + 1):
        torch.manual_seed(plan.seed * 1_000_003 + epoch)
        rng = np.random.default_rng((plan.seed, epoch))
        order = rng.permutation(np.asarray(positions)).tolist()
        network.train()
        loss_sum = torch.zeros((), device=descent.device)
        correct = torch.zeros((), device=descent.device)
        seen = 0
        epoch_started = time.monotonic()
        view = random_view(store, plan.augmentation, plan.seed, epoch)
        for number, images in enumerate(store.batches(order, plan.batch_size, view), 1):
            batch_loss, batch_correct = descent.step(images, targets[order[seen : seen + len(images)]], rng)
            loss_sum += batch_loss
            correct += batch_correct
            seen += len(images)
            now = time.monotonic()
            if now - last_event >= BATCH_EVENT_INTERVAL_S:
                last_event = now
                value = float(batch_loss) / len(images)
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
                        seconds_left=(now - started) / descent.done * (descent.steps - descent.done),
                    )
                )
            if should_stop():
                network.eval()
                return best
        speed = seen / (time.monotonic() - epoch_started)
        train_loss = float(loss_sum) / seen
        if not math.isfinite(train_loss):
            network.eval()
            tell(
                Notice(
                    code="diverged",
                    what="Training ran out of bounds and was ended.",
                    hint="The best state before it is kept. Fewer epochs or other pictures may help.",
                )
            )
            return best
        judgement = None
        with descent.judged_state():
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
        progress = descent.done / descent.steps
        head_lr = stage.head_lr * schedule(progress, stage.warmup)
        tell(
            EpochEnded(
                stage=stage.name,
                epoch=epoch,
                epochs=stage.epochs,
                train_loss=train_loss,
                train_accuracy=float(correct) / seen,
                val_loss=judgement.val_loss if judgement else None,
                val_accuracy=judgement.val_accuracy if judgement else None,
                head_lr=head_lr,
                body_lr=head_lr / stage.body_lr_span,
                images_per_second=speed,
                seconds_left=(time.monotonic() - started) / descent.done * (descent.steps - descent.done),
                best=best.epoch == epoch,
            )
        )
        if without_gain >= stage.patience and progress > stage.warmup:
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
