"""The analysis of a trained network: its numbers against the same numbers taken another way."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from napari_blockseg.core.analysis import TruncationTrial, load_analysis, save_analysis
from napari_blockseg.core.config import NetworkConfig
from napari_blockseg.core.errors import BlockSegError, ImageError, LabelError, ModelError
from napari_blockseg.core.labels import BlockLabels
from napari_blockseg.core.metrics import Confusion
from napari_blockseg.core.spectrum import LossSpectrumSum, label_spectrum
from napari_blockseg.learn.analysis import analyse, pieces
from napari_blockseg.learn.analysis import run as run_module
from napari_blockseg.learn.analysis.observe import LossSum, ScoreSum
from napari_blockseg.learn.analysis.pieces import cut_image, spread
from napari_blockseg.learn.analysis.truncate import recommend_stride
from napari_blockseg.learn.checkpoint import load_model, read_weights, save_model
from napari_blockseg.learn.data import TrainingImage, class_lookup
from napari_blockseg.learn.kept import kept_checkpoints
from napari_blockseg.learn.losses import batch_loss
from napari_blockseg.learn.predict import predict_mask
from napari_blockseg.nets.build import build_network


def finish(steps):
    """Run a generator to its end: (reports, result)."""
    reports = []
    while True:
        try:
            reports.append(next(steps))
        except StopIteration as stop:
            return reports, stop.value


@pytest.fixture(scope="module")
def copied(trained, tmp_path_factory):
    """A model that nobody else writes beside."""
    folder = tmp_path_factory.mktemp("analysed") / "run"
    shutil.copytree(trained[0], folder)
    return folder


@pytest.fixture(scope="module")
def once():
    """What the tests of this file share."""
    return {}


@pytest.fixture
def found(copied, make_images, once):
    """An analysis on two images in blocks of 8: (reports, analysis)."""
    if "found" not in once:
        once["found"] = finish(analyse(copied, make_images(2), device="cpu"))
    return once["found"]


def cut(image, spec):
    return cut_image(image, spec, class_lookup(spec.classes) + 1)


def dense(image):
    return TrainingImage(
        image.image_id, image.pixels, BlockLabels.from_mask(image.labels.to_mask(), 1, 2)
    )


# -- the whole -----------------------------------------------------------------------------------


def test_three_moments_of_training(found, copied, trained):
    _, analysis = found
    assert [one.moment for one in analysis.checkpoints] == ["start", "early", "end"]
    assert [one.step for one in analysis.checkpoints] == [0, 6, 60]
    start, _, end = analysis.checkpoints
    # It starts as its shortcut was fitted, much better than not to know: chance has log 2.
    assert start.loss.cross_entropy < 0.3 * np.log(2)
    assert end.loss.cross_entropy < 0.3 * np.log(2)
    assert start.loss != end.loss
    assert analysis.end == end


def test_the_curve_ends_at_the_cross_entropy_of_torch(found, copied, make_images):
    """Of the end's network, on all pixels of both images, taken by torch alone."""
    _, analysis = found
    network = load_model(copied, "cpu").network
    logits, wanted = [], []
    for image in make_images(2):
        pixels = torch.from_numpy(image.pixels).permute(2, 0, 1)[None] / 255
        with torch.inference_mode():
            logits.append(network(pixels.half().float()).flatten(2))
        wanted.append(torch.from_numpy(image.labels.to_mask().astype(np.int64)).flatten()[None] - 1)
    expected = float(F.cross_entropy(torch.cat(logits, 2), torch.cat(wanted, 1)))
    curve = analysis.end.loss
    assert curve.truncated[-1] == pytest.approx(expected, rel=1e-5)
    assert curve.cross_entropy == pytest.approx(expected, rel=1e-5)
    assert curve.cutoffs[-1] == 0.5
    assert curve.discrepancy[-1] == pytest.approx(0, abs=1e-5)
    assert len(curve.truncated) == len(curve.cutoffs) == len(curve.discrepancy_of_mean)


