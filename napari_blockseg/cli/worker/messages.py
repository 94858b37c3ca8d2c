"""The requests a worker understands, checked on arrival."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, field_validator

from napari_blockseg.cli.worker.channel import parse_object
from napari_blockseg.core.config import NetworkConfig, PredictConfig, TrainConfig
from napari_blockseg.core.errors import WorkerError
from napari_blockseg.core.reports import Method

PROTOCOL = 1
LIVE = "live"


class _Request(BaseModel):
    # Unknown keys are passed over, so that a newer client of the same protocol is understood.
    model_config = ConfigDict(frozen=True, extra="ignore")

    id: int


def _plain_run(run: str) -> str:
    """Return the name of a run if it can be a folder's; it must not lead anywhere else."""
    if run == LIVE or run.startswith(".") or any(letter in run for letter in '/\\:*?"<>|'):
        raise ValueError(f"a run needs a plain folder name other than {LIVE!r}, got {run!r}")
    return run


class Hello(_Request):
    """The greeting, first of all."""

    type: Literal["hello"]
    protocol: int


class Train(_Request):
    """Train a run of a project."""

    type: Literal["train"]
    project: str
    run: str = Field(min_length=1)
    network: NetworkConfig = NetworkConfig()
    train: TrainConfig = TrainConfig()
    resume: bool = False

    @field_validator("run")
    @classmethod
    def _plain_name(cls, run: str) -> str:
        return _plain_run(run)


class Features(_Request):
    """Make the features of an image, or a region of it, so that `interactive` finds them."""

    type: Literal["features"]
    project: str
    image_id: str
    slice: tuple[int, ...] = ()
    region: tuple[int, int, int, int] | None = None
    network: NetworkConfig = NetworkConfig()
    train: TrainConfig = TrainConfig()


class Interactive(_Request):
    """Preview a view of a project from its strokes as they come, until stopped.

    ``full``: whether the whole network learns behind, into the folder of ``run``.
    """

    type: Literal["interactive"]
    project: str
    run: str = Field(min_length=1)
    image_id: str
    slice: tuple[int, ...] = ()
    region: tuple[int, int, int, int] | None = None
    network: NetworkConfig = NetworkConfig()
    train: TrainConfig = TrainConfig()
    full: bool = True

    @field_validator("run")
    @classmethod
    def _plain_name(cls, run: str) -> str:
        return _plain_run(run)


class Look(_Request):
    """Say what is in view now: the interactive session previews it from now on."""

    type: Literal["view"]
    image_id: str
    slice: tuple[int, ...] = ()
    region: tuple[int, int, int, int] | None = None


class Control(_Request):
    """Pause, resume or stop the training."""

    type: Literal["pause", "resume", "stop"]


class Predict(_Request):
    """Predict one image, or a region (row start, row stop, column start, column stop) of it."""

    type: Literal["predict"]
    project: str
    image_id: str
    model: str
    slice: tuple[int, ...] = ()
    region: tuple[int, int, int, int] | None = None
    out: str
    uncertainty: bool = False
    config: PredictConfig = PredictConfig()

    @field_validator("out")
    @classmethod
    def _inside_the_project(cls, out: str) -> str:
        path = PurePosixPath(out.replace("\\", "/"))
        if path.is_absolute() or ".." in path.parts or path.suffix != ".tif" or ":" in out:
            raise ValueError(f"'out' must be a .tif path inside the project, got {out!r}")
        return str(path)


class Analyse(_Request):
    """Analyse a run of a project on its block labels.

    ``max_images``: look at no more than this many, None for the default; ``layers``: whether to
    look into the layers too, which takes most of the time.
    """

    type: Literal["analyse"]
    project: str
    model: str = Field(min_length=1)
    max_images: int | None = Field(default=None, ge=1)
    layers: bool = True

    @field_validator("model")
    @classmethod
    def _plain_name(cls, model: str) -> str:
        return _plain_run(model)


class Suggest(_Request):
    """Choose the blocks of a project to label next, by a run or the network in training."""

    type: Literal["suggest"]
    project: str
    model: str = Field(min_length=1)
    count: int = Field(default=20, ge=1, le=10_000)
    method: Method = "diverse"


class Cancel(_Request):
    """Give up a predict, analyse or suggest request."""

    type: Literal["cancel"]
    of: int


class Shutdown(_Request):
    """Leave."""

    type: Literal["shutdown"]


Request = Annotated[
    Hello
    | Train
    | Features
    | Interactive
    | Look
    | Control
    | Predict
    | Analyse
    | Suggest
    | Cancel
    | Shutdown,
    Field(discriminator="type"),
]
_ADAPTER: TypeAdapter[Any] = TypeAdapter(Request)


class BadRequestError(WorkerError):
    """A line that is no request; `id` is its number as far as it has one."""

    def __init__(self, message: str, id: int | None = None) -> None:  # noqa: A002
        super().__init__(message)
        self.id = id


def parse_request(line: str) -> Any:
    """Return the request on a line.

    Raises
    ------
    BadRequestError
        If it is not one; the message says what is wrong with it.
    """
    value = parse_object(line)
    if value is None:
        raise BadRequestError(
            f"Got {line[:200]!r}; expected one request as a JSON object on a line."
        )
    try:
        return _ADAPTER.validate_python(value)
    except ValidationError as error:
        number = value.get("id")
        what = "; ".join(
            f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors()
        )
        raise BadRequestError(
            f"Got a request that cannot be used ({what}). Client and worker may be of different "
            "versions: install the same one for both.",
            number if isinstance(number, int) else None,
        ) from error
