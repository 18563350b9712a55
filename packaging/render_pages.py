"""Renders every page and every wizard step of the real window to PNG, light and dark.

    python packaging/render_pages.py OUT_FOLDER [--run RUN] [--pictures FOLDER] [--weights FILE] [--size WxH ...]

Without --run a classifier is trained first, by the window's own wizard and the real engine process; --pictures and
--epochs say on what and how long (drawn sample pictures otherwise). With --run that run is copied and opened.
Everything happens in a temporary home: runs, weights and settings of this computer are only read.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, TypeVar

if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from PySide6.QtCore import QMimeData, QPointF, Qt, QThreadPool, QTimer, QUrl
from PySide6.QtGui import QDragEnterEvent, QDropEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import (
    QApplication,
    QLineEdit,
    QPushButton,
    QSpinBox,
    QTableView,
    QTabWidget,
    QToolButton,
    QWidget,
)

from tlstudio.core import weights_folder
from tlstudio.core.paths import HOME_VARIABLE, data_dir, resource_path, runs_dir, weights_dir
from tlstudio.core.runfolder import RunFolder
from tlstudio.core.sample_pictures import draw_sample_pictures
from tlstudio.gui import theme
from tlstudio.gui.dialogs import AboutDialog, confirm_close
from tlstudio.gui.main_window import MainWindow
from tlstudio.gui.storage_dialog import StorageDialog
from tlstudio.gui.widgets.confusion_view import ConfusionView
from tlstudio.gui.widgets.curves import Curves
from tlstudio.gui.widgets.drop_zone import DropZone
from tlstudio.gui.widgets.image_grid import ImageGrid
from tlstudio.gui.widgets.job_progress import JobProgress
from tlstudio.gui.widgets.race_chart import RaceChart
from tlstudio.gui.wizard.wizard import TrainingWizard

SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
SIZES = ("1024x700", "1600x1000")
PATIENCE_S = 3600
SETTLE_S = 0.3
"""Long enough for the curves' timer to have drawn."""
LIVE_EPOCHS = 3
"""Judged epochs after which the training in progress is rendered."""
TRIED_PICTURES = 12
WIZARD_SIZE = (1100, 760)
RACE_MINUTES = 1
LEFT = Qt.MouseButton.LeftButton
AnyWidget = TypeVar("AnyWidget", bound=QWidget)


def main(arguments: Sequence[str]) -> int:
    """Render everything and return the exit code."""
    parser = argparse.ArgumentParser(description="Render every page of the window to PNG, light and dark.")
    parser.add_argument("out", type=Path, metavar="OUT_FOLDER")
    parser.add_argument("--run", type=Path, help="an existing run, instead of training one")
    parser.add_argument("--pictures", type=Path, metavar="FOLDER", help="instead of drawn sample pictures")
    parser.add_argument("--weights", type=Path, metavar="FILE", help="weights, named after their backbone")
    parser.add_argument("--epochs", type=int, default=8, help="epochs of the run that is trained (default: 8)")
    parser.add_argument("--size", nargs="+", default=SIZES, metavar="WxH", help="sizes of the window")
    chosen = parser.parse_args(arguments)
    weights = chosen.weights or weights_on_this_computer()
    sizes = [tuple(int(part) for part in size.split("x")) for size in chosen.size]
    chosen.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="tlstudio-") as home:
        os.environ[HOME_VARIABLE] = home
        if weights.parent != resource_path("backbones"):
            shutil.copy(weights, weights_dir() / weights.name)
        pictures = chosen.pictures
        if pictures is None:
            pictures = data_dir() / "leaves"
            draw_sample_pictures(pictures)
        app = QApplication([])
        window = MainWindow()
        try:
            render(Renderer(window, chosen.out, sizes), pictures, chosen.run, chosen.epochs)
        finally:
            window.close_now()
            QThreadPool.globalInstance().waitForDone()
            app.processEvents()
    return 0


def weights_on_this_computer() -> Path:
    """Return the file the app would use, outside the temporary home."""
    file = weights_folder.weights_file_for(weights_folder.best_present())
    assert file is not None
    return file.path


