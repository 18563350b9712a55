"""A run, from its plan to the model that is kept."""

from __future__ import annotations

import copy
import time
from collections.abc import Collection, Sequence
from contextlib import closing, suppress
from functools import partial
from pathlib import Path

import msgspec
import numpy as np
import torch
from scipy.stats import binomtest
from torch import Tensor, nn

from tlstudio.core.backbones import backbone
from tlstudio.core.dataset import shown_classes
from tlstudio.core.durable import remove_unfinished
from tlstudio.core.errors import StudioError, refused
from tlstudio.core.events import (
    Emit,
    EpochEnded,
    Event,
    Notice,
    Progress,
    RunEnded,
    RunStarted,
    ShouldStop,
    StageStarted,
    Status,
    Stopped,
    WeightsSaved,
    never,
)
from tlstudio.core.groups import content_of
from tlstudio.core.plan import Plan, Stage
from tlstudio.core.regimes import Regime
from tlstudio.core.results import Interval
from tlstudio.core.runfolder import RunFolder
from tlstudio.core.split import hold_out, unjudged, without
from tlstudio.core.weights_folder import found_again
from tlstudio.engine.awake import kept_awake
from tlstudio.engine.calibration import (
    balanced_nll,
    calibrated,
    clearly_better,
    fit_temperature,
    negative_log_likelihood,
)
from tlstudio.engine.checkpoint import (
    SAVE_INTERVAL_S,
    Checkpoint,
    CheckpointWriter,
    KeptBefore,
    Part,
    State,
    below,
    newest_state,
)
from tlstudio.engine.devices import choose_device, describe_device, set_threads
from tlstudio.engine.disk_room import full_disk
from tlstudio.engine.faults import faults_told
from tlstudio.engine.features import forward_pass
from tlstudio.engine.heads import FittedHead
from tlstudio.engine.honest_split import BothAccuracies, both_accuracies
from tlstudio.engine.loop import GradientStage, Judgement, OutOfBounds, interpolate
from tlstudio.engine.networks import (
    HeadShape,
    ModelCard,
    build_head,
    build_network,
    head_shape,
    save_model,
    snapshot,
    torchvision_model,
)
from tlstudio.engine.old_network import OldNetwork
from tlstudio.engine.probe import Probe
from tlstudio.engine.run_log import RunLog
from tlstudio.engine.waiting import LIMIT_S, Waiter
from tlstudio.engine.weights import resolve

CHOICE_FRACTION = 0.2
MAX_LOGIT = 1e6
"""Answers beyond this are out of bounds: there is no probability that they could stand for."""
BLEND_SHARES = (0.25, 0.5, 0.75, 1.0)
KEPT_WORDS: dict[Regime, str] = {
    "fine-tune": "the fine-tuned network",
    "full": "the network with every layer trained",
    "scratch": "the network trained from scratch",
}


def train(run: RunFolder, emit: Emit, should_stop: ShouldStop) -> RunEnded:
    """Do what the run's plan says, from where its last saved state is; return the last event, also logged and emitted.

    Whatever happens, exactly one RunEnded is the last line of the log. A stop keeps the best model so far, and the
    state in which training was. A run that was interrupted tells again what it had logged by that state, and ends with
    the very weights it would have had. Raises StudioError if another process is training it.
    """
    with run.held():
        return _train(run, emit, should_stop)


