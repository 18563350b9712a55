"""Features from the disk are those that were computed, whatever happens to the file meanwhile."""

from __future__ import annotations

import hashlib
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.factories import draw
from tlstudio.core import cache_folder
from tlstudio.core.backbones import backbone
from tlstudio.core.cache_folder import clear, size_bytes
from tlstudio.core.dataset import ImageRecord
from tlstudio.core.events import Event, Progress, Stopped
from tlstudio.core.images import Reading
from tlstudio.core.paths import data_dir
from tlstudio.engine import feature_cache
from tlstudio.engine.data import ImageStore, Normaliser
from tlstudio.engine.feature_cache import FeatureCache, feature_key
from tlstudio.engine.features import BATCH_SIZE, block_pass
from tlstudio.engine.networks import Network, build_network, torchvision_model

BACKBONE = "squeezenet1_1"
SPEC = backbone(BACKBONE)
COUNT = 40
WEIGHTS = "a" * 64


@pytest.fixture(scope="module")
def network() -> Network:
    torch.manual_seed(0)
    return build_network(SPEC, torchvision_model(SPEC), classes=2).eval()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Forty different pictures."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(COUNT):
        draw("disc", number).save(folder / f"{number:02}.png")
    return folder


class Pass:
    """Passes of a folder's pictures, with what they said."""

    def __init__(self, network: Network, folder: Path, weights: str = WEIGHTS, stop_after: int | None = None) -> None:
        self.network, self.weights, self.stop_after = network, weights, stop_after
        self.paths = sorted(folder.iterdir())
        self.contents = [hashlib.sha256(path.read_bytes()).hexdigest() for path in self.paths]
        self.images = [
            ImageRecord(str(path), 0, None, content, 48, 48)
            for path, content in zip(self.paths, self.contents, strict=True)
        ]
        self.events: list[Event] = []

    def __call__(self) -> np.ndarray:
        self.events.clear()
        store = ImageStore(self.images, SPEC.preprocessing(), keep=False)
        try:
            return block_pass(
                self.network, self.weights, BACKBONE, store, range(len(self.images)),
                Normaliser(SPEC.preprocessing(), torch.device("cpu")), self.events.append, self._stops,
            )  # fmt: skip
        finally:
            store.close()

    def _stops(self) -> bool:
        return self.stop_after is not None and self.shown() >= self.stop_after

    def shown(self) -> int:
        """How many pictures the network saw."""
        return max((event.done for event in self.events if isinstance(event, Progress)), default=0)


def cache_files() -> list[Path]:
    return sorted((data_dir() / "cache" / "features").iterdir())


def test_every_block_is_there_pooled(network: Network, folder: Path) -> None:
    run = Pass(network, folder)
    features = run()
    assert features.shape == (COUNT, sum(block.channels for block in SPEC.blocks)) and features.dtype == np.float32
    store = ImageStore([run.images[7]], SPEC.preprocessing())
    image = next(store.batches([0], 1))
    store.close()
    maps = Normaliser(SPEC.preprocessing(), torch.device("cpu"))(image)
    start = 0
    with torch.inference_mode():
        for block, spec in zip(network.blocks, SPEC.blocks, strict=True):
            maps = block(maps)
            by_hand = maps[0].flatten(1).mean(1).numpy()
            assert np.allclose(features[7, start : start + spec.channels], by_hand, atol=1e-4)
            start += spec.channels


def test_the_second_pass_is_the_same_without_the_pictures_and_in_no_time(network: Network, folder: Path) -> None:
    run = Pass(network, folder)
    started = time.perf_counter()
    cold = run()
    cold_s = time.perf_counter() - started
    assert run.shown() == COUNT
    shutil.rmtree(folder)
    warm_s = []
    for _ in range(3):
        started = time.perf_counter()
        warm = run()
        warm_s.append(time.perf_counter() - started)
        assert np.array_equal(warm, cold) and run.shown() == 0
    assert min(warm_s) * 20 < cold_s


def test_a_changed_file_is_the_only_one_shown_again(network: Network, folder: Path) -> None:
    before = Pass(network, folder)()
    draw("square", 1).save(folder / "05.png")
    run = Pass(network, folder)
    after = run()
    assert run.shown() == 1
    others = np.arange(COUNT) != 5
    assert np.array_equal(after[others], before[others])
    assert not np.allclose(after[5], before[5])


def test_copies_are_shown_once(network: Network, folder: Path) -> None:
    shutil.copy(folder / "03.png", folder / "copy.png")
    run = Pass(network, folder)
    features = run()
    assert run.shown() == COUNT
    assert np.array_equal(features[3], features[COUNT])


def test_a_stop_keeps_what_was_computed(network: Network, folder: Path) -> None:
    with pytest.raises(Stopped):
        Pass(network, folder, stop_after=1)()
    run = Pass(network, folder)
    run()
    assert run.shown() == COUNT - BATCH_SIZE


