"""The sentences of the spectrum page, for someone who has not read the paper."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_blockseg.cli.spectrum.findings import GOOD_IOU

if TYPE_CHECKING:
    from napari_blockseg.cli.spectrum import Findings
    from napari_blockseg.cli.spectrum.findings import Row

_FEW_IMAGES = 5

WHAT_IT_IS = (
    "To teach a network which class every pixel belongs to, somebody has to label examples. "
    "Labelling pixel by pixel takes hours. Here one paints blocks instead: squares of b \u00d7 b "
    "pixels that share one class. The larger the blocks, the faster the painting, and the more "
    "detail is lost. This page says how large they may be for these labels."
)
STRIP = (
    "The same labels, pixel by pixel and as blocks in which the most frequent class wins. Checks: "
    "nothing is labelled there."
)
PAINTED_STRIP = (
    "The blocks as they are painted, and on coarser grids, where the class that is painted most in "
    "a block wins. Checks: nothing is painted there."
)
SPECTRUM = (
    "Every label map can be written as a sum of waves, from broad ones (large areas) to fine ones "
    "(thin lines, ragged borders). Blocks of b pixels can only hold waves longer than 2 b. A curve "
    "tells how much of a class's shape, measured as energy, the blocks of a size can hold: high "
    "already at the left means large smooth areas; a curve that rises late means thin or ragged "
    "structures, which need fine blocks. A band around a curve is its standard error."
)
CEILINGS = (
    "IoU is the overlap of two areas divided by their union: 1 is perfect. These are ceilings of "
    "the labels: how well the painted blocks, taken as they are, describe the pixels. A network "
    "trained on them may follow borders better than its labels do, so read them as a comparison "
    "of block sizes, not as the accuracy to come."
)


def heading(findings: Findings) -> str:
    """Return the recommendation as a headline."""
    best = findings.advice.recommended_block
    if best == 1:
        return "Paint single pixels"
    if best is not None:
        return f"Paint blocks of {best} \u00d7 {best} pixels"
    return "Not enough paint yet" if not findings.rows else "No block size fits all that is needed"


def basis(findings: Findings) -> str:
    """Return what the page rests on."""
    images = _count(findings.images, "image", "images")
    if findings.measured:
        return f"Measured on the pixel labels of {images} ({findings.pixels_used:,} pixels)."
    return (
        f"Estimated from painted blocks of {findings.block} \u00d7 {findings.block} pixels in "
        f"{images}; {findings.curve.coverage:.0%} of the blocks are painted."
    )


def facts(findings: Findings) -> list[tuple[str, str, str]]:
    """Return the numbers that matter, as (what, number, explanation)."""
    best = findings.advice.recommended_block
    row = next((row for row in findings.rows if row.block == best), None)
    if best is None or row is None:
        return []
    rows, cols = findings.plane_shape
    blocks = -(-rows // best) * -(-cols // best)
    found = [("Labels for one image", f"{blocks:,} blocks", f"instead of {rows * cols:,} pixels")]
    found.append(_label_fact(findings, row))
    for one in findings.advice.predictions:
        if one.block == best:
            share = f"of what full labels give ({one.low:.0%} to {one.high:.0%})"
            found.append(("A network trained on them", f"{one.trained_ratio:.0%}", share))
    lost = findings.advice.unresolved
    if lost:
        needs = (
            f"{name}: " + ("at no size looked at" if block is None else f"needs {block} px")
            for name, block in lost.items()
        )
        found.append(("Classes they cannot show", str(len(lost)), "; ".join(needs)))
    return found


def _label_fact(findings: Findings, row: Row) -> tuple[str, str, str]:
    from napari_blockseg.core.ceilings import Ceiling

    shown = [
        float(row.iou[i])
        for i in range(len(findings.classes))
        if row.iou[i] >= 0 and not findings.too_few(row, i)
    ]
    mean = f"{sum(shown) / len(shown):.2f}" if shown else "\u2013"
    more = f"over {_count(len(shown), 'class', 'classes')} they can show"
    if not isinstance(row, Ceiling):
        more += f"; estimated, \u00b1 {row.error:.2f}"
    elif row.pixel_accuracy is not None:
        more += f"; {row.pixel_accuracy:.1%} of the pixels right"
    return "Best mean IoU of the labels", mean, more


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"


def which_size(findings: Findings) -> list[tuple[str, list[int]]]:
    """Return groups of classes (indices) by the coarsest size that describes them well."""
    groups: dict[int | None, list[int]] = {}
    for i in range(len(findings.classes)):
        if findings.is_present(i):
            groups.setdefault(findings.coarsest(i), []).append(i)
    finest = findings.rows[0].block if findings.rows else 1
    named = [
        (f"{block} pixels or finer", groups[block])
        for block in sorted((b for b in groups if b is not None), reverse=True)
    ]
    if None in groups:
        named.append((f"finer than {finest} pixels, or more labels", groups[None]))
    return named


WHICH_SIZE = (
    "For each class, the coarsest blocks with which the labels can still reach an IoU of "
    f"{GOOD_IOU:g} for it, and with enough blocks of it to learn from."
)


def how(findings: Findings) -> list[tuple[str, str]]:
    """Return how it was computed, as (name of the quantity, paragraph)."""
    from napari_blockseg.core.advice import MIN_OWNED_BLOCKS, TRAINED_GOAL

    recommendation = (
        "What a network would reach that is trained on blocks of a size, as a share of the mean "
        "IoU that full labels give, is predicted from the mean of the best IoUs over the classes "
        "that the size resolves. The recommended size is the coarsest for which that is at least "
        f"{TRAINED_GOAL:.0%}, unless too many classes are lost there."
    )
    spectrum = (
        "Each class becomes a map of zeros and ones; its two-dimensional Fourier transform gives "
        "the energy of every wave. The curve is the share of that energy, without the mean (DC), "
        "in the square band max(|f_row|, |f_col|) ≤ cutoff. A block of b pixels reaches up to "
        "0.5 / b cycles per pixel, its Nyquist frequency."
    )
    learnable = (
        f"A class can be learned from a block size only if it is the majority of at least "
        f"{MIN_OWNED_BLOCKS} blocks there; the others are greyed, named, and left out of the "
        "recommendation's mean."
    )
    if findings.measured:
        return [
            (
                "Ceilings",
                "Every block gets the class of most of its pixels (block majority; ties go to the "
                "lower class), and the result is compared with the pixel labels: mean IoU over the "
                "classes from the confusion summed over all images, pixel accuracy, and boundary "
                "F-score with a tolerance of 0.75 % of the image diagonal. Unlabelled pixels count "
                "nowhere.",
            ),
            (
                "Band-limited",
                "The same comparison for labels from which every wave above the block's Nyquist "
                "frequency was removed (largest low-passed class map): what a perfectly smooth "
                "description of the same fineness could reach.",
            ),
            ("Label spectrum", spectrum),
            ("Resolvable", learnable),
            ("Recommendation", recommendation),
        ]
    return [
        (
            "Estimated ceilings",
            "Only blocks are painted, so what they do to the pixels is not known. It is estimated "
            "from how often two painted blocks differ, by their distance: the more border a class "
            "has, the more of its pixels a block size gets wrong. The error was measured on data "
            "sets whose pixel labels are known.",
        ),
        (
            "Label spectrum",
            spectrum + " Where blocks are not painted, the spectrum is estimated from pairs of "
            "painted blocks: the autocorrelation of the labels divided by that of the paint, lag "
            "by lag. Bands show the standard error.",
        ),
        ("Resolvable", learnable),
        ("Recommendation", recommendation),
    ]


def distrust(findings: Findings) -> list[str]:
    """Return what a reader should not take at face value."""
    found = []
    if not findings.measured:
        found.append(
            "Everything here is estimated from painted blocks. Where one paints only the insides "
            "of regions and leaves the borders open, it looks better than it is. Anything finer "
            f"than {findings.block} pixels has not been seen at all."
        )
    if not findings.curve.enough:
        found.append("There is very little paint yet: the curves will still move.")
    if findings.images < _FEW_IMAGES:
        found.append(
            f"It rests on {_count(findings.images, 'image', 'images')}: others may differ."
        )
    found.append(
        "The recommendation is a rule fitted on a few kinds of images. For another kind, train "
        "once on the recommended size and once on half of it, and compare."
    )
    found.append(
        "Pixel labels have errors too, most of all at borders. What looks like fine detail may be "
        "the annotator's hand."
    )
    found.append(
        "A class that is rare has an uncertain curve, and a mean over classes weighs it like all "
        "others."
    )
    if findings.skipped:
        found.append(
            f"Skipped: {_count(findings.skipped, 'image', 'images')}, too small, void everywhere, "
            "or not painted."
        )
    return found