def test_earlier_moments_are_those_weights(found, copied, make_images):
    _, analysis = found
    model = load_model(copied, "cpu")
    for kept, checkpoint in zip(kept_checkpoints(copied), analysis.checkpoints, strict=False):
        model.network.load_state_dict(read_weights(kept.path))
        loss = LossSum(np.array([0.5]), 1.0)
        for image in make_images(2):
            (piece,) = cut(image, model.spec)
            with torch.inference_mode():
                loss.add(model.network(piece.image[None].float())[0].numpy(), piece)
        assert checkpoint.loss.cross_entropy == pytest.approx(loss.curve().cross_entropy, rel=1e-5)


def test_scores_are_those_of_the_prediction(found, copied, make_images):
    _, analysis = found
    model, confusion = load_model(copied, "cpu"), Confusion(2)
    for image in make_images(2):
        confusion.add(image.labels.to_mask(), predict_mask(model, image.pixels))
    assert analysis.end.miou == pytest.approx(confusion.miou(), abs=1e-3)
    assert analysis.end.pixel_accuracy == pytest.approx(confusion.pixel_accuracy(), abs=1e-3)


def test_the_trained_stride_scores_as_without_truncation(found):
    _, analysis = found
    assert [one.decoder_stride for one in analysis.trials] == [4, 8, 16, 32]
    trial, end = analysis.trials[0], analysis.end
    assert trial.miou == end.miou
    assert trial.pixel_accuracy == end.pixel_accuracy
    assert trial.cross_entropy == pytest.approx(end.loss.cross_entropy, rel=1e-5)
    assert trial.predicted_loss_of_energy == 0


@pytest.mark.parametrize("stride", [8, 32])
def test_other_strides_are_really_applied(found, copied, make_images, stride):
    _, analysis = found
    model = load_model(copied, "cpu")
    # A branch that has not been trained adds nothing: the mean alone.
    changes = {"decoder_stride": stride, "weights": "none", "truncation": "area"}
    config = model.spec.network.model_copy(update=changes)
    network = build_network(config, 2).eval()
    network.load_state_dict(model.network.state_dict())
    losses = []
    for image in make_images(2):
        (piece,) = cut(image, model.spec)
        wanted = torch.from_numpy(image.labels.to_mask().astype(np.int64))[None] - 1
        with torch.inference_mode():
            logits = network(piece.image[None].float())
        losses.append(float(F.cross_entropy(logits, wanted)))
    trial = next(one for one in analysis.trials if one.decoder_stride == stride)
    assert trial.cross_entropy == pytest.approx(np.mean(losses), rel=1e-5)


@pytest.mark.parametrize(
    "options",
    [
        {"form": "smp"},
        {"network": "dan", "decoder_stride": 8},
        {"truncation": "strided", "decoder_stride": 8},
        {"truncate_aspp": True, "decoder_stride": 32},
    ],
)
def test_other_networks_score_the_same_at_their_own_stride(make_images, copied, tmp_path, options):
    config = NetworkConfig(weights="none", **options)
    spec = load_model(copied, "cpu").spec.model_copy(update={"network": config})
    save_model(tmp_path, spec, build_network(config, 2).state_dict())
    _, analysis = finish(analyse(tmp_path, make_images(1), layers=False, device="cpu"))
    (trial,) = [one for one in analysis.trials if one.decoder_stride == config.stride]
    assert trial.cross_entropy == pytest.approx(analysis.end.loss.cross_entropy, rel=1e-5)
    assert trial.miou == analysis.end.miou
    others = {one.cross_entropy for one in analysis.trials}
    assert len(others) == 4, "every stride gives logits of its own"


def test_what_truncation_throws_away_is_read_off_the_decoder(found):
    _, analysis = found
    (layer,) = [one for one in analysis.end.layers if one.name == "fused features"]
    at = dict(zip(layer.cutoffs, layer.activations, strict=True))
    for trial in analysis.trials:
        expected = 1 - at[0.5 / trial.decoder_stride]
        assert trial.predicted_loss_of_energy == pytest.approx(expected, abs=1e-12)


