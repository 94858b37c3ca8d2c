"""What a wheel carries: the manifest, the samples, the type marker, the licences."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = ("napari_blockseg", "sample_data")
FILES = ("pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE", "NOTICE")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    pytest.importorskip("build")
    source = tmp_path_factory.mktemp("source")
    # a copy, since building leaves its traces beside the sources
    for name in SOURCES:
        leave = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, source / name, ignore=leave)
    for name in FILES:
        shutil.copy(ROOT / name, source / name)
    out = tmp_path_factory.mktemp("dist")
    done = subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", out, source],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = out.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        yield archive


def test_wheel_holds_every_module_and_data_file(wheel):
    names = set(wheel.namelist())
    expected = {"napari_blockseg/napari.yaml", "napari_blockseg/py.typed"}
    for folder, prefix in zip(
        SOURCES, ("napari_blockseg", "napari_blockseg/sample_data"), strict=True
    ):
        for path in (ROOT / folder).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".pyc":
                expected.add(f"{prefix}/{path.relative_to(ROOT / folder).as_posix()}")
    assert expected <= names
    assert not [n for n in names if n.startswith(("tests/", "benchmarks/", "docs/"))]


def test_base_install_has_no_qt_and_all_brings_everything(wheel):
    (name,) = [n for n in wheel.namelist() if n.endswith("METADATA")]
    metadata = Parser().parsestr(wheel.read(name).decode())
    requires = metadata.get_all("Requires-Dist")
    base = [r for r in requires if "extra ==" not in r]
    assert any(r.startswith("napari>=") for r in base)
    assert not [r for r in base if r.lower().startswith(("pyqt5", "pyqt6", "pyside", "napari["))]
    everything = [r for r in requires if 'extra == "all"' in r]
    assert any(r.startswith("napari[all]") for r in everything)
    (own,) = [r for r in everything if r.startswith("napari-blockseg[")]
    for extra in set(metadata.get_all("Provides-Extra")) - {"all"}:
        assert extra in own


def test_licences_travel_along(wheel):
    names = [n.rpartition("/")[2] for n in wheel.namelist() if "/licenses/" in n]
    assert {"LICENSE", "NOTICE"} <= set(names)
