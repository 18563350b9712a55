"""Lets every operation of every saving fail, one after the other.

`python -m tests.faults.sweep` does so with every error, once and for good, and prints what came of it as JSON.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from tests.faults.injector import CODES, FailingDisk
from tests.faults.savings import SAVINGS, Saving
from tlstudio.core.errors import StudioError
from tlstudio.core.paths import HOME_VARIABLE, data_dir

Fails = Callable[[int], bool]


def kinds_of_failing(number: int) -> Iterator[Fails]:
    """Yield when a disk fails: at one operation, from it on, and at every so many."""
    yield lambda n: n == number
    yield lambda n: n >= number
    yield lambda n: n % number == 0


def operations_of(saving: Saving) -> int:
    """Return how many operations it takes to save generation 2 after generation 1."""
    with FailingDisk() as disk:
        saving.prepare()
        saving.save(1)
        before = disk.operations
        saving.save(2)
    return disk.operations - before


def fault_in(saving: Saving, fails: Fails, code: int) -> list[str]:
    """Save generation 2 over 1 on a disk that fails, then once more on one that works; return what failed.

    Raises AssertionError where something is damaged, half there or said to be saved when it is not.
    """
    with FailingDisk():
        saving.prepare()
        saving.save(1)
    assert saving.found() == {1}
    raised = False
    with FailingDisk(fails, code) as disk:
        try:
            saving.save(2)
        except (StudioError, OSError):
            raised = True
    found = saving.found()
    assert found <= {1, 2}
    if saving.tells and not raised:
        assert found == {2}, "it was said to be saved"
    with FailingDisk():
        saving.save(2)
    assert saving.found() == {2}
    litter = [*saving.folder.rglob("*.tmp"), *data_dir().rglob("*.tmp")]
    assert not litter, litter
    return disk.faults


def sweep(folder: Path, codes: Callable[[int], Iterable[int]], kinds: Callable[[int], Iterable[Fails]]) -> Counter[str]:
    """Let all savings fail at each of their operations; return how often what failed, and the savings by name."""
    counts: Counter[str] = Counter()
    for kind in SAVINGS:
        operations = operations_of(kind(folder / kind.__name__))
        for number in range(1, operations + 1):
            for code in codes(number):
                for fails in kinds(number):
                    saving = kind(folder / f"{kind.__name__}-{counts['cases']}")
                    faults = fault_in(saving, fails, code)
                    counts.update(faults)
                    counts.update({"cases": 1, "faults": len(faults), kind.__name__: len(faults)})
                    shutil.rmtree(saving.folder, ignore_errors=True)
    return counts


if __name__ == "__main__":
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as place:
        os.environ[HOME_VARIABLE] = str(Path(place) / "home")
        print(json.dumps(sweep(Path(place), lambda number: CODES, kinds_of_failing), indent=1))
    print(f"{time.monotonic() - started:.0f} s")
