"""What was aimed for, beside what the cells say: reached, not reached, or not known yet."""

from __future__ import annotations

from outcomes import Mean, Study
from plan import BASELINE, CLAIM, DEFAULT, PEERS, Cell, row_cells

#: Share of dense masks' mIoU over resolvable classes: of all blocks, the floor of that, of a tenth.
ALL, FLOOR, TENTH = 1.00, 0.98, 0.95
#: Points of mIoU ahead of peers on camvid: on deep features, on filter features.
OVER_DEEP, OVER_FILTERS = 0.03, 0.20


def targets(study: Study) -> list[str]:
    """Return a line for each target and data set."""
    mine = DEFAULT
    lines = []
    for data, block in CLAIM.items():
        for choice, wanted in (("all", ALL), ("all", FLOOR), ("random10", TENTH)):
            ratio = study.to_dense(Cell(data, block, choice, mine, 0), ratio=True)
            what = f"{data}, blocks of {block}, {choice}: {wanted:.0%} of dense"
            lines.append(_line(what, ratio, wanted))
        some = study.to_dense_of_labelled(Cell(data, block, "random10", mine, 0))
        if some is not None:
            said = f"{some.text()} ({some.n} seeds)"
            lines.append(f"  Over the classes that own 50 of the labelled blocks: {said}")
    for choice in ("all", "random10"):
        ours = Cell("camvid", CLAIM["camvid"], choice, mine, 0)
        for peer in PEERS:
            wanted = OVER_DEEP if "deep" in peer else OVER_FILTERS
            what = f"camvid, {choice}: {wanted:.2f} over {peer}"
            lines.append(_line(what, study.difference(ours, peer), wanted))
    return [*lines, *_losses_to_baseline(study, mine)]


def _line(what: str, found: Mean | None, wanted: float) -> str:
    if found is None:
        return f"- {what}: not known yet"
    if found.mean >= wanted:
        verdict = "reached"
    elif found.half is not None and found.mean + found.half >= wanted:
        verdict = "not reached, though within the interval"
    else:
        verdict = "NOT reached"
    return f"- {what}: {verdict}, {found.text()} ({found.n} seeds)"


def _losses_to_baseline(study: Study, mine: str) -> list[str]:
    """Say on which labels the default recipe is behind the baseline."""
    labels = dict.fromkeys((c.data, c.block, c.choice) for c in row_cells())
    pairs = {
        one: found
        for one in labels
        if (found := study.difference(Cell(*one, mine, 0), BASELINE)) is not None
    }
    if not pairs:
        return [f"- {mine} never behind {BASELINE}: not known yet"]
    behind = [
        f"{', '.join(map(str, one))} {d.text(True)}" for one, d in pairs.items() if d.mean < 0
    ]
    said = "; ".join(behind) or "nowhere"
    return [f"- {mine} behind {BASELINE} ({len(pairs)} of {len(labels)} labels known): {said}"]
