"""Configs, reports, classes, normalization, atomic writes."""

from __future__ import annotations

import json

import numpy as np
import pytest
from numpy.typing import NDArray

from napari_blockseg.core import normalize as module
from napari_blockseg.core.atomic import json_text, replacing, write_json, write_text
from napari_blockseg.core.classes import ClassInfo, default_color, make_classes, present_values
from napari_blockseg.core.config import NetworkConfig, PredictConfig, TrainConfig, checked
from napari_blockseg.core.errors import BlockSegError, ImageError, LabelError, WorkerError
from napari_blockseg.core.normalize import Normalization, image_limits, normalize
from napari_blockseg.core.reports import Notice, TrainStep, Validation, report_from_json, to_json


def test_configs_come_back_from_json() -> None:
    for config in (NetworkConfig(decoder_stride=8), TrainConfig(steps=5), PredictConfig(halo=0)):
        assert type(config).model_validate_json(config.model_dump_json()) == config


def test_wrong_settings_name_field_value_and_choice() -> None:
    for kind, values, said in (
        (
            NetworkConfig,
            {"decoder_stride": 5},
            "Got decoder_stride 5; expected 'auto', 4, 8, 16 or 32.",
        ),
        (
            TrainConfig,
            {"steps": 5, "minutes": 2, "crop": 64},
            "Got steps 5, minutes 2; give either",
        ),
        (TrainConfig, {"colour": 1}, "Got colour 1; extra inputs are not permitted."),
        (TrainConfig, {"steps": 0}, "Got steps 0; expected a whole number of at least 1."),
        (TrainConfig, {"steps": "x"}, "Got steps x; expected a whole number."),
        (TrainConfig, {"minutes": 0.0}, "Got minutes 0; expected a number above 0."),
        (TrainConfig, {"crop": 33}, "Got crop 33; expected a multiple of 32."),
        (TrainConfig, {"scale": "big"}, "Got scale big; expected 'auto' or a number."),
        (TrainConfig, {"scale": 3}, "Got scale 3; working scale must be above 0 and at most 1."),
        (TrainConfig, {"crop": 1, "seed": -1}, "0. Got crop 1; expected a"),
        (
            NetworkConfig,
            {"network": "deeplabv3", "decoder_stride": 4},
            "These do not go together: deeplabv3 has no decoder",
        ),
    ):
        with pytest.raises(BlockSegError) as caught:
            checked(kind, values)
        assert said in str(caught.value)
        assert "alue error" not in str(caught.value)


def test_stride_from_the_command_line_is_text() -> None:
    assert checked(NetworkConfig, {"decoder_stride": "16"}).stride == 16
    assert NetworkConfig().stride == 4


@pytest.mark.parametrize(
    ("then", "now", "expected"),
    [
        ("ABC", "ABC", [0, 1, 2, 3]),
        ("ABC", "BC", [0, 0, 1, 2]),  # A was deleted
        ("BC", "ABC", [0, 2, 3]),  # and came back
        ("ABC", "AXC", [0, 1, 2, 3]),  # B was renamed
        ("ABC", "ABCD", [0, 1, 2, 3]),  # D was added
        ("ABC", "BAC", [0, 2, 1, 3]),
        ("AB", "XY", [0, 1, 2]),
        ("ABC", "A", [0, 1, 0, 0]),
    ],
)
def test_values_follow_the_names_of_their_classes(then: str, now: str, expected: list[int]) -> None:
    names = dict(enumerate(then, start=1))
    assert present_values(names, make_classes(list(now))).tolist() == expected


def test_every_field_can_make_a_form() -> None:
    for kind in (NetworkConfig, TrainConfig, PredictConfig):
        for name, info in kind.model_fields.items():
            assert info.title, name
            assert info.description, name


@pytest.mark.parametrize(("block", "scale"), [(1, 1.0), (8, 1.0), (16, 0.5), (32, 0.25)])
def test_auto_scale_makes_blocks_eight_wide(block: int, scale: float) -> None:
    assert TrainConfig().working_scale(block) == scale


def test_reports_survive_a_line_of_json() -> None:
    report = Validation(step=3, miou=None, iou={"a": float("nan"), "b": 0.5}, pixel_accuracy=0.2)
    line = to_json(report)
    assert "\n" not in line
    assert json.loads(line)["iou"] == {"a": None, "b": 0.5}
    assert report_from_json(line).iou == {"a": None, "b": 0.5}
    step = TrainStep(step=1, steps=2, loss=0.5, learning_rate=1e-3, seconds=1.0, progress=0.5)
    assert report_from_json(to_json(step)[:-1] + ', "id": 7}') == step
    assert report_from_json(to_json(Notice(message="ü"))).message == "ü"