def test_label_energy_is_that_of_the_blocks(found, make_images):
    _, analysis = found
    spectra = [
        label_spectrum(image.labels.values, 2, 8, np.array(analysis.label_cutoffs))
        for image in make_images(2)
    ]
    band, total = (sum(getattr(one, part).sum(0) for one in spectra) for part in ("band", "total"))
    for cutoff, share, expected in zip(
        analysis.label_cutoffs, analysis.label_energy, band / total, strict=True
    ):
        if cutoff > 0.5 / 8:
            assert share is None, "blocks say nothing above their own Nyquist"
        else:
            assert share == pytest.approx(expected, rel=1e-9)


def test_gradients_are_of_the_training_loss(copied, make_images, monkeypatch):
    """Class weights, loss and targets are those that training would use on the same labels."""
    seen = []

    def listen(logits, targets, weights, kind):
        seen.append((logits.detach().clone(), targets, weights, kind))
        return batch_loss(logits, targets, weights, kind)

    monkeypatch.setattr("napari_blockseg.learn.analysis.observe.batch_loss", listen)
    (image,) = make_images(1)
    finish(analyse(copied, [image], device="cpu"))
    logits, (target,), weights, kind = seen[-1]
    assert kind == "block"
    assert (target.side, target.split) == (8, 1)
    assert np.array_equal(target.cells.numpy() + 1, image.labels.values)
    counts = image.labels.counts(2)[1:]
    assert float(weights[1] / weights[0]) == pytest.approx(np.sqrt(counts[0] / counts[1]), rel=1e-5)
    assert logits.shape == (1, 2, 96, 128)


def test_it_says_what_it_looked_at(found):
    _, analysis = found
    assert (analysis.images, analysis.crops, analysis.pixels) == (2, 0, 2 * 96 * 128)
    assert analysis.truth == "blocks of 8 pixels, 100% of the pixels labelled"
    assert analysis.notes == ()
    assert (analysis.decoder_stride, analysis.block, analysis.scale) == (4, 8, 1.0)
    assert analysis.classes == ("ground", "disk")


def test_progress_counts_every_piece_once(found):
    reports, _ = found
    assert [one.done for one in reports] == list(range(1, 2 + 3 * 2 + 1))
    assert reports[-1].total == reports[-1].done
    assert [one.what for one in reports[2::2]] == [
        f"{moment} of training" for moment in ("start", "early", "end")
    ]


def test_it_is_kept_as_json_without_nan(found, tmp_path):
    _, analysis = found
    path = save_analysis(tmp_path, analysis)
    assert load_analysis(tmp_path) == analysis
    json.loads(path.read_text(), parse_constant=pytest.fail)


def test_it_changes_nothing(copied, make_images):
    before = {path: path.read_bytes() for path in copied.rglob("*") if path.is_file()}
    torch.manual_seed(7)
    state = torch.get_rng_state()
    with torch.no_grad():
        finish(analyse(copied, make_images(1), device="cpu"))
        assert not torch.is_grad_enabled()
    assert torch.equal(torch.get_rng_state(), state)
    assert {path: path.read_bytes() for path in copied.rglob("*") if path.is_file()} == before


def test_it_can_be_closed_at_any_report(copied, make_images):
    steps = analyse(copied, make_images(1), device="cpu")
    next(steps)
    next(steps)
    steps.close()
    assert list(steps) == []


def test_a_model_without_checkpoints_shows_its_end_only(copied, make_images, tmp_path):
    folder = tmp_path / "old"
    shutil.copytree(copied, folder, ignore=shutil.ignore_patterns("checkpoints"))
    _, analysis = finish(analyse(folder, make_images(1), device="cpu"))
    assert [one.moment for one in analysis.checkpoints] == ["end"]
    assert "kept no checkpoints" in analysis.notes[-1]


