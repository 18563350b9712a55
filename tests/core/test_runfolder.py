"""The run folder tells the whole run again, also after a crash in mid-sentence."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import msgspec
import pytest

from tlstudio.core.advice import advise
from tlstudio.core.dataset import DatasetIndex, scan
from tlstudio.core.dataset_setup import DatasetSetup
from tlstudio.core.errors import StudioError
from tlstudio.core.events import Event, Notice, RunEnded, RunStarted, WeightsSaved, encode_event
from tlstudio.core.images import Reading
from tlstudio.core.plan import PLAN_VERSION, Augmentation, Plan, make_stages
from tlstudio.core.runfolder import RunFolder, runs_in
from tlstudio.core.split import Split, split

LOG: tuple[Event, ...] = (
    RunStarted(
        run="r", regime="head", backbone="resnet18", device="CPU", classes=("Käfer", "bee 🐝"), train_images=8,
        val_images=2, stages=("head",), time_s=0.0,
    ),
    WeightsSaved(stage="head", epoch=1),
    Notice(code="x", what="Grüße", hint="ü"),
    RunEnded(status="finished", val_accuracy=1.0, val_interval=(0.5, 1.0)),
)  # fmt: skip


def plan(version: int = PLAN_VERSION) -> Plan:
    return Plan(
        backbone="resnet18", weights_file="IMAGENET1K_V1", weights_sha256="0" * 64, regime="head", head="linear",
        stages=make_stages("head", 10, "cpu", 64, "sgd"), augmentation=Augmentation(), batch_size=64, seed=0,
        device="cpu", threads=1, advice=advise([5, 5]), version=version,
    )  # fmt: skip


@pytest.fixture
def pictures(two_classes) -> tuple[DatasetIndex, Split]:
    index = scan([two_classes])
    return index, split(index, seed=0)


def test_what_was_started_is_read_back(tmp_path, pictures):
    run = RunFolder(tmp_path / "run")
    assert not run.path.exists()
    setup = DatasetSetup(exclude=("*_mask*",), reading=Reading(low=3.0, channels=(1,), framing="fit"))
    run.start(plan(), *pictures, setup)
    again = RunFolder(tmp_path / "run")
    assert (again.plan(), again.dataset(), again.split()) == (plan(), *pictures)
    assert again.setup() == setup
    run.setup_file.unlink()
    assert again.setup() == DatasetSetup(), "older runs did not keep it"
    assert list(again.events()) == [] and again.summary() == (None, None)


def test_nothing_is_overwritten(tmp_path, pictures):
    full, file = tmp_path / "full", tmp_path / "file"
    full.mkdir()
    (full / "thesis.txt").write_text("important")
    file.write_text("important")
    for path in (full, file):
        with pytest.raises(StudioError, match="already exists and is not empty"):
            RunFolder(path).start(plan(), *pictures)
    assert [child.name for child in full.iterdir()] == ["thesis.txt"]
    assert file.read_text() == "important"


def test_an_empty_folder_may_become_a_run(tmp_path, pictures):
    (tmp_path / "run").mkdir()
    RunFolder(tmp_path / "run").start(plan(), *pictures)


def test_folders_that_are_no_runs_and_runs_of_later_versions(tmp_path, pictures):
    with pytest.raises(StudioError, match="is not a run folder"):
        RunFolder(tmp_path).plan()
    RunFolder(tmp_path / "run").start(plan(PLAN_VERSION + 1), *pictures)
    with pytest.raises(StudioError, match="newer version"):
        RunFolder(tmp_path / "run").plan()


def test_a_log_cut_at_any_byte_tells_all_whole_events(tmp_path):
    run = RunFolder(tmp_path)
    lines = [encode_event(event) for event in LOG]
    whole = b"".join(lines)
    ends = [len(b"".join(lines[: number + 1])) for number in range(len(lines))]
    for length in range(len(whole) + 1):
        run.events_file.write_bytes(whole[:length])
        # A line is whole with or without its line break.
        assert tuple(run.events()) == LOG[: sum(end - 1 <= length for end in ends)]


def test_the_summary_is_the_first_and_last_word(tmp_path):
    run = RunFolder(tmp_path)
    run.events_file.write_bytes(b"".join(encode_event(event) for event in LOG))
    assert run.summary() == (LOG[0], LOG[-1])


def test_damage_inside_a_log_is_said(tmp_path):
    run = RunFolder(tmp_path)
    run.events_file.write_bytes(encode_event(LOG[0])[:20] + b"\n" + encode_event(LOG[1]))
    with pytest.raises(StudioError, match=r"log of .* is damaged"):
        list(run.events())


def test_runs_are_listed_newest_first(tmp_path, pictures):
    for age, name in enumerate(("new", "older", "oldest")):
        run = RunFolder(tmp_path / name)
        run.start(plan(), *pictures)
        os.utime(run.plan_file, (1_000_000 - age, 1_000_000 - age))
    (tmp_path / "no run").mkdir()
    found = [run.path.name for run in runs_in(tmp_path) if run.path.name not in ("no run", "pictures", "home")]
    assert found == ["new", "older", "oldest"]


def test_a_file_that_was_changed_is_not_read(tmp_path, pictures):
    run = RunFolder(tmp_path / "run")
    run.start(plan(), *pictures)
    whole = run.split_file.read_text()
    run.split_file.write_text(whole.replace('"train": [\n  0,', '"train": [\n  1,'))
    assert run.split_file.read_text() != whole
    with pytest.raises(StudioError, match=r"“split\.json” in .* is damaged") as caught:
        run.split()
    assert "pictures are untouched" in caught.value.hint
    assert run.plan() == plan() and run.manifest.damaged() == [run.split_file]


def test_runs_of_versions_without_checksums_open_and_get_some_for_what_is_new(tmp_path, pictures):
    run = RunFolder(tmp_path / "run")
    run.start(plan(), *pictures)
    run.manifest.file.unlink()
    longer = msgspec.structs.replace(plan(), seed=7)
    run.keep(run.plan_file, longer)
    assert (run.plan(), run.split()) == (longer, pictures[1])
    run.plan_file.write_bytes(run.plan_file.read_bytes().replace(b'"seed": 7', b'"seed": 6'))
    with pytest.raises(StudioError, match="damaged"):
        run.plan()


def test_a_log_is_watched_while_nobody_writes_to_it(tmp_path):
    run = RunFolder(tmp_path)
    log = b"".join(encode_event(event) for event in LOG)
    run.events_file.write_bytes(log)
    run.manifest.note(run.events_file, hashlib.sha256(log).hexdigest())
    run.events_file.write_bytes(log.replace(b'"val_accuracy":1.0', b'"val_accuracy":0.0'))
    with pytest.raises(StudioError, match="damaged"):
        run.summary()
    run.manifest.release(run.events_file)
    assert run.summary()[1] == msgspec.structs.replace(LOG[-1], val_accuracy=0.0)


def test_whoever_reads_while_other_processes_write_sees_no_damage(tmp_path):
    run = RunFolder(tmp_path / "run")
    contents = {str(number).encode() * 5000 for number in range(10)}
    run.manifest.write(run.model_file, min(contents))
    program = """
        import sys
        from pathlib import Path
        from tlstudio.core.runfolder import RunFolder
        for number in range(40):
            file = Path(sys.argv[1])
            RunFolder(file.parent).manifest.write(file, str(number % 10).encode() * 5000)
    """
    writers = [
        subprocess.Popen([sys.executable, "-c", textwrap.dedent(program), file], cwd=Path(__file__).parents[2])
        for file in (run.model_file, run.predictions_file)
    ]
    seen = set()
    while any(writer.poll() is None for writer in writers):
        seen.add(run.manifest.read(run.model_file))
    assert [writer.returncode for writer in writers] == [0, 0]
    assert len(seen) > 1 and seen <= contents
    assert run.manifest.damaged() == [] and run.manifest.read(run.model_file) == max(contents)
    assert set(run.path.iterdir()) == {run.model_file, run.predictions_file, run.manifest.file}
