from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from napari_blockseg.core.config import NetworkConfig
from napari_blockseg.core.errors import ImageError, LabelError, ModelError
from napari_blockseg.core.labels import BlockLabels
from napari_blockseg.core.reports import report_from_json
from napari_blockseg.learn import descent
from napari_blockseg.learn.checkpoint import load_model, load_spec
from napari_blockseg.learn.data import TrainingImage
from napari_blockseg.learn.sampling import CropSampler
from napari_blockseg.learn.train import Training, train

from .conftest import scene


def of_type(reports, kind):
    return [report for report in reports if report.type == kind]


def messages(reports):
    return " ".join(report.message for report in of_type(reports, "notice"))


def test_it_learns(trained):
    out, reports = trained
    losses = [report.loss for report in of_type(reports, "train_step")]
    assert np.mean(losses[:5]) < 0.2, "the shortcut knows much before the first step"
    assert np.mean(losses[-10:]) < 0.9 * np.mean(losses[:10]), "and the steps teach more"
    done = reports[-1]
    assert done.type == "train_done"
    assert done.val_miou > 0.7
    assert done.steps == 60
    assert not done.stopped
    assert load_spec(out).val_miou == done.val_miou


def test_it_learns_from_nothing_where_there_is_no_shortcut(make_images, classes, quick, tmp_path):
    config, plain = quick(steps=30, batch_size=4), NetworkConfig(shortcut=False)
    reports = list(train(make_images(3), classes, plain, config, out=tmp_path))
    losses = [report.loss for report in of_type(reports, "train_step")]
    assert losses[0] > 0.55
    assert np.mean(losses[-5:]) < 0.5 * losses[0]


def test_shuffled_labels_teach_nothing(make_images, classes, network, quick, tmp_path):
    """What the score measures is what was learned from the labels."""
    rng = np.random.default_rng(0)
    images = [
        TrainingImage(i.image_id, i.pixels, i.labels.with_values(rng.permuted(i.labels.values)))
        for i in make_images(4)
    ]
    config = quick(steps=20, batch_size=4)
    done = list(train(images, classes, network, config, out=tmp_path))[-1]
    assert done.val_miou < 0.55


def test_reports_and_files(make_images, classes, network, quick, tmp_path):
    out = tmp_path / "new" / "run"
    reports = list(train(make_images(3), classes, network, quick(), out=out))
    started = reports[0]
    assert started.type == "train_started"
    assert (started.n_images, started.validation) == (3, "images")
    assert started.n_train_blocks + started.n_val_blocks == started.n_labelled_blocks == 3 * 12 * 16
    assert (started.scale, started.decoder_stride, started.device) == (1.0, 4, "cpu")
    steps = of_type(reports, "train_step")
    assert [report.step for report in steps] == [1, 2, 3]
    assert steps[-1].progress == 1
    assert all(report.seconds > 0 for report in steps)
    lines = (out / "metrics.jsonl").read_text().splitlines()
    assert [report_from_json(line) for line in lines] == reports
    spec = json.loads((out / "model.json").read_text())
    assert spec["block"] == 8
    assert [c["name"] for c in spec["classes"]] == ["ground", "disk"]
    assert not list(out.glob("*.pt*")) + list(out.glob("*.pkl"))


def test_a_run_can_be_repeated(make_images, classes, network, quick, tmp_path):
    for name in "ab":
        torch.manual_seed(ord(name))  # what others draw makes no difference
        list(train(make_images(2), classes, network, quick(), out=tmp_path / name))
    assert same_weights(tmp_path / "a", tmp_path / "b")
    list(train(make_images(2), classes, network, quick(seed=1), out=tmp_path / "c"))
    assert not same_weights(tmp_path / "a", tmp_path / "c")


def same_weights(first, second):
    one, two = (load_model(path, "cpu").network.state_dict() for path in (first, second))
    return all(torch.equal(one[key], two[key]) for key in one)


@pytest.mark.parametrize("stop_after", [1, 3])
def test_resumed_run_ends_with_the_same_weights(
    make_images, classes, network, quick, tmp_path, stop_after
):
    images, config = make_images(3), quick(steps=5, validate_every=2)
    straight = list(train(images, classes, network, config, out=tmp_path / "straight"))
    reports = train(images, classes, network, config, out=tmp_path / "stopped")
    seen = 0
    for report in reports:
        torch.rand(3)  # others draw from the global generator meanwhile
        seen += report.type == "train_step"
        if seen == stop_after:
            reports.close()
    resumed = list(train(images, classes, network, config, out=tmp_path / "stopped", resume=True))
    assert resumed[0].resumed_at == stop_after
    steps = [r.step for r in of_type(resumed, "train_step")]
    assert steps == list(range(stop_after + 1, 6))
    assert same_weights(tmp_path / "straight", tmp_path / "stopped")
    assert resumed[-1].val_miou == straight[-1].val_miou
    logged = (tmp_path / "stopped" / "metrics.jsonl").read_text().splitlines()
    kept = [json.loads(line) for line in logged]
    assert [r["step"] for r in kept if r["type"] == "train_step"] == [1, 2, 3, 4, 5]


