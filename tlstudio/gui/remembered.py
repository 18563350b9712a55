"""Folders and numbers the user chose last, kept in the settings file."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import QSettings

from tlstudio.core.paths import settings_file


def _settings() -> QSettings:
    return QSettings(str(settings_file()), QSettings.Format.IniFormat)


def folder(purpose: str, default: Path) -> Path:
    """Return the folder last used for this purpose, or the default if there is none or it is gone."""
    chosen = Path(str(_settings().value(f"folders/{purpose}", "")))
    return chosen if chosen.is_absolute() and chosen.is_dir() else default


def remember_folder(purpose: str, path: Path) -> None:
    """Keep the folder for the next time."""
    _settings().setValue(f"folders/{purpose}", str(path))


def number(purpose: str, default: int) -> int:
    """Return the number last used for this purpose, or the default."""
    kept = str(_settings().value(f"numbers/{purpose}", ""))
    return int(kept) if kept.isdecimal() else default


def remember_number(purpose: str, value: int) -> None:
    """Keep a number of 0 or more for the next time."""
    _settings().setValue(f"numbers/{purpose}", value)
