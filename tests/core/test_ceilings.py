"""Ceilings against the same thing computed plainly, mask by mask and class by class."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from napari_blockseg.core.ceilings import CeilingTable
from napari_blockseg.core.errors import LabelError
from napari_blockseg.core.metrics import BoundaryF, Confusion
from napari_blockseg.core.spectrum import band_limit, one_hot


def smooth_labels(shape, n_classes, sigma, seed):
    rng = np.random.default_rng(seed)
    noise = ndimage.gaussian_filter(rng.normal(size=(n_classes, *shape)), (0, sigma, sigma))
    return noise.argmax(0) + 1


def plain_majority(mask, block):
    labels = np.zeros_like(mask)
    for row in range(0, mask.shape[0], block):
        for col in range(0, mask.shape[1], block):
            cell = mask[row : row + block, col : col + block]
            if cell.any():
                # argmax takes the first of equal counts: ties go to the lowest class.
                largest = np.bincount(cell[cell > 0]).argmax()
                labels[row : row + block, col : col + block] = largest
    return labels


@pytest.fixture(scope="module")
def scenes():
    """Three masks with void in them; the last class is nowhere, one class misses in one mask."""
    found = [smooth_labels(shape, 4, 5.0, i) for i, shape in enumerate([(96, 128), (70, 64)])]
    found.append(np.where(found[0] == 3, 1, found[0]))
    for mask in found:
        mask[10:20, 30:50] = 0
    return found


@pytest.fixture(scope="module")
def table(scenes):
    table = CeilingTable(5, blocks=(2, 8, 32))
    for mask in scenes:
        assert table.add(mask)
    return table


@pytest.mark.parametrize("kind", ["majority", "band-limited"])
def test_every_column_is_what_a_plain_computation_gives(table, scenes, kind):
    for row in table.rows():
        confusion, edges = Confusion(5), BoundaryF(5)
        for scene in scenes:
            mask = scene[: scene.shape[0] // 32 * 32, : scene.shape[1] // 32 * 32]
            if kind == "majority":
                labels = plain_majority(mask, row.block)
            else:
                labels = band_limit(one_hot(mask, 5), 0.5 / row.block).argmax(0) + 1
            confusion.add(mask, labels)
            edges.add(mask, labels)
        if kind == "majority":
            found = (row.miou, row.iou, row.boundary_f, row.class_boundary_f)
            assert row.pixel_accuracy == pytest.approx(confusion.pixel_accuracy())
        else:
            found = (
                row.band_limited_miou,
                row.band_limited_iou,
                row.band_limited_boundary_f,
                row.class_band_limited_boundary_f,
            )
        expected = (confusion.miou(), confusion.iou(), edges.mean(), edges.scores())
        for one, other in zip(found, expected, strict=True):
            assert np.allclose(one, other, rtol=0, atol=1e-9, equal_nan=True)


def test_energy_is_the_share_in_the_band_without_the_mean(table, scenes):
    for row in table.rows():
        inside, total = np.zeros(5), np.zeros(5)
        for scene in scenes:
            mask = scene[: scene.shape[0] // 32 * 32, : scene.shape[1] // 32 * 32]
            maps = one_hot(mask, 5)
            low = band_limit(maps, 0.5 / row.block)
            # Parseval: energy without the mean is P times the sum of squares about the mean.
            inside += low.var((1, 2)) * mask.size**2
            total += maps.var((1, 2)) * mask.size**2
        assert row.energy == pytest.approx(inside.sum() / total.sum(), rel=1e-6)
        assert np.allclose(row.class_energy[:4], inside[:4] / total[:4], rtol=1e-5)


def test_a_class_that_is_nowhere_is_not_a_number_in_every_column(table):
    for row in table.rows():
        for column in (
            row.iou,
            row.class_energy,
            row.band_limited_iou,
            row.class_boundary_f,
            row.class_band_limited_boundary_f,
        ):
            assert np.isnan(column[4])
            assert np.isfinite(column[:4]).all()
        assert row.owned_blocks[4] == 0


def test_a_block_size_of_one_describes_everything():
    table = CeilingTable(3, blocks=(1, 4))
    table.add(np.random.default_rng(0).integers(1, 4, (32, 36)))
    row = table.rows()[0]
    assert row.miou == row.boundary_f == row.band_limited_miou == row.band_limited_boundary_f == 1
    assert row.energy == pytest.approx(1)


@pytest.mark.parametrize("n_classes", [1, 21])
def test_a_constant_mask_has_perfect_labels_and_no_energy(n_classes):
    table = CeilingTable(n_classes, blocks=(2, 4))
    table.add(np.full((8, 12), n_classes))
    for row in table.rows():
        assert row.miou == row.band_limited_miou == row.boundary_f == 1
        assert row.band_limited_boundary_f == 1
        assert row.energy is None or n_classes == 1


def test_a_mask_with_unknown_classes_is_refused():
    with pytest.raises(LabelError, match="expected 0"):
        CeilingTable(2, blocks=(2,)).add(np.full((4, 4), 3))


@pytest.mark.slow
@pytest.mark.skipif("BLOCKSEG_DATA" not in os.environ, reason="BLOCKSEG_DATA is not set")
def test_ceilings_of_nuclei_are_those_of_the_method():
    """Energy, mIoU of band-limited argmax and of block majority at 2, 4, 8, 16."""
    from napari_blockseg.files.masks import find_classes_json, match_masks, read_mask

    folder = Path(os.environ["BLOCKSEG_DATA"]) / "nuclei_dsb2018" / "labels" / "test"
    classes = find_classes_json(folder)
    table = CeilingTable(len(classes.classes))
    for path in match_masks((), folder)[1]:
        table.add(read_mask(path, classes))
    found = [(row.energy, row.band_limited_miou, row.miou) for row in table.rows()[:4]]
    assert [tuple(round(one, 3) for one in row) for row in found] == [
        (0.926, 0.982, 0.695),
        (0.867, 0.655, 0.613),
        (0.785, 0.626, 0.557),
        (0.637, 0.564, 0.482),
    ]
    names = [info.name for info in classes.classes]
    edge = names.index("nucleus_edge")
    # The thin class is lost at once, by its boundary too.
    assert table.rows()[2].iou[edge] < 0.1
    assert np.nanargmin(table.rows()[2].class_boundary_f) == edge
