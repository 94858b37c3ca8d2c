"""What long work says while it runs: small frozen reports, to and from one line of JSON.

The command line prints them, the worker sends them, ``metrics.jsonl`` keeps them.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from napari_blockseg.core.atomic import json_text
from napari_blockseg.core.errors import WorkerError
from napari_blockseg.core.stride_choice import StrideChoice


class _Report(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


#: Who predicts in interactive mode: the quick head, or the whole network.
PreviewSource = Literal["interactive", "network"]


class TrainStarted(_Report):
    """Training begins: what it runs on, and why on this decoder stride (None: it was given)."""

    type: Literal["train_started"] = "train_started"
    steps: int | None
    minutes: float | None
    n_images: int
    n_labelled_blocks: int
    n_train_blocks: int
    n_val_blocks: int
    validation: Literal["images", "superblocks", "none"]
    device: str
    scale: float
    decoder_stride: int
    resumed_at: int = 0
    stride_choice: StrideChoice | None = None


class TrainStep(_Report):
    """One optimizer step was taken."""

    type: Literal["train_step"] = "train_step"
    step: int
    steps: int | None
    loss: float | None
    learning_rate: float
    seconds: float
    progress: float = Field(ge=0, le=1)


class Validation(_Report):
    """Held-out blocks were scored; IoU in 0..1, null where nothing could be said.

    In interactive mode ``source`` says whose scores they are, the one that previews, and
    ``other_miou`` is what the other one has on the same blocks; None elsewhere.
    """

    type: Literal["validation"] = "validation"
    step: int
    miou: float | None
    iou: dict[str, float | None]
    pixel_accuracy: float | None
    source: PreviewSource | None = None
    other_miou: float | None = None


class Notice(_Report):
    """Something the user should know while work goes on."""

    type: Literal["notice"] = "notice"
    level: Literal["info", "warning"] = "info"
    message: str


class TrainDone(_Report):
    """Training ended, by itself or stopped; the model is on disk."""

    type: Literal["train_done"] = "train_done"
    steps: int
    seconds: float
    val_miou: float | None
    model: str
    stopped: bool = False
    #: Of an interactive session: what previewed, and is the model.
    source: PreviewSource | None = None


class PredictProgress(_Report):
    """Part of a prediction is done."""

    type: Literal["predict_progress"] = "predict_progress"
    done: int
    total: int
    what: str = "tiles"


class PredictDone(_Report):
    """A prediction is on disk; pixels per class name."""

    type: Literal["predict_done"] = "predict_done"
    path: str | None
    region: tuple[int, int, int, int] | None
    seconds: float
    classes: dict[str, int]


class AnalysisProgress(_Report):
    """Part of an analysis is done; `what` says which: images, or a moment of training."""

    type: Literal["analysis_progress"] = "analysis_progress"
    done: int
    total: int
    what: str


class AnalysisDone(_Report):
    """An analysis is on disk; `path` is relative to the project where there is one."""

    type: Literal["analysis_done"] = "analysis_done"
    path: str
    seconds: float
    recommended_stride: int | None = None


#: How blocks to label next are chosen; `core.suggest.METHODS` says what each goes by.
Method = Literal["diverse", "uncertainty", "random"]


class Suggestion(BaseModel):
    """A block to label: where it is, how much it promises (0 to 1), and why.

    ``index`` is the position of its plane on the image's leading axes.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    image_id: str
    index: tuple[int, ...] = ()
    row: int
    col: int
    score: float
    reason: str


class SuggestDone(_Report):
    """Blocks to label next, the most promising first; `block` is their size in pixels."""

    type: Literal["suggest_done"] = "suggest_done"
    block: int
    seconds: float
    suggestions: tuple[Suggestion, ...]


class InteractivePreview(_Report):
    """A preview of the view is on disk: class values of `region`, to be read once and removed.

    ``seconds`` since the strokes (or the view) that it answers were noticed; ``path`` is relative
    to the project.
    """

    type: Literal["interactive_preview"] = "interactive_preview"
    path: str
    image_id: str
    slice: tuple[int, ...] = ()
    region: tuple[int, int, int, int]
    source: PreviewSource
    seconds: float
    classes: dict[str, int]


class FeaturesDone(_Report):
    """Features of an image are at hand; `computed` of its `tiles` were not there before."""

    type: Literal["features_done"] = "features_done"
    tiles: int
    computed: int
    seconds: float


Report = Annotated[
    TrainStarted
    | TrainStep
    | Validation
    | Notice
    | TrainDone
    | PredictProgress
    | PredictDone
    | AnalysisProgress
    | AnalysisDone
    | SuggestDone
    | InteractivePreview
    | FeaturesDone,
    Field(discriminator="type"),
]
_ADAPTER: TypeAdapter[Any] = TypeAdapter(Report)


def to_json(report: BaseModel) -> str:
    """Return a report as one line of strict JSON (NaN becomes null).

    Examples
    --------
    >>> to_json(Notice(message="halved the batch"))
    '{"type": "notice", "level": "info", "message": "halved the batch"}'
    """
    return json_text(report.model_dump(mode="python"))


def report_from_json(text: str) -> Any:
    """Return the report that :func:`to_json` wrote; unknown keys are passed over.

    Raises
    ------
    WorkerError
        If the line is not JSON or not a report.
    """
    try:
        return _ADAPTER.validate_python(json.loads(text))
    except (json.JSONDecodeError, ValidationError) as error:
        raise WorkerError(
            f"Got {text[:200]!r}; expected one report as a line of JSON. The worker may be of "
            "another version: restart it."
        ) from error
