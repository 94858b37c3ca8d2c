"""What the Paint panel shows while no project is open: the ways in."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QComboBox, QLabel, QPushButton, QVBoxLayout, QWidget

_MAX_UNSAVED = 4


class StartPage(QWidget):
    """Choose an image of the viewer to paint on, open a project, or go on with an unsaved one."""

    #: (layer name) Paint on this image.
    start_requested = Signal(str)
    #: Open a project folder.
    open_requested = Signal()
    #: Make a project from image files.
    new_requested = Signal()
    #: (path) Open this project.
    project_chosen = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._words = QLabel()
        self._words.setWordWrap(True)
        self.images = QComboBox()
        self.images.setToolTip("Image layers of the viewer")
        self.start = QPushButton("Start painting")
        self.start.setToolTip(
            "Make a project for this image in your user folder. It can be named and moved later."
        )
        self.start.clicked.connect(lambda: self.start_requested.emit(self.images.currentText()))
        self.open = QPushButton("Open a project...")
        self.open.setToolTip("Open a folder that ends in .blockseg")
        self.open.clicked.connect(self.open_requested)
        self.new = QPushButton("New project from image files...")
        self.new.setToolTip("Choose images; they stay where they are")
        self.new.clicked.connect(self.new_requested)
        self._unsaved_title = QLabel("Go on with an unsaved project")
        self._unsaved = QVBoxLayout()
        self._build()
        self.set_images([])
        self.set_unsaved([])

    def set_images(self, names: Sequence[str]) -> None:
        """Offer these image layers."""
        chosen = self.images.currentText()
        self.images.clear()
        self.images.addItems(list(names))
        if chosen in names:
            self.images.setCurrentText(chosen)
        self.images.setVisible(bool(names))
        self.start.setVisible(bool(names))
        self._words.setText(
            "Paint square blocks on this image; the network learns from them."
            if names
            else "Open an image first: drop a file into the window, or use File > Open. "
            "File > Open Sample > BlockSeg has painted ones."
        )

    def set_unsaved(self, paths: Sequence[Path]) -> None:
        """Offer these unsaved projects, newest first."""
        while self._unsaved.count():
            button = self._unsaved.takeAt(0).widget()
            button.setParent(None)
            button.deleteLater()
        self._unsaved_title.setVisible(bool(paths))
        for path in paths[:_MAX_UNSAVED]:
            changed = datetime.fromtimestamp(path.stat().st_mtime)
            button = QPushButton(f"{path.stem}   ({changed:%d %b, %H:%M})")
            button.setToolTip(str(path))
            button.clicked.connect(lambda _=False, p=path: self.project_chosen.emit(str(p)))
            self._unsaved.addWidget(button)

    def _build(self) -> None:
        layout = QVBoxLayout(self)
        layout.setContentsMargins(4, 4, 4, 8)
        layout.setSpacing(6)
        layout.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.start.setObjectName("blockseg_primary")
        for widget in (self._words, self.images, self.start):
            layout.addWidget(widget)
        layout.addSpacing(10)
        for widget in (self.open, self.new):
            layout.addWidget(widget)
        layout.addSpacing(10)
        layout.addWidget(self._unsaved_title)
        layout.addLayout(self._unsaved)
