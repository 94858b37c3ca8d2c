"""What README promises is run: its Python as a doctest, its commands on the samples.

An HTML comment before a block of shell says what the test does with it:
`<!-- test: run -->` runs it, `<!-- test: make -->` asks make for its targets, and
`<!-- test: skip, REASON -->` leaves it. Steps and sizes are cut down: what is tested is that the
words work, not the result.
"""

from __future__ import annotations

import doctest
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
BLOCK = re.compile(
    r"(?:^<!-- test: (?P<mark>.*?) -->\n)?^```(?P<language>\w*)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
SHELL = {"", "bash", "console", "sh", "shell"}


class Block(NamedTuple):
    mark: str
    language: str
    text: str


def blocks() -> list[Block]:
    """Return README's fenced blocks, in order."""
    found = BLOCK.finditer(README.read_text(encoding="utf-8"))
    return [Block(b["mark"] or "", b["language"], b["text"]) for b in found]


def shell(mark: str) -> list[str]:
    return [b.text for b in blocks() if b.language in SHELL and b.mark == mark]


def test_every_shell_block_says_how_it_is_tested():
    marks = [b.mark for b in blocks() if b.language in SHELL]
    unmarked = [m for m in marks if not re.fullmatch(r"run|make|skip, .+", m)]
    assert not unmarked
    assert {"run", "make"} <= set(marks)


def test_python_blocks_are_examples_that_hold():
    python = [b.text for b in blocks() if b.language == "python"]
    assert python
    for number, text in enumerate(python):
        assert ">>>" in text, "written as a doctest, so that its results are checked"
        test = doctest.DocTestParser().get_doctest(text, {}, f"README {number}", str(README), 0)
        result = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test)
        assert result.failed == 0


@pytest.mark.skipif(not shutil.which("make"), reason="make is not installed")
@pytest.mark.parametrize("text", shell("make"))
def test_make_knows_the_targets(text):
    for line in text.splitlines():
        command = line.partition("#")[0].split()
        assert command[0] == "make"
        done = subprocess.run(
            [*command, "--dry-run"], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.skipif(sys.platform == "win32", reason="README's commands are for a POSIX shell")
def test_commands_run_on_the_samples(tmp_path):
    shutil.copytree(ROOT / "sample_data", tmp_path / "sample_data")
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    for text in shell("run"):
        script = re.sub(r"--steps \d+", "--steps 1", text)
        script = script.replace("blockseg cost", "blockseg cost --size 64")
        script = "\n".join(
            # a window would wait for someone to close it
            line
            for line in script.splitlines()
            if not line.startswith("blockseg annotate")
        )
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=tmp_path,
            env={**os.environ, "PATH": path},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{script}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"


def test_pictures_and_pages_exist():
    text = README.read_text(encoding="utf-8")
    targets = re.findall(r"\]\((?!https?:|#)([^)#]+)", text)
    targets += re.findall(r'src="(?!https?:)([^"]+)"', text)
    assert targets
    missing = [t for t in targets if not (ROOT / t).exists()]
    assert not missing


def test_every_decision_is_in_the_index():
    folder = ROOT / "docs" / "decisions"
    index = (folder / "README.md").read_text(encoding="utf-8")
    assert not [p.name for p in folder.glob("[0-9]*.md") if f"({p.name})" not in index]
