"""Write fitted constants as the module that the plugin imports."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.advice_accuracy.fit import FloatArray
from napari_blockseg.core.advice.curves import CurvePrior
from napari_blockseg.core.advice.model import LossModel

MODULE = Path(__file__).parents[2] / "napari_blockseg" / "core" / "advice" / "constants.py"
_HEAD = '''"""Constants of the estimate, written by benchmarks/advice_accuracy."""

from __future__ import annotations

import numpy as np

from napari_blockseg.core.advice.curves import CurvePrior
from napari_blockseg.core.advice.model import LossModel

'''


def write_constants(prior: CurvePrior, model: LossModel, path: Path = MODULE) -> None:
    """Write `prior` and `model` to the module at `path`."""
    lines = ["CURVE_PRIOR = CurvePrior("]
    for name in ("mean", "spread", "rest", "class_map", "class_spread", "class_rest"):
        value = getattr(prior, name)
        lines.append(f"    {name}={_number(value) if np.isscalar(value) else _array(value)},")
    lines += [")", "", "LOSS_MODEL = LossModel(", "    weights={"]
    lines += [f"        {factor}: {_array(w)}," for factor, w in model.weights.items()]
    lines += ["    },", "    error={"]
    lines += [
        f"        {factor}: ({', '.join(_number(v) for v in pair)}),"
        for factor, pair in model.error.items()
    ]
    path.write_text(_HEAD + "\n".join([*lines, "    },", ")", ""]), encoding="utf-8")


def _number(value: float) -> str:
    return repr(float(f"{value:.4g}"))


def _array(values: FloatArray) -> str:
    return f"np.array({_nested(np.asarray(values))})"


def _nested(values: FloatArray) -> str:
    if values.ndim == 0:
        return _number(float(values))
    return "[" + ", ".join(_nested(value) for value in values) + "]"
