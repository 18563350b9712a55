"""A pytest plugin that makes torch, Qt and what belongs to them unimportable, as where they are not installed."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType

import pytest

NAMES = {"torch", "torchvision", "sklearn", "scipy", "PySide6", "shiboken6", "pyqtgraph"}


class _Refuse:
    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name.partition(".")[0] in NAMES:
            raise ModuleNotFoundError(f"{name} is not to be imported here", name=name)
        return None


def pytest_addoption(parser: pytest.Parser) -> None:
    """Know the setting of the Qt plugin, which is not there."""
    parser.addini("qt_api", "unused")


assert not NAMES & sys.modules.keys()
sys.meta_path.insert(0, _Refuse())
