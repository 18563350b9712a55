"""What the user chose last, kept in the settings file: a record of plain values, never an object to be rebuilt.

Qt's own settings files are not used: reading one gives any Python object that it holds the chance to run code.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

import msgspec
from PySide6.QtCore import QByteArray

from tlstudio.core.durable import read_generation, write_generation
from tlstudio.core.errors import StudioError, shown
from tlstudio.core.paths import settings_file

MAX_NUMBER = 2**31 - 1
"""Qt's widgets take no larger one."""


class _Settings(msgspec.Struct):
    folders: dict[str, str] = {}
    numbers: dict[str, int] = {}
    choices: dict[str, str] = {}
    arrangements: dict[str, bytes] = {}


def _settings() -> _Settings:
    """Return what is kept, or else what was before; damage must not keep a window from opening."""
    try:
        kept, _ = read_generation(settings_file(), _Settings)
    except OSError:
        kept = None
    return kept or _Settings()


def _keep(settings: _Settings) -> None:
    with contextlib.suppress(StudioError):  # a full disk costs a remembered choice, nothing else
        write_generation(settings_file(), settings)


def folder(purpose: str, default: Path) -> Path:
    """Return the folder last used for this purpose, or the default if there is none or it is gone."""
    chosen = Path(_settings().folders.get(purpose, ""))
    try:
        return chosen if chosen.is_absolute() and chosen.is_dir() else default
    except (OSError, ValueError):  # a name that no folder can have
        return default


def remember_folder(purpose: str, path: Path) -> None:
    """Keep the folder for the next time."""
    settings = _settings()
    settings.folders[purpose] = shown(path)
    _keep(settings)


def number(purpose: str, default: int) -> int:
    """Return the number last used for this purpose, or the default."""
    kept = _settings().numbers.get(purpose, default)
    return kept if 0 <= kept <= MAX_NUMBER else default


def remember_number(purpose: str, value: int) -> None:
    """Keep a number of 0 or more for the next time."""
    settings = _settings()
    settings.numbers[purpose] = value
    _keep(settings)


def choice(purpose: str, default: str) -> str:
    """Return the word last chosen for this purpose, or the default."""
    return _settings().choices.get(purpose, default)


def remember_choice(purpose: str, word: str) -> None:
    """Keep the word for the next time."""
    settings = _settings()
    settings.choices[purpose] = word
    _keep(settings)


def arrangement(purpose: str) -> QByteArray:
    """Return what a window or table last said of its sizes and order, for its own `restore…`; empty if nothing."""
    return QByteArray(_settings().arrangements.get(purpose, b""))


def remember_arrangement(purpose: str, state: QByteArray) -> None:
    """Keep what `save…` of a window or table returned."""
    settings = _settings()
    settings.arrangements[purpose] = bytes(state.data())
    _keep(settings)
