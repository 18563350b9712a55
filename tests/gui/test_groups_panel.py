"""What belongs together: proposed with examples, decided by the user, with what follows from it."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtTest import QTest

from tests.factories import draw
from tests.gui.data_sets import opened
from tlstudio.core.split import split
from tlstudio.gui.widgets.groups_panel import GroupsPanel, consequence

LEFT = Qt.MouseButton.LeftButton


def specimens(folder):
    """class/specimen/pictures: 2 classes of 5 specimens with 3 pictures each."""
    for shape in ("disc", "square"):
        for specimen in range(5):
            home = folder / shape / f"specimen {specimen}"
            home.mkdir(parents=True)
            for number in range(3):
                draw(shape, 10 * specimen + number).save(home / f"{number}.png")
    return folder


def test_specimens_are_proposed_and_kept_on_one_side_once_ticked(qtbot, tmp_path):
    edits = opened(qtbot, specimens(tmp_path / "pictures"))
    panel = GroupsPanel(edits)
    qtbot.addWidget(panel)
    panel.resize(900, 600)
    panel.show()
    index = edits.index
    assert index is not None
    with qtbot.waitSignal(panel.proposed):
        panel.show_dealt(index, split(index, 0))
    folders = next(proposal for proposal in panel.proposals() if proposal.kind == "folders")
    assert (folders.groups, folders.images) == (10, 30)
    box = panel.box("folders")
    assert not box.isChecked()
    qtbot.waitUntil(box.isVisible)
    with qtbot.waitSignal(edits.changed) as heard:
        QTest.keyClick(box, Qt.Key.Key_Space)
    assert edits.setup.groupings == ("near-copies", "folders")
    (index,) = heard.args
    parts = split(index, 0)
    panel.show_dealt(index, parts)
    homes = [index.images[position].path.rsplit("/", 1)[0] for position in range(30)]
    judged, taught = {homes[i] for i in parts.val}, {homes[i] for i in parts.train}
    assert judged and not judged & taught
    assert panel.consequence() == (
        "30 pictures in 10 groups, 10 of them with several pictures (the largest has 3); "
        f"val gets {len(judged)} groups with {len(parts.val)} pictures."
    )
    edits.history().undo()
    qtbot.waitUntil(lambda: not edits.is_busy())
    panel.show_dealt(edits.index, None)
    assert not panel.box("folders").isChecked()


def test_pictures_on_their_own_are_said_to_be(qtbot, two_classes):
    edits = opened(qtbot, two_classes)
    assert edits.index is not None
    assert consequence(edits.index, split(edits.index, 0)) == "12 pictures, each on its own."
