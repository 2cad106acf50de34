"""A run of which something is damaged, missing or not to be written: one line says what, and nothing is made worse."""

from __future__ import annotations

import csv
import json
import shutil
import sys
from pathlib import Path

import pytest
from command_line import TINY, contents

from rlzoo import load

LATEST, EARLIER = "checkpoints/step_000000002048", "checkpoints/step_000000001792"
RESUME = ["train", "--resume", "run", "--steps", 256, "--quiet"]


def refused(outcome, *told):
    """Assert exit status 2 and one line on stderr that tells all this."""
    assert (outcome.status, outcome.out) == (2, ""), outcome
    assert outcome.err.startswith("error: ") and outcome.err.count("\n") == 1, outcome.err
    for part in told:
        assert part in outcome.err


def refused_and_untouched(rlzoo, run, *told, words=RESUME):
    before = contents(run)
    refused(rlzoo(*words), *told)
    assert contents(run) == before


def evaluations(run):
    with open(run / "metrics.csv", encoding="utf-8", newline="") as file:
        return [float(row["evaluation_return"]) for row in csv.DictReader(file) if row["evaluation_return"]]


# ---- the best checkpoint ---------------------------------------------------------------------------------------------
@pytest.fixture
def evaluated(rlzoo, tmp_path):
    """A run whose `best/` says that it reached a return of 400, and its folder."""
    words = [*TINY, "--steps", 256, "--eval-every", 128, "--quiet", "--out", "run"]
    assert rlzoo("train", "--algo", "ppo", *words).status == 0
    path = tmp_path / "run/best/manifest.json"
    manifest = json.loads(path.read_text())
    assert manifest["evaluation_return"] == pytest.approx(max(evaluations(tmp_path / "run")))
    path.write_text(json.dumps(manifest | {"evaluation_return": 400.0, "steps": 7}))
    return tmp_path / "run"


def test_the_best_stays_when_the_metrics_are_moved_away(rlzoo, evaluated):
    (evaluated / "metrics.csv").unlink()
    assert rlzoo(*RESUME).status == 0
    assert evaluations(evaluated) and load(evaluated / "best").steps == 7


@pytest.mark.parametrize("value", ["Infinity", "NaN", "1e999"])
def test_a_best_return_that_is_no_number_is_beaten(rlzoo, evaluated, value):
    path = evaluated / "best/manifest.json"
    path.write_text(path.read_text().replace("400.0", value))
    assert rlzoo(*RESUME).status == 0
    assert load(evaluated / "best").steps > 256
    assert json.loads(path.read_text())["evaluation_return"] == pytest.approx(max(evaluations(evaluated)[1:]))


def test_what_is_hidden_in_the_best_is_kept_and_stops_nothing(rlzoo, evaluated):
    path = evaluated / "best/manifest.json"
    path.write_text(path.read_text().replace("400.0", "-1.0"))
    (evaluated / "best/.DS_Store").write_text("mine")
    (evaluated / "best/.notes").mkdir()
    (evaluated / "best/.notes/one").write_text("mine too")
    assert rlzoo(*RESUME).status == 0
    assert load(evaluated / "best").steps > 256
    assert (evaluated / "best/.DS_Store").read_text() == "mine"
    assert (evaluated / "best/.notes/one").read_text() == "mine too"


def test_a_damaged_best_is_to_be_removed(rlzoo, evaluated):
    path = evaluated / "best/manifest.json"
    path.write_text(path.read_text()[:40])
    refused_and_untouched(rlzoo, evaluated, "best/manifest.json is damaged", "remove run/best; the run itself is in")
    shutil.rmtree(evaluated / "best")
    assert rlzoo(*RESUME).status == 0
    assert load(evaluated / "best").steps > 256


# ---- metrics.csv -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("size", [0, 3, 40])
def test_metrics_whose_header_was_cut_begin_anew(rlzoo, trained, size):
    path = trained / "metrics.csv"
    header = path.read_bytes().splitlines(keepends=True)[0]
    path.write_bytes(header[:size])
    assert rlzoo(*RESUME).status == 0
    assert path.read_bytes().startswith(header) and len(path.read_bytes().splitlines()) > 1


@pytest.mark.parametrize(
    "row", ["zz,1", "", ",", "inf,1", "512", "nan,1", "5e2x,1", b"\xff,1", "1.5,2"], ids=lambda row: repr(row)[:9]
)
def test_a_damaged_row_of_metrics(rlzoo, trained, row):
    header, first, *_ = (trained / "metrics.csv").read_bytes().splitlines()
    row = row if isinstance(row, bytes) else row.encode()
    missing = first.count(b",") - row.count(b",")
    padded = row + b"," * missing if b"1" in row and b"," in row else row
    (trained / "metrics.csv").write_bytes(b"\n".join([header, first, padded, first, b""]))
    refused_and_untouched(rlzoo, trained, "run/metrics.csv is damaged in line 3", "move the file away")
    (trained / "metrics.csv").unlink()
    assert rlzoo(*RESUME).status == 0


