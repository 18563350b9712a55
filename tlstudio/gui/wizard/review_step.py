"""The last step: everything once more in sentences, and how long it will take."""

from __future__ import annotations

import msgspec
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QGridLayout, QLabel, QWidget

from tlstudio.core.advice import Advice, cost_of
from tlstudio.core.augment import augmentation_for, changes_in_words
from tlstudio.core.backbones import BackboneSpec
from tlstudio.core.dataset import DatasetIndex
from tlstudio.core.jobs import Train
from tlstudio.core.plan import BUDGET_FACTORS, CPU_PRESENTATIONS, GPU_PRESENTATIONS
from tlstudio.core.regimes import HEAD_TITLES, regime_facts
from tlstudio.core.split import Split
from tlstudio.gui import theme, words
from tlstudio.gui.widgets.picture_overview import summary_sentence
from tlstudio.gui.wizard.step import Step

FORWARD_PASSES_A_TRAINING_STEP = 3
"""Learning from a picture costs about three times as much as looking at it: forward, and twice backward."""
LINES = ("Pictures", "Judged by", "Backbone", "Regime", "Advice", "Head", "Changes", "Device", "Time", "Kept in")


class Measured(msgspec.Struct, frozen=True):
    """What the Measure job tells."""

    device: str
    device_hint: str
    images_per_second: dict[str, float]


class ReviewStep(Step):
    """Sentences only; the wizard's button starts the training."""

    title = "Review"
    question = "Ready to train?"

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setHorizontalSpacing(theme.SPACE)
        grid.setVerticalSpacing(theme.SPACE - 4)
        grid.setColumnStretch(1, 1)
        self._lines: dict[str, QLabel] = {}
        for row, name in enumerate(LINES):
            caption = QLabel(name)
            caption.setProperty("role", "muted")
            line = QLabel()
            line.setTextFormat(Qt.TextFormat.PlainText)
            line.setWordWrap(True)
            line.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
            self._lines[name] = line
            grid.addWidget(caption, row, 0, Qt.AlignmentFlag.AlignTop)
            grid.addWidget(line, row, 1)
        grid.setRowStretch(len(LINES), 1)

    def show_plan(
        self,
        job: Train,
        index: DatasetIndex,
        parts: Split,
        spec: BackboneSpec,
        measured: Measured | None,
        advice: Advice,
    ) -> None:
        """Show what the job is going to do."""
        self._lines["Pictures"].setText(summary_sentence(index))
        self._lines["Judged by"].setText(_judges(parts))
        self._lines["Backbone"].setText(
            f"{spec.title}, {spec.parameters / 1e6:.1f} million numbers that already know photographs."
        )
        self._lines["Regime"].setText(_regime(job))
        self._lines["Advice"].setText(_advice(job, advice))
        self._lines["Head"].setText(f"{HEAD_TITLES[job.head]}.")
        self._lines["Changes"].setText(_changes(job, len(parts.train)))
        self._lines["Kept in"].setText(job.run)
        speed = measured.images_per_second.get(spec.name) if measured else None
        self._lines["Device"].setText(_device(measured))
        if measured is None:
            self._lines["Time"].setText("Being measured …")
        elif speed is None:
            self._lines["Time"].setText("Not known before the training has begun.")
        else:
            on_cpu = measured.device.startswith("CPU")
            self._lines["Time"].setText(f"{_sentence_start(words.duration(seconds(job, parts, speed, on_cpu)))}.")

    def line(self, name: str) -> str:
        """Return one of the sentences."""
        return self._lines[name].text()


def seconds(job: Train, parts: Split, images_per_second: float, on_cpu: bool) -> float:
    """Return how long a run takes at that speed of looking at pictures: an estimate for people."""
    train, held_out = len(parts.train), len(parts.val) + len(parts.test)
    looks = train + held_out
    regime = regime_facts(job.regime).name
    if regime in BUDGET_FACTORS:
        a_picture, least, most = CPU_PRESENTATIONS if on_cpu else GPU_PRESENTATIONS
        shown = train * job.epochs if job.epochs else min(max(a_picture * train, least), most) * BUDGET_FACTORS[regime]
        looks += FORWARD_PASSES_A_TRAINING_STEP * shown
    return looks / images_per_second


def _judges(parts: Split) -> str:
    sentence = f"{words.pictures(len(parts.val))} that teach nothing"
    if parts.test:
        sentence += f", and {len(parts.test):,} more for the last test"
    if parts.made_by == "folders":
        return f"{sentence}, as your folders say."
    return f"{sentence}, drawn from every class."


def _regime(job: Train) -> str:
    facts = regime_facts(job.regime)
    sentence = f"{facts.title}. {facts.sentence}"
    if job.cut:
        return f"{sentence} It is cut after “{job.cut}”."
    if job.body_lr_span:
        return f"{sentence} The first part learns {job.body_lr_span:.0f} times slower than the last."
    return sentence


def _advice(job: Train, advice: Advice) -> str:
    regime = regime_facts(job.regime).name
    if regime == advice.regime and job.cut in ("", advice.cut):
        return "Followed." if advice.depths else "Followed; it rests on the number of pictures alone."
    where = f" after “{advice.cut}”" if regime == advice.regime else ""
    advised = f"“{regime_facts(advice.regime).title}”{where}"
    return f"Not followed: it was {advised}. {cost_of(advice, regime, job.cut)}".strip()


def _changes(job: Train, images: int) -> str:
    wanted = augmentation_for(regime_facts(job.regime).name, job.mirror, job.turned, job.recoloured)
    return changes_in_words(job.regime, job.head, images, wanted)


def _device(measured: Measured | None) -> str:
    if measured is None:
        return "Being looked for …"
    return f"{measured.device}. {measured.device_hint}".strip()


def _sentence_start(text: str) -> str:
    return text[:1].upper() + text[1:]