class Renderer:
    """Takes pictures of the window, in every scheme and size."""

    def __init__(self, window: MainWindow, folder: Path, sizes: Sequence[tuple[int, ...]]) -> None:
        self.window = window
        self._folder, self._sizes = folder, sizes
        theme.apply(application(), SCHEMES[0])
        self._resize(*sizes[0])
        window.show()

    def page(self, name: str) -> None:
        """Render the main window as it stands."""
        for scheme in SCHEMES:
            theme.apply(application(), scheme)
            for width, height in self._sizes:
                self._resize(width, height)
                self._save(self.window, f"{name}-{width}x{height}-{scheme}")
        theme.apply(application(), SCHEMES[0])
        self._resize(*self._sizes[0])

    def dialog(self, widget: QWidget, name: str, settled: bool = True) -> None:
        """Render a window of its own in the size it has; what will not wait is rendered before it has settled."""
        for scheme in SCHEMES:
            theme.apply(application(), scheme)
            self._save(widget, f"{name}-{scheme}", settled)
        theme.apply(application(), SCHEMES[0])

    def _resize(self, width: int, height: int) -> None:
        self.window.resize(width, height)

    def _save(self, widget: QWidget, name: str, settled: bool = True) -> None:
        if settled:
            settle()
        file = self._folder / f"{name}.png"
        if not widget.grab().save(str(file)):
            raise OSError(f"{file} could not be written.")
        print(file, flush=True)


def render(renderer: Renderer, pictures: Path, run: Path | None, epochs: int) -> None:
    """Go through the whole window as a user would and render every state on the way."""
    window = renderer.window
    renderer.page("start-empty")
    if run is None:
        wizard_steps(renderer, pictures, epochs, train=True)
        shown = watch_training(renderer)
    else:
        wizard_steps(renderer, pictures, epochs, train=False)
        shown = RunFolder(runs_dir() / run.resolve().name)
        shutil.copytree(run, shown.path, ignore=shutil.ignore_patterns("exports"))
        window.set_run(shown)
    window.show_page("train")
    renderer.page("train-ended")
    click(fold(window.train_page, "Details"))
    renderer.page("train-details")
    click(fold(window.train_page, "Details"))
    window.show_page("start")
    settle()
    renderer.page("start-recent")
    window.show_page("pictures")
    renderer.page("pictures")
    results(renderer)
    trying(renderer, shown)
    export(renderer)
    window.show_page("runs")
    renderer.page("runs")
    storage = button(window, "Storage …")
    assert storage is not None
    click(storage)
    dialog = part(window, StorageDialog)
    renderer.dialog(dialog, "storage")
    dialog.close()
    about = AboutDialog(window)
    about.open()
    renderer.dialog(about, "about")
    about.close()
    closing_question(renderer)
    refusal(renderer)


def wizard_steps(renderer: Renderer, pictures: Path, epochs: int, train: bool) -> None:
    """Render the five steps; start the training at their end, or leave."""
    window = renderer.window
    drop(part(window.start_page, DropZone), [pictures])
    wizard = window.wizard
    assert wizard is not None
    renderer.dialog(wizard, "wizard-1-pictures-scanning", settled=False)
    window.warm_up()
    wait_for(wizard.pictures.is_complete)
    wizard.resize(*WIZARD_SIZE)
    pictures_tabs(renderer, wizard)
    click(wizard.next_button)
    renderer.dialog(wizard, "wizard-2-backbone")
    compare = button(wizard, "Compare on your pictures")
    assert compare is not None
    click(compare)
    renderer.dialog(wizard, "wizard-2-backbone-comparing")
    wait_for(compare.isEnabled)
    renderer.dialog(wizard, "wizard-2-backbone-compared")
    click(wizard.next_button)
    regime_step(renderer, wizard)
    click(wizard.next_button)
    renderer.dialog(wizard, "wizard-4-options")
    click(fold(wizard.options, "More"))
    part(wizard.options, QSpinBox).setValue(epochs)
    renderer.dialog(wizard, "wizard-4-options-more")
    click(wizard.next_button)
    wait_for(lambda: "measured" not in wizard.review.line("Time"))
    renderer.dialog(wizard, "wizard-5-review")
    click(wizard.next_button if train else wizard.cancel_button)