def test_a_number_of_metrics_that_is_none(rlzoo, trained):
    lines = (trained / "metrics.csv").read_text().splitlines()
    fields = dict(zip(lines[0].split(","), lines[1].split(","), strict=True)) | {"evaluation_return": "abc"}
    (trained / "metrics.csv").write_text("\n".join([lines[0], ",".join(fields.values()), ""]))
    refused_and_untouched(rlzoo, trained, "run/metrics.csv is damaged in line 2")


@pytest.mark.parametrize("header", [b"\xffsteps,seconds\n", b"seconds\n1\n", b"my diary"])
def test_a_damaged_header_of_metrics(rlzoo, trained, header):
    (trained / "metrics.csv").write_bytes(header)
    refused_and_untouched(rlzoo, trained, "run/metrics.csv is damaged in line 1")


# ---- run.json --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000, "[]", "5", "", '{"options": 5}', '{"options": {"eval_every": "x"}}',
        '{"options": {"stop_at": "x"}}', '{"options": {"eval_every": 1.5}}', '{"options": {"eval_every": true}}',
        '{"options": {"eval_every": 0}}',
        '{"options": {"eval_every": 128, "stop_at": 1e999}}', '{"resumed": 5}', '{"resumed": [5]}', "\xff",
        '{"resumed": [{"options": {"eval_every": -1}}]}',
    ],
    ids=lambda text: text[:40],
)  # fmt: skip
def test_a_damaged_run_json(rlzoo, trained, text):
    (trained / "run.json").write_bytes(text.encode("latin-1"))
    refused_and_untouched(rlzoo, trained, "run/run.json is damaged (", "--eval-every again")
    assert rlzoo("evaluate", "run", "--episodes", 1).status == 0
    (trained / "run.json").write_text("{}")  # the mend
    assert rlzoo(*RESUME).status == 0


def test_a_run_json_without_options(rlzoo, trained):
    made = json.loads((trained / "run.json").read_text())
    del made["options"], made["vectorization"]
    (trained / "run.json").write_text(json.dumps(made | {"resumed": [{"from_step": 128}]}))
    assert rlzoo(*RESUME).status == 0
    found = json.loads((trained / "run.json").read_text())
    assert found["command"] == made["command"] and [part["from_step"] for part in found["resumed"]] == [128, 2048]
    assert not evaluations(trained)


def test_a_run_json_that_may_not_be_read(rlzoo, trained, permissions):
    (trained / "run.json").chmod(0)
    refused(rlzoo(*RESUME), "run/run.json", "Permission denied")


# ---- what may not be written -----------------------------------------------------------------------------------------
def test_a_run_that_may_only_be_read(rlzoo, trained, permissions):
    everything = [trained, *trained.rglob("*")]
    for path in everything:
        path.chmod(0o555 if path.is_dir() else 0o444)
    refused_and_untouched(rlzoo, trained, "cannot write run/.lock (Permission denied)", "writable")
    assert rlzoo("evaluate", "run", "--episodes", 1).status == 0
    for path in everything:
        path.chmod(0o755)


@pytest.mark.parametrize("name", ["metrics.csv", "tensorboard", "."])
def test_a_part_of_a_run_that_may_only_be_read(rlzoo, trained, permissions, name):
    (trained / name).chmod(0o555)
    before = (trained / "run.json").read_bytes()
    refused(rlzoo(*RESUME), "cannot write run", "(Permission denied)", "writable")
    assert (trained / "run.json").read_bytes() == before
    (trained / name).chmod(0o755)


def test_what_is_no_resumption_is_not_noted(rlzoo, trained, monkeypatch):
    def fails(*arguments):
        raise RuntimeError("no memory")

    before = (trained / "run.json").read_bytes()
    monkeypatch.setattr("rlzoo.training.run.TensorBoardLogger", fails)
    with pytest.raises(RuntimeError, match="no memory"):
        rlzoo(*RESUME)
    assert (trained / "run.json").read_bytes() == before


# ---- paths -----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("words", [["evaluate"], ["play"], ["train", "--resume"]])
def test_a_name_that_is_too_long(rlzoo, words):
    refused(rlzoo(*words, "x" * 300), "cannot read xxx", "(File name too long)")


@pytest.mark.parametrize("words", [["evaluate", "run"], ["evaluate", "run/checkpoints"], RESUME])
@pytest.mark.parametrize("closed", [".", "checkpoints"])
def test_a_folder_one_may_not_look_into(rlzoo, trained, permissions, words, closed):
    (trained / closed).chmod(0)
    refused(rlzoo(*words), "run", "(Permission denied)")
    (trained / closed).chmod(0o755)


