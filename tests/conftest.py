"""What every test gets: a home of its own, no screen, and folders of drawn pictures. Knows neither torch nor Qt."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import platformdirs
import pytest

from tests.factories import class_folders, part_folders
from tlstudio.core.paths import HOME_VARIABLE

# Before anything imports Qt: windows are drawn in memory, on every machine alike.
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
# Before anything imports torch: threads that wait leave their core to the other processes that test.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

REAL_HOME = Path(platformdirs.user_data_dir("tlstudio", appauthor=False))


def _state_of_real_home() -> dict[Path, int]:
    if not REAL_HOME.exists():
        return {}
    return {path: path.stat().st_mtime_ns for path in (REAL_HOME, *REAL_HOME.iterdir())}


@pytest.fixture(scope="session", autouse=True)
def _session_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Fixtures that live longer than one test have a temporary home too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(HOME_VARIABLE, str(tmp_path_factory.mktemp("session-home")))
        yield


@pytest.fixture(autouse=True)
def home(_session_home: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The app's own folder in this test. A test that writes to the user's real one fails."""
    folder = tmp_path / "home"
    monkeypatch.setenv(HOME_VARIABLE, str(folder))
    before = _state_of_real_home()
    yield folder
    assert _state_of_real_home() == before, f"this test wrote to {REAL_HOME}"


@pytest.fixture(scope="session")
def shared() -> Path:
    """Real photographs and weights, which are no part of the project; tests that need them are skipped without."""
    folder = Path(__file__).resolve().parents[2] / "shared"
    if not (folder / "data").is_dir():
        pytest.skip(f"needs the photographs and weights in {folder}, which are not part of the project")
    return folder


@pytest.fixture
def two_classes(tmp_path: Path) -> Path:
    """A folder with a folder a class: 6 discs and 6 squares."""
    return class_folders(tmp_path / "pictures")


@pytest.fixture
def three_parts(tmp_path: Path) -> Path:
    """A folder with train (6 a class), val (3) and test (2), discs and squares in each."""
    return part_folders(tmp_path / "parted", {"train": 6, "val": 3, "test": 2})
