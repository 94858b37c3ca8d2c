"""The page of a recorded run: a handful of its pictures, its times and scores."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np

#: Of what happens, this is shown: a picture that was taken soon after.
STORY = ("5 strokes", "10 strokes", "20 strokes", "preview", "5 corrections", "better preview")
SIZE, COLORS = (1300, 860), 256


class Record(Protocol):
    """What was noted during a run; times in seconds since the image was open."""

    about: dict[str, Any]
    pictures: list[tuple[float, np.ndarray]]
    events: list[dict[str, Any]]


def miou(mask: np.ndarray, preview: np.ndarray) -> float | None:
    """Return the mean IoU over the classes of the mask, 0 in it counting for nothing."""
    known = mask > 0
    values = np.unique(mask[known])
    ious = [
        np.count_nonzero(known & (mask == v) & (preview == v))
        / np.count_nonzero(known & ((mask == v) | (preview == v)))
        for v in values
    ]
    return round(float(np.mean(ious)), 4) if ious else None


def write(run: Record, out: Path, seed: int) -> dict[str, Any]:
    """Write the pictures that tell the story, run.json and README.md; return what run.json says."""
    out.mkdir(parents=True, exist_ok=True)
    for old in out.glob("[0-9]_*.png"):
        old.unlink()
    kept = []
    for number, (seconds, what, picture) in enumerate(story(run), start=1):
        name = f"{number}_{what.replace(' ', '_')}.png"
        save_small(picture, out / name)
        kept.append({"picture": name, "seconds": round(seconds, 1), "what": what})
    found = {**summary(run), "seed": seed, "machine": machine(), "pictures": kept}
    found["events"] = run.events
    (out / "run.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    (out / "README.md").write_text(words(found), encoding="utf-8")
    print(words(found))
    return found


def update_readme(path: Path, found: dict[str, Any]) -> None:
    """Say what came of the run between two marks of a README."""
    before, after = found["before"], found["after"]
    first, last = "<!-- recorded run -->", "<!-- recorded run ends -->"
    head, _, rest = path.read_text(encoding="utf-8").partition(first)
    _, _, tail = rest.partition(last)
    score = "miou_of_unpainted_pixels"
    said = (
        f"A simulated annotator in real napari, interactive mode, {found['machine']['cores']} core"
        f"{'s' * (found['machine']['cores'] != 1)}: {found['strokes']} strokes\n"
        f"({before['seconds']:.0f} s) give a preview of mIoU {before[score]:.2f} where nothing is "
        f"painted; {found['corrections']} strokes where it is wrong make it\n"
        f"{after[score]:.2f} (at {after['seconds']:.0f} s). "
        "[All pictures, times and the command](docs/recorded_run/README.md).\n"
    )
    path.write_text(f"{head}{first}\n{said}{last}{tail}", encoding="utf-8")


def story(run: Record) -> list[tuple[float, str, np.ndarray]]:
    """Return (seconds, what, picture): the first one, and those of `STORY`."""
    found = [(run.pictures[0][0], "open", run.pictures[0][1])]
    for event in run.events:
        later = [one for one in run.pictures if one[0] >= event["seconds"]]
        if event["what"] in STORY and later:
            found.append((later[0][0], event["what"], later[0][1]))
    return found


def save_small(picture: np.ndarray, path: Path) -> None:
    """Save a screenshot, smaller and in few colors."""
    from PIL import Image

    image = Image.fromarray(np.ascontiguousarray(picture[..., :3]))
    image.thumbnail(SIZE, Image.Resampling.LANCZOS)
    # the octree keeps the few pixels of a class's color, the median cut does not
    few = image.quantize(COLORS, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    few.save(path, optimize=True)


def summary(run: Record) -> dict[str, Any]:
    """Return what the run is about: seconds and scores at its turning points."""
    by_name = {one["what"]: one for one in run.events}
    before, after = by_name["preview"], by_name["better preview"]
    keys = ("seconds", "miou", "miou_of_unpainted_pixels")
    return {
        **run.about,
        "corrections": sum("corrections" in one["what"] for one in run.events),
        "before": {key: before[key] for key in keys},
        "after": {key: after[key] for key in keys},
    }


def machine() -> dict[str, Any]:
    """Return where it ran, and how busy the machine was."""
    usable: Callable[[int], set[int]] | None = getattr(os, "sched_getaffinity", None)
    return {
        "system": platform.system(),
        "cores": len(usable(0)) if usable else os.cpu_count(),
        "load": [round(one, 1) for one in os.getloadavg()] if hasattr(os, "getloadavg") else None,
    }


def words(found: dict[str, Any]) -> str:
    """Return the run as a page."""
    before, after, machine = found["before"], found["after"], found["machine"]
    lines = [
        "# A recorded run",
        "",
        f"Real napari on the sample {found['sample']}, nothing painted at first, in interactive",
        f"mode. A simulated annotator paints {found['strokes']} strokes with the mouse, waits for",
        f"the preview, then paints {found['corrections']} strokes where it is wrong.",
        "",
        "| | seconds | mIoU of the preview | of pixels that are not painted |",
        "|---|---|---|---|",
        _row(f"preview after {found['strokes']} strokes", before),
        _row(f"after {found['corrections']} more where it was wrong", after),
        "",
        "mIoU is against the sample's dense mask; seconds count from the open image, mouse and",
        f"waits included. Cores: {machine['cores']}, load of the machine {machine['load']}, seed "
        f"{found['seed']}. All times and scores",
        f"are in [run.json](run.json). Again: `{found['command']}`.",
        "",
    ]
    for one in found["pictures"]:
        lines += [f"**{one['seconds']:.0f} s: {one['what']}**", ""]
        lines += [f"![The window, {one['what']}]({one['picture']})", ""]
    return "\n".join(lines)


def _row(what: str, scores: dict[str, Any]) -> str:
    return (
        f"| {what} | {scores['seconds']:.0f} | {scores['miou']:.3f} | "
        f"{scores['miou_of_unpainted_pixels']:.3f} |"
    )
