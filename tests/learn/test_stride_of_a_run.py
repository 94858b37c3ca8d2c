"""Which decoder stride a training takes, says and stores; models that are cut afterwards."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from napari_blockseg.core.analysis import Analysis, TruncationTrial, save_analysis
from napari_blockseg.core.atomic import write_json
from napari_blockseg.core.config import NetworkConfig
from napari_blockseg.core.errors import BlockSegError, ModelError
from napari_blockseg.core.labels import BlockLabels
from napari_blockseg.core.reports import TrainStarted, report_from_json, to_json
from napari_blockseg.learn.checkpoint import SPEC_FILE, load_model, load_spec
from napari_blockseg.learn.data import TrainingImage
from napari_blockseg.learn.resume import RESUME_FILE
from napari_blockseg.learn.train import Training
from napari_blockseg.learn.truncate import measure_models, save_truncated, truncate_model

# The light form with detail in channels saves too little for any truncation.
PLAIN = NetworkConfig(weights="none", truncation="area")
#: The images are small: one border is much of them.
LOOSE = {"stride_tolerance": 0.05}


def picture(mask: np.ndarray, block: int) -> TrainingImage:
    grey = np.where(mask == 1, 60, 190).astype(np.uint8)
    labels = BlockLabels.from_mask(mask, block, 2)
    return TrainingImage("one", np.stack([grey] * 3, -1), labels)


@pytest.fixture(scope="module")
def halves():
    """Two halves in blocks of 2: so smooth that a decoder may be coarse."""
    return picture(np.where(np.indices((192, 256))[0] < 96, 1, 2), 2)


@pytest.fixture(scope="module")
def stripes():
    return picture(1 + np.indices((64, 96))[1] // 4 % 2, 2)


@pytest.fixture
def begin(classes, quick):
    """Start a training, return its first report; what there is, is saved."""

    def start(image, out, network=PLAIN, options=None, **more) -> TrainStarted:
        config = quick(scale=1.0, validation=False, **(options or {}))
        reports = Training([image], classes, network, config, out=out, **more).reports()
        first = next(reports)
        reports.close()
        return first

    return start


def test_the_paper_form_is_cut_with_its_detail_kept_and_the_light_form_is_not(
    begin, halves, tmp_path
):
    paper = NetworkConfig(weights="none", form="paper")
    said = begin(halves, tmp_path / "paper", network=paper)
    assert said.decoder_stride > 4
    assert "finer detail kept in channels" in said.stride_choice.reason
    light = begin(halves, tmp_path / "light", network=NetworkConfig(weights="none"))
    assert light.decoder_stride == 4
    assert "too little computing" in light.stride_choice.reason


@pytest.fixture
def chosen(begin, halves, tmp_path):
    """Return the folder of a run whose stride was chosen."""
    begin(halves, tmp_path / "run", options=LOOSE)
    return tmp_path / "run"


def test_a_chosen_stride_is_built_said_and_stored(begin, halves, tmp_path):
    said = begin(halves, tmp_path / "run", options=LOOSE)
    assert said.decoder_stride == 16
    assert said.stride_choice.stride == 16
    assert [one.stride for one in said.stride_choice.candidates] == [4, 8, 16]
    assert report_from_json(to_json(said)) == said, "as the worker sends it"
    spec = load_spec(tmp_path / "run")
    assert spec.stride_choice == said.stride_choice
    assert spec.network.decoder_stride == 16
    assert load_model(tmp_path / "run", "cpu").network.decoder_stride == 16
    log = json.loads((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()[0])
    assert log["stride_choice"]["grounds"] == "labels"


def test_thin_labels_and_a_small_tolerance_keep_the_full_grid(begin, stripes, halves, tmp_path):
    assert begin(stripes, tmp_path / "a").decoder_stride == 4
    assert begin(halves, tmp_path / "b", options={"stride_tolerance": 0}).decoder_stride == 4


def test_a_given_stride_needs_no_reason(begin, halves, tmp_path):
    network = PLAIN.model_copy(update={"decoder_stride": 8})
    said = begin(halves, tmp_path / "run", network)
    assert (said.decoder_stride, said.stride_choice) == (8, None)
    assert load_spec(tmp_path / "run").stride_choice is None


def test_a_run_that_goes_on_keeps_its_stride_and_its_first_reason(begin, chosen, halves):
    first = load_spec(chosen).stride_choice
    # More was painted since, in thin stripes. A network cannot change its grid on the way.
    striped = 1 + np.indices(halves.labels.values.shape)[1] % 2
    both = TrainingImage("one", halves.pixels, halves.labels.with_values(striped))
    for network in (PLAIN, PLAIN.model_copy(update={"decoder_stride": 16})):
        said = begin(both, chosen, network, resume=True)
        assert said.decoder_stride == 16
        assert said.stride_choice.grounds == "kept"
        assert "as before" in said.stride_choice.reason
        assert load_spec(chosen).stride_choice == first
    with pytest.raises(ModelError, match="another network"):
        begin(both, chosen, PLAIN.model_copy(update={"decoder_stride": 4}), resume=True)


def test_runs_and_models_from_before_the_choice_go_on(begin, halves, tmp_path):
    out = tmp_path / "old"
    begin(halves, out, PLAIN.model_copy(update={"decoder_stride": 4}))
    spec = json.loads((out / "model.json").read_text())
    del spec["stride_choice"], spec["truncated_from"], spec["train"]["stride_tolerance"]
    spec["network"]["decoder_stride"] = "auto"  # which meant 4
    (out / "model.json").write_text(json.dumps(spec))
    with safe_open(out / RESUME_FILE, "pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        about = json.loads(file.metadata()["state"])
    about["network"]["decoder_stride"] = "auto"
    save_file(tensors, out / RESUME_FILE, {"state": json.dumps(about)})
    assert load_spec(out).network.stride == 4
    assert begin(halves, out, resume=True).decoder_stride == 4


def test_a_model_to_start_from_hands_its_stride_on_unless_told_otherwise(
    begin, chosen, stripes, tmp_path
):
    kept = begin(stripes, tmp_path / "a", init=chosen)
    assert kept.decoder_stride == 16
    assert kept.stride_choice.grounds == "kept"
    assert "whose weights this training starts from" in kept.stride_choice.reason
    asked = NetworkConfig(weights="none", truncation="area", decoder_stride="auto")
    assert begin(stripes, tmp_path / "b", asked, init=chosen).decoder_stride == 4
    told = NetworkConfig(weights="none", truncation="area", decoder_stride=8)
    assert begin(stripes, tmp_path / "c", told, init=chosen).decoder_stride == 8


def test_an_analysed_model_of_the_project_has_a_say(begin, stripes, tmp_path):
    begin(stripes, tmp_path / "old", PLAIN.model_copy(update={"decoder_stride": 4}))
    spec = load_spec(tmp_path / "old").model_copy(update={"steps": 500})
    write_json(tmp_path / "old" / SPEC_FILE, spec.model_dump(mode="json"))
    trials = tuple(
        TruncationTrial(
            decoder_stride=stride,
            cross_entropy=0.1,
            miou=miou,
            pixel_accuracy=1.0,
            predicted_loss_of_energy=None,
        )
        for stride, miou in ((4, 0.8), (8, 0.799), (16, 0.6))
    )
    found = Analysis(
        model="old",
        network="deeplabv3plus",
        encoder=PLAIN.encoder,
        decoder_stride=4,
        scale=1.0,
        block=2,
        classes=("ground", "disk"),
        images=1,
        pixels=1,
        truth="",
        tolerance=0.05,
        label_cutoffs=(0.1, 0.25),
        label_energy=(0.5, 1.0),
        checkpoints=(),
        trials=trials,
        recommended_stride=8,
        reason="",
    )
    save_analysis(tmp_path / "old", found)
    known = [tmp_path / "missing", tmp_path / "old"]
    said = begin(stripes, tmp_path / "new", known_models=known)
    assert (said.decoder_stride, said.stride_choice.grounds) == (8, "model")
    assert "old" in said.stride_choice.reason
    # Another working scale is another grid, and who has not learned loses nothing: no say.
    save_analysis(tmp_path / "old", found.model_copy(update={"scale": 0.5}))
    assert begin(stripes, tmp_path / "other", known_models=known).decoder_stride == 4
    save_analysis(tmp_path / "old", found)
    write_json(
        tmp_path / "old" / SPEC_FILE, spec.model_copy(update={"steps": 3}).model_dump(mode="json")
    )
    assert begin(stripes, tmp_path / "third", known_models=known).decoder_stride == 4


def test_a_network_without_a_decoder_has_one_stride(begin, halves, tmp_path):
    network = NetworkConfig(weights="none", network="deeplabv3")
    said = begin(halves, tmp_path / "run", network)
    assert (said.decoder_stride, said.stride_choice.grounds) == (16, "only")


# -- all grids together ----------------------------------------------------------------------------

ALL = {"auto_grids": "all", "stride_tolerance": 0.2}
#: An encoder with few layers: predicting its time takes a fifth of the time.
SMALL = PLAIN.model_copy(update={"encoder": "resnet10t"})


@pytest.fixture(scope="module")
def broad():
    """Two halves, so large that even half the input shows them."""
    return picture(np.where(np.indices((512, 640))[0] < 256, 1, 2), 8)


def test_all_grids_are_chosen_built_and_gone_on_with(begin, broad, tmp_path):
    out = tmp_path / "run"
    said = begin(broad, out, SMALL, ALL)
    choice = said.stride_choice
    assert (choice.output_stride, choice.input_scale) == (32, 0.5)
    (taken,) = [one for one in choice.candidates if one.verdict == "chosen"]
    assert taken.loss <= 0.2
    assert taken.cost < 0.35, "of the time of the network that was asked for"
    assert said.scale == 0.5
    spec = load_spec(out)
    assert (spec.network.output_stride, spec.scale, spec.train.scale) == (32, 0.5, 0.5)
    assert spec.network.decoder_stride == said.decoder_stride == choice.stride
    # As the panel resumes: with what was asked for at first.
    again = begin(broad, out, SMALL, ALL, resume=True)
    assert (again.scale, again.decoder_stride) == (0.5, choice.stride)
    assert load_spec(out).network == spec.network
    assert load_spec(out).stride_choice == choice
    # Who does not ask for it gets what there was before.
    alone = begin(broad, tmp_path / "alone", SMALL, {"stride_tolerance": 0.2})
    assert (alone.scale, alone.stride_choice.output_stride) == (1.0, None)
    assert load_spec(tmp_path / "alone").network.output_stride == 16


def test_a_halved_input_is_the_run_at_half_the_working_scale(classes, quick, broad, tmp_path):
    chosen = quick(scale=1.0, **ALL, steps=2)
    list(Training([broad], classes, SMALL, chosen, out=tmp_path / "a").reports())
    spec = load_spec(tmp_path / "a")
    given = chosen.model_copy(update={"scale": 0.5, "auto_grids": "decoder"})
    list(Training([broad], classes, spec.network, given, out=tmp_path / "b").reports())
    one, other = (load_model(tmp_path / name, "cpu").network.state_dict() for name in "ab")
    assert all(torch.equal(one[key], other[key]) for key in one)


def test_fine_labels_keep_all_grids(begin, stripes, tmp_path):
    said = begin(stripes, tmp_path / "run", SMALL, {"auto_grids": "all"})
    choice = said.stride_choice
    assert (said.decoder_stride, said.scale) == (4, 1.0)
    assert (choice.output_stride, choice.input_scale, choice.decoder) == (16, 1.0, True)
    assert "would cost" in choice.reason


# -- cut afterwards --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    from napari_blockseg.core.classes import make_classes
    from napari_blockseg.core.config import TrainConfig

    out = tmp_path_factory.mktemp("full") / "run"
    image = picture(np.where(np.indices((64, 96))[1] < 40, 1, 2), 8)
    config = TrainConfig(steps=1, batch_size=2, crop=64, device="cpu", validation=False)
    network = PLAIN.model_copy(update={"decoder_stride": 4, "truncation": "area"})
    list(Training([image], make_classes(["a", "b"]), network, config, out=out).reports())
    return out, image


def test_a_cut_model_has_the_same_weights_on_a_coarser_grid(full, tmp_path):
    model = load_model(full[0], "cpu")
    cut = truncate_model(model, 16)
    before, after = (one.network.state_dict() for one in (model, cut))
    assert before.keys() == after.keys()
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert (cut.network.decoder_stride, model.network.decoder_stride) == (16, 4)
    save_truncated(tmp_path / "cut", cut)
    again = load_model(tmp_path / "cut", "cpu")
    assert again.spec.truncated_from == 4
    assert again.spec.val_miou is None
    image = torch.rand(1, 3, 64, 96)
    with torch.inference_mode():
        assert torch.equal(again.network(image), cut.network(image))
        assert not torch.allclose(again.network(image), model.network(image), atol=1e-4)
    assert truncate_model(truncate_model(model, 8), 16).spec.truncated_from == 4


def test_a_learned_way_down_starts_as_the_mean(full):
    model = load_model(full[0], "cpu")
    image = torch.rand(1, 3, 64, 96)
    with torch.inference_mode():
        area, strided = (
            truncate_model(model, 8, way).network(image) for way in ("area", "strided")
        )
    torch.testing.assert_close(area, strided, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("stride", [4, 5])
def test_a_stride_that_is_not_coarser_is_refused(full, stride):
    with pytest.raises(BlockSegError, match=r"coarser|expected"):
        truncate_model(load_model(full[0], "cpu"), stride)


def test_models_are_scored_on_the_same_pieces(full):
    model = load_model(full[0], "cpu")
    steps = measure_models([model, model, truncate_model(model, 32)], [full[1]])
    said = []
    while True:
        try:
            said.append(next(steps))
        except StopIteration as stop:
            scores = stop.value
            break
    assert said[-1].done == said[-1].total == 1
    assert scores[0] == scores[1]
    assert scores[2].decoder_stride == 32
    assert scores[2].cross_entropy != scores[0].cross_entropy
    assert 0 <= scores[0].miou <= scores[0].pixel_accuracy <= 1
