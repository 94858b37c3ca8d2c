from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from napari_blockseg.core.config import PredictConfig
from napari_blockseg.core.errors import ImageError, ModelError
from napari_blockseg.core.metrics import Confusion
from napari_blockseg.core.normalize import Normalization
from napari_blockseg.core.tiles import plan_tiles
from napari_blockseg.learn import stitching
from napari_blockseg.learn.bands import WorkingBands
from napari_blockseg.learn.checkpoint import Model, load_model
from napari_blockseg.learn.classmap import largest_class
from napari_blockseg.learn.data import working_image
from napari_blockseg.learn.predict import predict, predict_into, predict_mask
from napari_blockseg.learn.stitching import RowUpsampler, kept_share, stitch_tiles

from .conftest import scene


@pytest.fixture(scope="module")
def model(trained):
    return load_model(trained[0], "cpu")


@pytest.fixture(scope="module")
def large():
    """Many disks of many sizes: (pixels, mask)."""
    tiles = [scene(100 + i, (160, 192)) for i in range(32)]
    pixels, masks = zip(*tiles, strict=True)

    def mosaic(parts):
        return np.concatenate([np.concatenate(parts[i : i + 4], 1) for i in range(0, 32, 4)])

    return mosaic(pixels)[:1277, :701], mosaic(masks)[:1277, :701]


def run(steps):
    reports = []
    while True:
        try:
            reports.append(next(steps))
        except StopIteration as stop:
            return stop.value, reports


def with_scale(model, block, scale):
    spec = model.spec.model_copy(update={"block": block, "scale": scale})
    return Model(spec, model.network, model.device)


def test_it_finds_what_it_learned(model):
    pixels, mask = scene(77)
    confusion = Confusion(2)
    confusion.add(mask, predict_mask(model, pixels))
    assert confusion.miou() > 0.8


@pytest.mark.parametrize(("block", "scale"), [(8, 1.0), (16, 0.5), (12, 8 / 12)])
def test_tiles_agree_with_the_whole_image(model, large, block, scale):
    pixels, mask = large
    scaled = with_scale(model, block, scale)
    whole = predict_mask(scaled, pixels, PredictConfig(tile=2048))
    tiled, reports = run(predict(scaled, pixels, PredictConfig(tile=64 if scale < 1 else 256)))
    assert reports[-1].total >= 2
    assert (whole == tiled.mask).mean() >= 0.995
    scores = []
    for found in (whole, tiled.mask):
        confusion = Confusion(2)
        confusion.add(mask, found)
        scores.append(confusion.miou())
    assert scores[0] == pytest.approx(scores[1], abs=0.002)


class Lazy:
    """An array that is only read in parts, and says which rows."""

    def __init__(self, values):
        self._values, self.shape, self.ndim, self.rows = values, values.shape, 3, []

    def __getitem__(self, window):
        rows = window[0].indices(self.shape[0])
        self.rows.append((rows[0], rows[1]))
        return self._values[window]


@pytest.mark.parametrize(("block", "scale"), [(8, 1.0), (16, 0.5), (12, 8 / 12)])
def test_a_lazy_image_is_read_once_from_top_to_bottom(model, large, block, scale):
    scaled, config = with_scale(model, block, scale), PredictConfig(tile=128, halo=32)
    lazy = Lazy(large[0][:, :100])
    expected = predict_mask(scaled, large[0][:, :100], config)
    assert np.array_equal(predict_mask(scaled, lazy, config), expected)
    assert len(lazy.rows) > 4
    # Antialiasing looks two units beyond a band on each side; nothing else is read again.
    assert sum(stop - start for start, stop in lazy.rows) <= 1277 + len(lazy.rows) * 4 * block
    assert max(stop - start for start, stop in lazy.rows) <= (128 + 64) / scale + 4 * block