def _train(run: RunFolder, emit: Emit, should_stop: ShouldStop) -> RunEnded:
    started = time.monotonic()
    remove_unfinished(run.path)
    state, damaged = newest_state(run.checkpoints_dir, run.events_file)
    waiter = Waiter(emit, should_stop, LIMIT_S, lambda error: full_disk(error, run))
    try:
        kept = state.checkpoint if state else None
        before = _figures_before(run)
        training: Training | None = None
        waiter.outlast(lambda: run.manifest.release(run.events_file))
        log_bytes, log_sha256 = (kept.log_bytes, kept.log_sha256) if kept else (0, "")
        with closing(RunLog(run.events_file, log_bytes, log_sha256, waiter)) as log:

            def tell(event: Event) -> None:
                log.append(event)
                emit(event)

            def end(ended: RunEnded) -> RunEnded:
                if ended.status == "stopped":  # by someone who is still there: otherwise it was cut off
                    emit(Progress(what="Ending the training", done=0, total=0))
                ended = msgspec.structs.replace(ended, seconds=time.monotonic() - started)
                try:
                    log.append(ended)
                    log.sync()
                except StudioError as error:  # without its last line the run is one that was cut off
                    ended = _paused(ended, error)
                else:
                    with suppress(StudioError):  # the run is whole; only damage to its log would go unnoticed
                        run.manifest.note(run.events_file, log.sha256)
                emit(ended)
                return ended

            def so_far() -> RunEnded:
                return training.so_far if training else before

            try:
                for event in run.events() if state else ():
                    emit(event)
                with faults_told(), kept_awake(), CheckpointWriter(run.checkpoints_dir, log.sync, waiter) as writer:
                    if damaged:
                        emit(_of_damage(damaged, state))
                    training = Training(run, tell, should_stop, Keeper(writer, log), state, waiter, before)
                    ended = _outcome(training)
                return end(ended)
            except Stopped:
                what = (
                    "" if so_far().val_accuracy is not None else "Training was stopped before a first model was ready."
                )
                return end(msgspec.structs.replace(so_far(), status="stopped", cause="", what=what, hint=""))
            except StudioError as error:
                return end(_paused(so_far(), error))
            except BrokenPipeError:  # the window has died: this run was cut off, and the log must not say otherwise
                raise
            except OSError as error:
                return end(_paused(so_far(), refused(error)))
            except KeyboardInterrupt:
                end(RunEnded(status="stopped", what="Training was ended at once.", hint="Saved weights are kept."))
                raise
            except BaseException as error:
                what = f"Something unexpected went wrong: {error!r}."
                end(RunEnded(status="failed", what=what, hint="Please report it."))
                raise
    except BrokenPipeError:
        raise
    except OSError as error:  # there is no log to tell it
        ended = msgspec.structs.replace(_failed(refused(error)), seconds=time.monotonic() - started)
        emit(ended)
        return ended


def _figures_before(run: RunFolder) -> RunEnded:
    """Return what the log knows of the model that an earlier training left."""
    with suppress(StudioError):
        return run.summary()[1] or RunEnded(status="stopped")
    return RunEnded(status="stopped")


def _outcome(training: Training) -> RunEnded:
    """Train; where that is paused by something that passes, return what is known of the model that is kept so far."""
    try:
        with faults_told():
            return training.outcome()
    except StudioError as error:
        if not error.cause:
            raise
        return _paused(training.so_far, error)


def _paused(so_far: RunEnded, error: StudioError) -> RunEnded:
    """Return how a run ended that was kept from going on, with what is known of its model."""
    ended = _failed(error)
    return msgspec.structs.replace(so_far, status=ended.status, cause=ended.cause, what=ended.what, hint=ended.hint)


def _of_damage(files: Sequence[Path], state: State | None) -> Notice:
    names = ", ".join(path.name for path in files)
    if state is None:
        return Notice(
            code="damaged",
            what=f"All saved states are damaged ({names}), so training begins anew.",
            hint="Check the disk. Your pictures are untouched.",
        )
    return Notice(
        code="damaged",
        what=f"The last saved state is damaged ({names}), so training goes on from the one before it.",
        hint="Check the disk. The result will be the same.",
    )


def _failed(error: StudioError) -> RunEnded:
    status: Status = "paused" if error.cause else "failed"
    return RunEnded(status=status, cause=error.cause, what=error.what, hint=error.hint)


def wilson(successes: int, count: int) -> Interval:
    """Return Wilson's 95 % interval of a proportion."""
    found = binomtest(successes, count).proportion_ci(method="wilson")
    return float(found.low), float(found.high)


class Kept(msgspec.Struct, frozen=True):
    """The model that is kept so far and what it answers on the val pictures."""

    words: str
    val_logits: np.ndarray
    temperature: float
    epoch: int | None = None


