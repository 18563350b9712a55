"""What is known of runs, what the user writes about them, and the way into the trash and back."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.core.test_runfolder import LOG, plan
from tlstudio.core import cache_folder
from tlstudio.core.dataset import DatasetIndex
from tlstudio.core.errors import StudioError
from tlstudio.core.events import encode_event
from tlstudio.core.paths import runs_dir
from tlstudio.core.plan import PLAN_VERSION
from tlstudio.core.run_history import (
    RunFacts,
    RunNotes,
    delete_for_ever,
    history,
    notes_of,
    restore,
    size_bytes,
    trash,
    trashed,
    write_notes,
)
from tlstudio.core.runfolder import RunFolder
from tlstudio.core.split import Split

PICTURES = DatasetIndex(("/p",), ("bee", "wasp"), (), (), 0.0)
PARTS = Split((), (), (), "seed 0")
HOLD = """
import sys
from pathlib import Path
from tlstudio.core.runfolder import RunFolder
with RunFolder(Path(sys.argv[1])).held():
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def run() -> RunFolder:
    """A finished run in the app's folder of runs."""
    run = RunFolder(runs_dir() / "leaves")
    run.start(plan(), PICTURES, PARTS)
    run.events_file.write_bytes(b"".join(encode_event(event) for event in LOG))
    run.model_file.write_bytes(b"weights")
    run.checkpoints_dir.mkdir()
    (run.checkpoints_dir / "00000001.json").write_bytes(b"state")
    return run


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def facts() -> list[RunFacts]:
    return [known.facts for known in history(runs_dir())]


def test_the_facts_of_a_run_are_those_of_its_log(run):
    (known,) = history(runs_dir())
    assert known.run.path == run.path and known.name == "leaves" and known.notes == RunNotes()
    found = known.facts
    assert (found.state, found.time_s, found.val_accuracy, found.val_interval) == ("finished", 0.0, 1.0, (0.5, 1.0))
    assert (found.backbone, found.regime, found.classes, found.images) == ("resnet18", "head", 2, 10)


