"""What every evil file must leave alone: no code of it runs, and neither memory nor time run away."""

from __future__ import annotations

import os
import resource
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.engine.conftest import drawn_pictures, head_run, weights_file  # noqa: F401 - fixtures
from tlstudio.cli import main
from tlstudio.core.runfolder import RunFolder

ALLOWED_S = 30.0
"""Of the processor: a busy computer is not the file's fault."""
ALLOWED_BYTES = 800 * 2**20


class Trap:
    """Makes a file as soon as a careless reader unpickles it."""

    def __init__(self, witness: Path) -> None:
        self.witness = witness

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return os.open, (str(self.witness), os.O_CREAT)


@pytest.fixture
def trap(tmp_path: Path) -> Iterator[Trap]:
    """An object to hide in a file. The test fails if it was ever rebuilt."""
    made = Trap(tmp_path / "witness")
    yield made
    assert not made.witness.exists(), "code of the file was run"


def _peak_bytes() -> int:
    return 1024 * sum(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


@pytest.fixture(autouse=True)
def _bounded() -> Iterator[None]:
    started, before = time.process_time(), _peak_bytes()
    yield
    assert time.process_time() - started < ALLOWED_S
    assert _peak_bytes() - before < ALLOWED_BYTES


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Return a function that runs a command which must be refused in a few plain words, and returns those."""

    def run(*arguments: object) -> str:
        code = main([str(argument) for argument in arguments])
        said = capsys.readouterr().err.strip()
        assert code == 1, (code, said)
        assert_plain(said)
        return said

    return run


def assert_plain(said: str) -> None:
    """Check that a message is for people: short, no traceback, nothing that moves a cursor or turns the writing."""
    assert said and "Traceback" not in said and "unexpected" not in said, said
    assert len(said) < 700, said
    assert all(character.isprintable() or character == "\n" for character in said), said


def tampered_copy(original: RunFolder, folder: Path) -> RunFolder:
    """Return a copy of a run to be tampered with: whoever does so takes the checksums away too."""
    shutil.copytree(original.path, folder)
    run = RunFolder(folder)
    run.manifest.file.unlink(missing_ok=True)
    return run
