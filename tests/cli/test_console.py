"""What the command line writes, on a terminal and elsewhere."""

from __future__ import annotations

import io
import math

import pytest

from napari_blockseg.cli import console
from napari_blockseg.cli.options import config_from_options, config_option
from napari_blockseg.core.config import NetworkConfig, TrainConfig


def test_plain_progress_writes_a_bounded_number_of_lines(capsys):
    with console.progress("counting") as advance:
        for i in range(10_000):
            advance((i + 1) / 10_000, f"{i + 1} of 10000")
    lines = capsys.readouterr().out.splitlines()
    assert 2 <= len(lines) <= 6
    assert lines[0].startswith("counting:")
    assert "10000 of 10000" in lines[-1]
    assert "100%" in lines[-1]


def test_a_terminal_gets_a_bar(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr("sys.stdout", terminal)
    monkeypatch.setenv("TERM", "xterm-256color")
    with console.progress("counting") as advance:
        advance(0.5, "half")
        console.say("a line between")
    written = terminal.getvalue()
    assert "━" in written
    assert "half" in written
    assert "a line between" in written


def test_table_aligns_its_columns():
    assert console.table(["a", "long"], [["first", "1"], ["x", "12"]]).splitlines() == [
        "a      long",
        "first     1",
        "x        12",
    ]


def test_numbers_that_are_not_known_are_dashes():
    assert console.number(None) == console.number(math.nan) == "-"
    assert console.number(0.12345) == "0.123"


@pytest.mark.parametrize(("values", "drawn"), [([1.0, 2.0, 3.0], "▁▅█"), ([2.0, 2.0], "▁▁")])
def test_sparkline(values, drawn):
    assert console.sparkline(values) == drawn


def test_json_holds_no_nan(tmp_path):
    console.save_json(tmp_path / "x.json", {"a": math.nan, "b": [math.inf, 1.5]})
    assert "NaN" not in (tmp_path / "x.json").read_text()
    console.save_json(None, {"a": 1})


def test_options_come_from_the_fields_of_the_config():
    option = config_option(TrainConfig, "batch_size")
    assert option.help == TrainConfig.model_fields["batch_size"].description
    assert config_option(NetworkConfig, "decoder_stride").metavar == "auto|4|8|16|32"
    assert option.show_default == str(TrainConfig.model_fields["batch_size"].default)


def test_what_was_not_given_keeps_its_default():
    config = config_from_options(TrainConfig, steps=None, minutes=2.0, seed=None)
    assert config == TrainConfig(minutes=2.0)
    assert config.model_fields_set == {"minutes"}
