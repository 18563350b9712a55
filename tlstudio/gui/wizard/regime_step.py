"""The third step: how much of the old network should change."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from PySide6.QtCore import Qt, Signal, Slot
from PySide6.QtGui import QKeySequence, QShortcut
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QStackedWidget,
    QTabWidget,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from tlstudio.core import weights_folder
from tlstudio.core.advice import Advice, advise, cost_of
from tlstudio.core.backbones import BACKBONES, BackboneSpec
from tlstudio.core.events import AdviceChanged, Event, JobEnded, Progress
from tlstudio.core.jobs import Advise
from tlstudio.core.plan import BODY_LR_SPAN
from tlstudio.core.regimes import FITTED, HEAD_TITLES, Head, Regime, regime_facts
from tlstudio.gui import theme
from tlstudio.gui.widgets.depth_profile import DepthProfile
from tlstudio.gui.widgets.job_progress import JobProgress
from tlstudio.gui.widgets.network_picture import NetworkLegend, NetworkPicture, NetworkState
from tlstudio.gui.widgets.regime_chart import RegimeChart
from tlstudio.gui.widgets.sentence import Sentence
from tlstudio.gui.wizard.race_panel import RacePanel
from tlstudio.gui.wizard.step import Step

MEASURING = "Measuring your pictures"
STOPPED = "The measuring was stopped, so the advice rests on the number of pictures alone."
LEFT_SHARE, RIGHT_SHARE = 5, 4


class Choice(msgspec.Struct, frozen=True):
    """What the user decided. None follows the advice, or the plan's usual rates."""

    regime: Regime | None = None
    cut: str | None = None
    body_lr_span: float | None = None
    head: Head = "linear"