def test_a_pause_costs_no_training_time(make_images, classes, network, quick, tmp_path):
    """With minutes, time between two reports does not count."""
    reports = train(make_images(1), classes, network, quick(steps=None, minutes=5), out=tmp_path)
    for report in reports:
        if report.type == "train_step" and report.step == 2:
            before = report.progress
            break
    import time

    time.sleep(0.5)
    after = next(report for report in reports if report.type == "train_step")
    assert after.progress - before < (after.seconds + 0.4) / 300
    reports.close()


def test_minutes_end_a_run(make_images, classes, network, quick, tmp_path):
    config = quick(steps=None, minutes=0.05)
    reports = list(train(make_images(1), classes, network, config, out=tmp_path))
    assert reports[-1].type == "train_done"
    assert reports[-1].seconds >= 3
    assert reports[0].steps is None
    assert reports[0].minutes == 0.05


def test_stopped_run_has_a_model(make_images, classes, network, quick, tmp_path):
    reports = train(make_images(1), classes, network, quick(steps=50), out=tmp_path)
    for report in reports:
        if report.type == "train_step":
            break
    reports.close()
    assert load_model(tmp_path, "cpu").spec.steps == 1


def test_live_model_changes_with_the_steps(make_images, classes, network, quick, tmp_path):
    seen = []
    reports = train(make_images(1), classes, network, quick(), out=tmp_path, on_model=seen.append)
    next(reports)
    (live,) = seen
    weight = live.network.decoder.head.weight
    before = weight.clone()
    list(reports)
    assert not torch.equal(before, weight)
    assert same_weights(tmp_path, tmp_path)
    assert torch.equal(load_model(tmp_path, "cpu").network.decoder.head.weight, weight)


def test_dense_masks_train_too(make_images, classes, network, quick, tmp_path):
    done = list(train(make_images(2, block=1), classes, network, quick(), out=tmp_path))[-1]
    assert done.val_miou is not None


@pytest.mark.parametrize("channels", [1, 2])
def test_other_channels(make_images, classes, network, quick, tmp_path, channels):
    images = make_images(1, channels=channels)
    list(train(images, classes, network, quick(steps=1), out=tmp_path))
    assert load_spec(tmp_path).n_channels == channels


# -- 2.13: what can go wrong ---------------------------------------------------------------------


def test_no_labelled_block(make_images, classes, network, quick, tmp_path):
    with pytest.raises(LabelError, match=r"no labelled block.*Paint a few"):
        list(train(make_images(2, share=0), classes, network, quick(), out=tmp_path))


def test_one_class_only(make_images, classes, network, quick, tmp_path):
    (image,) = make_images(1)
    labels = image.labels.with_values(np.ones_like(image.labels.values))
    images = [TrainingImage("x", image.pixels, labels)]
    with pytest.raises(LabelError, match=r"one class only \('ground'\).*background is a class"):
        list(train(images, classes, network, quick(), out=tmp_path))


def test_a_class_without_labels_is_named(make_images, network, quick, tmp_path):
    from napari_blockseg.core.classes import make_classes

    three = make_classes(["ground", "disk", "unicorn"])
    reports = list(train(make_images(1), three, network, quick(steps=1), out=tmp_path))
    assert "No block is labelled unicorn" in messages(reports)
    assert of_type(reports, "validation")[-1].iou["unicorn"] is None


def test_a_deleted_class(make_images, network, quick, tmp_path):
    """Labels hold a value whose class is gone: unlabelled, and said so."""
    from napari_blockseg.core.classes import make_classes

    kept = [c for c in make_classes(["ground", "gone", "disk"]) if c.name != "gone"]
    images = []
    for image in make_images(1):
        values = image.labels.values.copy()
        values[values == 2] = 3
        values[:2] = 2
        images.append(TrainingImage("old", image.pixels, image.labels.with_values(values)))
    reports = list(train(images, kept, network, quick(steps=1), out=tmp_path))
    assert "'old' has 32 blocks of a class that no longer exists (value 2)" in messages(reports)
    assert of_type(reports, "train_started")[0].n_labelled_blocks == 12 * 16 - 32


