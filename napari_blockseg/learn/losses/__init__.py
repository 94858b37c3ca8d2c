"""What training descends along: losses of labelled cells, and terms for what lies between them."""

from napari_blockseg.learn.losses.balance import class_weights
from napari_blockseg.learn.losses.crf import gated_crf
from napari_blockseg.learn.losses.labelled import SOFT_CELLS, Loss, batch_loss, crop_losses
from napari_blockseg.learn.losses.pseudo import confident_guesses, pseudo_loss, ramp_up
from napari_blockseg.learn.losses.target import Target
from napari_blockseg.learn.losses.terms import ExtraTerms

__all__ = [
    "Loss",
    "Target",
    "SOFT_CELLS",
    "crop_losses",
    "batch_loss",
    "class_weights",
    "gated_crf",
    "confident_guesses",
    "pseudo_loss",
    "ramp_up",
    "ExtraTerms",
]
