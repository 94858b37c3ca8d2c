"""``blockseg predict``: dense masks for images, with a trained model."""

from __future__ import annotations

import math
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_blockseg.cli.console import Advance, progress, save_json, say, warn
from napari_blockseg.cli.interrupts import interrupt_flag
from napari_blockseg.cli.options import Axes, JsonFile, config_from_options, config_option
from napari_blockseg.cli.outputs import folder_to_write
from napari_blockseg.core.config import PredictConfig
from napari_blockseg.core.reports import Notice

if TYPE_CHECKING:
    from napari_blockseg.files.images import OpenedImage
    from napari_blockseg.learn.checkpoint import Model


@dataclass(frozen=True)
class Source:
    """An image to predict: its id, its file, and its axes if they were given."""

    image_id: str
    path: Path
    axes: str | None = None


@dataclass
class Work:
    """What computes, and how much it did.

    Parameters
    ----------
    engine : str
        What the model runs on, once it is ready: "torch" or "onnx".
    kept, computed : float
        Pixels at working scale: of the images, and of all tiles with their context.
    """

    engine: str = ""
    kept: float = 0.0
    computed: float = 0.0

    @property
    def kept_share(self) -> float | None:
        """The share of what was computed that is in the masks."""
        return self.kept / self.computed if self.computed else None

    def __str__(self) -> str:
        if self.kept_share is None:
            return ""
        return (
            f"{self.engine} computed {self.computed / 1e6:.1f} million pixels at working scale, "
            f"{self.kept_share:.0%} of them are kept (the rest is what tiles see around them)."
        )

    def made_ready(self, model: Model, config: PredictConfig, n_pixels: float) -> Model:
        """Return the model as it predicts fastest for so many pixels of images."""
        from napari_blockseg.learn.engine import engine_name, for_prediction

        ready = for_prediction(model, config.engine, n_pixels * model.spec.grid.scale**2)
        self.engine = engine_name(ready)
        return ready

    def add(self, model: Model, config: PredictConfig, shape: Sequence[int]) -> None:
        """Count an image of this shape: leading axes, rows, cols, channels."""
        from napari_blockseg.learn.stitching import kept_share

        halo = model.network.halo if config.halo is None else config.halo
        rows, cols = model.spec.grid.shape(shape[-3], shape[-2])
        kept = math.prod(shape[:-3]) * rows * cols
        self.kept += kept
        self.computed += kept / kept_share((rows, cols), config.tile, halo)


def predict(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Folder of a trained model.")],
    images: Annotated[
        list[str], typer.Argument(metavar="IMAGES", help="Images, folders, or a project.")
    ],
    out: Annotated[
        str,
        typer.Option("--out", metavar="DIR", help="Where the masks go.", callback=folder_to_write),
    ],
    probabilities: Annotated[
        bool,
        typer.Option("--probabilities", help="Write class probabilities too (OUT/probabilities)."),
    ] = False,
    tile: Annotated[int | None, config_option(PredictConfig, "tile")] = None,
    halo: Annotated[int | None, config_option(PredictConfig, "halo", advanced=True)] = None,
    batch_size: Annotated[
        int | None, config_option(PredictConfig, "batch_size", advanced=True)
    ] = None,
    device: Annotated[str | None, config_option(PredictConfig, "device")] = None,
    engine: Annotated[str | None, config_option(PredictConfig, "engine", advanced=True)] = None,
    axes: Axes = None,
    json: JsonFile = None,
) -> None:
    """Write a dense mask for each image."""
    config = config_from_options(
        PredictConfig, tile=tile, halo=halo, batch_size=batch_size, device=device, engine=engine
    )
    sources = find_sources(images, axes)
    from napari_blockseg.learn.checkpoint import load_model

    loaded = load_model(Path(model), device=config.device)
    start = time.monotonic()
    work = Work()
    written = predict_files(loaded, sources, Path(out), config, probabilities, work)
    seconds = time.monotonic() - start
    say(f"Wrote {len(written)} masks to {out} in {seconds:.1f} s. {work}".strip())
    result = {
        "images": len(written),
        "seconds": seconds,
        "out": out,
        "masks": written,
        "engine": work.engine,
        "pixels": work.kept,
        "kept_share": work.kept_share,
    }
    save_json(None if json is None else Path(json), result)
    if len(written) < len(sources):
        raise typer.Exit(1)


