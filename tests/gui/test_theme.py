"""Colours that can be read, icons that take their colours, schemes that change everything."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from PySide6.QtCore import QSize
from PySide6.QtGui import QColor, QIcon
from PySide6.QtWidgets import QLabel, QPushButton

from tlstudio.core.paths import resource_path
from tlstudio.gui import theme

SCHEMES = pytest.mark.parametrize("tokens", [theme.LIGHT, theme.DARK], ids=["light", "dark"])
GROUNDS = ("window", "surface", "raised")
TEXTS = ("text", "muted", "accent", "good", "warn", "bad")
MARKS = ("outline", "train", "val", "probe")


def luminance(colour: str) -> float:
    def linear(value: float) -> float:
        return value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4

    red, green, blue = (linear(int(colour[start : start + 2], 16) / 255) for start in (1, 3, 5))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(first: str, second: str) -> float:
    darker, lighter = sorted((luminance(first), luminance(second)))
    return (lighter + 0.05) / (darker + 0.05)


@pytest.fixture(autouse=True)
def back_to_light(qapp):
    yield
    theme.apply(qapp, "light")


def test_contrast_is_computed_as_the_standard_says():
    assert contrast("#000000", "#FFFFFF") == pytest.approx(21)
    assert contrast("#777777", "#FFFFFF") == pytest.approx(4.48, abs=0.01)


@SCHEMES
def test_text_and_marks_stand_out_from_every_ground(tokens):
    for ground in (getattr(tokens, name) for name in GROUNDS):
        for name in TEXTS:
            assert contrast(getattr(tokens, name), ground) >= 4.5, (name, ground)
        for colour in (*(getattr(tokens, name) for name in MARKS), *tokens.classes):
            assert contrast(colour, ground) >= 3, (colour, ground)
    assert contrast(tokens.on_accent, tokens.accent) >= 4.5
    assert contrast(tokens.text, tokens.tint) >= 4.5
    assert contrast(tokens.accent, tokens.tint) >= 4.5


@SCHEMES
def test_all_colours_are_given_and_differ_where_they_must(tokens):
    for field in dataclasses.fields(tokens):
        for colour in [getattr(tokens, field.name)] if field.name != "classes" else tokens.classes:
            assert QColor(colour).isValid()
    assert len(set(tokens.classes)) == 8


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_chosen_scheme_reaches_palette_sheet_and_icons(qapp, qtbot, scheme):
    theme.apply(qapp, "dark" if scheme == "light" else "light")
    button = QPushButton("Go")
    qtbot.addWidget(button)
    theme.set_icon(button, "stop")
    before = button.icon().pixmap(QSize(24, 24)).toImage()
    theme.apply(qapp, scheme)
    tokens = theme.LIGHT if scheme == "light" else theme.DARK
    assert theme.current() is tokens
    assert qapp.palette().window().color() == QColor(tokens.window)
    assert tokens.accent in qapp.styleSheet()
    assert button.icon().pixmap(QSize(24, 24)).toImage() != before


def test_titles_are_larger_and_only_the_primary_button_is_filled(qapp, qtbot):
    theme.apply(qapp, "light")
    title, button = QLabel("Title"), QPushButton("Go")
    for widget in (title, button):
        qtbot.addWidget(widget)
    title.setProperty("role", "title")
    button.setProperty("primary", True)
    title.ensurePolished()
    assert title.font().pixelSize() == theme.TITLE_PX
    assert theme.LIGHT.accent == button.grab().toImage().pixelColor(button.width() // 2, 4).name().upper()


def all_icons() -> list[str]:
    return sorted(path.stem for path in resource_path("icons").glob("*.svg"))


@pytest.mark.parametrize("name", all_icons())
def test_every_icon_draws_something(qapp, name):
    drawn = theme.icon(name)
    assert not drawn.isNull()
    for mode in (QIcon.Mode.Normal, QIcon.Mode.Disabled):
        image = drawn.pixmap(QSize(24, 24), mode).toImage()
        assert any(image.pixelColor(x, y).alpha() for x in range(image.width()) for y in range(image.height()))


@pytest.mark.parametrize("name", [name for name in all_icons() if not name.startswith(("tick", "arrow"))])
def test_icons_are_one_family(name):
    text = Path(resource_path(f"icons/{name}.svg")).read_text(encoding="utf-8")
    assert 'viewBox="0 0 24 24"' in text
    assert 'stroke-width="1.5"' in text
    assert 'stroke="currentColor"' in text


def test_a_missing_icon_is_an_error(qapp):
    with pytest.raises(FileNotFoundError):
        theme.icon("no-such-icon")
