"""Colours, sizes, icons and the style sheet. Every colour in the window comes from the tokens here."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Literal

from PySide6.QtCore import QByteArray, QObject, QRectF, Qt, Slot
from PySide6.QtGui import QColor, QGuiApplication, QIcon, QPainter, QPalette, QPixmap
from PySide6.QtSvg import QSvgRenderer
from PySide6.QtWidgets import QAbstractButton, QApplication, QStyleFactory

from tlstudio.core.paths import resource_path

Scheme = Literal["system", "light", "dark"]

SPACE_TIGHT = 4
SPACE_INSIDE = 8
SPACE = 16
SPACE_PAGE = 24
CORNER_PX = 6
RAIL_WIDTH_PX = 168
FONT_PX = 13
LEAD_PX = 15
TITLE_PX = 20
FIGURE_PX = 32
ICON_PX = 20
_ICON_SIZES_PX = (16, ICON_PX, 24, 32, 48)


@dataclass(frozen=True)
class Tokens:
    """The colours of one scheme, as "#RRGGBB"."""

    window: str
    surface: str
    raised: str
    outline: str
    """Edges of everything that can be pressed or typed into: 3 to 1 against all grounds."""
    text: str
    muted: str
    accent: str
    good: str
    warn: str
    bad: str
    train: str
    val: str
    probe: str
    on_accent: str
    classes: tuple[str, ...]
    """Okabe and Ito's colours for colour-blind readers, moved just far enough to stand out from the grounds."""

    @property
    def hairline(self) -> str:
        """The colour of lines that only order a page and carry no meaning."""
        return _mix(self.outline, self.surface, 0.35)

    @property
    def tint(self) -> str:
        """The ground of something chosen: a breath of the accent."""
        return _mix(self.accent, self.surface, 0.1)


LIGHT = Tokens(
    window="#F6F7F9", surface="#FFFFFF", raised="#FFFFFF", outline="#868D98", text="#1B1F24", muted="#5B6470",
    accent="#1F5FBF", good="#1B7F5C", warn="#9A5B00", bad="#B3261E",
    train="#0072B2", val="#D55E00", probe="#6B7280", on_accent="#FFFFFF",
    classes=("#0072B2", "#D55E00", "#009E73", "#C675A2", "#BD8200", "#4795C1", "#97902A", "#000000"),
)  # fmt: skip
DARK = Tokens(
    window="#23262B", surface="#2C3036", raised="#343941", outline="#808792", text="#E8EAED", muted="#A3ABB6",
    accent="#6CA8F0", good="#4CC29A", warn="#E0A23B", bad="#F2837B",
    train="#56B4E9", val="#E69F00", probe="#A3ABB6", on_accent="#10151C",
    classes=("#56B4E9", "#E69F00", "#14B588", "#CC79A7", "#F0E442", "#2B8ABF", "#E5701B", "#B9C0CA"),
)  # fmt: skip


def current() -> Tokens:
    """Return the tokens of the scheme the window is painted in now."""
    return DARK if QGuiApplication.palette().color(QPalette.ColorRole.Window).lightness() < 128 else LIGHT


def apply(app: QApplication, scheme: Scheme) -> None:
    """Paint the whole app in a scheme; "system" follows the system's, also when it changes later."""
    follower = app.findChild(_SchemeFollower) or _SchemeFollower(app)
    follower.follow(scheme)


def icon(name: str) -> QIcon:
    """Return the drawn icon `resources/icons/<name>.svg` in the colours of the current scheme.

    Icons do not change by themselves when the scheme does: use `set_icon` for buttons.
    """
    tokens = current()
    drawn = QIcon()
    for mode, state, colour in (
        (QIcon.Mode.Normal, QIcon.State.Off, tokens.text),
        (QIcon.Mode.Normal, QIcon.State.On, tokens.accent),
        (QIcon.Mode.Disabled, QIcon.State.Off, tokens.outline),
    ):
        for size_px in _ICON_SIZES_PX:
            drawn.addPixmap(icon_pixmap(name, size_px, colour), mode, state)
    return drawn