def test_only_logs_that_have_changed_are_read_again(run):
    first = facts()
    before = run.events_file.stat()
    # Other bytes of the same length and time: only who reads the file again can tell.
    changed = run.events_file.read_bytes().replace(b'"finished"', b'"stopped" ')
    run.events_file.write_bytes(changed)
    os.utime(run.events_file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert facts() == first
    os.utime(run.events_file, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    assert history(runs_dir())[0].facts.state == "stopped"
    run.events_file.write_bytes(encode_event(LOG[0]))
    assert history(runs_dir())[0].facts.state == "interrupted"
    cache_folder.clear()
    assert history(runs_dir())[0].facts.state == "interrupted", "the index can be made again"


def test_runs_elsewhere_stay_remembered(run, tmp_path):
    (tmp_path / "others").mkdir()
    first = facts()
    assert history(tmp_path / "others") == []
    before = run.events_file.stat()
    run.events_file.write_bytes(b" " * before.st_size)
    os.utime(run.events_file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert facts() == first


def test_a_damaged_run_is_listed_with_the_reason_until_it_is_repaired(run):
    good, before = run.plan_file.read_bytes(), run.plan_file.stat()
    run.plan_file.write_bytes(good.replace(b'"seed": 0', b'"seed": 1'))
    os.utime(run.plan_file, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    (known,) = history(runs_dir())
    assert known.facts.state == "damaged" and "is damaged" in known.facts.problem
    run.plan_file.write_bytes(good)
    os.utime(run.plan_file, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    assert facts()[0].state == "finished"


def test_a_run_of_a_newer_version_is_listed_as_such(run):
    run.keep(run.plan_file, {"version": PLAN_VERSION + 1, "regime": "dream"})
    (known,) = history(runs_dir())
    assert known.facts.state == "newer" and "made by a newer version of this app" in known.facts.problem


def test_a_log_that_is_damaged_is_said(run):
    run.events_file.write_bytes(b"?\n" + run.events_file.read_bytes())
    (known,) = history(runs_dir())
    assert known.facts.state == "damaged" and "log of" in known.facts.problem


def test_name_tags_and_note_are_kept_in_the_folder_whose_name_stays(run):
    write_notes(run, RunNotes("  Leaves,\tsecond try ", ("Field  2026", "", "field 2026", "café"), " Good light.\n"))
    assert notes_of(RunFolder(run.path)) == RunNotes("Leaves, second try", ("Field 2026", "café"), "Good light.")
    assert run.path.is_dir() and history(runs_dir())[0].name == "Leaves, second try"
    write_notes(run, RunNotes())
    assert history(runs_dir())[0].name == "leaves"


def test_notes_that_cannot_be_read_are_not_overwritten(run):
    run.notes_file.write_text('{"note": "my only copy')
    assert history(runs_dir())[0].name == "leaves"
    with pytest.raises(StudioError, match="run itself is unharmed"):
        write_notes(run, RunNotes("new"))
    assert run.notes_file.read_text() == '{"note": "my only copy'


def test_a_run_goes_to_the_trash_and_comes_back_bit_by_bit(run):
    before = content(run.path)
    gone = trash(run)
    assert not run.path.exists() and history(runs_dir()) == []
    assert trashed() == [gone] and gone.came_from == str(run.path)
    assert content(gone.run.path) == before and size_bytes(gone) == sum(map(len, before.values()))
    again = restore(gone)
    assert again.path == run.path and content(again.path) == before and trashed() == []
    assert list(Path(gone.folder).parent.iterdir()) == [], "nothing stays behind"


def test_what_took_the_place_meanwhile_is_not_overwritten(run):
    gone = trash(run)
    run.path.mkdir()
    again = restore(gone)
    assert again.path.name == "leaves 2" and again.plan_file.is_file()
    assert list(run.path.iterdir()) == []


def test_several_runs_of_one_name_lie_in_the_trash_the_last_first(run):
    first = trash(run)
    run.start(plan(), PICTURES, PARTS)
    second = trash(run)
    assert trashed() == [second, first]
    delete_for_ever(second)
    with pytest.raises(StudioError, match="no longer in the trash"):
        restore(second)
    assert trashed() == [first] and restore(first).events_file.is_file()


def test_a_run_that_is_being_trained_stays(run):
    before = content(run.path)
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(run.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as trainer:
        assert trainer.stdout is not None and trainer.stdout.readline() == b"held\n"
        run.events_file.write_bytes(encode_event(LOG[0]))
        assert history(runs_dir())[0].facts.state == "training"
        with pytest.raises(StudioError, match="is being trained already"):
            trash(run)
        assert content(run.path) == before | {"events.jsonl": encode_event(LOG[0])} and trashed() == []
        trainer.communicate()
    assert trash(run).run.plan_file.is_file()


def test_a_folder_with_files_of_others_stays(run):
    (run.path / "thesis.docx").write_bytes(b"years of work")
    (run.path / ".DS_Store").write_bytes(b"")
    with pytest.raises(StudioError, match="also holds “thesis"):
        trash(run)
    (run.path / "thesis.docx").unlink()
    trash(run)


def test_links_and_folders_that_are_no_runs_stay(run, tmp_path):
    with pytest.raises(StudioError, match="is not a run folder"):
        trash(RunFolder(tmp_path))
    link = runs_dir() / "link"
    try:
        link.symlink_to(run.path, target_is_directory=True)
    except OSError:
        pytest.skip("this system makes no links")
    with pytest.raises(StudioError, match="is a link"):
        trash(RunFolder(link))
    assert run.plan_file.is_file() and trashed() == []


def test_a_run_on_another_disk_stays(run):
    elsewhere = Path("/dev/shm")
    if not elsewhere.is_dir() or elsewhere.stat().st_dev == run.path.stat().st_dev:
        pytest.skip("needs a second disk")
    with tempfile.TemporaryDirectory(dir=elsewhere) as folder:
        far = RunFolder(Path(folder) / "far")
        shutil.copytree(run.path, far.path)
        with pytest.raises(StudioError, match="lies on another disk"):
            trash(far)
        assert content(far.path) == content(run.path) and trashed() == []


def test_a_move_that_was_interrupted_leaves_nothing_to_restore(run):
    """The computer went down when the record was written and the folder not yet moved, or already back."""
    gone = trash(run)
    gone.run.path.replace(run.path)
    assert trashed() == [] and len(facts()) == 1
    again = trash(run)
    assert trashed() == [again]