def test_other_weights_share_nothing(network: Network, folder: Path) -> None:
    Pass(network, folder)()
    other = Pass(network, folder, weights="b" * 64)
    other()
    assert other.shown() == COUNT


def test_what_a_key_tells_apart() -> None:
    v1, v2 = (known.name for known in backbone("resnet50").weights)
    of = backbone("resnet50").preprocessing
    keys = {
        feature_key("resnet50", WEIGHTS, of(v1), "center"),
        feature_key("resnet50", WEIGHTS, of(v2), "center"),
        feature_key("resnet50", "b" * 64, of(v1), "center"),
        feature_key("resnet34", WEIGHTS, of(v1), "center"),
        feature_key("resnet50", WEIGHTS, of(v1), "random 1"),
        feature_key("resnet50", WEIGHTS, of(v1, Reading(framing="fit")), "center"),
        feature_key("resnet50", WEIGHTS, of(v1, Reading(low=0.0, high=4095.0)), "center"),
        feature_key("resnet50", WEIGHTS, of(v1, Reading(channels=(2,))), "center"),
    }
    assert len(keys) == 8


def header(content: bytearray) -> None:
    content[:100] = bytes(100)


def middle(content: bytearray) -> None:
    content[4096 : len(content) // 2] = b"\xff" * (len(content) // 2 - 4096)


def truncated(content: bytearray) -> None:
    del content[len(content) // 2 :]


def emptied(content: bytearray) -> None:
    content.clear()


@pytest.mark.parametrize("damage", [header, middle, truncated, emptied])
def test_a_damaged_file_is_made_anew(network: Network, folder: Path, damage) -> None:
    run = Pass(network, folder)
    before = run()
    (file,) = cache_files()
    content = bytearray(file.read_bytes())
    damage(content)
    file.write_bytes(content)
    again = run()
    assert np.allclose(again, before, atol=1e-4) and run.shown() > 0
    assert np.array_equal(run(), again) and run.shown() == 0


def test_a_damaged_row_is_computed_again(network: Network, folder: Path) -> None:
    run = Pass(network, folder)
    before = run()
    (file,) = cache_files()
    with sqlite3.connect(file) as connection:
        stored = connection.execute("SELECT features FROM rows WHERE content = ?", [run.contents[9]]).fetchone()[0]
        flipped = bytearray(stored)
        flipped[10] ^= 1
        connection.execute("UPDATE rows SET features = ? WHERE content = ?", [bytes(flipped), run.contents[9]])
        connection.execute("UPDATE rows SET features = 'text' WHERE content = ?", [run.contents[3]])
    connection.close()
    assert np.allclose(run(), before, atol=1e-4)
    assert run.shown() == 2


def test_without_a_folder_to_use_everything_is_computed(network: Network, folder: Path) -> None:
    (data_dir() / "cache").write_text("a file where the folder should be")
    run = Pass(network, folder)
    first = run()
    assert run.shown() == COUNT
    assert np.allclose(run(), first, atol=1e-4) and run.shown() == COUNT


def test_a_locked_file_is_not_waited_for_long(network: Network, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feature_cache, "LOCK_TIMEOUT_S", 0.1)
    run = Pass(network, folder)
    before = run()
    (file,) = cache_files()
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    assert np.allclose(run(), before, atol=1e-4) and run.shown() == COUNT
    other.close()
    run()
    assert run.shown() == 0


def test_a_full_cache_takes_no_more_and_is_emptied_of_the_oldest(
    network: Network, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Pass(network, folder, weights="b" * 64)()
    (older,) = cache_files()
    monkeypatch.setattr(cache_folder, "MAX_BYTES", size_bytes() + 1000)
    run = Pass(network, folder)
    first = run()
    assert not older.exists()
    assert np.array_equal(run(), first) and run.shown() == 0
    clear()
    monkeypatch.setattr(cache_folder, "MAX_BYTES", 1000)
    assert np.allclose(run(), first, atol=1e-4) and np.allclose(run(), first, atol=1e-4)
    assert run.shown() == COUNT


WRITER = """
import sys
import numpy as np
from tlstudio.engine.feature_cache import FeatureCache
start = int(sys.argv[1])
with FeatureCache("shared", 50) as cache:
    for number in range(start, start + 200):
        cache.put({f"{number:064}": np.full(50, number, np.float32)})
"""


def test_two_processes_write_at_the_same_time() -> None:
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, start]) for start in ("0", "150")]
    assert [writer.wait(120) for writer in writers] == [0, 0]
    with FeatureCache("shared", 50) as cache:
        rows: Iterator[tuple[str, np.ndarray]] = cache.rows([f"{number:064}" for number in range(400)])
        found = {int(content): row for content, row in rows}
    assert sorted(found) == list(range(350))
    assert all((row == number).all() and row.shape == (50,) for number, row in found.items())
