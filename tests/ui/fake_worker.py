"""A stand-in for the worker: what it does is named by its first argument. Imports nothing heavy."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

trainings: list[int] = []


def say(**message: object) -> None:
    sys.stdout.buffer.write(json.dumps(message, ensure_ascii=False).encode() + b"\n")
    sys.stdout.buffer.flush()


def raw(data: bytes) -> None:
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def greet(protocol: int = 1) -> None:
    say(id=0, type="hello", protocol=protocol, version="0.0", pid=os.getpid(), devices=["cpu"])


def serve(how: str) -> None:
    for line in sys.stdin:
        request = json.loads(line)
        number, kind = request["id"], request["type"]
        if kind == "hello":
            if how == "slow":
                time.sleep(1.0)
            if how == "banner":
                raw(b"Welcome to gpu-host!\n")
            greet(99 if how == "mismatch" else 1)
        elif kind == "train":
            trainings.append(number)
            train(how, number)
        elif kind == "predict" and how == "no-model":
            say(id=number, type="error", message="The model is damaged.", kind="ModelError")
        elif kind == "predict" and how == "die":
            os._exit(3)
        elif kind == "predict":
            write_mask(request)
            say(id=number, type="predict_progress", done=1, total=2)
            if how != "hang":
                say(
                    id=number,
                    type="predict_done",
                    path=request["out"],
                    region=request["region"],
                    seconds=0.1,
                    classes={"sky": 4},
                )
        elif kind == "analyse":
            analyse(how, request)
        elif kind == "suggest":
            suggest(how, request)
        elif kind == "interactive":
            trainings.append(number)
            project = request["project"]
            preview(number, project, request)
        elif kind == "view":
            say(id=number, type="state", state="training")
            preview(trainings[-1], project, request)
        elif kind in ("pause", "resume", "stop"):
            states = {"pause": "paused", "resume": "training", "stop": "idle"}
            say(id=number, type="state", state=states[kind])
            if kind == "stop" and trainings:
                say(
                    id=trainings.pop(),
                    type="train_done",
                    steps=2,
                    seconds=1.0,
                    val_miou=0.5,
                    model="models/run",
                    stopped=True,
                )
        elif kind == "shutdown":
            say(id=number, type="bye")
            return


def write_mask(request: dict) -> None:
    """Publish a mask of the asked size, all of class 2."""
    import numpy as np
    import tifffile

    row0, row1, col0, col1 = request["region"] or (0, 640, 0, 640)
    path = Path(request["project"]) / request["out"]
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, np.full((row1 - row0, col1 - col0), 2, np.uint8))
    if request["uncertainty"]:
        unsure = np.tile(np.linspace(0, 1, col1 - col0, dtype=np.float32), (row1 - row0, 1))
        tifffile.imwrite(path.with_suffix(".uncertainty.tif"), unsure)


def suggest(how: str, request: dict) -> None:
    """Choose the blocks that a test has put beside the project."""
    number = request["id"]
    if how == "no-model":
        say(id=number, type="error", message="The model is damaged.", kind="ModelError")
        return
    say(id=number, type="predict_progress", done=1, total=2, what="images")
    if how == "hang":
        return
    found = json.loads((Path(request["project"]) / "suggestions.json").read_text(encoding="utf-8"))
    blocks = found["suggestions"][: request["count"]]
    say(id=number, type="suggest_done", block=found["block"], seconds=0.1, suggestions=blocks)


def preview(number: int, project: str, request: dict) -> None:
    """Preview a view, all of class 2; the steps of the network behind have no end."""
    name = f"cache/preview-{request['image_id']}-{request['id']}.tif"
    write_mask({**request, "project": project, "out": name, "uncertainty": False})
    say(
        id=number,
        type="interactive_preview",
        path=name,
        image_id=request["image_id"],
        slice=request["slice"],
        region=request["region"],
        source="interactive",
        seconds=0.4,
        classes={"sky": 0, "road": 4},
    )
    step = {"type": "train_step", "steps": None, "learning_rate": 0.1, "seconds": 0.1}
    say(id=number, step=1, loss=1.5, progress=0.0, **step)


def analyse(how: str, request: dict) -> None:
    """Measure a made-up loss of every image, in two steps."""
    number = request["id"]
    if how == "no-model":
        say(id=number, type="error", message="The model is damaged.", kind="ModelError")
        return
    say(id=number, type="analysis_progress", done=1, total=2, what="images")
    if how == "hang":
        return
    if how == "die":
        os._exit(3)
    folder = Path(request["project"]) / "models" / request["model"]
    loss = {
        "cutoffs": [0.001, 0.01, 0.03, 0.5],
        "truncated": [0.9, 0.8, 0.5, 0.4],
        "cross_entropy": 0.4,
        "mean_term": 0.9,
        "discrepancy": [None] * 4,
        "discrepancy_of_mean": [None] * 4,
    }
    moment = {"moment": "end", "step": 9, "loss": loss, "miou": None, "pixel_accuracy": None}
    analysis = {
        "model": request["model"],
        "network": "deeplabv3plus",
        "encoder": "fake",
        "decoder_stride": 4,
        "scale": 1.0,
        "block": 16,
        "classes": ["sky", "road", "tree"],
        "images": 2,
        "pixels": 100,
        "truth": "block labels",
        "tolerance": 0.01,
        "label_cutoffs": [],
        "label_energy": [],
        "checkpoints": [moment],
        "trials": [],
        "recommended_stride": None,
        "reason": "",
    }
    (folder / "analysis.json").write_text(json.dumps(analysis), encoding="utf-8")
    path = f"models/{request['model']}/analysis.json"
    say(id=number, type="analysis_done", path=path, seconds=0.1)


def train(how: str, number: int) -> None:
    step = {"type": "train_step", "steps": 4, "learning_rate": 0.1, "seconds": 0.1}
    say(id=number, step=1, loss=1.5, progress=0.25, **step)
    if how == "die":
        sys.stderr.write("first\nRuntimeError: the disk is on fire\n")
        sys.stderr.flush()
        os._exit(3)
    if how == "garbage":
        raw(b'Downloading weights... 100%\n{"type": 3}\n')
    if how == "partial":
        text = json.dumps(
            {"id": number, "type": "notice", "message": "Zürich ✓ 漢字"}, ensure_ascii=False
        )
        for byte in text.encode() + b"\n":
            raw(bytes([byte]))
            time.sleep(0.002)
    if how == "long":
        return  # a training that goes on until it is stopped
    if how == "refuse":
        say(id=number, type="error", message="No block is labelled. Paint some.", kind="LabelError")
        return
    say(id=number, step=4, loss=None, progress=1.0, **step)
    say(id=number, type="train_done", steps=4, seconds=1.0, val_miou=None, model="models/run")


if __name__ == "__main__":
    serve(sys.argv[1])