def test_labels_erased_while_training(make_images, classes, network, quick, tmp_path):
    images = make_images(1)
    calls = []

    def changed():
        calls.append(1)
        if len(calls) < 3:
            return {}
        return {"scene_0": images[0].labels.with_values(np.zeros_like(images[0].labels.values))}

    reports = list(
        train(images, classes, network, quick(steps=9), out=tmp_path, changed_labels=changed)
    )
    assert "All labels to train on were erased" in messages(reports)
    assert reports[-1].stopped
    assert reports[-1].steps == 2
    assert load_model(tmp_path, "cpu").spec.steps == 2


def test_labels_painted_while_training(make_images, classes, network, quick, tmp_path):
    first, second = make_images(2)
    empty = TrainingImage(
        second.image_id, second.pixels, second.labels.with_values(np.zeros((12, 16), np.uint8))
    )
    news = [{second.image_id: second.labels}]
    training = Training(
        [first, empty],
        classes,
        network,
        quick(steps=1, validation=False),
        out=tmp_path,
        changed_labels=lambda: news.pop() if news else {},
    )
    before = training._data.n_train_blocks
    list(training.reports())
    assert training._data.n_train_blocks == 2 * before == 2 * 12 * 16


def test_image_smaller_than_a_crop(make_images, classes, network, quick, tmp_path):
    images = make_images(1, shape=(20, 30))
    reports = list(train(images, classes, network, quick(crop=256), out=tmp_path))
    assert reports[-1].type == "train_done"


def test_nan_in_the_only_image(make_images, classes, network, quick, tmp_path):
    (image,) = make_images(1)
    pixels = image.pixels.astype(np.float32)
    pixels[5, 7, 0] = np.nan
    images = [TrainingImage("bad", pixels, image.labels)]
    with pytest.raises(ImageError, match=r"'bad'.*NaN or infinite.*row 5, column 7"):
        list(train(images, classes, network, quick(), out=tmp_path))


def test_nan_in_one_of_several_images(make_images, classes, network, quick, tmp_path):
    images = [
        TrainingImage(i.image_id, i.pixels.astype(np.float32), i.labels) for i in make_images(2)
    ]
    images[0].pixels[0, 0, 0] = np.inf
    reports = list(train(images, classes, network, quick(steps=1), out=tmp_path))
    assert "'scene_0'" in messages(reports)
    assert "left out of this training" in messages(reports)
    assert reports[0].n_labelled_blocks == 12 * 16


def test_too_few_labels_to_hold_out(make_images, classes, network, quick, tmp_path):
    (image,) = make_images(1)
    values = np.zeros_like(image.labels.values)
    values[5, 6:8], values[0, 0:2] = 2, 1
    images = [TrainingImage("x", image.pixels, image.labels.with_values(values))]
    reports = list(train(images, classes, network, quick(steps=1), out=tmp_path))
    assert "Too few labelled blocks to hold any out" in messages(reports)
    assert reports[0].validation == "none"
    assert reports[-1].val_miou is None


def test_different_channels_and_blocks(make_images, classes, network, quick, tmp_path):
    color, grey = make_images(1)[0], make_images(1, channels=1)[0]
    with pytest.raises(ImageError, match=r"expected \(rows, cols, 3\)"):
        list(train([color, grey], classes, network, quick(), out=tmp_path))
    coarse = make_images(1, block=16)[0]
    with pytest.raises(LabelError, match=r"blocks of 16 .* and of 8"):
        list(train([color, coarse], classes, network, quick(), out=tmp_path))


def fail_once(monkeypatch, times=1):
    """Let the loss run out of memory."""
    left = [times]
    original = descent.batch_loss

    def batch_loss(*args, **kwargs):
        if left[0]:
            left[0] -= 1
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
        return original(*args, **kwargs)

    monkeypatch.setattr(descent, "batch_loss", batch_loss)


def test_out_of_memory_halves_the_batch(
    make_images, classes, network, quick, tmp_path, monkeypatch
):
    fail_once(monkeypatch, 2)
    config = quick(batch_size=4)
    reports = list(train(make_images(1), classes, network, config, out=tmp_path))
    assert "going on with 2 crops" in messages(reports)
    assert "going on with 1 crops" in messages(reports)
    assert len(of_type(reports, "train_step")) == 3


def test_out_of_memory_with_one_crop(make_images, classes, network, quick, tmp_path, monkeypatch):
    fail_once(monkeypatch, 99)
    with pytest.raises(ModelError, match=r"Out of memory.*one crop of 64"):
        list(train(make_images(1), classes, network, quick(), out=tmp_path))


