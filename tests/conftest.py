"""What every test shares: one Qt binding, a data folder of its own, no widget left behind.

Run with ``-n 2 --dist loadfile``, files go to two processes, each with a display of its own.
"""

from __future__ import annotations

import gc
import os
import shutil
import subprocess
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


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node):
    """Give a process that runs tests beside others a display of its own.

    Keyboard focus and the mouse are one per display. The display belongs to the process that
    hands out the tests, so that it goes even when the one that runs them dies.
    """
    server = shutil.which("Xvfb")
    if server is None:
        return
    read, write = os.pipe()
    screen = ["-displayfd", str(write), "-screen", "0", "1600x1000x24", "-nolisten", "tcp"]
    node.display = subprocess.Popen(
        [server, *screen, "-noreset"], pass_fds=[write], stderr=subprocess.DEVNULL
    )
    os.close(write)
    with os.fdopen(read) as answer:
        node.workerinput["display"] = answer.readline().strip()


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node, error):
    if hasattr(node, "display"):
        node.display.terminate()
        node.display.wait()


def pytest_configure(config):
    display = getattr(config, "workerinput", {}).get("display")
    if display:
        os.environ["DISPLAY"] = f":{display}"
        os.environ.pop("WAYLAND_DISPLAY", None)


def pytest_collection_modifyitems(items):
    """Mark the tests that open windows; run their files last; skip them without a display.

    Last, whatever was asked for first: torch crashes when it is imported after OpenGL was used.
    Whole files, because files are what is handed out; long ones first, so that none is left over.
    """
    no_display = pytest.mark.skip(reason="no display: install xvfb (make system-deps)")
    gui, slow = set(), set()
    for item in items:
        if GUI_FIXTURES & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.gui)
        if item.get_closest_marker("gui"):
            gui.add(item.path)
            if not _has_display():
                item.add_marker(no_display)
        if item.get_closest_marker("slow"):
            slow.add(item.path)
    items.sort(key=lambda item: (item.path in gui, item.path not in slow))


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


@pytest.fixture(scope="session")
def cheap_viewers():
    """Do once what napari does for each viewer, with the same outcome.

    It looks for plugins, and it collects garbage several times; once torch is there each of them
    looks through half a million objects that are never freed.
    """
    import napari._qt.qt_main_window  # noqa: F401
    from npe2 import PluginManifest

    found = list(PluginManifest.discover())
    gc.collect()
    gc.freeze()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PluginManifest, "discover", lambda *args, **kwargs: iter(found))
        yield


@pytest.fixture(autouse=True)
def no_leaked_widgets(request):
    """Fail a test that leaves a widget of ours alive."""
    if not request.node.get_closest_marker("gui"):
        yield
        return
    request.getfixturevalue("cheap_viewers")
    before = _our_widgets()
    yield
    from qtpy.QtCore import QCoreApplication, QEvent

    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    QCoreApplication.processEvents()
    leaked = sorted({type(widget).__name__ for widget in _our_widgets() - before})
    assert not leaked, f"widgets left alive: {', '.join(leaked)}"
