"""The window's frame: rail, header, status line. Composes the pages and knows nothing of what they do."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import cast, get_args

import msgspec
from PySide6.QtCore import QSize, Qt, QTimer, Slot
from PySide6.QtGui import QAction, QActionGroup, QCloseEvent, QGuiApplication, QKeySequence, QShowEvent
from PySide6.QtWidgets import (
    QApplication,
    QButtonGroup,
    QFrame,
    QHBoxLayout,
    QLabel,
    QMainWindow,
    QPushButton,
    QSizePolicy,
    QStackedWidget,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from tlstudio.core.errors import Cause, StudioError
from tlstudio.core.events import Event, JobEnded, Progress, RunEnded, Waiting
from tlstudio.core.interrupted import forget_left, remember_left
from tlstudio.core.jobs import (
    Advise,
    Download,
    Evaluate,
    Export,
    Import,
    Job,
    Map,
    Measure,
    Predict,
    Race,
    Rank,
    Resume,
    Scan,
    Shortcuts,
    Train,
)
from tlstudio.core.run_history import shown_name
from tlstudio.core.runfolder import RunFolder
from tlstudio.gui import remembered, theme, words
from tlstudio.gui.continued_runs import MOST_AN_HOUR, ContinuedRuns
from tlstudio.gui.dialogs import AboutDialog, confirm_close
from tlstudio.gui.engine_thread import EnginePool
from tlstudio.gui.pages.evaluate_page import ResultsPage
from tlstudio.gui.pages.export_page import ExportPage
from tlstudio.gui.pages.page import Page
from tlstudio.gui.pages.pictures_page import PicturesPage
from tlstudio.gui.pages.runs_page import RunsPage
from tlstudio.gui.pages.start_page import StartPage
from tlstudio.gui.pages.train_page import TrainPage
from tlstudio.gui.pages.try_page import TryPage
from tlstudio.gui.report_dialog import ReportDialog
from tlstudio.gui.running_jobs import RunningJobs
from tlstudio.gui.training_share import TrainingShare
from tlstudio.gui.widgets.one_line import OneLine
from tlstudio.gui.wizard.options_step import free_name
from tlstudio.gui.wizard.wizard import TrainingWizard

APP_TITLE = "Transfer Learning Studio"
MINIMUM_SIZE = QSize(1024, 700)
NEEDS_RUN = "Train a classifier, or open one under Runs, to see this page."
NEEDS_MODEL = "This page needs a trained classifier. Train one, or open one under Runs."
PAGES = (
    ("start", "Start", ""),
    ("pictures", "Pictures", NEEDS_RUN),
    ("train", "Train", NEEDS_RUN),
    ("results", "Results", NEEDS_MODEL),
    ("try", "Try", NEEDS_MODEL),
    ("export", "Export", NEEDS_MODEL),
    ("runs", "Runs", ""),
)
JOB_WORDS: dict[type[Job], str] = {
    Scan: "Reading pictures",
    Train: "Training",
    Resume: "Training",
    Evaluate: "Judging the classifier",
    Predict: "Classifying pictures",
    Export: "Exporting",
    Download: "Fetching weights",
    Import: "Checking weights",
    Advise: "Measuring the pictures",
    Race: "Racing the regimes",
    Rank: "Comparing the backbones",
    Shortcuts: "Looking for shortcuts",
    Map: "Laying the pictures out",
}
ASK_BEFORE_STOPPING = (Train, Resume, Predict, Export, Download)

GOES_ON_BY_ITSELF: frozenset[Cause] = frozenset({"engine-died", "device-lost"})
"""What a new engine process may mend."""
HELD_MS = 2000
"""How often the window asks whether a run that is trained elsewhere is free again."""


class MainWindow(QMainWindow):
    """Rail, header, pages and status line; runs the pages' jobs and hands events back."""

    def __init__(self, pool: EnginePool | None = None) -> None:
        super().__init__()
        self.setMinimumSize(MINIMUM_SIZE)
        self._jobs = RunningJobs(pool or EnginePool(), self)
        self._jobs.changed.connect(self._show_jobs)
        self._jobs.progressed.connect(self._follow_job)
        self._run: RunFolder | None = None
        self._share = TrainingShare()
        self._trained: RunFolder | None = None
        """What is trained here, or could not begin to be."""
        self._percent: int | None = None
        self._pictures = ""
        """What the header says of the run on the pages."""
        self._waiting = False
        self._continued = ContinuedRuns()
        self._held = QTimer(self)
        self._held.setInterval(HELD_MS)
        self._held.timeout.connect(self._look_whether_free)
        self._has_trained = False
        self._subject = ""
        self._leaving = False
        self.wizard: TrainingWizard | None = None
        self.start_page = StartPage()
        self.start_page.folders_chosen.connect(self.open_wizard)
        self.start_page.table_chosen.connect(self.open_wizard)
        self.start_page.resume_requested.connect(self._train)
        self.start_page.report_requested.connect(self._report_problem)
        self.train_page = TrainPage()
        self.train_page.resume_requested.connect(self._train)
        runs_page = RunsPage()
        runs_page.renamed.connect(self._show_header)
        self.pages: dict[str, Page] = {
            "start": self.start_page,
            "pictures": PicturesPage(),
            "train": self.train_page,
            "results": ResultsPage(),
            "try": TryPage(),
            "export": ExportPage(),
            "runs": runs_page,
        }
        self._stack = QStackedWidget()
        for page in self.pages.values():
            self._stack.addWidget(page)
            # Pages live in this thread, so a bound page reaches the jobs without crossing threads.
            page.job_requested.connect(partial(self._start_job, page))
            page.stop_requested.connect(partial(self._jobs.stop, page))
            page.run_chosen.connect(self._open_run)
            page.run_gone.connect(self._let_go_of)
            page.page_requested.connect(self.show_page)
        self._rail = QButtonGroup(self)
        self._title = OneLine("title")
        self._state = OneLine("muted")
        self._device = QLabel("Looking at this computer …")
        self._device.setProperty("role", "muted")
        self._job_line = QLabel()
        self._job_line.setProperty("role", "muted")
        self._cancel = QPushButton("Cancel")
        self._cancel.setAccessibleDescription("Ends the work named beside it.")
        self._cancel.clicked.connect(self._cancel_newest)
        for label in (self._device, self._job_line):
            label.setTextFormat(Qt.TextFormat.PlainText)
        self._lay_out()
        self._add_menus()
        self._restore()
        self.set_run(None)
        self.show_page("start")
        self._show_jobs()

    def warm_up(self) -> None:
        """Start the engine behind the window, and ask it what this computer has."""
        self._jobs.start(Measure(), self)

    @Slot(object)
    def receive(self, event: Event) -> None:
        """Take what the engine says about this computer."""
        if isinstance(event, JobEnded) and event.status == "finished" and event.result:
            self._device.setText(event.result["device"])
            self._device.setToolTip(event.result["device_hint"])

    @Slot(object)
    @Slot(object, str)
    def open_wizard(self, folders: Sequence[Path], table: str = "") -> None:
        """Begin a new classifier from these folders or this archive; `table` may tell the classes."""
        if self._is_training():
            self.start_page.say("A training is running. Stop it on the Train page, or let it end, before the next one.")
            return
        self.wizard = TrainingWizard(folders, self._jobs, self, table)
        self.wizard.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.wizard.train_requested.connect(self._train)
        self.wizard.open()

    @Slot(str)
    def show_page(self, name: str) -> None:
        """Go to a page, if it can be used."""
        button = self._rail.button(list(self.pages).index(name))
        if button.isEnabled():
            button.setChecked(True)
            self._stack.setCurrentWidget(self.pages[name])
            self._show_header()
            if self.focusWidget() not in self._rail.buttons():  # or else it goes to whatever comes next
                self.pages[name].setFocus()
            if name == "start":
                self.start_page.refresh()

    def page_name(self) -> str:
        """Return the name of the page in view."""
        return list(self.pages)[self._stack.currentIndex()]

    def set_run(self, run: RunFolder | None) -> None:
        """Show this run on all pages."""
        self._show_run(run, list(self.pages.values()))

    def _show_run(self, run: RunFolder | None, pages: Sequence[Page]) -> None:
        self._run = run
        self._pictures = _pictures_of(run) if run else ""
        if self._percent is None:
            self._trained = None
        held = run is not None and not self._trains(run) and run.is_held()
        for page in pages:
            page.set_held(held)
            page.set_run(run)
        if held:
            self._held.start()
        else:
            self._held.stop()
        self._show_header()
        self._show_reachable()

    @Slot()
    def close_now(self) -> None:
        """Pause or stop all work and close without asking."""
        self._leaving = True
        self.close()

    def closeEvent(self, event: QCloseEvent) -> None:
        running = self._jobs.jobs()
        asks = any(isinstance(job, ASK_BEFORE_STOPPING) for job in running)
        if asks and not self._leaving and not confirm_close(self, self._is_training()):
            event.ignore()
            return
        self._leaving = True
        self._remember()
        for job in running:
            if isinstance(job, Train | Resume):
                with suppress(StudioError):  # then it is found under Runs, but not offered at the next start
                    remember_left(RunFolder(Path(job.run)))
        self.hide()
        self._jobs.end_all()
        event.accept()

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self.pages[self.page_name()].setFocus()

    def _start_job(self, page: Page, job: Job) -> None:
        self._jobs.start(job, page)

    @Slot(object)
    def _open_run(self, run: RunFolder) -> None:
        self.set_run(run)
        is_in_training = self._trained is None or self._trained.path == run.path
        self.show_page("results" if run.model_file.is_file() else "train" if is_in_training else "pictures")

    @Slot(str)
    def _let_go_of(self, folder: str) -> None:
        """Show a run no longer whose folder has gone."""
        if self._run is not None and str(self._run.path.absolute()) == folder:
            self.set_run(None)

    @Slot(object)
    def _train(self, job: Train | Resume) -> None:
        """Train because the user wants to."""
        if self._percent is not None:
            self.start_page.say("A training is running. Stop it on the Train page, or let it end, before the next one.")
            return
        if isinstance(job, Resume):
            with suppress(StudioError):  # at worst it is offered once more
                forget_left(RunFolder(Path(job.run)))
        elif Path(job.run).exists():  # another window has taken the name, or an attempt left something there
            folder = Path(job.run).parent
            job = msgspec.structs.replace(job, run=str(folder / free_name(Path(job.run).name, folder)))
        self._begin_training(job, "")
        self.show_page("train")

    def _begin_training(self, job: Train | Resume, why: str) -> None:
        self._share, self._percent, self._waiting = TrainingShare(), 0, False
        self._trained = RunFolder(Path(job.run))
        self._tell_pages_what_is_trained()
        self.train_page.begin(job, why)
        self._jobs.start(job, self.train_page)
        self._show_header()
        self._has_trained = True
        self._show_reachable()

    @Slot(object, object)
    def _follow_job(self, job: Job, event: Event) -> None:
        if job in self._shown_jobs()[-1:]:
            self._job_line.setText(_job_sentence(job, event))
        if isinstance(job, Train | Resume):
            self._follow_training(job, event)

    def _follow_training(self, job: Train | Resume, event: Event) -> None:
        if self._percent is None:  # the run has ended, and now its process too
            return
        if not isinstance(event, RunEnded | JobEnded):
            waited, self._waiting = self._waiting, isinstance(event, Waiting)
            self._percent = int(100 * self._share.take(event))
            if waited != self._waiting:
                self._show_header()
            self._show_window_title()
            return
        if event.cause in GOES_ON_BY_ITSELF and isinstance(event, RunEnded):
            return  # its process is about to end, and then a new one may go on
        self._percent = None
        run = RunFolder(Path(job.run))
        begun = run.plan_file.is_file()
        if begun and event.cause in GOES_ON_BY_ITSELF and not self._leaving and self._goes_on(run, event.what):
            return
        QApplication.alert(self)
        self._tell_pages_what_is_trained()
        if not begun:
            self._show_header()
        else:
            # Where the log does not tell how it ended, the training page keeps what it was told.
            pages = [page for page in self.pages.values() if page is not self.train_page or isinstance(event, RunEnded)]
            self._show_run(run, pages)

    def _goes_on(self, run: RunFolder, what: str) -> bool:
        """Go on with a run in a new engine process, unless that was done too often."""
        count = self._continued.take(str(run.path))
        if not count:
            self.train_page.explain(
                f"The training went on by itself {MOST_AN_HOUR} times within an hour. Now it waits for you: close "
                "other programs, or restart the computer, then go on."
            )
            return False
        why = f"{what} Nothing is lost: the training goes on by itself from its last saved state"
        self._begin_training(Resume(run=str(run.path)), f"{why} ({count} of at most {MOST_AN_HOUR} times an hour).")
        return True

    @Slot()
    def _show_jobs(self) -> None:
        running = self._shown_jobs()
        self._cancel.setVisible(bool(running))
        self._job_line.setText(f"{_name(running[-1])} …" if running else "")
        self._show_reachable()

    @Slot()
    def _cancel_newest(self) -> None:
        running = self._shown_jobs()
        if running:
            self._jobs.stop_job(running[-1])

    def _shown_jobs(self) -> list[Job]:
        """Return the work that the user asked for."""
        return [job for job in self._jobs.jobs() if not isinstance(job, Measure)]

    def _is_training(self) -> bool:
        return any(isinstance(job, Train | Resume) for job in self._jobs.jobs())

    def _trains(self, run: RunFolder) -> bool:
        """Return whether this very window trains the run."""
        return any(isinstance(job, Train | Resume) and Path(job.run) == run.path for job in self._jobs.jobs())

    @Slot()
    def _look_whether_free(self) -> None:
        """Show the run anew as soon as nobody else trains it."""
        if self._run is None or not self._run.is_held():
            self.set_run(self._run)

    def _tell_pages_what_is_trained(self) -> None:
        for page in self.pages.values():
            page.set_trained(self._trained if self._percent is not None else None)

    @Slot()
    def _show_header(self) -> None:
        """Say whose page is in view: while one run is trained, the pages may show another."""
        is_of_training = self._run is None or self.page_name() == "train"
        run = (self._trained if is_of_training else None) or self._run
        if run is None:
            state = "Drop a folder of pictures to begin, or open a run."
        elif self._trained is None or run.path != self._trained.path:
            state = self._pictures
        elif self._percent is None:
            state = "The training could not begin."
        else:
            state = "The training is waiting." if self._waiting else "The training is running."
        self._title.setText(shown_name(run) if run else APP_TITLE)
        self._state.setText(state)
        subject = self._trained or self._run
        self._subject = shown_name(subject) if subject else ""
        self._show_window_title()

    def _show_window_title(self) -> None:
        parts = ["Waiting"] if self._waiting and self._percent is not None else []
        parts += [] if self._percent is None else [f"{self._percent} %"]
        parts += [self._subject] if self._subject else []
        self.setWindowTitle(" – ".join([*parts, APP_TITLE]))

    def _show_reachable(self) -> None:
        has_run = self._run is not None
        has_model = self._run is not None and self._run.model_file.is_file()
        met = {"": True, NEEDS_RUN: has_run, NEEDS_MODEL: has_model}
        for number, (name, title, why_not) in enumerate(PAGES):
            usable = met[why_not] or (name == "train" and self._has_trained)
            button = self._rail.button(number)
            button.setEnabled(usable)
            button.setToolTip("" if usable else why_not)
            button.setAccessibleDescription("" if usable else why_not)
            button.setAccessibleName(title)

    @Slot(int)
    def _go(self, number: int) -> None:
        self.show_page(list(self.pages)[number])

    def _lay_out(self) -> None:
        rail = QWidget()
        rail.setFixedWidth(theme.RAIL_WIDTH_PX)
        column = QVBoxLayout(rail)
        column.setContentsMargins(theme.SPACE_INSIDE, theme.SPACE, theme.SPACE_INSIDE, theme.SPACE)
        column.setSpacing(theme.SPACE_TIGHT)
        for number, (name, title, _) in enumerate(PAGES):
            button = QToolButton()
            button.setText(title)
            button.setCheckable(True)
            button.setProperty("role", "rail")
            button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
            button.setIconSize(QSize(theme.ICON_PX, theme.ICON_PX))
            button.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
            button.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
            button.setShortcut(QKeySequence(f"Ctrl+{number + 1}"))
            theme.set_icon(button, name)
            self._rail.addButton(button, number)
            if name == "runs":
                column.addStretch()
            column.addWidget(button)
        self._rail.idClicked.connect(self._go)
        header = QVBoxLayout()
        header.setContentsMargins(theme.SPACE_PAGE, theme.SPACE, theme.SPACE_PAGE, theme.SPACE - 4)
        header.setSpacing(2)
        header.addWidget(self._title)
        header.addWidget(self._state)
        right = QVBoxLayout()
        right.setSpacing(0)
        right.addLayout(header)
        right.addWidget(_rule(horizontal=True))
        right.addWidget(self._stack, 1)
        central = QWidget()
        across = QHBoxLayout(central)
        across.setContentsMargins(0, 0, 0, 0)
        across.setSpacing(0)
        across.addWidget(rail)
        across.addWidget(_rule(horizontal=False))
        across.addLayout(right, 1)
        self.setCentralWidget(central)
        status = self.statusBar()
        status.setSizeGripEnabled(False)
        status.setContentsMargins(theme.SPACE, 2, theme.SPACE, 2)
        status.addWidget(self._device)
        status.addPermanentWidget(self._job_line)
        status.addPermanentWidget(self._cancel)

    def _add_menus(self) -> None:
        file = self.menuBar().addMenu("&File")
        new = file.addAction("&New classifier from a folder …", self._choose_folder)
        new.setShortcut(QKeySequence.StandardKey.Open)
        file.addSeparator()
        leave = file.addAction("&Quit", self.close)
        leave.setShortcut(QKeySequence.StandardKey.Quit)
        leave.setMenuRole(QAction.MenuRole.QuitRole)
        view = self.menuBar().addMenu("&View")
        self.schemes = QActionGroup(self)
        for scheme, title in (("system", "Colours of the &system"), ("light", "&Light"), ("dark", "&Dark")):
            action = self.schemes.addAction(title)
            action.setCheckable(True)
            action.setData(scheme)
            view.addAction(action)
        self.schemes.triggered.connect(self._choose_scheme)
        support = self.menuBar().addMenu("&Help")
        support.addAction("&Report a problem …", self._report_problem)
        about = support.addAction("&About", self._show_about)
        about.setMenuRole(QAction.MenuRole.AboutRole)

    @Slot()
    def _choose_folder(self) -> None:
        self.show_page("start")
        self.start_page.choose_folder()

    @Slot(QAction)
    def _choose_scheme(self, action: QAction) -> None:
        remembered.remember_choice("scheme", action.data())
        theme.apply(cast(QApplication, QGuiApplication.instance()), action.data())

    @Slot()
    def _show_about(self) -> None:
        AboutDialog(self).open()

    @Slot()
    def _report_problem(self) -> None:
        ReportDialog(self._run, self).open()

    def _restore(self) -> None:
        self.resize(1180, 780)
        self.restoreGeometry(remembered.arrangement("window geometry"))
        self.restoreState(remembered.arrangement("window state"))
        scheme = saved_scheme()
        for action in self.schemes.actions():
            action.setChecked(action.data() == scheme)

    def _remember(self) -> None:
        remembered.remember_arrangement("window geometry", self.saveGeometry())
        remembered.remember_arrangement("window state", self.saveState())


def saved_scheme() -> theme.Scheme:
    """Return the colours the user chose last."""
    chosen = remembered.choice("scheme", "system")
    return cast(theme.Scheme, chosen) if chosen in get_args(theme.Scheme) else "system"


def _pictures_of(run: RunFolder) -> str:
    try:
        index = run.dataset()
    except StudioError as error:
        return error.what
    aside = f", {len(index.problems):,} set aside or noted" if index.problems else ""
    return f"{words.pictures(len(index.images))} in {len(index.classes)} classes{aside}"


def _name(job: Job) -> str:
    return JOB_WORDS[type(job)]


def _job_sentence(job: Job, event: Event) -> str:
    match event:
        case Waiting():
            return f"{_name(job)} is waiting"
        case Progress(total=total) if total:
            return f"{event.what}: {event.done:,} of {event.total:,}"
        case Progress():
            return f"{event.what} …"
        case _:
            return f"{_name(job)} …"


def _rule(horizontal: bool) -> QFrame:
    rule = QFrame()
    rule.setProperty("role", "rule")
    if horizontal:
        rule.setFixedHeight(1)
    else:
        rule.setFixedWidth(1)
    return rule
