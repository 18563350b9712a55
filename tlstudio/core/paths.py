"""Every place the app writes to or reads its own files from."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

HOME_VARIABLE = "TLSTUDIO_HOME"


def data_dir() -> Path:
    """Return the app's own folder (made if missing); the variable TLSTUDIO_HOME moves it."""
    chosen = os.environ.get(HOME_VARIABLE)
    folder = Path(chosen) if chosen else Path(platformdirs.user_data_dir("tlstudio", appauthor=False))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _made(name: str) -> Path:
    folder = data_dir() / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def weights_dir() -> Path:
    """Return the folder in which downloaded and imported weights lie; users may put files there too."""
    return _made("weights")


def runs_dir() -> Path:
    """Return the folder in which the window creates its runs."""
    return _made("runs")


def locks_dir() -> Path:
    """Return the folder of the locks by which processes keep off each other's runs."""
    return _made("locks")


def open_windows_dir() -> Path:
    """Return the folder in which every open window leaves a mark until it closes."""
    return _made("open-windows")


def settings_file() -> Path:
    """Return the file with window state and remembered folders."""
    return data_dir() / "settings.json"


def crash_log() -> Path:
    """Return the file to which unexpected errors are appended."""
    return data_dir() / "errors.log"


def resource_path(name: str) -> Path:
    """Return a file shipped with the app, from a source tree as well as from an installed package.

    Raises FileNotFoundError if nothing of that name was shipped.
    """
    package = Path(__file__).resolve().parent.parent
    for folder in (package / "resources", package.parent / "resources"):
        if (folder / name).exists():
            return folder / name
    raise FileNotFoundError(name)