def test_bands_are_the_working_image(model):
    pixels = np.random.default_rng(0).integers(0, 256, (301, 90, 3), dtype=np.uint8)
    for block, scale in ((8, 1.0), (16, 0.5), (12, 8 / 12), (1, 0.5)):
        scaled = with_scale(model, block, scale)
        window = (24, 301, 0, 90)
        whole = working_image(pixels[24:], scaled.spec.normalization, scaled.spec.grid)
        bands = WorkingBands(scaled, pixels, window)
        assert tuple(bands.shape) == tuple(whole.shape)
        end = whole.shape[1]
        # Forth with overlap, over a gap, and back to the top as after a lack of memory.
        for start, stop in ((0, 30), (10, 40), (11, 35), (70, 90), (85, end), (0, end), (5, 9)):
            if stop <= end:
                found = bands[:, start:stop, 3:40]
                torch.testing.assert_close(found, whole[:, start:stop, 3:40], atol=1e-3, rtol=0)


def test_progress_counts_tiles(model, large):
    _, reports = run(predict(model, large[0], PredictConfig(tile=256, halo=32)))
    assert [r.done for r in reports] == list(range(1, len(reports) + 1))
    assert {r.total for r in reports} == {len(reports)}


def test_batches_of_tiles_change_nothing(model, large):
    one, _ = run(predict(model, large[0], PredictConfig(tile=256, halo=64), probabilities=True))
    three, reports = run(
        predict(model, large[0], PredictConfig(tile=256, halo=64, batch_size=3), probabilities=True)
    )
    np.testing.assert_allclose(one.probabilities, three.probabilities, atol=2e-3)
    assert reports[-1].done == reports[-1].total > len(reports)


@pytest.mark.parametrize(("block", "scale"), [(8, 1.0), (16, 0.5), (10, 0.7)])
def test_a_region_is_part_of_the_whole(model, large, block, scale):
    scaled = with_scale(model, block, scale)
    whole = predict_mask(scaled, large[0], PredictConfig(tile=2048))
    region = (403, 500, 250, 437)
    part, _ = run(predict(scaled, large[0], PredictConfig(), region=region))
    assert part.mask.shape == (97, 187)
    # A small region may lie where the model is unsure: a hair moves it there.
    assert (part.mask == whole[403:500, 250:437]).mean() >= 0.98


def test_a_region_is_clipped(model):
    pixels, _ = scene(3)
    part, _ = run(predict(model, pixels, region=(-50, 40, 100, 900)))
    assert part.mask.shape == (40, 28)
    with pytest.raises(ImageError, match="nothing of it lies inside"):
        run(predict(model, pixels, region=(200, 300, 0, 10)))


@pytest.mark.parametrize("shape", [(1, 1), (31, 200), (8, 8), (65, 33)])
def test_any_size(model, shape):
    pixels = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    for scaled in (model, with_scale(model, 16, 0.5), with_scale(model, 1, 0.5)):
        mask = predict_mask(scaled, pixels)
        assert mask.shape == shape
        assert set(np.unique(mask)) <= {1, 2}


def test_probabilities_and_uncertainty(model):
    pixels, _ = scene(5)
    found, _ = run(predict(model, pixels, probabilities=True, uncertainty=True))
    chance = found.probabilities.astype(float)
    np.testing.assert_allclose(chance.sum(0), 1, atol=2e-3)
    assert ((chance.argmax(0) + 1) == found.mask).mean() > 0.999
    entropy = -(chance * np.log2(np.maximum(chance, 1e-9))).sum(0)
    np.testing.assert_allclose(found.uncertainty, entropy, atol=1e-2)
    plain, _ = run(predict(model, pixels))
    assert plain.probabilities is None
    assert plain.uncertainty is None


def test_mask_holds_class_values(model):
    """Values of classes that were kept after others had been deleted."""
    info = model.spec.classes
    moved = (info[0].model_copy(update={"value": 3}), info[1].model_copy(update={"value": 700}))
    changed = Model(model.spec.model_copy(update={"classes": moved}), model.network, model.device)
    mask = predict_mask(changed, scene(1)[0])
    assert mask.dtype == np.uint16
    assert set(np.unique(mask)) == {3, 700}


def test_wrong_channel_count(model):
    with pytest.raises(ImageError, match=r"1 channel\(s\); this model was trained on 3"):
        predict_mask(model, np.zeros((50, 50, 1), np.uint8))
    with pytest.raises(ImageError, match=r"expected \(rows, cols, channels\)"):
        predict_mask(model, np.zeros((50, 50), np.uint8))


