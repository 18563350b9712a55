"""What was learned comes back as it was, or not at all: whatever happens to the disk, the files and the cache."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import msgspec
import numpy as np
import pytest
from PIL import Image

from tests.factories import draw
from tests.hostile import saved
from tlstudio.core import cache_folder, picture_cache
from tlstudio.core.images import Reading, decode, framed
from tlstudio.core.inspection import inspect
from tlstudio.core.listing import ListedFile
from tlstudio.core.picture_cache import SCAN_RECIPE, Learned, Packs, PictureCache, copy_recipe
from tlstudio.core.picture_facts import PictureFacts, ScannedFile


def listed(path: Path) -> ListedFile:
    facts = path.stat()
    return ListedFile(str(path), f"here/{path.name}", facts.st_size, facts.st_mtime_ns)


def learn(cache: PictureCache, path: Path) -> ScannedFile:
    packs = Packs()
    learned = packs.learn(listed(path), inspect(listed(path)))
    packs.close()
    cache.put([learned])
    return learned.scanned


@pytest.fixture
def picture(tmp_path) -> Path:
    path = tmp_path / "picture.png"
    path.write_bytes(saved(draw("disc", 1, side_px=400), "PNG"))
    return path


def test_everything_comes_back(picture, home):
    with PictureCache() as cache:
        scanned = learn(cache, picture)
    with PictureCache() as cache:
        assert cache.facts([listed(picture)]) == {str(picture): scanned}
        found = inspect(listed(picture))
        content = scanned.facts.sha256
        assert cache.thumbnail(content) == found.thumbnail
        assert np.array_equal(cache.fingerprints([content])[0], found.fingerprint)
        assert np.array_equal(cache.copy(content, SCAN_RECIPE), found.copy)
        assert cache.thumbnail("0" * 64) is None and cache.copy("0" * 64, SCAN_RECIPE) is None
        first, other, again = cache.fingerprints([content, "0" * 64, content])
        assert other is None and np.array_equal(first, again)
    assert cache_folder.size_bytes() > 256 * 256 * 3


def test_a_changed_file_is_unknown(picture, home):
    with PictureCache() as cache:
        learn(cache, picture)
        before = listed(picture)
        assert cache.facts([before])
        assert not cache.facts([msgspec.structs.replace(before, size_bytes=before.size_bytes + 1)])
        assert not cache.facts([msgspec.structs.replace(before, mtime_ns=before.mtime_ns + 1)])
        moved = msgspec.structs.replace(before, place="elsewhere/picture.png")
        assert cache.facts([moved])[str(picture)].place == "elsewhere/picture.png"


def test_what_may_pass_is_not_remembered(tmp_path, home):
    paths = []
    for code in ("no-access", "unsupported", "too-slow", "decoder-crashed", "unreadable"):
        paths.append(tmp_path / code)
        paths[-1].write_bytes(b"x")
    with PictureCache() as cache:
        cache.put(Learned(listed(path), ScannedFile(str(path), "", None, path.name, "why")) for path in paths)
        assert [found.code for found in cache.facts([listed(path) for path in paths]).values()] == ["unreadable"]


def test_a_copy_of_any_recipe_has_the_pixels_of_training(tmp_path, home):
    for side, name in ((60, "small.png"), (900, "large.png"), (1400, "larger.jpg")):
        path = tmp_path / name
        path.write_bytes(saved(draw("square", 2, side_px=side), "JPEG" if name.endswith("jpg") else "PNG"))
        for framing in ("fill", "fit", "stretch"):
            for resize, crop, resampling in ((256, 224, "bilinear"), (232, 224, "bilinear"), (8, 8, "bicubic")):
                recipe = copy_recipe(resize, crop, resampling, Reading(framing=framing))
                decoded = decode(path.read_bytes(), path.suffix, resize)
                expected = framed(decoded, resize, crop, resampling, framing)
                with PictureCache() as cache:
                    content = learn(cache, path).facts.sha256
                    kept = cache.copy(content, recipe)
                    assert kept is None or np.array_equal(kept, expected)
                    cache.put_copy(content, recipe, expected)
                    assert np.array_equal(cache.copy(content, recipe), expected)
    assert copy_recipe(256, 224, "bilinear") == copy_recipe(256, 192, "bilinear")
    assert copy_recipe(256, 224, "bilinear", Reading(framing="fit")) != copy_recipe(
        256, 192, "bilinear", Reading(framing="fit")
    )


def test_another_reading_is_another_copy(picture, home):
    with PictureCache() as cache:
        content = learn(cache, picture).facts.sha256
        for reading in (Reading(low=5), Reading(high=9), Reading(channels=(1,)), Reading(framing="fit")):
            assert cache.copy(content, copy_recipe(256, 224, "bilinear", reading)) is None


def test_damage_is_noticed(picture, home):
    with PictureCache() as cache:
        content = learn(cache, picture).facts.sha256
        (pack,) = (home / "cache" / "pictures").glob("*.pack")
        intact = pack.read_bytes()
        for place in (0, len(intact) // 2, len(intact) - 1):
            damaged = bytearray(intact)
            damaged[place] ^= 1
            pack.write_bytes(damaged)
            assert None in (cache.thumbnail(content), cache.copy(content, SCAN_RECIPE))
        pack.write_bytes(intact[:-1])
        assert cache.copy(content, SCAN_RECIPE) is None and cache.thumbnail(content) is not None
        pack.unlink()
        assert cache.thumbnail(content) is None


def test_a_damaged_table_is_begun_again(picture, home):
    with PictureCache() as cache:
        learn(cache, picture)
    (table,) = (home / "cache" / "pictures").glob("*.sqlite")
    table.write_bytes(b"this is no table" * 500)
    with PictureCache() as cache:
        assert cache.facts([listed(picture)]) == {}
        learn(cache, picture)
        assert cache.facts([listed(picture)])


def test_a_disk_that_refuses_costs_nothing_but_time(picture, home, monkeypatch):
    (home / "cache").mkdir(parents=True)
    (home / "cache" / "pictures").write_text("a file where the folder should be")
    with PictureCache() as cache:
        content = learn(cache, picture).facts.sha256
        assert cache.facts([listed(picture)]) == {}
        assert cache.thumbnail(content) is None and cache.fingerprints([content]) == [None]
        cache.put_copy(content, SCAN_RECIPE, Image.new("RGB", (4, 4)))


def test_clearing_while_it_is_open(picture, home):
    with PictureCache() as cache:
        content = learn(cache, picture).facts.sha256
        assert cache_folder.clear() > 0
        assert cache.thumbnail(content) is None and not cache.facts([listed(picture)])
        learn(cache, picture)
        assert cache.thumbnail(content) is not None
        assert list((home / "cache" / "pictures").glob("*.sqlite"))


def test_no_more_is_kept_than_there_is_room_for(picture, home, monkeypatch):
    monkeypatch.setattr(cache_folder, "MAX_BYTES", 700_000)
    monkeypatch.setattr(picture_cache, "ROOM_CHECK_BYTES", 100_000)
    images = [Image.effect_noise((256, 256), 50).convert("RGB") for _ in range(8)]
    with PictureCache() as cache:
        for number, image in enumerate(images):
            cache.put_copy(f"{number:064x}", SCAN_RECIPE, image)
        kept = [cache.copy(f"{number:064x}", SCAN_RECIPE) is not None for number in range(8)]
        assert any(kept) and not all(kept)
        assert cache_folder.size_bytes() <= 700_000
        assert learn(cache, picture).facts is not None, "facts and thumbnails still fit"
        assert cache.thumbnail(cache.facts([listed(picture)])[str(picture)].facts.sha256)


def test_packs_of_before_make_room(home, monkeypatch):
    with PictureCache() as cache:
        cache.put_copy("1" * 64, SCAN_RECIPE, Image.new("RGB", (256, 256)))
    (old,) = (home / "cache" / "pictures").glob("*.pack")
    os.utime(old, (1, 1))
    monkeypatch.setattr(cache_folder, "MAX_BYTES", 400_000)
    monkeypatch.setattr(picture_cache, "ROOM_CHECK_BYTES", 200_000)
    with PictureCache() as cache:
        cache.put_copy("2" * 64, SCAN_RECIPE, Image.new("RGB", (256, 256)))
        assert not old.exists()
        assert cache.copy("1" * 64, SCAN_RECIPE) is None and cache.copy("2" * 64, SCAN_RECIPE) is not None


def test_packs_end_at_their_size(home, monkeypatch):
    monkeypatch.setattr(picture_cache, "PACK_BYTES", 500_000)
    with PictureCache() as cache:
        for number in range(6):
            cache.put_copy(f"{number:064x}", SCAN_RECIPE, Image.new("RGB", (256, 256), (number, 0, 0)))
        packs = list((home / "cache" / "pictures").glob("*.pack"))
        assert len(packs) == 3 and all(pack.stat().st_size <= 500_000 for pack in packs)
        for number in range(6):
            assert cache.copy(f"{number:064x}", SCAN_RECIPE).getpixel((0, 0)) == (number, 0, 0)


WRITER = """
import sys
from PIL import Image
from tlstudio.core.picture_cache import PictureCache, SCAN_RECIPE
with PictureCache() as cache:
    for number in range(30):
        cache.put_copy(f"{int(sys.argv[1]) * 100 + number:064x}", SCAN_RECIPE, Image.new("RGB", (20, 20), number))