def icon_pixmap(name: str, size_px: int, colour: str) -> QPixmap:
    """Return one icon as a picture of that size and colour, sharp on dense screens."""
    ratio = max((screen.devicePixelRatio() for screen in QGuiApplication.screens()), default=1.0)
    pixmap = QPixmap(round(size_px * ratio), round(size_px * ratio))
    pixmap.fill(Qt.GlobalColor.transparent)
    renderer = QSvgRenderer(QByteArray(_svg(name).replace("currentColor", colour).encode()))
    painter = QPainter(pixmap)
    renderer.render(painter, QRectF(pixmap.rect()))
    painter.end()
    pixmap.setDevicePixelRatio(ratio)
    return pixmap


def set_icon(button: QAbstractButton, name: str) -> None:
    """Give a button an icon that keeps up with the scheme."""
    button.setProperty("icon_name", name)
    button.setIcon(icon(name))


class _SchemeFollower(QObject):
    """Lives as long as the app and repaints it when the system's scheme changes."""

    def __init__(self, app: QApplication) -> None:
        super().__init__(app)
        self._app = app
        self._scheme: Scheme = "system"
        app.setStyle(QStyleFactory.create("Fusion"))
        font = app.font()
        font.setPixelSize(FONT_PX)
        app.setFont(font)
        app.styleHints().colorSchemeChanged.connect(self._system_changed)

    def follow(self, scheme: Scheme) -> None:
        self._scheme = scheme
        wanted = {
            "system": Qt.ColorScheme.Unknown,
            "light": Qt.ColorScheme.Light,
            "dark": Qt.ColorScheme.Dark,
        }
        self._app.styleHints().setColorScheme(wanted[scheme])
        self._paint()

    @Slot(Qt.ColorScheme)
    def _system_changed(self, _scheme: Qt.ColorScheme) -> None:
        self._paint()

    def _paint(self) -> None:
        # Some platforms ignore setColorScheme, so an explicit choice never asks the style hints.
        dark = self._scheme == "dark" or (
            self._scheme == "system" and self._app.styleHints().colorScheme() == Qt.ColorScheme.Dark
        )
        tokens = DARK if dark else LIGHT
        self._app.setPalette(_palette(tokens))
        self._app.setStyleSheet(_style_sheet(tokens))
        for widget in self._app.allWidgets():
            name = widget.property("icon_name")
            if name and isinstance(widget, QAbstractButton):
                widget.setIcon(icon(name))


@cache
def _svg(name: str) -> str:
    return resource_path(f"icons/{name}.svg").read_text(encoding="utf-8")


def _url(name: str) -> str:
    return f'url("{resource_path(f"icons/{name}.svg").as_posix()}")'


def _mix(first: str, second: str, share: float) -> str:
    a, b = QColor(first), QColor(second)
    return QColor.fromRgbF(
        a.redF() * share + b.redF() * (1 - share),
        a.greenF() * share + b.greenF() * (1 - share),
        a.blueF() * share + b.blueF() * (1 - share),
    ).name()


def _palette(tokens: Tokens) -> QPalette:
    palette = QPalette(QColor(tokens.surface), QColor(tokens.window))
    role = QPalette.ColorRole
    for which, colour in (
        (role.WindowText, tokens.text), (role.Text, tokens.text), (role.ButtonText, tokens.text),
        (role.Base, tokens.surface), (role.AlternateBase, tokens.window), (role.Button, tokens.surface),
        (role.Mid, tokens.outline), (role.Dark, tokens.outline),
        (role.ToolTipBase, tokens.raised), (role.ToolTipText, tokens.text), (role.PlaceholderText, tokens.muted),
        (role.Highlight, tokens.accent), (role.HighlightedText, tokens.on_accent), (role.Accent, tokens.accent),
        (role.Link, tokens.accent), (role.LinkVisited, tokens.accent),
    ):  # fmt: skip
        palette.setColor(which, QColor(colour))
    for which in (role.WindowText, role.Text, role.ButtonText):
        palette.setColor(QPalette.ColorGroup.Disabled, which, QColor(tokens.outline))
    return palette


