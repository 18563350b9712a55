"""Which decisions are asked for, and the list that asks."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QPushButton

from tests.factories import class_folders
from tests.gui.data_sets import opened
from tlstudio.core.dataset_setup import DatasetSetup
from tlstudio.core.groups import GroupProposal
from tlstudio.core.layout import Exclusion
from tlstudio.core.results import ShortcutRow
from tlstudio.gui.wizard.findings import Finding, FindingsList, findings

LEFT = Qt.MouseButton.LeftButton


def buttons(shown: FindingsList, text: str) -> list[QPushButton]:
    return [found for found in shown.findChildren(QPushButton) if found.isVisible() and found.text() == text]


def test_masks_are_decided_before_anything_else(qtbot, tmp_path):
    folder = class_folders(tmp_path / "pictures", {"disc": 3, "square": 3})
    (folder / "square" / "again.png").write_bytes((folder / "disc" / "disc_000.png").read_bytes())
    index = opened(qtbot, folder).index
    assert index is not None
    masks = Exclusion("*.png", 3, "3 PNG files are probably masks.")
    groups = GroupProposal("names", 2, 6, 3, "6 pictures have names that begin alike.")
    telling = ShortcutRow("border", 0.93, (0.9, 0.96), 0.5, True, "The border tells.")
    (only,) = findings(index, DatasetSetup(), [masks], [groups], [telling])
    assert (only.deed, only.names, only.urgent) == ("exclude", ("*.png",), True)
    found = findings(index, DatasetSetup(), (), [groups], [telling], "Filling cuts off half.")
    assert [finding.deed for finding in found] == ["copies", "groups", "shortcuts", "framing"]
    assert "93.0 %" in found[2].sentence


def test_what_was_decided_is_not_asked_again(qtbot, two_classes):
    index = opened(qtbot, two_classes).index
    assert index is not None
    groups = GroupProposal("names", 2, 6, 3, "6 pictures have names that begin alike.")
    weak = ShortcutRow("border", 0.52, (0.4, 0.6), 0.5, False, "The border says nothing.")
    assert findings(index, DatasetSetup(groupings=("near-copies", "names")), (), [groups], [weak]) == []


def test_a_class_of_one_can_be_left_out(qtbot, tmp_path):
    index = opened(qtbot, class_folders(tmp_path / "few", {"disc": 4, "square": 4, "cross": 1})).index
    assert index is not None
    (only,) = findings(index, DatasetSetup())
    assert (only.deed, only.names, only.urgent) == ("leave out", ("cross",), True)


def test_urgent_ones_come_first_and_many_are_folded(qtbot):
    shown = FindingsList()
    qtbot.addWidget(shown)
    many = [Finding("files", f"Number {number}.", "See why") for number in range(4)]
    shown.show_findings([*many, Finding("copies", "A conflict.", "Look", urgent=True)])
    shown.show()
    assert shown.findings()[0].sentence == "A conflict."
    assert len(buttons(shown, "See why")) == 2
    QTest.mouseClick(buttons(shown, "2 more to decide or to know …")[0], LEFT)
    qtbot.waitUntil(lambda: len(buttons(shown, "See why")) == 4)
    with qtbot.waitSignal(shown.acted) as heard:
        QTest.mouseClick(buttons(shown, "Look")[0], LEFT)
    assert heard.args[0].deed == "copies"


def test_one_that_was_put_away_stays_away(qtbot):
    shown = FindingsList()
    qtbot.addWidget(shown)
    finding = Finding("files", "One file was set aside.", "See why")
    shown.show_findings([finding])
    shown.show()
    QTest.mouseClick(buttons(shown, "Put away")[0], LEFT)
    assert shown.was_put_away(finding.sentence)
    shown.show_findings([finding])
    assert shown.findings() == () and not shown.isVisible()