"""


def test_several_processes_and_threads_at_once(home):
    root = Path(__file__).parents[2]
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(number)], cwd=root) for number in range(3)]
    wrong: list[str] = []
    with PictureCache() as cache:

        def read() -> None:
            while any(writer.poll() is None for writer in writers):
                for key in range(0, 300, 7):
                    image = cache.copy(f"{key:064x}", SCAN_RECIPE)
                    if image is not None and image.getpixel((0, 0))[0] != key % 100:
                        wrong.append(f"{key}")

        readers = [threading.Thread(target=read) for _ in range(3)]
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join(60)
        assert [writer.wait() for writer in writers] == [0, 0, 0] and not wrong
        assert all(cache.copy(f"{n * 100 + m:064x}", SCAN_RECIPE) is not None for n in range(3) for m in range(30))


def test_a_hundred_thousand_facts_come_at_once(home):
    facts = PictureFacts("ab" * 32, "cd" * 32, 640, 480, 5000, "JPEG", 0.5, 300.0, "Acme 7", 1.6e9)
    files = [ListedFile(f"/pictures/class{n % 1000}/{n}.jpg", f"{n}.jpg", 5000, n) for n in range(100_000)]
    with PictureCache() as cache:
        cache.put(Learned(file, ScannedFile(file.path, file.place, facts)) for file in files)
        started = time.process_time()
        assert len(cache.facts(files)) == 100_000
        assert time.process_time() - started < 3  # under a second where nothing else runs
