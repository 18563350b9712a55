"""The advice from folders of pictures: measured once, on training pictures alone, and remembered."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from tests.engine.conftest import BACKBONE, train_job
from tests.factories import class_folders, part_folders
from tlstudio.core.advice import Advice
from tlstudio.core.backbones import backbone
from tlstudio.core.cache_folder import clear
from tlstudio.core.errors import StudioError
from tlstudio.core.events import AdviceChanged, Event, Progress, Stopped
from tlstudio.core.jobs import Advise
from tlstudio.core.paths import data_dir
from tlstudio.engine.advise import advise
from tlstudio.engine.perform import perform
from tlstudio.engine.setup import set_up


def job(pictures: Path, weights_file: Path, **changes) -> Advise:
    options = {"threads": 2} | changes
    return Advise(folders=(str(pictures),), weights=str(weights_file), **options)


def timeless(advice: Advice) -> Advice:
    return msgspec.structs.replace(advice, seconds=0.0)


def shown(events: list[Event]) -> int:
    """How many pictures a network saw."""
    said = [event for event in events if isinstance(event, Progress) and event.what.startswith("Showing")]
    return max((event.done for event in said), default=0)


def test_every_block_is_measured(drawn_pictures: Path, weights_file: Path) -> None:
    advice = advise(job(drawn_pictures, weights_file))
    assert [depth.block for depth in advice.depths] == [block.name for block in backbone(BACKBONE).blocks]
    assert max(depth.accuracy for depth in advice.depths) > 0.8, "discs and squares differ in colour"
    assert advice.similarity is not None and advice.size is not None and advice.joined is not None
    assert advice.size.value == advice.measured_images == 32
    assert advice.cut in {depth.block for depth in advice.depths}
    assert set(advice.expected) == {"head", "cut"} and advice.seconds > 0


def test_the_point_moves_as_pictures_come_in(tmp_path: Path, weights_file: Path) -> None:
    pictures = part_folders(tmp_path / "many", {"train": 45, "val": 2})
    events: list[Event] = []
    advice = advise(job(pictures, weights_file), events.append)
    looks = [event.advice for event in events if isinstance(event, AdviceChanged)]
    assert [look.measured_images for look in looks] == [64, 90]
    assert timeless(looks[-1]) == timeless(advice)
    assert looks[0].size is not None and looks[0].size.value == 90


def test_only_training_pictures_are_shown_to_the_network(tmp_path: Path, weights_file: Path) -> None:
    pictures = part_folders(tmp_path / "parts", {"train": 8, "val": 5, "test": 4})
    shutil.copy(pictures / "train" / "disc" / "disc_000.png", pictures / "train" / "disc" / "copy.png")
    advise(job(pictures, weights_file))
    (file,) = (data_dir() / "cache" / "features").iterdir()
    connection = sqlite3.connect(file)
    assert connection.execute("SELECT count(*) FROM rows").fetchone() == (16,)
    connection.close()


def test_the_second_time_nothing_is_measured(drawn_pictures: Path, weights_file: Path) -> None:
    events: list[Event] = []
    first = advise(job(drawn_pictures, weights_file), events.append)
    assert shown(events) == 32
    events.clear()
    assert timeless(advise(job(drawn_pictures, weights_file), events.append)) == timeless(first)
    assert shown(events) == 0
    assert any(isinstance(event, AdviceChanged) for event in events)
    clear()
    assert timeless(advise(job(drawn_pictures, weights_file))) == timeless(first)


def test_the_second_time_nothing_heavy_is_imported(drawn_pictures: Path, weights_file: Path) -> None:
    program = f"""
