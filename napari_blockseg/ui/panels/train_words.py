"""What the Train panel says of a training's first and last report."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_blockseg.core.reports import TrainDone, TrainStarted


def started_words(report: TrainStarted) -> str:
    """Return what a training runs on."""
    held_out = {
        "images": f"{report.n_val_blocks} blocks of other images held out",
        "superblocks": f"{report.n_val_blocks} blocks in patches held out",
        "none": "nothing held out: paint more for a score",
    }[report.validation]
    images = f"{report.n_images} image{'s' * (report.n_images != 1)}"
    return (
        f"{report.n_labelled_blocks} blocks of {images} on {report.device}, "
        f"decoder stride {report.decoder_stride}, scale {report.scale:g}; {held_out}"
    )


def done_words(report: TrainDone) -> str:
    """Return how a training ended, and what is kept of it."""
    if report.source == "interactive":
        return f"Stopped: the quick head that previewed is kept, {_score(report)}"
    if not report.steps:
        return "Stopped before the network had learned anything: no model is kept"
    how = "stopped" if report.stopped else "done"
    return f"Training {how} after {report.steps} steps: {_score(report)}"


def _score(report: TrainDone) -> str:
    return "no score" if report.val_miou is None else f"held-out mIoU {report.val_miou:.3f}"
