from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_blockseg.learn import classmap
from napari_blockseg.learn.classmap import ClassUpsampler
from napari_blockseg.learn.stitching import RowUpsampler


def smooth_maps(n_classes, shape):
    """Logits that are mostly sure of themselves, and places where three classes meet."""
    torch.manual_seed(n_classes)
    maps = torch.randn(1, n_classes, *shape)
    return torch.nn.functional.avg_pool2d(maps, 5, 1, 2)[0]


@pytest.mark.parametrize("cell", [1, 2, 2.5, 4, 5])
@pytest.mark.parametrize("n_classes", [1, 2, 3, 300])
@pytest.mark.parametrize("mostly", [0.0, 1.0])
def test_classes_between_cells_are_those_of_all_logits(cell, n_classes, mostly, monkeypatch):
    monkeypatch.setattr(classmap, "_MOSTLY", mostly)  # 0: all logits; 1: never all of them
    monkeypatch.setattr(classmap, "_CHUNK_VALUES", 400 if n_classes < 9 else 60_000)
    coarse = smooth_maps(n_classes, (23, 17))
    rows, cols = int(23 * cell) - (cell > 1), int(17 * cell) - (cell > 2)
    pieces = [part for _, part in RowUpsampler(rows, cols, cell).push(coarse, last=True)]
    expected = torch.cat(pieces, 1).numpy().argmax(0)
    finer, found, at = ClassUpsampler(rows, cols, cell), [], 0
    for size in (1, 0, 5, 2, 15):
        for start, part in finer.push(coarse[:, at : at + size], last=at + size == 23):
            assert start == sum(map(len, found))
            found.append(part)
        at += size
    np.testing.assert_array_equal(np.concatenate(found), expected)


def test_a_class_that_wins_only_between_cells_is_found():
    coarse = torch.tensor([[[10.0, 0.0]], [[9.0, 9.0]], [[0.0, 10.0]]])
    ((_, found),) = ClassUpsampler(8, 16, 8).push(coarse, last=True)
    assert found[0].tolist() == [0] * 5 + [1] * 6 + [2] * 5


def test_few_logits_are_made_where_cells_agree(monkeypatch):
    made = []
    original = classmap.largest_class
    monkeypatch.setattr(
        classmap, "largest_class", lambda v: made.append(v[0].numel()) or original(v)
    )
    coarse = torch.zeros(2, 40, 40)
    coarse[1, :, 20:] = 1
    coarse[0, :, :20] = 1
    ((_, found),) = ClassUpsampler(160, 160, 4).push(coarse, last=True)
    assert (found[:, :80] == 0).all()
    assert (found[:, 80:] == 1).all()
    # One column of places between cells, of 41 x 41, each 4 x 4 pixels.
    assert sum(made) == 41 * 16
