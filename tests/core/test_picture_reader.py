"""Pictures read one by one by processes that may crash, hang or be killed: the caller notices no more than a word."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from tests.core.test_decode_pass import HEIC, MISBEHAVING, children, listed, needs_proc
from tests.factories import draw
from tests.hostile import quarters, saved
from tlstudio.core.decode_pass import inspect_all
from tlstudio.core.decode_process import warm_up
from tlstudio.core.events import Stopped
from tlstudio.core.images import Reading, UnreadableImage, framed, read_image
from tlstudio.core.inspection import sha256_of_content
from tlstudio.core.picture_cache import copy_recipe
from tlstudio.core.picture_reader import PictureReader

RECIPE = copy_recipe(64, 56, "bilinear", Reading(framing="fit"))


@pytest.fixture
def reader() -> Iterator[PictureReader]:
    with closing(PictureReader()) as reader:
        yield reader


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    (tmp_path / "pictures").mkdir()
    paths = [tmp_path / "pictures" / f"{number}.jpg" for number in range(12)]
    for number, path in enumerate(paths):
        path.write_bytes(saved(draw("disc", number, side_px=200 + 9 * number), "JPEG"))
    return paths


def code_of(reader: PictureReader, path: Path, sha256: str = "") -> str:
    with pytest.raises(UnreadableImage) as raised:
        reader.framed(str(path), RECIPE, sha256)
    return raised.value.code


def test_threads_get_the_pixels_they_asked_for(reader: PictureReader, pictures: list[Path]) -> None:
    with ThreadPoolExecutor(6) as pool:
        seen = list(pool.map(lambda path: reader.framed(str(path), RECIPE), pictures * 3))
    for image, path in zip(seen, pictures * 3, strict=True):
        by_hand = framed(read_image(path, 64), 64, 56, "bilinear", "fit")
        assert np.array_equal(image, by_hand)


def test_only_the_bytes_that_were_looked_at(reader: PictureReader, pictures: list[Path]) -> None:
    content = pictures[0].read_bytes()
    reader.framed(str(pictures[0]), RECIPE, sha256_of_content(content))
    pictures[0].write_bytes(pictures[1].read_bytes())
    assert code_of(reader, pictures[0], sha256_of_content(content)) == "changed"


@pytest.mark.parametrize(
    ("deed", "code"), [("os.abort()", "decoder-crashed"), ("ctypes.PyDLL(None).sleep(600)", "too-slow")]
)
@pytest.mark.skipif(os.name == "nt", reason="uses the C library by its name here")
def test_a_decoder_that_ends_its_process_costs_one_picture(
    deed: str, code: str, pictures: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "evil").mkdir()
    (tmp_path / "evil" / "pillow_heif.py").write_text(MISBEHAVING.format(deed=deed))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "evil"))
    (tmp_path / "pictures" / "evil.heic").write_bytes(HEIC)
    with closing(PictureReader()) as reader, ThreadPoolExecutor(4) as pool:
        good = [pool.submit(reader.framed, str(path), RECIPE) for path in pictures]
        assert code_of(reader, tmp_path / "pictures" / "evil.heic") == code
        assert all(future.result().size == (56, 56) for future in good)
        assert reader.framed(str(pictures[0]), RECIPE).size == (56, 56)


def test_a_folder_that_is_gone_is_told_from_a_picture_that_is(
    reader: PictureReader, pictures: list[Path], tmp_path: Path
) -> None:
    content = pictures[0].read_bytes()
    pictures[0].unlink()
    assert code_of(reader, pictures[0]) == "no-access"
    (tmp_path / "pictures").rename(tmp_path / "away")
    assert code_of(reader, pictures[0]) == code_of(reader, pictures[1]) == "folder-gone"
    (tmp_path / "pictures").mkdir()  # what a share leaves behind that is not mounted any more
    assert code_of(reader, pictures[1]) == "folder-gone"
    pictures[0].write_bytes(content)
    assert code_of(reader, pictures[1]) == "no-access"


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="asks for a file that exists and cannot be opened")
@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="nothing is locked for this user")
def test_a_locked_picture_is_no_folder_that_is_gone(reader: PictureReader, pictures: list[Path]) -> None:
    pictures[0].chmod(0)
    assert code_of(reader, pictures[0]) == "no-access"


def test_large_pictures_wait_for_each_other(
    reader: PictureReader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tlstudio.core.picture_reader.HEAVY_BYTES", 40 * 2**20)
    path = tmp_path / "large.png"
    path.write_bytes(saved(quarters(2600, 2600), "PNG", compress_level=1))
    with ThreadPoolExecutor(3) as pool:
        sizes = list(pool.map(lambda _: reader.framed(str(path), RECIPE).size, range(3)))
    assert sizes == [(56, 56)] * 3


@needs_proc
def test_processes_end_when_nobody_needs_them(pictures: list[Path], home: Path) -> None:
    before = children()
    with closing(PictureReader()) as reader:
        reader.framed(str(pictures[0]), RECIPE)
        assert children() - before
        reader.rest()
        assert children() <= before
        reader.framed(str(pictures[0]), RECIPE)
    assert children() <= before
    assert list(inspect_all(listed(pictures)))
    warm_up()
    assert children() - before
    assert list(inspect_all(listed(pictures)))  # all of it is known
    assert children() <= before


@needs_proc
@pytest.mark.skipif(os.name == "nt", reason="uses the C library by its name here")
def test_closing_ends_a_process_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    marker = tmp_path / "hangs"
    deed = f"open({str(marker)!r}, 'w').close(); ctypes.PyDLL(None).sleep(600)"
    (tmp_path / "pillow_heif.py").write_text(MISBEHAVING.format(deed=deed))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (tmp_path / "evil.heic").write_bytes(HEIC)
    before = children()
    reader = PictureReader()
    outcome: list[BaseException] = []

    def ask() -> None:
        try:
            reader.framed(str(tmp_path / "evil.heic"), RECIPE)
        except BaseException as error:
            outcome.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    while not marker.exists():
        thread.join(0.01)
    reader.close()
    thread.join()
    assert [type(error) for error in outcome] == [Stopped]
    assert children() <= before


@needs_proc
def test_a_spare_process_that_was_killed_costs_no_picture(reader: PictureReader, pictures: list[Path]) -> None:
    before = children()
    warm_up()
    for pid in children() - before:
        os.kill(pid, signal.SIGKILL)
    assert reader.framed(str(pictures[0]), RECIPE).size == (56, 56)
