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

from tlstudio.core.errors import StudioError
from tlstudio.core.events import BatchEnded, Emit, EpochEnded, Notice, Progress, ShouldStop, Stopped
from tlstudio.core.plan import EVALUATIONS_PER_RUN, Execution, Plan, Stage
from tlstudio.engine.awake import SleepWatch
from tlstudio.engine.checkpoint import Counters, Part, below
from tlstudio.engine.data import ImageStore, Normaliser, random_view
from tlstudio.engine.devices import require_working
from tlstudio.engine.faults import out_of_memory, unless_out_of_memory
from tlstudio.engine.networks import Network, snapshot
from tlstudio.engine.run_log import is_logged_batch

BATCH_EVENT_INTERVAL_S = 0.05
MAX_GRADIENT_NORM = 1.0
GENTLER = 0.1
"""What a training that ran out of bounds goes on with of its learning rates."""


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
    """The optimiser of one stage and its single step: `gradients`, which can be undone, and then `apply`."""

    def __init__(
        self,
        network: Network,
        stage: Stage,
        execution: Execution,
        normalise: Normaliser,
        batch_size: int,
        steps: int,
    ) -> None:
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
        self.gentler = 0
        """How often the learning rates were lowered by GENTLER."""
        # Where statistics learn they are those of the whole batch, as long as the memory holds it.
        self.pass_size = batch_size if stage.train_batchnorm else execution.micro_batch or batch_size
        """Pictures that go through the network at a time."""
        self._statistics: list[Tensor] = []

    def rate(self, peak: float, progress: float) -> float:
        """Return the learning rate at `progress` (0..1) of the stage."""
        return peak * schedule(progress, self.stage.warmup) * GENTLER**self.gentler

    def gradients(self, images: Tensor, targets: np.ndarray, rng: np.random.Generator) -> Tensor:
        """Find the gradients for uint8 pictures (batch, 3, height, width).

        Return (2,): summed loss and correct answers. The loss is no number if the gradients are none. `undo` puts
        everything back as it was, also where this raised an error.
        """
        self._statistics = []
        if self.stage.train_batchnorm:
            self._statistics = [buffer.clone() for buffer in self.network.buffers()]
        wanted = torch.from_numpy(targets).to(self.device)
        inputs = self.normalise(images)
        order, kept = torch.arange(len(wanted), device=self.device), 1.0
        if self.stage.mixup:
            order = torch.from_numpy(rng.permutation(len(wanted))).to(self.device)
            kept = float(rng.beta(self.stage.mixup, self.stage.mixup))
            inputs = torch.lerp(inputs[order], inputs, kept)
        self.optimiser.zero_grad(set_to_none=True)
        sums = torch.zeros(2, device=self.device)
        parts = (torch.split(whole, self.pass_size) for whole in (inputs, wanted, wanted[order]))
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
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), MAX_GRADIENT_NORM)
        sums[0] = torch.where(norm.isfinite(), sums[0], math.nan)
        return sums

    def undo(self) -> None:
        """Leave no trace of `gradients`."""
        self.optimiser.zero_grad(set_to_none=True)
        for buffer, before in zip(self.network.buffers(), self._statistics, strict=False):
            buffer.copy_(before)  # none were kept if the memory did not suffice for that

    def apply(self) -> None:
        """Learn from the gradients. An error in here leaves the weights neither as they were nor as they should be."""
        for group in self.optimiser.param_groups:
            group["lr"] = self.rate(group["peak_lr"], (self.done + 0.5) / self.steps)
        self.optimiser.step()
        self.done += 1
        if self.average is not None:
            # Early on a long memory would mostly remember the start.
            decay = min(self.stage.average_decay, self.done / (self.done + 9))
            self.average = interpolate(self.average, snapshot(self.network), 1 - decay)

    def rehearse(self, images: Tensor) -> Tensor:
        """Do what `gradients` does, with as much memory taken as the optimiser will take, and undo it."""
        memories = 2 if self.stage.optimiser == "adamw" else 1
        trained = [parameter for *_, parameter in self._parameters() if parameter not in self.optimiser.state]
        taken = [torch.zeros_like(parameter) for parameter in trained for _ in range(memories)]
        with torch.random.fork_rng([self.device] if self.device.type == "cuda" else []):
            sums = self.gradients(images, np.zeros(len(images), np.int64), np.random.default_rng(0))
        self.undo()
        del taken
        return sums

    def halve(self, images: int) -> None:
        """Undo the gradients of so many pictures, which the memory did not hold, and take half as many from now on.

        Raises StudioError if they cannot be fewer.
        """
        self.undo()
        size = min(self.pass_size, images)
        if size <= (2 if self.stage.train_batchnorm else 1):  # one picture alone has no statistics
            raise out_of_memory(self.device.type != "cpu")
        self.pass_size = size // 2

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

    def restart(self, done: int, weights: dict[str, Tensor]) -> None:
        """Go on after `done` steps with these weights, and without memory of how they came about."""
        self.done = done
        self.network.load_state_dict(weights)
        self.optimiser.state.clear()
        if self.average is not None:
            self.average = weights

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
    weights it would have had. Where the loss is no number any more, it begins the epoch anew from the best state,
    more gently; the second time it ends and `diverged` says so. Where the memory does not hold a batch, it takes the
    batch in parts.

    `positions` are the pictures to learn from; `targets` (all pictures,) are class numbers by position; `judge` may
    raise Stopped and OutOfBounds; `keep` is called after every step, with True at ends of epochs and where something
    happened that should not be lost.
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
        sleep: SleepWatch | None = None,
    ) -> None:
        self.network, self.stage, self.plan = network, stage, plan
        self._store, self._positions, self._targets = store, np.asarray(positions), targets
        self._judge, self._tell, self._should_stop, self._keep = judge, tell, should_stop, keep
        self._sleep = sleep or SleepWatch()
        self.diverged = False
        network.set_trainable(stage.trainable_from)
        network.trains_batchnorm = stage.train_batchnorm
        network.dropout.p = stage.dropout
        self._batches = math.ceil(len(positions) / plan.batch_size)
        self._descent = _Descent(
            network, stage, plan.execution, normalise, plan.batch_size, self._batches * stage.epochs
        )
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
                self._best = self._beginning()
            self._begun, self._begun_steps = time.monotonic(), self._descent.done
            while self._epoch <= self.stage.epochs and not self._has_settled() and not self.diverged:
                with self._going_back():
                    self._train_epoch()
                    self._judge_epoch()
                    self._keep(self, True)
        except Stopped:
            if self._best is not None:
                with self._going_back():
                    self._keep(self, True)
        self.network.eval()
        return self._best or Best(snapshot(self.network), 0, math.inf)

    def _beginning(self) -> Best:
        try:
            return Best(snapshot(self.network), 0, self._judge().choice_loss)
        except OutOfBounds as error:
            raise StudioError(
                "What the network answers is no number, even before it learns.", "Start a new run with other weights."
            ) from error

    def rehearse(self) -> None:
        """Find out by a step on made-up pictures, which leaves no trace, how many the memory holds at a time.

        Raises StudioError if it holds none.
        """
        side = self._store.preprocessing.crop_px
        images = torch.zeros(min(self.plan.batch_size, len(self._positions)), 3, side, side, dtype=torch.uint8)
        self.network.train()
        self._in_parts(lambda: self._descent.rehearse(images), len(images))
        self.network.eval()

    def state(self) -> tuple[Counters, dict[str, Part]]:
        """Return where the stage is and copies of its tensors: all that going on from this moment takes.

        Raises OutOfBounds instead of returning a state that is no good.
        """
        assert self._best is not None
        loss_sum, correct = self._sums.tolist()
        _require_number(loss_sum)
        counters = Counters(
            epoch=self._epoch,
            batch=self._batch,
            steps=self._descent.done,
            loss_sum=loss_sum,
            correct=correct,
            best_epoch=self._best.epoch,
            best_loss=self._best.choice_loss,
            without_gain=self._without_gain,
            gentler=self._descent.gentler,
            pass_size=self._descent.pass_size,
        )
        return counters, {
            # Steps that are done again more gently lead elsewhere.
            "step": Part(f"{counters.steps:08}-{counters.gentler}", self._descent.tensors()),
            "best": Part(f"{counters.best_epoch:06}", self._best.weights),
        }

    def restore(self, counters: Counters, tensors: Mapping[str, Mapping[str, Tensor]]) -> None:
        """Go on from what `state` returned; without the tensors of its "step", from the best state."""
        self._epoch, self._batch, self._without_gain = counters.epoch, counters.batch, counters.without_gain
        self._sums.copy_(torch.tensor([counters.loss_sum, counters.correct]))
        best = {name: value.to(self._descent.device) for name, value in tensors["best"].items()}
        self._best = Best(best, counters.best_epoch, counters.best_loss)
        self._descent.gentler = counters.gentler
        self._descent.pass_size = counters.pass_size or self._descent.pass_size
        if "step" in tensors:
            self._descent.restore(counters.steps, tensors["step"])
        else:
            self._begin_epoch_anew()
            self._tell(
                Notice(
                    code="gentler",
                    what="Training goes on from the best state so far, more gently: with "
                    f"1/{round(GENTLER**-counters.gentler):,} of the rates.",
                )
            )
            self._keep(self, True)

    @contextmanager
    def _going_back(self) -> Iterator[None]:
        """Go back to the best state if the training runs out of bounds; the second time, end it there."""
        try:
            yield
        except OutOfBounds:
            if self._descent.gentler:
                self.diverged = True
                return
            self._descent.gentler = 1
            self._begin_epoch_anew()
            self._tell(
                Notice(
                    code="diverged",
                    what=f"Training ran out of bounds in epoch {self._epoch}.",
                    hint="It went back to the best state so far and goes on more gently, with a tenth of the rates.",
                )
            )
            self._keep(self, True)

    def _begin_epoch_anew(self) -> None:
        """Put the best state back, wherever in the epoch the training is."""
        assert self._best is not None
        self._batch, self._without_gain = 0, 0
        self._sums.zero_()
        self._descent.restart((self._epoch - 1) * self._batches, self._best.weights)

    def _has_settled(self) -> bool:
        """Tell whether so many judgements brought no gain that the stage ends."""
        progress = self._descent.done / self._descent.steps
        return self._without_gain >= self.stage.patience and progress > self.stage.warmup

    def _train_epoch(self) -> None:
        """Train for the rest of the epoch. Raises Stopped, OutOfBounds, and StudioError where it cannot go on."""
        seed, size = self.plan.seed, self.plan.batch_size
        order = np.random.default_rng((seed, self._epoch)).permutation(self._positions).tolist()
        view = random_view(self._store, self.plan.augmentation, seed, self._epoch)
        self.network.train()
        self._epoch_begun, self._epoch_begun_batch = time.monotonic(), self._batch
        for images in self._store.batches(order[self._batch * size :], size, view, self._should_stop):
            self._notice_sleep()
            targets = self._targets[order[self._batch * size :][: len(images)]]
            sums, halved = self._learn(images, targets)
            self._sums += sums
            self._batch += 1
            self._tell_batch(sums, len(images))
            if self._batch < self._batches:  # the end of an epoch is kept once it has been judged
                self._keep(self, halved)
            if self._should_stop():
                raise Stopped

    def _learn(self, images: Tensor, targets: np.ndarray) -> tuple[Tensor, bool]:
        """Do one step; return its sums and whether its batch had to be taken in smaller parts than before."""

        def gradients() -> Tensor:
            rng = np.random.default_rng((self.plan.seed, self._epoch, self._batch))
            torch.manual_seed(int(rng.integers(2**63)))  # what dropout and its like draw from
            return self._descent.gradients(images, targets, rng)

        before = self._descent.pass_size
        sums = self._in_parts(gradients, len(images))
        self._descent.apply()
        return sums, self._descent.pass_size < before

    def _in_parts(self, gradients: Callable[[], Tensor], images: int) -> Tensor:
        """Return the sums of so many pictures, taken in parts that the memory holds. Raises StudioError."""
        before = self._descent.pass_size
        while (sums := unless_out_of_memory(gradients)) is None:
            self._descent.halve(images)
        if self._descent.pass_size < before:
            but = ", but statistics within the network come from fewer" if self.stage.train_batchnorm else ""
            self._tell(
                Notice(
                    code="less-memory",
                    what=f"The memory does not hold {min(before, images)} pictures at a time, so training takes "
                    f"{self._descent.pass_size} at a time.",
                    hint=f"It still learns from as many pictures a step{but}.",
                )
            )
        return sums

    def _notice_sleep(self) -> None:
        """Make sure after a sleep of the computer that its processor still works. Raises StudioError if not."""
        gap = self._sleep.gap()
        if gap:
            minutes = max(1, round(gap / 60))
            asleep = "a minute" if minutes == 1 else f"{minutes:,} minutes"
            self._tell(Progress(what=f"Going on after the computer slept for {asleep}", done=0, total=0))
            require_working(self._descent.device)

    def _tell_batch(self, sums: Tensor, images: int) -> None:
        now = time.monotonic()
        if now - self._told_at < BATCH_EVENT_INTERVAL_S and not is_logged_batch(self._batch, self._batches):
            return
        self._told_at = now
        # All of the epoch, so that what is logged does not depend on which batches were told.
        _require_number(float(self._sums[0]))
        self._tell(
            BatchEnded(
                stage=self.stage.name,
                epoch=self._epoch,
                batch=self._batch,
                batches=self._batches,
                loss=float(sums[0]) / images,
                images_per_second=self._images_per_second(),
                seconds_left=self._seconds_left(),
            )
        )

    def _judge_epoch(self) -> None:
        """Judge the network as the plan wants it, tell, and turn to the next epoch. Raises Stopped, OutOfBounds."""
        assert self._best is not None
        loss_sum, correct = self._sums.tolist()
        _require_number(loss_sum)
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
        head_lr = self._descent.rate(self.stage.head_lr, self._descent.done / self._descent.steps)
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


class OutOfBounds(Exception):
    """A loss is no number any more, so the weights or the next ones are none."""


def _require_number(loss: float) -> None:
    if not math.isfinite(loss):
        raise OutOfBounds


def interpolate(start: dict[str, Tensor], end: dict[str, Tensor], share: float) -> dict[str, Tensor]:
    """Return the weights that lie `share` of the way from `start` to `end`; counters are the end's.

    Source: Wortsman et al. 2022, "Robust fine-tuning of zero-shot models", section 3.
    """
    return {
        name: torch.lerp(start[name], value, share) if value.is_floating_point() else value
        for name, value in end.items()
    }
