"""The worker client against a fake worker: it must survive whatever the other end does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_blockseg.core.config import NetworkConfig, TrainConfig
from napari_blockseg.core.reports import PredictDone, TrainDone, TrainStep
from napari_blockseg.ui.worker_client import WorkerClient
from napari_blockseg.ui.worker_messages import LineSplitter, WorkerCommand, parse_line

FAKE = Path(__file__).with_name("fake_worker.py")


class Heard:
    """Everything that a client said, in order."""

    def __init__(self, client: WorkerClient) -> None:
        self.reports: list[object] = []
        self.failures: list[tuple[int, str]] = []
        self.notices: list[str] = []
        self.deaths: list[str] = []
        self.states: list[str] = []
        self.statuses: list[str] = []
        client.report_received.connect(lambda number, report: self.reports.append(report))
        client.request_failed.connect(lambda number, text: self.failures.append((number, text)))
        client.noticed.connect(lambda level, text: self.notices.append(text))
        client.died.connect(self.deaths.append)
        client.training_state.connect(lambda number, state: self.states.append(state))
        client.status_changed.connect(self.statuses.append)


@pytest.fixture
def start(qtbot):
    clients = []

    def make(how: str) -> tuple[WorkerClient, Heard]:
        client = WorkerClient(WorkerCommand((sys.executable, str(FAKE), how)))
        clients.append(client)
        return client, Heard(client)

    yield make
    for client in clients:
        process = client._process
        client.close()
        if process is not None:
            process.waitForFinished(5000)


def train(client: WorkerClient) -> int:
    return client.train(Path("p.blockseg"), "run", NetworkConfig(), TrainConfig())


def test_first_request_starts_the_worker_and_reports_come_back_typed(start, qtbot):
    client, heard = start("plain")
    assert client.status == "off"
    train(client)
    qtbot.waitUntil(lambda: len(heard.reports) == 3)
    assert [type(r) for r in heard.reports] == [TrainStep, TrainStep, TrainDone]
    assert heard.reports[0].loss == 1.5
    assert heard.reports[1].loss is None
    assert heard.statuses == ["starting", "ready"]
    assert client.hello["devices"] == ["cpu"]


def test_calls_return_at_once_while_a_slow_worker_starts(start, qtbot):
    client, heard = start("slow")  # it sleeps for a second before it answers
    begin = time.perf_counter()
    train(client)
    client.request("pause")
    assert time.perf_counter() - begin < 0.9
    assert client.status == "starting"
    qtbot.waitUntil(lambda: heard.states == ["paused"])
    assert isinstance(heard.reports[-1], TrainDone)


def test_predict_hands_over_path_and_region(start, qtbot, tmp_path):
    client, heard = start("plain")
    client.predict(tmp_path, "a", "live", "predictions/x.tif", region=(0, 8, 4, 12))
    qtbot.waitUntil(lambda: len(heard.reports) == 2)
    done = heard.reports[-1]
    assert isinstance(done, PredictDone)
    assert (done.path, done.region) == ("predictions/x.tif", (0, 8, 4, 12))


def test_another_protocol_is_refused_with_a_way_out(start, qtbot):
    client, heard = start("mismatch")
    number = train(client)
    qtbot.waitUntil(lambda: bool(heard.deaths))
    assert "protocol 99" in heard.deaths[0]
    assert "Install the same version" in heard.deaths[0]
    assert heard.failures[0][0] == number
    assert client.status == "dead"
    assert client.pid is None


def test_garbage_lines_are_told_and_training_goes_on(start, qtbot):
    client, heard = start("garbage")
    train(client)
    qtbot.waitUntil(lambda: any(isinstance(r, TrainDone) for r in heard.reports))
    assert len(heard.notices) == 2
    assert "Downloading weights" in heard.notices[0]
    assert client.status == "ready"


def test_a_login_banner_before_the_greeting_is_passed_over(start, qtbot):
    client, heard = start("banner")
    client.start()
    qtbot.waitUntil(lambda: client.status == "ready")
    assert heard.notices == []


def test_letters_that_arrive_byte_by_byte_are_whole(start, qtbot):
    client, heard = start("partial")
    train(client)
    qtbot.waitUntil(lambda: any(isinstance(r, TrainDone) for r in heard.reports))
    assert "Zürich ✓ 漢字" in [getattr(r, "message", None) for r in heard.reports]


def test_an_error_ends_its_request_only(start, qtbot):
    client, heard = start("refuse")
    number = train(client)
    qtbot.waitUntil(lambda: bool(heard.failures))
    assert heard.failures == [(number, "No block is labelled. Paint some.")]
    assert client.status == "ready"


def test_death_mid_job_is_told_with_the_last_lines_and_restart_works(start, qtbot):
    client, heard = start("die")
    number = train(client)
    qtbot.waitUntil(lambda: bool(heard.deaths))
    assert "exit code 3" in heard.deaths[0]
    assert "the disk is on fire" in heard.deaths[0]
    assert [n for n, _ in heard.failures] == [number]
    client.command = WorkerCommand((sys.executable, str(FAKE), "plain"))
    client.restart()
    qtbot.waitUntil(lambda: client.status == "ready")
    train(client)
    qtbot.waitUntil(lambda: any(isinstance(r, TrainDone) for r in heard.reports))


@pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX")
def test_kill_is_noticed_and_named(start, qtbot):
    client, heard = start("plain")
    client.start()
    qtbot.waitUntil(lambda: client.status == "ready")
    os.kill(client.pid, signal.SIGKILL)
    qtbot.waitUntil(lambda: bool(heard.deaths))
    assert "signal 9" in heard.deaths[0]
    assert "out of memory" in heard.deaths[0]


def test_a_command_that_does_not_exist_is_named(qtbot):
    client = WorkerClient(WorkerCommand(("no-such-program-here", "worker")))
    heard = Heard(client)
    train(client)
    qtbot.waitUntil(lambda: bool(heard.deaths))
    assert "no-such-program-here worker" in heard.deaths[0]
    assert len(heard.failures) == 1


def test_a_cancelled_request_is_heard_of_no_more(start, qtbot, tmp_path):
    client, heard = start("hang")
    number = client.predict(tmp_path, "a", "live", "x.tif")
    qtbot.waitUntil(lambda: len(heard.reports) == 1)
    client.cancel(number)
    client.request("pause")
    qtbot.waitUntil(lambda: heard.states == ["paused"])
    client.restart()
    assert heard.failures == []


def test_close_ends_the_process_without_a_death_notice(start, qtbot):
    client, heard = start("plain")
    client.start()
    qtbot.waitUntil(lambda: client.status == "ready")
    process = client._process
    client.close()
    assert process.waitForFinished(5000)
    assert heard.deaths == []
    assert client.status == "off"


@pytest.mark.skipif(sys.platform == "win32", reason="kills by signal")
def test_a_killed_gui_takes_its_worker_along(tmp_path):
    """The GUI process is killed; the worker's standard input closes, so it ends by itself."""
    script = f"""
import sys
from qtpy.QtCore import QCoreApplication
from napari_blockseg.ui.worker_client import WorkerClient
from napari_blockseg.ui.worker_messages import WorkerCommand
app = QCoreApplication([])
client = WorkerClient(WorkerCommand((sys.executable, {str(FAKE)!r}, "plain")))
client.status_changed.connect(
    lambda s: s == "ready" and print(client.hello["pid"], flush=True)
)
client.start()
app.exec()
"""
    gui = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    worker = int(gui.stdout.readline())
    assert alive(worker)
    gui.kill()
    gui.wait()
    gui.stdout.close()
    deadline = time.monotonic() + 5
    while alive(worker) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not alive(worker)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(")")[-1].split()[0] != "Z"
    except OSError:
        return False