def test_nan_in_an_image(model):
    floats = Model(
        model.spec.model_copy(update={"normalization": Normalization.for_dtype(np.float32)}),
        model.network,
        model.device,
    )
    pixels = scene(1)[0].astype(np.float32)
    pixels[4, 5] = np.nan
    with pytest.raises(ImageError, match="3 values that are NaN"):
        predict_mask(floats, pixels)


def fail(monkeypatch, larger_than):
    original = stitching.run_tiles

    def run_tiles(network, tiles, device):
        if tiles.shape[-1] > larger_than:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return original(network, tiles, device)

    monkeypatch.setattr(stitching, "run_tiles", run_tiles)


def test_out_of_memory_halves_the_tiles(model, large, monkeypatch):
    expected = predict_mask(model, large[0], PredictConfig(tile=256, halo=64))
    fail(monkeypatch, 400)
    found, reports = run(predict(model, large[0], PredictConfig(tile=512, halo=64)))
    assert "going on with tiles of 256 pixels" in reports[0].message
    assert np.array_equal(found.mask, expected)


def test_out_of_memory_with_the_smallest_tile(model, monkeypatch):
    fail(monkeypatch, 0)
    with pytest.raises(ModelError, match="tiles of 64 pixels, the smallest"):
        run(predict(model, scene(1)[0]))


# -- stitching -----------------------------------------------------------------------------------


class Average(torch.nn.Module):
    """A network whose logits are block means: exact under tiling, so errors are the stitching's."""

    halo = 32

    def __init__(self, stride):
        super().__init__()
        self.decoder_stride = self.logits_stride = stride

    def coarse_logits(self, images):
        rows, cols = images.shape[-2:]
        images = torch.nn.functional.pad(images, (0, -cols % 32, 0, -rows % 32), mode="replicate")
        return torch.nn.functional.avg_pool2d(images, self.decoder_stride)


@pytest.mark.parametrize("stride", [4, 8, 32])
@pytest.mark.parametrize("shape", [(33, 65), (300, 500), (512, 100)])
def test_stitching_of_an_exact_network_is_exact(stride, shape):
    network = Average(stride)
    image = torch.rand(2, *shape)
    cpu = torch.device("cpu")
    pieces = list(stitch_tiles(network, image, 128, 32, cpu, batch_size=2))
    start = 0
    for piece in pieces:
        assert piece.start == start
        start += piece.logits.shape[1]
    found = torch.cat([piece.logits for piece in pieces], 1)
    torch.testing.assert_close(found, network.coarse_logits(image[None])[0])


def test_stitching_holds_few_rows():
    rows = [
        p.logits.shape[1]
        for p in stitch_tiles(Average(4), torch.rand(1, 2000, 64), 128, 32, torch.device("cpu"))
    ]
    assert max(rows) * 4 <= 128 + 2 * 32


@pytest.mark.parametrize("cell", [1, 2.5, 4, 12.8])
def test_upsampling_by_rows_equals_that_of_the_whole(cell):
    torch.manual_seed(0)
    coarse = torch.randn(3, 23, 17)
    rows, cols = int(23 * cell) - 1, int(17 * cell) - 2
    whole = torch.zeros(3, rows, cols)
    ((_, values),) = RowUpsampler(rows, cols, cell).push(coarse, last=True)
    by_rows, at = RowUpsampler(rows, cols, cell), 0
    for size in (1, 0, 5, 2, 15):
        for start, part in by_rows.push(coarse[:, at : at + size], last=at + size == 23):
            whole[:, start : start + part.shape[1]] = part
        at += size
    torch.testing.assert_close(whole, values)


def test_upsampling_of_whole_cells_is_the_general_one():
    """Cells of a whole number of pixels go another way through the code than all others."""
    torch.manual_seed(0)
    coarse = torch.randn(3, 9, 7)
    for rows, cols in ((36, 28), (33, 26), (3, 2)):
        pieces = [part for start, part in RowUpsampler(rows, cols, 4).push(coarse, last=True)]
        at = (torch.arange(rows, dtype=torch.float64) + 0.5) / 4 - 0.5
        expected = stitching._lerp(coarse, at, 1)
        expected = stitching._lerp(
            expected, (torch.arange(cols, dtype=torch.float64) + 0.5) / 4 - 0.5, 2
        )
        torch.testing.assert_close(torch.cat(pieces, 1), expected)