class Keeper:
    """Decides when the state of a stage is handed to the writer."""

    def __init__(self, writer: CheckpointWriter, log: RunLog) -> None:
        self._writer, self._log = writer, log
        self._kept_at = float("-inf")

    def keep(
        self,
        number: int,
        descent: GradientStage,
        pressing: bool,
        base: Part,
        before: KeptBefore,
        left_out: tuple[int, ...],
    ) -> None:
        """Take a state that is pressing, or any when the last was taken some time ago. Raises StudioError."""
        if not pressing and time.monotonic() - self._kept_at < SAVE_INTERVAL_S:
            return
        self._kept_at = time.monotonic()
        counters, parts = descent.state()
        checkpoint = Checkpoint(0, number, counters, self._log.length, self._log.sha256, before, left_out)
        self._writer.offer(checkpoint, parts | {"base": base})


class Training:
    """One run in progress: what its stages share."""

    def __init__(
        self,
        run: RunFolder,
        tell: Emit,
        should_stop: ShouldStop,
        keeper: Keeper | None = None,
        state: State | None = None,
        waiter: Waiter | None = None,
        so_far: RunEnded | None = None,
    ) -> None:
        self.run, self.tell, self.should_stop = run, tell, should_stop
        self._keeper, self._state = keeper, state
        self._waiter = waiter or Waiter()
        self._diverged = False
        self.plan: Plan = run.plan()
        self.index, self.parts = run.pictures()
        self.spec = backbone(self.plan.backbone)
        self.threads = set_threads(self.plan.threads)
        self.device = choose_device(self.plan.device)
        self.targets = np.array([image.class_index for image in self.index.images], dtype=np.int64)
        self.groups = [image.kept_with for image in self.index.images]
        self._leave_out(state.checkpoint.left_out if state else ())
        self.so_far = so_far or RunEnded(status="stopped")
        """What is known of the model that is kept so far."""

    def outcome(self) -> RunEnded:
        """Run every stage that is not done yet and return how the run ended."""
        if self._state is None:
            self._tell_start()
            self._warn()
        self.old = self._read_old_network()
        self.probe = Probe(self.plan, self.old, self.targets, self.tell, self.should_stop)
        self.network = self.probe.network
        stopped = False
        try:
            first = self._state.checkpoint.stage if self._state else 0
            for number, stage in list(enumerate(self.plan.stages))[first:]:
                if self._state is None:
                    sentence = stage.sentence
                    self.tell(StageStarted(stage=stage.name, index=number, epochs=stage.epochs, sentence=sentence))
                if stage.kind == "probe":
                    self.kept = self._probe(stage)
                else:
                    with suppress(Stopped):  # judged another time, where the pictures for that were waited for
                        self.kept = self._gradient(number, stage)
                self.so_far = self._judged()
                if self._diverged:
                    raise StudioError(
                        "Training ran out of bounds again, although it was gentler by then.",
                        "The best model so far is kept. Go on, and it learns ten times more gently still.",
                        "diverged",
                    )
                if self.should_stop():
                    stopped = True
                    break
        finally:
            self.old.close()
        return msgspec.structs.replace(self.so_far, status="stopped" if stopped else "finished")

    def _judged(self) -> RunEnded:
        """Return the figures of the model that is kept."""
        predicted = self.kept.val_logits.argmax(1)
        wanted = self.targets[self.val]
        correct = int((predicted == wanted).sum())
        return RunEnded(
            status="stopped",
            val_accuracy=correct / len(wanted),
            val_interval=wilson(correct, len(wanted)),
            val_images=len(wanted),
            val_nll=negative_log_likelihood(self.kept.val_logits / self.kept.temperature, wanted),
            random_accuracy=self.both.random if self.both else None,
            grouped_accuracy=self.both.grouped if self.both else None,
            kept=self.kept.words,
            kept_epoch=self.kept.epoch,
            temperature=self.kept.temperature,
        )

    def _tell_start(self) -> None:
        self.tell(
            RunStarted(
                run=self.run.path.name,
                regime=self.plan.regime,
                backbone=self.plan.backbone,
                weights=self.plan.weights_name,
                device=describe_device(self.device),
                classes=self.index.classes,
                train_images=len(self.train),
                val_images=len(self.val),
                stages=tuple(stage.name for stage in self.plan.stages),
                time_s=time.time(),
            )
        )

    def _warn(self) -> None:
        """Say what about the pictures makes the figures of this run worth less."""
        judging = len(self.val)
        taught = {content_of(self.index.images[i]) for i in self.train}
        copies = sum(content_of(self.index.images[i]) in taught for i in self.val)
        if copies:
            self.tell(
                Notice(
                    code="seen-in-training",
                    what=f"{copies:,} of {judging:,} val pictures also teach, as copies: the accuracy flatters.",
                    hint="Take the copies out of one of the two folders and train again.",
                )
            )
        groups = {self.groups[i] for i in self.train}
        related = sum(self.groups[i] in groups for i in self.val) - copies
        if related:
            self.tell(
                Notice(
                    code="group-in-training",
                    what=f"{related:,} of {judging:,} val pictures belong to a group that also teaches: the accuracy "
                    "flatters.",
                    hint="Put all pictures of a group into one of your folders, or drop the folders without parts.",
                )
            )
        alone = unjudged(self.index, self.parts)
        if alone:
            self.tell(
                Notice(
                    code="class-not-judged",
                    what=f"No val picture is of {shown_classes(alone)}: how well the model tells that is not measured.",
                    hint="A class is judged if it has two groups of pictures or more: add pictures of other things.",
                )
            )
        left_out = self.index.set_aside()
        if left_out:
            self.tell(
                Notice(
                    code="set-aside",
                    what=f"{len(left_out):,} files could not be used; the first: {left_out[0].path}.",
                    hint=left_out[0].message,
                )
            )

    def _leave_out(self, positions: Collection[int]) -> None:
        """Go on without these pictures. Raises StudioError if too few are left."""
        self._left_out = tuple(sorted(positions))
        self.parts = without(self.index, self.parts, set(positions))
        self.train, self.val = list(self.parts.train), list(self.parts.val)

    def _leave_out_unreadable(self) -> None:
        """Read the pictures of which there is no copy yet; go on without those that cannot be read, and say so.

        Later none is left out: it is waited for, so that the same run always ends with the same weights.
        """
        lost = self.old.store.unreadable(self.train + self.val, self.tell, self.should_stop)
        if not lost:
            return
        first = self.index.images[min(lost)].path
        self._leave_out(lost)
        self.tell(
            Notice(
                code="pictures-lost",
                what=f"Pictures that can no longer be read and are left out of this training: {len(lost):,}; the first "
                f"is {first}.",
                hint=str(lost[min(lost)]),
            )
        )

    def _both_accuracies(self) -> BothAccuracies | None:
        """Find and tell what a split that tears groups apart would have claimed, if there are groups."""
        features, seed = self.probe.features, self.plan.seed
        both = both_accuracies(self.index, self.parts, features, seed, self.tell, self.should_stop)
        if both:
            self.tell(both.notice())
        return both

    def _read_old_network(self) -> OldNetwork:
        self.tell(Progress(what="Reading the weights", done=0, total=0))
        weights = resolve(self.spec, found_again(Path(self.plan.weights_file)))
        if weights.sha256 != self.plan.weights_sha256:
            raise StudioError(
                f"The weights file {weights.path.name} is not the one this run was planned with.",
                "Start a new run with it; this run's folder is unchanged.",
            )
        index = self.index
        return OldNetwork(
            self.spec,
            weights,
            index.images,
            index.reading,
            len(index.classes),
            self.device,
            self.plan.execution,
            keep=True,
            waiter=self._waiter,
        )

    def _probe(self, stage: Stage) -> Kept:
        """Fit a new head on all training pictures and save the model it makes."""
        self._leave_out_unreadable()
        started = time.monotonic()
        positions = self.train + self.val
        self.probe.look(positions)
        speed = len(positions) / (time.monotonic() - started)
        head = self.probe.fit(self.train)
        self._views = stage.views
        head = self.probe.taught_by_views(head, self.train, self._views)
        self._put_on(head)
        train_logits = head.logits(self.probe.features[self.train])
        val_logits = head.logits(self.probe.features[self.val])
        self.tell(
            EpochEnded(
                stage=stage.name,
                epoch=1,
                epochs=1,
                train_loss=negative_log_likelihood(train_logits / head.temperature, self.targets[self.train]),
                train_accuracy=_accuracy(train_logits, self.targets[self.train]),
                val_loss=negative_log_likelihood(val_logits / head.temperature, self.targets[self.val]),
                val_accuracy=_accuracy(val_logits, self.targets[self.val]),
                images_per_second=speed,
                best=True,
            )
        )
        self._save(stage, 1, head.temperature)
        self.both = self._both_accuracies()
        return Kept("the new head", val_logits, head.temperature)

    def _gradient(self, number: int, stage: Stage) -> Kept:
        """Train from a head fitted without the choice pictures; keep the result only if it beats that head on them."""
        stay, out = hold_out(
            self.targets[self.train].tolist(), [self.groups[i] for i in self.train], CHOICE_FRACTION, self.plan.seed
        )
        fit, choice = [self.train[i] for i in stay], [self.train[i] for i in out]
        if not choice:
            self.tell(
                Notice(
                    code="too-few-pictures",
                    what="There are too few pictures to judge a fine-tuned network fairly, so the new head is kept.",
                    hint="Add pictures: at least two different ones a class.",
                )
            )
            return self.kept
        if self._state is None:
            self._kept_head = self.network.head
            start, to_beat = self._start_of(stage, fit, choice)
        else:
            start, to_beat = self._restored_start(self._state)
        base = Part(
            f"{number:02}",
            {f"start.{name}": value for name, value in start.items()}
            | {f"kept_head.{name}": value for name, value in snapshot(self._kept_head).items()}
            | {"to_beat": torch.from_numpy(to_beat), "val_logits": torch.from_numpy(self.kept.val_logits)},
        )

        def answers(positions: list[int], emit: Emit, should_stop: ShouldStop) -> np.ndarray:
            # In full precision whatever the training's: the saved model answers so.
            what = "Judging the network"
            store, normalise = self.old.store, self.old.normalise
            return forward_pass(self.network, store, positions, normalise, emit, should_stop, what)

        def choice_loss(logits: np.ndarray) -> float:
            return balanced_nll(calibrated(logits, self.targets[choice]), self.targets[choice])

        def judge() -> Judgement:
            logits = answers(choice + self.val, self.tell, self.should_stop)
            if not (np.abs(logits) < MAX_LOGIT).all():  # neither are those that are no numbers
                raise OutOfBounds
            on_choice, on_val = logits[: len(choice)], logits[len(choice) :]
            wanted = self.targets[self.val]
            return Judgement(
                choice_loss(on_choice),
                negative_log_likelihood(on_val, wanted),
                _accuracy(on_val, wanted),
            )

        def keep(descent: GradientStage, pressing: bool) -> None:
            if self._keeper is not None:
                self._keeper.keep(number, descent, pressing, base, self._kept_before(), self._left_out)

        descent = GradientStage(
            self.network,
            stage,
            self.plan,
            self.old.store,
            self.old.normalise,
            fit,
            self.targets,
            judge,
            self.tell,
            self.should_stop,
            keep,
        )
        if self._state is not None:
            descent.restore(self._state.checkpoint.counters, self._state.tensors)
            self._state = None
        if self._keeper is not None:  # a trial is so short that it would be much of it
            descent.rehearse()
        best = descent.run()
        self._diverged = descent.diverged and self._keeper is not None
        if best.epoch == 0:
            return self.kept
        blends: dict[float, np.ndarray] = {}
        for share in (1.0,) if stage.from_scratch else BLEND_SHARES:
            self.network.load_state_dict(interpolate(start, best.weights, share))
            blends[share] = answers(choice, self.tell, never)
        share = min(blends, key=lambda share: choice_loss(blends[share]))
        on_choice = blends[share]
        if not clearly_better(on_choice, to_beat, self.targets[choice]):
            return self.kept
        temperature = fit_temperature(on_choice, self.targets[choice])
        self.network.load_state_dict(interpolate(start, best.weights, share))
        on_val = answers(self.val, self.tell, never)
        self._save(stage, best.epoch, temperature)
        words = KEPT_WORDS[self.plan.regime]
        if share < 1:
            words = f"{words}, blended with the new head ({share:.0%} of it)"
        return Kept(words, on_val, temperature, best.epoch)

    def _start_of(self, stage: Stage, fit: list[int], choice: list[int]) -> tuple[dict[str, Tensor], np.ndarray]:
        """Return the weights a gradient stage starts from, and the logits (choice pictures, classes) it has to beat."""
        champion = self.probe.taught_by_views(self.probe.fit(fit), fit, self._views)
        self._put_on(champion)
        if stage.from_scratch:
            self.forget()
        return snapshot(self.network), champion.logits(self.probe.features[choice])

    def _restored_start(self, state: State) -> tuple[dict[str, Tensor], np.ndarray]:
        """Put the network and the model to beat back as they were when the stage began; return as `_start_of` does."""
        before, base = state.checkpoint.kept, state.tensors["base"]
        self._kept_head = self._head(before.kept_head or before.head)
        if before.kept_head:  # a training that was stopped may have left another model
            self._kept_head.load_state_dict(below(base, "kept_head."))
            self.network.head = self._kept_head
            self._write_model(before.temperature)
        self.network.head = self._head(before.head)
        start = {name: value.to(self.device) for name, value in below(base, "start.").items()}
        self.network.load_state_dict(start)
        self.kept = Kept(before.words, base["val_logits"].numpy(), before.temperature, before.epoch)
        self.both = before.both
        self.so_far = self._judged()
        return start, base["to_beat"].numpy()

    def _kept_before(self) -> KeptBefore:
        kept = self.kept
        shape, kept_shape = head_shape(self.network.head), head_shape(self._kept_head)
        return KeptBefore(kept.words, kept.temperature, kept.epoch, shape, self.both, kept_shape)

    def _head(self, shape: HeadShape) -> nn.Module:
        return build_head(shape, self.network.inputs, len(self.index.classes)).to(self.device)

    def _put_on(self, head: FittedHead) -> None:
        self.network.head = copy.deepcopy(head.module).to(self.device)

    def forget(self) -> None:
        """Give the network random weights, the head zeros, so that nothing is left of the old one."""
        torch.manual_seed(self.plan.seed)
        fresh = self.old.placed(build_network(self.spec, torchvision_model(self.spec), len(self.index.classes)))
        nn.init.zeros_(fresh.head.weight)  # type: ignore[arg-type]
        nn.init.zeros_(fresh.head.bias)  # type: ignore[arg-type]
        self.network.load_state_dict(fresh.state_dict())

    def _save(self, stage: Stage, epoch: int, temperature: float) -> None:
        self._write_model(temperature)
        self.tell(WeightsSaved(stage=stage.name, epoch=epoch))

    def _write_model(self, temperature: float) -> None:
        """Write the network as the run's model, unless it is there already."""

        def write(path: Path, content: bytes) -> None:
            if not path.is_file() or path.read_bytes() != content:
                self.run.manifest.write(path, content)

        card = ModelCard(
            self.plan.backbone,
            self.index.classes,
            self.old.preprocessing,
            temperature,
            self.plan.weights_sha256,
            self.probe.cut_after,
            self.network.joined,
            head_shape(self.network.head),
        )
        self._waiter.outlast(partial(save_model, self.run.model_file, self.network, card, write))


def _accuracy(logits: np.ndarray, targets: np.ndarray) -> float:
    return float((logits.argmax(1) == targets).mean())