@given(
    st.lists(st.text(st.characters(blacklist_categories=["Cs", "Cc", "Z"]), min_size=1)), st.data()
)
def test_lines_survive_any_cut(texts, data):
    stream = "".join(text + "\n" for text in texts).encode()
    splitter, lines = LineSplitter(), []
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        lines += splitter.feed(stream[:size])
        stream = stream[size:]
    assert lines == texts


def test_an_endless_line_is_dropped_and_the_next_one_read():
    splitter = LineSplitter(max_line=10)
    assert splitter.feed(b"x" * 50) == []
    assert splitter.feed(b"x" * 50 + b"\nshort\n") == ["short"]


@pytest.mark.parametrize(
    "line", ["", "plain text", "[1]", "3", '{"id": 1}', '{"type": 2}', '{"type": "a", "id": "x"}']
)
def test_what_is_no_message(line):
    assert parse_line(line) is None


def test_paths_are_translated_both_ways():
    command = WorkerCommand(("x",), (("/home/me/data", "/mnt/share"),))
    assert command.to_worker(PurePosixPath("/home/me/data/p.blockseg")) == "/mnt/share/p.blockseg"
    assert command.to_here("/mnt/share/p.blockseg") == Path("/home/me/data/p.blockseg")
    assert command.to_worker("/home/me/database") == "/home/me/database"
    assert command.to_here("/mnt/shared/x") == Path("/mnt/shared/x")


def test_an_application_that_quits_leaves_its_worker_the_time_to_save(tmp_path):
    """The window is closed (the client closes), then the application ends at once."""
    saved = tmp_path / "saved"
    worker = tmp_path / "worker.py"
    worker.write_text(
        "import json, sys, time, pathlib\n"
        "sys.stdin.readline()\n"
        'print(json.dumps({"id": 0, "type": "hello", "protocol": 1}), flush=True)\n'
        "sys.stdin.read()\n"
        "time.sleep(0.5)\n"
        f"pathlib.Path({str(saved)!r}).touch()\n"
    )
    script = f"""
import sys
from qtpy.QtCore import QCoreApplication
from napari_blockseg.ui.worker_client import WorkerClient
from napari_blockseg.ui.worker_messages import WorkerCommand
app = QCoreApplication([])
client = WorkerClient(WorkerCommand((sys.executable, {str(worker)!r})))
client.status_changed.connect(lambda s: s == "ready" and (client.close(), app.quit()))
client.start()
app.exec()
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=30)
    assert saved.exists()
    assert b"Destroyed while process" not in done.stderr


def test_after_the_end_no_request_starts_a_worker(start, qtbot):
    client, heard = start("plain")
    client.close()
    train(client)
    assert client.pid is None
    assert heard.statuses == []