def test_other_runtime_errors_are_not_swallowed(
    make_images, classes, network, quick, tmp_path, monkeypatch
):
    def broken(*args):
        raise RuntimeError("a bug")

    monkeypatch.setattr(descent, "batch_loss", broken)
    with pytest.raises(RuntimeError, match="a bug"):
        list(train(make_images(1), classes, network, quick(), out=tmp_path))


def test_a_loss_gone_astray_ends_the_run(
    make_images, classes, network, quick, tmp_path, monkeypatch
):
    monkeypatch.setattr(descent, "MAX_BAD_STEPS", 2)
    monkeypatch.setattr(descent, "batch_loss", lambda logits, *rest: logits.sum() * float("nan"))
    with pytest.raises(ModelError, match=r"not been a finite number.*Use a smaller one"):
        list(train(make_images(1), classes, network, quick(), out=tmp_path))


def fail_at(monkeypatch, step, kind=OSError):
    """Let reading fail once, when a run draws the crops of a step."""
    draw, left = CropSampler.draw, [2 * step]  # a batch of two

    def broken(self, batch_size):
        found = draw(self, batch_size)
        left[0] -= batch_size
        if left[0] == 0:
            raise kind("the disk is gone")
        return found

    monkeypatch.setattr(CropSampler, "draw", broken)


def test_an_error_loses_no_step(make_images, classes, quick, tmp_path, monkeypatch):
    """It goes on from the step before the error, and ends as if there had been none."""
    images, config, network = make_images(1), quick(steps=6), NetworkConfig(shortcut=False)
    list(train(images, classes, network, config, out=tmp_path / "straight"))
    with monkeypatch.context() as patch:
        fail_at(patch, 4)
        with pytest.raises(OSError, match="the disk is gone"):
            list(train(images, classes, network, config, out=tmp_path / "broken"))
    assert load_model(tmp_path / "broken", "cpu").spec.steps == 3
    reports = list(train(images, classes, network, config, out=tmp_path / "broken", resume=True))
    assert reports[0].resumed_at == 3
    assert same_weights(tmp_path / "straight", tmp_path / "broken")


def test_the_first_error_is_told_of_when_saving_fails_too(
    make_images, classes, quick, tmp_path, monkeypatch
):
    def full(*args):
        raise OSError("the disk is full")

    monkeypatch.setattr("napari_blockseg.learn.train.save_model", full)
    monkeypatch.setattr("napari_blockseg.learn.train.MetricsLog.flush", full)
    fail_at(monkeypatch, 2, KeyError)
    with pytest.raises(KeyError, match="the disk is gone"):
        list(train(make_images(1), classes, NetworkConfig(shortcut=False), quick(), out=tmp_path))


def test_an_error_before_the_first_step_leaves_no_model(
    make_images, classes, quick, tmp_path, monkeypatch
):
    fail_at(monkeypatch, 1)
    with pytest.raises(OSError, match="the disk is gone"):
        list(train(make_images(1), classes, NetworkConfig(shortcut=False), quick(), out=tmp_path))
    assert not (tmp_path / "model.json").exists()


def test_weights_gone_astray_replace_none(make_images, classes, network, quick, tmp_path):
    config = quick(steps=9, checkpoint_seconds=999)
    stopped_run(make_images(1), classes, network, config, tmp_path)
    training = Training(make_images(1), classes, network, config, out=tmp_path, resume=True)
    reports = training.reports()
    while next(reports).type != "train_step":
        pass
    next(training._network.parameters()).data.fill_(float("nan"))
    training._data.sampler.draw = None
    with pytest.raises(TypeError):
        list(reports)
    assert load_model(tmp_path, "cpu").spec.steps == 1


# -- init and resume -----------------------------------------------------------------------------


def test_init_takes_known_classes_over(trained, make_images, quick, tmp_path):
    from napari_blockseg.core.classes import make_classes

    out, _ = trained
    more = make_classes(["new", "disk", "ground"])
    images = [
        TrainingImage(i.image_id, i.pixels, i.labels.with_values(4 - i.labels.values))
        for i in make_images(1)
    ]
    training = Training(images, more, NetworkConfig(), quick(), out=tmp_path, init=out)
    old = load_model(out, "cpu").network.state_dict()
    new = training.live_model().network.state_dict()
    assert torch.equal(new["decoder.head.weight"][1], old["decoder.head.weight"][1])
    assert torch.equal(new["decoder.head.weight"][2], old["decoder.head.weight"][0])
    assert torch.equal(
        new["encoder.backbone.conv_stem.weight"], old["encoder.backbone.conv_stem.weight"]
    )
    assert "2 of 3 classes" in messages(training.reports())