def test_without_layers(copied, make_images, found):
    _, whole = found
    _, analysis = finish(analyse(copied, make_images(2), layers=False, device="cpu"))
    assert analysis.end.layers == ()
    assert analysis.end.loss == whole.end.loss
    assert analysis.trials[1].miou == whole.trials[1].miou
    assert analysis.trials[1].predicted_loss_of_energy is None


def test_tolerance_decides_how_far_layers_could_be_cut(copied, make_images):
    images = make_images(1)
    for tolerance in (0.05, 0.6):
        _, analysis = finish(analyse(copied, images, tolerance=tolerance, device="cpu"))
        assert analysis.tolerance == tolerance
        for layer in analysis.end.layers:
            at = dict(zip(layer.cutoffs, layer.activations, strict=True))
            assert at[0.5 / layer.truncatable_to] >= 1 - tolerance
            assert at[0.5 / (2 * layer.truncatable_to)] < 1 - tolerance


# -- which images, and which parts of them -------------------------------------------------------


def test_few_images_are_spread_over_all(copied, make_images):
    assert spread(7, 3) == [0, 3, 6]
    assert spread(3, 7) == [0, 1, 2]
    assert spread(100, 1) == [0]
    reports, analysis = finish(analyse(copied, make_images(3), max_images=2, device="cpu"))
    assert analysis.images == 2
    assert analysis.notes[0] == "2 of 3 images, evenly spread."
    assert [one.total for one in reports][-1] == 2 + 3 * 2


def test_large_images_are_cut(copied, make_images, monkeypatch):
    monkeypatch.setattr(pieces, "WHOLE_PIXELS", 96 * 127)
    monkeypatch.setattr(pieces, "CROP_SIDE", 64)
    monkeypatch.setattr(run_module, "CROP_SIDE", 64)
    (image,) = make_images(1)
    spec = load_model(copied, "cpu").spec
    cuts = cut(image, spec)
    assert [one.mask.shape for one in cuts] == [(64, 64), (64, 64), (32, 64), (32, 64)]
    whole = image.labels.to_mask()
    assert np.array_equal(cuts[2].mask, whole[64:, :64])
    assert torch.equal(cuts[3].image[:, :, :3], _working(image)[:, 64:, 64:67])
    _, analysis = finish(analyse(copied, [image], layers=False, device="cpu"))
    assert (analysis.images, analysis.crops, analysis.pixels) == (1, 1, 96 * 128)
    assert "up to 4 crops of 64 working pixels" in analysis.notes[0]


def _working(image):
    return (torch.from_numpy(image.pixels).permute(2, 0, 1) / 255).half()


def test_crops_lie_where_paint_is(copied, make_images, monkeypatch):
    monkeypatch.setattr(pieces, "WHOLE_PIXELS", 1000)
    monkeypatch.setattr(pieces, "CROP_SIDE", 32)
    (image,) = make_images(1)
    values = np.zeros_like(image.labels.values)
    values[9, 5] = 1  # block rows 8 to 11, block columns 4 to 7: the crop at (64, 32)
    image = TrainingImage("x", image.pixels, image.labels.with_values(values))
    (piece,) = cut(image, load_model(copied, "cpu").spec)
    assert np.flatnonzero(piece.mask.any(1)).tolist() == list(range(8, 16))
    assert torch.equal(piece.image, _working(image)[:, 64:96, 32:64])


def test_images_that_cannot_be_used_are_left_out(copied, make_images):
    good, empty = make_images(2)
    empty = TrainingImage("empty", empty.pixels, BlockLabels.empty(empty.labels.grid))
    grey = TrainingImage("grey", good.pixels[..., :1], good.labels)
    reports, analysis = finish(analyse(copied, [empty, good, grey], layers=False, device="cpu"))
    (notice,) = [one for one in reports if one.type == "notice"]
    assert "'grey'" in notice.message
    assert analysis.images == 1
    assert "2 images without usable labels" in analysis.notes[0]
    with pytest.raises(ImageError, match="this model takes"):
        finish(analyse(copied, [grey], device="cpu"))
    with pytest.raises(LabelError, match=r"No image has a label that this model knows.*ground"):
        finish(analyse(copied, [empty], device="cpu"))


