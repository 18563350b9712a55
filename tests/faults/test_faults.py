"""A disk that fails at any moment leaves the old or the new, never half of it, and nobody says "saved" too soon.

The full form, with all errors at all moments: `python -m tests.faults.sweep`.
"""

from __future__ import annotations

import os

import pytest

from tests.faults.injector import CODES, FailingDisk
from tests.faults.savings import SAVINGS, Saving
from tests.faults.sweep import fault_in, operations_of, sweep
from tlstudio.core.durable import write_bytes
from tlstudio.core.errors import StudioError


def test_every_operation_may_fail_in_whatever_is_saved(tmp_path):
    counts = sweep(tmp_path, lambda number: (CODES[number % len(CODES)],), lambda number: [lambda n: n == number])
    assert counts["faults"] == counts["cases"] >= 150
    assert all(counts[what] for what in ("open", "write", "flush", "sync", "replace"))
    assert all(counts[kind.__name__] for kind in SAVINGS)


def test_the_disk_fails_when_told_to(tmp_path):
    with FailingDisk() as disk:
        write_bytes(tmp_path / "file", b"old")
    assert disk.operations == 7, "open, write, flush, sync, flush by closing, replace, sync of the folder"
    for number, code in enumerate(CODES, 1):
        with FailingDisk(lambda n, number=number: n == number, code) as disk:
            with pytest.raises(StudioError, match=os.strerror(code)):
                write_bytes(tmp_path / "file", b"new")
            assert len(disk.faults) == 1
        assert (tmp_path / "file").read_bytes() == b"old"


class _Careless(Saving):
    """Writes into the file itself."""

    def save(self, generation: int) -> None:
        self.folder.mkdir(exist_ok=True)
        (self.folder / "file").write_bytes(str(generation).encode() * 100)

    def found(self) -> set[int]:
        content = (self.folder / "file").read_text()
        assert len(content) == 100
        return {int(figure) for figure in content}


def test_a_careless_saving_would_be_found_out(tmp_path):
    saving = _Careless(tmp_path / "careless")
    assert operations_of(saving) == 3, "open, write, flush by closing"
    with pytest.raises(AssertionError):
        fault_in(saving, lambda number: number == 2, CODES[0])
