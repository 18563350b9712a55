"""Every regime in short form on the training pictures, within a time the user sets; then the best one in full."""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from tlstudio.core.augment import augmentation_for
from tlstudio.core.backbones import backbone
from tlstudio.core.dataset import ImageRecord
from tlstudio.core.errors import Cause, StudioError
from tlstudio.core.events import BatchEnded, Emit, Event, Progress, RaceChanged, ShouldStop, Status, Stopped, ignore
from tlstudio.core.jobs import Race
from tlstudio.core.plan import Stage, make_stages
from tlstudio.core.progress import Pace
from tlstudio.core.regimes import FITTED, Regime, regime_facts
from tlstudio.core.results import RaceRow
from tlstudio.core.runfolder import RunFolder
from tlstudio.core.split import Split, folds, hold_out
from tlstudio.engine.awake import kept_awake
from tlstudio.engine.devices import choose_device, set_threads
from tlstudio.engine.execution import measure_execution
from tlstudio.engine.features import SHOWING
from tlstudio.engine.old_network import OldNetwork
from tlstudio.engine.profile import measure_profile, measuring_order
from tlstudio.engine.setup import set_up
from tlstudio.engine.train import BLEND_SHARES, CHOICE_FRACTION, Training, train, wilson
from tlstudio.engine.trials import COST_ORDER, Fold, Trial, compared, dearer_but_better, judged, winner_of
from tlstudio.engine.weights import resolve

FOLDS = 3
MANY_IMAGES = 2000
"""From here on one split is judged instead of folds."""
JUDGED_OF_MANY = 0.25
SHOWING_SHARE = 0.35
"""Of the budget, for showing pictures to the old network; those that do not fit in stay out of the race."""
SHOWN_AT_A_TIME = 32
FEWEST_A_CLASS = 6
"""Pictures a class that race however short the time is."""
CUT_IMAGES = 1000
FITTED_SHARE = 0.2
"""Of the budget, for a regime that only fits a head, and for finding the cut."""
WORTH_MEASURING_S = 60.0
"""With so much time left it pays to measure how the computer trains fastest."""
PILOT_S = 1.5
ENOUGH_EPOCHS = 4
FORWARD_SPEED_RATIO = 3.0
"""How much faster a network answers than it learns, at least."""
OVERRUN = 1.1
PROGRESS_INTERVAL_S = 0.25
FOLDER_PREFIX = "tlstudio-race-"


class Raced(msgspec.Struct, frozen=True):
    """How a race ended. `result` is that of `jobs.Race`."""

    status: Status
    result: dict[str, Any]
    what: str = ""
    hint: str = ""
    cause: Cause = ""


def race(job: Race, emit: Emit, should_stop: ShouldStop) -> Raced:
    """Race every regime, then train the winner in full unless the job says not to.

    Val and test pictures take no part in the race. A stop keeps what is done. Raises StudioError, and Stopped where
    nothing is done yet.
    """
    started = time.monotonic()
    if not 0 < job.budget_minutes < math.inf:
        raise StudioError("A race needs time.", "Give a number of minutes above 0.")
    if not job.stop_before_training:
        RunFolder(Path(job.train.run).absolute()).require_empty()
    course = _Course(job, started, emit, should_stop)
    with kept_awake():
        rows = course.run()
    winner = next(row.regime for row in rows if row.winner)
    result: dict[str, Any] = {"rows": rows, "winner": winner, "run": None}
    if should_stop():
        return Raced("stopped", result, "The race was stopped before it was over.", "What was found so far is kept.")
    if job.stop_before_training:
        return Raced("finished", result)
    wanted = msgspec.structs.replace(
        job.train,
        regime=winner,
        cut=course.cut if winner == "cut" else "",
        head=job.train.head if winner in FITTED else "linear",
    )
    ended = train(set_up(wanted, emit, should_stop), emit, should_stop)
    return Raced(ended.status, result | {"run": ended}, ended.what, ended.hint, ended.cause)


class FoldCost(msgspec.Struct, frozen=True):
    """What one fold of a gradient regime costs: seconds before its first epoch, an epoch, and after the last one."""

    before: float
    epoch: float
    after: float

    def seconds(self, epochs: int) -> float:
        return self.before + epochs * self.epoch + self.after

    def plan(self, seconds: float, folds: int, most_epochs: int) -> tuple[int, int]:
        """Return (folds, epochs a fold) that fit into the seconds: all folds if they get epochs enough; (0, 0) if none.

        Few folds of epochs enough say more about a regime than many of too few.
        """
        for enough in (min(ENOUGH_EPOCHS, most_epochs), 1):
            for count in range(folds, 0, -1):
                epochs = min(most_epochs, int((seconds / count - self.seconds(0)) / self.epoch))
                if epochs >= enough:
                    return count, epochs
        return 0, 0


