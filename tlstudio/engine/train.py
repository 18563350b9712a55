"""A run, from its plan to the model that is kept."""

from __future__ import annotations

import time
from pathlib import Path

import msgspec
import numpy as np
import torch
from scipy.stats import binomtest

from tlstudio.core.backbones import backbone
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
    Stopped,
    WeightsSaved,
    encode_event,
    ignore,
    never,
)
from tlstudio.core.plan import Plan, Stage
from tlstudio.core.results import Interval
from tlstudio.core.runfolder import RunFolder
from tlstudio.core.split import hold_out
from tlstudio.engine.data import ImageStore, Normaliser
from tlstudio.engine.devices import choose_device, describe_device, set_threads
from tlstudio.engine.features import forward_pass
from tlstudio.engine.heads import (
    LinearHead,
    balanced_nll,
    calibrated,
    clearly_better,
    fit_head,
    fit_temperature,
    negative_log_likelihood,
)
from tlstudio.engine.loop import Judgement, interpolate, train_stage
from tlstudio.engine.networks import ModelCard, Network, build_network, save_model, snapshot, torchvision_model
from tlstudio.engine.weights import load_into, resolve

CHOICE_FRACTION = 0.2
BLEND_SHARES = (0.25, 0.5, 0.75, 1.0)


def train(run: RunFolder, emit: Emit, should_stop: ShouldStop) -> RunEnded:
    """Do what the run's plan says; return the last event, which is also logged and emitted.

    Whatever happens, exactly one RunEnded is the last line of the log. A stop keeps the best model so far.
    """
    started = time.monotonic()
    try:
        with run.events_file.open("ab") as log:

            def tell(event: Event) -> None:
                if not isinstance(event, Progress):
                    log.write(encode_event(event))
                    log.flush()
                emit(event)

            def end(ended: RunEnded) -> RunEnded:
                ended = msgspec.structs.replace(ended, seconds=time.monotonic() - started)
                tell(ended)
                return ended

            try:
                return end(_Training(run, tell, should_stop).outcome())
            except Stopped:
                return end(RunEnded(status="stopped", what="Training was stopped before a first model was ready."))
            except StudioError as error:
                return end(_failed(error))
            except OSError as error:
                return end(_failed(refused(error)))
            except KeyboardInterrupt:
                end(RunEnded(status="stopped", what="Training was ended at once.", hint="Saved weights are kept."))
                raise
            except BaseException as error:
                what = f"Something unexpected went wrong: {error!r}."
                end(RunEnded(status="failed", what=what, hint="Please report it."))
                raise
    except OSError as error:  # the log takes no last line, for example because the disk is full
        ended = msgspec.structs.replace(_failed(refused(error)), seconds=time.monotonic() - started)
        emit(ended)
        return ended


def _failed(error: StudioError) -> RunEnded:
    return RunEnded(status="failed", what=error.what, hint=error.hint)


def wilson(successes: int, count: int) -> Interval:
    """Return Wilson's 95 % interval of a proportion."""
    found = binomtest(successes, count).proportion_ci(method="wilson")
    return float(found.low), float(found.high)


class _Kept(msgspec.Struct, frozen=True):
    """The model that is kept so far and what it answers on the val pictures."""

    words: str
    val_logits: np.ndarray
    temperature: float
    epoch: int | None = None


