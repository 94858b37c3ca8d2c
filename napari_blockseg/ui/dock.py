"""The dock: four panels in the order of the work, joined to one session."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.layers import Image
from napari.utils.notifications import show_error
from napari.utils.theme import get_theme
from qtpy.QtCore import QSize, Qt
from qtpy.QtWidgets import (
    QFileDialog,
    QFrame,
    QHBoxLayout,
    QLabel,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from napari_blockseg.core.errors import BlockSegError, ProjectError
from napari_blockseg.ui.brush_link import BrushLink
from napari_blockseg.ui.close_watch import CloseWatch
from napari_blockseg.ui.dialogs import ask
from napari_blockseg.ui.effort_line import EffortLine
from napari_blockseg.ui.jobs import Jobs
from napari_blockseg.ui.new_project import (
    ASK_ABOVE_BYTES,
    SUFFIX,
    LayerImage,
    default_classes,
    unsaved_folder,
    unsaved_projects,
)
from napari_blockseg.ui.overlay import CanvasOverlay
from napari_blockseg.ui.panels.paint import PaintPanel
from napari_blockseg.ui.panels.predict import PredictPanel
from napari_blockseg.ui.panels.spectrum import SpectrumPanel
from napari_blockseg.ui.panels.train import TrainPanel
from napari_blockseg.ui.prediction_layer import NAME as PREDICTION
from napari_blockseg.ui.section import Section
from napari_blockseg.ui.session import Session
from napari_blockseg.ui.style import style_sheet
from napari_blockseg.ui.worker_client import WorkerClient
from napari_blockseg.ui.worker_setting import saved_command

if TYPE_CHECKING:
    import napari

_IMAGE_FILES = "Images (*.tif *.tiff *.png *.jpg *.jpeg)"

#: Characters at the dock's foot; the rest is in its tooltip.
_MOST_SAID = 240


class BlockSegDock(QWidget):
    """Paint, Spectrum, Train and Predict for one viewer.

    Parameters
    ----------
    napari_viewer : napari.Viewer
        The viewer that the dock is in.

    Attributes
    ----------
    session : Session
        The open project.
    paint, spectrum, train, predict : QWidget
        The panels.
    """

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        super().__init__()
        # napari hands plugins a proxy, through which each look at a layer is another object
        self.viewer: napari.Viewer = getattr(napari_viewer, "__wrapped__", napari_viewer)
        self.session = Session(self.viewer, self)
        self.overlay = CanvasOverlay(self.viewer, self)
        self.paint = PaintPanel(self.session)
        self.spectrum = SpectrumPanel(self.session)
        self.train = TrainPanel(self.session)
        self.predict = PredictPanel(self.session)
        self._build()
        self._join()
        self._closed = False
        self._watch = CloseWatch(self)
        self._watch.about_to_close.connect(self.session.flush)
        self._watch.closed.connect(self.close_all)

    def sizeHint(self) -> QSize:  # noqa: N802  (Qt's name)
        """Return a width at which nothing is cut off."""
        return QSize(360, 800)

    # ---- building
    def _build(self) -> None:
        self.setObjectName("blockseg_dock")
        self.setMinimumWidth(320)
        content = QWidget()
        column = QVBoxLayout(content)
        column.setContentsMargins(0, 0, 4, 0)
        column.setSpacing(4)
        self.sections: dict[str, Section] = {}
        panels = (self.paint, self.spectrum, self.train, self.predict)
        for title, panel in zip(("Paint", "Spectrum", "Train", "Predict"), panels, strict=True):
            self.sections[title] = Section(title, panel, expanded=title in ("Paint", "Spectrum"))
            column.addWidget(self.sections[title])
        column.addStretch(1)
        area = QScrollArea()
        area.setWidgetResizable(True)
        area.setFrameShape(QFrame.Shape.NoFrame)
        area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        area.setWidget(content)
        self.status = QLabel("Ready")
        self.status.setObjectName("blockseg_status")
        self.status.setWordWrap(True)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(4, 4, 0, 4)
        layout.setSpacing(2)
        layout.addWidget(area, 1)
        self.effort = EffortLine(self.session)
        below = QHBoxLayout()
        below.addWidget(self.status, 1)
        below.addWidget(self.effort)
        layout.addLayout(below)

    def _join(self) -> None:
        session, paint = self.session, self.paint
        self.brush = BrushLink(session, paint, self.overlay, self)
        self.jobs = Jobs(
            session,
            WorkerClient(saved_command(), self),
            self.train,
            self.predict,
            self.spectrum,
            self,
        )
        self.spectrum.regrid_requested.connect(session.regrid)
        for title, panel in (
            ("Spectrum", self.spectrum),
            ("Train", self.train),
            ("Predict", self.predict),
        ):
            panel.news_changed.connect(self.sections[title].set_news)
        paint.start_requested.connect(self._on_start)
        paint.open_requested.connect(self._on_open)
        paint.new_requested.connect(self._on_new)
        paint.save_as_requested.connect(self._on_save_as)
        paint.project_chosen.connect(session.open_project)
        session.problem.connect(self._on_problem)
        session.notice.connect(self._on_notice)
        session.busy.connect(self._on_busy)
        session.locked.connect(self._on_locked)
        session.saved.connect(lambda image_id: self._say(f"Saved {image_id}"))
        session.project_opened.connect(self._show_name)
        session.project_closed.connect(self._show_name)
        self.viewer.events.theme.connect(self._on_theme)
        for event in (self.viewer.layers.events.inserted, self.viewer.layers.events.removed):
            event.connect(self._show_layers)
        self._on_theme()
        self._show_layers()
        self._show_name()

    # ---- showing
    def _on_theme(self, _event: Any = None) -> None:
        theme = get_theme(self.viewer.theme)
        self.setStyleSheet(style_sheet(theme))
        self.paint.set_icon_color(theme.icon.as_hex())

    def _show_layers(self, _event: Any = None) -> None:
        names = [
            layer.name
            for layer in self.viewer.layers
            if isinstance(layer, Image) and layer.name != PREDICTION
        ]
        self.paint.start_page.set_images(names)

    def _show_name(self) -> None:
        project = self.session.project
        self.sections["Paint"].set_news("" if project is None else project.name)
        if project is None:
            self.paint.start_page.set_unsaved(unsaved_projects())
            self._say("Ready")

    def _say(self, text: str) -> None:
        # What is wrong with several images would push the panels out of the window.
        short = len(text) <= _MOST_SAID
        self.status.setText(
            text if short else f"{text[:_MOST_SAID].rstrip()}… (hover for the rest)"
        )
        self.status.setToolTip("" if short else text)

    def _on_busy(self, what: str) -> None:
        self._say(f"{what}..." if what else "Ready")

    def _on_notice(self, message: str) -> None:
        self._say(message)

    def _on_problem(self, message: str) -> None:
        self._say(message)
        show_error(message)

    # ---- projects
    def _on_start(self, layer_name: str) -> None:
        if layer_name not in self.viewer.layers:
            return
        layer = self.viewer.layers[layer_name]
        try:
            if self._may_copy(LayerImage.of(layer)):
                self.session.start_on_layer(layer)
        except BlockSegError as error:
            self.session.report(error)

    def _may_copy(self, image: LayerImage) -> bool:
        if image.path is not None or image.nbytes <= ASK_ABOVE_BYTES:
            return True
        return ask(
            self,
            f'Copy "{image.name}" into a project?',
            f"It is in memory only ({image.nbytes / 2**20:,.0f} MB), and the network reads images "
            f"from files. The copy goes to {unsaved_folder()}.",
            "Copy",
        )

    def _on_open(self) -> None:
        root = QFileDialog.getExistingDirectory(self, "Open a project (a .blockseg folder)")
        if root:
            self.session.open_project(root)

    def _on_new(self) -> None:
        paths, _ = QFileDialog.getOpenFileNames(self, "Images to paint on", "", _IMAGE_FILES)
        if not paths:
            return
        images = [Path(path) for path in paths]
        name = str(images[0].parent / f"{images[0].parent.name}{SUFFIX}")
        root, _ = QFileDialog.getSaveFileName(self, "Name of the project", name)
        if root:
            self.session.create_project(_with_suffix(root), images, default_classes())

    def _on_save_as(self) -> None:
        project = self.session.project
        if project is None:
            return
        if writing := self.jobs.writing:
            # It would go on where the folder was, and nobody would find what it writes.
            self.session.report(
                ProjectError(
                    f"{writing} is running, and writes into the project's folder. Stop it or wait "
                    "for its end, then move the project."
                )
            )
            return
        name = str(Path.home() / project.root.name)
        root, _ = QFileDialog.getSaveFileName(self, "Move the project to", name)
        if root:
            self.session.save_project_as(_with_suffix(root))

    def _on_locked(self, root: str, message: str) -> None:
        if ask(self, "Take the project over?", message, "Take over"):
            self.session.open_project(root, take_over=True)

    # ---- the end
    def close_all(self) -> None:
        """Save everything, end worker and threads. The dock is of no use afterwards."""
        if self._closed:
            return
        self._closed = True
        self._watch.finish()
        self.viewer.events.theme.disconnect(self._on_theme)
        for event in (self.viewer.layers.events.inserted, self.viewer.layers.events.removed):
            event.disconnect(self._show_layers)
        self.overlay.close()
        self.jobs.close()
        self.spectrum.close_threads()
        self.effort.close_thread()
        self.session.close()


def _with_suffix(root: str) -> Path:
    path = Path(root)
    return path if path.suffix == SUFFIX else path.with_name(path.name + SUFFIX)