class RegimeStep(Step):
    """The chart that the measurements fill, their reasons, the network as it will be, and the race."""

    title = "Regime"
    question = "How much of the old network should change?"
    measuring_wanted = Signal()
    """The user wants the pictures to be measured again."""
    changed = Signal()
    """Other advice or another choice is in view."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._choice = Choice()
        self._earlier: list[Choice] = []
        self._counts: tuple[int, ...] = ()
        self._spec = BACKBONES[0]
        self._weights = ""
        self._seed = 0
        self._found: dict[tuple[str, int], Advice | str] = {}
        """By file of weights and seed: the advice, or why there is none."""
        self._partial: Advice | None = None
        self._running = False
        self._outdated = False
        """What runs was begun for other pictures, another seed or other weights."""
        self._why_no_race = ""
        self._progress = JobProgress()
        self._progress.cancelled.connect(self._stop_measuring)
        self._reasons = Sentence()
        self._again = QPushButton("Measure &again")
        self._again.clicked.connect(self._measure_again)
        self._top = QStackedWidget()
        self.chart = RegimeChart()
        self.chart.chosen.connect(self._choose_regime)
        self.setFocusProxy(self.chart)
        self.profile = DepthProfile()
        self._would_change = Sentence("muted")
        self._cost = Sentence()
        self.race = RacePanel()
        self.race.winner_chosen.connect(self._choose_regime)
        self.network = NetworkPicture()
        self.network.cut_moved.connect(self._choose_cut)
        self.network.slowed.connect(self._choose_span)
        self._edit_note = QLabel()
        self._scratch = QCheckBox("Start from random &weights instead")
        self._scratch.clicked.connect(self._choose_scratch)
        self._head = QComboBox()
        for name, title in HEAD_TITLES.items():
            self._head.addItem(title, name)
        self._head.activated.connect(self._choose_head)
        self._folded = QWidget()
        self._more = QToolButton()
        self._more.toggled.connect(self._fold)
        self._reset = QToolButton()
        self._reset.clicked.connect(self._follow_advice)
        QShortcut(QKeySequence(QKeySequence.StandardKey.Undo), self, self.undo)
        self._lay_out()
        self._show()

    def forget(self) -> None:
        """Forget what was found about other pictures, and what was chosen for them."""
        self._found.clear()
        self._choice = Choice()
        self._earlier.clear()

    def show_counts(self, class_counts: Sequence[int], seed: int = 0) -> None:
        """Advise for these numbers of training pictures a class, as the seed dealt them out; choices stay."""
        self._counts, self._seed = tuple(class_counts), seed
        self.race.forget()
        self.pause_measuring()
        self._show()

    @Slot(object)
    def show_backbone(self, spec: BackboneSpec) -> None:
        """Show this backbone and what was measured with its weights on this computer."""
        file = weights_folder.weights_file_for(spec)
        weights = str(file.path) if file else ""
        if (spec, weights) != (self._spec, self._weights):
            self._spec, self._weights = spec, weights
            self.race.forget()
            self.pause_measuring()
        self._show()

    def wants_measuring(self) -> bool:
        """Return whether nothing was measured yet with the weights of this backbone."""
        return bool(self._counts and self._weights) and not self._running and self._what() not in self._found

    def allow_race(self, why_not: str) -> None:
        """Let the user start a race, unless there is a reason not to, or the pictures are yet to be measured."""
        self._why_no_race = why_not
        unmeasured = "" if self._what() in self._found else "Your pictures are still being measured."
        self.race.allow(why_not or unmeasured)

    def measure(self, job: Advise) -> None:
        """Ask for the measurements."""
        self._running, self._outdated, self._partial = True, False, None
        self._show()
        self.job_requested.emit(job)

    def pause_measuring(self) -> None:
        """Stop what runs without counting it: it is wanted again when the way is free."""
        self._outdated, self._partial = True, None
        self._progress.begin(MEASURING)
        if self._running:
            self.stop_requested.emit()

    def advice(self) -> Advice:
        """Return what the measurements say so far; the advice by counts before there are any."""
        found = self._found.get(self._what(), self._partial)
        if isinstance(found, Advice):
            return found
        return advise(self._counts) if self._counts else Advice("head", ())

    def regime(self) -> Regime:
        """Return the chosen regime: the advised one until the user chose."""
        return self._choice.regime or self.advice().regime

    def head(self) -> Head:
        """Return the chosen head."""
        return self._choice.head if self.regime() in FITTED else "linear"

    def cut(self) -> str:
        """Return the block after which to cut, "" where nothing is cut."""
        return self.possible_cut() if self.regime() == "cut" else ""

    def possible_cut(self) -> str:
        """Return the block after which a cut would come."""
        return self._blocks()[self._cut_position()]

    def body_lr_span(self) -> float | None:
        """Return how many times slower the first block is to learn, None where that was left to the plan."""
        return self._choice.body_lr_span if self.regime() == "fine-tune" else None

    @Slot(object)
    def receive(self, event: Event) -> None:
        match event:
            case Progress() if not self._outdated:
                self._progress.show_progress(event)
            case AdviceChanged() if not self._outdated:
                self._partial = event.advice
                self._show()
            case JobEnded():
                self._end_measuring(event)

    @Slot()
    def undo(self) -> None:
        """Take back the last choice."""
        if self._earlier:
            self._choice = self._earlier.pop()
            self._show()

    def _end_measuring(self, event: JobEnded) -> None:
        self._running, self._partial = False, None
        if not self._outdated:
            if event.status == "finished":
                self._found[self._what()] = msgspec.convert(event.result, Advice)
            elif event.status == "stopped":
                self._found[self._what()] = STOPPED
            else:
                self._found[self._what()] = f"The pictures could not be measured. {event.what} {event.hint}".strip()
        self._show()

    @Slot()
    def _stop_measuring(self) -> None:
        if self._running:
            self.stop_requested.emit()
        else:
            self._found[self._what()] = STOPPED
            self._show()

    @Slot()
    def _measure_again(self) -> None:
        self._found.pop(self._what())
        self._progress.begin(MEASURING)
        self._show()
        self.measuring_wanted.emit()

    def _decide(self, choice: Choice) -> None:
        if choice != self._choice:
            self._earlier.append(self._choice)
            self._choice = choice
        self._show()

    @Slot(str)
    def _choose_regime(self, regime: Regime) -> None:
        self._decide(msgspec.structs.replace(self._choice, regime=regime))

    @Slot(bool)
    def _choose_scratch(self, wanted: bool) -> None:
        self._choose_regime("scratch" if wanted else "full")

    @Slot(int)
    def _choose_cut(self, position: int) -> None:
        self._decide(msgspec.structs.replace(self._choice, cut=self._blocks()[position]))

    @Slot(float)
    def _choose_span(self, span: float) -> None:
        self._decide(msgspec.structs.replace(self._choice, body_lr_span=span))

    @Slot(int)
    def _choose_head(self, position: int) -> None:
        self._decide(msgspec.structs.replace(self._choice, head=self._head.itemData(position)))

    @Slot()
    def _follow_advice(self) -> None:
        self._decide(Choice())

    def _what(self) -> tuple[str, int]:
        """Return what measurements depend on besides the pictures."""
        return self._weights, self._seed

    def _blocks(self) -> tuple[str, ...]:
        return tuple(block.name for block in self._spec.blocks)

    def _cut_position(self) -> int:
        blocks = self._blocks()
        wanted = self._choice.cut if self._choice.cut in blocks else self.advice().cut
        return blocks.index(wanted) if wanted in blocks else (len(blocks) - 1) // 2

    def _show(self) -> None:
        self._show_advice()
        self._show_choice()
        self.changed.emit()

    def _show_advice(self) -> None:
        advice, found = self.advice(), self._found.get(self._what())
        self.chart.show_advice(advice)
        why_not = found if isinstance(found, str) else ""
        self._top.setCurrentIndex(0 if found is None else 1)
        self._again.setVisible(bool(why_not))
        title = regime_facts(advice.regime).title
        self._reasons.setText(" ".join((why_not, f"Advice: {title}.", *advice.reasons)).strip())
        self._reasons.setToolTip(self._reasons.text())
        self.profile.show_depths(advice.depths, "Nothing was measured." if why_not else f"{MEASURING} …")
        self._would_change.setText(f"What would change it: {advice.would_change}" if advice.would_change else "")
        self.allow_race(self._why_no_race)

    def _show_choice(self) -> None:
        regime = self.regime()
        self.chart.choose("full" if regime == "scratch" else regime)
        cost = cost_of(self.advice(), regime, self.cut())
        self._cost.setText(f"Against the advice. {cost}" if cost else "")
        span = self._choice.body_lr_span or BODY_LR_SPAN
        self.network.show_state(NetworkState(regime, self._blocks(), self._cut_position(), span))
        notes = {
            "head": "Only the new head learns.",
            "cut": f"Cut after “{self.possible_cut()}”: drag the line to move the cut.",
            "fine-tune": f"The first part learns {span:.0f} times slower: drag the knob.",
        }
        self._edit_note.setText(notes.get(regime, ""))
        trains_all = regime in ("full", "scratch")
        self._edit_note.setVisible(not trains_all)
        self._scratch.setVisible(trains_all)
        self._scratch.setChecked(regime == "scratch")
        fitted = regime in FITTED
        self._head.setEnabled(fitted)
        self._head.setToolTip("" if fitted else "Only a network that stays as it is takes another head.")
        self._head.setCurrentIndex(self._head.findData(self.head()))
        self._reset.setEnabled(self._choice != Choice())

    @Slot(bool)
    def _fold(self, shown: bool) -> None:
        self._folded.setVisible(shown)
        theme.set_icon(self._more, "chevron-down" if shown else "chevron-right")

    def _lay_out(self) -> None:
        across = QHBoxLayout()
        across.setSpacing(theme.SPACE_PAGE)
        across.addWidget(self.chart, LEFT_SHARE)
        across.addWidget(self._evidence(), RIGHT_SHARE)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(theme.SPACE_INSIDE)
        layout.addWidget(self._advice_lines())
        layout.addLayout(across, 1)
        layout.addSpacing(theme.SPACE_TIGHT)
        layout.addWidget(self._network_title())
        layout.addWidget(self.network)
        layout.addWidget(self._edits())

    def _advice_lines(self) -> QWidget:
        said = QWidget()
        row = QHBoxLayout(said)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(theme.SPACE)
        self._reasons.setAlignment(Qt.AlignmentFlag.AlignTop | Qt.AlignmentFlag.AlignLeft)
        row.addWidget(self._reasons, 1)
        row.addWidget(self._again, 0, Qt.AlignmentFlag.AlignTop)
        self._progress.begin(MEASURING)
        self._top.addWidget(self._progress)
        self._top.addWidget(said)
        self._top.setFixedHeight(3 * self.fontMetrics().lineSpacing() + theme.SPACE_INSIDE)
        return self._top

    def _evidence(self) -> QWidget:
        measured = QWidget()
        column = QVBoxLayout(measured)
        column.setContentsMargins(0, theme.SPACE_INSIDE, 0, 0)
        column.setSpacing(theme.SPACE_INSIDE)
        self._cost.setFixedHeight(2 * self.fontMetrics().lineSpacing() + theme.SPACE_TIGHT)
        self._cost.setAlignment(Qt.AlignmentFlag.AlignTop | Qt.AlignmentFlag.AlignLeft)
        column.addWidget(self.profile)
        column.addWidget(self._would_change)
        column.addStretch()
        column.addWidget(self._cost)
        tabs = QTabWidget()
        tabs.addTab(measured, "How far each part helps")
        tabs.addTab(self.race, "Race")
        return tabs

    def _network_title(self) -> QWidget:
        line = QWidget()
        row = QHBoxLayout(line)
        row.setContentsMargins(0, 0, 0, 0)
        title = QLabel("What happens to the parts of the network")
        title.setProperty("role", "section")
        row.addWidget(title)
        row.addStretch()
        row.addWidget(NetworkLegend())
        return line

    def _edits(self) -> QWidget:
        line = QWidget()
        row = QHBoxLayout(line)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(theme.SPACE_INSIDE)
        self._edit_note.setProperty("role", "muted")
        self._more.setText("More")
        self._more.setCheckable(True)
        self._more.setProperty("role", "fold")
        self._more.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self._reset.setText("Reset to the advice")
        self._reset.setProperty("role", "fold")
        self._reset.setToolTip(f"{QKeySequence(QKeySequence.StandardKey.Undo).toString()} takes back the last choice.")
        head_row = QHBoxLayout(self._folded)
        head_row.setContentsMargins(0, 0, 0, 0)
        head_row.setSpacing(theme.SPACE_INSIDE)
        caption = QLabel("&Head")
        caption.setBuddy(self._head)
        head_row.addWidget(caption)
        head_row.addWidget(self._head)
        row.addWidget(self._edit_note)
        row.addWidget(self._scratch)
        row.addStretch()
        row.addWidget(self._folded)
        row.addWidget(self._more)
        row.addWidget(self._reset)
        line.setFixedHeight(self._head.sizeHint().height() + 2)
        self._fold(False)
        return line
