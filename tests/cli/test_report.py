"""The report pages: complete, offline, escaped, and right in what they say."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image
from plotly.offline import get_plotlyjs

from napari_blockseg.cli.report import page, write_analysis_report, write_spectrum_report
from napari_blockseg.cli.report.charts import Axis, Chart, Line
from napari_blockseg.cli.report.tables import Cell, table
from napari_blockseg.cli.spectrum import estimate, study, to_json
from napari_blockseg.cli.spectrum.study import Masks, measure
from napari_blockseg.core.analysis import (
    Analysis,
    Checkpoint,
    LayerSpectrum,
    LossCurve,
    TruncationTrial,
    load_analysis,
)
from napari_blockseg.core.classes import make_classes
from napari_blockseg.core.labels import BlockLabels

EVIL = "a<b>\"&'</script><img src=http://x.example/y>%{x}"
LARGEST = 6_000_000


class Reader(HTMLParser):
    """Collects what a page holds, and what it would fetch."""

    void = frozenset({"meta", "link", "img", "br", "hr", "input"})

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.open: list[str] = []
        self.wrong: list[str] = []
        self.fetched: list[str] = []
        self.attributes: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.styles: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.tags.append(tag)
        self.attributes.append((tag, found))
        for name in ("src", "href", "srcset", "data", "poster", "action", "background"):
            value = found.get(name)
            if value is not None and not value.startswith(("data:", "#")):
                self.fetched.append(value)
        self.styles.append(found.get("style") or "")
        if tag not in self.void:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)

    def handle_data(self, data):
        inside = self.open[-1] if self.open else ""
        if inside == "style":
            self.styles.append(data)
        elif inside != "script":
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def _own(folder) -> str:
    """Return the page without plotly.js, which it must hold exactly once."""
    path = folder / "index.html"
    assert path.stat().st_size < LARGEST
    before, after = path.read_text(encoding="utf-8").split(get_plotlyjs())
    return before + after


def read(folder) -> Reader:
    return Reader(_own(folder))


def _check_page(folder) -> Reader:
    """Check what every page must be, and return it."""
    found = read(folder)
    assert (found.wrong, found.open) == ([], [])
    assert found.fetched == []
    assert not [style for style in found.styles if "url(" in style or "@import" in style]
    assert not re.search(r"https?://|//cdn", _own(folder))
    ids = [attrs["id"] for _, attrs in found.attributes if attrs.get("id")]
    assert len(ids) == len(set(ids))
    for tag, attrs in found.attributes:
        if tag == "img":
            assert attrs["alt"]
        # Buttons point at charts that exist.
        for chart in (attrs.get("data-charts") or "").split():
            assert chart in ids
    return found


def _traces(folder, chart: str) -> list[dict]:
    text = _own(folder)
    # json's decoder stops where the list of traces ends.
    start = re.search(rf'Plotly\.newPlot\(\s*"{chart}",\s*', text)
    traces, _ = json.JSONDecoder().raw_decode(text[start.end() :])
    return traces


def _mask(rows: int = 130, cols: int = 200) -> np.ndarray:
    row, col = np.mgrid[:rows, :cols]
    mask = np.where(row + 9 * np.sin(col / 9) < rows / 2, 1, 2).astype(np.uint8)
    mask[:, 100] = 3  # one pixel wide: no block will be of it
    return mask


@pytest.fixture(scope="module")
def findings():
    return measure(Masks(["scene"], lambda i: _mask()), make_classes(["sky", "wood", "wire"]))


@pytest.fixture(scope="module")
def written(findings, tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    assert write_spectrum_report(findings, folder) == folder / "index.html"
    return folder


# -- spectrum ------------------------------------------------------------------------------------


def test_the_page_of_masks_is_whole_and_offline(findings, written):
    found = _check_page(written)
    best = findings.advice.recommended_block
    assert f"Paint blocks of {best} \u00d7 {best} pixels" in found.text
    assert findings.advice.reason in found.text
    assert {"spectrum.json", "spectrum.png", "ceilings.png", "strip.png"} <= {
        path.name for path in written.iterdir()
    }
    # The mask, and what blocks of 4, 8, 16 and 32 leave of it.
    pictures = [attrs for tag, attrs in found.attributes if tag == "img"]
    assert [attrs["alt"].split("blocks of ")[-1].split(" px")[0] for attrs in pictures][1:] == [
        *("4", "8", "16", "32")
    ]
    assert {attrs["width"] for attrs in pictures} == {"200"}
    assert found.tags.count("h1") == 1


def test_curves_are_those_of_the_findings(findings, written):
    traces = _traces(written, "spectrum")
    assert [trace["name"] for trace in traces] == ["sky", "wood", "wire"]
    for trace, energy in zip(traces, findings.curve.energy, strict=True):
        # Blocks, on a log2 axis: the cutoff rises to the right, the block falls.
        cutoffs = 0.5 / 2 ** np.array(trace["x"])
        expected = np.interp(cutoffs, findings.curve.cutoffs, energy)
        np.testing.assert_allclose(trace["y"], expected, atol=1e-12)
    at_16 = traces[2]["x"].index(4.0)
    share = traces[2]["y"][at_16]
    assert traces[2]["hovertext"][at_16] == f"wire: blocks of 16 px hold {share:.0%} of its shape"


def test_a_class_that_no_block_shows_is_greyed_and_named(findings, written):
    found = read(written)
    lost = [
        attrs
        for tag, attrs in found.attributes
        if tag == "td" and "lost" in (attrs.get("class") or "")
    ]
    # Half a block is the wire's at the finest, and ties go to the lower class.
    tips = [attrs["title"] for attrs in lost]
    assert {f"wire: 0 blocks of {row.block} px" for row in findings.rows} <= set(tips)
    assert "wire" in findings.advice.unresolved
    assert "Classes they cannot show 1 wire: at no size looked at" in found.text


def test_curve_and_table_agree_at_the_block_sizes(findings):
    result = to_json(findings)
    cutoffs = result["curves"]["cutoffs"]
    for block, row in result["blocks"].items():
        place = int(np.argmin(np.abs(cutoffs - 0.5 / int(block))))
        assert result["curves"]["energy"][place] == pytest.approx(row["energy"], abs=1e-6)
        for name, one in row["classes"].items():
            energy = result["curves"]["classes"][name]["energy"][place]
            assert energy == pytest.approx(one["energy"], abs=1e-6)
            assert one["energy_with_dc"] >= one["energy"]
    assert result["curves"]["energy_with_dc"][-1] == pytest.approx(1.0)


def test_names_are_escaped_everywhere(tmp_path):
    classes = make_classes([EVIL, "b"])
    found = measure(Masks([EVIL], lambda i: np.minimum(_mask(), 2)), classes)
    write_spectrum_report(found, tmp_path)
    reader = read(tmp_path)
    assert (reader.wrong, reader.open, reader.fetched) == ([], [], [])
    assert reader.text.count(EVIL) >= 4
    # plotly takes names for HTML of its own: links and markup must not come through.
    assert "<" not in _traces(tmp_path, "spectrum")[0]["name"]
    assert "<" not in _traces(tmp_path, "spectrum")[0]["hovertext"][0]


def test_painted_blocks_with_holes_show_error_and_image(tmp_path):
    rng = np.random.default_rng(0)
    dense = BlockLabels.from_mask(np.minimum(_mask(512, 640), 2), 8, 2)
    labels = dense.with_values(np.where(rng.random(dense.values.shape) < 0.4, dense.values, 0))
    pixels = rng.integers(0, 255, (512, 640, 1)).astype(np.uint8)
    found = estimate([labels], make_classes(["a", "b"]), 0, ["one"], lambda name: pixels)
    write_spectrum_report(found, tmp_path)
    reader = _check_page(tmp_path)
    assert "Estimated from painted blocks of 8 \u00d7 8 pixels in 1 image; 40% of" in reader.text
    pictures = [attrs for tag, attrs in reader.attributes if tag == "img"]
    assert pictures[0]["alt"] == "The image"
    assert [view.block for view in found.examples[0].views] == [8, 16, 32]
    bands = [trace for trace in _traces(tmp_path, "spectrum") if trace.get("fill") == "toself"]
    assert len(bands) == 2


def test_sparse_paint_is_not_called_lost_on_a_coarser_grid():
    values = np.zeros((32, 32), np.uint8)
    values[::4, ::4], values[2, 2] = 1, 2
    empty = BlockLabels.from_mask(np.zeros((256, 256), np.uint8), 8, 2)
    found = estimate([empty.with_values(values)], make_classes(["a", "b"]), 0, ["one"])
    given, double, quadruple = found.examples[0].views
    assert (double.right, double.lost) == (1.0, ())
    # Here the blocks of 4 x 4 join two of them; ties go to the lower class.
    assert quadruple.lost == ("b",)
    assert (given.values > 0).sum() == 65 * 64


def test_a_report_without_enough_paint_says_so(tmp_path):
    values = np.zeros((16, 16), np.uint8)
    values[3, 3], values[9, 9] = 1, 2
    labels = BlockLabels.from_mask(np.zeros((256, 256), np.uint8), 16, 2).with_values(values)
    found = estimate([labels], make_classes(["a", "b"]), 0, ["one"])
    write_spectrum_report(found, tmp_path)
    text = _check_page(tmp_path).text
    assert "not enough paint yet" in text.lower()


def test_one_image_of_one_class_makes_a_page(tmp_path):
    found = measure(Masks(["all"], lambda i: np.ones((70, 90), np.uint8)), make_classes(["a"]))
    write_spectrum_report(found, tmp_path)
    assert "It rests on 1 image" in _check_page(tmp_path).text


def test_large_planes_are_shown_in_part():
    mask = np.ones((700, 1400), np.uint8)
    mask[600:640, 1100:1300] = 2
    found = measure(Masks(["large"], lambda i: mask), make_classes(["a", "b"]))
    view = found.examples[0].views[0]
    # The window with both classes, on the grid of the coarsest blocks; it ends with the plane.
    assert view.values.shape == (700 - 192, 1400 - 896)
    assert set(np.unique(view.values)) == {1, 2}


def test_which_size_is_the_coarsest_that_describes_a_class_well(findings):
    from napari_blockseg.cli.spectrum.findings import GOOD_IOU

    for i in range(2):
        best = findings.coarsest(i)
        fine = [row for row in findings.rows if row.block <= best]
        assert all(row.iou[i] >= GOOD_IOU and row.owned_blocks[i] >= 50 for row in fine)
        coarser = [row for row in findings.rows if row.block == 2 * best]
        assert all(row.iou[i] < GOOD_IOU or row.owned_blocks[i] < 50 for row in coarser)
    assert findings.coarsest(2) is None


def test_the_command_writes_the_report_of_a_project(project, run, load_json, tmp_path):
    done = run("spectrum", project, "--report", tmp_path / "r")
    assert str(tmp_path / "r" / "index.html") in done.out
    text = _check_page(tmp_path / "r").text
    assert "the image" in text
    assert load_json(tmp_path / "r" / "spectrum.json")["estimated_from_block"] == 16
    assert study(project).examples[0].pixels is not None


# -- analysis ------------------------------------------------------------------------------------


def _curve(whole: float, mean: float, cutoffs: tuple[float, ...]) -> LossCurve:
    truncated = tuple(whole + (mean - whole) * 0.5**i for i in range(len(cutoffs)))
    return LossCurve(
        cutoffs=cutoffs,
        truncated=truncated,
        cross_entropy=whole,
        mean_term=mean,
        discrepancy=tuple(abs(one - whole) / whole for one in truncated),
        discrepancy_of_mean=tuple((one - whole) / mean for one in truncated),
    )


@pytest.fixture(scope="module")
def analysis() -> Analysis:
    cutoffs = tuple(float(c) for c in np.geomspace(0.5 / 128, 0.25, 13))
    shares = tuple(float(s) for s in np.linspace(0.1, 1.0, 13))
    layers = tuple(
        LayerSpectrum(
            name=name,
            stage=stage,
            stride=stride,
            cutoffs=cutoffs,
            activations=shares[:10] + (None,) * 3,
            gradients=(None,) * 13 if stage == "head" else shares,
            truncatable_to=8,
        )
        for name, stage, stride in (("stage 1", "encoder", 4.0), ("<logits>", "head", 8.0))
    )
    moments = (("start", 0, 2.4), ("early", 40, 1.4), ("end", 400, 0.47))
    return Analysis(
        model="run & <b>",
        network="deeplabv3plus",
        encoder="tf_efficientnet_lite0",
        decoder_stride=4,
        scale=0.5,
        block=16,
        classes=("a", "b"),
        images=3,
        pixels=1000,
        truth="dense masks",
        tolerance=0.05,
        label_cutoffs=cutoffs,
        label_energy=shares,
        checkpoints=tuple(
            Checkpoint(
                moment=moment,
                step=step,
                loss=_curve(whole, 3.0, cutoffs),
                miou=0.5,
                pixel_accuracy=0.8,
                layers=layers,
            )
            for moment, step, whole in moments
        ),
        trials=tuple(
            TruncationTrial(
                decoder_stride=stride,
                cross_entropy=0.4 + stride / 100,
                miou=None if stride == 32 else 0.5 - stride / 100,
                pixel_accuracy=0.8,
                predicted_loss_of_energy=stride / 200,
            )
            for stride in (4, 8, 16, 32)
        ),
        recommended_stride=8,
        reason="At 8 nothing is lost.",
        notes=("3 of 9 images.",),
    )


@pytest.fixture(scope="module")
def analysed(analysis, tmp_path_factory):
    folder = tmp_path_factory.mktemp("analysis")
    assert write_analysis_report(analysis, folder) == folder / "index.html"
    return folder


def test_the_page_of_an_analysis_is_whole_and_offline(analysis, analysed):
    found = _check_page(analysed)
    assert "A decoder stride of 8 is enough" in found.text
    assert analysis.reason in found.text
    assert "run & <b>" in found.text
    assert "3 of 9 images." in found.text
    assert load_analysis(analysed) == analysis
    for name in ("loss.png", "layers.png", "trials.png"):
        with Image.open(analysed / name) as picture:
            assert picture.width == 2240
            assert len(picture.convert("RGB").getcolors(2**24)) > 20


def test_layers_are_shown_a_moment_at_a_time(analysed):
    traces = _traces(analysed, "activations")
    assert [trace["meta"]["moment"] for trace in traces] == [
        *("start", "start", "early", "early", "end", "end"),
        "",  # the labels stay
    ]
    assert traces[0]["y"][10:] == [None] * 3
    assert traces[1]["name"] == "&lt;logits&gt;"
    pressed = [
        attrs["data-moment"]
        for _, attrs in read(analysed).attributes
        if "data-moment" in attrs and attrs["aria-pressed"] == "true"
    ]
    assert pressed == ["end"]


def test_loss_curves_meet_the_cross_entropy_and_both_discrepancies_stand_by_it(analysis, analysed):
    traces = _traces(analysed, "loss")
    assert 10 ** traces[-1]["y"][0] == pytest.approx(0.47)  # dashed: the end's
    end = analysis.end.loss
    np.testing.assert_allclose(10 ** np.array(traces[-2]["y"]), end.truncated)
    np.testing.assert_allclose(_traces(analysed, "of-mean")[-1]["y"], end.discrepancy_of_mean)
    np.testing.assert_allclose(
        10 ** np.array(_traces(analysed, "discrepancy")[-1]["y"]), end.discrepancy
    )


def test_an_analysis_without_layers_trials_or_course_makes_a_page(analysis, tmp_path):
    end = analysis.end.model_copy(update={"layers": (), "miou": None, "pixel_accuracy": None})
    bare = analysis.model_copy(
        update={"checkpoints": (end,), "trials": (), "recommended_stride": None, "block": 1}
    )
    write_analysis_report(bare, tmp_path)
    text = _check_page(tmp_path).text
    assert "No decoder stride can be recommended" in text
    assert "Only the end of training was kept" in text
    assert "What the layers hold" not in text
    assert {path.name for path in tmp_path.iterdir()} == {
        *("index.html", "analysis.json", "loss.png")
    }


# -- pieces --------------------------------------------------------------------------------------


def test_cells_are_tinted_greyed_and_framed():
    found = Reader(
        table(
            "c", ["", "one", "two"], [("<i>n</i>", [Cell("1", 1.0), Cell("0", 0.9, lost=True)])], 0
        )
    )
    first, second = (attrs for tag, attrs in found.attributes if tag == "td")
    assert first["class"] == "best"
    assert "rgba(0,114,178,0.55)" in first["style"]
    assert second["class"] == "lost"
    assert "style" not in second


def test_curves_break_where_nothing_is_known():
    line = Line([0, 1, 2], [0.5, float("nan"), 1.0], ["a", "b", "c"])
    axis = Axis("t", [(0, "0")], (0, 2))
    html = Chart("c", [line], axis, axis, about="x").html()
    assert '"y":[0.5,null,1.0]' in html
    assert "NaN" not in html


def test_pictures_of_labels_are_lossless(findings):
    import base64
    import io

    from napari_blockseg.cli.pictures.strip import as_palette, view_picture

    picture = view_picture(findings.examples[0].views[0], findings.classes)
    text = page.image(as_palette(picture), "labels")
    data = base64.b64decode(re.search(r"base64,([^\"]*)", text)[1])
    with Image.open(io.BytesIO(data)) as again:
        assert np.array_equal(np.asarray(again.convert("RGB")), np.asarray(picture))


def test_a_note_about_the_measurement_is_shown(findings, tmp_path):
    noted = replace(findings, notes=("Blocks of 64 were <left> out.",), skipped=2)
    write_spectrum_report(noted, tmp_path)
    text = read(tmp_path).text
    assert "Blocks of 64 were <left> out." in text
    assert "Skipped: 2 images" in text