import sys
from tlstudio.cli import main
assert main(["advise", {str(drawn_pictures)!r}, "--weights", {str(weights_file)!r}, "--json"]) == 0
print(sorted({{"torch", "sklearn", "scipy"}} & sys.modules.keys()))
"""
    first, second = (
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120) for _ in range(2)
    )
    assert first.returncode == 0 and second.returncode == 0, first.stderr + second.stderr
    assert "torch" in first.stdout.splitlines()[1]
    assert second.stdout.splitlines()[1] == "[]"
    one, two = (msgspec.json.decode(ran.stdout.splitlines()[0], type=Advice) for ran in (first, second))
    assert timeless(one) == timeless(two)


def test_a_picture_that_changes_class_is_measured_anew(tmp_path: Path, weights_file: Path) -> None:
    pictures = part_folders(tmp_path / "parts", {"train": 10, "val": 2})
    first = advise(job(pictures, weights_file))
    (pictures / "train" / "disc" / "disc_000.png").rename(pictures / "train" / "square" / "disc_000.png")
    second = advise(job(pictures, weights_file))
    assert second.size is not None and second.size.smallest_class == 9
    assert second.depths != first.depths


def test_another_seed_deals_the_same_pictures_out_anew(tmp_path: Path, weights_file: Path) -> None:
    pictures = part_folders(tmp_path / "parts", {"train": 10, "val": 2})
    events: list[Event] = []
    advise(job(pictures, weights_file))
    advise(job(pictures, weights_file, seed=3), events.append)
    assert shown(events) == 0
    assert any(isinstance(event, Progress) and event.what.startswith("Measuring") for event in events)


def test_training_follows_the_same_advice(tmp_path: Path, drawn_pictures: Path, weights_file: Path) -> None:
    advice = advise(job(drawn_pictures, weights_file))
    run = set_up(
        train_job(drawn_pictures, tmp_path / "run", weights_file, regime="auto"), lambda event: None, lambda: False
    )
    planned = run.plan()
    assert planned.advice is not None and timeless(planned.advice) == timeless(advice)
    assert planned.regime == advice.regime


def test_where_nothing_can_be_measured_the_advice_says_so(tmp_path: Path, weights_file: Path) -> None:
    pictures = part_folders(tmp_path / "parts", {"train": 1, "val": 1})
    advice = advise(job(pictures, weights_file))
    assert advice.regime == "head" and advice.similarity is None and advice.depths == ()
    assert "Nothing could be measured" in advice.reasons[0]


def test_two_pictures_a_class_are_enough_to_measure(tmp_path: Path, weights_file: Path) -> None:
    advice = advise(job(part_folders(tmp_path / "parts", {"train": 2, "val": 1}), weights_file))
    assert advice.measured_images == 4 and advice.size is not None and advice.size.verdict == "few-shot"
    assert advice.similarity is not None and advice.similarity.low <= advice.similarity.high


@pytest.mark.parametrize("warm", [False, True])
def test_weights_of_another_backbone_are_refused_cold_and_warm(
    drawn_pictures: Path, weights_file: Path, warm: bool
) -> None:
    if warm:
        advise(job(drawn_pictures, weights_file))
    with pytest.raises(StudioError, match="not ResNet-18"):
        advise(job(drawn_pictures, weights_file, backbone="resnet18"))


def test_a_file_that_is_no_weights_is_refused(drawn_pictures: Path, tmp_path: Path) -> None:
    with pytest.raises(StudioError, match="no weights file"):
        advise(job(drawn_pictures, tmp_path / "none.pth"))
    with pytest.raises(StudioError, match="no weights"):
        advise(Advise(folders=(str(drawn_pictures),), backbone="vgg16"))


def test_a_weights_file_that_changed_is_read_again(drawn_pictures: Path, weights_file: Path, tmp_path: Path) -> None:
    copy = shutil.copy(weights_file, tmp_path / "mine.pth")
    advise(job(drawn_pictures, copy))
    copy.write_bytes(b"broken")
    with pytest.raises(StudioError, match="not a weights file"):
        advise(job(drawn_pictures, copy))


def test_stopping(drawn_pictures: Path, weights_file: Path) -> None:
    with pytest.raises(Stopped):
        advise(job(drawn_pictures, weights_file), should_stop=lambda: True)


def test_the_job(tmp_path: Path, weights_file: Path) -> None:
    pictures = class_folders(tmp_path / "pictures")
    ended = perform(job(pictures, weights_file), lambda event: None, lambda: False)
    assert ended.status == "finished"
    assert msgspec.convert(ended.result, Advice).measured_images == 10
