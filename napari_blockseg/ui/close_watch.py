"""Find out that a dock widget goes away, in whichever way napari lets it go."""

from __future__ import annotations

from qtpy.QtCore import QEvent, QObject, QTimer, Signal
from qtpy.QtWidgets import QApplication, QWidget


class CloseWatch(QObject):
    """Tell when a widget in a dock, or the window around it, is closed.

    napari never sends a close event to the widget in a dock: it takes the widget out of the dock,
    or closes the whole window, or the application ends.

    Parameters
    ----------
    widget : QWidget
        What is watched; also the owner.
    """

    #: The window is asked to close; it may still be kept open.
    about_to_close = Signal()
    #: The widget is gone for good; said once.
    closed = Signal()

    def __init__(self, widget: QWidget) -> None:
        super().__init__(widget)
        self._widget = widget
        self._window: QWidget | None = None
        self._closing = False
        self._done = False
        widget.installEventFilter(self)
        QApplication.instance().aboutToQuit.connect(self.finish)

    def finish(self) -> None:
        """Say `closed`, if it was not said yet."""
        if self._done:
            return
        self._done = True
        QApplication.instance().aboutToQuit.disconnect(self.finish)
        if self._window is not None:
            self._window.removeEventFilter(self)
            self._window = None
        self.closed.emit()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # noqa: N802  (Qt's name)
        """Look at the events of the widget and of its window; swallow none."""
        kind = event.type()
        if kind == QEvent.Type.DeferredDelete:
            self.finish()
        elif watched is self._window and kind == QEvent.Type.Close and not self._done:
            self.about_to_close.emit()
            # a window that does close hides before control comes back, one that is kept does not
            self._closing = True
            QTimer.singleShot(0, self._stop_expecting)
        elif watched is self._window and kind == QEvent.Type.Hide and self._closing:
            self.finish()
        elif watched is self._widget and kind == QEvent.Type.Show:
            self._watch_window()
        elif watched is self._widget and kind == QEvent.Type.ParentChange:
            QTimer.singleShot(0, self._check_parent)
        return False

    def _watch_window(self) -> None:
        window = self._widget.window()
        if window is self._window or window is self._widget:
            return
        if self._window is not None:
            self._window.removeEventFilter(self)
        self._window = window
        window.installEventFilter(self)

    def _stop_expecting(self) -> None:
        self._closing = False

    def _check_parent(self) -> None:
        if self._window is not None and self._widget.parent() is None:
            self.finish()
            self._widget.deleteLater()
