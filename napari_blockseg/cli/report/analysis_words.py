"""The sentences of the analysis page, for someone who has not read the paper."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_blockseg.cli.console import number

if TYPE_CHECKING:
    from napari_blockseg.core.analysis import Analysis

_FEW_IMAGES = 5

WHAT_IT_IS = (
    "A segmentation network decides the class of every pixel, yet it need not compute at every "
    "pixel: its last part, the decoder, works on a grid and the result is enlarged. The decoder "
    "stride says how many pixels lie between two points of that grid. A coarser grid is faster and "
    "needs less memory, but cannot follow fine details. This page measures how much detail the "
    "labels, the loss and the network's layers really contain, and what a coarser grid costs."
)
TRIALS = (
    "The trained network was run again with its decoder on coarser grids, with the same weights "
    "and without training them anew. That is the hard test: a network that is trained at a stride "
    "from the beginning usually does better there."
)
LOSS = (
    "The cross-entropy is what training minimizes. It can be split by frequency: here it is shown "
    "against labels from which everything finer than a block size was removed. Where the curve has "
    "come down to the dashed line, finer details change the loss no more: training does not see "
    "them."
)
DISCREPANCY = (
    "How far the loss without fine details (L\u2032) is from the loss itself (L), in two ways. R "
    "divides by L. It grows by itself when L falls, even where nothing else changes, so never "
    "compare R without looking at L. Divided by the loss's mean term instead, the number keeps its "
    "meaning through training."
)
LAYERS = (
    "Every layer computes maps on a grid of its own. A curve that is high at the left belongs to a "
    "layer that holds mostly broad structures, and could work on a coarser grid. Gradients are "
    "what training sends back through the layer: what they do not contain is not learned. Each "
    "curve ends at the layer's own grid."
)


def heading(analysis: Analysis) -> str:
    """Return the recommendation as a headline."""
    best, now = analysis.recommended_stride, analysis.decoder_stride
    if best is None:
        return "No decoder stride can be recommended"
    if best == now:
        return f"Keep the decoder at stride {now}"
    return f"A decoder stride of {best} is enough"


def basis(analysis: Analysis) -> str:
    """Return what was analysed, and on what."""
    return (
        f"Model {analysis.model}: {analysis.network} on {analysis.encoder}, decoder stride "
        f"{analysis.decoder_stride}. Looked at {analysis.images} image(s) with "
        f"{analysis.pixels:,} labelled pixels: {analysis.truth}."
    )


def facts(analysis: Analysis) -> list[tuple[str, str, str]]:
    """Return the numbers that matter, as (what, number, explanation)."""
    end = analysis.end
    labels = "single pixels" if analysis.block == 1 else f"blocks of {analysis.block} px"
    found = [
        ("Trained on", labels, f"at {analysis.scale:g} of the image's size"),
        ("Cross-entropy", number(end.loss.cross_entropy), f"at step {end.step}, the end"),
    ]
    if end.miou is not None:
        accuracy = f"{end.pixel_accuracy:.1%} of the pixels right" if end.pixel_accuracy else ""
        found.append(("Mean IoU", number(end.miou), accuracy))
    return found


def how(analysis: Analysis) -> list[tuple[str, str]]:
    """Return how it was computed, as (name of the quantity, paragraph)."""
    return [
        (
            "Cross-entropy by frequency",
            "The sum over pixels of the cross-entropy equals the sum over frequencies f of "
            "conj(b_c(f)) (yp(f) - y_c(f)) / P over all classes c, with the Fourier transforms of "
            "the labels b, of the logits y, and of their log-sum-exp yp, for P pixels. Summing "
            "only inside a square band gives the loss against labels low-passed there, exactly.",
        ),
        (
            "Discrepancy",
            "R(cutoff) = |L\u2032 - L| / L, and (L\u2032 - L) / L\u2032(0) with the mean term "
            "L\u2032(0), the loss against each class's share of the image.",
        ),
        (
            "Layers",
            "Energy of the Fourier transforms of activations and of the loss's gradients, without "
            "the mean (DC), in the square band max(|f_row|, |f_col|) \u2264 cutoff; summed over "
            "channels and images. \u2018Could be cut to\u2019 is the coarsest stride whose band "
            f"loses at most {analysis.tolerance:.1%} of the activations' energy.",
        ),
        (
            "Cutoffs",
            "In cycles per pixel of the image. A grid of b pixels a cell reaches up to 0.5 / b, so "
            "every cutoff is written as the block size that resolves it.",
        ),
    ]


def distrust(analysis: Analysis) -> list[str]:
    """Return what a reader should not take at face value."""
    found = [
        "The trials use weights that were trained at another stride. They show where a network "
        "starts to suffer, not what it could learn to do.",
        "Share of energy is no share of accuracy: a layer may need the little energy that a "
        "coarser grid would drop.",
        "Differences of mean IoU below about 0.01 come and go with the seed of a training.",
    ]
    if analysis.images < _FEW_IMAGES:
        found.append(f"It rests on {analysis.images} image(s): others may differ.")
    if analysis.crops:
        found.append(f"{analysis.crops} large image(s) were looked at in part only.")
    if len(analysis.checkpoints) == 1:
        found.append("Only the end of training was kept, so nothing is said about its course.")
    return found