# ---- checkpoints -----------------------------------------------------------------------------------------------------
def test_what_lies_among_the_checkpoints_is_none_of_them(rlzoo, trained):
    (trained / "checkpoints/step_zzz").write_text("mine")
    (trained / "checkpoints/step_000000009999").mkdir()
    (trained / "checkpoints/step_000000009998").write_text("mine")
    assert rlzoo("evaluate", "run", "--json", "--episodes", 1).json()["steps"] == 2048
    assert rlzoo(*RESUME).status == 0
    kept = sorted(path.parent.name for path in trained.glob("checkpoints/*/manifest.json"))
    assert kept == ["step_000000002048", "step_000000002304"]
    assert (trained / "checkpoints/step_zzz").read_text() == "mine"


@pytest.mark.parametrize("names", [["manifest.json", "arrays.safetensors"], ["manifest.json"]])
def test_an_emptied_checkpoint_is_none(rlzoo, trained, names):
    rows = (trained / "metrics.csv").read_text().count("\n")
    for name in names:
        (trained / LATEST / name).unlink()
    assert load(trained).steps == 1792
    assert rlzoo("train", "--resume", "run", "--quiet").status == 0
    assert load(trained).steps == 2048 and (trained / "metrics.csv").read_text().count("\n") == rows


def test_what_is_left_of_an_older_checkpoint_is_removed(rlzoo, trained):
    left = trained / "checkpoints/step_000000000512"  # its removal began with the manifest, and was killed
    left.mkdir()
    (left / "arrays.safetensors").write_bytes(b"a replay")
    assert rlzoo(*RESUME).status == 0
    kept = sorted(path.name for path in trained.glob("checkpoints/*"))
    assert kept == ["step_000000002048", "step_000000002304"]


def test_a_damaged_checkpoint_comes_with_the_one_to_use(rlzoo, trained):
    (trained / LATEST / "arrays.safetensors").write_bytes(b"cut")
    refused(rlzoo("evaluate", "run"), "damaged", f"use an earlier one, such as run/{EARLIER};")
    (trained / LATEST / "manifest.json").write_text("{")
    refused(rlzoo(*RESUME), "damaged", f"use an earlier one, such as run/{EARLIER};")
    (trained / EARLIER / "arrays.safetensors").write_bytes(b"cut")
    refused(rlzoo("evaluate", "run"), "damaged", "use an earlier one; if you remove this folder, --resume ")


def test_a_run_without_a_checkpoint(rlzoo, trained):
    shutil.rmtree(trained / "checkpoints")
    refused(rlzoo("evaluate", "run"), "run has no checkpoint yet")
    refused(rlzoo(*RESUME), "run has no checkpoint yet")


# ---- what is printed -------------------------------------------------------------------------------------------------
def test_commands_to_copy_are_quoted(rlzoo, trained):
    trained.rename(trained.with_name("my run; rm"))
    assert "rlzoo train --resume 'my run; rm' --steps 2048" in rlzoo("train", "--resume", "my run; rm").err
    outcome = rlzoo("train", "--resume", "my run; rm", "--steps", 256)
    assert "run: my run; rm\n" in outcome.out
    assert outcome.out.endswith("--logdir 'my run; rm'\nagain:   rlzoo evaluate 'my run; rm'\n")
    trained.with_name("my run; rm").rename("--run")
    assert "rlzoo train --resume ./--run --steps 2048" in rlzoo("train", "--resume", "./--run").err


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere there are no such names")
def test_a_name_that_is_not_utf8(rlzoo, trained):
    words = ["train", "--algo", "ppo", *TINY, "--quiet", "--out", "new\udcff"]
    refused(rlzoo(*words), "cannot write new\\udcff (its name is not UTF-8): choose another --out")
    assert not Path("new\udcff").exists()
    trained.rename("old\udcff")
    refused(rlzoo("train", "--resume", "old\udcff", "--steps", 9, "--quiet"), "cannot write old\\udcff (", "or rename")
    assert rlzoo("evaluate", "old\udcff", "--episodes", 1).status == 0


def test_nothing_that_a_terminal_obeys_is_printed(rlzoo, trained):
    folder = "a\x1b[31mb\u202e"
    trained.rename(folder)
    done = rlzoo("train", "--resume", folder, "--steps", 256)
    finished = rlzoo("train", "--resume", folder)
    trained.with_name(folder).rename("run")
    path = trained / "checkpoints/step_000000002304/manifest.json"
    manifest = json.loads(path.read_text())
    path.write_text(json.dumps(manifest | {"environment": "x:\x1b]0;owned\x07 $(reboot)"}))
    unknown = rlzoo("evaluate", "run")
    other = rlzoo("train", "--resume", "run", "--env", "CartPole-v1")
    path.write_text(json.dumps(manifest | {"sources": {"\x1b[31m": 5}}))
    damaged = rlzoo("evaluate", "run")
    for outcome in (done, finished, unknown, other, damaged):
        assert (outcome.out + outcome.err).replace("\n", "").isprintable()
    assert r"rlzoo evaluate 'a\x1b[31mb\u202e'" in done.out
    assert r"--env 'x:\x1b]0;owned\x07 $(reboot)', if you trust it" in unknown.err
    assert r"sources.\x1b[31m" in damaged.err