class _Training:
    """One run in progress: what its stages share."""

    def __init__(self, run: RunFolder, tell: Emit, should_stop: ShouldStop) -> None:
        self.run, self.tell, self.should_stop = run, tell, should_stop
        self.plan: Plan = run.plan()
        self.index = run.dataset()
        self.parts = run.split()
        self.spec = backbone(self.plan.backbone)
        self.threads = set_threads(self.plan.threads)
        self.device = choose_device(self.plan.device)
        self.targets = np.array([image.class_index for image in self.index.images], dtype=np.int64)
        self.groups = [image.sha256 for image in self.index.images]
        self.train = list(self.parts.train)
        self.val = list(self.parts.val)

    def outcome(self) -> RunEnded:
        """Run every stage and return how it ended."""
        plan = self.plan
        self.tell(
            RunStarted(
                run=self.run.path.name,
                regime=plan.regime,
                backbone=plan.backbone,
                weights=plan.weights_name,
                device=describe_device(self.device),
                classes=self.index.classes,
                train_images=len(self.train),
                val_images=len(self.val),
                stages=tuple(stage.name for stage in plan.stages),
                time_s=time.time(),
            )
        )
        self._warn()
        self.network = self._old_network()
        self.normalise = Normaliser(self.preprocessing, self.device)
        paths = [image.path for image in self.index.images]
        self.store = ImageStore(paths, self.preprocessing, keep=any(stage.kind == "gradient" for stage in plan.stages))
        stopped = False
        try:
            for number, stage in enumerate(plan.stages):
                self.tell(StageStarted(stage=stage.name, index=number, epochs=stage.epochs, sentence=stage.sentence))
                if stage.kind == "probe":
                    self.kept = self._probe(stage)
                else:
                    self.kept = self._gradient(stage)
                if self.should_stop():
                    stopped = True
                    break
        finally:
            self.store.close()
        predicted = self.kept.val_logits.argmax(1)
        wanted = self.targets[self.val]
        correct = int((predicted == wanted).sum())
        return RunEnded(
            status="stopped" if stopped else "finished",
            val_accuracy=correct / len(wanted),
            val_interval=wilson(correct, len(wanted)),
            val_images=len(wanted),
            val_nll=negative_log_likelihood(self.kept.val_logits / self.kept.temperature, wanted),
            kept=self.kept.words,
            kept_epoch=self.kept.epoch,
            temperature=self.kept.temperature,
        )

    def _warn(self) -> None:
        """Say what about the pictures makes the figures of this run worth less."""
        taught = {self.groups[i] for i in self.train}
        copies = sum(self.groups[i] in taught for i in self.val)
        if copies:
            self.tell(
                Notice(
                    code="seen-in-training",
                    what=f"{copies} of {len(self.val)} val pictures also teach, as copies: the accuracy flatters.",
                    hint="Take the copies out of one of the two folders and train again.",
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

    def _old_network(self) -> Network:
        self.tell(Progress(what="Reading the weights", done=0, total=0))
        weights = resolve(self.spec, Path(self.plan.weights_file))
        if weights.sha256 != self.plan.weights_sha256:
            raise StudioError(
                f"The weights file {weights.path.name} is not the one this run was planned with.",
                "Start a new run with it; this run's folder is unchanged.",
            )
        self.preprocessing = self.spec.preprocessing(
            next((known for known in self.spec.weights if known.name == weights.name), None)
        )
        model = torchvision_model(self.spec)
        load_into(model, self.spec, weights.state)
        network = build_network(self.spec, model, len(self.index.classes))
        return network.to(self.device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload, no-any-return]

    def _probe(self, stage: Stage) -> _Kept:
        """Fit a new head on all training pictures and save the model it makes."""
        started = time.monotonic()
        positions = self.train + self.val
        rows = forward_pass(self.network.features, self.store, positions, self.normalise, self.tell, self.should_stop)
        speed = len(positions) / (time.monotonic() - started)
        self.features = np.zeros((len(self.index.images), rows.shape[1]), np.float32)
        self.features[positions] = rows
        head = self._fit_head(self.train)
        head.put_into(self.network.head)
        train_logits = head.logits(self.features[self.train])
        val_logits = head.logits(self.features[self.val])
        self.tell(
            EpochEnded(
                stage=stage.name,
                epoch=1,
                epochs=1,
                train_loss=negative_log_likelihood(train_logits, self.targets[self.train]),
                train_accuracy=_accuracy(train_logits, self.targets[self.train]),
                val_loss=negative_log_likelihood(val_logits, self.targets[self.val]),
                val_accuracy=_accuracy(val_logits, self.targets[self.val]),
                images_per_second=speed,
                best=True,
            )
        )
        self._save(stage, 1, head.temperature)
        return _Kept("the new head", val_logits, head.temperature)

    def _gradient(self, stage: Stage) -> _Kept:
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
        champion = self._fit_head(fit)
        champion.put_into(self.network.head)
        start = snapshot(self.network)

        def answers(positions: list[int], emit: Emit, should_stop: ShouldStop) -> np.ndarray:
            what = "Judging the network"
            return forward_pass(self.network, self.store, positions, self.normalise, emit, should_stop, what)

        def choice_loss(logits: np.ndarray) -> float:
            return balanced_nll(calibrated(logits, self.targets[choice]), self.targets[choice])

        def judge() -> Judgement:
            logits = answers(choice + self.val, ignore, self.should_stop)
            on_choice, on_val = logits[: len(choice)], logits[len(choice) :]
            wanted = self.targets[self.val]
            return Judgement(
                choice_loss(on_choice),
                negative_log_likelihood(on_val, wanted),
                _accuracy(on_val, wanted),
            )

        best = train_stage(
            self.network,
            stage,
            self.plan,
            self.store,
            self.normalise,
            fit,
            self.targets,
            judge,
            self.tell,
            self.should_stop,
        )
        if best.epoch == 0:
            return self.kept
        blends: dict[float, np.ndarray] = {}
        for share in BLEND_SHARES:
            self.network.load_state_dict(interpolate(start, best.weights, share))
            blends[share] = answers(choice, self.tell, never)
        share = min(blends, key=lambda share: choice_loss(blends[share]))
        on_choice = blends[share]
        to_beat = champion.logits(self.features[choice])
        if not clearly_better(on_choice, to_beat, self.targets[choice]):
            return self.kept
        temperature = fit_temperature(on_choice, self.targets[choice])
        self.network.load_state_dict(interpolate(start, best.weights, share))
        on_val = answers(self.val, self.tell, never)
        self._save(stage, best.epoch, temperature)
        words = "the fine-tuned network"
        if share < 1:
            words = f"the fine-tuned network, blended with the new head ({share:.0%} fine-tuned)"
        return _Kept(words, on_val, temperature, best.epoch)

    def _fit_head(self, positions: list[int]) -> LinearHead:
        return fit_head(
            self.features[positions],
            self.targets[positions],
            [self.groups[i] for i in positions],
            len(self.index.classes),
            self.plan.seed,
            self.tell,
            self.should_stop,
        )

    def _save(self, stage: Stage, epoch: int, temperature: float) -> None:
        card = ModelCard(
            self.plan.backbone, self.index.classes, self.preprocessing, temperature, self.plan.weights_sha256
        )
        save_model(self.run.model_file, self.network, card)
        self.tell(WeightsSaved(stage=stage.name, epoch=epoch))


def _accuracy(logits: np.ndarray, targets: np.ndarray) -> float:
    return float((logits.argmax(1) == targets).mean())
