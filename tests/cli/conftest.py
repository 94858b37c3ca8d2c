"""A small data set that commands can work on, and the real entry point to call them with."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from napari_blockseg.cli.main import main

NAMES = ("field", "wood", "water")
#: Grey value and texture of each class: easy enough for a network to learn in seconds.
LOOKS = {1: (60, 0), 2: (130, 60), 3: (210, 0)}
VOID = 255


@dataclass(frozen=True)
class DataSet:
    """Folders of images and of dense masks (ids 1..3, void 255), with a classes.json."""

    images: Path
    masks: Path


def scene(seed: int, rows: int = 128, cols: int = 160) -> tuple[np.ndarray, np.ndarray]:
    """Return an RGB picture of three textures, and its mask (1..3)."""
    rng = np.random.default_rng(seed)
    row, col = np.mgrid[:rows, :cols]
    mask = np.where(row < rows // 2 + 20 * np.sin(col / 25 + seed), 1, 2)
    mask[np.hypot(row - rows * 0.6, col - cols * rng.uniform(0.3, 0.7)) < 30] = 3
    level = np.choose(mask - 1, [LOOKS[v][0] for v in (1, 2, 3)])
    stripes = np.choose(mask - 1, [LOOKS[v][1] for v in (1, 2, 3)]) * ((col // 3) % 2)
    grey = np.clip(level + stripes + rng.normal(0, 8, mask.shape), 0, 255)
    tint = np.stack([grey, grey * 0.9, 255 - grey], axis=-1)
    return tint.astype(np.uint8), mask.astype(np.uint8)


def write_data_set(folder: Path, n_images: int = 3) -> DataSet:
    """Write images and masks; one mask has a void corner."""
    images, masks = folder / "images", folder / "masks"
    images.mkdir(parents=True)
    masks.mkdir()
    for i in range(n_images):
        picture, mask = scene(i)
        if i == 0:
            mask[:16, :32] = VOID
        Image.fromarray(picture).save(images / f"scene_{i}.png")
        Image.fromarray(mask).save(masks / f"scene_{i}.png")
    classes = [{"id": i, "name": name, "color": [80 * i, 40, 9]} for i, name in enumerate(NAMES, 1)]
    (masks / "classes.json").write_text(json.dumps({"classes": classes, "ignore_id": VOID}))
    return DataSet(images, masks)


@pytest.fixture(scope="session")
def data(tmp_path_factory) -> DataSet:
    return write_data_set(tmp_path_factory.mktemp("data") / "set")


@dataclass(frozen=True)
class Done:
    """What a command did."""

    code: int
    out: str
    err: str


def in_this_process(args: list[str]) -> Done:
    """Call the entry point as the installed script does."""
    out, err = io.StringIO(), io.StringIO()
    before, sys.argv = sys.argv, ["blockseg", *args]
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            main()
    except SystemExit as exit_:
        code = exit_.code or 0
    else:
        code = 0
    finally:
        sys.argv = before
    return Done(int(code), out.getvalue(), err.getvalue())


def in_a_process_of_its_own(args: list[str]) -> Done:
    """Run ``python -m napari_blockseg``."""
    done = subprocess.run(
        [sys.executable, "-m", "napari_blockseg", *args],
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=150,
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
        stdin=subprocess.DEVNULL,
        check=False,
    )
    return Done(done.returncode, done.stdout, done.stderr)


def blockseg(*args: Any, expect: int = 0, own_process: bool = False) -> Done:
    """Run a command and check its exit code.

    In this process unless told otherwise: importing torch again and again takes most of a test.
    """
    words = [str(arg) for arg in args]
    done = in_a_process_of_its_own(words) if own_process else in_this_process(words)
    assert done.code == expect, f"{words}\n{done.out}\n{done.err}"
    return done


@pytest.fixture(scope="session")
def run():
    return blockseg


def read_json(path: Path) -> Any:
    """Read strict JSON: NaN is an error."""

    def refuse(name: str) -> None:
        raise AssertionError(f"{path} holds {name}")

    return json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)


@pytest.fixture(scope="session")
def load_json():
    return read_json


@pytest.fixture
def project(tmp_path, data, run) -> Path:
    """Return a project of the data set with all blocks of 16 pixels labelled."""
    root = tmp_path / "scenes.blockseg"
    classes = data.masks / "classes.json"
    run("new", root, "--images", data.images, "--classes-json", classes, "--block", 16)
    run("simulate", root, "--masks", data.masks)
    return root


def untrained_model(folder: Path, names: tuple[str, ...] = ("a", "b"), **network: Any) -> Path:
    """Save a model with random weights: enough where no mask is looked at."""
    from napari_blockseg.core.classes import make_classes
    from napari_blockseg.core.config import NetworkConfig, TrainConfig
    from napari_blockseg.core.normalize import Normalization
    from napari_blockseg.learn.checkpoint import ModelSpec, save_model
    from napari_blockseg.nets.build import build_network

    config = NetworkConfig(weights="none", **network)
    spec = ModelSpec(
        classes=make_classes(names),
        network=config,
        train=TrainConfig(),
        normalization=Normalization(),
        n_channels=3,
        block=8,
        scale=1.0,
    )
    save_model(folder, spec, build_network(config, len(names)).state_dict())
    return folder