def test_labels_of_another_image_are_refused(copied, make_images):
    (image,) = make_images(1)
    other = TrainingImage("x", image.pixels[:50], image.labels)
    with pytest.raises(LabelError, match="Check that they belong together"):
        finish(analyse(copied, [other], device="cpu"))


@pytest.mark.parametrize(
    ("options", "message"), [({"max_images": 0}, "0 images"), ({"tolerance": 1.0}, "tolerance")]
)
def test_wrong_settings_are_named(copied, make_images, options, message):
    with pytest.raises(BlockSegError, match=message):
        finish(analyse(copied, make_images(1), **options))


def test_no_model(tmp_path, make_images):
    with pytest.raises(ModelError, match="expected a folder with"):
        finish(analyse(tmp_path, make_images(1)))


def test_lack_of_memory_is_explained(copied, make_images, monkeypatch):
    def fail(*args):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(run_module, "run_network", fail)
    with pytest.raises(ModelError, match=r"Out of memory on cpu.*without the layers"):
        finish(analyse(copied, make_images(1), device="cpu"))


# -- labels at working scale ---------------------------------------------------------------------


@pytest.fixture
def spec_at(copied):
    spec = load_model(copied, "cpu").spec
    return lambda block, scale: spec.model_copy(update={"block": block, "scale": scale})


def both_losses(piece, logits):
    """Return the loss by its spectrum and by the score, on logits at working scale."""
    spectral, score = LossSum(np.array([0.1, 0.5]), piece.grid.scale), ScoreSum(2, 1)
    spectral.add(logits.numpy(), piece)
    score.add(logits, piece)
    assert spectral.curve().truncated[-1] == pytest.approx(score.cross_entropy, rel=1e-5)
    return score.cross_entropy


def test_holes_do_not_count(spec_at, make_images):
    (image,) = make_images(1, share=0.4, shape=(90, 75))
    (piece,) = cut(image, spec_at(8, 1.0))
    logits = torch.randn(2, 96, 80)
    values = torch.from_numpy(image.labels.to_mask().astype(np.int64)) - 1
    wanted = F.cross_entropy(logits[None, :, :90, :75], values[None], ignore_index=-1)
    assert both_losses(piece, logits) == pytest.approx(float(wanted), rel=1e-5)
    assert piece.n_labelled == int((values >= 0).sum())


def test_blocks_at_half_scale_are_whole_working_pixels(spec_at, make_images):
    (image,) = make_images(1, block=16, share=0.7)
    (piece,) = cut(image, spec_at(16, 0.5))
    logits = torch.randn(2, 48, 64)
    values = image.labels.values.repeat(8, 0).repeat(8, 1)[:48, :64].astype(np.int64) - 1
    wanted = F.cross_entropy(logits[None], torch.from_numpy(values)[None], ignore_index=-1)
    assert np.array_equal(piece.working_values(), values + 1)
    assert both_losses(piece, logits) == pytest.approx(float(wanted), rel=1e-5)


@pytest.mark.parametrize("block", [1, 16])
def test_dense_masks_at_half_scale_are_averaged(spec_at, make_images, block):
    """That is the loss of logits that stay the same over two by two pixels of the image."""
    (image,) = make_images(1, block=1)
    holes = np.random.default_rng(0).random((96, 128)) < 0.3
    labels = image.labels.with_values(np.where(holes, 0, image.labels.values))
    (piece,) = cut(TrainingImage("x", image.pixels, labels), spec_at(block, 0.5))
    logits = torch.randn(2, 48, 64)
    large = logits.repeat_interleave(2, 1).repeat_interleave(2, 2)[None]
    wanted = F.cross_entropy(
        large, torch.from_numpy(labels.values.astype(np.int64))[None] - 1, ignore_index=-1
    )
    assert piece.working_values() is None
    assert both_losses(piece, logits) == pytest.approx(float(wanted), rel=1e-5)


