"""The pictures of a run: the same views as in the wizard, and nothing to change."""

from __future__ import annotations

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QLabel, QPushButton, QTabWidget

from tests.gui.run_files import run_folder
from tlstudio.core.dataset import scan
from tlstudio.core.durable import write_json
from tlstudio.gui.pages.pictures_page import PicturesPage
from tlstudio.gui.widgets.copies_view import CopiesView
from tlstudio.gui.widgets.dataset_grid import DatasetGrid
from tlstudio.gui.widgets.file_list import FileList


@pytest.fixture
def page(qtbot):
    page = PicturesPage()
    qtbot.addWidget(page)
    page.resize(1000, 700)
    page.show()
    return page


def texts(page) -> str:
    return "\n".join(label.text() for label in page.findChildren(QLabel) if label.isVisible())


def test_without_a_run_it_says_where_to_begin(page, qtbot):
    assert "No pictures yet" in texts(page)
    with qtbot.waitSignal(page.page_requested) as asked:
        qtbot.mouseClick(next(b for b in page.findChildren(QPushButton) if b.isVisible()), Qt.MouseButton.LeftButton)
    assert asked.args == ["start"]


def test_every_tab_shows_the_runs_pictures_and_changes_nothing(page, qtbot, tmp_path, two_classes):
    run = run_folder(tmp_path / "run")
    write_json(run.dataset_file, scan((two_classes,)))
    page.set_run(run)
    assert "12 pictures in 2 classes." in texts(page)
    tabs = page.findChild(QTabWidget)
    for name in ("Look", "Copies", "Files"):
        number = next(n for n in range(tabs.count()) if tabs.tabText(n) == name)
        qtbot.mouseClick(tabs.tabBar(), Qt.MouseButton.LeftButton, pos=tabs.tabBar().tabRect(number).center())
    qtbot.waitUntil(lambda: len(page.findChild(DatasetGrid).pictures()) == 12)
    qtbot.waitUntil(lambda: page.findChild(FileList).rows().rowCount() == 12)
    assert page.findChild(CopiesView).groups() == []
    assert not {"Set aside", "Rename", "Is really"} & {
        b.text() for b in page.findChildren(QPushButton) if b.isVisible()
    }


def test_a_damaged_record_is_said(page, tmp_path):
    run = run_folder(tmp_path / "run")
    run.dataset_file.write_text("{")
    page.set_run(run)
    assert "cannot be shown" in texts(page)
