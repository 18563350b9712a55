"""What only the user can know about the pictures, and a look at what training will make of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QColor, QImage
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QCheckBox, QLabel, QPushButton, QSpinBox, QToolButton, QWidget

from tests.factories import class_folders
from tlstudio.core.augment import VIEWED_BELOW_IMAGES, Augmentation
from tlstudio.core.regimes import HEAD_NAMES
from tlstudio.gui.widgets.augmentation_preview import AugmentationPreview, draw_examples
from tlstudio.gui.wizard.options_step import OptionsStep

LEFT = Qt.MouseButton.LeftButton
PLAIN = Augmentation(crop_min_area=1.0, mirror=False, recoloured=False)


@pytest.fixture
def pictures(tmp_path) -> list[str]:
    return [str(path) for path in sorted(class_folders(tmp_path / "shapes").glob("*/*.png"))]


@pytest.fixture
def step(qtbot):
    step = OptionsStep()
    qtbot.addWidget(step)
    step.resize(912, 470)
    step.show()
    return step


def preview_of(step: OptionsStep) -> AugmentationPreview:
    found = step.findChild(AugmentationPreview)
    assert found is not None
    return found


def questions(step: OptionsStep) -> list[QCheckBox]:
    return [box for box in step.findChildren(QCheckBox) if "same class" in box.text()]


def visible_text(widget: QWidget) -> str:
    return "\n".join(label.text() for label in widget.findChildren(QLabel) if label.isVisible())


def pixels(image: QImage) -> np.ndarray:
    """Return uint8 (height, width, 3)."""
    data = np.frombuffer(image.constBits(), np.uint8).reshape(image.height(), image.bytesPerLine())
    return data[:, : 3 * image.width()].reshape(image.height(), image.width(), 3)


def half(colours: tuple[str, str], path: Path) -> str:
    """Draw a picture with one colour in its left half and one in its right."""
    image = QImage(64, 64, QImage.Format.Format_RGB888)
    for x in range(64):
        for y in range(64):
            image.setPixelColor(x, y, QColor(colours[x >= 32]))
    assert image.save(str(path))
    return str(path)


def test_the_answers_are_kept(step):
    assert (step.mirror(), step.turned(), step.recoloured()) == (True, False, True)
    step.show_regime("fine-tune", "linear")
    for question in questions(step):
        QTest.keyClick(question, Qt.Key.Key_Space)
    assert (step.mirror(), step.turned(), step.recoloured()) == (False, True, False)


def test_questions_that_do_not_matter_cannot_be_answered(step, pictures):
    step.show_pictures(pictures * VIEWED_BELOW_IMAGES)
    for regime in ("head", "cut"):
        step.show_regime(regime, "linear")
        assert not any(question.isEnabled() for question in questions(step))
        assert "as they are" in visible_text(step)
        assert not preview_of(step).isVisible()
    step.show_regime("full", "linear")
    assert all(question.isEnabled() for question in questions(step))
    assert "as they are" not in visible_text(step) and "strongly recoloured" in visible_text(step)
    assert preview_of(step).isVisible()


def test_a_head_on_few_pictures_asks_too(step, pictures):
    step.show_pictures(pictures)
    step.show_regime("head", "linear")
    assert all(question.isEnabled() for question in questions(step))
    assert "pictures are few" in visible_text(step)


def test_epochs_are_a_question_where_the_network_learns(step):
    QTest.mouseClick(step.findChild(QToolButton), LEFT)
    epochs = step.findChild(QSpinBox)
    for regime, asked in (("head", False), ("cut", False), ("fine-tune", True), ("scratch", True)):
        step.show_regime(regime, "linear")
        assert epochs.isEnabled() == asked


def test_an_answer_renews_the_preview(qtbot, step, pictures):
    step.show_pictures(pictures)
    step.show_regime("fine-tune", "linear")
    preview = preview_of(step)
    qtbot.waitUntil(lambda: len(preview.examples()) == 2)
    before = preview.examples()
    with qtbot.waitSignal(preview.renewed):
        QTest.mouseClick(questions(step)[1], LEFT, pos=questions(step)[1].rect().center() / 4)
    assert step.turned()
    assert [example.path for example in preview.examples()] == [example.path for example in before]
    assert [example.changed for example in preview.examples()] != [example.changed for example in before]


def test_other_pictures_are_shown_on_demand(qtbot, step, pictures):
    step.show_pictures(pictures)
    step.show_regime("fine-tune", "linear")
    preview = preview_of(step)
    qtbot.waitUntil(lambda: len(preview.examples()) == 2)
    seen = {example.path for example in preview.examples()}
    others = next(button for button in preview.findChildren(QPushButton) if "others" in button.text())
    for _ in range(5):
        with qtbot.waitSignal(preview.renewed):
            QTest.mouseClick(others, LEFT)
        seen |= {example.path for example in preview.examples()}
    assert len(seen) > 2
    assert seen <= set(pictures)


def test_the_preview_shows_the_picture_and_its_mirror_image(tmp_path):
    path = half(("#ff0000", "#0000ff"), tmp_path / "half.png")
    (example,) = draw_examples([path], Augmentation(crop_min_area=1.0, mirror=True, recoloured=False), seed=0)
    assert pixels(example.original)[10, 10].tolist() == [255, 0, 0]
    assert {tuple(pixels(image)[10, 10].tolist()) for image in example.changed} == {(255, 0, 0), (0, 0, 255)}
    (example,) = draw_examples([path], PLAIN, seed=0)
    assert {tuple(pixels(image)[10, 10].tolist()) for image in example.changed} == {(255, 0, 0)}


def test_pictures_that_cannot_be_opened_are_passed_over(tmp_path, pictures):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    paths = [str(broken), str(tmp_path / "gone.jpg"), *pictures[:2]]
    for seed in range(6):
        assert {example.path for example in draw_examples(paths, PLAIN, seed)} == set(pictures[:2])


def test_if_nothing_can_be_opened_it_is_said(qtbot, step, tmp_path, pictures):
    step.show_regime("fine-tune", "linear")
    preview = preview_of(step)
    with qtbot.waitSignal(preview.renewed):
        step.show_pictures([str(tmp_path / "gone.jpg")])
    assert "could be opened" in visible_text(preview)
    with qtbot.waitSignal(preview.renewed):
        step.show_pictures(pictures)
    assert "could be opened" not in visible_text(preview)


def test_a_screen_reader_hears_what_is_shown(qtbot, step, pictures):
    step.show_regime("fine-tune", "linear")
    with qtbot.waitSignal(preview_of(step).renewed):
        step.show_pictures(pictures)
    name = Path(preview_of(step).examples()[0].path).name
    spoken = [widget for widget in preview_of(step).findChildren(QWidget) if widget.accessibleName().startswith(name)]
    said = "While learning, pictures are cut a little, mirrored and slightly recoloured at random."
    assert [widget.accessibleDescription() for widget in spoken] == [said]
    assert said in visible_text(step)
    QTest.keyClick(questions(step)[0], Qt.Key.Key_Space)
    assert "mirrored" not in visible_text(step) and "mirrored" not in spoken[0].accessibleDescription()


@pytest.mark.parametrize("head", HEAD_NAMES)
def test_a_head_that_is_not_taught_by_changes_asks_for_none(step, pictures, head):
    step.show_pictures(pictures)
    step.show_regime("cut", head)
    taught = head in ("linear", "svm", "svm-rbf")
    assert all(question.isEnabled() == taught for question in questions(step))
    assert preview_of(step).isVisible() == taught
    assert ("as they are" in visible_text(step)) != taught


def test_a_seed_counts_once_it_is_typed_to_its_end(qtbot, step):
    QTest.mouseClick(step.findChild(QToolButton), LEFT)
    seed = step.findChildren(QSpinBox)[1]
    heard: list[int] = []
    step.seed_chosen.connect(heard.append)
    seed.setFocus()
    seed.selectAll()
    QTest.keyClicks(seed, "17")
    assert heard == []
    QTest.keyClick(seed, Qt.Key.Key_Return)
    assert heard == [17] and step.seed() == 17
