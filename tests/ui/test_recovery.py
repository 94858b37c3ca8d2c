"""napari killed in the middle of a drag: nothing older than a second is lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_blockseg.files.project import Project

SCRIPT = Path(__file__).with_name("paint_until_killed.py")


@pytest.mark.gui
@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
@pytest.mark.parametrize("seconds", [0.6, 3.1])
def test_killed_in_the_middle_of_a_drag(tmp_path, seconds):
    image = tmp_path / "a.tif"
    tifffile.imwrite(image, np.zeros((256, 256), np.uint8), metadata={"axes": "YX"})
    with Project.create(tmp_path / "p.blockseg", [image], ["x", "y"], 16) as project:
        root = project.root
    said, killed_at = paint_and_kill(root, seconds)
    with Project.open(root, write=True) as project:
        labels = project.load_labels("a")
    found = {tuple(cell) for cell in np.argwhere(labels.values).tolist()}
    # A machine that stood still for the painter stood still for the disk thread too.
    stalled = max(np.diff([line["time"] for line in said[1:]]), default=0.0)
    old = [line for line in said if line["time"] <= killed_at - 1.0 - stalled] or said[:1]
    assert labels.grid.block == said[-1]["block"] == 16
    assert found >= {tuple(cell) for cell in old[-1]["cells"]}
    newest = {tuple(cell) for cell in said[-1]["cells"]}
    assert len(found - newest) <= 16, "at most the move after the last word is not known here"
    assert labels.values.max() == 1


def paint_and_kill(root, seconds):
    """Let the painter paint for some seconds, kill it; return what it said, and when it died."""
    process = subprocess.Popen(
        [sys.executable, str(SCRIPT), str(root)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(SCRIPT.parent), "OMP_NUM_THREADS": "1"},
    )
    try:
        said = [json.loads(process.stdout.readline())]
        while time.monotonic() < said[0]["time"] + seconds:
            said.append(json.loads(process.stdout.readline()))
    finally:
        process.send_signal(signal.SIGKILL)
        killed_at = time.monotonic()
    rest = process.stdout.read().splitlines()
    process.wait(10)
    process.stdout.close()
    said += [json.loads(line) for line in rest if line.endswith("}")]
    return said, killed_at
