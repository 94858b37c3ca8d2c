"""The training loop: a generator of reports that stops, and saves, when it is closed."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import torch

from napari_blockseg.core.classes import ClassInfo
from napari_blockseg.core.config import NetworkConfig, TrainConfig
from napari_blockseg.core.errors import ModelError
from napari_blockseg.core.labels import BlockLabels
from napari_blockseg.core.reports import (
    Notice,
    Report,
    TrainDone,
    TrainStarted,
    TrainStep,
    Validation,
)
from napari_blockseg.learn.beginning import (
    beginning_with_shortcut,
    crops_to_look_at,
    settling_norms,
)
from napari_blockseg.learn.checkpoint import (
    Model,
    ModelSpec,
    library_versions,
    load_initial_weights,
    save_model,
)
from napari_blockseg.learn.data import TrainingImage
from napari_blockseg.learn.dataset import Dataset
from napari_blockseg.learn.descent import Descent
from napari_blockseg.learn.devices import free_memory, is_out_of_memory, pick_device
from napari_blockseg.learn.interactive.features import FrozenEncoder
from napari_blockseg.learn.kept import CheckpointKeeper
from napari_blockseg.learn.losses import class_weights
from napari_blockseg.learn.metrics_log import MetricsLog
from napari_blockseg.learn.optim import one_cycle
from napari_blockseg.learn.resume import TrainState, load_state, save_state
from napari_blockseg.learn.strides import new_stride, resumed_stride
from napari_blockseg.learn.validate import validating
from napari_blockseg.nets.build import build_network

ChangedLabels = Callable[[], Mapping[str, BlockLabels]]

VALIDATIONS = 10
_OVER = object()


def train(
    images: Sequence[TrainingImage],
    classes: Sequence[ClassInfo],
    network: NetworkConfig,
    config: TrainConfig,
    *,
    out: Path,
    init: Path | None = None,
    resume: bool = False,
    changed_labels: ChangedLabels | None = None,
    on_model: Callable[[Model], None] | None = None,
    known_models: Sequence[Path] = (),
) -> Generator[Report, None, None]:
    """Train a network on block labels.

    Parameters
    ----------
    images : sequence of TrainingImage
        One block size, one number of channels. May read from disk on access.
    classes : sequence of ClassInfo
        The classes; their order is the order of the logits. Labels with other values count as
        unlabelled.
    network : NetworkConfig
        What to build.
    config : TrainConfig
        How long and how.
    out : Path
        Folder of the model; written while training and at its end.
    init : Path, optional
        A saved model to start from.
    resume : bool
        Go on from what `out` holds. With `steps` on a CPU the end is that of a run that was never
        interrupted.
    changed_labels : callable, optional
        Called before each step; returns the labels that changed since, by image id.
    on_model : callable, optional
        Called once, before the first report, with the live model: its network changes in place with
        every step, so predict with it between two reports.
    known_models : sequence of Path
        Folders of models of the same project, the newest first: where one was analysed, decoder
        stride 'auto' takes what it lost into account.

    Yields
    ------
    Report
        TrainStarted, then TrainStep after every step, with Validation and Notice between, and
        TrainDone at the end. Not asking for the next report pauses; closing the generator stops and
        saves. Whatever is raised after the first step, what was learned until then is saved.

    Raises
    ------
    LabelError
        If nothing is labelled, or only one class.
    ImageError
        If images differ in channels, or hold NaN.
    NetworkError, ModelError
        If the network cannot be built, or `init` or `out` cannot be used.
    """
    training = Training(
        images,
        classes,
        network,
        config,
        out=out,
        init=init,
        resume=resume,
        changed_labels=changed_labels,
        known_models=known_models,
    )
    if on_model is not None:
        on_model(training.live_model())
    yield from training.reports()


class Training:
    """One run of training; :func:`train` is its plain form.

    Beyond the reports it gives the model as it is, between two of them: :meth:`live_model`; and
    turns that are shorter than what a report takes: :meth:`turns`. Parameters as in :func:`train`.
    """

    def __init__(
        self,
        images: Sequence[TrainingImage],
        classes: Sequence[ClassInfo],
        network: NetworkConfig,
        config: TrainConfig,
        *,
        out: Path,
        init: Path | None = None,
        resume: bool = False,
        changed_labels: ChangedLabels | None = None,
        known_models: Sequence[Path] = (),
    ) -> None:
        started = time.perf_counter()
        self._classes = tuple(classes)
        self._config = config
        self._out = Path(out)
        self._changed_labels = changed_labels
        self._notices: list[Notice] = []
        state = load_state(self._out, network, config, self._classes) if resume else None
        if state is not None and config.auto_grids == "all":
            config = self._config = config.model_copy(update={"scale": state.scale})
        self._state = state or TrainState.fresh(config)
        self._device = pick_device(config.device)
        self._data = self._read(images)
        names = [info.name for info in self._classes]
        if state is None or state.network is None:
            self._stride = new_stride(network, config, self._data, names, init, known_models)
            if self._stride.input_scale != 1:
                config = self._shrink(images, self._stride.input_scale)
        else:
            self._stride = resumed_stride(state.network, config, self._out)
        network = self._network_config = self._stride.network
        drawn_until = self._state.torch_rng
        with self._state.own_randomness():
            built = network if state is None else network.model_copy(update={"weights": "none"})
            self._network = build_network(built, len(classes), self._data.n_channels)
        if init is not None and state is None:
            said = load_initial_weights(self._network, classes, self._data.n_channels, init)
            self._note(said)
        self._network.to(device=self._device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        if init is not None or self._network.shortcut is None:
            self._state.begun = True
        self._descent = Descent(self._network, config, self._device)
        self._mean = self._descent.mean
        if state is not None:
            # Weights were drawn anew only to be replaced: that must not move the generator on.
            state.torch_rng = drawn_until
            state.restore(self._network, self._mean.network, self._descent.optimizer)
        self._weigh_classes()
        self._log = MetricsLog(self._out, self._state.step)
        fresh = state is None or not state.begun
        self._keeper = CheckpointKeeper(self._out, config.keep_checkpoints, fresh=fresh)
        self._saved_at = self._state.step
        #: The generators' states before the step that is being taken.
        self._undrawn: tuple[Any, torch.Tensor] | None = None
        self._state.elapsed += time.perf_counter() - started

    def _read(self, images: Sequence[TrainingImage]) -> Dataset:
        state = self._state
        data = Dataset(images, self._classes, self._config, state.rng, state.holdout, self._note)
        state.holdout = data.holdout
        return data

    def _begin(self) -> Iterator[None]:
        """Make the network ready for its first step, piece by piece.

        The crops of the steps are those that come without it; what is broken off begins anew.
        """
        state = self._state
        drawn_until = state.rng.bit_generator.state, state.torch_rng
        try:
            with closing(self._beginning()) as pieces:
                while True:
                    with state.clock(), state.own_randomness():
                        if next(pieces, _OVER) is _OVER:
                            break
                    yield
        finally:
            state.rng.bit_generator.state, state.torch_rng = drawn_until
        self._mean.begin_anew(self._network)
        state.begun = True

    def _beginning(self) -> Generator[None, None, None]:
        """Fit the shortcut to the labels, on norms that have seen them."""
        config, encoder, sampler = self._config, self._network.encoder, self._data.sampler
        yield from settling_norms(encoder, sampler, config.batch_size)
        frozen = FrozenEncoder(encoder, self._network_config, self._device)
        yield from beginning_with_shortcut(self._network, frozen, sampler, crops_to_look_at(config))

    def _shrink(self, images: Sequence[TrainingImage], input_scale: float) -> TrainConfig:
        """Begin anew at a smaller working scale, as if that had been asked for."""
        scale = {"scale": self._data.grid.scale * input_scale}
        self._config = self._config.model_copy(update=scale)
        self._state = TrainState.fresh(self._config)
        self._notices = []
        self._data = self._read(images)
        return self._config

    def live_model(self) -> Model:
        """Return the model as it is now; it changes with the next step."""
        return Model(self._spec(), self._mean.network, self._device)

    @property
    def begun(self) -> bool:
        """Whether the network is ready for its first step; before, it has nothing to say."""
        return self._state.begun

    def reports(self) -> Generator[Report, None, None]:
        """Train, report by report; see :func:`train`."""
        with closing(self.turns()) as turns:
            for report in turns:
                if report is not None:
                    yield report

    def turns(self) -> Generator[Report | None, None, None]:
        """Train, turn by turn, for whoever has others to serve in between.

        Yields
        ------
        Report or None
            The reports of :func:`train`; None after a piece of work that has none: of getting ready
            for the first step, or of scoring. Closing stops and saves at any of them.
        """
        saved = False
        try:
            with closing(self._turns()) as turns:
                for report in turns:
                    if report is not None:
                        self._log.add(report)
                    saved = isinstance(report, TrainDone)
                    yield report
        except GeneratorExit:
            if not saved:
                self._save()
            self._log.flush()
            raise
        except BaseException as error:
            # The error is told of, whatever comes of this.
            with suppress(Exception):
                self._rescue(error)
            raise
        self._log.flush()

    def _turns(self) -> Generator[Report | None, None, None]:
        state, stopped = self._state, False
        if not state.begun:
            yield from self._begin()
        self._keeper.before_training(self._mean.network)
        yield self._train_started()
        last_save = time.perf_counter()
        mark = self._next_mark()
        while self._progress() < 1:
            with self._state.clock():
                self._take_changed_labels()
            yield from self._take_notices()
            if not self._data.sampler.counts.sum():
                stopped = True
                break
            before = self._progress()
            report = self._step()
            self._keeper.after_step(before, self._progress(), state.step, self._mean.network)
            yield from self._take_notices()
            if report is not None:
                yield report
            if self._progress() >= mark and self._progress() < 1:
                yield from self._validate()
                mark = self._next_mark()
            if time.perf_counter() - last_save > self._config.checkpoint_seconds:
                self._save()
                last_save = time.perf_counter()
        yield from self._validate()
        self._save()
        yield TrainDone(
            steps=state.step,
            seconds=state.elapsed,
            val_miou=state.validation.miou if state.validation else None,
            model=str(self._out),
            stopped=stopped,
        )

    def _train_started(self) -> TrainStarted:
        data, config = self._data, self._config
        return TrainStarted(
            steps=config.total_steps,
            minutes=config.minutes,
            n_images=data.n_images,
            n_labelled_blocks=data.n_train_blocks + data.n_val_blocks,
            n_train_blocks=data.n_train_blocks,
            n_val_blocks=data.n_val_blocks,
            validation=data.holdout.kind,
            device=str(self._device),
            scale=data.grid.scale,
            decoder_stride=self._network.decoder_stride,
            resumed_at=self._state.step,
            stride_choice=self._stride.said,
        )

    def _step(self) -> TrainStep | None:
        """Take one step; None when it did not count."""
        state = self._state
        self._undrawn = state.rng.bit_generator.state, state.torch_rng
        with self._state.clock() as spent:
            rate = self._config.learning_rate * one_cycle(self._progress())
            try:
                with self._state.own_randomness():
                    batch = self._data.sampler.draw(state.batch_size)
                    loss = self._descent.step(batch, self._weights, rate, self._progress())
            except (RuntimeError, MemoryError) as error:
                self._halve_batch(error)
                self._undrawn = None
                return None
            self._descent.check(loss)
            state.step += 1
            self._undrawn = None
            self._mean.update(self._network, state.step)
        return TrainStep(
            step=state.step,
            steps=self._config.total_steps,
            loss=loss,
            learning_rate=rate,
            seconds=spent[0],
            progress=min(1.0, self._progress()),
        )

    def _halve_batch(self, error: Exception) -> None:
        if not is_out_of_memory(error):
            raise error
        if self._state.batch_size == 1:
            raise ModelError(
                f"Out of memory on {self._device} with one crop of {self._config.crop} pixels. Use "
                "smaller crops, a lighter network, or another device."
            ) from error
        self._state.batch_size //= 2
        self._descent.forget()
        free_memory(self._device)
        self._note(
            f"Out of memory: going on with {self._state.batch_size} crops a step.", "warning"
        )

    def _validate(self) -> Iterator[Report | None]:
        if not self._data.n_val_blocks:
            return
        steps = validating(self.live_model(), self._data, self._classes, self._state.step)
        found: Validation | None = None
        while found is None:
            with self._state.clock():
                try:
                    next(steps)
                except StopIteration as end:
                    self._state.validation = found = end.value
            yield found

    def _take_changed_labels(self) -> None:
        changed = self._changed_labels() if self._changed_labels else None
        if not changed:
            return
        self._data.update(changed)
        if self._data.sampler.counts.sum():
            self._weigh_classes()
        else:
            self._note(
                "All labels to train on were erased: training ends here and what it learned is "
                "saved. Paint some blocks and resume.",
                "warning",
            )

    def _weigh_classes(self) -> None:
        counts = torch.from_numpy(self._data.sampler.counts)
        self._weights = class_weights(counts, self._config.class_balance).to(self._device)

    def _progress(self) -> float:
        return self._state.progress(self._config)

    def _next_mark(self) -> float:
        """Return the progress at which to validate next."""
        every, steps = self._config.validate_every, self._config.total_steps
        if every and steps:
            return (self._state.step // every + 1) * every / steps
        if every:
            raise ModelError("validate_every counts steps; with minutes leave it at 0.")
        return (int(self._progress() * VALIDATIONS + 1e-9) + 1) / VALIDATIONS

    def _spec(self) -> ModelSpec:
        seen = self._state.validation
        return ModelSpec(
            classes=self._classes,
            network=self._network_config,
            train=self._config,
            normalization=self._data.normalization,
            n_channels=self._data.n_channels,
            block=self._data.block,
            scale=self._data.grid.scale,
            steps=self._state.step,
            seconds=self._state.elapsed,
            n_labelled_blocks=self._data.n_train_blocks + self._data.n_val_blocks,
            val_miou=seen.miou if seen else None,
            val_iou=seen.iou if seen else {},
            val_pixel_accuracy=seen.pixel_accuracy if seen else None,
            versions=library_versions(),
            stride_choice=self._stride.stored,
        )

    def _save(self) -> None:
        save_model(self._out, self._spec(), self._mean.network.state_dict())
        save_state(
            self._out,
            self._state,
            self._network_config,
            self._config,
            self._classes,
            self._network,
            self._mean.network,
            self._descent.optimizer,
        )
        self._saved_at = self._state.step
        self._log.flush()

    def _rescue(self, error: BaseException) -> None:
        """Save what an error would lose; who breaks off with Ctrl-C does not want to wait."""
        try:
            unsaved = self._state.step != self._saved_at
            if unsaved and isinstance(error, Exception) and self._is_finite():
                if self._undrawn is not None:
                    # The step that failed is taken again, with the same crops.
                    self._state.rng.bit_generator.state, self._state.torch_rng = self._undrawn
                self._save()
        finally:
            self._log.flush()

    def _is_finite(self) -> bool:
        """Whether these weights are worth replacing earlier ones."""
        both = (self._network, self._mean.network)
        return all(bool(one.isfinite().all()) for net in both for one in net.state_dict().values())

    def _note(self, message: str, level: str = "info") -> None:
        self._notices.append(Notice.model_validate({"message": message, "level": level}))

    def _take_notices(self) -> Iterator[Notice]:
        taken, self._notices = self._notices, []
        yield from taken
