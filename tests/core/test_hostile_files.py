"""Files as hard disks have them, through the real look at files: no crash, no hang, no wrong pixel, little memory.

TLSTUDIO_MUTATIONS sets how many damaged versions of each format are tried; 40 without it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from tests.hostile import COMMON, Case, mutations, quarters, saved, write_corpus
from tlstudio.core.images import decode_noted, read_bytes

MUTATIONS = int(os.environ.get("TLSTUDIO_MUTATIONS", "40"))
ALLOWED_BYTES = 600_000_000
# A process of its own, so that its memory and that of its children can be told from the tests'.
LOOK = """
import json, os, sys, threading, time
from pathlib import Path
from tlstudio.core.decode_pass import inspect_all
from tlstudio.core.listing import ListedFile

def resident(pid):
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError):
        return 0

def sample():
    own = os.getpid()
    while True:
        pids = [own]
        for task in Path("/proc/self/task").iterdir():
            try:
                pids += map(int, (task / "children").read_text().split())
            except OSError:
                pass
        peak[0] = max(peak[0], sum(map(resident, pids)))
        time.sleep(0.01)

peak = [0]
threading.Thread(target=sample, daemon=True).start()
files = []
for path in json.load(sys.stdin):
    facts = os.lstat(path)
    files.append(ListedFile(path, path, facts.st_size, facts.st_mtime_ns))
found, last, slowest = {}, time.monotonic(), 0.0
for file in inspect_all(files):
    found[file.path] = [file.code, file.facts.note if file.facts else "", bool(file.facts)]
    slowest, last = max(slowest, time.monotonic() - last), time.monotonic()
print(json.dumps({"found": found, "peak": peak[0], "slowest": slowest}))
"""


def looked_at(paths: Sequence[Path], home: Path) -> dict:
    """Return {"found": {path: (code, note, has facts)}, "peak": bytes} of a look at those files."""
    ended = subprocess.run(
        [sys.executable, "-c", LOOK],
        input=json.dumps([str(path) for path in paths]),
        capture_output=True,
        text=True,
        timeout=600,
        check=True,
        env=os.environ | {"TLSTUDIO_HOME": str(home)},
        cwd=Path(__file__).parents[2],
    )
    return json.loads(ended.stdout)


def assert_as_expected(path: Path, case: Case) -> None:
    found = decode_noted(read_bytes(path), path.suffix, 256)
    pixels = np.asarray(found.image).astype(int)
    height, width = pixels.shape[:2]
    seen = [pixels[y * height // 4, x * width // 4] for y, x in ((1, 1), (1, 3), (3, 1), (3, 3))]
    if case.colours:
        assert np.abs(np.array(seen) - np.array(case.colours)).max() <= case.tolerance, (case.name, seen, case.colours)
    if case.size:
        assert (found.width_px, found.height_px) == case.size, case.name


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is measured as Linux tells it")
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning", "ignore::UserWarning:PIL")
def test_every_hostile_file_has_its_status(tmp_path, home):
    expected = write_corpus(tmp_path / "corpus")
    assert len(expected) >= 400
    told = looked_at(list(expected), home)
    assert told["found"].keys() == {str(path) for path in expected}
    for path, case in expected.items():
        code, note, has_facts = told["found"][str(path)]
        assert has_facts == (code == "")
        assert (code or note) in case.codes, (case.name, code, note, case.codes)
        if case.colours:
            assert_as_expected(path, case)
    assert told["peak"] < ALLOWED_BYTES
    print(f"{len(expected)} files, peak {told['peak'] / 1e6:.0f} MB, longest silence {told['slowest']:.1f} s")


@pytest.mark.parametrize("file_format", COMMON)
def test_every_mutation_has_facts_or_a_code(file_format, tmp_path, home):
    content = saved(quarters(96, 80), file_format)
    paths = []
    for number, damaged in enumerate(mutations(content, MUTATIONS, seed=7)):
        paths.append(tmp_path / f"{number}{COMMON[file_format]}")
        paths[-1].write_bytes(damaged)
    told = looked_at(paths, home)
    codes = [code for code, _, _ in told["found"].values()]
    assert len(codes) == MUTATIONS
    assert all(has_facts == (code == "") for code, _, has_facts in told["found"].values())
    assert set(codes) <= {"", "unreadable", "not-a-picture", "unsupported", "too-large", "empty-file"}
    assert told["peak"] < ALLOWED_BYTES
    print(f"{file_format}: {codes.count('')} of {len(codes)} readable, longest silence {told['slowest']:.1f} s")