class _Course:
    """One race: its pictures, its clock, and how it stands."""

    def __init__(self, job: Race, started: float, emit: Emit, should_stop: ShouldStop) -> None:
        self._job, self._emit, self._should_stop = job, emit, should_stop
        self._started, self._end = started, started + 60 * job.budget_minutes
        self._rows: dict[Regime, RaceRow] = {regime: RaceRow(regime, "waiting") for regime in COST_ORDER}
        self._trials: dict[Regime, Trial] = {}
        self._folds: list[Fold] = []
        self._trials_done = 0
        self._told = float("-inf")
        self.cut = job.train.cut

    def run(self) -> tuple[RaceRow, ...]:
        """Race; return the rows, one of them the winner's. Raises StudioError, and Stopped where none is done."""
        self._changed()
        try:
            self._prepare()
            for regime in FITTED:
                self._fit(regime)
            self._descend_all([regime for regime in COST_ORDER if regime not in FITTED])
        except Stopped:
            if not self._trials:
                raise
        self._decide()
        return tuple(self._rows.values())

    def _prepare(self) -> None:
        """Choose the pictures that race, deal them out, and find where to cut."""
        wanted = msgspec.structs.replace(self._job.train, regime="head", cut="")
        with tempfile.TemporaryDirectory(prefix=FOLDER_PREFIX) as folder:
            wanted = msgspec.structs.replace(wanted, run=str(Path(folder) / "run"))
            base = set_up(wanted, self._emit, self._should_stop)
            self._plan, self._index, parts = base.plan(), base.dataset(), base.split()
        self._spec = backbone(self._plan.backbone)
        self._device = choose_device(self._plan.device)
        set_threads(self._plan.threads)
        images = [self._index.images[position] for position in parts.train]
        order = measuring_order(np.array([image.class_index for image in images]), self._plan.seed, len(images))
        features = self._shown([images[place] for place in order])
        positions = [parts.train[place] for place in order[: len(features)]]
        racing = [self._index.images[position] for position in positions]
        targets, groups = [image.class_index for image in racing], [image.kept_with for image in racing]
        if len(racing) < MANY_IMAGES:
            dealt = folds(targets, groups, FOLDS, self._plan.seed)
        else:
            dealt = [hold_out(targets, groups, JUDGED_OF_MANY, self._plan.seed)]
        self._folds = [
            ([positions[i] for i in teaching], [positions[i] for i in judging])
            for teaching, judging in dealt
            if judging and len({targets[i] for i in teaching}) > 1
        ]
        if not self._folds:
            raise StudioError(
                "There are too few pictures to race on.",
                "At least two classes need two different training pictures, in two groups where they are grouped.",
            )
        if not self.cut:
            self.cut = self._find_cut(features[:CUT_IMAGES], targets[:CUT_IMAGES], groups[:CUT_IMAGES])

    def _shown(self, images: Sequence[ImageRecord]) -> np.ndarray:
        """Return the features of as many pictures, from the first on, as there is time to show the old network."""
        reading, classes = self._index.reading, len(self._index.classes)
        deadline = self._started + SHOWING_SHARE * (self._end - self._started)
        weights = resolve(self._spec, Path(self._plan.weights_file))
        old = OldNetwork(self._spec, weights, images, reading, classes, self._device)
        rows: list[np.ndarray] = []
        pace = Pace(self._emit, SHOWING, len(images))
        try:
            for start in range(0, len(images), SHOWN_AT_A_TIME):
                if time.monotonic() > deadline and start >= FEWEST_A_CLASS * classes:
                    break
                chosen = range(start, min(start + SHOWN_AT_A_TIME, len(images)))
                rows.append(old.features(chosen, ignore, self._should_stop))
                pace.step(chosen.stop)
        finally:
            old.close()
        return np.concatenate(rows)

    def _find_cut(self, features: np.ndarray, targets: Sequence[int], groups: Sequence[str]) -> str:
        """Return the block after which to cut, "" where it cannot be told in the time."""
        blocks = self._spec.blocks
        try:
            profile = measure_profile(
                features,
                [block.channels for block in blocks],
                [block.name for block in blocks],
                np.array(targets),
                groups,
                self._plan.seed,
                ignore,
                self._until(time.monotonic() + self._fitted_seconds()),
                quick=True,
            )
        except Stopped:
            if self._should_stop():
                raise
            return ""
        return blocks[profile.cut].name if profile else ""

    def _fitted_seconds(self) -> float:
        return FITTED_SHARE * (self._end - self._started)

    def _fit(self, regime: Regime) -> None:
        """Race a regime that only fits a head."""
        if regime == "cut" and not self.cut:
            self._leave_out(regime, "The time was too short to find out where to cut.")
            return
        self._race(regime, self._folds, None, time.monotonic() + self._fitted_seconds())

    def _descend_all(self, regimes: Sequence[Regime]) -> None:
        """Race the regimes that train the network, in even shares of the time; the dearest give way if it is short."""
        began = time.monotonic()
        cost = self._cost(regimes[0], (began + self._end) / 2)
        now = time.monotonic()
        spent, tried = now - self._started, now - began
        for number, regime in enumerate(regimes):
            if cost is None:
                self._leave_out(regime, f"It would need a race of more than {_minutes(spent + tried)}.")
                continue
            now = time.monotonic()
            most_epochs = self._stages(regime, self._job.train.epochs)[-1].epochs
            for sharing in range(len(regimes) - number, 0, -1):
                share = (self._end - now) / sharing
                folds, epochs = cost.plan(share, len(self._folds), most_epochs)
                if folds:
                    self._race(regime, self._folds[:folds], epochs, now + OVERRUN * share)
                    break
            else:
                self._leave_out(
                    regime, f"It would need a race of about {_minutes(spent + (1 + number) * cost.seconds(1))}."
                )

    def _cost(self, regime: Regime, deadline: float) -> FoldCost | None:
        """Begin to train the first fold and return what that takes; None where the time was too short to tell."""
        if self._end - time.monotonic() > WORTH_MEASURING_S:
            execution = measure_execution(
                self._spec, self._device, self._plan.threads, self._plan.batch_size, self._should_stop
            )
            self._plan = msgspec.structs.replace(self._plan, execution=execution)
        batches: list[tuple[float, int]] = []

        def listen(event: Event) -> None:
            if isinstance(event, BatchEnded):
                batches.append((time.monotonic(), (event.epoch - 1) * event.batches + event.batch))

        def enough() -> bool:
            return len(batches) > 1 and batches[-1][0] - batches[0][0] > PILOT_S

        late = self._until(deadline)
        started = time.monotonic()
        self._say(regime)
        with suppress(Stopped):
            self._train(regime, self._folds[0], None, listen, lambda: late() or enough())
        if self._should_stop():
            raise Stopped
        if len(batches) < 2:
            return None
        (first, first_batch), (last, last_batch) = batches[0], batches[-1]
        a_batch = (last - first) / (last_batch - first_batch)
        teaching, judging = (len(part) for part in self._folds[0])
        choice = CHOICE_FRACTION * teaching
        batches_an_epoch = math.ceil((teaching - choice) / self._plan.batch_size)
        answer = a_batch / self._plan.batch_size / FORWARD_SPEED_RATIO
        return FoldCost(
            first - started,
            batches_an_epoch * a_batch + (choice + judging) * answer,
            (len(BLEND_SHARES) * choice + judging) * answer,
        )

    def _race(self, regime: Regime, folds: Sequence[Fold], epochs: int | None, deadline: float) -> None:
        """Train and judge fold after fold, as far as the deadline lets; what is judged counts. Raises Stopped."""
        started = time.monotonic()
        self._rows[regime] = RaceRow(regime, "running")
        self._changed()
        late = self._until(deadline)
        folds_done, heads_kept = 0, 0
        for fold in folds:
            if folds_done and late():
                break
            self._say(regime)
            try:
                training = self._train(regime, fold, epochs, lambda event: self._say(regime), late)
            except Stopped:
                break
            if self._should_stop():  # what was cut short says nothing about the regime
                break
            answers = judged(
                training.val,
                training.kept.val_logits / training.kept.temperature,
                training.targets[training.val],
            )
            trial = self._trials[regime] = answers.joined(self._trials.get(regime))
            folds_done += 1
            heads_kept += training.kept.epoch is None
            note = _kept_words(heads_kept, folds_done) if epochs else ""
            self._rows[regime] = _row(regime, trial, time.monotonic() - started, note)
            self._trials_done += 1
            self._changed()
        if self._should_stop():
            raise Stopped
        if not folds_done:
            self._leave_out(regime, "The time was too short for it.")
            return
        row = self._rows[regime]
        note = f"{row.note} The time was up before its last epoch." if epochs and late() else row.note
        self._rows[regime] = msgspec.structs.replace(row, state="done", note=note.strip())
        self._trials_done += len(self._folds) - folds_done
        self._changed()

    def _train(self, regime: Regime, fold: Fold, epochs: int | None, listen: Emit, should_stop: ShouldStop) -> Training:
        """Do a whole run of the real program on a fold, in a folder that does not stay."""
        train = self._job.train
        teaching, judging = fold
        plan = msgspec.structs.replace(
            self._plan,
            regime=regime,
            head=train.head if regime in FITTED else "linear",
            stages=self._stages(regime, epochs),
            augmentation=augmentation_for(
                regime, train.mirror, train.turned, train.recoloured, self._index.reading.framing
            ),
            cut=self.cut if regime == "cut" else "",
        )
        with tempfile.TemporaryDirectory(prefix=FOLDER_PREFIX) as folder:
            run = RunFolder(Path(folder) / "run")
            run.start(plan, self._index, Split(tuple(teaching), tuple(judging), (), "race"))
            training = Training(run, listen, should_stop)
            training.outcome()
        return training

    def _stages(self, regime: Regime, epochs: int | None) -> tuple[Stage, ...]:
        """Return the stages of a regime; changed views of every picture are for the full training only."""
        plan = self._plan
        stages = make_stages(
            regime,
            len(self._folds[0][0]),
            plan.device,
            plan.batch_size,
            self._spec.optimiser,
            epochs,
            self._job.train.body_lr_span,
        )
        return tuple(msgspec.structs.replace(stage, views=0) for stage in stages)

    def _until(self, deadline: float) -> ShouldStop:
        return lambda: self._should_stop() or time.monotonic() >= deadline

    def _leave_out(self, regime: Regime, why: str) -> None:
        self._rows[regime] = RaceRow(regime, "left out", note=why)
        self._trials_done += len(self._folds)
        self._changed()

    def _decide(self) -> None:
        """Name the winner and say how the others compare with it."""
        if not self._trials:
            raise StudioError("The time was too short for any regime.", "Give the race more minutes.")
        winner = winner_of(self._trials)
        for regime, row in self._rows.items():
            if regime == winner:
                note = dearer_but_better(winner, self._trials)
                row = msgspec.structs.replace(row, winner=True)
            elif regime in self._trials:
                note = compared(self._trials[regime], self._trials[winner])
            else:
                note = row.note or "The race was stopped before its turn."
                row = msgspec.structs.replace(row, state="left out", note="")
            state = "done" if regime in self._trials else "left out"
            self._rows[regime] = msgspec.structs.replace(row, state=state, note=f"{row.note} {note}".strip())
        self._end = time.monotonic()
        self._changed()

    def _changed(self) -> None:
        self._emit(RaceChanged(rows=tuple(self._rows.values()), seconds_left=self._seconds_left()))

    def _say(self, regime: Regime) -> None:
        now = time.monotonic()
        if now - self._told < PROGRESS_INTERVAL_S:
            return
        self._told = now
        what = f"Trying “{regime_facts(regime).title}”"
        total = len(COST_ORDER) * len(self._folds)
        self._emit(Progress(what=what, done=self._trials_done, total=total, seconds_left=self._seconds_left()))

    def _seconds_left(self) -> float:
        return max(0.0, self._end - time.monotonic())


def _row(regime: Regime, trial: Trial, seconds: float, note: str) -> RaceRow:
    right, images = sum(trial.right.values()), len(trial.right)
    nll = sum(trial.losses.values()) / images
    return RaceRow(regime, "running", images, right / images, wilson(right, images), nll, seconds, note=note)


def _kept_words(heads_kept: int, folds: int) -> str:
    if not heads_kept:
        return ""
    return "The new head was kept" + (f" in {heads_kept} of {folds} folds." if folds > 1 else ".")


def _minutes(seconds: float) -> str:
    """Return a time in words, rounded up."""
    minutes = seconds / 60
    return f"{math.ceil(10 * minutes) / 10:.1f} minutes" if minutes < 10 else f"{math.ceil(minutes):,} minutes"
