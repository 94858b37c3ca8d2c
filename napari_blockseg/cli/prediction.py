"""``blockseg predict``: dense masks for images, with a trained model."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_blockseg.cli.console import Advance, progress, save_json, say, warn
from napari_blockseg.cli.interrupts import interrupt_flag
from napari_blockseg.cli.options import JsonFile, config_from_options, config_option
from napari_blockseg.core.config import PredictConfig
from napari_blockseg.core.reports import Notice

if TYPE_CHECKING:
    from napari_blockseg.learn.checkpoint import Model


ENGINES = ("auto", "torch", "onnx")


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
        One of `ENGINES`; once a model is ready, what it runs on.
    kept, computed : float
        Pixels at working scale: of the images, and of all tiles with their context.
    """

    engine: str = "auto"
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

    def made_ready(self, model: Model, n_pixels: float) -> Model:
        """Return the model as it predicts fastest for so many pixels of images."""
        from napari_blockseg.learn.engine import engine_name, for_prediction

        ready = for_prediction(model, self.engine, n_pixels * model.spec.grid.scale**2)  # type: ignore[arg-type]
        self.engine = engine_name(ready)
        return ready

    def add(self, model: Model, config: PredictConfig, shape: Sequence[int]) -> None:
        """Count an image of this shape: leading axes, rows, cols, channels."""
        import math

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
    out: Annotated[str, typer.Option("--out", metavar="DIR", help="Where the masks go.")],
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
    engine: Annotated[
        str,
        typer.Option(
            "--engine",
            metavar="auto|torch|onnx",
            help="What computes. 'auto' takes ONNX Runtime on a CPU for much work, if installed.",
            rich_help_panel="Fine tuning",
        ),
    ] = "auto",
    axes: Annotated[
        str | None,
        typer.Option("--axes", metavar="YX|YXC|...", help="Axes of the images, if they don't say."),
    ] = None,
    json: JsonFile = None,
) -> None:
    """Write a dense mask for each image."""
    if engine not in ENGINES:
        raise typer.BadParameter(f"Got engine {engine!r}; expected {', '.join(ENGINES)}.")
    config = config_from_options(
        PredictConfig, tile=tile, halo=halo, batch_size=batch_size, device=device
    )
    sources = find_sources(images, axes)
    from napari_blockseg.learn.checkpoint import load_model

    loaded = load_model(Path(model), device=config.device)
    start = time.monotonic()
    work = Work(engine)
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
    from napari_blockseg.files.images import read_image
    from napari_blockseg.files.masks import write_classes_json, write_mask

    out.mkdir(parents=True, exist_ok=True)
    write_classes_json(out, model.spec.classes)
    written: dict[str, str] = {}
    work = work or Work()
    ready: Model | None = None
    with interrupt_flag() as asked, progress("predicting") as advance:
        for number, source in enumerate(sources):
            if asked.is_set():
                break
            data = read_image(source.path, source.axes)
            step = _part_of(advance, number, len(sources), source.image_id)
            if ready is None:
                # The others are taken to be like the first: this only chooses what computes.
                n_pixels = data.pixels.size / data.pixels.shape[-1] * len(sources)
                ready = work.made_ready(model, n_pixels)
            mask, chances = predict_planes(ready, data.pixels, config, step, probabilities)
            work.add(ready, config, data.pixels.shape)
            suffix = ".tif" if source.path.suffix.lower() in (".tif", ".tiff") else ".png"
            path = out / f"{source.image_id}{suffix}"
            write_mask(path, mask, model.spec.classes, like=data.info)
            if chances is not None:
                _write_probabilities(out / "probabilities" / f"{source.image_id}.tif", chances)
            written[source.image_id] = str(path)
    return written


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

    leading = pixels.shape[:-3]
    indices = list(np.ndindex(leading))
    masks, chances = [], []
    for number, index in enumerate(indices):
        step = _part_of(advance, number, len(indices), "")
        prediction = _finish(model, pixels[index], config, step, probabilities)
        masks.append(prediction.mask)
        chances.append(prediction.probabilities)
    mask = np.stack(masks).reshape(*leading, *masks[0].shape)
    if not probabilities:
        return mask, None
    return mask, np.stack(chances).reshape(*leading, *chances[0].shape)


def _finish(
    model: Model, plane: Any, config: PredictConfig, advance: Advance, probabilities: bool
) -> Any:
    """Run one prediction to its end and return it."""
    from napari_blockseg.learn.predict import predict as predict_tiles

    steps = predict_tiles(model, plane, config, probabilities=probabilities)
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


def _write_probabilities(path: Path, chances: Any) -> None:
    import tifffile

    from napari_blockseg.core.atomic import replacing

    with replacing(path) as temporary:
        tifffile.imwrite(
            temporary, chances, photometric="minisblack", compression="zlib", metadata=None
        )