def pictures_tabs(renderer: Renderer, wizard: TrainingWizard) -> None:
    """Render every side from which the pictures can be looked at, the shortcuts and the map once they are there."""
    step = wizard.pictures
    for number in range(step.tabs.count()):
        step.tabs.setCurrentIndex(number)
        if step.tabs.currentWidget() is step.shortcuts:
            wait_for(step.shortcuts.is_known)
        elif step.tabs.currentWidget() is step.map:
            renderer.dialog(wizard, "wizard-1-pictures-map-before")
            lay_out = button(step.map, "Lay the pictures out")
            assert lay_out is not None
            wait_for(lay_out.isEnabled)
            click(lay_out)
            wait_for(lambda: not step.map.is_running())
        renderer.dialog(wizard, f"wizard-1-pictures-{step.tabs.tabText(number).lower().replace(' ', '-')}")
    for kind in ("table", "names"):
        step.tabs.setCurrentWidget(step.layout_setup)
        click(step.layout_setup.kind(kind))
        renderer.dialog(wizard, f"wizard-1-pictures-set-up-{kind}")
    click(step.layout_setup.kind("folders"))
    step.tabs.setCurrentIndex(0)


def regime_step(renderer: Renderer, wizard: TrainingWizard) -> None:
    """Render the regime step while it measures, as advised, with another choice, and around a race."""
    step = wizard.regime
    renderer.dialog(wizard, "wizard-3-regime-measuring", settled=False)
    wait_for(lambda: not any(progress.isVisible() for progress in step.findChildren(JobProgress)))
    renderer.dialog(wizard, "wizard-3-regime-advised")
    for regime in ("cut", "full", "fine-tune"):
        click(step.chart.quarter(regime))
        renderer.dialog(wizard, f"wizard-3-regime-{regime}")
    tabs = part(step, QTabWidget)
    tabs.setCurrentWidget(step.race)
    renderer.dialog(wizard, "wizard-3-regime-race-before")
    part(step.race, QSpinBox).setValue(RACE_MINUTES)
    start = button(step.race, "Race the regimes")
    assert start is not None
    click(start)
    rows = part(step.race, RaceChart).rows
    wait_for(lambda: any(row.accuracy is not None for row in rows()) or not step.race.is_running())
    renderer.dialog(wizard, "wizard-3-regime-race", settled=False)
    wait_for(lambda: not step.race.is_running())
    renderer.dialog(wizard, "wizard-3-regime-race-done")
    tabs.setCurrentIndex(0)


def watch_training(renderer: Renderer) -> RunFolder:
    """Render the training in progress, wait for its end, and return its run. Raises ChildProcessError if it failed."""
    page = renderer.window.train_page
    points = part(page, Curves).points
    wait_for(lambda: points.val_loss.xs.size >= LIVE_EPOCHS or button(page, "Stop") is None)
    renderer.page("train-live")
    wait_for(lambda: button(page, "Stop") is None)
    if button(page, "See the results") is None:
        raise ChildProcessError(page.sentence())
    return RunFolder(next(runs_dir().iterdir()))


def results(renderer: Renderer) -> None:
    """Render the mistakes, the pictures of one cell and the figures in words."""
    window = renderer.window
    window.show_page("results")
    page = window.pages["results"]
    matrix = part(page, ConfusionView)
    wait_for(matrix.isVisible)
    renderer.page("results-mistakes")
    table = next(table for table in matrix.findChildren(QTableView) if table.isVisible())
    model = table.model()
    cells = [model.index(row, column) for row in range(model.rowCount()) for column in range(model.columnCount())]
    counts = {cell: int(str(cell.data()).replace(",", "")) for cell in cells}
    mixed_up = max(cells, key=lambda cell: (counts[cell] > 0, cell.row() != cell.column(), counts[cell]))
    table.scrollTo(mixed_up)
    QTest.mouseClick(table.viewport(), LEFT, pos=table.visualRect(mixed_up).center())
    renderer.page("results-cell")
    tabs = part(page, QTabWidget)
    tabs.setCurrentIndex(tabs.count() - 1)
    renderer.page("results-details")


