"""The cache of features: limit, age, damage, and a writer that is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from napari_blockseg.files.featurecache import FeatureCache


def arrays(seed: int, n: int = 1000) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {"s0": rng.normal(size=(2, n)).astype(np.float16), "s1": np.arange(seed + 3)}


def test_what_is_kept_comes_back_bit_for_bit(tmp_path):
    cache = FeatureCache(tmp_path / "features")
    assert cache.get("a") is None
    assert cache.put("a", arrays(1))
    found = FeatureCache(tmp_path / "features").get("a")
    assert found is not None
    assert found.keys() == arrays(1).keys()
    for name, value in arrays(1).items():
        np.testing.assert_array_equal(found[name], value)
        assert found[name].dtype == value.dtype


def test_what_was_used_longest_ago_goes_first_and_the_limit_holds(tmp_path):
    one = FeatureCache(tmp_path)
    one.put("probe", arrays(0))
    limit = int(one.size() * 3.5)
    (tmp_path / "probe.npz").unlink()
    cache = FeatureCache(tmp_path, limit)
    for age, key in ((300, "a"), (200, "b"), (100, "c")):
        cache.put(key, arrays(0))
        os.utime(tmp_path / f"{key}.npz", (time.time() - age,) * 2)
    assert cache.get("a") is not None  # used just now: "b" is the oldest
    cache.put("d", arrays(0))
    assert [key for key in "abcd" if cache.get(key) is not None] == ["a", "c", "d"]
    assert cache.size() <= limit


def test_what_is_larger_than_the_limit_throws_nothing_out(tmp_path):
    cache = FeatureCache(tmp_path, 10_000)
    cache.put("small", arrays(0))
    assert not cache.put("large", arrays(0, n=100_000))
    assert cache.get("small") is not None
    assert cache.get("large") is None


@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "other"])
def test_a_damaged_file_is_not_there(tmp_path, damage):
    cache = FeatureCache(tmp_path)
    cache.put("a", arrays(1))
    path = tmp_path / "a.npz"
    data = bytearray(path.read_bytes())
    data[500] ^= 0xFF
    path.write_bytes(
        {"cut": bytes(data[:700]), "flip": bytes(data), "empty": b"", "other": b"hello"}[damage]
    )
    assert cache.get("a") is None
    assert not path.exists()
    assert cache.put("a", arrays(1))
    assert cache.get("a") is not None


#: Of an entry in the directory at the end of a zip file: version needed, flags (bit 0: encrypted;
#: bit 5: patched data), method of compression.
@pytest.mark.parametrize(("place", "value"), [(6, 99), (8, 0x01), (8, 0x20), (10, 99)])
def test_a_directory_that_asks_for_what_no_reader_has_is_damage(tmp_path, place, value):
    cache = FeatureCache(tmp_path)
    cache.put("a", arrays(1))
    path = tmp_path / "a.npz"
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\x01\x02") + place] = value
    path.write_bytes(data)
    assert cache.get("a") is None
    assert not path.exists()


def test_whatever_byte_of_its_structure_is_damaged_features_are_right_or_gone(tmp_path):
    cache = FeatureCache(tmp_path)
    kept = arrays(1, n=10)
    cache.put("a", kept)
    path = tmp_path / "a.npz"
    whole = path.read_bytes()
    for place in range(len(whole)):
        for bits in (0x01, 0x20, 0xFF):
            data = bytearray(whole)
            data[place] ^= bits
            path.write_bytes(data)
            found = cache.get("a")
            assert path.exists() == (found is not None)
            for name, value in (found or {}).items():
                np.testing.assert_array_equal(value, kept[name])


def test_a_folder_that_cannot_be_written_is_no_error(tmp_path):
    (tmp_path / "file").write_text("in the way")
    cache = FeatureCache(tmp_path / "file")
    assert not cache.put("a", arrays(1))
    assert cache.get("a") is None
    assert cache.size() == 0


WRITER = """
import sys
from pathlib import Path
import numpy as np
from napari_blockseg.files.featurecache import FeatureCache
cache = FeatureCache(Path(sys.argv[1]))
print("ready", flush=True)
while True:
    cache.put("a", {"x": np.full(2_000_000, 7, np.float16)})
"""


@pytest.mark.skipif(sys.platform == "win32", reason="kills by signal")
def test_a_writer_that_is_killed_leaves_all_or_nothing(tmp_path):
    cache = FeatureCache(tmp_path)
    for delay in (0.02, 0.05):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE
        )
        writer.stdout.readline()
        time.sleep(delay)
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        writer.stdout.close()
        found = cache.get("a")
        assert found is None or (found["x"] == 7).all()
    for path in tmp_path.glob(".*.tmp.npz"):
        os.utime(path, (time.time() - 3600,) * 2)
    cache.put("b", arrays(1))
    assert not list(tmp_path.glob(".*"))