def test_init_from_another_network_is_refused(trained, make_images, classes, quick, tmp_path):
    out, _ = trained
    paper = NetworkConfig(form="paper")
    with pytest.raises(ModelError, match=r"a light deeplabv3plus.*do not fit"):
        list(train(make_images(1), classes, paper, quick(), out=tmp_path, init=out))
    grey = make_images(1, channels=1)
    with pytest.raises(ModelError, match="a model for 3 channel"):
        list(train(grey, classes, NetworkConfig(), quick(), out=tmp_path, init=out))


def test_nothing_to_resume(make_images, classes, network, quick, tmp_path):
    with pytest.raises(ModelError, match="holds no interrupted run"):
        list(train(make_images(1), classes, network, quick(), out=tmp_path, resume=True))


def test_resume_with_something_else_or_damaged(make_images, classes, network, quick, tmp_path):
    images = make_images(1)
    list(train(images, classes, network, quick(steps=1), out=tmp_path))
    other = NetworkConfig(decoder_stride=8)
    with pytest.raises(ModelError, match="another network than the interrupted run"):
        list(train(images, classes, other, quick(), out=tmp_path, resume=True))
    path = tmp_path / "resume.safetensors"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ModelError, match=r"resume.safetensors is damaged"):
        list(train(images, classes, network, quick(), out=tmp_path, resume=True))


def test_a_longer_run_goes_on_from_a_finished_one(make_images, classes, network, quick, tmp_path):
    images = make_images(1)
    list(train(images, classes, network, quick(steps=1), out=tmp_path))
    reports = list(train(images, classes, network, quick(steps=2), out=tmp_path, resume=True))
    assert [r.step for r in of_type(reports, "train_step")] == [2]


def stopped_run(images, classes, network, config, out):
    """Train one step and stop."""
    reports = train(images, classes, network, config, out=out)
    while next(reports).type != "train_step":
        pass
    reports.close()


def test_a_run_that_goes_on_keeps_its_score_until_the_next_one(
    make_images, classes, network, quick, tmp_path
):
    images, config = make_images(3), quick(steps=50, validate_every=2)
    reports = train(images, classes, network, config, out=tmp_path)
    said = next(report for report in reports if report.type == "validation")
    reports.close()
    reports = train(images, classes, network, config, out=tmp_path, resume=True)
    next(report for report in reports if report.type == "train_step")
    reports.close()
    spec = load_spec(tmp_path)
    assert spec.steps == 3
    assert (spec.val_miou, spec.val_iou) == (said.miou, said.iou)
    assert spec.val_pixel_accuracy == said.pixel_accuracy


def in_blocks_of(block, seed=0):
    pixels, mask = scene(seed, shape=(192, 256))
    return [TrainingImage("one", pixels, BlockLabels.from_mask(mask, block, 2))]


def pixels_of(training):
    """Return which pixels are scored, and which learned from."""
    (scored,), data = training._data._held, training._data
    learned = training._data._training_cells(0) >= 0
    return (
        np.repeat(np.repeat(one, data.block, 0), data.block, 1)[:192, :256]
        for one in (scored, learned)
    )


@pytest.mark.parametrize("says_block", [True, False])
def test_what_was_held_out_stays_so_in_blocks_of_another_size(
    classes, network, quick, tmp_path, says_block
):
    config = quick(steps=9, scale=0.5)
    stopped_run(in_blocks_of(8), classes, network, config, tmp_path)
    if not says_block:  # as earlier versions wrote it
        path = tmp_path / "resume.safetensors"
        with safe_open(path, "pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            about = json.loads(file.metadata()["state"])
        del about["holdout"]["block"]
        save_file(tensors, path, {"state": json.dumps(about)})
    first = Training(in_blocks_of(8), classes, network, config, out=tmp_path, resume=True)
    held, learned = pixels_of(first)
    for block in (16, 4, 24):
        images = in_blocks_of(block)
        training = Training(images, classes, network, config, out=tmp_path, resume=True)
        scored, learns = pixels_of(training)
        assert scored.any()
        assert not (scored & learned).any(), "nothing that was learned from is scored"
        assert not (learns & held).any(), "nothing that was held out is learned from"
        assert "held out" not in messages(training.reports())


def test_what_was_held_out_is_lost_in_huge_blocks_and_it_says_so(classes, network, quick, tmp_path):
    config = quick(steps=2, scale=0.5)
    stopped_run(in_blocks_of(8), classes, network, config, tmp_path)
    again = list(train(in_blocks_of(64), classes, network, config, out=tmp_path, resume=True))
    assert "scores may be too good" in messages(again)