def trying(renderer: Renderer, run: RunFolder) -> None:
    """Render the empty drop area, the same under a drag, and answers."""
    window = renderer.window
    window.show_page("try")
    page = window.pages["try"]
    renderer.page("try-empty")
    index, parts = run.dataset(), run.split()
    step = max(1, len(parts.val) // TRIED_PICTURES)
    tried = [Path(index.images[number].path) for number in parts.val[::step][:TRIED_PICTURES]]
    _mime, enter = dragged(tried)
    application().sendEvent(page, enter)
    renderer.page("try-dragged")
    drop(page, tried)
    grid = part(page, ImageGrid)
    wait_for(grid.isVisible)
    renderer.page("try-answers")


def export(renderer: Renderer) -> None:
    """Render the form, then what an export said."""
    window = renderer.window
    window.show_page("export")
    page = window.pages["export"]
    renderer.page("export")
    part(page, QLineEdit).setText(str(data_dir() / "handed over"))
    go = button(page, "Export")
    assert go is not None
    click(go)
    wait_for(go.isEnabled)
    renderer.page("export-result")


def closing_question(renderer: Renderer) -> None:
    """Render the question asked when a training is to be closed, and keep going."""

    def answer() -> None:
        box = application().activeModalWidget()
        assert box is not None
        renderer.dialog(box, "close-question")
        keep = button(box, "Keep training")
        assert keep is not None
        click(keep)

    QTimer.singleShot(0, answer)
    confirm_close(renderer.window, training=True)


def refusal(renderer: Renderer) -> None:
    """Render what the wizard says to a folder with one class only."""
    draw_sample_pictures(data_dir() / "refused")
    folder = data_dir() / "only one class"
    folder.mkdir()
    shutil.move(str(next((data_dir() / "refused").iterdir())), folder)
    renderer.window.open_wizard((folder,))
    wizard = renderer.window.wizard
    assert wizard is not None
    wait_for(lambda: "cannot be used" in wizard.pictures.message())
    renderer.dialog(wizard, "wizard-1-pictures-refused")
    click(wizard.cancel_button)


def application() -> QApplication:
    """Return the application."""
    found = QApplication.instance()
    assert isinstance(found, QApplication)
    return found


def settle() -> None:
    """Let thumbnails arrive and timers draw."""
    end = time.monotonic() + SETTLE_S
    while time.monotonic() < end or QThreadPool.globalInstance().activeThreadCount():
        application().processEvents()
        time.sleep(0.01)
    application().processEvents()


def wait_for(condition: Callable[[], bool]) -> None:
    """Keep the window alive until something has come true. Raises TimeoutError."""
    end = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError("The window did not get on.")
        application().processEvents()
        time.sleep(0.02)


def part(parent: QWidget, kind: type[AnyWidget]) -> AnyWidget:
    """Return the first widget of a kind."""
    found = parent.findChild(kind)
    assert isinstance(found, kind)
    return found


def button(parent: QWidget, text: str) -> QPushButton | None:
    """Return the visible button with that text."""
    texts = ((found, found.text().replace("&", "")) for found in parent.findChildren(QPushButton))
    return next((found for found, shown in texts if shown == text and found.isVisible()), None)


def fold(parent: QWidget, text: str) -> QToolButton:
    """Return the button that folds something open."""
    return next(found for found in parent.findChildren(QToolButton) if found.text() == text)


def click(widget: QWidget) -> None:
    """Click in the middle."""
    QTest.mouseClick(widget, LEFT)


def dragged(paths: Sequence[Path]) -> tuple[QMimeData, QDragEnterEvent]:
    """Return files and the event of dragging them over something; the event does not keep the files alive."""
    mime = QMimeData()
    mime.setUrls([QUrl.fromLocalFile(str(path)) for path in paths])
    place = QPointF(40, 40).toPoint()
    return mime, QDragEnterEvent(place, Qt.DropAction.CopyAction, mime, LEFT, Qt.KeyboardModifier.NoModifier)


def drop(widget: QWidget, paths: Sequence[Path]) -> None:
    """Drop files or folders as a file manager does."""
    mime, enter = dragged(paths)
    application().sendEvent(widget, enter)
    let_go = QDropEvent(QPointF(40, 40), Qt.DropAction.CopyAction, mime, LEFT, Qt.KeyboardModifier.NoModifier)
    application().sendEvent(widget, let_go)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
