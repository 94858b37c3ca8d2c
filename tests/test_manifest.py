"""The plugin manifest: one file, valid, and every command leads somewhere."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import distribution, entry_points
from pathlib import Path

import pytest

import napari_blockseg

npe2 = pytest.importorskip("npe2")

MANIFEST = Path(napari_blockseg.__file__).parent / "napari.yaml"
AT_ROOT = Path(__file__).parents[1] / "napari.yaml"


@pytest.fixture(scope="module")
def manifest():
    return npe2.PluginManifest.from_file(MANIFEST)


def test_root_manifest_is_the_package_manifest():
    # a clone on Windows may hold the link as a text file with the path in it
    text = AT_ROOT.read_text(encoding="utf-8")
    if AT_ROOT.is_symlink():
        assert AT_ROOT.resolve() == MANIFEST.resolve()
        assert not AT_ROOT.readlink().is_absolute()
    else:
        assert text in (MANIFEST.read_text(encoding="utf-8"), "napari_blockseg/napari.yaml")


def test_npe2_validates():
    done = subprocess.run(
        [sys.executable, "-m", "npe2", "validate", "napari-blockseg"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_installed_package_announces_the_manifest():
    (entry,) = [e for e in entry_points(group="napari.manifest") if e.name == "napari-blockseg"]
    assert entry.value == "napari_blockseg:napari.yaml"
    assert distribution("napari-blockseg").version == napari_blockseg.__version__


def test_manifest_names_the_distribution(manifest):
    assert manifest.name == "napari-blockseg"


def test_every_command_leads_to_a_callable(manifest):
    commands = manifest.contributions.commands
    assert commands, "the manifest contributes no command"
    for command in commands:
        assert command.python_name, command.id
        assert callable(npe2.manifest.utils.import_python_name(command.python_name)), command.id


def test_file_patterns_are_only_our_own(manifest):
    # two plugins that claim one pattern make napari ask for every such file
    patterns = {
        p for reader in manifest.contributions.readers or [] for p in reader.filename_patterns
    }
    assert patterns <= {"*.blocks.tif", "*.blockseg"}
