"""The findings as ``--json`` writes them: null where a number is not known, never NaN."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_blockseg.cli.spectrum.findings import Findings

if TYPE_CHECKING:
    from napari_blockseg.cli.spectrum.findings import Row


def to_json(findings: Findings) -> dict[str, Any]:
    """Return the findings as a dict of plain values; NaN becomes null when it is written.

    Notes
    -----
    ``blocks.B.error`` is the expected error of an estimated mIoU; null where it was measured.
    ``unresolved`` names the classes that the recommended block cannot resolve, with the block
    that could. ``curves`` hold the label spectrum: shares of energy below each cutoff (cycles per
    pixel; 0.5 / cutoff is the block size in pixels), with and without the mean (DC).
    """
    from napari_blockseg.core.ceilings import BLOCKS

    known = {int(row.block): row for row in findings.rows}
    advice = findings.advice
    result = {
        "recommended_block": advice.recommended_block,
        "reason": advice.reason,
        "unresolved": dict(advice.unresolved),
        "predictions": [
            {
                "block": one.block,
                "trained_ratio": one.trained_ratio,
                "low": one.low,
                "high": one.high,
            }
            for one in findings.advice.predictions
        ],
        "images": findings.images,
        "skipped": findings.skipped,
        "pixels_used": findings.pixels_used,
        "notes": list(findings.notes),
        "blocks": {
            str(block): _row_json(known.get(block), findings, block)
            for block in sorted({*BLOCKS, *known})
        },
        "curves": _curves_json(findings),
    }
    if findings.block is not None:
        result |= {"estimated_from_block": findings.block}
    return result


def _row_json(row: Row | None, findings: Findings, block: int) -> dict[str, Any]:
    from napari_blockseg.core.ceilings import Ceiling

    measured = row if isinstance(row, Ceiling) else None
    column = _column(findings, block) if measured else None
    return {
        "miou": None if row is None else row.miou,
        "pixel_accuracy": measured.pixel_accuracy if measured else None,
        "energy": measured.energy if measured else None,
        "energy_with_dc": None if column is None else findings.curve.mean_with_dc[column],
        "band_limited_miou": measured.band_limited_miou if measured else None,
        "boundary_f": measured.boundary_f if measured else None,
        "band_limited_boundary_f": measured.band_limited_boundary_f if measured else None,
        "error": None if row is None or isinstance(row, Ceiling) else row.error,
        "classes": {
            info.name: {
                "iou": None if row is None else row.iou[i],
                "energy": measured.class_energy[i] if measured else None,
                "energy_with_dc": None
                if column is None
                else findings.curve.energy_with_dc[i, column],
                "boundary_f": measured.class_boundary_f[i] if measured else None,
                "band_limited_iou": measured.band_limited_iou[i] if measured else None,
                "band_limited_boundary_f": measured.class_band_limited_boundary_f[i]
                if measured
                else None,
                "owned_blocks": None if row is None else row.owned_blocks[i],
            }
            for i, info in enumerate(findings.classes)
        },
    }


def _column(findings: Findings, block: int) -> int | None:
    """Return where the curves pass the Nyquist frequency of a block size."""
    import numpy as np

    places = np.flatnonzero(np.isclose(findings.curve.cutoffs, 0.5 / block, rtol=1e-9))
    return int(places[0]) if places.size else None


def _curves_json(findings: Findings) -> dict[str, Any]:
    curve = findings.curve
    return {
        "cutoffs": curve.cutoffs,
        "coverage": curve.coverage,
        "enough": curve.enough,
        "energy": curve.mean,
        "energy_with_dc": curve.mean_with_dc,
        "classes": {
            info.name: {
                "energy": curve.energy[i],
                "energy_with_dc": curve.energy_with_dc[i],
                "error": curve.error[i],
            }
            for i, info in enumerate(findings.classes)
        },
    }
