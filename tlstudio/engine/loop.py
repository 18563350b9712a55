"""Training by gradient descent: one stage, from the state the network is in to the best state seen."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager

import msgspec
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tlstudio.core.events import BatchEnded, Emit, EpochEnded, Notice, ShouldStop, Stopped
from tlstudio.core.plan import EVALUATIONS_PER_RUN, Execution, Plan, Stage
from tlstudio.engine.checkpoint import Counters, Part, below
from tlstudio.engine.data import ImageStore, Normaliser, random_view
from tlstudio.engine.networks import Network, snapshot
from tlstudio.engine.run_log import is_logged_batch

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

    def step(self, images: Tensor, targets: np.ndarray, rng: np.random.Generator) -> Tensor:
        """Learn from uint8 pictures (batch, 3, height, width); return (2,): summed loss and correct answers."""
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
        sums = torch.zeros(2, device=self.device)
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
            sums[0] += loss.detach()
            sums[1] += (logits.detach().argmax(1) == own).sum()
        nn.utils.clip_grad_norm_(self.network.parameters(), MAX_GRADIENT_NORM)
        self.optimiser.step()
        self.done += 1
        if self.average is not None:
            # Early on a long memory would mostly remember the start.
            decay = min(self.stage.average_decay, self.done / (self.done + 9))
            self.average = interpolate(self.average, snapshot(self.network), 1 - decay)
        return sums

    def tensors(self) -> dict[str, Tensor]:
        """Return copies of the weights, the optimiser's memory and the running mean."""
        found = {f"network.{name}": value for name, value in snapshot(self.network).items()}
        for group, number, parameter in self._parameters():
            for name, value in self.optimiser.state.get(parameter, {}).items():
                if isinstance(value, Tensor):
                    found[f"optimiser.{group}.{number}.{name}"] = value.detach().clone()
        if self.average is not None:
            found |= {f"average.{name}": value.clone() for name, value in self.average.items()}
        return found

    def restore(self, done: int, tensors: Mapping[str, Tensor]) -> None:
        """Go on after `done` steps from what `tensors` returned."""
        self.done = done
        placed = {name: value.to(self.device) for name, value in tensors.items()}
        self.network.load_state_dict(below(placed, "network."))
        for group, number, parameter in self._parameters():
            if memory := below(placed, f"optimiser.{group}.{number}."):
                # AdamW counts its steps on the CPU.
                self.optimiser.state[parameter] = {
                    name: tensors[f"optimiser.{group}.{number}.step"] if name == "step" else value
                    for name, value in memory.items()
                }
        if self.average is not None:
            self.average = below(placed, "average.")

    def _parameters(self) -> Iterator[tuple[int, int, nn.Parameter]]:
        for group, options in enumerate(self.optimiser.param_groups):
            for number, parameter in enumerate(options["params"]):
                yield group, number, parameter

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


