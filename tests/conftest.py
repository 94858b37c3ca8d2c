"""What every test shares: one Qt binding, a data folder of its own, no widget left behind."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec

import pytest
from hypothesis import HealthCheck, settings

# napari (through qtpy) and pytest-qt each choose a binding by themselves, and not the same one.
os.environ.setdefault("QT_API", "pyqt6" if find_spec("PyQt6") else "pyside6")
os.environ.setdefault("PYTEST_QT_API", os.environ["QT_API"])

# The order of sums depends on the number of threads; several test processes share few cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Examples that depend on the machine's load would fail where nothing is wrong.
settings.register_profile(
    "shared",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize=bool(os.environ.get("CI")),
)
settings.load_profile("shared")

GUI_FIXTURES = {"qtbot", "qapp", "make_napari_viewer", "make_napari_viewer_proxy"}


def _has_display() -> bool:
    on_x11 = sys.platform.startswith("linux")
    return not on_x11 or any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))


def pytest_collection_modifyitems(items):
    """Mark the tests that open windows; run them last; skip them where there is no display.

    Last, whatever was asked for first: torch crashes when it is imported after OpenGL was used.
    """
    no_display = pytest.mark.skip(reason="no display: install xvfb (make system-deps)")
    for item in items:
        if GUI_FIXTURES & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.gui)
        if item.get_closest_marker("gui") and not _has_display():
            item.add_marker(no_display)
    items.sort(key=lambda item: item.get_closest_marker("gui") is not None)


@pytest.fixture(autouse=True)
def own_data_folder(tmp_path_factory, monkeypatch):
    """Keep projects that painting makes by itself out of the user's own data folder."""
    if sys.platform.startswith("linux"):
        monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path_factory.mktemp("data")))


def _our_widgets() -> set:
    qt = sys.modules.get("qtpy.QtWidgets")
    if qt is None or qt.QApplication.instance() is None:
        return set()
    return {
        w for w in qt.QApplication.allWidgets() if type(w).__module__.startswith("napari_blockseg")
    }


@pytest.fixture(autouse=True)
def no_leaked_widgets(request):
    """Fail a test that leaves a widget of ours alive."""
    if not request.node.get_closest_marker("gui"):
        yield
        return
    before = _our_widgets()
    yield
    from qtpy.QtCore import QCoreApplication, QEvent

    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    QCoreApplication.processEvents()
    leaked = sorted({type(widget).__name__ for widget in _our_widgets() - before})
    assert not leaked, f"widgets left alive: {', '.join(leaked)}"
