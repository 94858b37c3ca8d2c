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


def done_words(report: TrainDone, by_head: bool = False) -> str:
    """Return how a training ended; `by_head` where a quick head, which is not kept, previewed."""
    if not report.steps:
        return "Stopped before the network had learned anything: no model is kept"
    how = "stopped" if report.stopped else "done"
    score = "no score" if report.val_miou is None else f"held-out mIoU {report.val_miou:.3f}"
    if by_head:
        score += " of the network, which is kept; the quick head is not kept"
    return f"Training {how} after {report.steps} steps: {score}"
