"""Label maps drawn by a program: cells, fields, disks, stripes, threads, parcels, scenes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import fft, ndimage, spatial

Mask = NDArray[np.integer[Any]]
Rng = np.random.Generator


def gaussian_field(rng: Rng, size: int, sigma: float) -> NDArray[np.float64]:
    """Return a smooth random field of unit variance, (size, size), correlated over `sigma`."""
    field = ndimage.gaussian_filter(rng.normal(size=(size, size)), sigma, mode="wrap")
    return field / field.std()


def rough_field(rng: Rng, size: int, exponent: float, longest: float) -> NDArray[np.float64]:
    """Return a field with power falling as frequency ** -exponent above 1 / `longest`."""
    f = np.hypot(fft.fftfreq(size)[:, None], fft.rfftfreq(size)[None])
    gain = np.maximum(f, 1.0 / longest) ** (-exponent / 2)
    gain[0, 0] = 0.0
    field = fft.irfft2(fft.rfft2(rng.normal(size=(size, size))) * gain, s=(size, size))
    return field / field.std()


def levels(field: NDArray[np.float64], shares: tuple[float, ...]) -> Mask:
    """Cut a field at its quantiles so that class i has `shares[i]` of the area."""
    edges = np.quantile(field, np.cumsum(shares)[:-1])
    return np.searchsorted(edges, field) + 1


def voronoi(rng: Rng, size: int, cell: float, n_classes: int, wall: float = 0.0) -> Mask:
    """Cells of about `cell` pixels with random classes; with `wall`, walls are the last class."""
    n = max(int((size / cell) ** 2), 3)
    tree = spatial.cKDTree(
        rng.uniform(-cell, size + cell, (int(n * (1 + 2 * cell / size) ** 2), 2))
    )
    grid = np.stack(np.mgrid[:size, :size], -1).reshape(-1, 2)
    distance, index = tree.query(grid, k=2)
    inner = n_classes - 1 if wall else n_classes
    values = rng.integers(1, inner + 1, tree.n)[index[:, 0]]
    if wall:
        a, b = tree.data[index[:, 0]], tree.data[index[:, 1]]
        gap = (distance[:, 1] ** 2 - distance[:, 0] ** 2) / np.linalg.norm(a - b, axis=1)
        values = np.where(gap < wall, n_classes, values)
    return values.reshape(size, size)


def disks(rng: Rng, size: int, radius: float, spread: float, share: float, k: int = 2) -> Mask:
    """Disks (log-normal radii) of classes 2..k over class 1, until they cover `share`."""
    image = Image.new("L", (size, size), 1)
    draw = ImageDraw.Draw(image)
    area = 0.0
    while area < -np.log(1 - share) * size**2:
        r = radius * np.exp(spread * rng.normal())
        row, col = rng.uniform(-r, size + r, 2)
        draw.ellipse((col - r, row - r, col + r, row + r), fill=int(rng.integers(2, k + 1)))
        area += np.pi * r**2 * size**2 / (size + 2 * r) ** 2
    return np.array(image)


def rimmed(rng: Rng, size: int, radius: float, rim: float, share: float) -> Mask:
    """Ellipses (class 2) with a rim of its own class (3), apart or touching, over class 1."""
    mask = np.ones((size, size), np.int64)
    rows, cols = np.mgrid[:size, :size]
    for _ in range(int(-np.log(1 - share) * size**2 / (np.pi * radius**2))):
        a, b = radius * rng.uniform(0.6, 1.4, 2)
        row, col = rng.uniform(0, size, 2)
        turn = rng.uniform(0, np.pi)
        u = (rows - row) * np.cos(turn) + (cols - col) * np.sin(turn)
        v = (cols - col) * np.cos(turn) - (rows - row) * np.sin(turn)
        inside = np.hypot(u / a, v / b)
        mask[inside < 1] = 3
        mask[inside < 1 - rim / radius] = 2
    return mask


def stripes(rng: Rng, size: int, width: float, k: int) -> Mask:
    """Parallel stripes of `width` pixels in one random direction, slightly bent."""
    turn = rng.uniform(0, np.pi)
    rows, cols = np.mgrid[:size, :size]
    bend = gaussian_field(rng, size, 60) * width * 0.5
    along = rows * np.cos(turn) + cols * np.sin(turn) + bend + rng.uniform(0, 1000)
    return (np.floor(along / width).astype(int) % k) + 1


def threads(rng: Rng, size: int, width: int, count: int) -> Mask:
    """Smooth random curves of `width` pixels (class 2) over class 1."""
    image = Image.new("L", (size, size), 1)
    draw = ImageDraw.Draw(image)
    for _ in range(count):
        turn = rng.uniform(0, 2 * np.pi) + np.cumsum(rng.normal(0, 0.12, 120))
        path = rng.uniform(0, size, 2) + np.cumsum(np.c_[np.sin(turn), np.cos(turn)] * 5, 0)
        draw.line([tuple(p) for p in path[:, ::-1]], fill=2, width=width, joint="curve")
    return np.array(image)


def parcels(rng: Rng, size: int, area: float, k: int, skew: float) -> Mask:
    """Straight-edged parcels of about `area` pixels; class shares fall off with `skew`."""
    weights = skew ** np.arange(k)
    mask = np.ones((size, size), np.int64)
    rows, cols = np.mgrid[:size, :size]
    todo = [np.ones((size, size), bool)]
    while todo:
        piece = todo.pop()
        if piece.sum() < area * rng.uniform(0.5, 2):
            mask[piece] = rng.choice(k, p=weights / weights.sum()) + 1
            continue
        inside = np.argwhere(piece)
        turn, at = rng.uniform(0, np.pi), inside[rng.integers(len(inside))]
        side = (rows - at[0]) * np.cos(turn) + (cols - at[1]) * np.sin(turn) > 0
        todo += [part for part in (piece & side, piece & ~side) if part.any()]
    return mask


def town(rng: Rng, size: int, house: float, road: int) -> Mask:
    """Ground, axis-parallel houses, roads, and trees: classes 1..4."""
    image = Image.new("L", (size, size), 1)
    draw = ImageDraw.Draw(image)
    for _ in range(int(0.25 * size**2 / house**2)):
        row, col = rng.uniform(0, size, 2)
        high, wide = house * rng.uniform(0.5, 1.6, 2)
        draw.rectangle((col, row, col + wide, row + high), fill=2)
    for _ in range(int(0.5 * size**2 / house**2 * 0.5)):
        row, col = rng.uniform(0, size, 2)
        r = house * rng.uniform(0.15, 0.5)
        draw.ellipse((col - r, row - r, col + r, row + r), fill=4)
    for _ in range(max(2, int(size / house / 5))):
        a, b = rng.uniform(0, size, (2, 2))
        a, b = a + 4 * (a - b), b + 4 * (b - a)
        draw.line([tuple(a), tuple(b)], fill=3, width=road)
    return np.array(image)


def scene(rng: Rng, size: int, scale: float) -> Mask:
    """Big regions with smaller objects and thin poles in front: eight unbalanced classes."""
    base = levels(
        gaussian_field(rng, size, 60 * scale) + 2 * np.linspace(-1, 1, size)[:, None],
        (0.3, 0.3, 0.4),
    )
    image = Image.fromarray(base.astype(np.uint8))
    draw = ImageDraw.Draw(image)
    for value, radius, count in ((4, 30, 4), (5, 14, 8), (6, 6, 14)):
        for _ in range(int(count / scale)):
            row, col = rng.uniform(0, size, 2)
            a, b = radius * scale * rng.uniform(0.5, 1.5, 2)
            draw.ellipse((col - a, row - b, col + a, row + b), fill=value)
    for _ in range(int(8 / scale)):
        row, col = rng.uniform(0, size, 2)
        draw.rectangle((col, row, col + max(2, 3 * scale), row + 90 * scale), fill=7)
    for _ in range(int(6 / scale)):
        row, col = rng.uniform(0, size, 2)
        side = 8 * scale
        draw.rectangle((col, row, col + side, row + side), fill=8)
    return np.array(image)


def nested(rng: Rng, size: int, sigma: float, k: int) -> Mask:
    """Classes inside one another: k level sets of one smooth field, thinner towards the top."""
    shares = 0.6 ** np.arange(k)
    return levels(gaussian_field(rng, size, sigma), tuple(shares / shares.sum()))


def argmax_fields(rng: Rng, size: int, sigma: float, k: int, skew: float = 0.0) -> Mask:
    """Where each of k smooth fields is the highest; `skew` makes classes unequal."""
    fields = [gaussian_field(rng, size, sigma) - skew * i for i in range(k)]
    return np.stack(fields).argmax(0) + 1


def sparse(rng: Rng, size: int, radius: float, count: int, k: int) -> Mask:
    """Draw few disks and bars of classes 2..k on a large plain ground: shares of a few per cent."""
    image = Image.new("L", (size, size), 1)
    draw = ImageDraw.Draw(image)
    for i in range(count):
        row, col = rng.uniform(0, size, 2)
        a, b = radius * np.exp(rng.normal(0, 0.4, 2))
        value = 2 + i % (k - 1)
        if rng.random() < 0.7:
            draw.ellipse((col - a, row - b, col + a, row + b), fill=value)
        else:
            draw.line((col, row, col + 6 * (a - b), row + 3 * (a + b)), fill=value, width=int(b))
    return np.array(image)


def drawn_kinds() -> Iterator[tuple[str, str, int, list[Mask]]]:
    """Yield (kind, variant, K, masks) of everything drawn here; the same at every call."""
    plans: dict[str, list[tuple[int, Any]]] = {
        "cells": [
            (k, lambda r, s, c=c, k=k: voronoi(r, s, c, k))
            for c, k in ((20, 3), (45, 6), (90, 12))
        ],
        "cells_with_walls": [
            (k, lambda r, s, c=c, k=k, w=w: voronoi(r, s, c, k, w))
            for c, k, w in ((40, 2, 4), (60, 4, 9), (110, 2, 16), (30, 3, 3))
        ],
        "smooth_fields": [
            (k, lambda r, s, g=g, k=k: argmax_fields(r, s, g, k))
            for g, k in ((4, 2), (10, 4), (20, 2), (30, 8))
        ],
        "smooth_unequal": [
            (k, lambda r, s, g=g, k=k: argmax_fields(r, s, g, k, 0.5))
            for g, k in ((7, 4), (15, 3), (28, 6))
        ],
        "rough_fields": [
            (len(p), lambda r, s, e=e, p=p: levels(rough_field(r, s, e, 200), p))
            for e, p in ((2.0, (0.5, 0.5)), (3.0, (0.3, 0.5, 0.2)), (3.5, (0.85, 0.15)))
        ],
        "equal_disks": [
            (2, lambda r, s, q=q, a=a: disks(r, s, q, 0.0, a))
            for q, a in ((5, 0.15), (10, 0.3), (20, 0.4), (45, 0.2))
        ],
        "mixed_disks": [
            (k, lambda r, s, q=q, k=k: disks(r, s, q, 0.6, 0.5, k))
            for q, k in ((8, 2), (12, 4), (25, 6))
        ],
        "rimmed_ellipses": [
            (3, lambda r, s, q=q, w=w, a=a: rimmed(r, s, q, w, a))
            for q, w, a in ((14, 2.5, 0.3), (24, 4, 0.5), (40, 8, 0.4))
        ],
        "stripes": [
            (k, lambda r, s, w=w, k=k: stripes(r, s, w, k))
            for w, k in ((7, 2), (15, 3), (33, 2), (70, 4))
        ],
        "threads": [
            (2, lambda r, s, w=w, n=n: threads(r, s, w, n))
            for w, n in ((3, 30), (6, 14), (12, 12), (25, 8))
        ],
        "parcels": [
            (k, lambda r, s, a=a, k=k, q=q: parcels(r, s, a, k, q))
            for a, k, q in ((800, 4, 0.8), (3000, 8, 0.7), (12000, 6, 0.6))
        ],
        "town": [
            (4, lambda r, s, h=h, w=w: town(r, s, h, w)) for h, w in ((16, 6), (32, 12), (60, 24))
        ],
        "scenes": [(8, lambda r, s, q=q: scene(r, s, q)) for q in (0.5, 0.8, 1.4)],
        "nested": [
            (k, lambda r, s, g=g, k=k: nested(r, s, g, k)) for g, k in ((10, 3), (20, 5), (40, 9))
        ],
        "few_big_regions": [
            (k, lambda r, s, g=g, k=k: argmax_fields(r, s, g, k)) for g, k in ((70, 2), (110, 3))
        ],
        "specks": [
            (3, lambda r, s, q=q: np.where(disks(r, s, q, 0.3, 0.06) == 2, 3,
                                           argmax_fields(r, s, 40, 2)))
            for q in (2.5, 5, 9)
        ],
        "sparse": [
            (k, lambda r, s, q=q, n=n, k=k: sparse(r, s, q, n, k))
            for q, n, k in ((5, 12, 2), (12, 6, 3), (30, 2, 2), (10, 20, 5))
        ],
    }  # fmt: skip
    for number, (kind, variants) in enumerate(plans.items()):
        for i, (k, draw) in enumerate(variants):
            rng = np.random.default_rng([number, i])
            yield kind, str(i), k, [draw(rng, 448) for _ in range(5)]