class GradientStage:
    """One stage of gradient descent, which can be left after any step and gone on with from there.

    All chance depends on the seed, the epoch and the step alone: a stage that was interrupted ends with the very
    weights it would have had. `positions` are the pictures to learn from; `targets` (all pictures,) are class numbers
    by position; `judge` may raise Stopped; `keep` is called after every step, with True at ends of
    epochs and where a stop ends the stage.
    """

    def __init__(
        self,
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
        keep: Callable[[GradientStage, bool], None] = lambda stage, pressing: None,
    ) -> None:
        self.network, self.stage, self.plan = network, stage, plan
        self._store, self._positions, self._targets = store, np.asarray(positions), targets
        self._judge, self._tell, self._should_stop, self._keep = judge, tell, should_stop, keep
        network.set_trainable(stage.trainable_from)
        network.trains_batchnorm = stage.train_batchnorm
        network.dropout.p = stage.dropout
        self._batches = math.ceil(len(positions) / plan.batch_size)
        self._descent = _Descent(network, stage, plan.execution, normalise, self._batches * stage.epochs)
        self._evaluate_every = math.ceil(stage.epochs / EVALUATIONS_PER_RUN)
        self._epoch, self._batch = 1, 0
        self._sums = torch.zeros(2, device=self._descent.device)
        """Of the epoch so far: the loss and the correct answers."""
        self._without_gain = 0
        self._best: Best | None = None
        self._told_at = float("-inf")

    def run(self) -> Best:
        """Train to the end, or until stopped, and return the best state, which may be the one at the start.

        The network ends in evaluation mode and in its last state, not its best.
        """
        self.network.eval()
        try:
            if self._best is None:
                self._best = Best(snapshot(self.network), 0, self._judge().choice_loss)
            self._begun, self._begun_steps = time.monotonic(), self._descent.done
            while self._epoch <= self.stage.epochs and not self._has_settled():
                self._train_epoch()
                self._judge_epoch()
                self._keep(self, True)
        except Stopped:
            if self._best is not None:
                self._keep(self, True)
        except _OutOfBounds:
            self._tell(
                Notice(
                    code="diverged",
                    what="Training ran out of bounds and was ended.",
                    hint="The best state before it is kept. Fewer epochs or other pictures may help.",
                )
            )
        self.network.eval()
        return self._best or Best(snapshot(self.network), 0, math.inf)

    def state(self) -> tuple[Counters, dict[str, Part]]:
        """Return where the stage is and copies of its tensors: all that going on from this moment takes."""
        assert self._best is not None
        loss_sum, correct = self._sums.tolist()
        counters = Counters(
            epoch=self._epoch,
            batch=self._batch,
            steps=self._descent.done,
            loss_sum=loss_sum,
            correct=correct,
            best_epoch=self._best.epoch,
            best_loss=self._best.choice_loss,
            without_gain=self._without_gain,
        )
        return counters, {
            "step": Part(f"{counters.steps:08}", self._descent.tensors()),
            "best": Part(f"{counters.best_epoch:06}", self._best.weights),
        }

    def restore(self, counters: Counters, tensors: Mapping[str, Mapping[str, Tensor]]) -> None:
        """Go on from what `state` returned."""
        self._epoch, self._batch, self._without_gain = counters.epoch, counters.batch, counters.without_gain
        self._sums.copy_(torch.tensor([counters.loss_sum, counters.correct]))
        best = {name: value.to(self._descent.device) for name, value in tensors["best"].items()}
        self._best = Best(best, counters.best_epoch, counters.best_loss)
        self._descent.restore(counters.steps, tensors["step"])

    def _has_settled(self) -> bool:
        """Tell whether so many judgements brought no gain that the stage ends."""
        progress = self._descent.done / self._descent.steps
        return self._without_gain >= self.stage.patience and progress > self.stage.warmup

    def _train_epoch(self) -> None:
        """Train for the rest of the epoch. Raises Stopped, _OutOfBounds."""
        seed, size = self.plan.seed, self.plan.batch_size
        order = np.random.default_rng((seed, self._epoch)).permutation(self._positions).tolist()
        view = random_view(self._store, self.plan.augmentation, seed, self._epoch)
        self.network.train()
        self._epoch_begun, self._epoch_begun_batch = time.monotonic(), self._batch
        for images in self._store.batches(order[self._batch * size :], size, view):
            rng = np.random.default_rng((seed, self._epoch, self._batch))
            torch.manual_seed(int(rng.integers(2**63)))  # what dropout and its like draw from
            targets = self._targets[order[self._batch * size :][: len(images)]]
            sums = self._descent.step(images, targets, rng)
            self._sums += sums
            self._batch += 1
            self._tell_batch(sums, len(images))
            if self._batch < self._batches:  # the end of an epoch is kept once it has been judged
                self._keep(self, False)
            if self._should_stop():
                raise Stopped

    def _tell_batch(self, sums: Tensor, images: int) -> None:
        now = time.monotonic()
        if now - self._told_at < BATCH_EVENT_INTERVAL_S and not is_logged_batch(self._batch, self._batches):
            return
        self._told_at = now
        loss = float(sums[0]) / images
        if not math.isfinite(loss):
            raise _OutOfBounds
        self._tell(
            BatchEnded(
                stage=self.stage.name,
                epoch=self._epoch,
                batch=self._batch,
                batches=self._batches,
                loss=loss,
                images_per_second=self._images_per_second(),
                seconds_left=self._seconds_left(),
            )
        )

    def _judge_epoch(self) -> None:
        """Judge the network as the plan wants it, tell, and turn to the next epoch. Raises Stopped, _OutOfBounds."""
        assert self._best is not None
        loss_sum, correct = self._sums.tolist()
        if not math.isfinite(loss_sum):
            raise _OutOfBounds
        speed = self._images_per_second()
        judgement = None
        if self._epoch % self._evaluate_every == 0 or self._epoch == self.stage.epochs:
            with self._descent.judged_state():
                judgement = self._judge()
                if judgement.choice_loss < self._best.choice_loss:
                    self._best = Best(snapshot(self.network), self._epoch, judgement.choice_loss)
                    self._without_gain = 0
                else:
                    self._without_gain += 1
        head_lr = self.stage.head_lr * schedule(self._descent.done / self._descent.steps, self.stage.warmup)
        self._tell(
            EpochEnded(
                stage=self.stage.name,
                epoch=self._epoch,
                epochs=self.stage.epochs,
                train_loss=loss_sum / len(self._positions),
                train_accuracy=correct / len(self._positions),
                val_loss=judgement.val_loss if judgement else None,
                val_accuracy=judgement.val_accuracy if judgement else None,
                head_lr=head_lr,
                body_lr=head_lr / self.stage.body_lr_span,
                images_per_second=speed,
                seconds_left=self._seconds_left(),
                best=self._best.epoch == self._epoch,
            )
        )
        self._epoch, self._batch = self._epoch + 1, 0
        self._sums.zero_()

    def _images_per_second(self) -> float:
        images = min(self._batch * self.plan.batch_size, len(self._positions))
        images -= self._epoch_begun_batch * self.plan.batch_size
        return images / max(time.monotonic() - self._epoch_begun, 1e-9)

    def _seconds_left(self) -> float:
        done = self._descent.done - self._begun_steps
        return (time.monotonic() - self._begun) / max(done, 1) * (self._descent.steps - self._descent.done)


class _OutOfBounds(Exception):
    """A loss is no number any more."""


def interpolate(start: dict[str, Tensor], end: dict[str, Tensor], share: float) -> dict[str, Tensor]:
    """Return the weights that lie `share` of the way from `start` to `end`; counters are the end's.

    Source: Wortsman et al. 2022, "Robust fine-tuning of zero-shot models", section 3.
    """
    return {
        name: torch.lerp(start[name], value, share) if value.is_floating_point() else value
        for name, value in end.items()
    }
