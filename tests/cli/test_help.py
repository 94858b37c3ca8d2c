"""The entry point: help, exit codes, errors in one line."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

import napari_blockseg.cli.main as main_module
from napari_blockseg.core.errors import ModelError

COMMANDS = (
    *("demo", "annotate", "new", "simulate", "spectrum", "train", "analyse"),
    *("truncate", "predict"),
    *("suggest", "effort"),
    *("evaluate", "cost", "export", "worker"),
)
HEAVY = {"torch", "torchvision", "timm", "napari", "qtpy", "scipy", "numpy", "tifffile", "PIL"}


def test_help_lists_every_command_and_nothing_unfinished(run):
    out = run("--help", own_process=True).out
    listed = [line.split()[0] for line in out.split("Commands:")[1].splitlines() if line.strip()]
    assert [name for name in listed if name != "Example:"] == list(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_help_has_an_example_of_itself(run, command):
    assert f"blockseg {command}" in run(command, "--help").out.split("Example:")[1]


def test_usage_says_what_new_needs_and_hides_what_is_hidden(run):
    usage = run("new", "--help").out.split("Create a project")[0]
    needed = "new PROJECT --images DIR|FILE... (--classes A,B,C | --classes-json FILE) [OPTIONS]"
    # Where a line is broken, also after a hyphen, depends on the width of the terminal.
    assert "".join(usage.split()).endswith("".join(needed.split()))
    assert "predict MODEL IMAGES... [OPTIONS]" in run("predict", "--help").out


def test_help_imports_nothing_heavy():
    """This is why it answers in half a second."""
    code = (
        "import sys\n"
        "sys.argv = ['blockseg', '--help']\n"
        "from napari_blockseg.cli.main import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print('LOADED', *{name.split('.')[0] for name in sys.modules})\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split("LOADED")[1].split())
    assert "typer" in loaded
    assert not HEAVY & loaded


def test_help_takes_a_few_times_as_long_as_python_alone():
    def seconds(*args: str) -> float:
        before = os.times()
        subprocess.run([sys.executable, *args], capture_output=True, check=True)
        after = os.times()
        return after.children_user - before.children_user

    alone = min(seconds("-c", "import json, typing, inspect") for _ in range(3))
    assert min(seconds("-m", "napari_blockseg", "--help") for _ in range(3)) < 15 * max(alone, 0.02)


@pytest.mark.parametrize(
    "args",
    [
        ("nonsense",),
        ("train",),
        ("train", "p", "--steps", "3", "--minutes", "1"),
        ("train", "p", "--decoder-stride", "5"),
        ("train", "p", "--steps", "none"),
        ("train", "p", "--scale", "large"),
        ("predict", "model"),
        ("predict", "model", "image.png"),
        ("predict", "model", "image.png", "--out", "x", "--tile", "100"),
        ("evaluate", "--masks", "x"),
        ("analyse", "model"),
        ("analyse", "model", "project", "--images", "0"),
        ("analyse", "model", "project", "--tolerance", "1"),
        ("cost", "--size", "3"),
        ("cost", "--network", "unet"),
        ("export", "model"),
        ("suggest", "model"),
        ("effort",),
        ("suggest", "model", "project", "--method", "best"),
        ("suggest", "model", "project", "--count", "0"),
    ],
)
def test_wrong_use_is_exit_code_2(run, args):
    assert "Usage:" in run(*args, expect=2, own_process=args[0] == "nonsense").err


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("new", "p", "--images", ".", "--classes", "a", "--block", "0"), "--block"),
        (("new", "p", "--images", ".", "--classes", "a", "--block", "x"), "--block"),
        (("simulate", "p", "--masks", "m", "--policy", "foo"), "'majority', 'pure'."),
        (("train", "p", "--batch-size", "0"), "Got --batch-size 0; expected a whole number of at"),
        (("train", "p", "--steps", "2", "--minutes", "1"), "Got --steps 2, --minutes 1; give eith"),
        (("new", "p", "--images", ".", "--classes", "a", "b"), "--classes A,B,C"),
        (("new", "p", "--images", ".", "--classes", "a,b", "--axes", "QQ"), 'Got axes "QQ"; exp'),
    ],
)
def test_wrong_values_are_said_in_plain_words(run, args, said):
    done = " ".join(run(*args, expect=2).err.split())
    assert said in done
    assert "Value error" not in done
    assert "Input should" not in done
    assert args[-1] in done.split("Error: ")[1]


@pytest.mark.parametrize(
    "args",
    [
        ("train", "nowhere"),
        ("spectrum", "nowhere"),
        ("simulate", "nowhere", "--masks", "nowhere"),
        ("annotate", "nowhere"),
        ("predict", "nowhere", "nowhere.png", "--out", "x"),
        ("evaluate", "--predictions", "nowhere", "--masks", "nowhere"),
        ("analyse", "nowhere", "nowhere"),
        ("cost", "--encoder", "no_such_encoder"),
        ("export", "nowhere", "--out", "m.onnx"),
        ("suggest", "nowhere", "nowhere"),
        ("effort", "nowhere"),
        ("demo", "--sample", "no_such_sample"),
    ],
)
def test_failure_is_exit_code_1_and_one_line(run, args, tmp_path):
    done = run(*args, expect=1, own_process=args[0] == "spectrum")
    assert done.err.startswith("error: ")
    assert len(done.err.splitlines()) == 1


@pytest.mark.parametrize(
    ("args", "wanted"),
    [
        (("spectrum", "p", "--report"), "folder"),
        (("predict", "m", "i", "--out"), "folder"),
        (("analyse", "m", "p", "--report"), "folder"),
        (("demo", "--out"), "folder"),
        (("train", "p", "--out"), "folder"),
        (("truncate", "m", "--decoder-stride", "8", "--out"), "folder"),
        (("export", "m", "--out"), "file to write"),
        (("effort", "p", "--csv"), "file to write"),
        (("spectrum", "p", "--json"), "file to write"),
    ],
)
def test_what_cannot_be_written_is_said_before_the_work(run, tmp_path, args, wanted):
    (tmp_path / "a_file").write_text("")
    (tmp_path / "a_folder").mkdir()
    wrong, kind = ("a_file", "file") if wanted == "folder" else ("a_folder", "folder")
    said = run(*args, tmp_path / wrong, expect=1).err
    told = (
        f"Got {args[-1]} {tmp_path / wrong}, which is a {kind}; expected a {wanted}. Give another"
    )
    assert said == f"error: {told} path.\n"
    said = run(*args, tmp_path / "a_file" / "below", expect=1).err
    assert f"below, which lies in the file {tmp_path / 'a_file'}; expected a folder" in said


def test_a_folder_that_cannot_be_written_is_named(run, tmp_path, monkeypatch):
    access = os.access
    # Root may write everywhere, so the rights of the folder alone would not do.
    monkeypatch.setattr(os, "access", lambda path, mode: mode == os.F_OK and access(path, mode))
    for args in (("export", "m", "--out"), ("spectrum", "p", "--report")):
        said = run(*args, tmp_path / "new" / "x", expect=1).err
        assert f"nothing can be written into {tmp_path}; expected" in said


def test_errors_with_line_breaks_become_one_line(monkeypatch, capsys):
    def fail() -> None:
        raise ModelError("got this\nexpected that")

    monkeypatch.setattr(main_module, "app", fail)
    with pytest.raises(SystemExit) as caught:
        main_module.main()
    assert caught.value.code == 1
    assert capsys.readouterr().err == "error: got this expected that\n"


def test_other_errors_keep_their_traceback(monkeypatch):
    def fail() -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(main_module, "app", fail)
    with pytest.raises(ZeroDivisionError):
        main_module.main()


def test_compute_threads_sleep_while_they_wait_unless_told_otherwise(monkeypatch):
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    monkeypatch.setenv("KMP_BLOCKTIME", "200")
    main_module.share_the_machine()
    assert os.environ["OMP_WAIT_POLICY"] == "PASSIVE"
    assert os.environ["KMP_BLOCKTIME"] == "200"
