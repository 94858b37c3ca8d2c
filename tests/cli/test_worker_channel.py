"""How long a worker has to save and leave, by how its input ends."""

from __future__ import annotations

import os
import threading

import pytest

from napari_blockseg.cli.worker import channel


@pytest.fixture
def end_of(monkeypatch):
    """Return a function: the seconds that a worker is given after this input."""

    def seconds(data: bytes) -> float:
        slept, left = [], threading.Event()
        monkeypatch.setattr(channel.time, "sleep", slept.append)
        monkeypatch.setattr(channel.os, "_exit", lambda _code: left.set())
        source, client = os.pipe()
        opened = channel.Channel(source, target=-1)
        os.write(client, data)
        os.close(client)
        assert left.wait(10)
        os.close(source)
        while (line := opened._requests.get(timeout=10)) is not None:
            assert line.startswith("{")
        return slept[0]

    return seconds


def test_a_client_that_is_gone_is_not_waited_for(end_of):
    assert end_of(b'{"id": 1, "type": "train"}\n') == channel.GRACE_SECONDS


def test_who_is_told_to_leave_may_end_its_step_and_save(end_of):
    assert end_of(b'{"id": 1, "type": "train"}\n{"id": 2, "type": "shutdown"}\n') > 30


def test_a_shutdown_that_is_no_request_changes_nothing(end_of):
    name = b'{"id": 1, "type": "train", "run": "shutdown"}\n'
    assert end_of(name) == channel.GRACE_SECONDS
