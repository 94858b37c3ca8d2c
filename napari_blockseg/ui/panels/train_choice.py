"""Why the network in training has its decoder stride: one line, the rest in its tip."""

from __future__ import annotations

from qtpy.QtWidgets import QLabel, QWidget

from napari_blockseg.core.stride_choice import StrideCandidate, StrideChoice


class ChoiceLabel(QLabel):
    """The choice of a decoder stride; hidden while there is none."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWordWrap(True)
        self.hide()

    def show_choice(self, choice: StrideChoice | None) -> None:
        """Show a choice; None where the user gave the stride."""
        self.setText("" if choice is None else choice.summary)
        self.setToolTip("" if choice is None else tip_of(choice))
        self.setVisible(choice is not None)


def tip_of(choice: StrideChoice) -> str:
    """Return the reason, and a line a stride, as a tip that wraps."""
    lines = [_line(one, choice) for one in choice.candidates]
    return "<br>".join([f"<p>{choice.reason}</p>", *lines])


def _line(one: StrideCandidate, choice: StrideChoice) -> str:
    pixels = f"{one.stride / one.input_scale / (choice.scale or 1.0):g}"
    way = "" if one.way == "area" else f", {one.way}"
    name = one.name if one.verdict else f"stride {one.stride}{way}"
    text = f"{name} (cells of {pixels} pixels of the image): "
    if one is choice.candidates[0]:
        text += "the full grid"
    else:
        text += f"keeps {100 * one.ratio:.1f} % of the mean IoU"
        text += f" (likely {100 * one.low:.0f} to {100 * one.high:.0f} %)"
    if one.verdict:
        return f"<b>{text}</b>" if one.verdict == "chosen" else f"{text}; {one.verdict}"
    chosen = one.stride == choice.stride and choice.way in (None, one.way)
    return f"<b>{text}</b>" if chosen else text