@pytest.mark.parametrize("line", ["", "{", '{"type": "no such"}', '{"type": "train_step"}'])
def test_lines_that_are_no_report_are_refused(line: str) -> None:
    with pytest.raises(WorkerError, match="expected one report"):
        report_from_json(line)


def test_classes_have_values_names_and_different_colors() -> None:
    classes = make_classes([f"c{i}" for i in range(40)])
    assert [c.value for c in classes] == list(range(1, 41))
    assert len({c.color for c in classes}) == 40
    assert classes[0].export_id == 1
    assert ClassInfo(value=1, name="a", color=(0, 0, 0), id=0).export_id == 0
    assert default_color(0) == classes[0].color


@pytest.mark.parametrize("names", [[], ["a", ""], ["a", "b", "a"]])
def test_bad_class_names_are_refused(names: list[str]) -> None:
    with pytest.raises(LabelError, match="Got"):
        make_classes(names)


def test_normalization_ranges() -> None:
    eight = np.array([[[0], [255]]], np.uint8)
    assert normalize(eight, Normalization.for_dtype(eight.dtype)).ravel().tolist() == [0, 1]
    sixteen = np.arange(10000, dtype=np.uint16).reshape(100, 100, 1) + 500
    spec = Normalization.for_dtype(sixteen.dtype)
    low, high = image_limits(sixteen, spec)
    assert low == pytest.approx(509.999, abs=0.01)
    scaled = normalize(sixteen, spec)
    assert scaled.dtype == np.float32
    assert scaled.min() == 0
    assert scaled.max() == 1
    # A part of the image keeps the limits of the whole.
    part = normalize(sixteen[:10], spec, (low, high))
    assert np.array_equal(part, scaled[:10])


@pytest.mark.parametrize("shape", [(97, 13, 3), (5, 6, 7, 1), (1, 400, 2), (40,)])
def test_limits_of_a_lazy_image_are_those_of_the_whole(
    shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Lazy:
        def __init__(self) -> None:
            self.shape, self.most = shape, 0

        def __getitem__(self, rows: slice) -> NDArray[np.float32]:
            self.most = max(self.most, values[rows].size)
            return values[rows]

    values = np.random.default_rng(0).random(shape).astype(np.float32)
    spec = Normalization(kind="percentile", low=10, high=70)
    monkeypatch.setattr(module, "_SAMPLE_PIXELS", 30)
    whole = values.reshape(-1)[:: max(1, values.size // 30)]
    expected = tuple(np.percentile(whole.astype(float), [10, 70]))
    for most in (1, 100, 10**9):
        monkeypatch.setattr(module, "_READ_VALUES", most)
        lazy = Lazy()
        assert image_limits(lazy, spec) == expected
        assert image_limits(values, spec) == expected
        assert lazy.most <= max(most, values[:1].size)


def test_a_constant_image_is_zero_and_not_nan() -> None:
    flat = np.full((4, 4, 1), 7, np.uint16)
    assert (normalize(flat, Normalization.for_dtype(flat.dtype)) == 0).all()


def test_nan_is_refused_with_count_and_place() -> None:
    pixels = np.zeros((5, 6, 1), np.float32)
    pixels[2, 3] = np.nan
    pixels[4, 0] = np.inf
    with pytest.raises(ImageError, match=r"2 values.*row 2, column 3"):
        normalize(pixels, Normalization.for_dtype(pixels.dtype))


def write_half_then_fail(path) -> None:
    path.write_text("half")
    raise ZeroDivisionError


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path) -> None:
    path = tmp_path / "sub" / "a.json"
    write_json(path, {"x": float("nan"), "y": np.float32(2)})
    assert json.loads(path.read_text()) == {"x": None, "y": 2.0}
    with pytest.raises(ZeroDivisionError), replacing(path) as temporary:
        write_half_then_fail(temporary)
    assert json.loads(path.read_text()) == {"x": None, "y": 2.0}
    write_text(path, "ä\n")
    assert path.read_bytes() == "ä\n".encode()
    assert [p.name for p in path.parent.iterdir()] == ["a.json"]


def test_json_is_strict() -> None:
    assert json_text([np.array([1.0, np.inf]), (1, 2), None]) == "[[1.0, null], [1, 2], null]"