def find_sources(given: Sequence[str], axes: str | None) -> list[Source]:
    """Return the images to predict: a project's, or files and those of folders."""
    if len(given) == 1 and (Path(given[0]) / "project.json").exists():
        from napari_blockseg.files.project import Project

        with Project.open(Path(given[0])) as project:
            return [
                Source(entry.id, project.image_path(entry.id), entry.given_axes)
                for entry in project.spec.images
            ]
    from napari_blockseg.files.imagefiles import inspect_all
    from napari_blockseg.files.spec import unique_ids

    infos, skipped = inspect_all([Path(path) for path in given], axes)
    for path, reason in skipped:
        warn(f"skipped {path}: {reason}")
    paths = [info.path for info in infos]
    return [Source(name, path, axes) for name, path in zip(unique_ids(paths), paths, strict=True)]


def predict_files(
    model: Model,
    sources: Sequence[Source],
    out: Path,
    config: PredictConfig,
    probabilities: bool,
    work: Work | None = None,
) -> dict[str, str]:
    """Predict images one by one and return the masks written, by image id; `work` is filled."""
    from napari_blockseg.files.images import open_image
    from napari_blockseg.files.masks import write_classes_json

    out.mkdir(parents=True, exist_ok=True)
    write_classes_json(out, model.spec.classes)
    written: dict[str, str] = {}
    work = work or Work()
    ready: Model | None = None
    with interrupt_flag() as asked, progress("predicting") as advance:
        for number, source in enumerate(sources):
            if asked.is_set():
                break
            image = open_image(source.path, source.axes)
            step = _part_of(advance, number, len(sources), source.image_id)
            if ready is None:
                # The others are taken to be like the first: this only chooses what computes.
                n_pixels = math.prod(image.info.spatial_shape) * len(sources)
                ready = work.made_ready(model, config, n_pixels)
            suffix = ".tif" if source.path.suffix.lower() in (".tif", ".tiff") else ".png"
            path = out / f"{source.image_id}{suffix}"
            chances = out / "probabilities" / f"{source.image_id}.tif" if probabilities else None
            _predict_image(ready, image, config, step, path, chances)
            work.add(ready, config, image.pixels.shape)
            written[source.image_id] = str(path)
    return written


def _predict_image(
    model: Model,
    image: OpenedImage,
    config: PredictConfig,
    advance: Advance,
    path: Path,
    chances: Path | None,
) -> None:
    """Predict every plane of an image into files; neither image nor mask is held whole."""
    import numpy as np

    from napari_blockseg.cli.rowsinks import MaskFiles
    from napari_blockseg.learn.predict import predict_into

    indices = list(np.ndindex(image.pixels.shape[:-3]))
    with MaskFiles(path, model.spec.classes, image.info, chances) as files:
        for number, index in enumerate(indices):
            steps = predict_into(
                files.plane(number),
                model,
                image.pixels[index],
                config,
                probabilities=chances is not None,
            )
            _finish(steps, _part_of(advance, number, len(indices), ""))


def predict_planes(
    model: Model, pixels: Any, config: PredictConfig, advance: Advance, probabilities: bool
) -> tuple[Any, Any]:
    """Predict every plane of an image.

    Returns
    -------
    mask : (leading..., rows, cols) int array
        Class values.
    probabilities : (leading..., K, rows, cols) float16 array or None
        When asked for.
    """
    import numpy as np

    from napari_blockseg.learn.predict import predict as predict_tiles

    leading = pixels.shape[:-3]
    indices = list(np.ndindex(leading))
    masks, chances = [], []
    for number, index in enumerate(indices):
        step = _part_of(advance, number, len(indices), "")
        steps = predict_tiles(model, pixels[index], config, probabilities=probabilities)
        prediction = _finish(steps, step)
        masks.append(prediction.mask)
        chances.append(prediction.probabilities)
    mask = np.stack(masks).reshape(*leading, *masks[0].shape)
    if not probabilities:
        return mask, None
    return mask, np.stack(chances).reshape(*leading, *chances[0].shape)


def _finish(steps: Generator[Any, None, Any], advance: Advance) -> Any:
    """Run one prediction to its end and return what it returns."""
    while True:
        try:
            report = next(steps)
        except StopIteration as stop:
            return stop.value
        if isinstance(report, Notice):
            (warn if report.level == "warning" else say)(report.message)
        else:
            advance(report.done / report.total, f"{report.done} of {report.total} {report.what}")


def _part_of(advance: Advance, number: int, total: int, name: str) -> Advance:
    """Return the progress of one part out of several."""

    def part(share: float | None, text: str) -> None:
        advance((number + (share or 0.0)) / total, f"{name}  {text}".strip())

    return part