def test_upsampling_in_small_pieces(monkeypatch):
    torch.manual_seed(0)
    coarse = torch.randn(3, 40, 17)
    for cell in (4, 2.5):
        rows, cols = int(40 * cell), int(17 * cell)
        ((_, whole),) = RowUpsampler(rows, cols, cell).push(coarse, last=True)
        monkeypatch.setattr(stitching, "_CHUNK_VALUES", 10)
        pieces = list(RowUpsampler(rows, cols, cell).push(coarse, last=True))
        monkeypatch.undo()
        assert len(pieces) > 5
        torch.testing.assert_close(torch.cat([part for _, part in pieces], 1), whole)


@pytest.mark.parametrize("n_classes", [1, 2, 21, 300])
def test_the_largest_logit_is_that_of_argmax(n_classes):
    logits = torch.randint(-3, 4, (n_classes, 30, 40)).float()
    expected = logits.numpy().argmax(0)  # numpy's takes the first of equal ones
    assert np.array_equal(largest_class(logits), expected)


def test_rows_are_handed_on_as_tiles_are_done(model, large):
    class Sink:
        def begin(self, shape, dtype):
            self.shape, self.dtype, self.rows = shape, dtype, []

        def put(self, rows):
            assert rows.start == sum(len(part) for part in self.rows)
            self.rows.append(rows.mask)

    config, sink = PredictConfig(tile=128, halo=32), Sink()
    pixels = large[0][:, :300]
    done = []
    for _ in predict_into(sink, model, pixels, config):
        done.append(sum(map(len, sink.rows)))
    # Two rows of tiles before the end, all but the last one's overlap is there.
    assert 0 < done[len(done) // 2] < 1277
    assert max(len(part) for part in sink.rows) <= 192
    assert sink.shape == (1277, 300)
    assert sink.dtype == np.uint8
    np.testing.assert_array_equal(np.concatenate(sink.rows), predict_mask(model, pixels, config))


def test_kept_share():
    assert kept_share((500, 700), 512, 256) == 1.0
    # Windows of 1024 that start 512 apart: three of them for 2048 rows.
    assert kept_share((2048, 512), 512, 256) == pytest.approx(2048 / 3072)
    tiles = [tile for row in plan_tiles((900, 1300), 384, 64) for tile in row]
    computed = sum((t.rows.stop - t.rows.start) * (t.cols.stop - t.cols.start) for t in tiles)
    assert kept_share((900, 1300), 256, 64) == pytest.approx(900 * 1300 / computed)


def test_upsampling_is_torchs_bilinear():
    coarse = torch.randn(2, 6, 7)
    ((_, found),) = RowUpsampler(24, 28, 4).push(coarse, last=True)
    expected = torch.nn.functional.interpolate(
        coarse[None], scale_factor=4, mode="bilinear", align_corners=False
    )[0]
    torch.testing.assert_close(found, expected)


# -- saved models --------------------------------------------------------------------------------


def test_missing_newer_and_damaged_models(trained, tmp_path):
    import shutil

    with pytest.raises(ModelError, match=r"found no model.json and no model.safetensors"):
        load_model(tmp_path)
    folder = shutil.copytree(trained[0], tmp_path / "copy")
    spec = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps(spec | {"format_version": 99}))
    with pytest.raises(ModelError, match=r"format version 99.*Update"):
        load_model(folder)
    (folder / "model.json").write_text("{")
    with pytest.raises(ModelError, match=r"model\.json is damaged"):
        load_model(folder)
    (folder / "model.json").write_text(json.dumps(spec))
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(ModelError, match=r"model.safetensors is damaged"):
        load_model(folder)


def test_files_of_two_models_are_refused(trained, tmp_path):
    import shutil

    folder = shutil.copytree(trained[0], tmp_path / "copy")
    spec = json.loads((folder / "model.json").read_text())
    spec["classes"] = spec["classes"][:1]
    (folder / "model.json").write_text(json.dumps(spec))
    with pytest.raises(ModelError, match="does not fit the network"):
        load_model(folder)


def test_a_model_is_given_by_folder_or_file(trained):
    for path in (trained[0], trained[0] / "model.json", trained[0] / "model.safetensors"):
        assert load_model(path, "cpu").spec.steps == 60