def _style_sheet(tokens: Tokens) -> str:
    # Style sheets take pictures from files only, so these few are drawn in colours that need no change.
    tick = _url("tick-dark" if tokens is DARK else "tick-light")
    return f"""
QLabel[role="title"] {{ font-size: {TITLE_PX}px; font-weight: 600; }}
QLabel[role="lead"] {{ font-size: {LEAD_PX}px; }}
QLabel[role="figure"] {{ font-size: {FIGURE_PX}px; font-weight: 600; }}
QLabel[role="muted"] {{ color: {tokens.muted}; }}
QLabel[role="badge"] {{
    background: {tokens.accent}; color: {tokens.on_accent}; border-radius: {CORNER_PX}px; padding: 2px 8px;
    font-weight: 600;
}}
QLabel[role="section"] {{ font-weight: 600; }}

QPushButton, QToolButton {{
    background: {tokens.surface}; color: {tokens.text}; border: 1px solid {tokens.outline};
    border-radius: {CORNER_PX}px; padding: 7px 12px;
}}
QPushButton:hover, QToolButton:hover {{ background: {tokens.tint}; }}
QPushButton:pressed, QToolButton:pressed {{ background: {_mix(tokens.accent, tokens.surface, 0.28)}; }}
QPushButton:focus, QToolButton:focus {{ border: 2px solid {tokens.accent}; padding: 6px 11px; }}
QPushButton:disabled, QToolButton:disabled {{ color: {tokens.outline}; border-color: {tokens.hairline}; }}
QPushButton[primary="true"] {{
    background: {tokens.accent}; color: {tokens.on_accent}; border-color: {tokens.accent}; font-weight: 600;
}}
QPushButton[primary="true"]:hover {{ background: {_mix(tokens.accent, tokens.text, 0.85)}; }}
QPushButton[primary="true"]:focus {{ border: 2px solid {tokens.text}; }}
QPushButton[primary="true"]:disabled {{
    background: {tokens.hairline}; color: {tokens.muted}; border-color: {tokens.hairline};
}}
QToolButton[role="rail"] {{
    background: transparent; border: 2px solid transparent; padding: 7px 10px; text-align: left;
}}
QToolButton[role="rail"]:hover:enabled {{ background: {tokens.tint}; }}
QToolButton[role="rail"]:checked {{ background: {tokens.tint}; color: {tokens.accent}; font-weight: 600; }}
QToolButton[role="rail"]:focus {{ border-color: {tokens.accent}; }}
QToolButton[role="fold"] {{ background: transparent; border: 2px solid transparent; padding: 5px; font-weight: 600; }}
QToolButton::menu-indicator {{ image: none; }}
QToolButton[role="fold"]:focus {{ border-color: {tokens.accent}; }}

QPushButton[role="card"] {{ background: {tokens.surface}; border: 1px solid {tokens.hairline}; padding: 0; }}
QPushButton[role="card"]:hover:enabled {{ border-color: {tokens.outline}; background: {tokens.tint}; }}
QPushButton[role="card"]:checked {{ border: 2px solid {tokens.accent}; background: {tokens.tint}; }}
QPushButton[role="card"]:focus {{ border: 2px solid {tokens.accent}; }}
QPushButton[role="card"]:checked:focus {{ border-color: {tokens.text}; }}
QPushButton[role="card"]:disabled {{ background: {tokens.window}; }}
QToolButton[role="crumb"] {{ background: transparent; border: 2px solid transparent; padding: 3px 6px; }}
QToolButton[role="crumb"]:disabled {{ color: {tokens.muted}; }}
QToolButton[role="crumb"]:hover:enabled {{ background: {tokens.tint}; }}
QToolButton[role="crumb"]:checked {{ color: {tokens.accent}; font-weight: 600; }}
QToolButton[role="crumb"]:focus {{ border-color: {tokens.accent}; }}

QFrame[role="card"] {{
    background: {tokens.surface}; border: 1px solid {tokens.hairline}; border-radius: {CORNER_PX}px;
}}
QFrame[role="card"][hovered="true"], QListView[hovered="true"] {{
    background: {tokens.tint}; border: 2px solid {tokens.accent};
}}
QFrame[role="rule"] {{ background: {tokens.hairline}; border: none; }}
QScrollArea {{ background: transparent; border: none; }}
QScrollArea > QWidget#qt_scrollarea_viewport > QWidget {{ background: transparent; }}
QLineEdit, QPlainTextEdit {{
    background: {tokens.surface}; color: {tokens.text}; border: 1px solid {tokens.outline};
    border-radius: {CORNER_PX}px; padding: 5px 8px; min-height: 18px;
    selection-background-color: {tokens.accent}; selection-color: {tokens.on_accent};
}}
QLineEdit:focus, QPlainTextEdit:focus {{ border: 2px solid {tokens.accent}; padding: 4px 7px; }}
QAbstractSpinBox, QComboBox {{
    background: {tokens.surface}; color: {tokens.text}; border: 1px solid {tokens.outline};
    border-radius: {CORNER_PX}px; padding: 5px 8px; min-height: 18px;
    selection-background-color: {tokens.accent}; selection-color: {tokens.on_accent};
}}
QAbstractSpinBox:focus, QComboBox:focus {{ border: 2px solid {tokens.accent}; padding: 4px 7px; }}
QAbstractSpinBox:disabled, QComboBox:disabled {{ color: {tokens.outline}; border-color: {tokens.hairline}; }}
QAbstractSpinBox::up-button, QAbstractSpinBox::down-button, QComboBox::drop-down {{ border: none; width: 22px; }}
QAbstractSpinBox::up-arrow {{ image: {_url("arrow-up")}; width: 12px; height: 12px; }}
QAbstractSpinBox::down-arrow, QComboBox::down-arrow {{ image: {_url("arrow-down")}; width: 12px; height: 12px; }}
QCheckBox, QRadioButton {{
    spacing: 8px; padding: 3px; border: 2px solid transparent; border-radius: {CORNER_PX}px;
}}
QCheckBox:focus, QRadioButton:focus {{ border-color: {tokens.accent}; }}
QCheckBox::indicator, QListView::indicator {{
    width: 14px; height: 14px; border: 1px solid {tokens.outline}; border-radius: 3px; background: {tokens.surface};
}}
QCheckBox::indicator:checked, QListView::indicator:checked {{
    background: {tokens.accent}; border-color: {tokens.accent}; image: {tick};
}}
QRadioButton::indicator {{
    width: 14px; height: 14px; border: 1px solid {tokens.outline}; border-radius: 8px; background: {tokens.surface};
}}
QRadioButton::indicator:checked {{
    width: 6px; height: 6px; border: 5px solid {tokens.accent}; background: {tokens.on_accent};
}}
QScrollBar {{ background: transparent; border: none; }}
QScrollBar:vertical {{ width: 12px; }}
QScrollBar:horizontal {{ height: 12px; }}
QScrollBar::handle {{ background: {tokens.outline}; border-radius: 3px; margin: 3px; }}
QScrollBar::handle:vertical {{ min-height: 32px; }}
QScrollBar::handle:horizontal {{ min-width: 32px; }}
QScrollBar::add-line, QScrollBar::sub-line {{ width: 0; height: 0; }}
QAbstractSpinBox QLineEdit, QComboBox QLineEdit {{ border: none; padding: 0 6px; min-height: 0; }}
QTableView, QListView {{
    background: {tokens.surface}; border: 1px solid {tokens.hairline}; border-radius: {CORNER_PX}px;
    gridline-color: {tokens.hairline};
}}
QTableView::item {{ padding: 0 6px; }}
QTableView:focus, QListView:focus {{ border: 2px solid {tokens.accent}; }}
QListView::item {{ border: 2px solid transparent; border-radius: {CORNER_PX}px; padding: 2px; color: {tokens.text}; }}
QListView::item:selected {{ background: {tokens.tint}; border-color: {tokens.accent}; }}
QHeaderView, QTableCornerButton::section {{ background: {tokens.window}; border: none; }}
QHeaderView::section {{
    background: {tokens.window}; color: {tokens.muted}; border: none;
    border-bottom: 1px solid {tokens.hairline}; padding: 6px 8px;
}}
QTabWidget::pane {{ border: none; }}
QTabBar::tab {{
    background: transparent; color: {tokens.muted}; border: none; border-bottom: 2px solid transparent;
    padding: 6px 12px;
}}
QTabBar::tab:selected {{ color: {tokens.text}; border-bottom-color: {tokens.accent}; font-weight: 600; }}
QTabBar::tab:disabled {{ color: {tokens.outline}; }}
QTabBar::tab:focus {{ color: {tokens.accent}; }}
QProgressBar {{
    background: {tokens.hairline}; border: none; border-radius: 4px; min-height: 8px; max-height: 8px;
}}
QProgressBar::chunk {{ background: {tokens.accent}; border-radius: 4px; }}
QStatusBar::item {{ border: none; }}
QStatusBar QPushButton {{ padding: 2px 10px; }}
QStatusBar QPushButton:focus {{ padding: 1px 9px; }}
QToolTip {{ background: {tokens.raised}; color: {tokens.text}; border: 1px solid {tokens.outline}; padding: 4px; }}
"""
