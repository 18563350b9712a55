"""The way from dropped folders to a training job, one question a step."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import msgspec
from PySide6.QtCore import QTimer, Signal, Slot
from PySide6.QtWidgets import (
    QButtonGroup,
    QDialog,
    QFrame,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QStackedWidget,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from tlstudio.core import weights_folder
from tlstudio.core.dataset import DatasetIndex
from tlstudio.core.events import Event, JobEnded
from tlstudio.core.jobs import Advise, Job, Map, Measure, Race, Rank, Shortcuts, Train
from tlstudio.core.plan import training_class_counts
from tlstudio.core.split import Split
from tlstudio.gui import remembered, theme
from tlstudio.gui.running_jobs import Owner, RunningJobs
from tlstudio.gui.widgets.picture_map import PictureMapPanel
from tlstudio.gui.widgets.shortcuts_panel import ShortcutsPanel
from tlstudio.gui.wizard.backbone_step import BackboneStep
from tlstudio.gui.wizard.options_step import OptionsStep
from tlstudio.gui.wizard.pictures_step import PicturesStep
from tlstudio.gui.wizard.regime_step import RegimeStep
from tlstudio.gui.wizard.review_step import Measured, ReviewStep
from tlstudio.gui.wizard.step import Step

SIZE = (1100, 760)
SETTLED_MS = 1500
"""After an edit of the set-up so much quiet is awaited before the pictures are measured again."""
FEW_FOR_SHORTCUTS = 3000
"""Up to so many pictures, shortcuts are looked for without being asked: it takes seconds."""
MEASURING_JOBS: dict[type[Job], str] = {
    Measure: "The speed of the networks is being measured",
    Advise: "Your pictures are being measured",
    Race: "The regimes are racing",
    Rank: "The networks are being compared",
    Shortcuts: "Shortcuts are being looked for",
    Map: "The map of your pictures is being made",
}
"""One of these runs at a time: two would slow each other down and falsify what is measured of time."""


class TrainingWizard(QDialog):
    """Pictures, backbone, regime, options, review. Going back never loses a choice."""

    train_requested = Signal(object)
    """The core.jobs.Train the user decided on."""

    def __init__(
        self, folders: Sequence[Path], jobs: RunningJobs, parent: QWidget | None = None, table: str = ""
    ) -> None:
        super().__init__(parent)
        self.setWindowTitle("New classifier")
        self.setModal(True)
        self._restore_size()
        self._jobs = jobs
        self._index: DatasetIndex | None = None
        self._parts: Split | None = None
        self._measured: Measured | None = None
        self._asked: set[str] = set()
        self._closed = False
        self.pictures = PicturesStep(folders, table)
        self.backbone = BackboneStep()
        self.regime = RegimeStep()
        self.options = OptionsStep()
        self.review = ReviewStep()
        self.steps: tuple[Step, ...] = (self.pictures, self.backbone, self.regime, self.options, self.review)
        self._question = QLabel()
        self._question.setProperty("role", "title")
        self._stack = QStackedWidget()
        self._crumbs = QButtonGroup(self)
        self._crumbs.idClicked.connect(self._go_to)
        self.back_button = QPushButton("&Back")
        self.back_button.clicked.connect(self._go_back)
        self.next_button = QPushButton()
        self.next_button.setProperty("primary", True)
        self.next_button.setDefault(True)
        self.next_button.clicked.connect(self._go_on)
        self.cancel_button = QPushButton("Cancel")
        self.cancel_button.clicked.connect(self.reject)
        for step in self.steps:
            # The step runs in this thread, so the bound step reaches the slot below without crossing threads.
            step.job_requested.connect(partial(self._start_job, step))
            step.stop_requested.connect(partial(self._jobs.stop, step))
            step.completeness_changed.connect(self._show_where)
            self._stack.addWidget(step)
        self.pictures.dealt.connect(self._take_pictures)
        self.pictures.completeness_changed.connect(self._measure_next)
        self._wanted: PictureMapPanel | ShortcutsPanel | None = None
        """What the user asked for and waits until the measurement that runs has given way."""
        for panel in (self.pictures.shortcuts, self.pictures.map):
            panel.requested.connect(partial(self._want, panel))
            panel.stop_requested.connect(partial(self._stop_panel, panel))
        self._settled = QTimer(self)
        self._settled.setSingleShot(True)
        self._settled.setInterval(SETTLED_MS)
        self._settled.timeout.connect(self._measure_next)
        self.backbone.completeness_changed.connect(self._show_backbone)
        self.backbone.comparison_requested.connect(self._compare_backbones)
        self.regime.measuring_wanted.connect(self._measure_next)
        self.regime.race.requested.connect(self._race)
        self.regime.race.stop_requested.connect(partial(self._jobs.stop, self.regime.race))
        self.regime.changed.connect(self._show_regime)
        self.options.device_chosen.connect(self._measure_anew)
        self.options.seed_chosen.connect(self.pictures.deal)
        self._jobs.changed.connect(self._measure_next)
        self._show_backbone()
        self._lay_out()
        self._go_to(0)
        self.pictures.begin()

    def job(self) -> Train:
        """Return the training job as decided so far."""
        return Train(
            folders=tuple(str(folder) for folder in self.pictures.folders()),
            setup=self.pictures.setup(),
            run=str(self.options.run_folder()),
            backbone=self.backbone.spec().name,
            regime=self.regime.regime(),
            head=self.regime.head(),
            cut=self.regime.cut(),
            body_lr_span=self.regime.body_lr_span(),
            epochs=self.options.epochs(),
            seed=self.options.seed(),
            device=self.options.device(),
            mirror=self.options.mirror(),
            turned=self.options.turned(),
            recoloured=self.options.recoloured(),
            threads=self.options.threads(),
        )

    def current_step(self) -> Step:
        """Return the step in view."""
        return self.steps[self._stack.currentIndex()]

    def done(self, result: int) -> None:
        """Close; work for steps that nobody sees any more ends."""
        self._closed = True
        remembered.remember_number("wizard width", self.width())
        remembered.remember_number("wizard height", self.height())
        panels: tuple[Owner, ...] = (self.regime.race, self.pictures.shortcuts, self.pictures.map)
        for owner in (self, *panels, *self.steps):
            self._jobs.abandon(owner)
        super().done(result)

    @Slot(object)
    def receive(self, event: Event) -> None:
        """Take what the Measure job found."""
        if not isinstance(event, JobEnded):
            return
        before = self._measured.images_per_second if self._measured else {}
        if event.status == "finished":
            found = msgspec.convert(event.result, Measured)
            self._measured = msgspec.structs.replace(found, images_per_second=before | found.images_per_second)
            self.backbone.show_speeds(found.images_per_second)
        else:
            self._measured = Measured(event.what or "Not known yet.", event.hint, before)
        self._show_review()

    def _start_job(self, step: Step, job: Job) -> None:
        self._jobs.start(job, step)

    @Slot(object, object)
    def _take_pictures(self, index: DatasetIndex, parts: Split) -> None:
        first, anew = self._index is None, index is not self._index
        if anew:
            self.regime.forget()
            self.options.propose_name(self.pictures.folders()[0])
        if first:
            self.next_button.setFocus()
        self._index, self._parts = index, parts
        targets = [index.images[position].class_index for position in parts.train]
        self.backbone.forget_comparison()
        self.regime.show_counts(training_class_counts(targets, len(index.classes)), self.options.seed())
        self.options.show_pictures([index.images[position].path for position in parts.train])
        if anew and not first:
            self._settled.start()
        self._show_review()
        self._measure_next()

    @Slot()
    def _measure_next(self) -> None:
        """Begin what is still to be measured: the speed of the backbones in question, then the pictures."""
        running = next((what for job in self._jobs.jobs() if (what := MEASURING_JOBS.get(type(job)))), "")
        why_not = f"{running}. One thing at a time, or each would slow the other down." if running else ""
        self.backbone.allow_comparison(why_not)
        self.regime.allow_race(why_not)
        self._allow_panels()
        if running or self._closed:
            return
        if self._wanted is not None:
            panel, self._wanted = self._wanted, None
            self._jobs.start(self._panel_job(panel), panel)
            return
        if not self.pictures.is_complete() or self._settled.isActive():
            return
        names = {*self.backbone.present(), self.backbone.spec().name} - self._asked
        if names:
            self._asked |= names
            self._jobs.start(Measure(backbones=tuple(sorted(names)), device=self.options.device()), self)
        elif self._wants_shortcuts():
            self.pictures.shortcuts.begin()
        elif self.regime.wants_measuring():
            train = self.job()
            self.regime.measure(
                Advise(
                    folders=train.folders,
                    setup=train.setup,
                    backbone=train.backbone,
                    seed=train.seed,
                    device=train.device,
                    threads=train.threads,
                )
            )

    def _wants_shortcuts(self) -> bool:
        few = self._index is not None and len(self._index.images) <= FEW_FOR_SHORTCUTS
        return few and self.pictures.shortcuts.is_untried() and not self.pictures.has_open_question()

    def _allow_panels(self) -> None:
        """Let the user ask for a map or for shortcuts; a measurement that the wizard began by itself gives way."""
        of_users = (job for job in self._jobs.jobs() if not isinstance(job, Measure | Advise))
        running = next((what for job in of_users if (what := MEASURING_JOBS.get(type(job)))), "")
        for panel in (self.pictures.shortcuts, self.pictures.map):
            panel.allow(f"{running}. One thing at a time." if running else "")

    def _want(self, panel: PictureMapPanel | ShortcutsPanel) -> None:
        self._wanted = panel
        if any(isinstance(job, Advise) for job in self._jobs.jobs()):
            self.regime.pause_measuring()
        self._measure_next()

    def _stop_panel(self, panel: PictureMapPanel | ShortcutsPanel) -> None:
        if self._wanted is panel:
            self._wanted = None
            panel.receive(JobEnded(status="stopped"))
        else:
            self._jobs.stop(panel)

    def _panel_job(self, panel: PictureMapPanel | ShortcutsPanel) -> Job:
        train = self.job()
        if panel is self.pictures.shortcuts:
            return Shortcuts(folders=train.folders, setup=train.setup, seed=train.seed)
        return Map(
            folders=train.folders,
            setup=train.setup,
            method=self.pictures.map.method(),
            backbone=train.backbone,
            seed=train.seed,
            device=train.device,
            threads=train.threads,
        )

    @Slot()
    def _measure_anew(self) -> None:
        self._measured = None
        self._asked.clear()
        self._measure_next()

    @Slot()
    def _show_backbone(self) -> None:
        """Follow the choice of a backbone, and weights of it that have come."""
        spec = self.backbone.spec()
        self.regime.show_backbone(spec)
        self.pictures.show_preprocessing(spec.preprocessing(weights_folder.weights_in_use(spec).name))
        self._measure_next()

    @Slot()
    def _compare_backbones(self) -> None:
        train = self.job()
        job = Rank(
            folders=train.folders, setup=train.setup, seed=train.seed, device=train.device, threads=train.threads
        )
        self._jobs.start(job, self.backbone)

    @Slot(float)
    def _race(self, minutes: float) -> None:
        self.regime.race.begin()
        train = msgspec.structs.replace(self.job(), cut=self.regime.possible_cut())
        self._jobs.start(Race(train=train, budget_minutes=minutes, stop_before_training=True), self.regime.race)

    @Slot()
    def _go_back(self) -> None:
        self._go_to(self._stack.currentIndex() - 1)

    @Slot()
    def _go_on(self) -> None:
        if self.current_step() is self.review:
            job = self.job()
            self.accept()
            self.train_requested.emit(job)
        else:
            self._go_to(self._stack.currentIndex() + 1)

    @Slot(int)
    def _go_to(self, position: int) -> None:
        step = self.steps[position]
        self._stack.setCurrentIndex(position)
        self._question.setText(step.question)
        self._show_review()
        self._show_where()
        (step.focusProxy() or self.next_button).setFocus()

    @Slot()
    def _show_regime(self) -> None:
        """Follow the choice of a regime, and advice that has come."""
        self.options.show_regime(self.regime.regime(), self.regime.head())
        self._show_review()

    def _show_review(self) -> None:
        if self.current_step() is not self.review or self._index is None or self._parts is None:
            return
        spec = self.backbone.spec()
        self.review.show_plan(self.job(), self._index, self._parts, spec, self._measured, self.regime.advice())

    @Slot()
    def _show_where(self) -> None:
        position = self._stack.currentIndex()
        last = position == len(self.steps) - 1
        self.back_button.setEnabled(position > 0)
        self.next_button.setText("&Start training" if last else "&Next")
        self.next_button.setEnabled(all(step.is_complete() for step in self.steps[: position + 1]))
        self._crumbs.button(position).setChecked(True)
        for number in range(len(self.steps)):
            reachable = all(step.is_complete() for step in self.steps[:number])
            self._crumbs.button(number).setEnabled(reachable)

    def _restore_size(self) -> None:
        """Open as large as last time, or as the screen has room for."""
        room = self.screen().availableSize()
        width, height = remembered.number("wizard width", SIZE[0]), remembered.number("wizard height", SIZE[1])
        self.resize(min(width, room.width()), min(height, room.height()))
        self.setSizeGripEnabled(True)

    def _lay_out(self) -> None:
        path = QHBoxLayout()
        path.setSpacing(theme.SPACE_TIGHT)
        for number, step in enumerate(self.steps):
            crumb = QToolButton()
            crumb.setText(step.title)
            crumb.setCheckable(True)
            crumb.setProperty("role", "crumb")
            crumb.setAccessibleName(f"Step {number + 1} of {len(self.steps)}: {step.title}")
            self._crumbs.addButton(crumb, number)
            if number:
                arrow = QLabel("›")
                arrow.setProperty("role", "muted")
                path.addWidget(arrow)
            path.addWidget(crumb)
        path.addStretch()
        rule = QFrame()
        rule.setProperty("role", "rule")
        rule.setFixedHeight(1)
        buttons = QHBoxLayout()
        buttons.setSpacing(theme.SPACE_INSIDE)
        buttons.addWidget(self.cancel_button)
        buttons.addStretch()
        buttons.addWidget(self.back_button)
        buttons.addWidget(self.next_button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(theme.SPACE_PAGE, theme.SPACE, theme.SPACE_PAGE, theme.SPACE)
        layout.setSpacing(theme.SPACE - 4)
        layout.addLayout(path)
        layout.addWidget(self._question)
        layout.addWidget(self._stack, 1)
        layout.addWidget(rule)
        layout.addLayout(buttons)
