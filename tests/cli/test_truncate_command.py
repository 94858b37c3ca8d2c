"""`truncate`, and the fine-tuning that follows it."""

from __future__ import annotations

import pytest

from .conftest import NAMES, untrained_model

SHORT = ("--batch-size", 1, "--crop", 64, "--steps", 1, "--no-validation")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return untrained_model(tmp_path_factory.mktemp("full") / "run", NAMES, decoder_stride=4)


def test_a_model_is_cut_measured_and_tuned(run, project, model, tmp_path, load_json):
    cut = tmp_path / "cut"
    wanted = ("--decoder-stride", 8, "--out", cut, "--images", 1, "--json", tmp_path / "cut.json")
    done = run("truncate", model, project, *wanted)
    assert "Decoder stride 4 became 8 (polyphase)" in done.out
    assert "8 (after)" in done.out
    assert "blockseg train" in done.out
    found = load_json(tmp_path / "cut.json")
    assert (found["trained_decoder_stride"], found["decoder_stride"]) == (4, 8)
    assert found["before"]["decoder_stride"] == 4
    assert found["before"]["cross_entropy"] != found["after"]["cross_entropy"]
    assert load_json(cut / "model.json")["truncated_from"] == 4

    tuned = ("--init", cut, *SHORT, "--out", tmp_path / "tuned", "--json", tmp_path / "t.json")
    done = run("train", project, *tuned)
    assert "Decoder stride 8, that of" in done.out
    result = load_json(tmp_path / "t.json")
    assert result["decoder_stride"] == 8
    assert result["stride_choice"]["grounds"] == "kept"
    spec = load_json(tmp_path / "tuned" / "model.json")
    assert spec["network"]["decoder_stride"] == 8
    assert spec["truncated_from"] is None, "it was trained at 8"

    # In one go, from the full grid; form and encoder come from the model too.
    args = ("--init", model, "--decoder-stride", 16, *SHORT, "--out", tmp_path / "direct")
    run("train", project, *args)
    assert load_json(tmp_path / "direct" / "model.json")["network"]["decoder_stride"] == 16


def test_what_cannot_be_cut_is_said(run, model, tmp_path):
    out = ("--out", tmp_path / "cut")
    done = run("truncate", model, "--decoder-stride", 4, *out, expect=1)
    assert "coarser" in done.err
    run("truncate", model, "--decoder-stride", 5, *out, expect=2)
    run("truncate", model, *out, expect=2)
    assert not (tmp_path / "cut").exists()
    (tmp_path / "cut").mkdir()
    (tmp_path / "cut" / "model.json").write_text("{}")
    done = run("truncate", model, "--decoder-stride", 8, *out, expect=1)
    assert "holds a model already" in done.err


def test_the_choice_is_printed_before_training(run, project, tmp_path, load_json):
    out, results = tmp_path / "run", tmp_path / "r.json"
    done = run("train", project, "--weights", "none", *SHORT, "--out", out, "--json", results)
    said = done.out.splitlines()
    header = next(i for i, line in enumerate(said) if line.startswith("decoder stride"))
    assert header < next(i for i, line in enumerate(said) if "step 1 of 1" in line)
    chosen = load_json(results)["stride_choice"]
    assert chosen == load_json(out / "model.json")["stride_choice"]
    assert [one["stride"] for one in chosen["candidates"]] == [4, 8, 16]
    row = next(line for line in said if line.startswith(f"{chosen['stride']} "))
    assert row.rstrip().endswith("chosen")
    assert chosen["tolerance"] == 0.01
