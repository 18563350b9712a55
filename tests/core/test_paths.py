"""The app's own files lie below one folder, which a variable moves."""

from __future__ import annotations

import platformdirs
import pytest

from tlstudio.core import paths


def test_everything_lies_below_the_chosen_folder(home):
    assert paths.data_dir() == home and home.is_dir()
    for folder in (paths.weights_dir(), paths.runs_dir()):
        assert folder.parent == home and folder.is_dir()
    assert paths.settings_file().parent == paths.crash_log().parent == home


def test_without_the_variable_the_system_s_place_is_taken(tmp_path, monkeypatch):
    monkeypatch.delenv(paths.HOME_VARIABLE)
    monkeypatch.setattr(platformdirs, "user_data_dir", lambda *names, **options: str(tmp_path / "system" / names[0]))
    assert paths.data_dir() == tmp_path / "system" / "tlstudio"


def test_shipped_files_are_found_from_the_source_tree():
    assert paths.resource_path("__init__.py").parent.name == "resources"
    with pytest.raises(FileNotFoundError, match=r"nothing\.png"):
        paths.resource_path("nothing.png")
