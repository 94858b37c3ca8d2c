"""What the analysis of a trained network found: frozen results, to and from ``analysis.json``.

Written by ``learn/analysis``, read by the command line's report and by the Spectrum panel. Cutoffs
are in cycles per pixel of the IMAGE (not of the working scale), so that 0.5 / cutoff is a block.
"""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from napari_blockseg.core.atomic import write_json
from napari_blockseg.core.errors import ModelError

ANALYSIS_FILE = "analysis.json"


class _Part(BaseModel):
    # Unknown keys are passed over: a newer version may say more.
    model_config = ConfigDict(frozen=True, extra="ignore")


class LossCurve(_Part):
    """Cross-entropy by frequency, over all images; mean per labelled pixel, in nats.

    ``truncated[i]`` is the sum of the terms with frequency up to ``cutoffs[i]``, which is the
    cross-entropy against labels low-passed there; ``discrepancy`` is ``|truncated - L| / L`` and
    ``discrepancy_of_mean`` is ``(truncated - L) / truncated(0)``, with L = ``cross_entropy``.
    """

    cutoffs: tuple[float, ...]
    truncated: tuple[float, ...]
    cross_entropy: float
    mean_term: float
    discrepancy: tuple[float | None, ...]
    discrepancy_of_mean: tuple[float | None, ...]


class LayerSpectrum(_Part):
    """Share of energy (without DC) below each cutoff, of one layer's activations and gradients.

    ``stride`` is in pixels of the image a cell; shares are null above the layer's own Nyquist
    (0.5 / stride) and where there is no energy. ``truncatable_to`` is the coarsest stride, in
    working pixels a cell, whose band keeps all but the stated loss of energy.
    ``activations_mean`` and ``gradients_mean`` are the shares of all energy that lie in DC, the
    maps' means, which the curves leave out.
    """

    name: str
    stage: str
    stride: float
    cutoffs: tuple[float, ...]
    activations: tuple[float | None, ...]
    gradients: tuple[float | None, ...]
    truncatable_to: int | None = None
    activations_mean: float | None = None
    gradients_mean: float | None = None


class Checkpoint(_Part):
    """One moment of training: 'start', 'early' or 'end'."""

    moment: str
    step: int
    loss: LossCurve
    miou: float | None
    pixel_accuracy: float | None
    layers: tuple[LayerSpectrum, ...] = ()


class TruncationTrial(_Part):
    """The end's weights run with another decoder stride, without retraining.

    ``predicted_loss_of_energy`` is the share of the decoder features' energy that lies above the
    stride's Nyquist: what the truncation throws away.
    """

    decoder_stride: int
    cross_entropy: float
    miou: float | None
    pixel_accuracy: float | None
    predicted_loss_of_energy: float | None


class Analysis(_Part):
    """All that was found about one model.

    ``images`` were looked at, ``crops`` of them as crops because they are large; ``pixels`` of
    them are labelled. ``tolerance`` is the stated loss of energy (0..1) behind ``truncatable_to``.
    ``recommended_stride`` is the coarsest decoder stride at which mIoU falls by at most
    ``miou_tolerance`` and the cross-entropy rises by at most the share
    ``cross_entropy_tolerance``. ``notes`` say what was left out, in words.
    """

    format_version: int = 1
    model: str
    network: str
    encoder: str
    decoder_stride: int
    scale: float
    block: int
    classes: tuple[str, ...]
    images: int
    pixels: int
    truth: str
    tolerance: float
    label_cutoffs: tuple[float, ...]
    label_energy: tuple[float | None, ...]
    checkpoints: tuple[Checkpoint, ...]
    trials: tuple[TruncationTrial, ...]
    recommended_stride: int | None
    reason: str
    crops: int = 0
    miou_tolerance: float | None = None
    cross_entropy_tolerance: float | None = None
    notes: tuple[str, ...] = ()

    @property
    def end(self) -> Checkpoint:
        """The trained model."""
        return self.checkpoints[-1]


def save_analysis(folder: Path, analysis: Analysis) -> Path:
    """Write ``analysis.json`` into a model's folder by rename; return its path."""
    path = folder / ANALYSIS_FILE
    write_json(path, analysis.model_dump(mode="json"))
    return path


def load_analysis(folder: Path) -> Analysis | None:
    """Read a model's analysis; None when there is none.

    Raises
    ------
    ModelError
        If the file is damaged.
    """
    path = folder / ANALYSIS_FILE
    try:
        return Analysis.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (json.JSONDecodeError, UnicodeDecodeError, ValidationError) as error:
        raise ModelError(
            f"{path} is damaged ({type(error).__name__}); delete it and analyse the model again."
        ) from error