def test_masks_become_the_models_blocks_for_its_loss(spec_at, make_images):
    (image,) = make_images(1, block=8)
    (piece,) = cut(dense(image), spec_at(8, 1.0))
    assert np.array_equal(piece.target.cells.numpy() + 1, image.labels.values)
    assert piece.block == 1


def test_a_ragged_edge_counts_only_pixels_of_the_image(spec_at, make_images):
    (image,) = make_images(1, block=16, shape=(90, 75))
    (piece,) = cut(image, spec_at(16, 0.5))
    valid = piece.target.valid
    assert valid.shape == (48, 40)
    # 90 and 75 pixels are 45 and 37.5 working pixels; the one that is half inside is out.
    assert valid.any(1).sum() == 45
    assert valid.any(0).sum() == 37
    assert np.array_equal(piece.working_values() > 0, valid.numpy())


def test_the_loss_curve_is_the_engines(spec_at, make_images):
    (image,) = make_images(1)
    (piece,) = cut(image, spec_at(8, 1.0))
    logits = torch.randn(2, 96, 128).numpy()
    cutoffs = np.array([0.02, 0.0625, 0.3])
    ours, engine = LossSum(cutoffs, 1.0), LossSpectrumSum(cutoffs)
    ours.add(logits, piece)
    engine.add(logits, image.labels.to_mask())
    assert ours.curve().truncated == pytest.approx(tuple(engine.result().truncated), rel=1e-9)
    assert ours.curve().discrepancy == pytest.approx(tuple(engine.result().discrepancy), rel=1e-9)


# -- the recommendation --------------------------------------------------------------------------


def trial(stride, loss, miou):
    return TruncationTrial(
        decoder_stride=stride,
        cross_entropy=loss,
        miou=miou,
        pixel_accuracy=miou,
        predicted_loss_of_energy=None,
    )


@pytest.mark.parametrize(
    ("rows", "trained", "expected"),
    [
        # mIoU may fall by 0.01 and the loss rise by 5 %.
        ([(4, 0.5, 0.7), (8, 0.52, 0.695), (16, 0.524, 0.691), (32, 0.6, 0.65)], 4, 16),
        ([(4, 0.5, 0.7), (8, 0.5, 0.689), (16, 0.5, 0.7), (32, 0.5, 0.7)], 4, 4),
        ([(4, 0.5, 0.7), (8, 0.53, 0.7), (16, 0.5, 0.7), (32, 0.5, 0.7)], 4, 4),
        # A small loss may rise by 0.01 nats.
        ([(4, 0.01, 0.9), (8, 0.019, 0.9), (16, 0.03, 0.9), (32, 1.0, 0.9)], 4, 8),
        # Never finer than it was trained, however good that looks.
        ([(4, 0.1, 0.99), (8, 0.5, 0.7), (16, 0.9, 0.5), (32, 1.0, 0.2)], 8, 8),
        ([(4, 0.5, 0.7), (8, 0.5, 0.7), (16, 0.5, 0.7), (32, 0.5, 0.7)], 32, 32),
    ],
)
def test_the_coarsest_stride_that_costs_little(rows, trained, expected):
    stride, reason = recommend_stride([trial(*row) for row in rows], trained)
    assert stride == expected
    assert str(stride) in reason


def test_the_reason_tells_the_measured_changes():
    rows = [trial(4, 0.5, 0.7), trial(8, 0.51, 0.696), trial(16, 0.6, 0.6), trial(32, 1, 0.3)]
    _, reason = recommend_stride(rows, 4)
    assert "mIoU changes by -0.004 and the cross-entropy by +0.010 (+2.0%)" in reason
    assert "Not coarser: at 16, mIoU changes by -0.100" in reason


def test_nothing_is_recommended_without_scores():
    stride, reason = recommend_stride([trial(s, float("nan"), None) for s in (4, 8, 16, 32)], 4)
    assert stride is None
    assert "Nothing could be scored" in reason
